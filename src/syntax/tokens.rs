//! A coarse reading of the text as tokens, enough to divide it into items and to say what stands where an error is.

use crate::syntax::{ITEM_WORDS, RESERVED};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// Starts with a digit; words glued to it are part of it.
    Number,
    Text,
    /// A text without its closing quote.
    OpenText,
    Open,
    Close,
    Symbol,
    Newline,
    Comment,
    /// A character that no recipe needs outside texts and comments.
    Stray,
}

/// A run of characters. A large recipe has millions, so that each is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    /// Where it starts in the text.
    at: u32,
    pub text: &'a str,
}

impl Token<'_> {
    /// The byte of the text with which it starts.
    pub fn start(&self) -> usize {
        self.at as usize
    }

    /// The byte behind its last.
    pub fn end(&self) -> usize {
        self.start() + self.text.len()
    }

    /// Whether the token says something, unlike a comment or the end of a line.
    pub fn speaks(&self) -> bool {
        !matches!(self.kind, Kind::Newline | Kind::Comment)
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    pub fn is_item_word(&self) -> bool {
        self.kind == Kind::Word && ITEM_WORDS.contains(&self.text)
    }

    pub fn is_reserved(&self) -> bool {
        self.kind == Kind::Word && RESERVED.contains(&self.text)
    }

    /// Whether this closing bracket fits that opening one.
    pub fn closes(&self, open: &Self) -> bool {
        closer(open.text) == Some(self.text)
    }
}

/// The bracket that closes an opening one.
pub fn closer(open: &str) -> Option<&'static str> {
    match open {
        "(" => Some(")"),
        "[" => Some("]"),
        "{" => Some("}"),
        _ => None,
    }
}

const SYMBOLS: [&str; 14] = ["->", "=>", "..", "==", "!=", "<=", ">=", "&&", "||", ":=", "**", "//", "+=", "-="];

/// Every token of a text, in order. Together with blanks they cover it.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    // Some editors start a file with a byte order mark, which says nothing.
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut angles = Angles::default();
    while let Some((rest, (kind, length))) = text.get(at..).and_then(|rest| Some((rest, next(rest)?))) {
        let end = at + if angles.end_with(rest) { 1 } else { length };
        if let (Some(kind), Some(slice)) = (kind, text.get(at..end)) {
            angles.pass(kind, slice);
            found.push(Token { kind, at: at as u32, text: slice });
        }
        at = end;
    }
    found
}

/// The angle brackets of a type, of which one that closes is a token of its own, whatever stands behind it:
/// `param sizes: list<int>= [1]`.
#[derive(Default)]
struct Angles {
    in_type: bool,
    open: usize,
}

impl Angles {
    fn end_with(&self, rest: &str) -> bool {
        self.open > 0 && rest.starts_with('>')
    }

    fn pass(&mut self, kind: Kind, text: &str) {
        match (kind, text) {
            (Kind::Symbol, ":" | "->") => (self.in_type, self.open) = (true, 0),
            (Kind::Symbol, "<") if self.in_type => self.open += 1,
            (Kind::Symbol, ">") => self.open = self.open.saturating_sub(1),
            (Kind::Word | Kind::Text | Kind::Newline | Kind::Comment, _) | (Kind::Symbol, "|" | "?") => {}
            (Kind::Symbol, ",") if self.open > 0 => {}
            _ => (self.in_type, self.open) = (false, 0),
        }
    }
}

/// The kind and length in bytes of what stands first; no kind for blanks.
fn next(rest: &str) -> Option<(Option<Kind>, usize)> {
    let first = rest.chars().next()?;
    let length_while = |holds: fn(char) -> bool| rest.find(|it| !holds(it)).unwrap_or(rest.len());
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    Some(match first {
        '\n' => (Some(Kind::Newline), 1),
        ' ' | '\t' | '\r' => (None, length_while(|it| matches!(it, ' ' | '\t' | '\r'))),
        '#' => (Some(Kind::Comment), length_while(|it| it != '\n')),
        '"' => text(rest),
        '(' | '[' | '{' => (Some(Kind::Open), 1),
        ')' | ']' | '}' => (Some(Kind::Close), 1),
        '0'..='9' => (Some(Kind::Number), number(rest)),
        _ if is_word(first) => (Some(Kind::Word), length_while(is_word)),
        _ if SYMBOLS.iter().any(|it| rest.starts_with(it)) => (Some(Kind::Symbol), 2),
        _ if first.is_ascii_punctuation() && first != '\'' && first != '`' => (Some(Kind::Symbol), 1),
        _ => (Some(Kind::Stray), first.len_utf8()),
    })
}

fn text(rest: &str) -> (Option<Kind>, usize) {
    let mut escaped = false;
    for (at, it) in rest.char_indices().skip(1) {
        match it {
            '\n' => return (Some(Kind::OpenText), open(rest.get(..at).unwrap_or_default())),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (Some(Kind::Text), at + 1),
            _ => {}
        }
    }
    (Some(Kind::OpenText), open(rest))
}

/// The length of a text that is not closed, without the blanks at its end.
fn open(text: &str) -> usize {
    text.trim_end_matches([' ', '\t', '\r']).len()
}

/// A point belongs to a number where a digit follows, a sign where it follows the `e` of an exponent.
fn number(rest: &str) -> usize {
    let mut before = ('0', '0');
    let mut all = rest.char_indices().peekable();
    while let Some((at, it)) = all.next() {
        let digit_follows = all.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        let exponent = matches!(before, ('0'..='9', 'e' | 'E')) && matches!(it, '+' | '-');
        let belongs = it.is_alphanumeric() || it == '_' || ((it == '.' || exponent) && digit_follows);
        if !belongs {
            return at;
        }
        before = (before.1, it);
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_tokens() {
        let shown: Vec<String> = tokens("a.b = f(3e-6, 1..3, \"x\\\"\")  # c\n\u{201c}20Mtokens \"open")
            .iter()
            .map(|it| format!("{:?} {}", it.kind, it.text.escape_debug()))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        Word a
        Symbol .
        Word b
        Symbol =
        Word f
        Open (
        Number 3e-6
        Symbol ,
        Number 1
        Symbol ..
        Number 3
        Symbol ,
        Text \"x\\\"\"
        Close )
        Comment # c
        Newline \n
        Stray “
        Number 20Mtokens
        OpenText \"open
        "#);
    }
}
