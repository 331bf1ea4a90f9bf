//! Turns foreign files into rows: JSON lines with their columns mapped, or plain text.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{
    base::suggest::nearest,
    data::{
        DataError,
        jsonl::{self, Line, Lines, name_of},
        rows::{Chat, Label, Pair, Problem, Sample, Text},
    },
};

/// Which columns hold what; None where the usual name will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    pub question: Option<String>,
    pub answer: Option<String>,
    pub solution: Option<String>,
    pub text: Option<String>,
    pub source: Option<String>,
    pub level: Option<String>,
}

/// One row of a foreign file, and where it stands.
struct Foreign<'a> {
    path: &'a Path,
    line: usize,
    object: Map<String, Value>,
}

/// The problem of one line. An answer in the form of GSM8K, `... #### 72`, is parted into solution and answer.
pub fn problem(path: &Path, line: &Line, columns: &Columns) -> Result<Problem, DataError> {
    let row = Foreign { path, line: line.number, object: jsonl::object(path, line)? };
    let question = row.text("question", columns.question.as_deref())?;
    let answer = row.text("answer", columns.answer.as_deref())?;
    let solution = match &columns.solution {
        Some(column) => Some(row.text("solution", Some(column))?),
        None => row.object.get("solution").and_then(Value::as_str).map(str::to_owned),
    };
    let (worked, answer) = match answer.rsplit_once("####") {
        Some((worked, answer)) => (Some(worked.trim().to_owned()), answer.trim().to_owned()),
        None => (None, answer.trim().to_owned()),
    };
    if answer.is_empty() {
        return Err(row.complain("expected an answer, found an empty one"));
    }
    let answer = without_separators(&answer);
    let (source, level) =
        (row.note("source", columns.source.as_deref())?, row.note("level", columns.level.as_deref())?);
    Ok(Problem { question, answer, solution: solution.or(worked), source, level })
}

/// The text of one line.
pub fn text(path: &Path, line: &Line, columns: &Columns) -> Result<Text, DataError> {
    let row = Foreign { path, line: line.number, object: jsonl::object(path, line)? };
    Ok(Text { text: row.text("text", columns.text.as_deref())? })
}

/// The conversation of one line.
pub fn chat(path: &Path, line: &Line) -> Result<Chat, DataError> {
    let chat: Chat = jsonl::parse(path, line, "`messages`, a list of `role` and `content`")?;
    if chat.messages.is_empty() {
        return Err(DataError::row(path, line.number, "expected at least one message, found none"));
    }
    Ok(chat)
}

pub fn sample(path: &Path, line: &Line) -> Result<Sample, DataError> {
    jsonl::parse(path, line, "a row of the kind `sample`")
}

pub fn pair(path: &Path, line: &Line) -> Result<Pair, DataError> {
    jsonl::parse(path, line, "`prompt`, `chosen` and `rejected`")
}

pub fn label(path: &Path, line: &Line) -> Result<Label, DataError> {
    jsonl::parse(path, line, "`prompt`, `completion` and `label`, true or false")
}

/// About how long a row of plain text is, in bytes, where the text has no paragraphs to end it.
const CHUNK: usize = 4096;

/// Plain text as rows: whole paragraphs, and of a text without any, runs of whole lines.
pub fn paragraphs(path: &Path) -> Result<Vec<Text>, DataError> {
    let mut rows = Vec::new();
    let mut text = String::new();
    for line in Lines::open(path)? {
        let line = line?;
        let blank = line.text.trim().is_empty();
        if !blank {
            text.push_str(&line.text);
            text.push('\n');
        }
        if (blank && !text.is_empty()) || text.len() >= CHUNK {
            rows.push(Text { text: std::mem::take(&mut text) });
        }
    }
    if !text.is_empty() {
        rows.push(Text { text });
    }
    Ok(rows)
}

impl Foreign<'_> {
    /// The text of a column; a number is taken as its text.
    fn text(&self, role: &str, column: Option<&str>) -> Result<String, DataError> {
        let column = column.unwrap_or(role);
        match self.object.get(column) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(match number.as_f64() {
                // A whole number that a spreadsheet wrote as `145.0`.
                Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{}", value as i64),
                _ => number.to_string(),
            }),
            Some(other) => {
                Err(self
                    .complain(&format!("expected text or a number in the column `{column}`, found {}", name_of(other))))
            }
            None => Err(self.complain(&self.missing(role, column))),
        }
    }

    /// What a row may say of itself: of a column that is named it must be there, else it may be, as a text or a number.
    fn note(&self, role: &str, column: Option<&str>) -> Result<Option<String>, DataError> {
        let there = matches!(self.object.get(role), Some(Value::String(_) | Value::Number(_)));
        if column.is_some() || there { self.text(role, column).map(Some) } else { Ok(None) }
    }

    fn missing(&self, role: &str, column: &str) -> String {
        let names: Vec<&str> = self.object.keys().map(String::as_str).collect();
        let listed = names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        let found = if names.is_empty() { "none".to_owned() } else { listed };
        let lowered = column.to_lowercase();
        let like = names.iter().find(|it| it.to_lowercase() == lowered).copied();
        let fix = match like.or_else(|| nearest(column, names.iter().copied())) {
            Some(name) => format!("; did you mean `{role} = \"{name}\"`?"),
            None => format!("; say which holds it with `{role} = \"..\"`"),
        };
        format!("expected a column `{column}`, found {found}{fix}")
    }

    fn complain(&self, message: &str) -> DataError {
        DataError::row(self.path, self.line, message)
    }
}

/// A number without its thousands separators; any other text as it is.
fn without_separators(text: &str) -> String {
    let bare = text.strip_prefix('-').unwrap_or(text);
    let whole = bare.split('.').next().unwrap_or_default();
    let groups: Vec<&str> = whole.split(',').collect();
    let digits = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = groups.len() > 1
        && groups.first().is_some_and(|it| (1..=3).contains(&it.len()) && digits(it))
        && groups.iter().skip(1).all(|it| it.len() == 3 && digits(it));
    let fraction = bare.get(whole.len()..).unwrap_or_default();
    let plain = fraction.is_empty() || fraction.strip_prefix('.').is_some_and(digits);
    if grouped && plain { text.replace(',', "") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_go_from_numbers_only() {
        let pairs = [("1,000", "1000"), ("-2,125,000.5", "-2125000.5"), ("1,2", "1,2"), ("a, b", "a, b"), ("12", "12")];
        for (text, expected) in pairs {
            assert_eq!(without_separators(text), expected);
        }
    }
}
