//! What a recipe would run: steps in a fixed order, the graph between them, and the key of each.

mod build;
pub mod changes;
pub mod diff;
pub mod graph;
pub mod key;

use std::{collections::BTreeMap, path::PathBuf};

pub use crate::lang::{Condition, Figure, Gate, Output, ParamValue, StepId};
use crate::{
    base::{argument::Argument, device::Device, named::Named, span::Span},
    lang::Type,
};
pub use changes::{Change, Changes, Sided, changes};
pub use diff::{Difference, Side, differences};
pub use graph::Graph;
pub use key::{BACKEND, KeyFields, key};

/// Every step that a recipe asks for, those that are needed first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub docs: String,
    pub params: Vec<ParamValue>,
    /// In an order that depends on addresses and edges alone, not on the lines of the recipe. A [`StepId`] is a position
    /// in it.
    pub steps: Vec<Step>,
    /// Bindings that hold several artifacts, with the key of each.
    pub collections: BTreeMap<String, Vec<(String, StepId)>>,
    pub gates: Vec<Gate>,
    pub outputs: BTreeMap<String, Output>,
    pub graph: Graph,
}

/// One use of a built-in stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub id: StepId,
    /// `dev1`, `dev1.data`, `scores[r1]`.
    pub address: String,
    pub stage: String,
    /// The version of the stage's code, a part of the key.
    pub version: u32,
    /// Where its models compute, a part of the key.
    pub device: Device,
    /// Every argument that is neither an artifact nor a file, in base units, defaults filled in.
    pub arguments: Named<Argument>,
    /// The files that arguments of type `path` name, relative to the recipe.
    pub files: BTreeMap<String, PathBuf>,
    /// The steps whose artifacts go into each port, in order.
    pub inputs: Named<Vec<StepId>>,
    pub returns: Type,
    pub span: Span,
    /// Where each argument was written: the recipe, a `--set`, or the default in the library.
    pub argument_spans: Named<Span>,
}

impl Plan {
    /// The same plan with its models computed elsewhere.
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.steps.iter_mut().for_each(|step| step.device = device);
        self
    }

    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0)
    }

    /// The step at an address.
    #[must_use]
    pub fn at(&self, address: &str) -> Option<&Step> {
        self.steps.iter().find(|it| it.address == address)
    }

    /// Every step that a gate reads a figure of, each once.
    #[must_use]
    pub fn read_by(&self, gate: &Gate) -> Vec<StepId> {
        let mut steps: Vec<StepId> = gate.condition.fields().into_iter().map(|(step, _)| step).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The step of every output, each with its name among the outputs of a run, `scores.r1`, and the address that a
    /// recipe writes for it, `scores[r1]`.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(String, String, StepId)> {
        let mut found = Vec::new();
        for (name, output) in &self.outputs {
            match output {
                Output::Step(step) => found.push((name.clone(), name.clone(), *step)),
                Output::Keyed(members) => {
                    let member =
                        |(key, step): &(String, StepId)| (format!("{name}.{key}"), format!("{name}[{key}]"), *step);
                    found.extend(members.iter().map(member));
                }
            }
        }
        found
    }
}
