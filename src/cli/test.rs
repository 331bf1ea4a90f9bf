//! `regimen test`: runs the tests that stand in recipes, each a small recipe of its own.

use std::path::PathBuf;

use crate::{
    cli::{CliError, Exit, profile::Profile, recipe::RecipeArguments},
    report::format,
    run::{self, Budget, Event, Options, Status},
    stages,
    store::{Glance, Store},
};

/// Run the tests of recipes, `test "name" { .. require .. }`
///
/// Their steps are kept in the store as any others, so that a test of which nothing changed takes no time.
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipes
    #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Run only the tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The folder of the store [default: the profile's, else .regimen]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// How a test went.
struct Verdict {
    exit: Exit,
    steps: usize,
    made: usize,
    /// What went wrong, a line each.
    faults: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let profile = Profile::read()?;
    let store = profile.store(arguments.store.as_deref());
    let options = Options { threads: profile.threads(None), ..Options::default() };
    let (mut ran, mut failed) = (0, 0);
    let mut exit = Exit::Done;
    for file in &arguments.files {
        let recipe = RecipeArguments::new(file.clone(), Vec::new());
        let checked = recipe.check()?;
        if checked.diagnostics.has_errors() {
            return Err(CliError::Recipe(Box::new((checked.diagnostics, checked.sources))));
        }
        let wanted = |name: &&String| arguments.only.as_ref().is_none_or(|text| name.contains(text));
        for name in checked.program.tests.iter().filter(wanted) {
            let verdict = test(&recipe, name, &store, &options)?;
            ran += 1;
            let steps = format::counted(verdict.steps, "step");
            if verdict.exit == Exit::Done {
                println!("ok      {name} ({steps}, {} made before)", verdict.made);
                continue;
            }
            failed += 1;
            println!("FAILED  {name} ({steps})");
            verdict.faults.iter().for_each(|fault| println!("        {fault}"));
            exit = if exit == Exit::Done { verdict.exit } else { exit };
            if verdict.exit == Exit::Interrupted {
                return Ok(exit);
            }
        }
    }
    println!("{}, {failed} failed", format::counted(ran, "test"));
    Ok(exit)
}

fn test(recipe: &RecipeArguments, name: &str, store: &Store, options: &Options) -> Result<Verdict, CliError> {
    let planned = recipe.plan_test(name)?;
    let outlook = planned.preflight(store, Glance::new(store))?;
    let mut verdict = Verdict { exit: Exit::Done, steps: planned.plan.steps.len(), made: 0, faults: Vec::new() };
    let mut report = |event: &Event| match event {
        Event::StepHit { .. } => verdict.made += 1,
        Event::StepFailed { address, error, .. } => verdict.faults.push(format!("{address}: {error}")),
        Event::StepAsks { address, command, .. } => {
            verdict.faults.push(format!("{address} waits for a person: {command}"));
        }
        Event::Gate { text, passed: false, figures } => {
            let figures: Vec<String> =
                figures.iter().map(|(name, value)| format!("{name} is {}", format::figure(*value))).collect();
            verdict.faults.push(format!("require {text}: {}", figures.join(", ")));
        }
        _ => {}
    };
    let outcome =
        run::run_within(&Budget::default(), &planned.plan, outlook, &|name| stages::find(name), options, &mut report)
            .map_err(|error| planned.blame(error))?;
    verdict.exit = match outcome.status {
        Status::Done => Exit::Done,
        Status::Failed => Exit::Step,
        Status::GateFailed => Exit::Gate,
        Status::Waiting => Exit::Waiting,
        Status::Interrupted => Exit::Interrupted,
    };
    Ok(verdict)
}
