//! `command`: a program as a step. It is handed its ports, runs in a folder of its own, and leaves an artifact.

mod end;
mod line;
mod made;
mod program;

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::{line::Values, program::Program};
use crate::{
    base::{disk, units::Amount},
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "command", version: 1, run, check: None, extends: None };

/// The arguments that are the stage's own; every other one is the value of a port.
const OWN: [&str; 4] = ["env", "line", "shell", "timeout"];

struct Arguments {
    line: String,
    env: Vec<String>,
    shell: bool,
    timeout: Option<Amount>,
    /// The type that what the program leaves must have, as the recipe writes it.
    returns: String,
    ports: Map<String, Value>,
}

impl Arguments {
    fn read(context: &Context) -> Result<Self, StageError> {
        let mut ports: Map<String, Value> = context.arguments()?;
        // Nothing has no text, so that no recipe can hand it over.
        if let Some((name, _)) = ports.iter().find(|(name, it)| it.is_null() && !OWN.contains(&name.as_str())) {
            let own = OWN.map(|it| format!("`{it}`")).join(", ");
            return Err(StageError::Arguments(format!("expected a value for the port `{name}`, or one of {own}")));
        }
        Ok(Self {
            line: take(&mut ports, "line")?,
            env: take(&mut ports, "env")?,
            shell: take(&mut ports, "shell")?,
            timeout: take(&mut ports, "timeout")?,
            returns: take(&mut ports, "returns")?,
            ports,
        })
    }
}

fn take<T: DeserializeOwned>(arguments: &mut Map<String, Value>, name: &str) -> Result<T, StageError> {
    let value = arguments.remove(name).unwrap_or_default();
    T::deserialize(value).map_err(|error| StageError::Arguments(format!("`{name}`: {error}")))
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments = Arguments::read(context)?;
    if let Some((port, file)) = context.files.iter().find(|(_, file)| !file.exists()) {
        return Err(StageError::Data(format!("the file of the port `{port}` is gone: {}", file.display())));
    }
    let values = Values::new(context, &arguments.ports, &arguments.line, &arguments.env)?;
    let words = if arguments.shell {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), line::quoted(&arguments.line, &values)]
    } else {
        line::words(&arguments.line, &values)?
    };
    let folder = context.work();
    disk::create_folder(&folder).map_err(|error| StageError::File { path: folder.clone(), error })?;
    let program = Program {
        words,
        env: arguments.env.iter().filter_map(|it| line::variable(it, &values)).collect(),
        folder,
        log: context.log(),
        limit: arguments.timeout,
    };
    program.run(context)?;
    made::check(&arguments.returns, &context.out)
}

/// A path that holds from wherever the program stands.
fn absolute(path: &Path) -> Result<String, StageError> {
    let whole = std::path::absolute(path).map_err(|error| StageError::File { path: path.to_owned(), error })?;
    match whole.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(StageError::Data(format!("expected a path in UTF-8, found `{}`", whole.display()))),
    }
}
