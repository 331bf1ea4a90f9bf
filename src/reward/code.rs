//! The reward `code(time)`: one where model-written Python passes its tests, else nothing.
//!
//! The program is the last block of Python in the answer; the tests are the problem's answer, run after it. Both run in
//! the [`sandbox`](crate::reward::sandbox), never outside of it.

use rayon::prelude::*;
use serde_json::Value;

use crate::{
    base::units::{Amount, Unit},
    data::rows::Sample,
    reward::{
        RewardError,
        sandbox::{self, Limits, Outcome},
        score::Function,
    },
};

pub const FUNCTION: Function = Function::group("code", check, score);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let met = arguments.len() == 1 && limits(arguments).is_some();
    crate::reward::arguments::expect(name, "one argument, a duration", met, arguments)?;
    sandbox::available().map_err(|problem| RewardError::Failed { name: name.to_owned(), problem })
}

fn limits(arguments: &[Value]) -> Option<Limits> {
    let amount: Amount = serde_json::from_value(arguments.first()?.clone()).ok()?;
    let time = std::time::Duration::try_from_secs_f64(amount.value).ok()?;
    (amount.unit == Unit::Seconds && !time.is_zero()).then(|| Limits { time, ..Limits::default() })
}

fn score(group: &[&Sample], arguments: &[Value]) -> Result<Vec<Option<f64>>, RewardError> {
    let limits = limits(arguments).unwrap_or_default();
    let values = group.par_iter().map(|sample| {
        if sample.answer.trim().is_empty() {
            return Ok(None);
        }
        let Some(program) = program(&sample.completion) else { return Ok(Some(0.0)) };
        let outcome = sandbox::run_python(&format!("{program}\n{}\n", sample.answer), limits);
        let outcome = outcome.map_err(|problem| RewardError::Failed { name: "code".to_owned(), problem })?;
        Ok(Some(if outcome == Outcome::Passed { 1.0 } else { 0.0 }))
    });
    values.collect()
}

/// The last closed block of code after the thought and within the answer; where there is no block, an answer that is
/// marked as such by its tags.
#[must_use]
pub fn program(completion: &str) -> Option<&str> {
    let text = match completion.rsplit_once("</think>") {
        Some((_, after)) => after,
        None if completion.contains("<think>") => return None,
        None => completion,
    };
    let tagged = text.rsplit_once("</answer>").and_then(|(before, _)| before.rsplit_once("<answer>"));
    let text = tagged.map_or(text, |(_, inside)| inside);
    let mut blocks = text.split("```");
    let mut last = None;
    blocks.next();
    while let (Some(inside), Some(_)) = (blocks.next(), blocks.next()) {
        last = inside.split_once('\n').map(|(_, code)| code);
    }
    last.or_else(|| tagged.map(|(_, inside)| inside.trim_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_last_closed_block() {
        let cases = [
            ("```python\na = 1\n```\nor\n```py\na = 2\n```\n", Some("a = 2\n")),
            ("<think>```\na\n```</think>```\nb\n```", Some("b\n")),
            ("<answer>a = 3</answer>", Some("a = 3")),
            ("```python\na = 1\n", None),
            ("a = 1", None),
            ("<think>```\na\n```", None),
        ];
        for (completion, expected) in cases {
            assert_eq!(program(completion), expected, "{completion}");
        }
    }
}
