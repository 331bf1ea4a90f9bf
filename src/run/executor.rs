//! Runs one step on a thread of its own: claims its key, hands the stage its context, and commits what it wrote.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{desk::Desk, keeper::Keeper, meter::Meter, shorter, watch::Watch};
use crate::{
    base::{decision::Tally, device::Device, digest::Digest},
    stages::{Context, Progress, Stage, StageError},
    store::{Begun, Claim, Claimed, Cost, Done, Facts, Record, Store, StoreError},
};

/// How often a step's progress is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// All that one step needs to run.
pub(super) struct Job {
    pub(super) key: Digest,
    pub(super) fields: Value,
    pub(super) address: String,
    pub(super) stage: &'static Stage,
    pub(super) arguments: Value,
    pub(super) inputs: BTreeMap<String, Vec<Done>>,
    pub(super) files: BTreeMap<String, PathBuf>,
    /// What the files were when the key was made.
    pub(super) watch: Arc<Watch>,
    /// Shared by all running steps: none of them is idle while another has work to spare.
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) run: String,
    pub(super) store: Store,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) checkpoint_every: Option<Duration>,
    pub(super) batch: usize,
    pub(super) device: Device,
    /// Objects that were read whole and found sound, or written, by this process.
    pub(super) sound: Arc<Mutex<BTreeSet<Digest>>>,
    /// What the step is expected to cost.
    pub(super) cost: Cost,
    /// Cores that it would keep busy alone.
    pub(super) cores: f64,
    /// Bytes that it is expected to hold, and bytes for each thread.
    pub(super) memory: (f64, f64),
    /// Its number in the plan.
    pub(super) id: usize,
    pub(super) meter: Arc<Mutex<Meter>>,
}

/// What a running step tells.
pub(super) enum Message {
    Waits(Option<u32>),
    /// The step goes on from where it was stopped.
    Resumed(u64),
    Progress(Progress),
    Ended(Result<Made, Failure>),
}

/// How a step came to be made.
pub(super) enum Made {
    Here(Box<Record>),
    /// Another process was quicker.
    Elsewhere(Box<Record>),
}

/// Why a step was not made.
pub(super) enum Failure {
    Stage(String),
    /// An input's object is not what its name says; with what is wrong.
    Damaged(Digest, String),
    Cancelled,
    /// A person is to decide first.
    Waiting(Tally),
}

impl Job {
    /// Runs the step and tells of it until it has ended.
    pub(super) fn execute(self, tell: impl Fn(Message) + Clone + Send + Sync + 'static) {
        let ended = self.attempt(&tell);
        tell(Message::Ended(ended));
    }

