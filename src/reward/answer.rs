//! Holds the answer in a completion against the one that is known to be right.

use crate::reward::{
    extract::{Candidate, candidates, marked},
    math::Answer,
    number::Number,
};

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Correct,
    Wrong,
    /// No answer was found, or none of the form of the right one.
    Unparseable,
}

/// Judges a completion by the answer in it.
#[must_use]
pub fn judge(completion: &str, right: &str) -> Verdict {
    grade(completion, right).unwrap_or(Verdict::Unparseable)
}

/// Judges a completion by the answer in it; nothing where the right answer itself cannot be read.
#[must_use]
pub fn grade(completion: &str, right: &str) -> Option<Verdict> {
    // Nearly all right answers are numbers and nearly all answers are marked: these are read at once, without building
    // an expression. Decimals that differ may still be one rounded.
    if let Some(number) = Number::parse(right)
        && let Some(text) = marked(completion)
        && let Some(answer) = Number::parse(text)
    {
        if answer.equals(number) {
            return Some(Verdict::Correct);
        }
        if !text.contains('.') && !right.contains('.') {
            return Some(Verdict::Wrong);
        }
    }
    let right = Read::right(right)?;
    let Some(answer) = Read::first(completion, right.is_mathematics()) else { return Some(Verdict::Unparseable) };
    Some(if right.is_given_by(&answer) { Verdict::Correct } else { Verdict::Wrong })
}

/// Whether a completion gives the right answer.
#[must_use]
pub fn is_correct(completion: &str, right: &str) -> bool {
    judge(completion, right) == Verdict::Correct
}

/// Whether a right answer can be read, so that others can be held against it.
#[must_use]
pub fn is_gradable(right: &str) -> bool {
    Number::parse(right).is_some() || Read::right(right).is_some()
}

/// An answer in all the ways that it can be read.
struct Read {
    number: Option<Number>,
    answer: Option<Answer>,
}

impl Read {
    fn new(candidate: &Candidate) -> Option<Self> {
        let number = Number::parse(&candidate.text);
        let answer = Answer::parse(&candidate.text, candidate.plain);
        if number.is_none() && answer.is_none() { None } else { Some(Self { number, answer }) }
    }

    fn right(text: &str) -> Option<Self> {
        Self::first(text, true).or_else(|| Self::first(text, false))
    }

    /// The first of a text's candidates that can be read; where mathematics is asked for, words do not count.
    fn first(text: &str, mathematics: bool) -> Option<Self> {
        candidates(text).iter().filter_map(Self::new).find(|it| !mathematics || it.is_mathematics())
    }

    fn is_mathematics(&self) -> bool {
        self.number.is_some() || self.answer.as_ref().is_some_and(Answer::is_mathematics)
    }

    fn is_given_by(&self, answer: &Self) -> bool {
        let numbers = self.number.zip(answer.number).is_some_and(|(right, answer)| answer.equals(right));
        numbers || self.answer.as_ref().zip(answer.answer.as_ref()).is_some_and(|(right, it)| right.is_given_by(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        assert_eq!(judge("<answer>14.0</answer>", "14"), Verdict::Correct);
        assert_eq!(judge("<answer>15</answer>", "14"), Verdict::Wrong);
        assert_eq!(judge("<answer>fourteen</answer>", "14"), Verdict::Unparseable);
        assert_eq!(judge("14", "14"), Verdict::Correct);
        assert_eq!(judge("<think>14", "14"), Verdict::Unparseable);
        assert_eq!(judge("<think>14</think>", "14"), Verdict::Unparseable);
        assert_eq!(judge("\\boxed{\\text{Evelyn}}", "$\\text{Evelyn}$"), Verdict::Correct);
        assert_eq!(judge("<answer>B</answer>", "A"), Verdict::Wrong);
        assert_eq!(grade("<answer>B</answer>", "???"), None);
    }
}
