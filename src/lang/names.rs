//! The stages in scope: those of the library and those that the recipe defines, and what `use` may name.

use std::collections::BTreeMap;

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        suggest::did_you_mean,
    },
    lang::{
        signature::{Signature, duplicate},
        stdlib::Module,
    },
    syntax::ast::{File, Item, Name, Use},
};

/// Words that the language itself gives a meaning where a value or a stage is named.
pub(super) const FUNCTIONS: [&str; 4] = ["cosine", "linear", "path", "refresh"];

/// Every stage by its path.
#[derive(Debug, Default)]
pub struct Stages<'a> {
    stages: BTreeMap<String, Signature<'a>>,
    modules: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> Stages<'a> {
    /// The stages of the library, and then those of the recipe.
    #[must_use]
    pub fn collect(modules: &'a [Module], recipe: &'a File) -> (Self, Diagnostics) {
        let mut stages = Self::default();
        let mut diagnostics = Diagnostics::default();
        for module in modules {
            let added = stages.add(&module.file, &mut diagnostics);
            stages.modules.insert(module.name, added);
        }
        for path in stages.add(recipe, &mut diagnostics) {
            let Some(stage) = stages.get(&path).filter(|it| it.body.is_none()) else { continue };
            let complaint = Diagnostic::error(stage.span, format!("the stage `{path}` is not built in"));
            diagnostics.push(complaint.hint("give it a body: `{ .. output name }`"));
        }
        for item in &recipe.items {
            if let Item::Use(item) = item {
                stages.check_use(item, &mut diagnostics);
            }
        }
        (stages, diagnostics)
    }

    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Signature<'a>> {
        self.stages.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Signature<'a>> {
        self.stages.values()
    }

    /// The names of all stages, for suggestions.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.stages.keys().map(String::as_str)
    }

    /// Adds the stages of a file and returns their paths.
    fn add(&mut self, file: &'a File, diagnostics: &mut Diagnostics) -> Vec<String> {
        let mut added = Vec::new();
        for item in &file.items {
            let Item::Stage(item) = item else { continue };
            let (signature, complaints) = Signature::read(item);
            diagnostics.extend(complaints);
            let path = signature.path.clone();
            if let Some(first) = self.stages.get(&path) {
                diagnostics.push(duplicate(&Name { text: path, span: signature.span }, first.span));
                continue;
            }
            added.push(path.clone());
            self.stages.insert(path, signature);
        }
        added
    }

    fn check_use(&self, item: &Use, diagnostics: &mut Diagnostics) {
        let Some((root, rest)) = item.path.split_first() else { return };
        if root.text != "std" {
            diagnostics.push(
                Diagnostic::error(root.span, format!("unknown library `{}`", root.text)).hint("the library is `std`"),
            );
            return;
        }
        let known = || self.modules.keys().copied();
        let Some(name) = rest.first() else { return };
        let Some(paths) = self.modules.get(name.text.as_str()).filter(|_| rest.len() == 1) else {
            let hint = did_you_mean(&name.text, known())
                .unwrap_or_else(|| format!("the modules are {}", known().collect::<Vec<_>>().join(", ")));
            let path = rest.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(".");
            let span = rest.last().map_or(name.span, |last| name.span.to(last.span));
            diagnostics.push(Diagnostic::error(span, format!("unknown module `std.{path}`")).hint(hint));
            return;
        };
        for word in &item.names {
            let names = || paths.iter().filter_map(|path| path.split('.').next());
            if !names().any(|it| it == word.text) {
                let message = format!("`std.{}` has no `{}`", name.text, word.text);
                let hint = did_you_mean(&word.text, names())
                    .unwrap_or_else(|| format!("it has {}", names().collect::<Vec<_>>().join(", ")));
                diagnostics.push(Diagnostic::error(word.span, message).hint(hint));
            }
        }
    }
}
