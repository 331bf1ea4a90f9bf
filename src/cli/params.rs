//! Files of parameters: what `--params values.yaml` sets, as the texts that `--set` takes.

use std::{fs, path::Path};

use serde_yaml::Value;

use crate::cli::CliError;

/// Every value in the file, `name=value`; what is nested is joined by dots, so that `dev1: {lr: 1e-5}` sets `dev1.lr`.
pub fn read(path: &Path) -> Result<Vec<String>, CliError> {
    let text = fs::read_to_string(path).map_err(|error| CliError::File { path: path.to_owned(), error })?;
    parse(&text).map_err(|message| CliError::Profile(format!("{}: {message}", path.display())))
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    match serde_yaml::from_str(text).map_err(|error| error.to_string())? {
        Value::Null => {}
        Value::Mapping(members) => {
            for (key, value) in &members {
                collect(&name(key)?, value, &mut found)?;
            }
        }
        _ => return Err("expected names with values, `lr: 1e-5`".to_owned()),
    }
    Ok(found)
}

fn collect(target: &str, value: &Value, found: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Mapping(members) => members.iter().try_for_each(|(key, value)| {
            let target = format!("{target}.{}", name(key)?);
            collect(&target, value, found)
        }),
        other => {
            found.push(format!("{target}={}", expression(other)?));
            Ok(())
        }
    }
}

fn name(key: &Value) -> Result<String, String> {
    match key {
        Value::String(name) => Ok(name.clone()),
        other => Err(format!("expected a name, found {}", expression(other)?)),
    }
}

/// The value as a recipe would write it. A text stands as it is, so that `2 epochs` is an amount.
fn expression(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Null => "none".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(parts) => {
            let parts = parts.iter().map(|it| match it {
                Value::String(text) => Ok(format!("{text:?}")),
                other => expression(other),
            });
            format!("[{}]", parts.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        Value::Mapping(_) | Value::Tagged(_) => return Err("expected a value, found something nested".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_the_text_of_sets() {
        let text = "scale: quick\ndev1:\n  lr: 1e-5\n  budget: 2 epochs\nrows: [1, \"a\"]\nproblems: null\n";
        let expected = ["scale=quick", "dev1.lr=0.00001", "dev1.budget=2 epochs", "rows=[1, \"a\"]", "problems=none"];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("").unwrap(), Vec::<String>::new());
        assert_eq!(parse("[1]").unwrap_err(), "expected names with values, `lr: 1e-5`");
    }
}
