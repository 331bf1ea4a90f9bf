//! Tokens as words and bracketed groups, each with the comments that belong to it.

use std::ops::Range;

use super::spacing::{Space, Spacing};
use crate::syntax::{
    chunks::Reader,
    tokens::{Kind, Token},
};

/// A part of a line.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Whether a blank stands before it, and whether a long line may be broken there.
    Word {
        text: &'a str,
        blank: bool,
        joins: bool,
    },
    Group(Group<'a>),
    /// A comment in the middle of an expression: on the line before it, or on its own.
    Comment {
        text: &'a str,
        own_line: bool,
    },
}

/// Brackets, and the parts between them that commas divide.
#[derive(Debug)]
pub struct Group<'a> {
    pub open: &'a str,
    pub close: &'a str,
    pub blank: bool,
    /// Whether a comma may stand after the last part.
    pub commas: bool,
    /// The comment on the line of the opening bracket.
    pub opening: Option<&'a str>,
    pub entries: Vec<Entry<'a>>,
    /// The comments between the last part and the closing bracket.
    pub dangling: Vec<Comment<'a>>,
}

/// One part between commas.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    pub lead: Vec<Comment<'a>>,
    /// Whether an empty line stands between the comments, or the part before, and this one.
    pub apart: bool,
    pub pieces: Vec<Piece<'a>>,
    /// The comment at the end of its line.
    pub trail: Option<&'a str>,
}

/// A comment on a line of its own.
#[derive(Debug)]
pub struct Comment<'a> {
    pub text: &'a str,
    /// Whether an empty line stands before it.
    pub apart: bool,
}

/// The pieces of a range of tokens.
pub fn pieces<'a>(reader: &'a Reader<'a>, tokens: Range<usize>) -> Vec<Piece<'a>> {
    let mut cursor = Cursor { reader, at: tokens.start, end: tokens.end, spacing: Spacing::default() };
    let mut found = Vec::new();
    let mut newline = false;
    while let Some(token) = cursor.peek() {
        match token.kind {
            Kind::Newline => newline = true,
            Kind::Comment => {
                found.push(Piece::Comment { text: token.text.trim_end(), own_line: newline });
                newline = false;
            }
            _ => {
                found.push(cursor.piece(token));
                newline = false;
                continue;
            }
        }
        cursor.at += 1;
    }
    found
}

struct Cursor<'a> {
    reader: &'a Reader<'a>,
    at: usize,
    end: usize,
    spacing: Spacing<'a>,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.reader.tokens.get(self.at).filter(|_| self.at < self.end)
    }

    /// The word or group that starts here; the cursor stands after it then.
    fn piece(&mut self, token: &'a Token<'a>) -> Piece<'a> {
        let Space { blank, joins, follows_value } = self.spacing.next(token);
        self.at += 1;
        if token.kind != Kind::Open {
            return Piece::Word { text: token.text, blank, joins };
        }
        // A list and a call may end in a comma; an index, a group, a block and the names of a `use` may not.
        let commas = matches!((token.text, follows_value), ("[", false) | ("(", true));
        Piece::Group(self.group(token, blank, commas))
    }

    fn group(&mut self, open: &'a Token<'a>, blank: bool, commas: bool) -> Group<'a> {
        let mut group = Group {
            open: open.text,
            close: "",
            blank,
            commas,
            opening: None,
            entries: Vec::new(),
            dangling: Vec::new(),
        };
        let mut entry = Entry::default();
        let mut lines = 0;
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::Newline => {
                    lines += 1;
                    self.at += 1;
                }
                Kind::Comment => {
                    self.comment(&mut group, &mut entry, token, lines);
                    lines = 0;
                }
                Kind::Close => {
                    self.spacing.next(token);
                    self.at += 1;
                    group.close = token.text;
                    break;
                }
                Kind::Symbol if token.text == "," && !self.spacing.in_angles() => {
                    self.spacing.next(token);
                    self.at += 1;
                    group.entries.push(std::mem::take(&mut entry));
                    lines = 0;
                }
                _ => {
                    if entry.pieces.is_empty() {
                        entry.apart = lines > 1;
                    }
                    lines = 0;
                    let piece = self.piece(token);
                    entry.pieces.push(piece);
                }
            }
        }
        if !entry.pieces.is_empty() {
            group.entries.push(entry);
        } else {
            group.dangling.extend(entry.lead);
        }
        group
    }

    /// Puts a comment where it belongs.
    fn comment(&mut self, group: &mut Group<'a>, entry: &mut Entry<'a>, token: &'a Token<'a>, lines: usize) {
        let text = token.text.trim_end();
        let comment = Comment { text, apart: lines > 1 };
        self.at += 1;
        if !entry.pieces.is_empty() {
            let next = self.reader.speaking(self.at..self.end).next().and_then(|it| self.reader.tokens.get(it));
            let closes = next.is_none_or(|it| it.kind == Kind::Close);
            let ends = closes || next.is_some_and(|it| it.is_symbol(","));
            if ends && entry.trail.is_none() && !(closes && lines > 0) {
                entry.trail = Some(text);
            } else if closes {
                group.dangling.push(comment);
            } else {
                entry.pieces.push(Piece::Comment { text, own_line: lines > 0 });
            }
        } else if lines == 0 && entry.lead.is_empty() {
            match group.entries.last_mut() {
                Some(last) if last.trail.is_none() => last.trail = Some(text),
                None if group.opening.is_none() => group.opening = Some(text),
                _ => entry.lead.push(comment),
            }
        } else {
            entry.lead.push(comment);
        }
    }
}

impl Piece<'_> {
    /// The width on one line; None where a comment ends the line.
    pub fn width(&self) -> Option<usize> {
        match self {
            Self::Word { text, blank, .. } => Some(text.chars().count() + usize::from(*blank)),
            Self::Group(group) => group.width(),
            Self::Comment { .. } => None,
        }
    }
}

impl Group<'_> {
    pub fn width(&self) -> Option<usize> {
        if self.opening.is_some() || !self.dangling.is_empty() {
            return None;
        }
        let mut width = 2 + usize::from(self.blank) + if self.open == "{" { 2 } else { 0 };
        for entry in &self.entries {
            width += entry.width()?;
        }
        Some(width + 2 * self.entries.len().saturating_sub(1))
    }
}

impl Entry<'_> {
    pub fn width(&self) -> Option<usize> {
        if self.trail.is_some() || !self.lead.is_empty() {
            return None;
        }
        width(&self.pieces)
    }
}

/// The width of pieces on one line, without the blank before the first.
pub fn width(pieces: &[Piece<'_>]) -> Option<usize> {
    let before = match pieces.first() {
        Some(Piece::Word { blank, .. }) => usize::from(*blank),
        Some(Piece::Group(group)) => usize::from(group.blank),
        Some(Piece::Comment { .. }) | None => 0,
    };
    Some(pieces.iter().map(Piece::width).sum::<Option<usize>>()?.saturating_sub(before))
}
