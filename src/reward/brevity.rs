//! The reward `brevity(limit)`: one for an answer of no length, falling in a straight line to nothing at the limit.
//!
//! It stands for what a person may prefer beside the right answer, and needs no model to say so.

use serde_json::Value;

use crate::{
    base::units::{Amount, Unit},
    data::rows::Sample,
    reward::{RewardError, score::Function},
};

pub const FUNCTION: Function = Function { name: "brevity", check, score };

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let expected = "one argument, a positive number of tokens";
    let found = |text: String| RewardError::mismatch(name, expected, text);
    match arguments {
        [_] => match limit(arguments) {
            Some(_) => Ok(()),
            None => Err(found(arguments.iter().map(Value::to_string).collect())),
        },
        other => Err(found(format!("{} arguments", other.len()))),
    }
}

fn score(sample: &Sample, arguments: &[Value]) -> f64 {
    limit(arguments).map_or(0.0, |limit| (1.0 - sample.tokens as f64 / limit).max(0.0))
}

fn limit(arguments: &[Value]) -> Option<f64> {
    let argument = arguments.first()?;
    let amount: Option<Amount> = serde_json::from_value(argument.clone()).ok();
    let tokens = amount.filter(|it| it.unit == Unit::Tokens).map(|it| it.value).or_else(|| argument.as_f64())?;
    if tokens > 0.0 { Some(tokens) } else { None }
}
