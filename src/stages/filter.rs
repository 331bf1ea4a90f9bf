//! `filter`: keeps the samples that meet a condition, and counts the others by the part of it that they fail.

use serde::Deserialize;

use crate::{
    base::predicate::Predicate,
    data::{
        dataset::{Dataset, Writer},
        rows::{Kind, Sample},
    },
    reward::row,
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "filter", version: 3, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(rename = "where")]
    condition: Predicate,
    max_dropped: f64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    row::check(&arguments.condition)?;
    let data = Dataset::open(context.input("data")?)?;
    let mut writer = Writer::create(&context.out, Kind::Sample)?;
    for sample in data.rows::<Sample>()? {
        let sample = sample?;
        match row::refuse(&arguments.condition, &sample)? {
            Some(reason) => writer.count(&reason),
            None => writer.push(&sample)?,
        }
    }
    let summary = writer.finish()?;
    let counts: Vec<String> = summary.counts.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
    let (dropped, all) = (data.summary.rows - summary.rows, data.summary.rows);
    if summary.rows == 0 {
        let condition = row::describe(&arguments.condition);
        let message = format!("expected rows where {condition}, found none among {all}: {}", counts.join(", "));
        return Err(StageError::Data(message));
    }
    if dropped as f64 > arguments.max_dropped * all as f64 {
        return Err(StageError::Data(format!(
            "expected at most {}% of {all} rows to be dropped, as `max_dropped` says, found {dropped}: {}",
            arguments.max_dropped * 100.0,
            counts.join(", ")
        )));
    }
    Ok(())
}
