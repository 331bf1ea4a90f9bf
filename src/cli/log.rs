//! `regimen log`: the runs of a store.

use std::fs;

use crate::{
    base::suggest::did_you_mean,
    cli::{CliError, Exit, recipe::StoreArguments},
    report::log::{self, Run},
};

/// List the runs: when, which recipe, how each ended, what it made
#[derive(clap::Args)]
pub struct Arguments {
    /// The run to show at length: its name or the end of it, such as the number of its process
    run: Option<String>,
    /// How many runs to list, the newest first
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    number: usize,
    #[command(flatten)]
    store: StoreArguments,
    /// Print one JSON object a line: the runs, or the events of the one run
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let ids = store.runs();
    if let Some(name) = &arguments.run {
        let is_named = |id: &&String| *id == name || id.starts_with(name.as_str()) || id.ends_with(&format!("-{name}"));
        let id = ids.iter().rev().find(is_named).ok_or_else(|| CliError::Unknown {
            message: format!("{} knows no run `{name}`", store.root().display()),
            hint: did_you_mean(name, ids.iter().map(String::as_str)).or(Some("`regimen log` lists them".to_owned())),
        })?;
        if arguments.json {
            let path = store.run_file(id);
            print!("{}", fs::read_to_string(&path).map_err(|error| CliError::File { path, error })?);
        } else {
            print!("{}", log::at_length(&store, &Run::read(&store, id)));
        }
        return Ok(Exit::Done);
    }
    let runs: Vec<Run> = ids.iter().rev().take(arguments.number).map(|id| Run::read(&store, id)).collect();
    if arguments.json {
        runs.iter().for_each(|run| println!("{}", run.json()));
    } else if runs.is_empty() {
        println!("no run in {}", store.root().display());
    } else {
        print!("{}", log::table(&runs));
    }
    Ok(Exit::Done)
}
