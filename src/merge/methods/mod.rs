//! The methods of merging: one file for each family, and the registry that lists them.
//!
//! A method sees one tensor at a time. Parameters, their defaults and the formulas are those of mergekit 0.1.5, computed
//! in f32 with sums in f64, whatever the precision of the files.

mod arcee_fusion;
mod combine;
mod ema;
mod karcher;
mod linear;
mod model_stock;
mod multislerp;
mod nearswap;
mod nuslerp;
mod passthrough;
mod ram;
mod sce;
mod slerp;
mod sparsify;
mod task_arithmetic;

use std::collections::BTreeMap;

pub use combine::dot;

/// A way to make one tensor of several.
pub struct Method {
    /// Its name in the language (after `merge.`) and in YAML (as `merge_method`).
    pub name: &'static str,
    /// How many models it takes beside the base.
    pub models: (usize, usize),
    pub base: Base,
    pub parameters: &'static [Parameter],
    pub merge: fn(Job) -> Result<Vec<f32>, String>,
}

/// What a method does with a base model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A base counts only where it is listed among the models, as any other.
    Ignored,
    Optional,
    Required,
}

/// A number that steers a method.
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    /// None where it must be given.
    pub default: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// Kept as 1 or 0.
    Flag,
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One for each model; the base has none, where the method knows a base.
    Model,
    /// One for all.
    All,
}

/// One tensor to make.
pub struct Job<'a> {
    /// The tensor's name, which with the seed names its random numbers.
    pub name: &'a str,
    pub shape: &'a [usize],
    /// The tensor in each model, in the order of the models; all of one length.
    pub inputs: Vec<Input>,
    /// Which of the inputs is the base.
    pub base: Option<usize>,
    pub settings: Settings,
    pub seed: u64,
}

/// The tensor in one model.
pub struct Input {
    pub values: Vec<f32>,
    pub settings: Settings,
}

/// The numbers of a method's parameters for one tensor, by name; every parameter that has a default is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(pub BTreeMap<&'static str, f64>);

impl Settings {
    /// Nought for a parameter that the method does not declare.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name) != 0.0
    }
}

impl Job<'_> {
    /// The base apart from the other inputs.
    fn split(self) -> (Option<Vec<f32>>, Vec<Input>) {
        let mut inputs = self.inputs;
        let base = self.base.map(|at| inputs.remove(at).values);
        (base, inputs)
    }

    /// The length of the last dimension, along which rows run.
    fn row(&self) -> usize {
        self.shape.last().copied().unwrap_or(1).max(1)
    }
}

/// Every method, in the order of the names.
pub const REGISTRY: &[Method] = &[
    arcee_fusion::METHOD,
    task_arithmetic::BREADCRUMBS,
    task_arithmetic::BREADCRUMBS_TIES,
    task_arithmetic::DARE_LINEAR,
    task_arithmetic::DARE_TIES,
    task_arithmetic::DELLA,
    task_arithmetic::DELLA_LINEAR,
    ema::METHOD,
    karcher::METHOD,
    linear::METHOD,
    model_stock::METHOD,
    multislerp::METHOD,
    nearswap::METHOD,
    nuslerp::METHOD,
    passthrough::METHOD,
    ram::RAM,
    ram::RAMPLUS_TL,
    sce::METHOD,
    slerp::METHOD,
    task_arithmetic::TASK_ARITHMETIC,
    task_arithmetic::TIES,
];

/// The method of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Method> {
    REGISTRY.iter().find(|method| method.name == name)
}

/// More models than anyone merges.
const MANY: usize = usize::MAX;

const fn number(name: &'static str, scope: Scope, default: Option<f64>) -> Parameter {
    Parameter { name, kind: Kind::Number, scope, default }
}

const fn flag(name: &'static str, default: bool) -> Parameter {
    Parameter { name, kind: Kind::Flag, scope: Scope::All, default: Some(if default { 1.0 } else { 0.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_in_order_and_knows_each_method_once() {
        assert!(REGISTRY.is_sorted_by(|a, b| a.name < b.name));
        assert!(find("ties").is_some() && find("tie").is_none());
    }
}
