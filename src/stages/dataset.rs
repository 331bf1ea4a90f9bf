//! `dataset`: reads a file as a data set, JSON lines with their columns mapped or plain text.

use std::path::Path;

use serde::Deserialize;

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

pub const STAGE: Stage = Stage { name: "dataset", version: 1, run };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    kind: Kind,
    question: Option<String>,
    answer: Option<String>,
    solution: Option<String>,
    text: Option<String>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let Arguments { kind, question, answer, solution, text } = arguments;
    let columns = Columns { question, answer, solution, text };
    // A data set that was made here and brought from elsewhere is a folder.
    let file = context.file("file")?;
    let path = if file.is_dir() { file.join("rows.jsonl") } else { file.to_owned() };
    let mut writer = Writer::create(&context.out, kind)?;
    match kind {
        Kind::Text if !is_json(&path) => {
            import::paragraphs(&path)?.iter().try_for_each(|row| writer.push(row))?;
        }
        Kind::Text => copy(&path, &mut writer, |line| import::text(&path, line, &columns))?,
        Kind::Problem => copy(&path, &mut writer, |line| import::problem(&path, line, &columns))?,
        Kind::Chat => copy(&path, &mut writer, |line| import::chat(&path, line))?,
        Kind::Sample => copy(&path, &mut writer, |line| import::sample(&path, line))?,
        Kind::Pair => copy(&path, &mut writer, |line| import::pair(&path, line))?,
    }
    if writer.finish()?.rows == 0 {
        return Err(DataError::content(&path, "expected at least one row, found none").into());
    }
    Ok(())
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|it| ["jsonl", "json", "ndjson"].iter().any(|known| it.eq_ignore_ascii_case(known)))
}

fn copy<T: Row>(
    path: &Path,
    writer: &mut Writer,
    row: impl Fn(&Line) -> Result<T, DataError>,
) -> Result<(), DataError> {
    jsonl::rows(path)?.try_for_each(|line| writer.push(&row(&line?)?))
}
