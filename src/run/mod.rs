//! Runs a plan: what is made is taken, the rest is made side by side, and everything that happens is an event.
#![expect(clippy::disallowed_methods, reason = "a run takes time, and its log says when")]

mod board;
mod desk;
mod dispatcher;
mod echo;
mod event;
mod executor;
mod fit;
mod gates;
mod inputs;
mod interrupt;
mod journal;
mod keeper;
mod machine;
mod meter;
mod needs;
mod outlook;
mod prospects;
mod rerun;
mod shorter;
mod watch;

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

pub use self::{
    desk::earlier,
    echo::{Echo, Question},
    event::{Event, Logged, Output, Status},
    fit::{Budget, Misfit, affords, fits},
    inputs::digest_inputs,
    machine::{free_disk, free_memory, machine},
    needs::needs,
    outlook::Outlook,
    prospects::{foresee, tally},
    rerun::{Rerun, rerun},
};
use self::{dispatcher::Dispatcher, journal::Journal};
use crate::{
    base::{diagnostic::Diagnostics, digest::Digest, work::Machine},
    plan::Plan,
    schedule::{Pricing, Schedule, State},
    stages::{Stage, estimate},
    store::{Glance, History, Store, StoreError, Unrecorded},
};

/// What a killed step loses at most, where nothing else is asked for.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Enough problems to fill the sampler, few enough for progress to be seen.
const BATCH: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// How a run is to be done. Nothing in it changes a result.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many threads all steps share.
    pub threads: NonZeroUsize,
    /// Set to stop the run: each step ends at its next check.
    pub cancelled: Arc<AtomicBool>,
    pub interrupts: Interrupts,
    /// How often a long step keeps a state to go on from; None only where it is asked to stop.
    pub checkpoint_every: Option<Duration>,
    /// Bytes that the steps may hold together as far as is foretold, one alone excepted; None is what is free.
    pub memory: Option<u64>,
    /// How many problems a sampling step hands to the sampler at once.
    pub batch: NonZeroUsize,
    /// What the run's log says it was asked for: the recipe's file, and what was set beside it.
    pub recipe: Option<PathBuf>,
    pub sets: Vec<String>,
    /// What is asked, where the run may answer for a later one that is asked the same.
    pub question: Option<Question>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            cancelled: Arc::default(),
            interrupts: Interrupts::Heed,
            checkpoint_every: Some(CHECKPOINT_EVERY),
            memory: None,
            batch: BATCH,
            recipe: None,
            sets: Vec::new(),
            question: None,
        }
    }
}

/// Whether Ctrl-C is for the run to handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Once: the steps stop at their next check. Twice: the process ends at once, with code 130.
    Heed,
    Leave,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub status: Status,
    pub outputs: BTreeMap<String, Output>,
    /// The name of the run's log; None where nothing had to run.
    pub run: Option<String>,
}

impl Outcome {
    /// What an output of the recipe came to.
    #[must_use]
    pub fn digest(&self, output: &str) -> Option<Digest> {
        self.outputs.get(output).map(|it| it.digest)
    }
}

/// The stages that there are, by name.
pub type Stages<'a> = &'a dyn Fn(&str) -> Option<&'static Stage>;

/// Why a run could not go on at all. A step that fails is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Files that the plan reads and that cannot be read, with the place in the recipe that names each.
    #[error("{} of the recipe's files cannot be read", .0.iter().count())]
    Inputs(Diagnostics),
    /// The plan does not fit the machine, or costs more than it may.
    #[error("{0}")]
    Misfit(Box<Misfit>),
    #[error("there is no stage `{0}`")]
    Stage(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the runner could not be started: {0}")]
    Runtime(std::io::Error),
}

/// Prices what would run by the built-in stages' own estimates, the history, and the speed of this machine.
///
/// Gives the speed of the machine, where that was asked for.
pub fn price(
    plan: &Plan,
    schedule: &mut Schedule,
    store: &Store,
    history: &dyn History,
    threads: NonZeroUsize,
) -> Option<Machine> {
    let measured = OnceCell::new();
    let measure = || *measured.get_or_init(|| machine(store, threads.get()));
    let memory = free_memory();
    schedule.price(
        plan,
        history,
        Pricing { foretell: &estimate::of, threads: threads.get(), memory, measure: &measure },
    );
    measured.into_inner()
}

