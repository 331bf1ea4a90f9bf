//! Where a name is looked up, and where in the recipe the evaluation stands.

use std::{collections::HashMap, fmt};

use crate::{
    base::span::{SourceId, Span},
    lang::values::Value,
    syntax::ast::{Binding, Input, Item, Output, Param, Require},
};

/// The names of a recipe, or of one expansion of a composite stage.
#[derive(Default)]
pub(super) struct Frame<'a> {
    /// The number of each name: only ever asked, so that their order is nobody's concern.
    numbers: HashMap<&'a str, usize>,
    /// What is known of each name, in the order of the lines.
    entries: Vec<Entry<'a>>,
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
    /// A frame without names yet.
    pub fn new(prefix: String, dry: bool, file: SourceId) -> Self {
        Self { prefix, dry, file, ..Self::default() }
    }

    /// The number of a name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    /// What is known of the name of a number.
    pub fn entry(&self, number: usize) -> Option<&Entry<'a>> {
        self.entries.get(number)
    }

    pub fn entry_mut(&mut self, number: usize) -> Option<&mut Entry<'a>> {
        self.entries.get_mut(number)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a name, or puts what is known of it in the place of what was known; gives the latter.
    pub fn insert(&mut self, entry: Entry<'a>) -> Option<Entry<'a>> {
        let number = *self.numbers.entry(entry.name).or_insert(self.entries.len());
        match self.entries.get_mut(number) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    /// Every name, in the order of the alphabet.
    pub fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&'a str> = self.entries.iter().map(|it| it.name).collect();
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
    pub name: &'a str,
    pub definition: Definition<'a>,
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
///
/// There is one for each argument and each member of a list, most of which make no step, so it borrows from those around
/// it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub frame: FrameId,
    /// The variable of the innermost `for` or `repeat` around.
    local: Option<&'s Local<'s>>,
    pub address: Address<'s>,
}

/// A variable of a `for` or a `repeat`.
pub(super) struct Local<'s> {
    /// The variable of the next `for` or `repeat` around.
    outer: Option<&'s Self>,
    pub name: &'s str,
    pub value: Value,
    /// The word that stands for the value in addresses.
    pub key: String,
}

/// The address of a step, put together where somebody asks for it.
#[derive(Clone, Copy)]
pub(super) enum Address<'s> {
    Whole(&'s str),
    /// `x.data`: what fills a parameter of the step at an address.
    Argument(&'s Self, &'s str),
    /// `x[a]`: a member of a list or collection at an address.
    Member(&'s Self, &'s str),
}

impl<'s> Scope<'s> {
    pub fn new(frame: FrameId, address: &'s str) -> Self {
        Self { frame, local: None, address: Address::Whole(address) }
    }

    /// The scope of what fills a parameter of the step at this address.
    pub fn argument<'t>(&'t self, name: &'t str) -> Scope<'t> {
        self.at(Address::Argument(&self.address, name))
    }

    /// The scope of one member of a list or collection at this address.
    pub fn member<'t>(&'t self, key: &'t str) -> Scope<'t> {
        self.at(Address::Member(&self.address, key))
    }

    /// The same scope at another address.
    pub fn at<'t>(&'t self, address: Address<'t>) -> Scope<'t> {
        Scope { address, ..*self }
    }

    /// A variable within this scope.
    pub fn variable<'t>(&'t self, name: &'t str, value: Value, key: String) -> Local<'t> {
        Local { outer: self.local, name, value, key }
    }

    /// The same scope with one more variable in force.
    pub fn with<'t>(&'t self, local: &'t Local<'t>) -> Scope<'t> {
        Scope { local: Some(local), ..*self }
    }

    /// The variables in force, the innermost first.
    pub fn locals(&self) -> impl Iterator<Item = &'s Local<'s>> {
        std::iter::successors(self.local, |it| it.outer)
    }

    /// The variable of that name.
    pub fn local(&self, name: &str) -> Option<&'s Local<'s>> {
        self.locals().find(|it| it.name == name)
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(text) => f.write_str(text),
            Self::Argument(of, name) => write!(f, "{of}.{name}"),
            Self::Member(of, key) => write!(f, "{of}[{key}]"),
        }
    }
}
