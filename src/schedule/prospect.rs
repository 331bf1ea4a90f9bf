//! Where a step that would run begins: afresh, where it was stopped, or at the end of a shorter run.

use serde::Serialize;

use crate::base::{decision::Tally, units::Amount};

/// How a step would begin.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "begins", rename_all = "snake_case")]
pub enum Prospect {
    #[default]
    Afresh,
    /// After so many units of its work, where it was stopped.
    Resumes { done: u64 },
    /// After so many units of its work, all of which a run with a smaller budget did.
    Extends { done: u64, budget: Amount },
    /// Afresh, although there was a run with a smaller budget, for a reason.
    StartsOver { reason: String },
    /// With what a person has decided so far.
    Reviewed(Tally),
}
