//! What a training stage minimises, as a formula that its arguments resolve to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::grpo;

/// The lines of a step's formula; None where its stage has none to tell.
#[must_use]
pub fn of(stage: &str, arguments: &BTreeMap<String, Value>) -> Option<Vec<String>> {
    let arguments = Value::Object(arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    match stage {
        "grpo" => grpo::formula::formula(&arguments),
        _ => None,
    }
}

/// An argument that does not go with the others, and what is wrong with it; None where all is well.
#[must_use]
pub fn complaint(stage: &str, arguments: &BTreeMap<String, Value>) -> Option<(&'static str, String)> {
    let arguments = Value::Object(arguments.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    match stage {
        "grpo" => grpo::complaint(&arguments),
        _ => None,
    }
}
