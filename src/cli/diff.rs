//! `regimen diff`: what of a recipe would run anew because it was changed, and at what price.

use std::path::PathBuf;

use crate::{
    cli::{
        CliError, Exit,
        recipe::{RecipeArguments, StoreArguments},
    },
    plan::{Change, Sided, StepId, changes},
    report::diff::{Diff, Recipe},
    store::Records,
};

/// Say what differs between two recipes: what would run anew, and at what price
///
/// With one recipe, it is compared with itself as `--set` changes it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipe as it was
    old: PathBuf,
    /// The recipe as it is; the same one, with what `--set` changes, where it is left out
    new: Option<PathBuf>,
    /// Set a parameter or an argument: in both recipes, or in the new one where only one is named
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    store: StoreArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let plan = |file: &PathBuf, sets: &[String]| RecipeArguments::new(file.clone(), sets.to_vec()).plan();
    let before = if arguments.new.is_some() { arguments.sets.as_slice() } else { &[] };
    let old = plan(&arguments.old, before)?;
    let file = arguments.new.as_ref().unwrap_or(&arguments.old);
    let new = plan(file, &arguments.sets)?;
    let (then, now) = (old.files()?, new.files()?);
    let side = |planned, file| Sided { plan: planned, file };
    let changes =
        changes(side(&old.plan, &|path| then.get(path).copied()), side(&new.plan, &|path| now.get(path).copied()));

    let store = arguments.store.open()?;
    let same = |id: StepId| changes.steps.get(id.0).is_some_and(|change| matches!(change, Change::Same { .. }));
    let made = new.schedule(&store)?;
    let price = new.priced(made.clone().without(same), &store, &Records::new(&store))?;
    let names = [&arguments.old, file].map(|path| path.display().to_string());
    let [then, mut now] = names;
    if arguments.new.is_none() {
        now = format!("{now} with {}", arguments.sets.join(", "));
    }
    let diff = Diff {
        old: Recipe { name: &then, plan: &old.plan, sources: &old.sources },
        new: Recipe { name: &now, plan: &new.plan, sources: &new.sources },
        changes: &changes,
        made: &made,
        price: &price,
    };
    if arguments.json {
        println!("{}", diff.json());
    } else {
        print!("{}", diff.screen());
    }
    Ok(Exit::Done)
}
