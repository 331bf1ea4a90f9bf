//! Files of answers to be scored, in the columns of this program or of others: questions, right answers, completions.

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::{
    DataError,
    jsonl::{self, Line, name_of},
    rows::{Finish, Lineage, Sample},
};

/// A row of a file of answers: what can be scored of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerRow {
    pub line: usize,
    pub sample: Sample,
    /// Whether the row says how many tokens its completion has.
    pub counted: bool,
    /// Whether the row holds a right answer.
    pub answered: bool,
}

/// The columns that may hold each, the first that is there counts; those after the first are TRL's.
const QUESTION: &[&str] = &["question", "prompt", "problem", "prompts"];
const ANSWER: &[&str] = &["answer", "solution", "ground_truth"];
const COMPLETION: &[&str] = &["completion", "completions", "response"];
const TOKENS: &[&str] = &["completion_ids", "completion_tokens"];

/// Reads one line. Conversations are read as TRL writes them: lists of messages with a role and a content.
pub fn read(path: &Path, line: &Line) -> Result<AnswerRow, DataError> {
    let mut row = jsonl::object(path, line)?;
    let wrong = |message: String| DataError::row(path, line.number, message);
    let (completion, _) = text(&mut row, COMPLETION, "assistant").map_err(wrong)?.ok_or_else(|| {
        let columns = row.keys().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        wrong(format!("expected a column `completion` or `completions`, found {columns}"))
    })?;
    let prompt = match row.get("prompt") {
        Some(Value::String(prompt)) => prompt.clone(),
        _ => String::new(),
    };
    let question = text(&mut row, QUESTION, "user").map_err(wrong)?.map(|(text, _)| text);
    let answer = answer(&mut row).map_err(wrong)?;
    let counted = tokens(&row).map_err(wrong)?;
    let finish = match row.get("finish") {
        None | Some(Value::Null) => Finish::Stop,
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| wrong(format!("`finish`: expected \"stop\" or \"length\", found {value}")))?,
    };
    let sample = Sample {
        question: question.unwrap_or_default(),
        answer: answer.clone().unwrap_or_default(),
        prompt,
        completion,
        tokens: counted.unwrap_or(0),
        finish,
        lineage: Lineage::default(),
    };
    Ok(AnswerRow { line: line.number, sample, counted: counted.is_some(), answered: answer.is_some() })
}

/// The text in the first of some columns, and the column. Of a conversation it is what a role said last.
fn text(row: &mut Map<String, Value>, columns: &[&str], role: &str) -> Result<Option<(String, String)>, String> {
    let Some(column) = columns.iter().find(|it| row.get(**it).is_some_and(|it| !it.is_null())) else { return Ok(None) };
    let value = row.get_mut(*column).map(Value::take).unwrap_or_default();
    let found = name_of(&value);
    let expected = || format!("`{column}`: expected a text or a list of messages, found {found}");
    match value {
        Value::String(text) => Ok(Some((text, (*column).to_owned()))),
        Value::Array(messages) => {
            let of_role = |it: &&Value| it.get("role").and_then(Value::as_str) == Some(role);
            let message = messages.iter().rev().find(of_role);
            let content = message.and_then(|it| it.get("content")).and_then(Value::as_str);
            let content = content.ok_or_else(|| {
                format!("`{column}`: expected a message of the role `{role}` with a text as its content, found none")
            })?;
            Ok(Some((content.to_owned(), (*column).to_owned())))
        }
        _ => Err(expected()),
    }
}

/// The right answer: a text, or a number as it is written.
fn answer(row: &mut Map<String, Value>) -> Result<Option<String>, String> {
    let Some(column) = ANSWER.iter().find(|it| row.contains_key(**it)) else { return Ok(None) };
    match row.get_mut(*column).map(Value::take) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Null) | None => Ok(Some(String::new())),
        Some(other) => Err(format!("`{column}`: expected a text or a number, found {}", name_of(&other))),
    }
}

/// How many tokens the completion has: as a number, or as the list of them.
fn tokens(row: &Map<String, Value>) -> Result<Option<usize>, String> {
    let Some((column, value)) =
        ["tokens"].iter().chain(TOKENS).find_map(|it| Some((it, row.get(*it).filter(|it| !it.is_null())?)))
    else {
        return Ok(None);
    };
    let count = match value {
        Value::Array(ids) => Some(ids.len()),
        other => other.as_u64().and_then(|it| usize::try_from(it).ok()),
    };
    let wrong = || format!("`{column}`: expected a number of tokens or a list of them, found {}", name_of(value));
    count.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Result<(String, String, String, Option<usize>), String> {
        let line = Line { number: 3, text: text.to_owned() };
        let row = read(Path::new("a.jsonl"), &line).map_err(|error| error.to_string())?;
        let counted = row.counted.then_some(row.sample.tokens);
        Ok((row.sample.question, row.sample.answer, row.sample.completion, counted))
    }

    #[test]
    fn the_columns_of_others_are_read() {
        let is = |question: &str, answer: &str, completion: &str, tokens| {
            Ok((question.to_owned(), answer.to_owned(), completion.to_owned(), tokens))
        };
        assert_eq!(row(r#"{"answer": "5", "completion": "5"}"#), is("", "5", "5", None));
        assert_eq!(
            row(r#"{"question": "2+3", "answer": 5, "completion": "5", "tokens": 1}"#),
            is("2+3", "5", "5", Some(1))
        );
        assert_eq!(
            row(concat!(
                r#"{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "2+3"}], "solution": "5","#,
                r#""completions": [{"role": "assistant", "content": "five"}], "completion_ids": [4, 5, 6]}"#
            )),
            is("2+3", "5", "five", Some(3))
        );
    }

    #[test]
    fn a_row_that_cannot_be_scored_is_named() {
        let complaint = |text: &str| row(text).unwrap_err();
        assert_eq!(
            complaint(r#"{"answer": "5", "text": "5"}"#),
            "a.jsonl:3: expected a column `completion` or `completions`, found `answer`, `text`"
        );
        assert_eq!(
            complaint(r#"{"answer": "5", "completion": 5}"#),
            "a.jsonl:3: `completion`: expected a text or a list of messages, found a number"
        );
        assert_eq!(
            complaint(r#"{"answer": "5", "completions": ["a", "b"]}"#),
            "a.jsonl:3: `completions`: expected a message of the role `assistant` with a text as its content, found none"
        );
        assert_eq!(
            complaint(r#"{"answer": [5], "completion": "5"}"#),
            "a.jsonl:3: `answer`: expected a text or a number, found a list"
        );
    }
}
