//! Cuts mathematical text, LaTeX or plain, into tokens.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Pow;

use crate::reward::math::{
    expression::Rational,
    words::{self, Meaning},
};

/// The longest text that is looked at as mathematics, in bytes.
pub const LONGEST: usize = 1024;

/// The longest number, in digits.
const MOST_DIGITS: usize = 400;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A number, and how many digits follow its point.
    Number(Rational, u32),
    Letter(char),
    /// Several letters beside each other.
    Word(String),
    Function(&'static str),
    Text(String),
    Sign(Sign),
    /// Plus or minus (true), or minus or plus.
    PlusMinus(bool),
    /// Everything of one character; matrices open with ⟦ and close with ⟧, their rows end in ⏎.
    Mark(char),
}

/// What stands between the sides of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Near,
    In,
}

/// How commas between digits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commas {
    /// Between groups of three digits, they are no more than a help to the eye.
    Group,
    /// They stand between the items of a list.
    Separate,
    /// As a decimal point.
    Decimal,
}

/// A token, and whether a space stands before it.
pub type Spaced = (Token, bool);

/// The tokens of a text; None where a character or a command has no meaning here.
#[must_use]
pub fn tokenize(text: &str, commas: Commas) -> Option<Vec<Spaced>> {
    if text.len() > LONGEST {
        return None;
    }
    let mut lexer = Lexer { rest: text, commas, tokens: Vec::new(), depth: 0, single: 0, braces: Vec::new() };
    let mut spaced = false;
    loop {
        let trimmed = lexer.rest.trim_start();
        spaced |= trimmed.len() < lexer.rest.len();
        lexer.rest = trimmed;
        if trimmed.is_empty() {
            return Some(lexer.tokens);
        }
        let before = lexer.tokens.len();
        lexer.next(spaced)?;
        // What left no token, such as a dollar, stands between as a space does.
        spaced = lexer.tokens.len() == before;
    }
}

struct Lexer<'a> {
    rest: &'a str,
    commas: Commas,
    tokens: Vec<Spaced>,
    /// How many brackets are open in which commas always separate.
    depth: usize,
    /// How many arguments a command still takes that may be a single digit.
    single: usize,
    braces: Vec<usize>,
}

