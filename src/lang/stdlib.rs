//! The standard library: stage signatures written in the language and embedded in the binary.

use crate::{
    base::{diagnostic::Diagnostics, span::Sources},
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

/// Parses the library, and adds its texts to the sources so that defaults can be shown where they stand.
#[must_use]
pub fn load(sources: &mut Sources) -> (Vec<Module>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let modules = MODULES
        .into_iter()
        .map(|(name, text)| {
            let id = sources.add(format!("std/{name}.rgm"), text);
            let (file, complaints) = syntax::parse(id, text);
            diagnostics.extend(complaints);
            Module { name, file }
        })
        .collect();
    (modules, diagnostics)
}
