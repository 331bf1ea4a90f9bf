//! Items and what stands between them: names in neighbouring lines are padded so that their `=` stand in one column.

use std::ops::Range;

use super::{
    STEP,
    layout::Page,
    pieces::{Piece, pieces, width},
};
use crate::syntax::{
    chunks::Reader,
    tokens::{Kind, Token},
};

/// The canonical form of a text that parses.
pub fn format(reader: &Reader<'_>) -> String {
    let mut page = Page::default();
    let lines = lines(reader, 0..reader.tokens.len());
    write(&lines, &mut page, 0);
    while page.text.ends_with('\n') {
        page.text.pop();
    }
    if !page.text.is_empty() {
        page.text.push('\n');
    }
    page.text
}

/// What stands on a line, or on several.
enum Line<'a> {
    Blank,
    Comment(&'a str),
    Item(Item<'a>),
}

struct Item<'a> {
    pieces: Vec<Piece<'a>>,
    /// The body of a stage, with the comment on the line of its `{`.
    body: Option<(Option<&'a str>, Vec<Line<'a>>)>,
    trail: Option<&'a str>,
    shape: Shape,
}

/// What of an item is padded to stand in columns with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// `name = ..`, with the width of its name.
    Binding(usize),
    /// `param name: type = ..` or `input ..`, with the widths of the part up to the colon and of the type; none where
    /// nothing follows the type.
    Declaration {
        word: &'static str,
        name: usize,
        ty: usize,
        default: bool,
    },
    Other,
}

fn lines<'a>(reader: &'a Reader<'a>, range: Range<usize>) -> Vec<Line<'a>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while let Some(chunk) = reader.next_chunk(at..range.end) {
        gap(reader, at..chunk.tokens.start, &mut found);
        let last = reader.speaking(chunk.tokens.clone()).next_back().unwrap_or(chunk.tokens.start);
        // A comma that nothing follows says nothing; the comments before it follow the item.
        let is_comma = |at: &usize| reader.tokens.get(*at).is_some_and(|it| it.is_symbol(","));
        let speaking = reader.speaking(chunk.tokens.start..last + 1);
        let end = speaking.rev().find(|at| !is_comma(at)).unwrap_or(last);
        if end < last {
            found.push(Line::Item(item(reader, chunk.tokens.start..end + 1, None)));
            gap(reader, end + 1..last, &mut found);
            at = last + 1;
            continue;
        }
        at = last + 1;
        let trail = reader.tokens.get(at).filter(|it| it.kind == Kind::Comment && at < range.end);
        at += usize::from(trail.is_some());
        found.push(Line::Item(item(reader, chunk.tokens.start..last + 1, trail)));
    }
    gap(reader, at..range.end, &mut found);
    let blanks = found.iter().take_while(|it| matches!(it, Line::Blank)).count();
    found.drain(..blanks);
    while matches!(found.last(), Some(Line::Blank)) {
        found.pop();
    }
    found
}

/// The comments and empty lines between two items.
fn gap<'a>(reader: &'a Reader<'a>, range: Range<usize>, found: &mut Vec<Line<'a>>) {
    let mut newlines = 0;
    for token in reader.tokens.get(range).unwrap_or_default() {
        if token.kind == Kind::Comment {
            if newlines > 1 {
                found.push(Line::Blank);
            }
            found.push(Line::Comment(token.text.trim_end()));
            newlines = 0;
        } else {
            newlines += usize::from(token.kind == Kind::Newline);
        }
    }
    if newlines > 1 {
        found.push(Line::Blank);
    }
}

fn item<'a>(reader: &'a Reader<'a>, tokens: Range<usize>, trail: Option<&'a Token<'a>>) -> Item<'a> {
    let trail = trail.map(|it| it.text.trim_end());
    let first = reader.tokens.get(tokens.start);
    let has_body = first.is_some_and(|it| it.is_word("stage")) || reader.is_test(tokens.clone());
    let brace = reader.body(tokens.clone()).filter(|_| has_body);
    let head = tokens.start..brace.unwrap_or(tokens.end);
    let pieces = if first.is_some_and(|it| it.is_word("use")) { used(reader, head) } else { pieces(reader, head) };
    let body = brace.map(|brace| {
        let closing = reader.closing(brace, tokens.end).unwrap_or(tokens.end);
        let comment = reader.tokens.get(brace + 1).filter(|it| it.kind == Kind::Comment);
        let start = brace + 1 + usize::from(comment.is_some());
        (comment.map(|it| it.text.trim_end()), lines(reader, start..closing))
    });
    let shape = shape(&pieces);
    Item { pieces, body, trail, shape }
}

/// A `use` keeps the name of a file as it is written.
fn used<'a>(reader: &'a Reader<'a>, tokens: Range<usize>) -> Vec<Piece<'a>> {
    let mut speaking = reader.speaking(tokens.clone());
    let (word, path) = (speaking.next(), speaking.next());
    let token = |at: Option<usize>| at.and_then(|it| reader.tokens.get(it));
    let is_file = token(path).is_some_and(|it| it.text.starts_with('.'));
    let (true, Some(word), Some(start)) = (is_file, word, path) else { return pieces(reader, tokens) };
    // The last one, because the name of a file may hold the word as well: `use ./train.as.rgm as train`.
    let is_as = |at: &usize| token(Some(*at)).is_some_and(|it| it.is_word("as"));
    let as_word = reader.speaking(start..tokens.end).rev().find(is_as);
    let end = as_word.unwrap_or(tokens.end);
    let mut found = pieces(reader, word..start);
    let bytes = reader.bytes(start..end);
    found.push(Piece::Word { text: reader.text.get(bytes).unwrap_or_default(), blank: true, joins: false });
    let rest = pieces(reader, end..tokens.end);
    found.extend(rest.into_iter().enumerate().map(|(at, piece)| match piece {
        Piece::Word { text, joins, .. } if at == 0 => Piece::Word { text, blank: true, joins },
        other => other,
    }));
    found
}

