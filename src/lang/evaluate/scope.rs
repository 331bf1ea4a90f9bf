//! Where a name is looked up, and where in the recipe the evaluation stands.

use std::collections::HashMap;

use crate::{
    base::span::{SourceId, Span},
    lang::values::Value,
    syntax::ast::{Binding, Input, Item, Output, Param, Require},
};

/// The names of a recipe, or of one expansion of a composite stage.
#[derive(Default)]
pub(super) struct Frame<'a> {
    /// Asked for by name, and gone over only by [`Frame::names`], so that their order is nobody's concern.
    pub entries: HashMap<&'a str, Entry<'a>>,
    pub order: Vec<&'a str>,
    pub requires: Vec<&'a Require>,
    pub outputs: Vec<&'a Output>,
    /// What the addresses of its steps start with: nothing, or `x1.`.
    pub prefix: String,
    /// Whether its steps never run.
    pub dry: bool,
    /// The text that its items stand in; the stages known there are those known here.
    pub file: SourceId,
}

impl<'a> Frame<'a> {
    /// The number of a name's line.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.entries.get(name).map(|it| it.number)
    }

    /// Every name, in the order of the alphabet.
    pub fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&'a str> = self.entries.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameId(pub usize);

impl FrameId {
    /// The empty frame, in which defaults of signatures are evaluated.
    pub const EMPTY: Self = Self(0);
    /// The frame of the recipe itself.
    pub const RECIPE: Self = Self(1);
}

/// A name and what is known of its value.
pub(super) struct Entry<'a> {
    pub definition: Definition<'a>,
    /// Its number among those of the frame.
    pub number: usize,
    pub span: Span,
    pub state: State,
}

#[derive(Clone, Copy)]
pub(super) enum Definition<'a> {
    Param(&'a Param),
    Input(&'a Input),
    Binding(&'a Binding),
    /// A parameter of a composite stage, whose value is known from the call.
    Given,
}

pub(super) enum State {
    Waiting,
    Active,
    Done(Value),
}

impl<'a> Definition<'a> {
    /// The name that an item defines, where it defines one.
    pub fn of(item: &'a Item) -> Option<(&'a crate::syntax::ast::Name, Self)> {
        match item {
            Item::Param(param) => Some((&param.name, Self::Param(param))),
            Item::Input(input) => Some((&input.name, Self::Input(input))),
            Item::Binding(binding) => Some((&binding.name, Self::Binding(binding))),
            Item::Use(_) | Item::Stage(_) | Item::Test(_) | Item::Require(_) | Item::Output(_) => None,
        }
    }
}

/// Where an expression is evaluated: the names in force, and the address of the step it would make.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub frame: FrameId,
    /// The variables of the `for` expressions around, the innermost last.
    pub locals: Vec<(String, Value, String)>,
    pub address: String,
}

impl Scope {
    pub fn new(frame: FrameId, address: String) -> Self {
        Self { frame, locals: Vec::new(), address }
    }

    /// The scope of what fills a parameter of the step at this address.
    pub fn argument(&self, name: &str) -> Self {
        self.at(format!("{}.{name}", self.address))
    }

    /// The scope of one member of a list or collection at this address.
    pub fn member(&self, key: &str) -> Self {
        self.at(format!("{}[{key}]", self.address))
    }

    fn at(&self, address: String) -> Self {
        Self { frame: self.frame, locals: self.locals.clone(), address }
    }

    /// The variable of that name with its value and its key.
    pub fn local(&self, name: &str) -> Option<(&Value, &str)> {
        self.locals.iter().rev().find(|(it, _, _)| it == name).map(|(_, value, key)| (value, key.as_str()))
    }
}
