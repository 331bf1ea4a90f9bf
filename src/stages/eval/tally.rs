//! What the answers to one problem come to.

use serde::{Deserialize, Serialize};

use crate::{
    data::rows::{Finish, Sample},
    reward::{
        answer::{Verdict, judge},
        format::parts,
        language::{of_language, of_the_question, one_language},
        passes::majority,
    },
};

/// The class of an answer; every one is of exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Correct,
    Wrong,
    /// It ended by itself, and no answer can be read off.
    Unparseable,
    /// It was cut off before it came to a right answer.
    Truncated,
}

impl Class {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Wrong => "wrong",
            Self::Unparseable => "unparseable",
            Self::Truncated => "truncated",
        }
    }
}

/// One answer, looked at from all sides.
#[derive(Clone, Copy, Debug)]
pub struct Graded {
    pub verdict: Class,
    pub format: bool,
    /// The share of the thought's words that are of the language wanted.
    pub language: f64,
    pub mixed: bool,
}

impl Graded {
    /// Grades an answer; where no language is named, it is that of the question.
    #[must_use]
    pub fn new(sample: &Sample, language: Option<&str>) -> Self {
        let text = sample.text();
        let verdict = match judge(&sample.completion, &sample.answer) {
            Verdict::Correct => Class::Correct,
            _ if sample.finish == Finish::Length => Class::Truncated,
            Verdict::Wrong => Class::Wrong,
            Verdict::Unparseable => Class::Unparseable,
        };
        let named = language.and_then(|code| of_language(&text, code));
        Self {
            verdict,
            format: parts(&text).is_some(),
            language: named.unwrap_or_else(|| of_the_question(&text, &sample.question)),
            mixed: !one_language(&text),
        }
    }
}

/// The answers to one problem, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub correct: usize,
    pub wrong: usize,
    pub unparseable: usize,
    pub truncated: usize,
    /// Whether the answer that most agree on is right.
    pub majority: bool,
    pub formatted: usize,
    pub mixed: usize,
    /// The sum of the language shares.
    pub language: f64,
    pub tokens: usize,
}

impl Tally {
    #[must_use]
    pub fn new(samples: &[Sample], graded: &[Graded]) -> Self {
        let of = |class: Class| graded.iter().filter(|it| it.verdict == class).count();
        let completions: Vec<&str> = samples.iter().map(|it| it.completion.as_str()).collect();
        let elected = majority(&completions).and_then(|at| graded.get(at));
        Self {
            correct: of(Class::Correct),
            wrong: of(Class::Wrong),
            unparseable: of(Class::Unparseable),
            truncated: of(Class::Truncated),
            majority: elected.is_some_and(|it| it.verdict == Class::Correct),
            formatted: graded.iter().filter(|it| it.format).count(),
            mixed: graded.iter().filter(|it| it.mixed).count(),
            language: graded.iter().map(|it| it.language).sum(),
            tokens: samples.iter().map(|it| it.tokens).sum(),
        }
    }

    #[must_use]
    pub fn answers(&self) -> usize {
        self.correct + self.wrong + self.unparseable + self.truncated
    }

    /// The share of answers that are right.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.correct as f64 / self.answers().max(1) as f64
    }
}
