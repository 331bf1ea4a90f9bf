//! `tokenizer`: trains a byte-level BPE tokenizer on the texts of a data set.

use serde::Deserialize;

use crate::{
    data::{dataset, rows::Text, tokenizer::Tokenizer},
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "tokenizer", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    vocab: usize,
    template: Option<String>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let rows: Vec<Text> = dataset::read(context.input("text")?)?;
    let texts: Vec<String> = rows.into_iter().map(|row| row.text).collect();
    Tokenizer::train(&texts, arguments.vocab, arguments.template.as_deref())?.save(&context.out)?;
    Ok(())
}
