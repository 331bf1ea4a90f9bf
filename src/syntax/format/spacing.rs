//! Where a blank stands between two tokens.

use crate::syntax::tokens::{Kind, Token};

/// The tokens so far, as far as they decide what a blank depends on.
#[derive(Default)]
pub struct Spacing<'a> {
    before: Option<&'a Token<'a>>,
    earlier: Option<&'a Token<'a>>,
    /// Whether the text stands in a type, where `<` and `>` are brackets.
    in_type: bool,
    angles: usize,
    /// Whether a pin, `@ blake3:..`, has begun.
    in_pin: bool,
    /// Whether the token before is a sign of the value that follows.
    signs: bool,
}

/// A blank before a token, and whether a long line may be broken there.
#[derive(Clone, Copy)]
pub struct Space {
    pub blank: bool,
    pub joins: bool,
    /// Whether the token before ends a value, so that a bracket here is a call or an index.
    pub follows_value: bool,
}

impl<'a> Spacing<'a> {
    pub fn next(&mut self, token: &'a Token<'a>) -> Space {
        let follows_value = self.before.is_some_and(|it| self.ends_value(it));
        let blank = self.before.is_some_and(|before| self.blank(before, token, follows_value));
        let is_word = ["and", "or", "then"].into_iter().any(|it| token.is_word(it));
        let joins = follows_value && (is_word || token.is_symbol("+") || token.is_symbol("-"));
        match token.text {
            ":" if !self.in_pin => self.in_type = true,
            "->" => self.in_type = true,
            "@" => (self.in_type, self.in_pin) = (false, true),
            "<" if self.in_type => self.angles += 1,
            ">" if self.in_type => self.angles = self.angles.saturating_sub(1),
            "," if self.angles > 0 => {}
            "=" | ")" | "{" | "," | "in" | "as" => (self.in_type, self.angles) = (false, 0),
            _ => {}
        }
        self.signs = token.is_symbol("-") && !follows_value;
        (self.earlier, self.before) = (self.before, Some(token));
        Space { blank, joins, follows_value }
    }

    /// Whether the text stands between the angle brackets of a type, where commas divide types.
    pub fn in_angles(&self) -> bool {
        self.angles > 0
    }

    fn blank(&self, before: &Token<'_>, token: &Token<'_>, follows_value: bool) -> bool {
        if self.signs || (before.kind == Kind::Open && before.text != "{") {
            return false;
        }
        match (before.text, token.text) {
            (_, ")" | "]" | "," | "?" | "." | ".." | ":") | ("." | "..", _) => false,
            (_, "(" | "[") => !follows_value || (self.in_type && self.angles == 0 && before.text == ">"),
            (_, "<" | ">") | ("<", _) if self.in_type => false,
            (":", _) => !self.in_pin,
            _ => true,
        }
    }

    /// Whether a value may end with this token, the last one seen.
    fn ends_value(&self, token: &Token<'_>) -> bool {
        let is_field = self.earlier.is_some_and(|it| it.is_symbol("."));
        match token.kind {
            // `to`, `after` and `from` join only what stands on both sides of them.
            Kind::Word if ["to", "after", "from"].contains(&token.text) => {
                is_field || self.earlier.is_none_or(|it| matches!(it.kind, Kind::Symbol | Kind::Open))
            }
            Kind::Word => is_field || !token.is_reserved() || ["true", "false"].contains(&token.text),
            Kind::Number | Kind::Text | Kind::Close => true,
            Kind::Symbol => token.text == "?" || (self.in_type && token.text == ">"),
            _ => false,
        }
    }
}
