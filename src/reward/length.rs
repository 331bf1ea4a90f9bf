//! The reward `length`: within the answers to one question, the shorter of the right ones is worth more.
//!
//! A half less the place between the shortest and the longest; a wrong answer never gains by being short (Kimi k1.5,
//! section 2.3.3).

use crate::{
    data::rows::Sample,
    reward::{
        answer::is_correct,
        score::{Function, Needs, without_arguments},
    },
};

pub const FUNCTION: Function =
    Function::group("length", without_arguments, |group, _| Ok(score(group))).needing(Needs::Tokens);

fn score(group: &[&Sample]) -> Vec<Option<f64>> {
    let shortest = group.iter().map(|it| it.tokens).min().unwrap_or(0);
    let longest = group.iter().map(|it| it.tokens).max().unwrap_or(0);
    let value = |sample: &&Sample| {
        if shortest == longest {
            return 0.0;
        }
        let value = 0.5 - (sample.tokens - shortest) as f64 / (longest - shortest) as f64;
        if is_correct(&sample.completion, &sample.answer) { value } else { value.min(0.0) }
    };
    group.iter().map(|it| Some(value(it))).collect()
}
