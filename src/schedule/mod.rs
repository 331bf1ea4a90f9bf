//! What a plan would do, given what the store holds: which steps are made, which would run, why, and at what price.

mod forecast;
mod needs;
mod pace;
mod price;
mod prospect;
mod why;

use std::{collections::BTreeMap, path::PathBuf};

use self::why::Comparer;
pub use self::{
    forecast::{next, together},
    price::{Price, Pricing, cores, foretell, informed, weigh},
    prospect::Prospect,
    why::{Change, Why},
};
use crate::{
    base::{digest::Digest, work::Estimate},
    plan::{self, KeyFields, Plan, Step, StepId},
    store::{Done, History},
};

/// The digests of the files that a plan reads.
pub type FileDigests = BTreeMap<PathBuf, Digest>;

/// How things stand with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is made; nothing runs.
    Hit,
    /// It would run.
    Run,
    /// An input must be made first, so its key is not known. It runs, unless that input comes out as it was.
    Waits,
}

impl State {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Run => "run",
            Self::Waits => "waits",
        }
    }
}

/// One step of a plan with what is known of it before anything runs.
#[derive(Clone, Debug)]
pub struct Scheduled {
    pub state: State,
    /// None where an input is not made yet.
    pub key: Option<Digest>,
    /// What was made of this key.
    pub made: Option<Done>,
    /// Why it is no hit.
    pub why: Option<Why>,
    /// Where it would begin.
    pub prospect: Prospect,
    /// What running it would cost, as far as the past tells.
    pub price: Option<Price>,
}

/// What is known of every step of a plan, in the plan's order.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub steps: Vec<Scheduled>,
    /// What each step will do, where [`Schedule::price`] could tell.
    pub estimates: Vec<Option<Estimate>>,
    /// Seconds that a run would take and bytes of memory that its steps would hold at most, where that was forecast.
    pub forecast: Option<(f64, u64)>,
}

impl Schedule {
    /// Compares a plan with what was made before. Only where a step is no hit does this look at its stage's history.
    #[must_use]
    pub fn new(plan: &Plan, files: &FileDigests, history: &dyn History) -> Self {
        let mut comparer = Comparer::default();
        let mut steps: Vec<Scheduled> = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let made = |id: StepId| Some(steps.get(id.0)?.made?.output);
            let scheduled = match plan::key(step, &made, &|argument| files.get(step.files.get(argument)?).copied()) {
                Some(key) => known(plan, step, key, files, &made, history, &mut comparer),
                None => waiting(plan, step, files, &made, history, &mut comparer),
            };
            steps.push(scheduled);
        }
        Self { steps, estimates: Vec::new(), forecast: None }
    }

    #[must_use]
    pub fn get(&self, id: StepId) -> Option<&Scheduled> {
        self.steps.get(id.0)
    }

    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.steps.iter().filter(|step| step.state == state).count()
    }

    /// The same schedule with some steps taken for made, to see what the others alone would cost.
    #[must_use]
    pub fn without(mut self, made: impl Fn(StepId) -> bool) -> Self {
        for (id, step) in (0..).map(StepId).zip(&mut self.steps) {
            if made(id) {
                step.state = State::Hit;
            }
        }
        self
    }

    /// How many seconds a run would take as far as prices are known, and how many of the steps to run have none.
    #[must_use]
    pub fn seconds(&self) -> (f64, usize) {
        let open = self.steps.iter().filter(|step| step.is_open());
        let (sum, unknown) = open.fold((0.0, 0), |(seconds, unknown), step| match &step.price {
            Some(price) => (seconds + price.seconds, unknown),
            None => (seconds, unknown + 1),
        });
        (self.forecast.map_or(sum, |(seconds, _)| seconds), unknown)
    }

    /// Bytes of all artifacts that a run would make, as far as prices are known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.steps.iter().filter(|step| step.is_open()).filter_map(|step| step.price.as_ref()).map(|it| it.bytes).sum()
    }
}

impl Schedule {
    /// Bytes that states take beside the artifacts at most: each step may leave its latest, and while one is written the
    /// one before it is there, and what it is written into.
    #[must_use]
    pub fn states(&self) -> u64 {
        let states =
            || self.steps.iter().filter(|it| it.is_open()).filter_map(|it| it.price.as_ref()).map(|it| it.state);
        states().sum::<u64>() + 2 * states().max().unwrap_or_default()
    }
}

/// Everything that can change a step's bytes; None while an input is not made.
#[must_use]
pub fn key_fields(step: &Step, files: &FileDigests, made: &dyn Fn(StepId) -> Option<Digest>) -> Option<KeyFields> {
    KeyFields::of(step, made, &|argument| files.get(step.files.get(argument)?).copied())
}

/// A step all of whose inputs are made.
fn known(
    plan: &Plan,
    step: &Step,
    key: Digest,
    files: &FileDigests,
    made: &dyn Fn(StepId) -> Option<Digest>,
    history: &dyn History,
    comparer: &mut Comparer,
) -> Scheduled {
    if let Some(done) = history.done(&key) {
        return Scheduled {
            state: State::Hit,
            key: Some(key),
            made: Some(done),
            why: None,
            prospect: Prospect::Afresh,
            price: None,
        };
    }
    let past = history.of_stage(&step.stage);
    let why = if past.is_empty() {
        Some(Why::New)
    } else {
        key_fields(step, files, made).map(|fields| comparer.why(plan, step, &fields, &past, Some(&key)))
    };
    Scheduled {
        state: State::Run,
        key: Some(key),
        made: None,
        why,
        prospect: Prospect::Afresh,
        price: price::of(step, &past),
    }
}

/// A step with an input that must be made first. What is its own may have changed as well; that is then said.
fn waiting(
    plan: &Plan,
    step: &Step,
    files: &FileDigests,
    made: &dyn Fn(StepId) -> Option<Digest>,
    history: &dyn History,
    comparer: &mut Comparer,
) -> Scheduled {
    let past = history.of_stage(&step.stage);
    // With any digest in place of those to come, the fields that differ elsewhere are found as ever.
    let stand_in = |id: StepId| made(id).or(Some(Digest::of(b"")));
    let fields = if past.is_empty() { None } else { key_fields(step, files, &stand_in) };
    let own = fields
        .map(|fields| comparer.why(plan, step, &fields, &past, None))
        .filter(|why| matches!(why, Why::Changed(change) if change.difference.input().is_none()));
    let why = own.unwrap_or_else(|| {
        let open = step.inputs.values().flatten().filter(|id| made(**id).is_none());
        let mut names: Vec<String> = open.filter_map(|id| plan.step(*id)).map(|it| it.address.clone()).collect();
        names.dedup();
        Why::After(names)
    });
    Scheduled {
        state: State::Waits,
        key: None,
        made: None,
        why: Some(why),
        prospect: Prospect::Afresh,
        price: price::of(step, &past),
    }
}
