//! `regimen why`: what differs from the nearest earlier record of a step.

use crate::{
    base::suggest::did_you_mean,
    cli::{
        CliError, Exit,
        recipe::{RecipeArguments, StoreArguments},
    },
    report,
};

/// Say why a step would run: the first field that differs, both values, the source line
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The step's address, such as `zero` or `scores[r1]`; every step that would run where it is left out
    step: Option<String>,
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let planned = arguments.recipe.plan()?;
    let store = arguments.store.open()?;
    let schedule = planned.schedule(&store)?;
    let plan = &planned.plan;
    let steps: Vec<_> = match &arguments.step {
        Some(address) => vec![plan.at(address).ok_or_else(|| CliError::Unknown {
            message: format!("the recipe has no step `{address}`"),
            hint: did_you_mean(address, plan.steps.iter().map(|step| step.address.as_str())),
        })?],
        None => {
            let open = |at: usize| schedule.steps.get(at).is_some_and(|it| it.why.is_some());
            plan.steps.iter().filter(|step| open(step.id.0)).collect()
        }
    };
    if steps.is_empty() {
        println!("every step is made");
    }
    for step in steps {
        print!("{}", report::why::explain(plan, &schedule, &store, step.id, &planned.sources));
    }
    Ok(Exit::Done)
}
