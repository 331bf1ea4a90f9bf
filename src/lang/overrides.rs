//! Values set from outside: `--set scale=quick`, `--set dev1.lr=1e-5`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

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
    /// As `sets`, from a file of parameters; what `sets` sets holds against them.
    pub params: Vec<String>,
    /// The name of that file.
    pub params_file: PathBuf,
    /// What relative paths in them are joined to; relative to the recipe where it is left out.
    pub directory: Option<PathBuf>,
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
        let params = overrides.params.iter().map(|text| (overrides.params_file.as_path(), text));
        let sets = overrides.sets.iter().map(|text| (Path::new("--set"), text));
        for (origin, text) in params.chain(sets) {
            let source = sources.add(origin, text.as_str());
            match Override::parse(source, text) {
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
    fn parse(source: SourceId, text: &str) -> Result<Self, Diagnostic> {
        let whole = Span::new(source, 0, text.len());
        let Some((target, value)) = text.split_once('=') else {
            return Err(Diagnostic::error(whole, "expected `name=value`").hint("write `--set name=value`"));
        };
        let (target, start) = (target.trim(), target.len() + 1);
        let span = Span::new(source, start, text.len());
        if target.is_empty() || value.trim().is_empty() {
            return Err(Diagnostic::error(whole, "expected `name=value`").hint("write `--set name=value`"));
        }
        let words = Expr { kind: ExprKind::Text(value.trim().to_owned()), span };
        // A binding of the same length stands in for the target, so that places in the value are places in the text.
        let stand_in = format!("{}={value}", "x".repeat(start - 1));
        let (file, complaints) = syntax::parse(source, &stand_in);
        let expression = match file.items.as_slice() {
            [Item::Binding(binding)] if !complaints.has_errors() => Some(binding.value.clone()),
            _ => None,
        };
        Ok(Self {
            target: target.to_owned(),
            target_span: Span::new(source, 0, start - 1),
            words,
            quoted: value.trim().starts_with('"'),
            expression,
            complaints,
        })
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
