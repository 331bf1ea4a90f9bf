//! What a training stage minimises, as a formula that its arguments resolve to.

use serde_json::Value;

use super::grpo;
use crate::base::{
    argument::{self, Argument},
    named::Named,
};

/// The lines of a step's formula; None where its stage has none to tell.
#[must_use]
pub fn of(stage: &str, arguments: &Value) -> Option<Vec<String>> {
    match stage {
        "grpo" => grpo::formula::formula(arguments),
        _ => None,
    }
}

/// An argument that does not go with the others, and what is wrong with it; None where all is well.
#[must_use]
pub fn complaint(stage: &str, arguments: &Named<Argument>) -> Option<(&'static str, String)> {
    match stage {
        "grpo" => grpo::complaint(&argument::object(arguments)),
        _ => None,
    }
}
