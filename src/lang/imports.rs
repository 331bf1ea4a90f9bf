//! The recipes that a recipe uses as stages: `use ./other.rgm as other`.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Sources, Span},
    },
    syntax::{
        self,
        ast::{File, Item},
    },
};

/// Every recipe that another one uses, each read once.
#[derive(Clone, Debug, Default)]
pub struct Imports {
    files: BTreeMap<SourceId, Imported>,
    /// The file that each `use` of one names, by the place of the name.
    edges: BTreeMap<Span, SourceId>,
}

/// A recipe that is used.
#[derive(Clone, Debug)]
pub struct Imported {
    pub file: File,
    /// The folder of the recipe, as seen from that of the recipe that is run.
    pub folder: PathBuf,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub message: String,
    pub hint: Option<String>,
}

/// Gives the text of a file.
pub type Read<'a> = &'a mut dyn FnMut(&Path) -> Result<String, Unreadable>;

impl Imports {
    /// Reads every recipe that `recipe` uses, however indirectly. `path` is its own, and `read` gives the text of others.
    pub fn load(sources: &mut Sources, path: &Path, recipe: &File, read: Read<'_>) -> (Self, Diagnostics) {
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut loader = Loader {
            sources,
            read,
            imports: Self::default(),
            known: BTreeMap::new(),
            open: vec![plain(path)],
            diagnostics: Diagnostics::default(),
            root,
        };
        loader.uses(path, recipe);
        (loader.imports, loader.diagnostics)
    }

    /// The file that the name at this place stands for.
    #[must_use]
    pub fn used(&self, name: Span) -> Option<SourceId> {
        self.edges.get(&name).copied()
    }

    #[must_use]
    pub fn get(&self, source: SourceId) -> Option<&Imported> {
        self.files.get(&source)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Imported)> {
        self.files.iter().map(|(source, it)| (*source, it))
    }
}

struct Loader<'a> {
    sources: &'a mut Sources,
    read: Read<'a>,
    imports: Imports,
    known: BTreeMap<PathBuf, SourceId>,
    /// The files that are being read, each used by the one before.
    open: Vec<PathBuf>,
    diagnostics: Diagnostics,
    root: PathBuf,
}

impl Loader<'_> {
    fn uses(&mut self, path: &Path, file: &File) {
        let folder = path.parent().unwrap_or(Path::new(""));
        for item in &file.items {
            let Item::Use(item) = item else { continue };
            let Some((name, _)) = &item.file else { continue };
            let target = plain(&folder.join(&name.text));
            if let Some(at) = self.open.iter().position(|it| *it == target) {
                self.cycle(at, &target, name.span);
            } else if let Some(known) = self.known.get(&target) {
                self.imports.edges.insert(name.span, *known);
            } else {
                self.read(target, name.span);
            }
        }
    }

    fn read(&mut self, path: PathBuf, span: Span) {
        let text = match (self.read)(&path) {
            Ok(text) => text,
            Err(Unreadable { message, hint }) => {
                let complaint = Diagnostic::error(span, format!("cannot use `{}`: {message}", path.display()));
                self.diagnostics.push(complaint.maybe_hint(hint));
                return;
            }
        };
        let source = self.sources.add(&path, text.as_str());
        let (file, complaints) = syntax::parse(source, &text);
        self.diagnostics.extend(complaints);
        self.known.insert(path.clone(), source);
        self.imports.edges.insert(span, source);
        self.open.push(path.clone());
        self.uses(&path, &file);
        self.open.pop();
        let folder = path.parent().unwrap_or(Path::new(""));
        let folder = folder.strip_prefix(&self.root).unwrap_or(folder).to_owned();
        self.imports.files.insert(source, Imported { file, folder });
    }

    fn cycle(&mut self, at: usize, target: &Path, span: Span) {
        let inside = self.open.iter().skip(at).map(PathBuf::as_path).chain([target]);
        let names: Vec<String> = inside.map(|it| it.display().to_string()).collect();
        let complaint = Diagnostic::error(span, format!("`{}` uses itself", target.display()))
            .note(format!("the cycle is {}", names.join(" -> ")))
            .hint("move what both need into a third recipe");
        self.diagnostics.push(complaint);
    }
}

/// The path without `.` and, where a name stands before it, `..`, so that one file has one name.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
