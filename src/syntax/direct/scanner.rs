//! Steps through the bytes of one item, token by token.

use std::ops::Range;

use crate::{
    base::span::{SourceId, Span},
    syntax::{RESERVED, ast::Name, docs},
};

/// How deep rules that hold themselves may be entered before the grammar, which counts exactly, takes over.
const DEEPEST: usize = 96;

/// A place in an item. Between two calls it stands at the start of a token, or at the end.
pub(super) struct Scanner<'a> {
    pub source: SourceId,
    pub text: &'a str,
    /// Everything up to the end of the item.
    bytes: &'a [u8],
    pub at: usize,
    /// Where the last token ended.
    pub end: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(source: SourceId, text: &'a str, range: Range<usize>) -> Option<Self> {
        let bytes = text.get(..range.end)?.as_bytes();
        let mut scanner = Self { source, text, bytes, at: range.start, end: range.start, depth: 0 };
        scanner.skip();
        Some(scanner)
    }

    pub fn is_done(&self) -> bool {
        self.at == self.limit()
    }

    /// Where the item ends.
    pub fn limit(&self) -> usize {
        self.bytes.len()
    }

    /// The byte so many places on; nought past the end, which no token has.
    pub fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or_default()
    }

    /// Ends a token of so many bytes, and goes on to the next.
    pub fn take(&mut self, length: usize) {
        self.at += length;
        self.end = self.at;
        self.skip();
    }

    /// Passes over blanks and comments.
    fn skip(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => {
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    self.at += rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// From a place to the end of the last token.
    pub fn span(&self, start: usize) -> Span {
        Span::new(self.source, start, self.end)
    }

    /// Takes a mark of one byte where it stands here.
    pub fn has(&mut self, mark: u8) -> bool {
        let there = self.byte(0) == mark;
        if there {
            self.take(1);
        }
        there
    }

    /// Takes a mark of one byte, which must stand here.
    pub fn mark(&mut self, mark: u8) -> Option<()> {
        self.has(mark).then_some(())
    }

    /// Takes a mark of two bytes, which must stand here.
    pub fn marks(&mut self, marks: [u8; 2]) -> Option<()> {
        let there = self.is_marks(marks);
        there.then(|| self.take(2))
    }

    pub fn is_marks(&self, marks: [u8; 2]) -> bool {
        [self.byte(0), self.byte(1)] == marks
    }

    /// `=`, and not `==`.
    pub fn is_assign(&self) -> bool {
        self.byte(0) == b'=' && self.byte(1) != b'='
    }

    pub fn assign(&mut self) -> Option<()> {
        self.is_assign().then(|| self.take(1))
    }

    /// The word that stands here, reserved or not; empty where none does.
    pub fn peek_word(&self) -> &'a str {
        self.word_at(self.at)
    }

    pub fn word_at(&self, start: usize) -> &'a str {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let starts = rest.first().is_some_and(|it| it.is_ascii_alphabetic() || *it == b'_');
        let length = if starts { rest.iter().position(|it| !is_word_byte(*it)).unwrap_or(rest.len()) } else { 0 };
        self.text.get(start..start + length).unwrap_or_default()
    }

    /// Takes a word of the language where it stands here.
    pub fn has_word(&mut self, word: &str) -> bool {
        let there = self.peek_word() == word;
        if there {
            self.take(word.len());
        }
        there
    }

    /// Takes a word of the language, which must stand here.
    pub fn keyword(&mut self, word: &str) -> Option<()> {
        self.has_word(word).then_some(())
    }

    /// Takes any word.
    pub fn word(&mut self) -> Option<Name> {
        let (start, word) = (self.at, self.peek_word());
        if word.is_empty() {
            return None;
        }
        self.take(word.len());
        Some(Name { text: word.to_owned(), span: self.span(start) })
    }

    /// Takes a word that can be the name of something.
    pub fn name(&mut self) -> Option<Name> {
        if is_reserved(self.peek_word()) { None } else { self.word() }
    }

    /// What is documented by the comments above a place.
    pub fn docs(&self, start: usize) -> String {
        docs::above(self.text, start)
    }

    /// Enters a rule that holds itself.
    pub fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        let made = read(self);
        self.depth -= 1;
        made
    }
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}
