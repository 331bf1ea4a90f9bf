//! `regimen report`: every score that a recipe's steps have made, side by side.

use std::{collections::BTreeSet, str::FromStr};

use crate::{
    cli::{
        CliError, Exit,
        recipe::{RecipeArguments, StoreArguments},
    },
    plan::{Plan, Step, StepId},
    report::table::{self, Table},
    schedule::Schedule,
    store::Records,
};

/// Show the scores of a recipe's models side by side, as far as they are made
///
/// With `--each`, the recipe is looked at under every value, and the mean stands above them.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Look at the recipe once for each value of a parameter, such as `seed=17,18`
    #[arg(long, value_name = "NAME=VALUE,..")]
    each: Option<Each>,
    #[command(flatten)]
    store: StoreArguments,
    /// Print the figures as one JSON array
    #[arg(long)]
    json: bool,
}

/// A parameter, and the values that it is to have in turn.
#[derive(Clone, Debug, PartialEq)]
struct Each {
    name: String,
    values: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let mut table = Table::default();
    let mut unmade = 0;
    let variants = match &arguments.each {
        Some(each) => each.values.iter().map(|value| format!("{}={value}", each.name)).collect(),
        None => vec![String::new()],
    };
    for variant in &variants {
        let set = (!variant.is_empty()).then(|| variant.clone());
        let planned = arguments.recipe.with(set).plan()?;
        let schedule = Schedule::new(&planned.plan, &planned.files()?, &Records::new(&store));
        let mut made = Vec::new();
        for step in in_order(&planned.plan) {
            match schedule.get(step.id).and_then(|it| it.made).map(|done| store.object(&done.output)) {
                Some(object) if table::is_scored(&object) => made.push((step.address.as_str(), object)),
                Some(_) => {}
                None => unmade += usize::from(step.stage == "eval"),
            }
        }
        let labels = table::labels(made.iter().map(|(address, _)| *address));
        for (label, (_, object)) in labels.into_iter().zip(&made) {
            table.add(label, variant, object);
        }
    }
    if arguments.json {
        println!("{}", table.json());
        return Ok(Exit::Done);
    }
    print!("{}", table.screen().unwrap_or_default());
    match unmade {
        0 if table.is_empty() => println!("the recipe makes no reports"),
        0 => {}
        1 => println!("1 report is not made yet"),
        _ => println!("{unmade} reports are not made yet"),
    }
    Ok(Exit::Done)
}

/// The members of collections as the recipe lists them, and then every other step.
fn in_order(plan: &Plan) -> Vec<&Step> {
    let listed: Vec<StepId> = plan.collections.values().flatten().map(|(_, id)| *id).collect();
    let members: BTreeSet<StepId> = listed.iter().copied().collect();
    let others = plan.steps.iter().filter(|step| !members.contains(&step.id));
    listed.iter().filter_map(|id| plan.step(*id)).chain(others).collect()
}

impl FromStr for Each {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(name, values)| !name.is_empty() && !values.is_empty());
        let (name, values) =
            parts.ok_or_else(|| format!("expected a name and its values, such as `seed=17,18`, found `{text}`"))?;
        Ok(Self { name: name.to_owned(), values: values.split(',').map(|it| it.trim().to_owned()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_each_of_its_values() {
        let each: Each = "seed=17, 18".parse().unwrap();
        assert_eq!((each.name.as_str(), each.values.join("|").as_str()), ("seed", "17|18"));
        assert!("seed".parse::<Each>().is_err() && "=1".parse::<Each>().is_err());
    }
}
