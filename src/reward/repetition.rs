//! The reward `repetition(words, worst)`: nothing for a text without repetition, down to the worst for one of nothing else.
//!
//! The share of its runs of words that are not new, times the worst (Yeo et al. 2025, section 4.3).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    data::rows::Sample,
    reward::{
        RewardError, arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::each("repetition", check, score).needing(Needs::Completion);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let words = arguments::number(arguments, 0).is_some_and(|it| it >= 1.0 && it.fract() == 0.0);
    let worst = arguments::number(arguments, 1).is_some_and(|it| it <= 0.0);
    let expected = "a number of words and the worst value, which is not positive";
    arguments::expect(name, expected, arguments.len() == 2 && words && worst, arguments)
}

fn score(sample: &Sample, arguments: &[Value]) -> Option<f64> {
    let (size, worst) = (arguments::number(arguments, 0)? as usize, arguments::number(arguments, 1)?);
    let text = sample.completion.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() < size {
        return Some(0.0);
    }
    let all = words.len() - size + 1;
    let new = words.windows(size).collect::<BTreeSet<_>>().len();
    Some(worst * (all - new) as f64 / all as f64)
}
