//! The reward `brevity(limit)`: one for an answer of no length, falling in a straight line to nothing at the limit.
//!
//! It stands for what a person may prefer beside the right answer, and needs no model to say so.

use serde_json::Value;

use crate::{
    data::rows::Sample,
    reward::{
        RewardError, arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::each("brevity", check, score).needing(Needs::Tokens);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let met = arguments.len() == 1 && arguments::tokens(arguments, 0).is_some();
    arguments::expect(name, "one argument, a positive number of tokens", met, arguments)
}

fn score(sample: &Sample, arguments: &[Value]) -> Option<f64> {
    arguments::tokens(arguments, 0).map(|limit| (1.0 - sample.tokens as f64 / limit).max(0.0))
}
