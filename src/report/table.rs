//! The score table: every report among the outputs, side by side.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::format::{Align, columns};
use crate::{
    plan::{self, Plan},
    run::Output,
};

/// The reports among a recipe's outputs, in the order of the recipe; None where there are none.
#[must_use]
pub fn scores(plan: &Plan, outputs: &BTreeMap<String, Output>) -> Option<String> {
    let mut rows = vec![HEADS.map(str::to_owned).to_vec()];
    let mut add = |label: &str, output: &str| {
        let report = outputs.get(output).and_then(|output| read(&output.path));
        rows.extend(report.map(|report| row(label, &report)));
    };
    for (name, output) in &plan.outputs {
        match output {
            plan::Output::Step(_) => add(name, name),
            plan::Output::Keyed(members) => {
                members.iter().for_each(|(key, _)| add(key, &format!("{name}.{key}")));
            }
        }
    }
    let [left, right] = [Align::Left, Align::Right];
    (rows.len() > 1).then(|| columns(&rows, &[left, right, left, right, right, right, right, right, right]))
}

const HEADS: [&str; 9] =
    ["", "pass@1", "95 % interval", "mean length", "correct", "wrong", "unparseable", "truncated", "problems"];

fn read(artifact: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(artifact.join("report.json")).ok()?)
        .ok()
        .filter(|report: &Value| report.get("pass1").is_some())
}

fn row(label: &str, report: &Value) -> Vec<String> {
    let number = |field: &str| report.get(field).and_then(Value::as_f64);
    let percent = |field: &str| number(field).map_or_else(|| "-".to_owned(), |share| format!("{:.1}", share * 100.0));
    let count = |field: &str| number(field).map_or_else(|| "-".to_owned(), |count| super::format::count(count as u64));
    vec![
        label.to_owned(),
        format!("{} %", percent("pass1")),
        format!("{} to {}", percent("pass1_low"), percent("pass1_high")),
        number("mean_length").map_or_else(|| "-".to_owned(), |length| format!("{length:.1}")),
        count("correct"),
        count("wrong"),
        count("unparseable"),
        count("truncated"),
        count("rows"),
    ]
}
