//! `take`: so many rows of a data set, the first ones.

use serde::Deserialize;

use crate::{
    base::units::Amount,
    data::{
        DataError,
        dataset::{Dataset, Writer},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "take", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    rows: Amount,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let data = Dataset::open(context.input("data")?)?;
    let lines = data.lines()?.collect::<Result<Vec<_>, DataError>>()?;
    let count = arguments.rows.count() as usize;
    if lines.len() < count {
        return Err(StageError::Data(format!("expected at least {count} rows to take, found {}", lines.len())));
    }
    let mut writer = Writer::create(&context.out, data.summary.kind)?;
    for line in lines.iter().take(count) {
        writer.push_line(&line.text)?;
    }
    writer.count_many("not taken", lines.len() - count);
    writer.finish()?;
    Ok(())
}
