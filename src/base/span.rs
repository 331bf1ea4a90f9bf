//! Places in source texts.

use std::{path::Path, path::PathBuf};

use serde::Serialize;

/// Which text a span points into: its position in [`Sources`], those of the library counted from `LIBRARY` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Far above what is ever read, so that a text of the library has one position in every compilation.
const LIBRARY: u32 = 1 << 31;

impl SourceId {
    /// That of a text of the library.
    #[must_use]
    pub fn library(at: usize) -> Self {
        Self(LIBRARY + at as u32)
    }

    #[must_use]
    pub fn is_library(self) -> bool {
        self.0 >= LIBRARY
    }
}

/// A range of bytes in one source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start: start as u32, end: end as u32 }
    }

    /// The smallest span that covers both; both must lie in one source.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// One text: where it came from, and what it says.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    #[must_use]
    pub fn new(path: impl AsRef<Path>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.as_ref().to_owned(), text, lines }
    }
}

/// Every text that a compilation has read, recipe files and library alike.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    own: Vec<Source>,
    library: &'static [Source],
}

impl Sources {
    pub fn add(&mut self, path: impl AsRef<Path>, text: impl Into<String>) -> SourceId {
        self.own.push(Source::new(path, text));
        SourceId((self.own.len() - 1) as u32)
    }

    /// Makes the texts of the library known, which are the same in every compilation.
    pub fn know_library(&mut self, texts: &'static [Source]) {
        self.library = texts;
    }

    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        match id.0.checked_sub(LIBRARY) {
            Some(at) => self.library.get(at as usize),
            None => self.own.get(id.0 as usize),
        }
    }

    /// The texts that were added, and then those of the library.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        let own = self.own.iter().enumerate().map(|(at, it)| (SourceId(at as u32), it));
        own.chain(self.library.iter().enumerate().map(|(at, it)| (SourceId::library(at), it)))
    }

    /// The text under a span, empty where the span lies outside its source.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.source).and_then(|it| it.text.get(span.start as usize..span.end as usize)).unwrap_or_default()
    }

    /// Where a span starts and ends, as a person counts.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place> {
        let source = self.get(span.source)?;
        let (line, column) = position(source, span.start as usize);
        let (end_line, end_column) = position(source, span.end as usize);
        Some(Place { file: source.path.display().to_string(), line, column, end_line, end_column })
    }
}

/// A span as a person counts: lines and columns from one, columns in characters, the end past the last character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

fn position(source: &Source, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(source.text.len());
    while !source.text.is_char_boundary(offset) {
        offset -= 1;
    }
    let line = source.lines.partition_point(|start| *start <= offset);
    let start = line.checked_sub(1).and_then(|at| source.lines.get(at)).copied().unwrap_or_default();
    (line, source.text.get(start..offset).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        let id = sources.add("a.rgm", "x\nß = y\n");
        let place = sources.place(Span::new(id, 7, 8)).unwrap();
        assert_eq!((place.line, place.column, place.end_column), (2, 5, 6));
    }
}
