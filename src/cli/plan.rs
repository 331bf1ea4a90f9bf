//! `regimen plan`: what would run, why, and at what price.

use crate::{
    cli::{
        CliError, Exit,
        budget::BudgetArguments,
        machine::{Description, MachineArgument},
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
    #[command(flatten)]
    machine: MachineArgument,
    /// Print the plan as one JSON object
    #[arg(long)]
    json: bool,
    /// Show where each value comes from: the recipe, `--set`, a file of parameters, or a default
    #[arg(long, conflicts_with = "json")]
    origins: bool,
    /// Exit with 2 where a step would run
    #[arg(long)]
    exit_code: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let planned = arguments.recipe.plan()?;
    if arguments.origins {
        print!("{}", report::origins::screen(&planned.plan, &planned.sources));
        return Ok(Exit::Done);
    }
    let store = arguments.store.open()?;
    let machine = arguments.machine.read()?;
    let schedule = match &machine {
        Some(machine) => planned.schedule_for(&store, machine)?,
        None => planned.schedule(&store)?,
    };
    let elsewhere = machine.as_ref().map(Description::elsewhere);
    if arguments.json {
        println!("{}", report::plan::json(&planned.plan, &schedule, &planned.sources, elsewhere.as_ref()));
    } else {
        print!("{}", report::plan::screen(&planned.plan, &schedule, &planned.sources, elsewhere.as_ref()));
    }
    let budget = arguments.budget.budget();
    let fits = match &machine {
        Some(_) => run::affords(&planned.plan, &schedule, &budget),
        None => run::fits(&planned.plan, &schedule, &store, &budget),
    };
    fits.map_err(|error| planned.blame(error))?;
    let work = schedule.count(State::Hit) < schedule.steps.len();
    super::keep((planned, schedule));
    Ok(if arguments.exit_code && work { Exit::Work } else { Exit::Done })
}
