//! The rows of an artifact, and the figures of a report, as a person reads them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

use serde_json::{Map, Value};

use super::format::{self, Align};

/// The files that hold rows: those of a data set, and the answers beside a report.
const FILES: [&str; 2] = ["rows.jsonl", "answers.jsonl"];

/// Rows from one on, counted from one, each with its fields below each other; None where the artifact has no rows.
#[must_use]
pub fn rows(object: &Path, from: usize, count: usize) -> Option<String> {
    let file = FILES.iter().find_map(|name| File::open(object.join(name)).ok())?;
    let mut text = String::new();
    let lines = BufReader::new(file).lines().map_while(Result::ok).filter(|it| !it.trim().is_empty());
    for (number, line) in (1..).zip(lines).skip(from.saturating_sub(1)).take(count) {
        text.push_str(&format!("row {}\n", format::count(number)));
        match serde_json::from_str::<Map<String, Value>>(&line) {
            Ok(row) => text.push_str(&fields(&row)),
            Err(_) => text.push_str(&format!("  {line}\n")),
        }
    }
    Some(text)
}

/// The figures of a report, in its order; None where the artifact is no report.
#[must_use]
pub fn figures(object: &Path) -> Option<String> {
    let report: Map<String, Value> = serde_json::from_slice(&fs::read(object.join("report.json")).ok()?).ok()?;
    let figure = |value: &Value| value.as_f64().map_or_else(|| value.to_string(), format::figure);
    let rows: Vec<Vec<String>> = report.iter().map(|(name, it)| vec![format!("  {name}"), figure(it)]).collect();
    Some(format::columns(&rows, &[Align::Left, Align::Right]))
}

/// Names in a column, values beside them; the lines of a text stand under its first.
fn fields(row: &Map<String, Value>) -> String {
    let width = row.keys().map(|it| it.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in row {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut lines = value.lines();
        text.push_str(format!("  {name:width$}  {}", lines.next().unwrap_or_default()).trim_end());
        text.push('\n');
        for line in lines {
            text.push_str(format!("  {:width$}  {line}", "").trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_below_each_other_with_their_fields() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(rows(folder.path(), 1, 5), None);
        let lines = concat!(
            "{\"question\":\"1+1=?\",\"completion\":\"<think>\\n1+1=2\\n</think>\\n2\",\"tokens\":9}\n",
            "{\"question\":\"\",\"rewards\":{\"format\":1.0}}\n",
            "no row\n",
        );
        fs::write(folder.path().join("answers.jsonl"), lines).unwrap();
        let expected = "\
row 1
  question    1+1=?
  completion  <think>
              1+1=2
              </think>
              2
  tokens      9
row 2
  question
  rewards   {\"format\":1.0}
row 3
  no row
";
        assert_eq!(rows(folder.path(), 1, 5).unwrap(), expected);
        assert_eq!(rows(folder.path(), 3, 1).unwrap(), "row 3\n  no row\n");
        fs::write(folder.path().join("report.json"), "{\"pass1\": 0.25, \"rows\": 1200}").unwrap();
        assert_eq!(figures(folder.path()).unwrap(), "  pass1  0.2500\n  rows     1200\n");
    }
}
