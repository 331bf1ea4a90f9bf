//! `regimen plan`: what would run, why, and at what price.

use crate::{
    base::argument,
    cli::{
        CliError, Exit,
        budget::BudgetArguments,
        machine::{Description, MachineArgument},
        recipe::{RecipeArguments, StoreArguments},
    },
    plan::Step,
    report,
    run::{self, Echo},
    schedule::State,
    stages,
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
    let store = arguments.store.open()?;
    let glance = store.glance();
    let machine = arguments.machine.read()?;
    let plain = !arguments.json && !arguments.origins && machine.is_none();
    let asked = arguments.recipe.asked(&store).filter(|_| plain);
    if let Some(echo) = asked.and_then(|asked| Echo::hear(&store, &glance, &asked)) {
        print!("{}", report::plan::made(echo.steps()));
        return Ok(Exit::Done);
    }
    let planned = arguments.recipe.plan()?;
    planned.warn();
    if arguments.origins {
        print!("{}", report::origins::screen(&planned.plan, &planned.sources));
        return Ok(Exit::Done);
    }
    let schedule = match &machine {
        Some(machine) => planned.schedule_for(&store, machine)?,
        None => planned.schedule_after(&store, glance)?,
    };
    let elsewhere = machine.as_ref().map(Description::elsewhere);
    let steps = planned.plan.steps.iter().zip(&schedule.steps);
    let formula = |step: &Step| stages::formula::of(&step.stage, &argument::object(&step.arguments));
    if arguments.json {
        let mut json = report::plan::json(&planned.plan, &schedule, &planned.sources, elsewhere.as_ref());
        for ((step, _), told) in steps.zip(json["steps"].as_array_mut().into_iter().flatten()) {
            if let Some(lines) = formula(step) {
                told["formula"] = lines.into();
            }
        }
        println!("{json}");
    } else {
        print!("{}", report::plan::screen(&planned.plan, &schedule, &planned.sources, elsewhere.as_ref()));
        let open = steps.filter(|(_, scheduled)| scheduled.state != State::Hit);
        let formulas: Vec<_> = open.filter_map(|(step, _)| Some((step.address.clone(), formula(step)?))).collect();
        print!("{}", report::plan::formulas(&formulas));
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
