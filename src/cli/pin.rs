//! `regimen pin`: writes down what the inputs of a recipe hold, so that a change of theirs is an error.

use std::{fs, path::PathBuf};

use crate::{
    base::span::SourceId,
    cli::{CliError, Exit, recipe},
    store::{Folder, digest_file},
    syntax::{
        self,
        ast::{ExprKind, Input, Item},
    },
};

/// Write the digest of each input's file into the recipe, `@ blake3:..`; a changed file is an error from then on
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipe, a `.rgm` file
    #[arg(value_name = "RECIPE")]
    file: PathBuf,
    /// Only these inputs; all that name a file where it is left out
    inputs: Vec<String>,
    /// Take the pins out instead
    #[arg(long)]
    remove: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let failed = |error| CliError::File { path: arguments.file.clone(), error };
    let mut text = fs::read_to_string(&arguments.file).map_err(failed)?;
    let (file, complaints) = syntax::parse(SourceId(0), &text);
    if complaints.has_errors() {
        return Err(recipe::faulty(&arguments.file, text, complaints));
    }
    let inputs: Vec<&Input> =
        file.items.iter().filter_map(|it| if let Item::Input(input) = it { Some(&**input) } else { None }).collect();
    for name in &arguments.inputs {
        if !inputs.iter().any(|it| it.name.text == *name) {
            let names = inputs.iter().map(|it| it.name.text.as_str());
            let hint = crate::base::suggest::did_you_mean(name, names);
            return Err(CliError::Unknown { message: format!("the recipe has no input `{name}`"), hint });
        }
    }
    let folder = arguments.file.parent().map(PathBuf::from).unwrap_or_default();
    let chosen = |it: &&&Input| arguments.inputs.is_empty() || arguments.inputs.contains(&it.name.text);
    // From the end, so that places further up stay true.
    for input in inputs.iter().filter(chosen).rev() {
        let Some((start, end, path)) = place(input) else { continue };
        let pin = if arguments.remove {
            String::new()
        } else {
            let path = folder.join(path);
            let digest = if path.is_dir() {
                Folder::read_with(&path, &mut |path, _| digest_file(path)).map(|folder| folder.digest())?
            } else {
                digest_file(&path)?
            };
            format!(" @ blake3:{}", digest.hex())
        };
        text.replace_range(start..end, &pin);
        println!("{}{}", input.name.text, if arguments.remove { ": no longer pinned" } else { &pin });
    }
    fs::write(&arguments.file, text).map_err(failed)?;
    Ok(Exit::Done)
}

/// Where the pin of an input stands or would stand, and the file that it is about.
fn place(input: &Input) -> Option<(usize, usize, &str)> {
    let file = input.default.as_ref()?;
    let ExprKind::Text(path) = &file.kind else { return None };
    let start = file.span.end as usize;
    Some((start, input.pin.as_ref().map_or(start, |it| it.span.end as usize), path))
}
