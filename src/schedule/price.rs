//! What a step would cost: as its own past tells, else its stage's, else a model of the work on this machine.

use std::{collections::BTreeMap, rc::Rc};

use serde::Serialize;

use super::{Schedule, Scheduled, State, forecast, pace::Pace};
use crate::{
    base::{
        named::Named,
        work::{Estimate, Foretell, Known, Machine, Made, Work},
    },
    plan::{Plan, Step},
    store::{Cost, Done, History, Past, Record},
};

/// An estimate, and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Price {
    /// From its start to its end, with the other steps of the plan beside it.
    pub seconds: f64,
    /// The same with the whole machine to itself.
    #[serde(skip)]
    pub alone: f64,
    /// Tokens that are trained on, read or sampled.
    #[serde(skip_serializing_if = "nought")]
    pub tokens: f64,
    /// Floating-point operations.
    #[serde(skip_serializing_if = "nought")]
    pub flops: f64,
    /// Bytes of memory that it holds at most; None where nothing tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of its artifact.
    pub bytes: u64,
    /// Bytes of one state that it keeps while it runs.
    #[serde(skip_serializing_if = "none")]
    pub state: u64,
    /// "history" where an earlier run of the stage tells, else "model".
    pub from: &'static str,
}

fn none(value: &u64) -> bool {
    *value == 0
}

fn nought(value: &f64) -> bool {
    *value == 0.0
}

/// Plans that take less than this on a usual machine are not worth measuring the machine at hand for.
const WORTH_MEASURING: f64 = 1.0;

/// By how much memory may grow beyond what was once measured.
const SLACK: f64 = 1.15;

/// The cost of the newest use of the stage at the same address, else of its newest use at all.
pub(super) fn of(step: &Step, past: &Past) -> Option<Price> {
    let record = past.at(&step.address).next().or_else(|| past.all().next())?;
    Some(Price {
        seconds: record.seconds,
        alone: record.seconds,
        bytes: record.bytes,
        from: "history",
        ..Price::default()
    })
}

/// What a schedule is priced with.
#[derive(Clone, Copy)]
pub struct Pricing<'a> {
    pub foretell: Foretell<'a>,
    /// How many threads the steps would share.
    pub threads: usize,
    /// Bytes that the steps may hold together; None where nobody knows.
    pub memory: Option<u64>,
    /// Measures the machine, or remembers what was measured; only asked where nothing else tells.
    pub measure: &'a dyn Fn() -> Machine,
}

impl Schedule {
    /// Sets the price of every step that would run, and forecasts the run as a whole.
    pub fn price(&mut self, plan: &Plan, history: &dyn History, pricing: Pricing) {
        if self.count(State::Hit) == self.steps.len() {
            return;
        }
        let usual = Machine::usual(pricing.threads);
        self.estimates = estimates(plan, self, history, pricing.foretell, &usual);
        let mut unknown = 0.0;
        let mut tasks = Vec::with_capacity(plan.steps.len());
        let mut paces: BTreeMap<&str, Option<Pace>> = BTreeMap::new();
        for ((step, scheduled), estimate) in plan.steps.iter().zip(&self.steps).zip(&self.estimates) {
            let Some(estimate) = estimate.as_ref().filter(|_| scheduled.state != State::Hit) else {
                tasks.push(None);
                continue;
            };
            let weight = usual.seconds(&estimate.work);
            let past = history.of_stage(&step.stage);
            let pace = *paces.entry(step.stage.as_str()).or_insert_with(|| Pace::of(&past));
            let told = pace.map(|pace| pace.at(&step.address, &past, weight));
            if told.is_none() && estimate.work.flops() > 0.0 {
                unknown += weight;
            }
            tasks.push(Some((estimate, told)));
        }
        let machine = if unknown > WORTH_MEASURING { (pricing.measure)() } else { usual };
        let mut work = Vec::with_capacity(tasks.len());
        for ((step, scheduled), task) in plan.steps.iter().zip(&mut self.steps).zip(tasks) {
            let inputs = step.inputs.values().flatten().map(|id| id.0).collect();
            let open = scheduled.state != State::Hit;
            let mut planned = forecast::Task { inputs, open, seconds: 0.0, cores: 1.0, memory: (0.0, 0.0) };
            if let Some((estimate, told)) = task {
                planned.seconds = told.unwrap_or_else(|| machine.seconds(&estimate.work));
                planned.cores = machine.cores(&estimate.work);
                let memory = memory(step, estimate, &history.of_stage(&step.stage), pricing.threads);
                let threads = pricing.threads as f64 * estimate.memory_per_thread;
                planned.memory = (memory as f64 - threads, estimate.memory_per_thread);
                scheduled.price = Some(Price {
                    seconds: planned.seconds,
                    alone: planned.seconds,
                    tokens: estimate.work.tokens.round(),
                    flops: estimate.work.flops().round(),
                    memory: Some(memory),
                    bytes: estimate.bytes as u64,
                    state: estimate.state as u64,
                    from: if told.is_some() { "history" } else { "model" },
                });
            } else if let Some(price) = &scheduled.price {
                planned.seconds = price.seconds;
            }
            work.push(planned);
        }
        let forecast = forecast::run(&work, pricing.threads, pricing.memory.map_or(f64::INFINITY, |it| it as f64));
        for (scheduled, elapsed) in self.steps.iter_mut().zip(&forecast.elapsed) {
            if let (Some(price), Some(elapsed)) = (&mut scheduled.price, elapsed) {
                price.seconds = *elapsed;
            }
        }
        self.forecast = Some((forecast.seconds, forecast.memory));
    }
}

