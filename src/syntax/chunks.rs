//! Divides a text into items: a new line outside brackets ends one, and a clear start of the next ends an unclosed one.

use std::ops::Range;

use crate::syntax::tokens::{Kind, Token};

/// How deep brackets may nest, so that no text can exhaust the stack.
pub const DEEPEST: usize = 64;

/// One item, as a range of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub tokens: Range<usize>,
    /// Where a new item seems to start inside the brackets of this one.
    pub cut: Option<usize>,
    /// The brackets still open at the end, outermost first.
    pub open: Vec<usize>,
    /// The first bracket that nests too deep.
    pub too_deep: Option<usize>,
}

/// The tokens of a text, with the questions that dividing it asks.
pub struct Reader<'a> {
    pub text: &'a str,
    pub tokens: Vec<Token<'a>>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, tokens: crate::syntax::tokens::tokens(text) }
    }

    /// The first item of a range of tokens.
    pub fn next_chunk(&self, range: Range<usize>) -> Option<Chunk> {
        let first = self.speaking(range.clone()).next()?;
        let indent = self.column(first);
        let mut chunk = Chunk { tokens: first..range.end, cut: None, open: Vec::new(), too_deep: None };
        let (mut angles, mut last) = (0_usize, first);
        // The first token that speaks after a new line; lines without one share it.
        let mut following = Some(first);
        for at in first..range.end {
            let Some(token) = self.tokens.get(at) else { break };
            match token.kind {
                Kind::Open => chunk.open.push(at),
                Kind::Close => self.close(&mut chunk.open, at),
                Kind::Newline => {
                    if following.is_some_and(|it| it < at) {
                        following = self.speaking(at..range.end).next();
                    }
                    let Some(next) = following else { continue };
                    let starts = self.starts_item(next);
                    if chunk.open.is_empty() && (starts || !(self.leads_on(last) || self.follows_on(next))) {
                        chunk.tokens.end = at;
                        break;
                    }
                    if starts && chunk.cut.is_none() && self.column(next) <= indent {
                        chunk.cut = Some(at);
                    }
                }
                _ => {}
            }
            // Angle brackets of types nest as well, but `<` also compares; only an unbroken run of types counts.
            angles = match (token.kind, token.text) {
                (Kind::Symbol, "<") => angles + 1,
                (Kind::Symbol, ">") => angles.saturating_sub(1),
                (Kind::Word | Kind::Newline | Kind::Comment, _) | (Kind::Symbol, "|" | "," | "?") => angles,
                _ => 0,
            };
            if token.speaks() {
                last = at;
            }
            if chunk.open.len() > DEEPEST || angles > DEEPEST {
                chunk.too_deep = chunk.too_deep.or(Some(at));
                // Many unclosed brackets, each before an item, are not looked through anew from each.
                if chunk.cut.is_some() && !chunk.open.is_empty() {
                    break;
                }
            }
        }
        Some(chunk)
    }

    /// The chunk up to where the next item seems to start.
    pub fn shortened(&self, chunk: &Chunk) -> Chunk {
        let end = chunk.cut.unwrap_or(chunk.tokens.end);
        let mut open = Vec::new();
        for at in chunk.tokens.start..end {
            match self.tokens.get(at).map(|it| it.kind) {
                Some(Kind::Open) => open.push(at),
                Some(Kind::Close) => self.close(&mut open, at),
                _ => {}
            }
        }
        Chunk { tokens: chunk.tokens.start..end, cut: None, open, too_deep: chunk.too_deep.filter(|it| *it < end) }
    }

    /// The bytes from the first to the last token that speaks.
    pub fn bytes(&self, tokens: Range<usize>) -> Range<usize> {
        let speaking = || self.speaking(tokens.clone()).filter_map(|at| self.tokens.get(at));
        match (speaking().next(), speaking().next_back()) {
            (Some(first), Some(last)) => first.start()..last.end(),
            _ => 0..0,
        }
    }

    /// Whether the item that begins here is a test: the word before a text. Everywhere else `test` is a name.
    pub fn is_test(&self, tokens: Range<usize>) -> bool {
        let mut speaking = self.speaking(tokens).filter_map(|at| self.tokens.get(at));
        speaking.next().is_some_and(|it| it.is_word("test")) && speaking.next().is_some_and(|it| it.kind == Kind::Text)
    }

    /// The first `{` of a range outside other brackets, or the first of all where there is none such.
    pub fn body(&self, tokens: Range<usize>) -> Option<usize> {
        let is_brace = |at: usize| self.tokens.get(at).is_some_and(|it| it.kind == Kind::Open && it.text == "{");
        let mut open = Vec::new();
        for at in tokens.clone() {
            match self.tokens.get(at).map(|it| it.kind) {
                Some(Kind::Open) if open.is_empty() && is_brace(at) => return Some(at),
                Some(Kind::Open) => open.push(at),
                Some(Kind::Close) => self.close(&mut open, at),
                _ => {}
            }
        }
        tokens.into_iter().find(|at| is_brace(*at))
    }

    /// The bracket that closes the one at `open`.
    pub fn closing(&self, open: usize, end: usize) -> Option<usize> {
        let mut stack = Vec::new();
        for at in open..end {
            match self.tokens.get(at).map(|it| it.kind) {
                Some(Kind::Open) => stack.push(at),
                Some(Kind::Close) => self.close(&mut stack, at),
                _ => continue,
            }
            if stack.is_empty() {
                return Some(at);
            }
        }
        None
    }

    /// Takes the bracket that the one at `at` closes off the stack, and any inside it; a stray one changes nothing.
    pub fn close(&self, open: &mut Vec<usize>, at: usize) {
        let Some(token) = self.tokens.get(at) else { return };
        let fits = |it: &usize| self.tokens.get(*it).is_some_and(|opened| token.closes(opened));
        if let Some(position) = open.iter().rposition(fits) {
            open.truncate(position);
        }
    }

    pub fn speaking(&self, tokens: Range<usize>) -> impl DoubleEndedIterator<Item = usize> {
        tokens.filter(|at| self.tokens.get(*at).is_some_and(Token::speaks))
    }

    fn column(&self, at: usize) -> usize {
        let start = self.tokens.get(at).map_or(0, Token::start);
        start - self.text.get(..start).and_then(|it| it.rfind('\n')).map_or(0, |it| it + 1)
    }

    /// Whether a token ends a line after which an item starts at the very left.
    pub fn starts_line(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|it| it.kind == Kind::Newline)
            && self.starts_item(at + 1)
            && self.column(at + 1) == 0
    }

    /// `param x`, `output y`, or `name =`.
    fn starts_item(&self, at: usize) -> bool {
        let (Some(token), next) = (self.tokens.get(at), self.tokens.get(at + 1)) else { return false };
        let is_next = |symbol| next.is_some_and(|it| it.is_symbol(symbol));
        if token.is_item_word() {
            return next.is_some_and(Token::speaks) && !["=", ",", ".", ":"].into_iter().any(is_next);
        }
        token.kind == Kind::Word && !token.is_reserved() && is_next("=")
    }

    /// Whether a line that ends with this token goes on in the next.
    fn leads_on(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        match token.kind {
            Kind::Symbol => !["?", ";", ">"].contains(&token.text),
            Kind::Word => ["and", "or", "not", "then", "after", "to", "in", "as", "else", "if"].contains(&token.text),
            _ => false,
        }
    }

    /// Whether a line that starts with this token goes on with the one before.
    fn follows_on(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        match token.kind {
            Kind::Symbol => token.text != ";",
            Kind::Word => ["and", "or", "then", "after", "to", "in", "as", "else"].contains(&token.text),
            Kind::Open => token.text == "{",
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<&str> {
        let reader = Reader::new(text);
        let mut at = 0;
        let mut found = Vec::new();
        while let Some(chunk) = reader.next_chunk(at..reader.tokens.len()) {
            let chunk = if chunk.open.is_empty() { chunk } else { reader.shortened(&chunk) };
            found.push(text.get(reader.bytes(chunk.tokens.clone())).unwrap());
            at = chunk.tokens.end;
        }
        found
    }

    #[test]
    fn new_lines_outside_brackets_divide_items() {
        assert_eq!(
            chunks("# c\na = f(x,  # (\n  y)\n\nb = a\n  + c\noutput a,\n  b\nc = \"(\"\n"),
            ["a = f(x,  # (\n  y)", "b = a\n  + c", "output a,\n  b", "c = \"(\""]
        );
    }

    #[test]
    fn an_unclosed_bracket_ends_where_an_item_starts() {
        assert_eq!(
            chunks("a = f(x,\n  y = 3\nb = g(\nparam c: int\n)\n"),
            ["a = f(x,\n  y = 3", "b = g(\nparam c: int\n)"]
        );
    }
}
