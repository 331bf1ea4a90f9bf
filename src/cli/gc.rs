//! `regimen gc`: removes what no named recipe and no kept run needs.

use std::path::PathBuf;

use crate::{
    cli::{
        CliError, Exit,
        recipe::{RecipeArguments, StoreArguments},
    },
    report::gc::Report,
    run,
    store::{Records, Store, gc::Roots},
};

/// Remove what neither the recipes named nor the last runs need; records stay
///
/// Every step of the recipes stays made. What goes can be made again, and `why` says what became of it.
#[derive(clap::Args)]
pub struct Arguments {
    /// Recipes whose steps stay
    #[arg(value_name = "RECIPE")]
    recipes: Vec<PathBuf>,
    /// What the recipes are run with, as for `run`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// How many of the newest runs keep all that they made or used
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    /// Remove the states of steps that are done as well, from which longer runs could go on
    #[arg(long)]
    checkpoints: bool,
    /// Only print what would go
    #[arg(long, visible_alias = "plan")]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    if arguments.recipes.is_empty() && arguments.keep.is_none() {
        return Err(CliError::Unknown {
            message: "nothing says what is to stay, and everything would go".to_owned(),
            hint: Some("name recipes (`gc a.rgm`), or keep what the last runs made or used (`gc --keep 3`)".to_owned()),
        });
    }
    let store = arguments.store.open()?;
    if !store.root().is_dir() {
        return Err(CliError::Unknown {
            message: format!("there is no store in {}", store.root().display()),
            hint: None,
        });
    }
    // Held from before it is known what is needed until the last thing is gone, so that no run begins to need more.
    let alone = if arguments.dry_run { None } else { store.hold_alone()? };
    let mut garbage = store.garbage(&roots(arguments, &store)?);
    let live: Vec<String> = store.runs().into_iter().filter(|run| store.is_live(run)).collect();
    let busy = if arguments.dry_run { !live.is_empty() } else { alone.is_none() };
    let spared = if busy { garbage.spare() } else { Vec::new() };
    let removed = !arguments.dry_run;
    if removed {
        store.remove(&mut garbage, alone.as_ref())?;
    }
    let report = Report { garbage: &garbage, spared: &spared, live: &live, removed };
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.screen());
    }
    Ok(Exit::Done)
}

/// All that must stay.
fn roots(arguments: &Arguments, store: &Store) -> Result<Roots, CliError> {
    let mut roots = Roots { finished_go: arguments.checkpoints, ..Roots::default() };
    for file in &arguments.recipes {
        let planned = RecipeArguments::new(file.clone(), arguments.sets.clone()).plan()?;
        let schedule = planned.schedule(store)?;
        schedule.needs(&planned.plan, &planned.files()?, &Records::new(store), &mut roots);
    }
    for run in store.runs().iter().rev().take(arguments.keep.unwrap_or_default()) {
        run::needs(store, run, &mut roots);
    }
    Ok(roots)
}
