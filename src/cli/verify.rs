//! `regimen verify`: reads what is kept against its digests; with `--rerun`, runs a step again and compares.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use crate::{
    base::{digest::Digest, suggest::did_you_mean},
    cli::{
        CliError, Exit,
        profile::Profile,
        recipe::{Planned, RecipeArguments},
    },
    plan::{Step, StepId},
    report::verify::{self, Aside, Finding, Report, What},
    run::{self, Options, Rerun},
    schedule::Schedule,
    stages,
    store::{Done, Record, Store, StoreError},
};

/// Read what is kept against its digests; what is damaged is moved aside, to be made again
#[derive(clap::Args)]
pub struct Arguments {
    /// A recipe whose steps are to be verified; everything in the store where it is left out
    #[arg(value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// The address of one step
    step: Option<String>,
    /// What the recipe is run with, as for `run`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// Run the step again, beside the store, and compare the bytes
    #[arg(long, requires = "step")]
    rerun: bool,
    /// How many threads to run the step with [default: the profile's, else one for each core]
    #[arg(long, value_name = "N", requires = "rerun")]
    threads: Option<NonZeroUsize>,
    /// Leave what is damaged where it is
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The folder of the store [default: the profile's, else .regimen]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let profile = Profile::read()?;
    let store = profile.store(arguments.store.as_deref());
    if !store.root().is_dir() {
        return Err(CliError::Unknown {
            message: format!("there is no store in {}", store.root().display()),
            hint: None,
        });
    }
    // Nobody removes anything while it is read.
    let _hold = store.hold(|| eprintln!("waiting while another process removes objects"));
    let Some(recipe) = &arguments.recipe else {
        return Ok(show(arguments, &everything(arguments, &store)));
    };
    let planned = RecipeArguments::new(recipe.clone(), arguments.sets.clone()).plan()?;
    let schedule = planned.schedule(&store)?;
    let step = arguments.step.as_deref().map(|address| find(&planned, address)).transpose()?;
    if let Some(step) = step.filter(|_| arguments.rerun) {
        let threads = arguments.threads.or(profile.threads);
        return rerun(arguments, &planned, step, &schedule, &store, threads);
    }
    let ids = planned.plan.steps.iter().map(|it| it.id).filter(|id| step.is_none_or(|step| step.id == *id));
    Ok(show(arguments, &steps(arguments, &planned, ids, &schedule, &store)))
}

fn find<'a>(planned: &'a Planned, address: &str) -> Result<&'a Step, CliError> {
    planned.plan.at(address).ok_or_else(|| CliError::Unknown {
        message: format!("the recipe has no step `{address}`"),
        hint: did_you_mean(address, planned.plan.steps.iter().map(|step| step.address.as_str())),
    })
}

fn show(arguments: &Arguments, report: &Report) -> Exit {
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.screen());
    }
    if report.findings.is_empty() { Exit::Done } else { Exit::Store }
}

/// Verifies every object and every record.
fn everything(arguments: &Arguments, store: &Store) -> Report {
    let records = store.records();
    let mut makers: BTreeMap<Digest, Vec<&Record>> = BTreeMap::new();
    records.iter().for_each(|record| makers.entry(record.output).or_default().push(record));
    let mut report = Report { records: records.len(), ..Report::default() };
    for path in store.damaged_records() {
        report.records += 1;
        let aside = set_aside(arguments, || store.set_path_aside(&path));
        report.findings.push(Finding { what: What::Record(path), steps: Vec::new(), aside });
    }
    for path in store.damaged_reviews() {
        let aside = set_aside(arguments, || store.set_path_aside(&path));
        report.findings.push(Finding { what: What::Record(path), steps: Vec::new(), aside });
    }
    for (_, review) in store.reviews() {
        let damaged = review.journal().map(|it| it.damaged).unwrap_or_default();
        if !damaged.is_empty() {
            let what = What::Review(review.journal_file(), damaged);
            report.findings.push(Finding { what, steps: Vec::new(), aside: Aside::Left });
        }
    }
    for digest in store.objects() {
        let makers = makers.get(&digest).map(Vec::as_slice).unwrap_or_default();
        let addresses = makers.iter().map(|record| record.address.clone()).collect();
        let maker = makers.first().map(|record| Done::from(*record));
        object(arguments, store, &digest, maker.as_ref(), addresses, &mut report);
    }
    report
}

/// Verifies what some steps of a plan made.
fn steps(
    arguments: &Arguments,
    planned: &Planned,
    ids: impl Iterator<Item = StepId>,
    schedule: &Schedule,
    store: &Store,
) -> Report {
    let mut report = Report::default();
    let mut makers: BTreeMap<Digest, (Done, Vec<String>)> = BTreeMap::new();
    for id in ids {
        let address = planned.plan.step(id).map(|step| step.address.clone());
        match schedule.get(id).and_then(|it| it.made) {
            Some(done) => makers.entry(done.output).or_insert((done, Vec::new())).1.extend(address),
            None => report.open.extend(address),
        }
    }
    for (digest, (maker, addresses)) in makers {
        report.records += addresses.len();
        object(arguments, store, &digest, Some(&maker), addresses, &mut report);
    }
    report
}

/// Reads one object, and moves it aside where it is damaged.
fn object(
    arguments: &Arguments,
    store: &Store,
    digest: &Digest,
    maker: Option<&Done>,
    mut steps: Vec<String>,
    report: &mut Report,
) {
    report.objects += 1;
    report.bytes += maker.map_or(0, |done| done.bytes);
    if let Some(damage) = store.inspect(digest, maker) {
        steps.sort();
        steps.dedup();
        let aside = set_aside(arguments, || store.set_aside(digest));
        report.findings.push(Finding { what: What::Object(damage), steps, aside });
    }
}

fn set_aside(arguments: &Arguments, act: impl FnOnce() -> Result<PathBuf, StoreError>) -> Aside {
    if arguments.dry_run {
        Aside::Left
    } else {
        act().map_or_else(|error| Aside::Stuck(error.to_string()), Aside::Moved)
    }
}

/// Runs a step again and compares.
fn rerun(
    arguments: &Arguments,
    planned: &Planned,
    step: &Step,
    schedule: &Schedule,
    store: &Store,
    threads: Option<NonZeroUsize>,
) -> Result<Exit, CliError> {
    let made = schedule.get(step.id).and_then(|it| it.made);
    let record = made.and_then(|done| store.record(&done.key)).ok_or_else(|| CliError::Unknown {
        message: format!("`{}` is not made, so there is nothing to compare with", step.address),
        hint: Some("`regimen run` makes it".to_owned()),
    })?;
    // Neither is the step to blame for what became of its inputs, nor for what became of its object.
    let inputs = step.inputs.values().flatten().copied();
    let report = steps(arguments, planned, inputs.chain([step.id]), schedule, store);
    if !report.findings.is_empty() {
        return Ok(show(arguments, &report));
    }
    let stage = stages::find(&step.stage).ok_or_else(|| CliError::Run(run::RunError::Stage(step.stage.clone())))?;
    let mut options = Options::default();
    options.threads = threads.unwrap_or(options.threads);
    let rerun = run::rerun(&planned.plan, step.id, schedule, &record, store, stage, &options)
        .map_err(|error| planned.blame(error))?;
    if arguments.json {
        println!("{}", verify::rerun_json(&step.address, &record, &rerun));
    } else {
        print!("{}", verify::rerun(&step.address, &record, &rerun));
    }
    Ok(if matches!(rerun, Rerun::Same { .. }) { Exit::Done } else { Exit::Step })
}
