//! `regimen run`: makes what is not made yet.

use std::{io, num::NonZeroUsize, path::PathBuf};

use crate::{
    cli::{CliError, Exit, budget::BudgetArguments, interval::Interval, profile::Profile, recipe::RecipeArguments},
    report::{cost::Costs, json, table, terminal::Terminal},
    run::{self, Echo, Event, Options, Status},
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
    /// How often a long step keeps a state to go on from, such as `30s` or `never` [default: the profile's, else 60s]
    #[arg(long, value_name = "DURATION")]
    checkpoint_every: Option<Interval>,
    /// How many problems a sampling step takes at once; no result depends on it [default: the profile's, else 64]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    #[command(flatten)]
    budget: BudgetArguments,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let profile = Profile::read()?;
    let store = profile.store(arguments.store.as_deref());
    let glance = store.glance();
    let mut costs = Costs::default();
    let mut options = Options { threads: profile.threads(arguments.threads), ..Options::default() };
    options.batch = arguments.batch.or(profile.batch).unwrap_or(options.batch);
    let every = arguments.checkpoint_every.or(profile.checkpoint_every);
    options.checkpoint_every = every.map_or(options.checkpoint_every, |it| it.0);
    let mut terminal = Terminal::on_standard_error();
    (options.recipe, options.sets) = arguments.recipe.told();
    let mut report = |event: &Event| {
        if arguments.json {
            // A reader that has gone away does not stop the run.
            let _ = json::write(&mut io::stdout().lock(), event);
        } else {
            terminal.show(event);
        }
        if let Event::StepFinished { address, seconds, cost: Some(cost), .. } = event {
            costs.add(address, *seconds, cost);
        }
    };
    let asked = arguments.recipe.asked(&store);
    let (outcome, outcomes) = match asked.and_then(|asked| Echo::hear(&store, &glance, &asked)) {
        Some(echo) => (echo.tell(&store, &options, &mut report), echo.outcomes()),
        None => {
            let planned = arguments.recipe.plan()?;
            planned.warn();
            options.question = planned.question(asked);
            let outlook = planned.preflight(&store, glance)?;
            let budget = arguments.budget.budget();
            let stages = |name: &str| stages::find(name);
            let outcome = run::run_within(&budget, &planned.plan, outlook, &stages, &options, &mut report)
                .map_err(|error| planned.blame(error))?;
            let outcomes = planned.plan.outcomes();
            super::keep(planned);
            (outcome, outcomes)
        }
    };
    if let Some(line) = costs.line().filter(|_| !arguments.json) {
        eprintln!("{line}");
    }
    if !arguments.json
        && let Some(table) = table::scores(&outcomes, &outcome.outputs)
    {
        print!("{table}");
    }
    Ok(match outcome.status {
        Status::Done => Exit::Done,
        Status::Failed => Exit::Step,
        Status::GateFailed => Exit::Gate,
        Status::Waiting => Exit::Waiting,
        Status::Interrupted => Exit::Interrupted,
    })
}
