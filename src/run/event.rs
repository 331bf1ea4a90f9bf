//! Everything that can happen in a run. Screen, JSON and log are all made of these.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        decision::{Person, Tally},
        digest::Digest,
    },
    store::Cost,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What lies ahead, before anything is done.
    Plan {
        steps: usize,
        hits: usize,
        runs: usize,
        waits: usize,
        /// What all steps together took before; None where one was never run.
        seconds: Option<f64>,
        /// The recipe's file, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipe: Option<PathBuf>,
        /// What was set beside the recipe, each `name=value`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sets: Vec<String>,
    },
    /// The step is made already, by an earlier run or by another process.
    StepHit {
        address: String,
        stage: String,
        digest: Digest,
    },
    /// Another process is making the step; None where it has not said which.
    StepWaits {
        address: String,
        process: Option<u32>,
    },
    StepStarted {
        address: String,
        stage: String,
        key: Digest,
        /// What it took before.
        seconds: Option<f64>,
        /// The files that it reads from outside the store, by argument.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        files: BTreeMap<String, PathBuf>,
    },
    /// The step goes on from a state that was kept when it was stopped, or from the end of a shorter run.
    StepResumed {
        address: String,
        done: u64,
    },
    Progress {
        address: String,
        done: u64,
        total: u64,
        unit: String,
        metrics: BTreeMap<String, f64>,
    },
    StepFinished {
        address: String,
        digest: Digest,
        seconds: f64,
        bytes: u64,
        metrics: BTreeMap<String, f64>,
        /// What it was expected to cost and did cost.
        #[serde(default)]
        cost: Option<Cost>,
    },
    StepFailed {
        address: String,
        /// In one line, or in several with the end of what a program said.
        error: String,
        /// What the step said at length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<PathBuf>,
        /// The last figures that the step told.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metrics: BTreeMap<String, f64>,
    },
    /// The step was begun and not ended: the run is to stop, or an input must be made again.
    StepStopped {
        address: String,
    },
    /// A person is to decide on the step's rows first.
    StepAsks {
        address: String,
        key: Digest,
        tally: Tally,
        /// What to type.
        command: String,
    },
    /// People decided on the rows of a step that is made.
    Reviewed {
        address: String,
        people: Vec<Person>,
    },
    /// An input of the step could not be made.
    StepSkipped {
        address: String,
        after: String,
    },
    /// A condition was decided.
    Gate {
        text: String,
        passed: bool,
        figures: BTreeMap<String, f64>,
    },
    Note {
        text: String,
    },
    Finished {
        status: Status,
        outputs: BTreeMap<String, Output>,
        seconds: f64,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Done,
    Failed,
    GateFailed,
    /// All is made but what a person is to decide on, and what comes after it.
    Waiting,
    Interrupted,
}

/// An output of the recipe, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub digest: Digest,
    pub path: PathBuf,
}

/// An event as a run's log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Milliseconds since the epoch.
    pub at: u64,
    #[serde(flatten)]
    pub event: Event,
}
