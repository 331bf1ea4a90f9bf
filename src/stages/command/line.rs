//! The words of a command line, with its ports filled in.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::{Map, Value};

use super::absolute;
use crate::{
    base::{
        placeholders::{self, Piece, pieces},
        units::Amount,
    },
    stages::{Context, StageError},
};

/// What each place of a line stands for: one text, or several for a list.
#[derive(Debug)]
pub(super) struct Values(BTreeMap<String, Vec<String>>);

impl Values {
    /// The values of every place in a line and in the environment.
    pub(super) fn new(
        context: &Context,
        ports: &Map<String, Value>,
        line: &str,
        env: &[String],
    ) -> Result<Self, StageError> {
        let mut values = BTreeMap::from([("out".to_owned(), vec![absolute(&context.out)?])]);
        let paths = |paths: &[PathBuf]| paths.iter().map(|it| absolute(it)).collect::<Result<Vec<_>, _>>();
        for (port, folders) in &context.inputs {
            values.insert(port.clone(), paths(folders)?);
        }
        for (port, file) in &context.files {
            values.insert(port.clone(), paths(std::slice::from_ref(file))?);
        }
        for (port, value) in ports {
            values.insert(port.clone(), texts(value));
        }
        for piece in env.iter().map(String::as_str).chain([line]).flat_map(pieces) {
            if let Piece::Place { name, .. } = piece
                && !values.contains_key(&name)
            {
                return Err(StageError::Arguments(format!("the input `{name}` is missing")));
            }
        }
        Ok(Self(values))
    }

    fn list(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        self.list(name).join(" ")
    }
}

/// A value as the texts that a program reads it from; an amount is its bare number.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(elements) => elements.iter().flat_map(texts).collect(),
        other => match serde_json::from_value::<Amount>(other.clone()) {
            Ok(amount) => vec![amount.value.to_string()],
            Err(_) => vec![other.to_string()],
        },
    }
}

/// `NAME=VALUE`, parted and filled in.
pub(super) fn variable(entry: &str, values: &Values) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    Some((name.trim().to_owned(), placeholders::fill(value, &|name| values.text(name))))
}

/// The line for a shell: what is filled in is quoted where the shell would take it apart.
pub(super) fn quoted(line: &str, values: &Values) -> String {
    let quote = |text: &String| {
        let plain = |it: char| it.is_alphanumeric() || "_-./:=@%+,".contains(it);
        if !text.is_empty() && text.chars().all(plain) {
            text.clone()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    placeholders::fill(line, &|name| values.list(name).iter().map(quote).collect::<Vec<_>>().join(" "))
}

/// The words of a line as a shell would part them: at blanks outside quotes. Values are filled in afterwards, so that
/// none of them is taken apart; a list that is a word by itself becomes several.
pub(super) fn words(line: &str, values: &Values) -> Result<Vec<String>, StageError> {
    let mut words = Vec::new();
    for word in split(line)? {
        match pieces(&word).as_slice() {
            [Piece::Place { name, .. }] => words.extend_from_slice(values.list(name)),
            _ => words.push(placeholders::fill(&word, &|name| values.text(name))),
        }
    }
    if words.is_empty() {
        return Err(StageError::Arguments("expected a program to run, found an empty line".to_owned()));
    }
    Ok(words)
}

/// Parts a line at blanks; quotes keep words together, and a backslash takes the next character as it is.
fn split(line: &str) -> Result<Vec<String>, StageError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = line.chars();
    while let Some(it) = rest.next() {
        match (quote, it) {
            (Some(open), it) if it == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(it);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = rest.next().ok_or_else(|| {
                    StageError::Arguments("expected a character after the last `\\` of the line".to_owned())
                })?;
                // Within double quotes only what would mean something there is escaped.
                if quote.is_some() && !"\"\\$`".contains(next) {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, it) if it.is_whitespace() => words.extend(word.take()),
            (_, it) => word.get_or_insert_default().push(it),
        }
    }
    if let Some(open) = quote {
        return Err(StageError::Arguments(format!("a quote of the line is never closed: `{open}`")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        let lists =
            [("out", vec!["/s/out"]), ("parts", vec!["/o/a", "/o/b c"]), ("name", vec!["it's"]), ("no", vec![])];
        let owned = |it: Vec<&str>| it.into_iter().map(str::to_owned).collect();
        Values(lists.into_iter().map(|(name, it)| (name.to_owned(), owned(it))).collect())
    }

    #[test]
    fn words_are_parted_before_values_are_filled_in() {
        let lines = [
            "python train.py  --out {out}/x",
            "merge {parts} --into={parts} {no}",
            "echo 'a  b' \"c \\\"d\\\" \\n\" e\\ f '' \"{name}\" {{name}}",
        ];
        assert_eq!(
            lines.map(|line| words(line, &values()).unwrap().join("|")),
            [
                "python|train.py|--out|/s/out/x",
                "merge|/o/a|/o/b c|--into=/o/a /o/b c",
                "echo|a  b|c \"d\" \\n|e f||it's|{name}",
            ]
        );
        let wrong = ["", "  ", "a 'b", "a \\"].map(|line| words(line, &values()).unwrap_err().to_string());
        assert_eq!(
            wrong,
            [
                "expected a program to run, found an empty line",
                "expected a program to run, found an empty line",
                "a quote of the line is never closed: `'`",
                "expected a character after the last `\\` of the line",
            ]
        );
    }

    #[test]
    fn a_shell_sees_every_value_as_one_word() {
        let line = "cat {parts} > {out}/x && echo {name} {no} {{a}}";
        assert_eq!(quoted(line, &values()), "cat /o/a '/o/b c' > /s/out/x && echo 'it'\\''s'  {a}");
    }

    #[test]
    fn values_are_written_as_programs_read_them() {
        let amount = json!({"value": 20_000.0, "unit": "rows"});
        let values = json!([1, 1e-5, 0.5, true, "a b", amount, [1, 2]]);
        let found: Vec<String> = values.as_array().unwrap().iter().map(|it| texts(it).join("|")).collect();
        assert_eq!(found, ["1", "0.00001", "0.5", "true", "a b", "20000", "1|2"]);
    }

    #[test]
    fn a_variable_is_parted_at_its_first_sign() {
        let variable = |it| variable(it, &values());
        assert_eq!(variable("A=b={out}"), Some(("A".to_owned(), "b=/s/out".to_owned())));
        assert_eq!(variable("A"), None);
    }
}
