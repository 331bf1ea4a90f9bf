//! `dedupe`: a data set without the rows that say what an earlier one says.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    base::digest::Digest,
    data::{
        dataset::{Dataset, Writer},
        jsonl,
        overlap::normalized,
        topic::{content, topic},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "dedupe", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    of: Compared,
    by: Sameness,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compared {
    Row,
    Question,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sameness {
    Exact,
    Normalized,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let data = Dataset::open(context.input("data")?)?;
    let path = data.path();
    let mut writer = Writer::create(&context.out, data.summary.kind)?;
    // Digests, since texts may be long and many.
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    for line in data.lines()? {
        let line = line?;
        let row = jsonl::object(&path, &line)?;
        let said = match arguments.of {
            Compared::Row => content(&row),
            Compared::Question => topic(&row),
        };
        let said = match arguments.by {
            Sameness::Exact => said,
            Sameness::Normalized => normalized(&said),
        };
        if seen.insert(Digest::of(said.as_bytes())) {
            writer.push_line(&line.text)?;
        } else {
            writer.count("duplicate");
        }
    }
    writer.finish()?;
    Ok(())
}
