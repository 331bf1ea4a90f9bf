//! A recipe as an editor has it open, read and checked.

use std::path::{Path, PathBuf};

use crate::{
    base::{
        diagnostic::Diagnostics,
        span::{SourceId, Sources},
    },
    editor::index::Index,
    lang::{self, Imports, Overrides, Program, imports::Unreadable, names::Stages},
    syntax::{self, ast::File},
};

/// Gives the text of a file: as an editor has it open, or else as it is on disk.
pub type Files<'a> = &'a mut dyn FnMut(&Path) -> Result<String, Unreadable>;

/// All that is known of one text.
pub struct Analysis {
    pub path: PathBuf,
    pub sources: Sources,
    pub source: SourceId,
    pub file: File,
    pub diagnostics: Diagnostics,
    pub program: Program,
    pub imports: Imports,
}

impl Analysis {
    /// Reads and checks a text, and the recipes that it uses.
    pub fn new(path: &Path, text: &str, read: Files<'_>) -> Self {
        let mut sources = Sources::default();
        let source = sources.add(path, text);
        let (file, mut diagnostics) = syntax::parse(source, text);
        let (imports, complaints) = Imports::load(&mut sources, path, &file, read);
        diagnostics.extend(complaints);
        let (program, complaints) = lang::check_with(&mut sources, &file, &imports, &Overrides::default());
        diagnostics.extend(complaints);
        let diagnostics = diagnostics.told();
        Self { path: path.to_owned(), sources, source, file, diagnostics, program, imports }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        self.sources.get(self.source).map_or("", |it| it.text.as_str())
    }

    /// The stages that are known in the recipe.
    #[must_use]
    pub fn stages(&self) -> Stages<'_> {
        Stages::collect(&self.file, &self.imports).0
    }

    /// Every name in the recipe, with where it is defined.
    #[must_use]
    pub fn index(&self) -> Index {
        Index::new(&self.file, self.source, &self.stages())
    }
}
