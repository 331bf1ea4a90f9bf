//! Evaluates reward expressions: a weighted sum of scoring functions, each with its own value beside the total.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    base::reward::Reward,
    data::rows::Sample,
    reward::{
        RewardError, accuracy, brevity, code, cosine, format, language, length, overlong, program, repetition,
        tag_count,
    },
};

/// A scoring function: its name in the language, what arguments it takes, what it reads, and its code.
pub struct Function {
    pub name: &'static str,
    /// Given its own name, for the complaint.
    pub check: fn(&str, &[Value]) -> Result<(), RewardError>,
    pub needs: Needs,
    pub code: Code,
}

/// How much of a sample a function reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Completion,
    /// The right answer as well.
    Answer,
    /// The length in tokens as well.
    Tokens,
}

/// The values of a group of samples, in their order.
pub type Values = Result<Vec<Option<f64>>, RewardError>;

/// How a function comes to its values; there is none where it does not apply, as where the right answer cannot be read.
#[derive(Clone, Copy)]
pub enum Code {
    Each(fn(&Sample, &[Value]) -> Option<f64>),
    /// Compares the answers to one question, or gets over a cost that is the same for many.
    Group(fn(&[&Sample], &[Value]) -> Values),
}

/// Every scoring function that needs no model.
pub const FUNCTIONS: &[Function] = &[
    accuracy::FUNCTION,
    brevity::FUNCTION,
    code::FUNCTION,
    cosine::FUNCTION,
    format::FUNCTION,
    language::FUNCTION,
    length::FUNCTION,
    overlong::FUNCTION,
    program::FUNCTION,
    repetition::FUNCTION,
    tag_count::FUNCTION,
];

/// A scoring function that a stage lends, such as one that asks a model: the values of a group of samples, given the
/// term's arguments.
pub type Lent = Box<dyn Fn(&[&Sample], &[Value]) -> Values + Send + Sync>;

/// A reward expression whose names and arguments have been checked.
pub struct Scorer {
    terms: Vec<Scored>,
}

struct Scored {
    label: String,
    weight: f64,
    needs: Needs,
    code: Source,
    arguments: Vec<Value>,
}

enum Source {
    Own(Code),
    Lent(std::sync::Arc<Lent>),
}

/// The value of a reward, and of each of its terms before they are weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// A term without a value counts as nothing.
    pub total: f64,
    pub terms: Vec<Option<f64>>,
}

/// The values of one term over many samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub term: String,
    /// How many samples have a value.
    pub count: usize,
    pub mean: f64,
    /// The standard deviation of a sample, with one degree of freedom less than values.
    pub deviation: f64,
}

impl Function {
    #[must_use]
    pub const fn each(
        name: &'static str,
        check: fn(&str, &[Value]) -> Result<(), RewardError>,
        code: fn(&Sample, &[Value]) -> Option<f64>,
    ) -> Self {
        Self { name, check, needs: Needs::Answer, code: Code::Each(code) }
    }

    #[must_use]
    pub const fn group(
        name: &'static str,
        check: fn(&str, &[Value]) -> Result<(), RewardError>,
        code: fn(&[&Sample], &[Value]) -> Values,
    ) -> Self {
        Self { name, check, needs: Needs::Answer, code: Code::Group(code) }
    }

    #[must_use]
    pub const fn needing(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }
}

impl Scorer {
    pub fn new(reward: &Reward) -> Result<Self, RewardError> {
        Self::with(reward, BTreeMap::new())
    }

    /// A scorer that has functions lent to it, each by the name that stands in the expression.
    pub fn with(reward: &Reward, lent: BTreeMap<String, Lent>) -> Result<Self, RewardError> {
        let lent: BTreeMap<_, _> = lent.into_iter().map(|(name, it)| (name, std::sync::Arc::new(it))).collect();
        let mut terms: Vec<Scored> = Vec::new();
        for term in &reward.terms {
            let same = terms.iter().filter(|it| it.label.split('#').next() == Some(&term.name)).count();
            let label = if same == 0 { term.name.clone() } else { format!("{}#{}", term.name, same + 1) };
            let (weight, arguments) = (term.weight, term.arguments.clone());
            let (needs, code) = match lent.get(&term.name) {
                Some(function) => (Needs::Answer, Source::Lent(function.clone())),
                None => {
                    let known: Vec<&str> = FUNCTIONS.iter().map(|it| it.name).collect();
                    let function = FUNCTIONS.iter().find(|it| it.name == term.name);
                    let function = function.ok_or_else(|| RewardError::unknown("reward", &term.name, &known))?;
                    (function.check)(function.name, &term.arguments)?;
                    (function.needs, Source::Own(function.code))
                }
            };
            terms.push(Scored { label, weight, needs, code, arguments });
        }
        Ok(Self { terms })
    }

    /// The names of the terms, in the order of the expression and of [`Score::terms`]; of a second term of one name
    /// the name says so.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.terms.iter().map(|it| it.label.as_str()).collect()
    }

    /// The most that any of the terms reads of a sample.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.terms.iter().map(|it| it.needs).max().unwrap_or(Needs::Completion)
    }

    /// Whether every sample is scored for itself.
    #[must_use]
    pub fn is_each(&self) -> bool {
        self.terms.iter().all(|it| matches!(it.code, Source::Own(Code::Each(_))))
    }

    /// The score of a sample by itself.
    pub fn score(&self, sample: &Sample) -> Result<Score, RewardError> {
        let mut scores = self.score_group(&[sample])?;
        scores.pop().ok_or_else(|| RewardError::Failed { name: "reward".into(), problem: "no sample".into() })
    }

    /// The scores of the answers to one question.
    pub fn score_group(&self, group: &[&Sample]) -> Result<Vec<Score>, RewardError> {
        let mut scores: Vec<Score> = group.iter().map(|_| Score { total: 0.0, terms: Vec::new() }).collect();
        for term in &self.terms {
            let values = match &term.code {
                Source::Own(Code::Each(score)) => group.iter().map(|it| score(it, &term.arguments)).collect(),
                Source::Own(Code::Group(score)) => score(group, &term.arguments)?,
                Source::Lent(score) => score(group, &term.arguments)?,
            };
            for (score, value) in scores.iter_mut().zip(values) {
                score.total += term.weight * value.unwrap_or(0.0);
                score.terms.push(value);
            }
        }
        Ok(scores)
    }

    /// The mean and the spread of each term, for a step's metrics.
    #[must_use]
    pub fn spreads(&self, scores: &[Score]) -> Vec<Spread> {
        let terms = self.terms.iter().enumerate();
        terms
            .map(|(at, term)| {
                let values = scores.iter().filter_map(|it| it.terms.get(at).copied().flatten());
                Spread::new(term.label.clone(), values)
            })
            .collect()
    }
}

impl Score {
    /// The total, if every term has a value.
    #[must_use]
    pub fn known(&self) -> Option<f64> {
        self.terms.iter().all(Option::is_some).then_some(self.total)
    }
}

impl Spread {
    #[must_use]
    pub fn new(term: String, values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let count = values.len();
        let mean = if count == 0 { 0.0 } else { values.iter().sum::<f64>() / count as f64 };
        let squares = values.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>();
        let deviation = if count < 2 { 0.0 } else { (squares / (count - 1) as f64).sqrt() };
        Self { term, count, mean, deviation }
    }
}

/// The check of functions that take no arguments.
pub fn without_arguments(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(RewardError::mismatch(name, "no arguments", arguments.len().to_string()))
}
