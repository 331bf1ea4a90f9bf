//! `regimen run`: makes what is not made yet.

use std::{io, num::NonZeroUsize, path::PathBuf};

use crate::{
    cli::{CliError, Exit, profile::Profile, recipe::RecipeArguments},
    report::{json, table, terminal::Terminal},
    run::{self, Event, Options, Status},
    stages,
};

/// Run a recipe: each step once ever, its result kept by content
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The folder of the store [default: the profile's, else .regimen]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How many threads all steps share [default: the profile's, else one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let planned = arguments.recipe.plan()?;
    let profile = Profile::read()?;
    let store = profile.store(arguments.store.as_deref());
    let mut options = Options::default();
    options.threads = arguments.threads.or(profile.threads).unwrap_or(options.threads);
    let mut terminal = Terminal::on_standard_error();
    let mut report = |event: &Event| {
        if arguments.json {
            // A reader that has gone away does not stop the run.
            let _ = json::write(&mut io::stdout().lock(), event);
        } else {
            terminal.show(event);
        }
    };
    planned.preflight()?;
    let outcome = run::run(&planned.plan, &store, &|name| stages::find(name), &options, &mut report)
        .map_err(|error| planned.blame(error))?;
    if !arguments.json
        && let Some(table) = table::scores(&planned.plan, &outcome.outputs)
    {
        print!("{table}");
    }
    Ok(match outcome.status {
        Status::Done => Exit::Done,
        Status::Failed => Exit::Step,
        Status::GateFailed => Exit::Gate,
        Status::Interrupted => Exit::Interrupted,
    })
}
