//! Values set from outside: `--set scale=quick`, `--set dev1.lr=1e-5`.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Sources, Span},
    },
    lang::imports::Imports,
    syntax::{
        self,
        ast::{Expr, ExprKind, Item},
    },
};

/// What the person sets beside the recipe. Of two that set one thing, the later holds.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Each `name=value` or `address.argument=value`, with the source text of an expression as its value.
    pub sets: Vec<String>,
    /// What a file of parameters sets; what `sets` sets holds against them.
    pub params: Vec<Param>,
    /// What relative paths in them are joined to; relative to the recipe where it is left out.
    pub directory: Option<PathBuf>,
}

/// One line of a file of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// What is set: `scale`, `dev1.lr`.
    pub target: String,
    pub target_span: Span,
    /// The source text of the value as a recipe would write it.
    pub value: String,
    /// Where the file has it, in its own spelling.
    pub value_span: Span,
}

/// The overrides with their texts parsed.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    list: Vec<Override>,
    directory: Option<PathBuf>,
    /// The folder of each recipe that is used, as seen from that of the recipe itself.
    folders: BTreeMap<SourceId, PathBuf>,
}

/// One override.
#[derive(Debug)]
pub(super) struct Override {
    /// What is set: `scale`, `dev1.lr`, `scores[r1].samples`.
    pub target: String,
    pub target_span: Span,
    /// The value as the bare words it may be.
    words: Expr,
    quoted: bool,
    /// The value as an expression, where it is one.
    expression: Option<Expr>,
    complaints: Diagnostics,
}

impl Parsed {
    /// Parses every override, each as a source of its own, so that errors can point into it.
    pub fn parse(overrides: &Overrides, sources: &mut Sources) -> (Self, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let mut list = Vec::new();
        for param in &overrides.params {
            list.push(Override::of_param(param, sources));
        }
        for text in &overrides.sets {
            let source = sources.add("--set", text.as_str());
            match Override::of_set(source, text) {
                Ok(one) => list.push(one),
                Err(complaint) => diagnostics.push(complaint),
            }
        }
        (Self { list, directory: overrides.directory.clone(), folders: BTreeMap::new() }, diagnostics)
    }

    /// Takes in where the recipes stand that are used.
    pub fn look_into(&mut self, imports: &Imports) {
        self.folders = imports.iter().map(|(source, it)| (source, it.folder.clone())).collect();
    }

    /// Whether nothing is set from outside.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The override of a target that holds.
    pub fn find(&self, target: &str) -> Option<&Override> {
        self.list.iter().rev().find(|it| it.target == target)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Override> {
        self.list.iter()
    }

    /// A path that was written at `span`, relative to the recipe.
    pub fn resolve(&self, path: String, span: Span) -> String {
        let outside = self.list.iter().any(|it| it.target_span.source == span.source);
        match &self.directory {
            Some(directory) if outside => directory.join(path).display().to_string(),
            _ => match self.folders.get(&span.source) {
                Some(folder) => folder.join(path).display().to_string(),
                None => path,
            },
        }
    }
}

impl Override {
    fn of_set(source: SourceId, text: &str) -> Result<Self, Diagnostic> {
        let complaint = || {
            let whole = Span::new(source, 0, text.len());
            Diagnostic::error(whole, "expected `name=value`").hint("write `--set name=value`")
        };
        let (target, value) = text.split_once('=').ok_or_else(complaint)?;
        if target.trim().is_empty() || value.trim().is_empty() {
            return Err(complaint());
        }
        let start = target.len() + 1;
        Ok(Self::new(target.trim(), Span::new(source, 0, target.len()), value, Span::new(source, start, text.len())))
    }

    /// A value that the file spells as a recipe would is parsed in its place; any other is a source of its own.
    fn of_param(param: &Param, sources: &mut Sources) -> Self {
        let Param { target, target_span, value, value_span } = param;
        if sources.slice(*value_span) == value && value_span.start > 1 {
            return Self::new(target, *target_span, value, *value_span);
        }
        let file = sources.get(value_span.source).map(|it| format!("--params {}", it.path.display()));
        let (text, start) = (format!("{target}={value}"), target.len() + 1);
        let source = sources.add(file.unwrap_or_default(), text.as_str());
        Self::new(target, *target_span, value, Span::new(source, start, text.len()))
    }

    fn new(target: &str, target_span: Span, value: &str, span: Span) -> Self {
        let words = Expr { kind: ExprKind::Text(value.trim().to_owned()), span };
        // A binding stands in for what is before the value, so that places in what is parsed are places in the source.
        let stand_in = format!("{}x={value}", " ".repeat((span.start as usize).saturating_sub(2)));
        let (file, complaints) = syntax::parse(span.source, &stand_in);
        let expression = match file.items.as_slice() {
            [Item::Binding(binding)] if !complaints.has_errors() => Some(binding.value.clone()),
            _ => None,
        };
        let quoted = value.trim().starts_with('"');
        Self { target: target.to_owned(), target_span, words, quoted, expression, complaints }
    }

    /// The value for something that takes bare words, or that does not.
    pub fn value(&self, bare: bool) -> Result<&Expr, Diagnostics> {
        if bare && !self.quoted {
            return Ok(&self.words);
        }
        match &self.expression {
            Some(expression) => Ok(expression),
            None if self.complaints.is_empty() => {
                let mut complaints = Diagnostics::default();
                complaints.push(Diagnostic::error(self.words.span, "expected one value"));
                Err(complaints)
            }
            None => Err(self.complaints.clone()),
        }
    }
}
