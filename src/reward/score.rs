//! Evaluates reward expressions: a weighted sum of scoring functions, each with its own value beside the total.

use serde_json::Value;

use crate::{
    base::reward::Reward,
    data::rows::Sample,
    reward::{RewardError, accuracy, brevity, format},
};

/// A scoring function: its name in the language, what arguments it takes, and its code.
pub struct Function {
    pub name: &'static str,
    /// Given its own name, for the complaint.
    pub check: fn(&str, &[Value]) -> Result<(), RewardError>,
    pub score: fn(&Sample, &[Value]) -> f64,
}

/// Every scoring function that needs no model.
pub const FUNCTIONS: &[Function] = &[accuracy::FUNCTION, format::FUNCTION, brevity::FUNCTION];

/// A reward expression whose names and arguments have been checked.
pub struct Scorer {
    terms: Vec<Scored>,
}

struct Scored {
    weight: f64,
    function: &'static Function,
    arguments: Vec<Value>,
}

/// The value of a reward, and of each of its terms before they are weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub total: f64,
    pub terms: Vec<f64>,
}

impl Scorer {
    pub fn new(reward: &Reward) -> Result<Self, RewardError> {
        let terms = reward.terms.iter().map(|term| {
            let known: Vec<&str> = FUNCTIONS.iter().map(|it| it.name).collect();
            let function = FUNCTIONS.iter().find(|it| it.name == term.name);
            let function = function.ok_or_else(|| RewardError::unknown("reward", &term.name, &known))?;
            (function.check)(function.name, &term.arguments)?;
            Ok(Scored { weight: term.weight, function, arguments: term.arguments.clone() })
        });
        Ok(Self { terms: terms.collect::<Result<_, _>>()? })
    }

    /// The names of the terms, in the order of the expression and of [`Score::terms`].
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.terms.iter().map(|it| it.function.name).collect()
    }

    #[must_use]
    pub fn score(&self, sample: &Sample) -> Score {
        let terms: Vec<f64> = self.terms.iter().map(|it| (it.function.score)(sample, &it.arguments)).collect();
        let total = self.terms.iter().zip(&terms).map(|(term, value)| term.weight * value).sum();
        Score { total, terms }
    }
}

/// The check of functions that take no arguments.
pub fn without_arguments(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(RewardError::mismatch(name, "no arguments", arguments.len().to_string()))
}
