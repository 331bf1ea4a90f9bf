//! `decontaminate`: the rows of a data set whose question shares no run of words with those of another, such as the data
//! that models are measured on.

use serde::Deserialize;

use crate::{
    data::{
        dataset::{Dataset, Writer},
        jsonl,
        overlap::Overlap,
        topic::topic,
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "decontaminate", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    words: usize,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let data = Dataset::open(context.input("data")?)?;
    let against = overlap(&Dataset::open(context.input("against")?)?, arguments.words)?;
    let path = data.path();
    let mut writer = Writer::create(&context.out, data.summary.kind)?;
    for line in data.lines()? {
        let line = line?;
        if against.meets(&topic(&jsonl::object(&path, &line)?)) {
            writer.count("contaminated");
        } else {
            writer.push_line(&line.text)?;
        }
    }
    writer.finish()?;
    Ok(())
}

/// The runs of words in what the rows of a data set are about.
pub fn overlap(data: &Dataset, words: usize) -> Result<Overlap, StageError> {
    let path = data.path();
    let mut overlap = Overlap::new(words);
    for line in data.lines()? {
        overlap.add(&topic(&jsonl::object(&path, &line?)?));
    }
    Ok(overlap)
}
