//! Decides what runs next. It alone changes the state of a run, one event after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, atomic::Ordering},
};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    Event, Options, Output, Question, RunError, Status,
    board::{Board, Place},
    echo,
    executor::{Failure, Job, Made, Message},
    gates,
    interrupt::Listener,
    journal::Journal,
    machine,
    meter::Meter,
    watch::Watch,
};
use crate::{
    base::{
        argument,
        decision::Tally,
        digest::Digest,
        work::{Estimate, Made as Artifact},
    },
    plan::{KeyFields, Plan, StepId},
    schedule::{self, FileDigests, Schedule, key_fields, next, together},
    stages::{Progress, Stage, estimate},
    store::{Cost, Done, Indexed, Store, StoreError},
};

/// Deep graphs are walked by recursion when they are differentiated.
pub(super) const STACK: usize = 64 << 20;

/// The state of a run.
pub(super) struct Dispatcher<'a> {
    plan: &'a Plan,
    store: &'a Store,
    code: &'a [&'static Stage],
    files: &'a FileDigests,
    watch: Arc<Watch>,
    options: &'a Options,
    board: Board,
    /// Steps that lack nothing and are not made, with their keys' fields; they wait for threads.
    runnable: BTreeMap<StepId, KeyFields>,
    seconds: Vec<Option<f64>>,
    estimates: Vec<Option<Estimate>>,
    /// Bytes that each step is to hold, and bytes for each thread.
    memory: Vec<(f64, f64)>,
    /// Bytes that they may hold together.
    room: f64,
    meter: Arc<Mutex<Meter>>,
    /// Which gates have been decided, and how.
    decided: Vec<Option<bool>>,
    sound: Arc<Mutex<BTreeSet<Digest>>>,
    /// Objects that were found damaged in this run.
    lost: BTreeSet<Digest>,
    /// Steps that were made in this run.
    fresh: BTreeSet<usize>,
    /// The last figures of each running step.
    figures: BTreeMap<StepId, BTreeMap<String, f64>>,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        store: &'a Store,
        code: &'a [&'static Stage],
        files: &'a FileDigests,
        watch: Watch,
        options: &'a Options,
    ) -> Self {
        Self {
            plan,
            store,
            code,
            files,
            watch: Arc::new(watch),
            options,
            board: Board::new(plan),
            runnable: BTreeMap::new(),
            seconds: Vec::new(),
            estimates: Vec::new(),
            memory: Vec::new(),
            room: f64::INFINITY,
            meter: Arc::new(Mutex::new(Meter::new(options.threads.get()))),
            decided: vec![None; plan.gates.len()],
            sound: Arc::default(),
            lost: BTreeSet::new(),
            fresh: BTreeSet::new(),
            figures: BTreeMap::new(),
        }
    }

    /// Takes what the schedule found made.
    pub(super) fn take_hits(&mut self, schedule: Schedule, journal: &mut Journal) -> Result<(), RunError> {
        self.seconds = schedule.steps.iter().map(|step| step.price.as_ref().map(|price| price.seconds)).collect();
        let threads = self.options.threads.get() as f64;
        let estimates = schedule.estimates.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let held = schedule.steps.iter().zip(estimates).map(|(step, estimate)| {
            let (most, shared) = (step.price.as_ref()?.memory? as f64, estimate?.memory_per_thread);
            Some((most - threads * shared, shared))
        });
        self.memory = held.map(Option::unwrap_or_default).collect();
        self.estimates = schedule.estimates;
        for (id, scheduled) in schedule.steps.into_iter().enumerate() {
            if let Some(done) = scheduled.made {
                self.hit(StepId(id), done, journal)?;
            }
        }
        self.settle(journal)
    }

    /// What was made of all steps, before and now.
    pub(super) fn made(&self) -> impl Iterator<Item = Done> + Clone {
        self.board.places().filter_map(|(_, place)| match place {
            Place::Made(done) => Some(*done),
            _ => None,
        })
    }

    pub(super) fn has_work(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Runs what can be run until nothing is left, or the run is to stop.
    pub(super) async fn work(&mut self, history: &Indexed<'_>, journal: &mut Journal<'_>) -> Result<(), RunError> {
        let (sender, mut receiver) = unbounded_channel();
        let pool = ThreadPoolBuilder::new().num_threads(self.options.threads.get()).stack_size(STACK).build();
        let pool = Arc::new(pool.map_err(|error| RunError::Runtime(io::Error::other(error)))?);
        let room = self.options.memory.or_else(machine::free_memory);
        self.room = room.map_or(f64::INFINITY, |it| it as f64);
        let mut listener = Listener::new(self.options.interrupts);
        let worked = loop {
            if let Err(error) = self.start_what_fits(&sender, &pool, journal) {
                break Err(error);
            }
            if self.board.running() == 0 {
                break Ok(());
            }
            let handled = tokio::select! {
                Some((id, message)) = receiver.recv() => self.handle(id, message, history, journal),
                () = listener.asked_to_stop() => self.stop(journal),
            };
            if let Err(error) = handled {
                break Err(error);
            }
        };
        if worked.is_err() {
            // The running steps are waited for when the runtime ends; they need not go on to their own ends.
            self.options.cancelled.store(true, Ordering::Relaxed);
        }
        if let Some(index) = history.index() {
            index.flush();
        }
        worked
    }

    /// How the run ended, and what it has to show.
    pub(super) fn conclude(&self) -> (Status, BTreeMap<String, Output>) {
        let open = self.board.places().any(|(_, place)| matches!(place, Place::Open));
        let failed = self.board.places().any(|(_, place)| matches!(place, Place::Failed));
        let asking = self.board.places().any(|(_, place)| matches!(place, Place::Asking));
        let status = if failed {
            Status::Failed
        } else if open {
            Status::Interrupted
        } else if self.decided.contains(&Some(false)) {
            Status::GateFailed
        } else if asking {
            Status::Waiting
        } else {
            Status::Done
        };
        let output = |id: StepId| {
            let digest = self.board.made(id)?.output;
            Some(Output { digest, path: self.store.object(&digest) })
        };
        let outputs = self.plan.outcomes().into_iter().filter_map(|(name, _, id)| Some((name, output(id)?)));
        (status, outputs.collect())
    }

    /// Looks at every step that lacks nothing: it is made already, or may run. Gates are decided on the way.
    fn settle(&mut self, journal: &mut Journal) -> Result<(), RunError> {
        while let Some(id) = self.board.next_ready() {
            let Some(fields) = self.fields(id) else { continue };
            match self.store.done(&fields.key()) {
                Some(record) => self.hit(id, Done::from(&record), journal)?,
                None => {
                    self.runnable.insert(id, fields);
                }
            }
        }
        self.decide(journal)
    }

    fn fields(&self, id: StepId) -> Option<KeyFields> {
        let made = |id: StepId| self.board.made(id).map(|done| done.output);
        key_fields(self.plan.step(id)?, self.files, &made)
    }

    fn hit(&mut self, id: StepId, done: Done, journal: &mut Journal) -> Result<(), RunError> {
        let stage = self.plan.step(id).map(|step| step.stage.clone()).unwrap_or_default();
        journal.tell(Event::StepHit { address: self.address(id), stage, digest: done.output })?;
        self.board.make(id, done);
        Ok(())
    }

    /// Starts runnable steps in the plan's order, as many at once as there are threads for them to share, and as are
    /// foretold to fit into memory together.
    fn start_what_fits(
        &mut self,
        sender: &UnboundedSender<(StepId, Message)>,
        pool: &Arc<ThreadPool>,
        journal: &mut Journal,
    ) -> Result<(), RunError> {
        let budget = self.options.threads.get();
        while !self.options.cancelled.load(Ordering::Relaxed) {
            if self.board.running() >= budget {
                break;
            }
            let under_way: Vec<(f64, f64)> = self.board.under_way().map(|id| self.held(id)).collect();
            let fits = |id| together(under_way.iter().copied().chain([self.held(id)]), budget) <= self.room;
            let Some(id) = next(self.runnable.keys().copied(), under_way.is_empty(), fits) else { break };
            let Some(fields) = self.runnable.remove(&id) else { break };
            let Some(job) = self.job(id, &fields, pool, journal) else { continue };
            journal.tell(Event::StepStarted {
                address: job.address.clone(),
                stage: job.stage.name.to_owned(),
                key: job.key,
                seconds: self.seconds.get(id.0).copied().flatten(),
                files: job.files.clone(),
            })?;
            self.figures.remove(&id);
            self.board.start(id);
            let sender = sender.clone();
            tokio::task::spawn_blocking(move || {
                job.execute(move |message| {
                    // Nobody listens any more only where the run has broken off.
                    let _ = sender.send((id, message));
                });
            });
        }
        Ok(())
    }

    /// Bytes that a step is to hold, and bytes for each thread.
    fn held(&self, id: StepId) -> (f64, f64) {
        self.memory.get(id.0).copied().unwrap_or_default()
    }

    fn job(&self, id: StepId, fields: &KeyFields, pool: &Arc<ThreadPool>, journal: &Journal) -> Option<Job> {
        let (step, stage) = self.plan.step(id).zip(self.code.get(id.0))?;
        let estimate = self.estimate(id);
        let made = |ids: &Vec<StepId>| ids.iter().filter_map(|id| self.board.made(*id).copied()).collect();
        Some(Job {
            key: fields.key(),
            fields: serde_json::to_value(fields).unwrap_or_default(),
            address: step.address.clone(),
            stage,
            arguments: argument::object(&step.arguments),
            inputs: step.inputs.iter().map(|(port, ids)| (port.to_string(), made(ids))).collect(),
            files: step.files.clone(),
            watch: Arc::clone(&self.watch),
            pool: Arc::clone(pool),
            run: journal.run().unwrap_or_default().to_owned(),
            store: self.store.clone(),
            cancelled: Arc::clone(&self.options.cancelled),
            checkpoint_every: self.options.checkpoint_every,
            batch: self.options.batch.get(),
            device: step.device,
            sound: Arc::clone(&self.sound),
            cost: self.cost(id, estimate.as_ref()),
            cores: estimate.as_ref().map_or(1.0, |it| schedule::cores(&it.work, self.options.threads.get())),
            memory: estimate.as_ref().map_or((0.0, 0.0), |it| (it.memory, it.memory_per_thread)),
            id: id.0,
            meter: Arc::clone(&self.meter),
        })
    }

    /// What a step will do, now that its inputs are known.
    fn estimate(&self, id: StepId) -> Option<Estimate> {
        let made = |at: usize| {
            let known = self.estimates.get(at).and_then(Option::as_ref);
            let done = self.board.made(StepId(at));
            known.map_or(Artifact::Other, |known| match done {
                // What was in the store when the run began is known already.
                Some(done) if self.fresh.contains(&at) => schedule::informed(known.made.clone(), known.bytes, done),
                _ => known.made.clone(),
            })
        };
        schedule::foretell(self.plan.step(id)?, &made, &estimate::of)
    }

    fn cost(&self, id: StepId, estimate: Option<&Estimate>) -> Cost {
        let expected = self.seconds.get(id.0).copied().flatten();
        match estimate {
            Some(estimate) => Cost { expected, ..schedule::weigh(estimate, self.options.threads.get()) },
            None => Cost { expected, ..Cost::default() },
        }
    }

    fn handle(
        &mut self,
        id: StepId,
        message: Message,
        history: &Indexed,
        journal: &mut Journal,
    ) -> Result<(), RunError> {
        let address = self.address(id);
        match message {
            Message::Waits(process) => journal.tell(Event::StepWaits { address, process })?,
            Message::Resumed(done) => journal.tell(Event::StepResumed { address, done })?,
            Message::Progress(progress) => {
                let event = progressed(address, progress);
                if let Event::Progress { metrics, .. } = &event {
                    self.figures.entry(id).or_default().extend(metrics.clone());
                }
                journal.tell(event)?;
            }
            Message::Ended(Ok(Made::Here(record))) => {
                journal.tell(Event::StepFinished {
                    address,
                    digest: record.output,
                    seconds: record.seconds,
                    bytes: record.bytes,
                    metrics: record.metrics.clone(),
                    cost: record.cost.clone(),
                })?;
                if let Some(review) = &record.review {
                    let (address, people) = (self.address(id), review.people.clone());
                    journal.tell(Event::Reviewed { address, people })?;
                }
                if let Some(index) = history.index() {
                    index.add(&record);
                }
                self.fresh.insert(id.0);
                self.board.make(id, Done::from(&*record));
                self.settle(journal)?;
            }
            Message::Ended(Ok(Made::Elsewhere(record))) => {
                self.hit(id, Done::from(&*record), journal)?;
                self.settle(journal)?;
            }
            Message::Ended(Err(Failure::Cancelled)) if self.options.cancelled.load(Ordering::Relaxed) => {
                journal.tell(Event::StepStopped { address })?;
                self.board.reopen(id);
            }
            Message::Ended(Err(Failure::Cancelled)) => self.fail(id, "interrupted".to_owned(), journal)?,
            Message::Ended(Err(Failure::Waiting(tally))) => self.ask(id, tally, journal)?,
            Message::Ended(Err(Failure::Stage(error))) => self.fail(id, error, journal)?,
            Message::Ended(Err(Failure::Damaged(digest, what))) => {
                journal.tell(Event::StepStopped { address })?;
                self.make_again(id, digest, &what, journal)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, id: StepId, error: String, journal: &mut Journal) -> Result<(), RunError> {
        let after = self.address(id);
        let log = self.fields(id).map(|fields| self.store.log_file(&fields.key())).filter(|log| log.is_file());
        let metrics = self.figures.remove(&id).unwrap_or_default();
        journal.tell(Event::StepFailed { address: after.clone(), error, log, metrics })?;
        for skipped in self.board.fail(id) {
            self.runnable.remove(&skipped);
            journal.tell(Event::StepSkipped { address: self.address(skipped), after: after.clone() })?;
        }
        Ok(())
    }

    /// A step waits for a person, and the run goes on with what does not build on it.
    fn ask(&mut self, id: StepId, tally: Tally, journal: &mut Journal) -> Result<(), RunError> {
        let (address, key) = (self.address(id), self.fields(id).map(|fields| fields.key()));
        let store = match self.store.root().to_string_lossy() {
            usual if usual == Store::DEFAULT => String::new(),
            other => format!(" --store {other}"),
        };
        let command = format!("regimen review {address}{store}");
        if let Some(key) = key {
            journal.tell(Event::StepAsks { address, key, tally, command })?;
        }
        for held in self.board.ask(id) {
            self.runnable.remove(&held);
        }
        Ok(())
    }

    /// Sets a damaged object aside and has it made again, after which the step that found it runs.
    fn make_again(&mut self, id: StepId, digest: Digest, what: &str, journal: &mut Journal) -> Result<(), RunError> {
        self.board.reopen(id);
        let makers = self.board.places().filter(|(_, place)| matches!(place, Place::Made(it) if it.output == digest));
        let makers: Vec<StepId> = makers.map(|(id, _)| id).collect();
        if !self.lost.insert(digest) {
            let error = format!("the object `{digest}` is damaged over and over: {what}");
            return self.fail(id, error, journal);
        }
        let names: Vec<String> = makers.iter().map(|id| format!("`{}`", self.address(*id))).collect();
        let aside = self.store.set_damaged_aside(&digest)?;
        let aside = aside.map(|it| format!("was set aside as {}, and ", it.display())).unwrap_or_default();
        let text = format!("what {} made is damaged: {what}; it {aside}is made again", names.join(" and "));
        journal.tell(Event::Note { text })?;
        makers.iter().for_each(|maker| self.board.lose(*maker));
        self.runnable.retain(|id, _| self.board.is_ready(*id));
        self.settle(journal)
    }

    /// Decides the gates whose reports are all there.
    fn decide(&mut self, journal: &mut Journal) -> Result<(), RunError> {
        let artifact = |id: StepId| self.board.made(id).map(|done| self.store.object(&done.output));
        for (gate, decided) in self.plan.gates.iter().zip(&mut self.decided) {
            let there = gate.condition.fields().iter().all(|(id, _)| self.board.made(*id).is_some());
            if decided.is_none() && there {
                let decision = gates::decide(self.plan, gate, &artifact);
                *decided = Some(decision.passed);
                journal.tell(decision.event(gate))?;
            }
        }
        Ok(())
    }

    /// Keeps what a run would say that is asked the same of all this; nothing where the steps are few.
    pub(super) fn keep_echo(&self, question: &Question, history: &Indexed) -> Result<(), StoreError> {
        let Some(seen) = history.remember(self.made())? else { return Ok(()) };
        let artifact = |id: StepId| self.board.made(id).map(|done| self.store.object(&done.output));
        let gates = self.plan.gates.iter().map(|gate| gates::decide(self.plan, gate, &artifact).event(gate));
        echo::keep(self.store, self.plan, question, &self.watch, gates.collect(), self.made(), &seen)
    }

    /// The first request stops the steps at their next check; the second ends the process.
    fn stop(&self, journal: &mut Journal) -> Result<(), RunError> {
        if self.options.cancelled.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        let text = "stopping at the steps' next check; once more to stop at once".to_owned();
        Ok(journal.tell(Event::Note { text })?)
    }

    fn address(&self, id: StepId) -> String {
        self.plan.step(id).map(|step| step.address.clone()).unwrap_or_default()
    }
}

fn progressed(address: String, progress: Progress) -> Event {
    let metrics = progress.metrics.into_iter().filter(|(_, value)| value.is_finite());
    let metrics = metrics.map(|(name, value)| (name.into_owned(), value)).collect();
    let unit = progress.unit.to_owned();
    Event::Progress { address, done: progress.done, total: progress.total, unit, metrics }
}
