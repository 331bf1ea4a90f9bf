//! The standard library: stage signatures written in the language and embedded in the binary.

use std::sync::LazyLock;

use crate::{
    base::{
        diagnostic::Diagnostics,
        span::{Source, SourceId, Sources},
    },
    syntax::{self, ast::File},
};

/// Every module of the library, by the name after `std.`, with its text.
pub const MODULES: [(&str, &str); 10] = [
    ("command", include_str!("../../stdlib/command.rgm")),
    ("data", include_str!("../../stdlib/data.rgm")),
    ("eval", include_str!("../../stdlib/eval.rgm")),
    ("merge", include_str!("../../stdlib/merge.rgm")),
    ("model", include_str!("../../stdlib/model.rgm")),
    ("r1", include_str!("../../stdlib/r1.rgm")),
    ("reward", include_str!("../../stdlib/reward.rgm")),
    ("sample", include_str!("../../stdlib/sample.rgm")),
    ("train", include_str!("../../stdlib/train.rgm")),
    ("trl", include_str!("../../stdlib/trl.rgm")),
];

/// A parsed module.
#[derive(Debug)]
pub struct Module {
    pub name: &'static str,
    pub file: File,
}

/// The library as it was read, which happens once in a process.
struct Library {
    texts: Vec<Source>,
    modules: Vec<Module>,
    diagnostics: Diagnostics,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut library = Library { texts: Vec::new(), modules: Vec::new(), diagnostics: Diagnostics::default() };
    for (at, (name, text)) in MODULES.into_iter().enumerate() {
        library.texts.push(Source::new(format!("std/{name}.rgm"), text));
        let (file, complaints) = syntax::parse(SourceId::library(at), text);
        library.diagnostics.extend(complaints);
        library.modules.push(Module { name, file });
    }
    library
});

/// The modules of the library.
#[must_use]
pub fn modules() -> &'static [Module] {
    &LIBRARY.modules
}

/// Makes the texts of the library known, so that defaults can be shown where they stand; gives the mistakes in them.
pub fn load(sources: &mut Sources) -> Diagnostics {
    sources.know_library(&LIBRARY.texts);
    LIBRARY.diagnostics.clone()
}