fn shape(pieces: &[Piece<'_>]) -> Shape {
    let word = |at: usize| match pieces.get(at) {
        Some(Piece::Word { text, .. }) => *text,
        _ => "",
    };
    if word(1) == "=" {
        return Shape::Binding(word(0).chars().count());
    }
    let Some(kind) = ["param", "input"].into_iter().find(|it| *it == word(0) && word(2) == ":") else {
        return Shape::Other;
    };
    let end = pieces.iter().position(|it| matches!(it, Piece::Word { text: "=", .. }));
    let ty = pieces.get(3..end.unwrap_or(pieces.len())).and_then(width);
    match ty {
        Some(ty) => Shape::Declaration { word: kind, name: word(1).chars().count(), ty, default: end.is_some() },
        None => Shape::Other,
    }
}

fn write(lines: &[Line<'_>], page: &mut Page, indent: usize) {
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            page.line(if matches!(line, Line::Blank) { 0 } else { indent });
        }
        match line {
            Line::Blank => {}
            Line::Comment(text) => page.put(text),
            Line::Item(item) => item.write(page, indent, &columns(lines, at)),
        }
    }
}

/// The widest name and the widest type of the items that stand in one block with the one at `at`.
fn columns(lines: &[Line<'_>], at: usize) -> (usize, usize) {
    let of = |line: &Line<'_>| if let Line::Item(item) = line { Some(item.shape) } else { None };
    let own = lines.get(at).and_then(of);
    let same = |line: &&Line<'_>| match (of(line), own) {
        (Some(Shape::Binding(_)), Some(Shape::Binding(_))) => true,
        (Some(Shape::Declaration { word, .. }), Some(Shape::Declaration { word: own, .. })) => word == own,
        _ => false,
    };
    let above = lines.get(..at).unwrap_or_default().iter().rev().take_while(same);
    let below = lines.get(at..).unwrap_or_default().iter().take_while(same);
    let shapes = || above.clone().chain(below.clone()).filter_map(of);
    let name = shapes().map(|it| match it {
        Shape::Binding(name) | Shape::Declaration { name, .. } => name,
        Shape::Other => 0,
    });
    let ty = shapes().map(|it| if let Shape::Declaration { ty, default: true, .. } = it { ty } else { 0 });
    (name.max().unwrap_or_default(), ty.max().unwrap_or_default())
}

impl Item<'_> {
    fn write(&self, page: &mut Page, indent: usize, (widest_name, widest_ty): &(usize, usize)) {
        let tail = if self.body.is_some() { 2 } else { 0 };
        match self.shape {
            Shape::Binding(name) => {
                page.pieces(self.pieces.get(..1).unwrap_or_default(), indent, 0);
                page.pad(widest_name.saturating_sub(name) + 1);
                page.pieces(self.pieces.get(1..).unwrap_or_default(), indent, tail);
            }
            Shape::Declaration { name, ty, default, .. } => {
                page.pieces(self.pieces.get(..3).unwrap_or_default(), indent, 0);
                page.pad(widest_name.saturating_sub(name) + 1);
                let end = self.pieces.iter().position(|it| matches!(it, Piece::Word { text: "=", .. }));
                let end = end.unwrap_or(self.pieces.len());
                page.pieces(self.pieces.get(3..end).unwrap_or_default(), indent, 0);
                if default {
                    page.pad(widest_ty.saturating_sub(ty) + 1);
                    page.pieces(self.pieces.get(end..).unwrap_or_default(), indent, tail);
                }
            }
            Shape::Other => self.write_other(page, indent, tail),
        }
        if let Some((comment, lines)) = &self.body {
            page.put(" {");
            if let Some(comment) = comment {
                page.put("  ");
                page.put(comment);
            }
            if !lines.is_empty() {
                page.line(indent + STEP);
                write(lines, page, indent + STEP);
            }
            if !lines.is_empty() || comment.is_some() {
                page.line(indent);
            }
            page.put("}");
        }
        if let Some(trail) = self.trail {
            page.put("  ");
            page.put(trail);
        }
    }

    /// The parameters of a stage that do not fit on its line stand on lines of their own.
    fn write_other(&self, page: &mut Page, indent: usize, tail: usize) {
        let is_stage = matches!(self.pieces.first(), Some(Piece::Word { text: "stage", .. }));
        let fits = width(&self.pieces).is_some_and(|it| page.column() + it + tail <= super::WIDTH);
        let parameters = self.pieces.iter().position(|it| matches!(it, Piece::Group(group) if group.open == "("));
        match parameters.filter(|_| is_stage && !fits) {
            Some(at) => {
                page.pieces(self.pieces.get(..at).unwrap_or_default(), indent, 0);
                if let Some(Piece::Group(group)) = self.pieces.get(at) {
                    page.put(group.open);
                    page.one_per_line(group, indent);
                }
                page.put(" ");
                page.pieces(self.pieces.get(at + 1..).unwrap_or_default(), indent, tail);
            }
            None => page.pieces(&self.pieces, indent, tail),
        }
    }
}
