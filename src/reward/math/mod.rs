//! Mathematical answers: read from LaTeX or plain text, and compared exactly where they are rational, else at points.
//!
//! Time and memory are bounded by the length of a text, the depth of its brackets, the digits of a number and a budget
//! of work ([`algebra`]); what passes them is compared as it is written, or is no answer.

pub mod algebra;
pub mod compare;
pub mod evaluate;
pub mod expression;
pub mod matrix;
pub mod parse;
pub mod relation;
pub mod tokens;
pub mod value;
pub mod words;

use algebra::Algebra;
use tokens::Commas;
use value::Value;

/// An answer as it can be read; commas between digits can be read in more than one way.
#[derive(Clone, Debug)]
pub struct Answer {
    readings: Vec<Value>,
    /// The answer as words, where it is no more than words.
    words: Option<String>,
}

impl Answer {
    /// Reads an answer; in plain text a comma may be a decimal point, in LaTeX it never is.
    #[must_use]
    pub fn parse(text: &str, plain: bool) -> Option<Self> {
        let mut algebra = Algebra::default();
        let mut readings: Vec<Value> = Vec::new();
        let commas =
            text.as_bytes().windows(3).any(|it| matches!(it, [a, b',', c] if a.is_ascii_digit() && c.is_ascii_digit()));
        let ways: &[Commas] = match (commas, plain) {
            (false, _) => &[Commas::Separate],
            (true, false) => &[Commas::Group, Commas::Separate],
            (true, true) => &[Commas::Group, Commas::Decimal, Commas::Separate],
        };
        for way in ways {
            let reading = tokens::tokenize(text, *way).and_then(|tokens| value::parse(&tokens, &mut algebra));
            readings.extend(reading.filter(|it| !readings.contains(it)));
        }
        let words = words_alone(text);
        if readings.is_empty() && words.is_none() { None } else { Some(Self { readings, words }) }
    }

    /// Whether an answer is this, the right one.
    #[must_use]
    pub fn is_given_by(&self, answer: &Self) -> bool {
        if self.words.is_some() && self.words == answer.words {
            return true;
        }
        let mut algebra = Algebra::default();
        self.readings.iter().any(|right| answer.readings.iter().any(|it| compare::equal(right, it, &mut algebra)))
    }

    /// Whether it is mathematics that cannot be taken for a word.
    #[must_use]
    pub fn is_mathematics(&self) -> bool {
        let words = self.words.as_ref().is_some_and(|it| !it.contains(|it: char| it.is_ascii_digit()));
        !words && self.readings.iter().any(|it| !matches!(it, Value::Words(_)))
    }
}

/// A text that is no more than words, in one form: without its dress, and in small letters but for single letters,
/// which are choices or symbols.
fn words_alone(text: &str) -> Option<String> {
    if text.len() > tokens::LONGEST {
        return None;
    }
    let mut text = text.replace("\\left", "").replace("\\right", "");
    for command in ["\\textbf", "\\textit", "\\textrm", "\\text", "\\mathrm", "\\mathbf", "\\mbox", "\\boxed"] {
        text = text.replace(command, "");
    }
    let text = text.replace(['$', '{', '}', '(', ')', '*', '"', '.', '~'], " ").replace(['\u{2019}', '\''], "'");
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join(" ");
    let plain = joined.chars().all(|it| it.is_alphanumeric() || " -'".contains(it));
    let letters = joined.chars().filter(|it| it.is_alphabetic()).count();
    match letters {
        _ if !plain || letters == 0 => None,
        1 if joined.chars().count() == 1 => Some(joined),
        _ => Some(joined.to_lowercase()),
    }
}