/// Prices what would run as a machine of that speed would run it, whatever was measured on this one.
///
/// Memory is left out, as the estimates tell what threads hold that share one, and devices divide a model.
pub fn price_for(plan: &Plan, schedule: &mut Schedule, machine: Machine) {
    let pricing = Pricing { foretell: &estimate::of, threads: machine.threads, memory: None, measure: &|| machine };
    schedule.price(plan, &Unrecorded, pricing);
    schedule.steps.iter_mut().filter_map(|step| step.price.as_mut()).for_each(|price| price.memory = None);
    schedule.forecast = schedule.forecast.map(|(seconds, _)| (seconds, 0));
}

/// Runs every step of a plan that is not made yet, and tells `report` of each thing that happens.
///
/// Where nothing has to run, nothing is written but an [`Echo`] with the snapshot that it builds on, and neither the index
/// nor a thread is started.
///
/// # Errors
/// Where an input file cannot be read (then nothing is written either), or the store cannot be written.
pub fn run(
    plan: &Plan,
    store: &Store,
    stages: Stages,
    options: &Options,
    report: &mut dyn FnMut(&Event),
) -> Result<Outcome, RunError> {
    run_within(&Budget::default(), plan, Outlook::new(plan, store, Glance::new(store))?, stages, options, report)
}

/// As [`run`] with what is known before, where the plan costs no more than a budget.
///
/// # Errors
/// Where the store cannot be written, and where the plan costs more; then nothing is written.
pub fn run_within(
    budget: &Budget,
    plan: &Plan,
    outlook: Outlook<'_>,
    stages: Stages,
    options: &Options,
    report: &mut dyn FnMut(&Event),
) -> Result<Outcome, RunError> {
    let start = Instant::now();
    let code = plan.steps.iter().map(|step| stages(&step.stage).ok_or_else(|| RunError::Stage(step.stage.clone())));
    let code = code.collect::<Result<Vec<_>, _>>()?;
    let Outlook { store, history, files, watch } = outlook;
    let mut journal = Journal::new(report);
    let mut told = Ok(());
    let mut hold = store.hold(|| {
        told = journal.tell(Event::Note { text: "waiting while another process removes objects".to_owned() });
    });
    told?;
    let mut schedule = Schedule::new(plan, &files, &history);

    inputs::check(plan, &schedule, &code)?;
    let measured = price(plan, &mut schedule, store, &history, options.threads);
    fits(plan, &schedule, store, budget)?;

    if schedule.count(State::Hit) == schedule.steps.len() {
        journal.needs_no_log();
    }
    let (seconds, unknown) = schedule.seconds();
    journal.tell(Event::Plan {
        steps: schedule.steps.len(),
        hits: schedule.count(State::Hit),
        runs: schedule.count(State::Run),
        waits: schedule.count(State::Waits),
        seconds: (unknown == 0).then_some(seconds),
        recipe: options.recipe.clone(),
        sets: options.sets.clone(),
    })?;
    let mut dispatcher = Dispatcher::new(plan, store, &code, &files, watch, options);
    dispatcher.take_hits(schedule, &mut journal)?;
    let works = dispatcher.has_work();
    if works {
        store.prepare()?;
        hold = hold.or_else(|| store.hold(|| {}));
        if let Some(machine) = measured {
            machine::keep(store, machine);
        }
        journal.open(store)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
        runtime.block_on(dispatcher.work(&history, &mut journal))?;
        if let Some(note) = history.note() {
            journal.tell(Event::Note { text: note.to_owned() })?;
        }
    }
    let (status, outputs) = dispatcher.conclude();
    // What cannot be kept for the next look costs that look its time.
    let _ = match &options.question {
        Some(question) if status == Status::Done => dispatcher.keep_echo(question, &history),
        _ if works => history.remember(dispatcher.made()).map(drop),
        _ => Ok(()),
    };
    drop(hold);
    let run = journal.run().map(str::to_owned);
    journal.tell(Event::Finished { status, outputs: outputs.clone(), seconds: start.elapsed().as_secs_f64() })?;
    Ok(Outcome { status, outputs, run })
}
