//! Reads the arguments of scoring functions.

use serde_json::Value;

use crate::{
    base::units::{Amount, Unit},
    reward::RewardError,
};

/// The argument at a place as a positive number of tokens.
#[must_use]
pub fn tokens(arguments: &[Value], at: usize) -> Option<f64> {
    let argument = arguments.get(at)?;
    let amount: Option<Amount> = serde_json::from_value(argument.clone()).ok();
    let tokens = amount.filter(|it| it.unit == Unit::Tokens).map(|it| it.value).or_else(|| argument.as_f64())?;
    (tokens > 0.0).then_some(tokens)
}

/// The argument at a place as a number.
#[must_use]
pub fn number(arguments: &[Value], at: usize) -> Option<f64> {
    arguments.get(at)?.as_f64().filter(|it| it.is_finite())
}

/// The argument at a place as a text.
#[must_use]
pub fn text(arguments: &[Value], at: usize) -> Option<&str> {
    arguments.get(at)?.as_str()
}

/// Complains where the arguments are not what a function expects.
pub fn expect(name: &str, expected: &str, met: bool, arguments: &[Value]) -> Result<(), RewardError> {
    if met {
        return Ok(());
    }
    let found = match arguments {
        [] => "no arguments".to_owned(),
        some => some.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
    };
    Err(RewardError::mismatch(name, expected, found))
}
