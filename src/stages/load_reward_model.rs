//! `load_reward_model`: a reward model from a Hugging Face directory, a `..ForSequenceClassification` of one label.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    data::tokenizer::Tokenizer,
    model::Transformer,
    stages::{
        Context, Stage, StageError, card,
        reward_model::artifact::{Scope, scope, write_scope},
    },
};

pub const STAGE: Stage = Stage { name: "load_reward_model", version: 1, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// What it scores; what the folder says where it is left out, else the whole answer.
    scores: Option<Scope>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let Arguments { scores } = context.arguments()?;
    let folder = context.file("dir")?;
    let model = read(folder)?;
    model.save(&context.out)?;
    write_scope(&context.out, scores.or(scope(folder)?).unwrap_or(Scope::Whole))?;
    card::finish_scoring(context, folder, &model)
}

/// Reads the whole model, as a file may be cut off anywhere.
fn check(_: &Value, files: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    files.values().try_for_each(|folder| read(folder).map(drop))
}

fn read(folder: &Path) -> Result<Transformer, StageError> {
    let model = Transformer::load_scoring(folder)?;
    Tokenizer::load(folder)?;
    Ok(model)
}
