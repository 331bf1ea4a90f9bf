//! `split`: one of two parts of a data set, divided by the question, so that no question is in both.

use serde::Deserialize;

use crate::{
    data::{
        dataset::{Dataset, Writer},
        jsonl,
        problems::{Part, share_of},
        topic::topic,
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "split", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    part: Part,
    /// The share of the questions that are in the part `train`.
    share: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    if !(0.0..=1.0).contains(&arguments.share) {
        return Err(StageError::Arguments(format!("expected `share` from 0 to 1, found {}", arguments.share)));
    }
    let data = Dataset::open(context.input("data")?)?;
    let path = data.path();
    let purpose = format!("split {}", arguments.seed);
    let mut writer = Writer::create(&context.out, data.summary.kind)?;
    for line in data.lines()? {
        let line = line?;
        let topic = topic(&jsonl::object(&path, &line)?);
        let part = if share_of(&purpose, topic.trim()) < arguments.share { Part::Train } else { Part::Test };
        if part == arguments.part {
            writer.push_line(&line.text)?;
        } else {
            writer.count("in the other part");
        }
    }
    writer.finish()?;
    Ok(())
}
