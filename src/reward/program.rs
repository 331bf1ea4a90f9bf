//! The reward `program(command)`: a program of the user's own gives the numbers.
//!
//! It is started once for a group of answers, reads one JSON object a line (`question`, `answer`, `prompt`, `completion`,
//! `tokens`, `finish`) and writes one number a line, or `null` where it has none to give. It runs as the user does, with
//! all that the user may do.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    data::rows::Sample,
    reward::{
        RewardError, arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::group("program", check, score).needing(Needs::Tokens);

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let met = arguments.len() == 1 && arguments::text(arguments, 0).is_some_and(|it| !it.trim().is_empty());
    arguments::expect(name, "one argument, a command line", met, arguments)
}

fn score(group: &[&Sample], arguments: &[Value]) -> Result<Vec<Option<f64>>, RewardError> {
    let command = arguments::text(arguments, 0).unwrap_or_default();
    let failed = |problem: String| RewardError::Failed { name: "program".to_owned(), problem };
    let mut input = String::new();
    for sample in group {
        input.push_str(&serde_json::to_string(sample).map_err(|error| failed(error.to_string()))?);
        input.push('\n');
    }
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("`{command}` cannot be started: {error}")))?;
    let stdin = child.stdin.take();
    // Written from a thread of its own: a program that answers as it reads would otherwise fill both pipes.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut it| it.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let output = output.map_err(|error| failed(format!("`{command}`: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("`{command}` ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let values = text.lines().filter(|it| !it.trim().is_empty()).map(|line| {
        let value = match line.trim() {
            "null" => Ok(None),
            number => number.parse::<f64>().map(Some),
        };
        match value {
            Ok(None) => Ok(None),
            Ok(Some(value)) if value.is_finite() => Ok(Some(value)),
            _ => Err(failed(format!("`{command}`: expected a number or `null` a line, found `{line}`"))),
        }
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    if values.len() != group.len() {
        let expected = group.len();
        return Err(failed(format!("`{command}`: expected {expected} lines, found {}", values.len())));
    }
    Ok(values)
}
