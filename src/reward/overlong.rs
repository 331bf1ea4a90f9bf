//! The reward `overlong(limit, margin)`: nothing up to the margin before the limit, then falling in a straight line to
//! minus one at the limit and beyond (DAPO, equation 13).

use serde_json::Value;

use crate::{
    data::rows::Sample,
    reward::{
        RewardError, arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::each("overlong", check, score).needing(Needs::Tokens);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let (limit, margin) = (arguments::tokens(arguments, 0), arguments::tokens(arguments, 1));
    let met = arguments.len() == 2 && limit.zip(margin).is_some_and(|(limit, margin)| margin <= limit);
    arguments::expect(name, "a limit in tokens and a margin that is not above it", met, arguments)
}

fn score(sample: &Sample, arguments: &[Value]) -> Option<f64> {
    let (limit, margin) = (arguments::tokens(arguments, 0)?, arguments::tokens(arguments, 1)?);
    Some(((limit - margin - sample.tokens as f64) / margin).clamp(-1.0, 0.0))
}
