//! The reward `cosine(limit)`: a right answer is worth more when short, a wrong one costs less when long.
//!
//! Along half a wave of the cosine from no length to the limit: 1.0 to 0.5 for right answers, -0.5 to 0.0 for wrong ones,
//! so that a model that cannot solve a problem yet is drawn to think on (Yeo et al. 2025, "Demystifying long
//! chain-of-thought reasoning", equation 1).

use serde_json::Value;

use crate::{
    data::rows::Sample,
    reward::{
        RewardError,
        answer::{Verdict, grade},
        arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::each("cosine", check, score).needing(Needs::Tokens);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let met = arguments.len() == 1 && arguments::tokens(arguments, 0).is_some();
    arguments::expect(name, "one argument, a positive number of tokens", met, arguments)
}

fn score(sample: &Sample, arguments: &[Value]) -> Option<f64> {
    let limit = arguments::tokens(arguments, 0)?;
    let correct = grade(&sample.completion, &sample.answer)? == Verdict::Correct;
    let progress = (sample.tokens as f64 / limit).min(1.0);
    let wave = 0.5 * (1.0 + (progress * std::f64::consts::PI).cos());
    Some(if correct { 0.5 + 0.5 * wave } else { -0.5 * wave })
}
