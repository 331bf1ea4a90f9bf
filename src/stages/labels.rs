//! `labels`: samples as answers that are good or are not, by a condition.

use serde::Deserialize;

use crate::{
    base::predicate::Predicate,
    data::{
        dataset::{Dataset, Writer},
        rows::{Kind, Label, Sample},
    },
    reward::row,
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "labels", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    #[serde(rename = "where")]
    condition: Predicate,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    row::check(&arguments.condition)?;
    let mut writer = Writer::create(&context.out, Kind::Label)?;
    for sample in Dataset::open(context.input("data")?)?.rows::<Sample>()? {
        let sample = sample?;
        let label = row::refuse(&arguments.condition, &sample)?.is_none();
        writer.push(&Label { prompt: sample.question, completion: sample.completion, label })?;
    }
    writer.finish()?;
    Ok(())
}
