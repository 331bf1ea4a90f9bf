//! `regimen plan`: what would run, why, and at what price.

use crate::{
    cli::{
        CliError, Exit,
        budget::BudgetArguments,
        recipe::{RecipeArguments, StoreArguments},
    },
    report, run,
    schedule::State,
};

/// Show what would run, why, and at what price; nothing runs
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    budget: BudgetArguments,
    /// Print the plan as one JSON object
    #[arg(long)]
    json: bool,
    /// Exit with 2 where a step would run
    #[arg(long)]
    exit_code: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let planned = arguments.recipe.plan()?;
    let store = arguments.store.open()?;
    let schedule = planned.schedule(&store)?;
    if arguments.json {
        println!("{}", report::plan::json(&planned.plan, &schedule, &planned.sources));
    } else {
        print!("{}", report::plan::screen(&planned.plan, &schedule, &planned.sources));
    }
    run::fits(&planned.plan, &schedule, &store, &arguments.budget.budget()).map_err(|error| planned.blame(error))?;
    let work = schedule.count(State::Hit) < schedule.steps.len();
    super::keep((planned, schedule));
    Ok(if arguments.exit_code && work { Exit::Work } else { Exit::Done })
}
