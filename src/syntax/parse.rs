//! Parses a text item by item, so that every mistake is seen and the items around it are kept.

use std::{ops::Range, thread};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Span},
    },
    syntax::{
        ast::{Binding, Expr, ExprKind, File, Item, Name, StageBody, StageItem},
        chunks::{Chunk, DEEPEST, Reader},
        complaints::Place,
        direct, docs,
        grammar::{self, Rule},
        lower::Lower,
        tokens::Kind,
    },
};

/// So many tokens are read in two halves side by side.
const MANY: usize = 20_000;
/// What the deepest expression takes on the stack, with room to spare.
const STACK: usize = 8 << 20;

/// The tree of a recipe and all that is wrong with its form. Broken items keep their names, so that uses of them are
/// not complained of again.
#[must_use]
pub fn parse(source: SourceId, text: &str) -> (File, Diagnostics) {
    parse_with(source, text, true, MANY)
}

/// As [`parse`], item by item with the grammar alone: slower, and the definition of what the other way must come to.
#[must_use]
pub fn parse_by_grammar(source: SourceId, text: &str) -> (File, Diagnostics) {
    parse_with(source, text, false, MANY)
}

fn parse_with(source: SourceId, text: &str, directly: bool, many: usize) -> (File, Diagnostics) {
    let reader = Reader::new(text);
    let mut parser = Parser { source, reader: &reader, diagnostics: Diagnostics::default(), directly };
    let items = if reader.tokens.len() < many { parser.items(0..reader.tokens.len()) } else { parser.halves() };
    let first_has_docs = || !matches!(items.first(), None | Some(Item::Use(_) | Item::Require(_) | Item::Output(_)));
    (File { docs: docs::head(text, first_has_docs), items }, parser.diagnostics.sorted())
}

struct Parser<'a> {
    source: SourceId,
    reader: &'a Reader<'a>,
    diagnostics: Diagnostics,
    /// Whether what can be read without the grammar is.
    directly: bool,
}

