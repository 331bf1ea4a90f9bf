//! The stages in scope: those of the library and those that the recipe defines, and what `use` may name.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::SourceId,
        suggest::did_you_mean,
    },
    lang::{
        imports::Imports,
        signature::{Signature, duplicate},
        stdlib,
    },
    syntax::ast::{File, Item, Name, Use},
};

/// The stages of a file.
fn read<'a>(
    file: &'a File,
    library: &BTreeMap<String, Signature<'a>>,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<String, Signature<'a>> {
    let mut own: BTreeMap<String, Signature<'a>> = BTreeMap::new();
    for item in &file.items {
        let Item::Stage(item) = item else { continue };
        let (signature, complaints) = Signature::read(item);
        diagnostics.extend(complaints);
        let path = signature.path.clone();
        if let Some(first) = own.get(&path).or_else(|| library.get(&path)) {
            diagnostics.push(duplicate(&Name { text: path, span: signature.span }, first.span));
            continue;
        }
        own.insert(path, signature);
    }
    own
}

/// Words that the language itself gives a meaning where a value or a stage is named.
pub(super) const FUNCTIONS: [&str; 4] = ["cosine", "linear", "path", "refresh"];

/// The stages of the library, which are read once in a process.
struct Library {
    stages: BTreeMap<String, Signature<'static>>,
    /// The paths of each module, in the order of the text.
    modules: BTreeMap<&'static str, Vec<String>>,
    diagnostics: Diagnostics,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let (mut stages, mut modules, mut diagnostics) = (BTreeMap::new(), BTreeMap::new(), Diagnostics::default());
    for module in stdlib::modules() {
        let read = read(&module.file, &stages, &mut diagnostics);
        let mut added: Vec<String> = read.keys().cloned().collect();
        added.sort_by_key(|path| read.get(path).map(|it| it.span));
        modules.insert(module.name, added);
        stages.extend(read);
    }
    Library { stages, modules, diagnostics }
});

/// Every stage by its path.
#[derive(Debug)]
pub struct Stages<'a> {
    /// Those of the library.
    stages: &'a BTreeMap<String, Signature<'a>>,
    /// Those that each recipe defines or uses.
    own: BTreeMap<SourceId, BTreeMap<String, Signature<'a>>>,
}

impl<'a> Stages<'a> {
    /// The stages of the library, and then those of each recipe.
    #[must_use]
    pub fn collect(recipe: &'a File, imports: &'a Imports) -> (Self, Diagnostics) {
        let mut stages = Self { stages: &LIBRARY.stages, own: BTreeMap::new() };
        let mut diagnostics = LIBRARY.diagnostics.clone();
        for (source, imported) in imports.iter() {
            stages.recipe(source, &imported.file, imports, &mut diagnostics);
        }
        stages.recipe(recipe.source(), recipe, imports, &mut diagnostics);
        (stages, diagnostics)
    }

    /// Adds what a recipe defines and uses.
    fn recipe(&mut self, source: SourceId, file: &'a File, imports: &'a Imports, diagnostics: &mut Diagnostics) {
        let mut own = read(file, self.stages, diagnostics);
        for stage in own.values().filter(|it| it.body.is_none()) {
            let complaint = Diagnostic::error(stage.span, format!("the stage `{}` is not built in", stage.path));
            diagnostics.push(complaint.hint("give it a body: `{ .. output name }`"));
        }
        for item in &file.items {
            let Item::Use(item) = item else { continue };
            let Some((name, alias)) = &item.file else {
                check_use(item, diagnostics);
                continue;
            };
            if let Some(first) = own.get(&alias.text).or_else(|| self.stages.get(&alias.text)) {
                diagnostics.push(duplicate(alias, first.span));
                continue;
            }
            // What cannot be read has been complained of; its name is known all the same.
            let used = imports.used(name.span).and_then(|used| Some((used, &imports.get(used)?.file)));
            own.insert(
                alias.text.clone(),
                match used {
                    Some((used, file)) => Signature::of_recipe(alias.text.clone(), used, file),
                    None => Signature::missing(alias.text.clone(), alias.span),
                },
            );
            if let Some((used, file)) = used {
                let (inner, _) = (read(file, self.stages, &mut Diagnostics::default()), used);
                for (path, mut signature) in inner {
                    signature.path = format!("{}.{path}", alias.text);
                    own.insert(signature.path.clone(), signature);
                }
            }
        }
        self.own.insert(source, own);
    }

    /// The stage that a path names in a recipe: one of its own, or one of the library.
    #[must_use]
    pub fn get(&self, source: SourceId, path: &str) -> Option<&Signature<'a>> {
        self.own.get(&source).and_then(|own| own.get(path)).or_else(|| self.stages.get(path))
    }

    /// Every stage, each where it is defined or used, those of the library first.
    pub fn iter(&self) -> impl Iterator<Item = &Signature<'a>> {
        self.stages.values().chain(self.own.values().flat_map(BTreeMap::values))
    }

    /// The stages of the library.
    pub fn library(&self) -> impl Iterator<Item = &Signature<'a>> {
        self.stages.values()
    }

    /// Every stage that a recipe knows.
    pub fn known(&self, source: SourceId) -> impl Iterator<Item = &Signature<'a>> {
        self.stages.values().chain(self.own.get(&source).into_iter().flat_map(BTreeMap::values))
    }
}

/// Checks that the library has what a recipe says it uses of it.
fn check_use(item: &Use, diagnostics: &mut Diagnostics) {
    let Some((root, rest)) = item.path.split_first() else { return };
    if root.text != "std" {
        diagnostics.push(
            Diagnostic::error(root.span, format!("unknown library `{}`", root.text)).hint("the library is `std`"),
        );
        return;
    }
    let known = || LIBRARY.modules.keys().copied();
    let Some(name) = rest.first() else { return };
    let Some(paths) = LIBRARY.modules.get(name.text.as_str()).filter(|_| rest.len() == 1) else {
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
