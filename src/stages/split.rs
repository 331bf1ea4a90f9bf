//! `split`: one of two parts of a data set, divided by the question, so that no question is in both.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    data::{
        dataset::{Dataset, Writer},
        jsonl,
        problems::{Part, share_of},
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

/// What a row is about: its question, its text, its prompt, or what the person says first.
fn topic(row: &Map<String, Value>) -> String {
    let field = |name: &str| row.get(name).and_then(Value::as_str);
    let turns = row.get("messages").and_then(Value::as_array);
    let first = || {
        let said = |turn: &Value| turn.get("content").and_then(Value::as_str).map(str::to_owned);
        let person = turns?.iter().find(|it| it.get("role").and_then(Value::as_str) == Some("user"));
        person.or(turns?.first()).and_then(said)
    };
    let text = field("question").or_else(|| field("text")).or_else(|| field("prompt"));
    text.map(str::to_owned).or_else(first).unwrap_or_default()
}
