//! `dataset`: reads a file as a data set, JSON lines with their columns mapped or plain text.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    data::{
        DataError,
        dataset::Writer,
        import::{self, Columns},
        jsonl::{self, Line},
        rows::{Kind, Row},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "dataset", version: 3, run, check: Some(check), extends: None };

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    kind: Kind,
    question: Option<String>,
    answer: Option<String>,
    solution: Option<String>,
    text: Option<String>,
    source: Option<String>,
    level: Option<String>,
}

impl Arguments {
    fn columns(&self) -> Columns {
        let Self { question, answer, solution, text, source, level, .. } = self.clone();
        Columns { question, answer, solution, text, source, level }
    }
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let mut writer = Writer::create(&context.out, arguments.kind)?;
    read(&arguments, context.file("file")?, &mut |row| writer.push_line(row))?;
    writer.finish()?;
    Ok(())
}

/// Reads every row, so that a faulty one is found before anything is written.
fn check(arguments: &Value, files: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| StageError::Arguments(error.to_string()))?;
    files.values().try_for_each(|file| read(&arguments, file, &mut |_| Ok(())))
}

/// Takes a row as the line that the data set will hold.
type Take<'a> = &'a mut dyn FnMut(&str) -> Result<(), DataError>;

fn read(arguments: &Arguments, file: &Path, take: Take) -> Result<(), StageError> {
    // A data set that was made here and brought from elsewhere is a folder.
    let path = if file.is_dir() { file.join("rows.jsonl") } else { file.to_owned() };
    let columns = &arguments.columns();
    let rows = match arguments.kind {
        Kind::Text if !is_json(&path) => {
            let rows = import::paragraphs(&path)?;
            rows.iter().try_for_each(|row| take(&json(&path, row)?))?;
            rows.len()
        }
        Kind::Text => each(&path, take, |line| import::text(&path, line, columns))?,
        Kind::Problem => each(&path, take, |line| import::problem(&path, line, columns))?,
        Kind::Chat => each(&path, take, |line| import::chat(&path, line))?,
        Kind::Sample => each(&path, take, |line| import::sample(&path, line))?,
        Kind::Pair => each(&path, take, |line| import::pair(&path, line))?,
        Kind::Label => each(&path, take, |line| import::label(&path, line))?,
    };
    if rows == 0 {
        return Err(DataError::content(&path, "expected at least one row, found none").into());
    }
    Ok(())
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|it| ["jsonl", "json", "ndjson"].iter().any(|known| it.eq_ignore_ascii_case(known)))
}

fn each<T: Row>(path: &Path, take: Take, row: impl Fn(&Line) -> Result<T, DataError>) -> Result<usize, DataError> {
    let mut rows = 0;
    for line in jsonl::rows(path)? {
        take(&json(path, &row(&line?)?)?)?;
        rows += 1;
    }
    Ok(rows)
}

fn json<T: Row>(path: &Path, row: &T) -> Result<String, DataError> {
    serde_json::to_string(row).map_err(|error| DataError::content(path, error.to_string()))
}
