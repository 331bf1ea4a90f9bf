//! `load`: a model from a Hugging Face directory.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    model::Transformer,
    stages::{Context, Stage, StageError, card},
};

pub const STAGE: Stage = Stage { name: "load", version: 1, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

fn run(context: &Context) -> Result<(), StageError> {
    let Arguments {} = context.arguments()?;
    let folder = context.file("dir")?;
    Transformer::load(folder)?.save(&context.out)?;
    card::finish(context, folder)
}

/// Reads the whole model, as a file may be cut off anywhere.
fn check(_: &Value, files: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    for folder in files.values() {
        Transformer::load(folder)?;
    }
    Ok(())
}