impl Lexer<'_> {
    fn push(&mut self, token: Token, spaced: bool) {
        self.single = match &token {
            Token::Function("frac" | "binom") => 2,
            Token::Mark('{' | '}') => self.single,
            _ => self.single.saturating_sub(1),
        };
        self.tokens.push((token, spaced));
    }

    fn take(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn next(&mut self, spaced: bool) -> Option<()> {
        let first = self.rest.chars().next()?;
        for (text, token) in [
            ("<=", Token::Sign(Sign::LessOrEqual)),
            (">=", Token::Sign(Sign::GreaterOrEqual)),
            ("!=", Token::Sign(Sign::NotEqual)),
            ("==", Token::Sign(Sign::Equal)),
            ("**", Token::Mark('^')),
        ] {
            if self.rest.starts_with(text) {
                self.take(2);
                self.push(token, spaced);
                return Some(());
            }
        }
        match first {
            '0'..='9' => return self.number(spaced),
            '.' if self.rest.get(1..2).is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit())) => {
                return self.number(spaced);
            }
            '\\' => return self.command(spaced),
            'a'..='z' | 'A'..='Z' => return self.word(spaced),
            _ => {}
        }
        self.take(first.len_utf8());
        let token = match first {
            '{' => {
                self.braces.push(self.single);
                self.single = 0;
                Token::Mark('{')
            }
            '}' => {
                self.single = self.braces.pop().unwrap_or(0).saturating_sub(1);
                Token::Mark('}')
            }
            '(' | '[' => {
                self.depth += 1;
                Token::Mark(first)
            }
            ')' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                Token::Mark(first)
            }
            '=' => Token::Sign(Sign::Equal),
            '<' => Token::Sign(Sign::Less),
            '>' => Token::Sign(Sign::Greater),
            '≤' => Token::Sign(Sign::LessOrEqual),
            '≥' => Token::Sign(Sign::GreaterOrEqual),
            '≠' => Token::Sign(Sign::NotEqual),
            '≈' => Token::Sign(Sign::Near),
            '∈' => Token::Sign(Sign::In),
            '±' => Token::PlusMinus(true),
            '\u{2212}' | '–' => Token::Mark('-'),
            '×' | '·' | '⋅' => Token::Mark('*'),
            '÷' => Token::Mark('/'),
            '²' => return self.raised(2, spaced),
            '³' => return self.raised(3, spaced),
            '√' => Token::Function("sqrt"),
            '%' | '°' | '∞' | '∪' | '∩' | '∅' => Token::Mark(first),
            '+' | '-' | '*' | '/' | '^' | '_' | '|' | ',' | ';' | ':' | '!' | '\'' | '&' | '.' => Token::Mark(first),
            '$' | '€' | '£' | '~' | '"' | '`' => return Some(()),
            _ if first.is_alphabetic() => Token::Letter(first),
            _ => return None,
        };
        self.push(token, spaced);
        Some(())
    }

    fn raised(&mut self, power: i64, spaced: bool) -> Option<()> {
        self.push(Token::Mark('^'), spaced);
        self.push(Token::Number(Rational::from_integer(power.into()), 0), false);
        Some(())
    }

    fn number(&mut self, spaced: bool) -> Option<()> {
        let digits_of = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        if self.single > 0 && digits_of(self.rest) > 0 {
            let digit = self.rest.bytes().next().map(|it| i64::from(it - b'0'))?;
            self.take(1);
            self.push(Token::Number(Rational::from_integer(digit.into()), 0), spaced);
            return Some(());
        }
        let mut digits = String::new();
        let mut length = digits_of(self.rest);
        digits.push_str(self.rest.get(..length)?);
        self.take(length);
        let first = digits.len();
        while let Some(gap) = self.group(first) {
            digits.push_str(self.rest.get(gap..gap + 3)?);
            self.take(gap + 3);
        }
        let point = self.rest.starts_with('.') || (self.commas == Commas::Decimal && self.rest.starts_with(','));
        let mut places = 0;
        if point {
            length = digits_of(self.rest.get(1..).unwrap_or_default());
            if length > 0 {
                digits.push_str(self.rest.get(1..=length)?);
                places = length;
                self.take(1 + length);
            }
        }
        if digits.len() > MOST_DIGITS {
            return None;
        }
        let mut value = BigRational::from_integer(digits.parse::<BigInt>().ok()?);
        let ten = |power: usize| BigRational::from_integer(Pow::pow(BigInt::from(10), power));
        value /= ten(places);
        if let Some((exponent, length)) = self.exponent() {
            self.take(length);
            let power = ten(exponent.unsigned_abs() as usize);
            value = if exponent < 0 { value / power } else { value * power };
        }
        self.push(Token::Number(value, places as u32), spaced);
        Some(())
    }

    /// How much stands between the digits read and three more, if it is there to group them. The first group is
    /// `first` digits long.
    fn group(&self, first: usize) -> Option<usize> {
        let sure = ["{,}", ",\\!", "\\,", "{\\,}", "\\ "];
        let gap = match sure.iter().find(|it| self.rest.starts_with(**it)) {
            Some(gap) => gap.len() + self.rest.get(gap.len()..)?.bytes().take_while(|it| *it == b' ').count(),
            None if self.rest.starts_with(',') && self.commas == Commas::Group && self.depth == 0 => 1,
            None => return None,
        };
        let after = self.rest.get(gap..)?.bytes().take_while(u8::is_ascii_digit).count();
        (after == 3 && (1..=3).contains(&first)).then_some(gap)
    }

    /// The exponent of `1.5e-3`, and how long it is.
    fn exponent(&self) -> Option<(i32, usize)> {
        let rest = self.rest.strip_prefix(['e', 'E'])?;
        let sign = usize::from(rest.starts_with(['+', '-']));
        let digits = rest.get(sign..)?.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > 3 {
            return None;
        }
        let value: i32 = rest.get(..sign + digits)?.parse().ok()?;
        (value.abs() <= MOST_DIGITS as i32).then_some((value, 1 + sign + digits))
    }

    fn word(&mut self, spaced: bool) -> Option<()> {
        let length = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let mut word = self.rest.get(..length)?;
        // `1or 2` and `1 or2` are written too; `for` is a word.
        if let Some(token) = words::word(word) {
            self.take(length);
            self.push(token, spaced);
            return Some(());
        }
        if self.single > 0 {
            word = word.get(..1)?;
        }
        let token = match word.chars().next() {
            Some(letter) if word.len() == 1 => Token::Letter(letter),
            _ => Token::Word(word.to_owned()),
        };
        self.take(word.len());
        if let Some(start) = word.strip_prefix("or").filter(|it| it.len() == 1 && it.chars().all(char::is_uppercase)) {
            // `(x)=1orW(x)=-1`
            self.push(Token::Text("or".to_owned()), spaced);
            self.push(Token::Letter(start.chars().next()?), false);
            return Some(());
        }
        self.push(token, spaced);
        Some(())
    }

    fn command(&mut self, spaced: bool) -> Option<()> {
        let after = self.rest.get(1..)?;
        let length = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length == 0 {
            let character = after.chars().next();
            // A row that ends is never followed by the name of a command: this one was escaped once too often.
            let name = after
                .get(1..)
                .map_or("", |it| it.get(..it.bytes().take_while(u8::is_ascii_alphabetic).count()).unwrap_or_default());
            if character == Some('\\') && name.len() >= 3 && !matches!(words::command(name), Meaning::Unknown) {
                self.take(1);
                return Some(());
            }
            self.take(1 + character.map_or(0, char::len_utf8));
            let token = match character? {
                '{' => {
                    self.depth += 1;
                    Token::Mark('⦃')
                }
                '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    Token::Mark('⦄')
                }
                '\\' => Token::Mark('⏎'),
                '%' => Token::Mark('%'),
                '|' => Token::Mark('|'),
                _ => return Some(()),
            };
            self.push(token, spaced);
            return Some(());
        }
        let name = after.get(..length)?;
        self.take(1 + length);
        match words::command(name) {
            Meaning::Token(token) => self.push(token, spaced),
            Meaning::Silent => {
                // `\left.` and `\right.` are invisible.
                if matches!(name, "left" | "right") && self.rest.starts_with('.') {
                    self.take(1);
                }
            }
            Meaning::Transparent => {}
            Meaning::Text => {
                let text = self.braced()?;
                let plain = text.trim_matches(|it: char| it.is_whitespace() || ",;.:".contains(it));
                match words::word(plain) {
                    Some(token) => self.push(token, true),
                    None => self.push(Token::Text(plain.to_owned()), true),
                }
            }
            Meaning::Unknown => match name {
                "begin" | "end" => {
                    let environment = self.braced()?;
                    if environment.ends_with("matrix") || environment == "array" {
                        if environment == "array" && name == "begin" && self.rest.trim_start().starts_with('{') {
                            self.braced()?;
                        }
                        self.push(Token::Mark(if name == "begin" { '⟦' } else { '⟧' }), spaced);
                    }
                }
                "mathbb" => {
                    let letter = self.braced()?.chars().next()?;
                    self.push(Token::Text(format!("set of {letter}")), spaced);
                }
                _ => {
                    // `\quadx` is a slip for `\quad x`.
                    if let Some(rest) = name.strip_prefix("quad").or_else(|| name.strip_prefix("qquad")) {
                        let at = self.rest.len() + rest.len();
                        self.rest = after.get(after.len() - at..)?;
                    } else {
                        self.push(Token::Word(name.to_owned()), spaced);
                    }
                }
            },
        }
        Some(())
    }

    /// What stands in the braces that come next.
    fn braced(&mut self) -> Option<String> {
        let rest = self.rest.trim_start().strip_prefix('{')?;
        let mut depth = 1;
        for (at, character) in rest.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = rest.get(..at)?.to_owned();
                self.rest = rest.get(at + 1..)?;
                return Some(inside);
            }
        }
        None
    }
}