    fn attempt(&self, tell: &(impl Fn(Message) + Clone + Send + Sync + 'static)) -> Result<Made, Failure> {
        let mut told = false;
        let claimed = self.store.claim(&self.key, |holder| {
            // A step of this run with the same key is no other process; its end is told soon.
            let is_ours = holder == Some(std::process::id());
            if !is_ours && !std::mem::replace(&mut told, true) {
                tell(Message::Waits(holder));
            }
            !self.cancelled.load(Ordering::Relaxed)
        });
        let claim = match claimed? {
            Claimed::Mine(claim) => claim,
            Claimed::Done(record) => return Ok(Made::Elsewhere(record)),
        };
        self.check_inputs()?;

        let start = Instant::now();
        let keeper = self.keeper(&claim, tell.clone())?;
        let (states, extends) = (keeper.states.clone(), keeper.extends);
        let metrics = Arc::new(Mutex::new(BTreeMap::new()));
        let folders = |made: &Vec<Done>| made.iter().map(|it| self.store.object(&it.output)).collect();
        let context = Context {
            arguments: self.arguments.clone(),
            inputs: self.inputs.iter().map(|(port, made)| (port.clone(), folders(made))).collect(),
            files: self.files.clone(),
            out: claim.out(),
            pool: Arc::clone(&self.pool),
            cancelled: Arc::clone(&self.cancelled),
            batch: self.batch,
            device: self.device,
            checkpoints: Box::new(keeper),
            reviews: Box::new(Desk {
                store: self.store.clone(),
                opening: self.store.review_of(&claim),
                fields: self.fields.clone(),
                address: self.address.clone(),
            }),
            progress: progress(Arc::clone(&metrics), tell.clone()),
        };
        // Outside the pool: a stage that waits for its own parts there would pick up another step's meanwhile.
        let run = || (self.stage.run)(&context);
        self.meter().begin(self.id, self.cores, self.memory);
        let ended = catch_unwind(AssertUnwindSafe(run));
        let measured = self.meter().end(self.id);
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(StageError::Cancelled)) => return Err(Failure::Cancelled),
            Ok(Err(StageError::Waiting(tally))) => return Err(Failure::Waiting(tally)),
            Ok(Err(error)) => return Err(Failure::Stage(error.to_string())),
            Err(panic) => return Err(Failure::Stage(format!("the stage panicked: {}", message(&*panic)))),
        }
        drop(context);
        if let Some(path) = self.files.values().find(|path| self.watch.has_changed(path)) {
            // What was kept on the way may hold some of both.
            states.clear()?;
            let path = path.display();
            return Err(Failure::Stage(format!(
                "`{path}` changed while the step ran; run again, and its new content is taken"
            )));
        }
        let metrics = std::mem::take(&mut *metrics.lock().unwrap_or_else(PoisonError::into_inner));
        let review = self.store.review(&self.key);
        let review = review.asked().map(|_| review.journal()).transpose()?.map(|it| it.decisions.reviewed());
        let record = claim.commit(Facts {
            fields: self.fields.clone(),
            stage: self.stage.name.to_owned(),
            address: self.address.clone(),
            run: self.run.clone(),
            seconds: start.elapsed().as_secs_f64(),
            metrics,
            cost: Some(Cost {
                alone: measured.alone,
                beside: measured.beside,
                peak: measured.peak,
                ..self.cost.clone()
            }),
            review,
        })?;
        self.sound.lock().unwrap_or_else(PoisonError::into_inner).insert(record.output);
        // The step is done whether its states can be let go of or not; `gc` finds what is left.
        let _ = if extends { states.keep_latest(1) } else { states.clear() };
        Ok(Made::Here(Box::new(record)))
    }

    /// What keeps the step's states. Where there are none, those of a shorter run are taken over if they may be.
    fn keeper(&self, claim: &Claim, tell: impl Fn(Message) + Send + Sync + 'static) -> Result<Keeper, Failure> {
        let states = self.store.checkpoints_of(claim);
        let begun = Begun { fields: self.fields.clone(), address: self.address.clone() };
        let extends = self.stage.extends.is_some_and(|extends| extends(&self.arguments).is_ok());
        if extends
            && self.store.position(&self.key).is_none()
            && let Some(shorter) = shorter::of(&self.store, self.stage, &self.fields)
        {
            states.adopt(&self.store, &shorter.key, &begun)?;
        }
        Ok(Keeper {
            states,
            begun,
            every: self.checkpoint_every,
            extends,
            resumed: Box::new(move |position| tell(Message::Resumed(position))),
            since: Mutex::new(Instant::now()),
        })
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the inputs against their digests, each once in a run, before a long step builds on them.
    fn check_inputs(&self) -> Result<(), Failure> {
        for done in self.inputs.values().flatten() {
            let known = self.sound.lock().unwrap_or_else(PoisonError::into_inner).contains(&done.output);
            if known {
                continue;
            }
            if let Some(damage) = self.store.damage(done) {
                let what =
                    damage.file.map_or_else(|| "it cannot be read".into(), |file| format!("`{file}` has changed"));
                return Err(Failure::Damaged(done.output, what));
            }
            self.sound.lock().unwrap_or_else(PoisonError::into_inner).insert(done.output);
        }
        Ok(())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cancelled => Self::Cancelled,
            other => Self::Stage(other.to_string()),
        }
    }
}

/// What the stage calls with its progress: the figures are kept for the record, and told now and then.
fn progress(
    kept: Arc<Mutex<BTreeMap<String, f64>>>,
    tell: impl Fn(Message) + Send + Sync + 'static,
) -> Box<dyn Fn(Progress) + Send + Sync> {
    let last: Mutex<Option<Instant>> = Mutex::new(None);
    Box::new(move |progress| {
        // JSON has no word for what is not finite, and a record must stay readable.
        let finite = progress.metrics.iter().filter(|(_, value)| value.is_finite());
        let finite = finite.map(|(name, value)| (name.to_string(), *value));
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(finite);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= INTERVAL) || progress.done == progress.total;
        if due {
            *last = Some(Instant::now());
            tell(Message::Progress(progress));
        }
    })
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason")
}
