//! What a step was expected to cost and what it did cost: what the prices of later plans rest on.

use serde::{Deserialize, Serialize};

/// The part of a record, and of a run's log, that tells of cost. None of it goes into a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Seconds that the plan expected, before the run; None where it could not tell.
    pub expected: Option<f64>,
    /// Seconds of the same work on the machine that the constants were measured on, once the inputs were known.
    pub weight: Option<f64>,
    /// Seconds that the step would have taken had it not shared the machine with others.
    pub alone: f64,
    pub tokens: f64,
    pub flops: f64,
    /// Bytes that the artifact was expected to have, once the inputs were known.
    pub bytes: f64,
    /// Bytes of memory that the step was expected to hold at most.
    pub memory: Option<u64>,
    /// The same of all other steps that ran at some time beside it.
    pub beside: u64,
    /// Bytes that the process held at most while the step ran, above what it held before; None where nobody tells.
    pub peak: Option<u64>,
}