/// What is foretold of a step whose inputs are known by their records: what to hold the measured against later.
#[must_use]
pub fn weigh(estimate: &Estimate, threads: usize) -> Cost {
    Cost {
        weight: Some(Machine::usual(threads).seconds(&estimate.work)),
        tokens: estimate.work.tokens.round(),
        flops: estimate.work.flops().round(),
        bytes: estimate.bytes.round(),
        memory: Some(bytes(estimate, threads)),
        ..Cost::default()
    }
}

/// The estimate of one step, given what is known of each artifact.
pub fn foretell(step: &Step, made: &dyn Fn(usize) -> Made, foretell: Foretell) -> Option<Estimate> {
    let inputs: Named<Vec<Made>> =
        step.inputs.iter().map(|(port, ids)| (port.clone(), ids.iter().map(|id| made(id.0)).collect())).collect();
    foretell(&step.stage, Known { arguments: &step.arguments, inputs: &inputs, files: &step.files })
}

/// What is known of an artifact, made better by how it came out.
#[must_use]
pub fn informed(made: Made, expected: f64, done: &Done) -> Made {
    let made = if expected > 0.0 { made.scaled(done.bytes as f64 / expected) } else { made };
    match done.answer_length {
        Some(length) => made.answering(length),
        None => made,
    }
}

/// What every step will do, as far as it can be told, in the order of the plan.
fn estimates(
    plan: &Plan,
    schedule: &Schedule,
    history: &dyn History,
    tell: Foretell,
    usual: &Machine,
) -> Vec<Option<Estimate>> {
    let mut all: Vec<Option<Estimate>> = Vec::with_capacity(plan.steps.len());
    for (step, scheduled) in plan.steps.iter().zip(&schedule.steps) {
        let made = |id: usize| all.get(id).and_then(Option::as_ref).map_or(Made::Other, |it| it.made.clone());
        let estimate = foretell(step, &made, tell).map(|mut estimate| {
            let expected = estimate.bytes;
            if let Some(done) = &scheduled.made {
                estimate.made = informed(estimate.made, expected, done);
            } else if let Some((record, cost)) = like(step, &estimate, &history.of_stage(&step.stage), usual) {
                // It will come out as it did, in proportion.
                estimate.made = informed(estimate.made, cost.bytes, &Done::from(&*record));
                if cost.bytes > 0.0 {
                    estimate.bytes *= record.bytes as f64 / cost.bytes;
                }
            }
            estimate
        });
        all.push(estimate);
    }
    all
}

/// The newest record of a step at the same address and of about the same work.
fn like(step: &Step, estimate: &Estimate, past: &Past, usual: &Machine) -> Option<(Rc<Record>, Cost)> {
    let record = past.at(&step.address).next()?;
    let cost = record.cost.clone()?;
    let ratio = usual.seconds(&estimate.work) / cost.weight?;
    (0.25..4.0).contains(&ratio).then_some((record, cost))
}

/// What a step holds at most: the estimate, or more where it once held more.
fn memory(step: &Step, estimate: &Estimate, past: &Past, threads: usize) -> u64 {
    let told = bytes(estimate, threads);
    let then = past.at(&step.address).next().and_then(|record| record.cost.clone());
    let then = then.filter(|cost| cost.beside == 0).and_then(|cost| Some((cost.peak?, cost.memory?)));
    let grown = then.map_or(0.0, |(peak, then)| told as f64 * SLACK * peak as f64 / then.max(1) as f64);
    told.max(grown as u64)
}

fn bytes(estimate: &Estimate, threads: usize) -> u64 {
    let threads = threads as f64;
    (estimate.memory + threads * estimate.memory_per_thread) as u64
}

/// The work of a step, for those who only want to know how many cores it keeps busy.
#[must_use]
pub fn cores(work: &Work, threads: usize) -> f64 {
    Machine::usual(threads).cores(work)
}

impl Scheduled {
    /// Whether it would run.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Hit
    }
}