impl Parser<'_> {
    /// The items of the whole text, those of its second half read by a thread of their own.
    ///
    /// What an item is depends on nothing before it. So the halves fit where the last item of the first ends just before
    /// the second; where it reaches into that, all from there on is read again.
    fn halves(&mut self) -> Vec<Item> {
        let end = self.reader.tokens.len();
        let middle = (end / 2..end).find(|at| self.reader.starts_line(*at)).unwrap_or(end);
        let mut other = Parser { diagnostics: Diagnostics::default(), ..*self };
        let second = move || (other.items(middle..end), other.diagnostics);
        thread::scope(|scope| {
            let second = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, second);
            let mut items = Vec::new();
            let at = self.items_before(middle, 0..end, &mut items);
            let fits = self.reader.speaking(at..end).next() == self.reader.speaking(middle..end).next();
            match second.map(thread::ScopedJoinHandle::join) {
                Ok(Ok((rest, diagnostics))) if fits => {
                    items.extend(rest);
                    self.diagnostics.extend(diagnostics);
                }
                _ => items.extend(self.items(at..end)),
            }
            items
        })
    }

    fn items(&mut self, tokens: Range<usize>) -> Vec<Item> {
        let mut items = Vec::new();
        self.items_before(tokens.end, tokens, &mut items);
        items
    }

    /// Reads the items that begin before a token, and says where the next may start.
    fn items_before(&mut self, limit: usize, tokens: Range<usize>, items: &mut Vec<Item>) -> usize {
        let mut at = tokens.start;
        while self.reader.speaking(at..tokens.end).next().is_some_and(|first| first < limit)
            && let Some(mut chunk) = self.reader.next_chunk(at..tokens.end)
        {
            if chunk.cut.is_some() && !chunk.open.is_empty() {
                chunk = self.reader.shortened(&chunk);
            }
            let (item, end) = self.item(chunk);
            items.extend(item);
            at = end;
        }
        at
    }

    /// The item of a chunk, and where the next may start.
    fn item(&mut self, chunk: Chunk) -> (Option<Item>, usize) {
        if let Some(at) = chunk.too_deep {
            let span = self.token_span(at);
            self.diagnostics.push(
                Diagnostic::error(span, format!("brackets nest more than {DEEPEST} deep"))
                    .hint("give the inner parts names of their own"),
            );
            return (self.declared(&chunk), chunk.tokens.end);
        }
        if self.reader.tokens.get(chunk.tokens.start).is_some_and(|it| it.is_word("stage")) {
            return (self.stage(&chunk), chunk.tokens.end);
        }
        if self.reader.is_test(chunk.tokens.clone()) {
            return (self.test(&chunk), chunk.tokens.end);
        }
        let bytes = self.reader.bytes(chunk.tokens.clone());
        if self.directly
            && let Some(item) = direct::item(self.source, self.reader.text, bytes.clone())
        {
            return (Some(item), chunk.tokens.end);
        }
        let text = self.reader.text.get(bytes.clone()).unwrap_or_default();
        match grammar::parse(Rule::one_item, text) {
            Ok(node) => {
                let mut lower = Lower::new(self.source, self.reader.text, bytes.start, &mut self.diagnostics);
                (node.and_then(|it| lower.item(&it)), chunk.tokens.end)
            }
            // The brackets balance, but only by taking in what looks like another item.
            Err(_) if chunk.cut.is_some() => self.item(self.reader.shortened(&chunk)),
            Err(error) => {
                let place = Place::new(self.source, self.reader, &chunk, bytes.start, &error);
                self.diagnostics.push(place.complaint());
                (self.declared(&chunk), chunk.tokens.end)
            }
        }
    }

    /// A stage: its head by the grammar, then the items of its body one by one.
    fn stage(&mut self, chunk: &Chunk) -> Option<Item> {
        let brace = self.reader.body(chunk.tokens.clone());
        let closing = brace.and_then(|it| self.reader.closing(it, chunk.tokens.end));
        let head_end = brace.unwrap_or(chunk.tokens.end);
        let head = Chunk {
            tokens: chunk.tokens.start..head_end,
            cut: None,
            open: chunk.open.iter().copied().filter(|it| *it < head_end).collect(),
            too_deep: None,
        };
        let bytes = self.reader.bytes(head.tokens.clone());
        let read = || direct::stage_head(self.source, self.reader.text, bytes.clone());
        let stage = match self.directly.then(read).flatten() {
            Some(stage) => Some(stage),
            None => self.stage_head(&head, bytes.clone()),
        };
        let body = brace.map(|it| self.items(it + 1..closing.unwrap_or(chunk.tokens.end)));
        self.check_ends(chunk, brace, closing);
        let Some((mut stage, builtin)) = stage else { return self.declared(&head) };
        let whole = self.reader.bytes(chunk.tokens.clone());
        stage.span = Span::new(self.source, whole.start, whole.end);
        let head_span = Span::new(self.source, bytes.start, bytes.end);
        stage.body = match (builtin, body) {
            (Some(builtin), None) => builtin,
            (None, Some(items)) => StageBody::Items(items),
            (None, None) => {
                let end = Span::new(self.source, bytes.end, bytes.end);
                self.diagnostics.push(
                    Diagnostic::error(end, "expected `{` or `= builtin`, found the end of the line")
                        .hint("a stage has a body, `{ .. }`, or is built in, `= builtin`"),
                );
                StageBody::Items(Vec::new())
            }
            (Some(_), Some(items)) => {
                self.diagnostics.push(
                    Diagnostic::error(head_span, "a built-in stage cannot have a body")
                        .hint("remove `= builtin` or the body"),
                );
                StageBody::Items(items)
            }
        };
        Some(Item::Stage(stage))
    }

    /// The head of a stage by the grammar.
    fn stage_head(&mut self, head: &Chunk, bytes: Range<usize>) -> Option<(StageItem, Option<StageBody>)> {
        let text = self.reader.text.get(bytes.clone()).unwrap_or_default();
        match grammar::parse(Rule::one_stage, text) {
            Ok(node) => {
                let mut lower = Lower::new(self.source, self.reader.text, bytes.start, &mut self.diagnostics);
                node.map(|it| lower.stage_head(&it))
            }
            Err(error) => {
                let place = Place::new(self.source, self.reader, head, bytes.start, &error);
                self.diagnostics.push(place.complaint());
                None
            }
        }
    }

    /// A test: its head by the grammar, then the items of its body one by one.
    fn test(&mut self, chunk: &Chunk) -> Option<Item> {
        let brace = self.reader.body(chunk.tokens.clone());
        let closing = brace.and_then(|it| self.reader.closing(it, chunk.tokens.end));
        let bytes = self.reader.bytes(chunk.tokens.start..brace.unwrap_or(chunk.tokens.end));
        let items = brace.map(|it| self.items(it + 1..closing.unwrap_or(chunk.tokens.end))).unwrap_or_default();
        self.check_ends(chunk, brace, closing);
        if brace.is_none() {
            let end = Span::new(self.source, bytes.end, bytes.end);
            let complaint = Diagnostic::error(end, "expected `{`, found the end of the line");
            self.diagnostics.push(complaint.hint("a test has a body: `{ .. require .. }`"));
        }
        let whole = self.reader.bytes(chunk.tokens.clone());
        let text = self.reader.text.get(bytes.clone()).unwrap_or_default();
        match grammar::parse(Rule::one_test, text) {
            Ok(node) => {
                let mut lower = Lower::new(self.source, self.reader.text, bytes.start, &mut self.diagnostics);
                let mut test = lower.test_head(&node?);
                (test.items, test.span) = (items, Span::new(self.source, whole.start, whole.end));
                Some(Item::Test(test))
            }
            Err(error) => {
                let place = Place::new(self.source, self.reader, chunk, bytes.start, &error);
                self.diagnostics.push(place.complaint());
                None
            }
        }
    }

    /// A body must be closed, and nothing may follow it on its line.
    fn check_ends(&mut self, chunk: &Chunk, brace: Option<usize>, closing: Option<usize>) {
        match (brace, closing) {
            (Some(brace), None) => {
                let span = self.token_span(brace);
                self.diagnostics.push(
                    Diagnostic::error(span, "this `{` is never closed").hint("add `}` after the last item of the body"),
                );
            }
            (_, Some(closing)) => {
                let rest = self.reader.speaking(closing + 1..chunk.tokens.end).next();
                if let Some(token) = rest.and_then(|at| self.reader.tokens.get(at)) {
                    let message = format!("expected a new line, found `{}`", token.text);
                    let span = Span::new(self.source, token.start(), token.end());
                    self.diagnostics.push(Diagnostic::error(span, message).hint("items stand on lines of their own"));
                }
            }
            (None, None) => {}
        }
    }

    /// What a broken item declares as far as it can be read.
    fn declared(&mut self, chunk: &Chunk) -> Option<Item> {
        let bytes = self.reader.bytes(chunk.tokens.clone());
        if chunk.too_deep.is_none()
            && let Ok(Some(node)) = grammar::parse(Rule::one_head, self.reader.text.get(bytes.clone())?)
        {
            return Lower::new(self.source, self.reader.text, bytes.start, &mut self.diagnostics).declared(&node);
        }
        let mut speaking = self.reader.speaking(chunk.tokens.clone()).filter_map(|at| self.reader.tokens.get(at));
        let first = speaking.next()?;
        let (name, binds) = match speaking.next() {
            Some(second) if first.is_item_word() => (second, first.text == "stage"),
            Some(second) => (first, second.is_symbol("=") || second.is_symbol(":=") || second.is_symbol("==")),
            None => return None,
        };
        if !binds || name.kind != Kind::Word || name.is_reserved() {
            return None;
        }
        let span = Span::new(self.source, bytes.start, bytes.end);
        let value = Expr { kind: ExprKind::Missing, span };
        let name = Name { text: name.text.to_owned(), span: Span::new(self.source, name.start(), name.end()) };
        Some(Item::Binding(Binding {
            docs: docs::above(self.reader.text, bytes.start),
            name,
            value,
            label: None,
            span,
        }))
    }

    fn token_span(&self, at: usize) -> Span {
        self.reader.tokens.get(at).map_or_else(Span::default, |it| Span::new(self.source, it.start(), it.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a text is cut off, and whatever stands in its middle.
    #[test]
    fn halves_make_the_whole() {
        let part = "# so\na = f(x, [1, 2], y = { 3 })\nstage s(m: Model) -> Model {\n  t = m\n  output t\n}\nb = g(\n";
        let text = format!("{part}  a)\n## docs\nparam c: int = 1\n{part}\noutput a,\n  b\n{part}c = (\nd = 2\n");
        for end in 0..=text.len() {
            let cut = &text[..end];
            let whole = parse_with(SourceId(0), cut, true, usize::MAX);
            assert_eq!(format!("{:?}", parse_with(SourceId(0), cut, true, 0)), format!("{whole:?}"), "{cut}");
        }
    }
}
