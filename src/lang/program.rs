//! A recipe that has been understood: what is called with what, nothing left to look up.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value as Json;

use crate::{
    base::{argument::Argument, named::Named, span::Span},
    lang::{
        figures::{Condition, StepId},
        types::Type,
    },
};

/// Everything that a recipe asks for, in the order in which it was evaluated.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub docs: String,
    pub params: Vec<ParamValue>,
    pub calls: Vec<Call>,
    /// Bindings that hold several artifacts, with the key of each.
    pub collections: BTreeMap<String, Vec<(String, StepId)>>,
    pub gates: Vec<Gate>,
    pub pins: Vec<Pin>,
    pub outputs: Vec<(String, Output)>,
    /// The tests that stand in the recipe, by their names; their steps are no part of it.
    pub tests: Vec<String>,
}

/// A parameter of the recipe and the value it has.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamValue {
    pub name: String,
    pub docs: String,
    pub ty: Type,
    pub value: Json,
    /// Where the value was written: the recipe, or a `--set`.
    pub span: Span,
}

/// One use of a built-in stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `dev1`, `dev1.data`, `scores[r1]`.
    pub address: String,
    pub stage: String,
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

/// What a file from outside must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The file, relative to the recipe.
    pub path: PathBuf,
    /// In hexadecimal.
    pub digest: String,
    pub span: Span,
}

/// A condition that the results must meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    pub condition: Condition,
    /// The condition as the recipe says it.
    pub text: String,
    pub span: Span,
}

/// What an output name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Step(StepId),
    Keyed(Vec<(String, StepId)>),
}
