//! The conditions of `require`, decided as soon as the reports they read are there.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::Event;
use crate::plan::{Gate, Plan, StepId};

/// What became of a gate.
pub(super) struct Decision {
    pub(super) passed: bool,
    /// Every figure that it read, by the name of the step and the field.
    pub(super) figures: BTreeMap<String, f64>,
}

impl Decision {
    /// What is told of it.
    pub(super) fn event(self, gate: &Gate) -> Event {
        Event::Gate { text: gate.text.clone(), passed: self.passed, figures: self.figures }
    }
}

/// Decides a gate from the artifacts it reads; a figure that is not to be had fails it.
pub(super) fn decide(plan: &Plan, gate: &Gate, artifact: &dyn Fn(StepId) -> Option<std::path::PathBuf>) -> Decision {
    let read = |id: StepId, field: &str| figure(&artifact(id)?, field);
    let name = |id: StepId| plan.step(id).map_or("", |step| step.address.as_str());
    let figures = gate.condition.fields().into_iter();
    let figures = figures.filter_map(|(id, field)| Some((format!("{}.{field}", name(id)), read(id, field)?)));
    Decision { passed: gate.condition.holds(&read).unwrap_or(false), figures: figures.collect() }
}

/// A number of a report.
fn figure(report: &Path, field: &str) -> Option<f64> {
    let text = fs::read(report.join("report.json")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?.get(field)?.as_f64()
}
