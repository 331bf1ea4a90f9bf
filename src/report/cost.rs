//! What steps were expected to cost beside what they did cost.

use serde_json::{Value, json};

use super::format::{self, Align};
use crate::store::Cost;

/// The costs of the steps that a run made, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Costs(Vec<(String, f64, Cost)>);

impl Costs {
    /// Takes in a step that was made in so many seconds.
    pub fn add(&mut self, address: &str, seconds: f64, cost: &Cost) {
        self.0.push((address.to_owned(), seconds, cost.clone()));
    }

    /// How the estimates did, in one line; None where they were of little.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let told: Vec<(f64, f64)> =
            self.0.iter().filter_map(|(_, seconds, cost)| Some((cost.expected?, *seconds))).collect();
        if told.is_empty() || !self.worth_telling() {
            return None;
        }
        let near = told.iter().filter(|(expected, seconds)| ratio(*expected, *seconds) <= 1.5).count();
        let over = self.0.iter().filter(|(_, _, cost)| exceeds(cost)).count();
        let memory = if over == 0 {
            String::new()
        } else {
            format!("; {} took more memory than expected", format::counted(over, "step"))
        };
        let steps = format::counted(told.len(), "step");
        Some(format!("{near} of {steps} took what was expected, give or take a half{memory}"))
    }

    /// A line for each step: time and memory, expected and measured; None where they were little.
    #[must_use]
    pub fn table(&self) -> Option<String> {
        let head = ["  step", "expected", "took", "ratio", "memory expected", "held"].map(str::to_owned).to_vec();
        let rows = self.0.iter().filter(|(_, _, cost)| cost.expected.is_some());
        let rows = rows.map(|(address, seconds, cost)| {
            vec![
                format!("  {address}"),
                cost.expected.map(format::duration).unwrap_or_default(),
                format::duration(*seconds),
                cost.expected.map(|expected| format!("{:.2}", seconds / expected.max(1e-9))).unwrap_or_default(),
                cost.memory.map(|memory| format::size(memory + cost.beside)).unwrap_or_default(),
                cost.peak.map(format::size).unwrap_or_default(),
            ]
        });
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        let aligns = [[Align::Left; 1].as_slice(), &[Align::Right; 5]].concat();
        (rows.len() > 1 && self.worth_telling()).then(|| format::columns(&rows, &aligns))
    }

    /// How near a guess of milliseconds came says nothing.
    fn worth_telling(&self) -> bool {
        self.0.iter().map(|(_, seconds, _)| seconds).sum::<f64>() >= WORTH_TELLING
    }

    /// The same for programs. `beside` is what the steps beside it were to hold, which the process held as well.
    #[must_use]
    pub fn json(&self) -> Value {
        let steps = self.0.iter().map(|(address, seconds, cost)| {
            json!({
                "address": address,
                "expected_seconds": cost.expected,
                "seconds": seconds,
                "tokens": cost.tokens,
                "flops": cost.flops,
                "expected_memory": cost.memory,
                "beside": cost.beside,
                "memory": cost.peak,
            })
        });
        steps.collect()
    }
}

/// Runs whose steps took less than so many seconds in all are not worth a word.
const WORTH_TELLING: f64 = 5.0;

/// How far two figures are apart, as a factor of at least one.
fn ratio(one: f64, other: f64) -> f64 {
    let (one, other) = (one.max(1e-9), other.max(1e-9));
    (one / other).max(other / one)
}

fn exceeds(cost: &Cost) -> bool {
    cost.peak.zip(cost.memory).is_some_and(|(peak, memory)| peak > memory + cost.beside)
}
