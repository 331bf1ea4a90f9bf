//! Reads text line by line and JSON row by row; every error names the file and the line.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::data::DataError;

/// One line: its number, counted from one, and its text without the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    pub text: String,
}

/// Every line of a file, read as it is asked for. A byte order mark is dropped, and CRLF is a line end.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
    failed: bool,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::file(path))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), number: 0, failed: false })
    }

    fn read(&mut self) -> Result<Option<Line>, DataError> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes).map_err(DataError::file(&self.path))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            DataError::row(&self.path, self.number, format!("expected UTF-8, found another byte at {at}"))
        })?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |it| it.strip_suffix('\r').unwrap_or(it));
        let text = if self.number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        Ok(Some(Line { number: self.number, text: text.to_owned() }))
    }
}

impl Iterator for Lines {
    type Item = Result<Line, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let line = self.read().transpose();
        // After an error the place in the file is not to be trusted.
        self.failed = matches!(line, Some(Err(_)));
        line
    }
}

/// The lines of a file that hold rows: all but the blank ones.
pub fn rows(path: &Path) -> Result<impl Iterator<Item = Result<Line, DataError>> + use<>, DataError> {
    Ok(Lines::open(path)?.filter(|line| line.as_ref().map_or(true, |it| !it.text.trim().is_empty())))
}

/// The line as a JSON object.
pub fn object(path: &Path, line: &Line) -> Result<Map<String, Value>, DataError> {
    let wrong = |found: String| DataError::row(path, line.number, format!("expected a JSON object, found {found}"));
    match serde_json::from_str(&line.text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong(name_of(&other).to_owned())),
        Err(error) => Err(wrong(complaint(&error))),
    }
}

/// The line as a value of a type.
pub fn parse<T: DeserializeOwned>(path: &Path, line: &Line, expected: &str) -> Result<T, DataError> {
    let object = object(path, line)?;
    T::deserialize(Value::Object(object))
        .map_err(|error| DataError::row(path, line.number, format!("expected {expected}, found another row: {error}")))
}

/// What a JSON value is, in words.
#[must_use]
pub fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What the parser says, without the line: a row is one line, and its number is that of the file.
fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_lowercase();
    format!("`{message}` at column {}", error.column())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Line, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, bytes).unwrap();
        let name = format!("{}/", folder.path().display());
        rows(&path).unwrap().map(|line| line.map_err(|error| error.to_string().replace(&name, ""))).collect()
    }

    #[test]
    fn marks_blank_lines_and_crlf_are_no_trouble() {
        let line = |number, text: &str| Ok(Line { number, text: text.to_owned() });
        assert_eq!(read(b"\xef\xbb\xbf{}\r\n\r\n  \n[1]\n2"), [line(1, "{}"), line(4, "[1]"), line(5, "2")]);
    }

    #[test]
    fn bytes_that_are_no_text_end_the_reading() {
        let expected = "rows.jsonl:2: expected UTF-8, found another byte at 1".to_owned();
        assert_eq!(read(b"{}\na\xff\n{}\n")[1..], [Err(expected)]);
    }

    #[test]
    fn a_row_that_is_no_object_is_named() {
        let complain = |text: &str| {
            object(Path::new("a.jsonl"), &Line { number: 3, text: text.to_owned() }).unwrap_err().to_string()
        };
        assert_eq!(complain("[1]"), "a.jsonl:3: expected a JSON object, found a list");
        assert_eq!(
            complain("{\"a\": 1"),
            "a.jsonl:3: expected a JSON object, found `eof while parsing an object` at column 7"
        );
    }
}
