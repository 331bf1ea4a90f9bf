//! What a step would cost, as its own past or its stage's tells.

use serde::Serialize;

use crate::{plan::Step, store::Past};

/// An estimate, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Price {
    pub seconds: f64,
    pub bytes: u64,
    /// "history" where an earlier run of the stage tells.
    pub from: &'static str,
}

/// The cost of the newest use of the stage at the same address, else of its newest use at all.
pub(super) fn of(step: &Step, past: &Past) -> Option<Price> {
    let record = past.at(&step.address).first().or(past.all().first())?;
    Some(Price { seconds: record.seconds, bytes: record.bytes, from: "history" })
}
