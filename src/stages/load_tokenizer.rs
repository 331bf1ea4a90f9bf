//! `load_tokenizer`: takes a tokenizer from a folder or from a `tokenizer.json`, maybe with another chat template.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    data::tokenizer::Tokenizer,
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "load_tokenizer", version: 1, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    template: Option<String>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    read(&arguments, context.file("file")?)?.save(&context.out)?;
    Ok(())
}

fn check(arguments: &Value, files: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| StageError::Arguments(error.to_string()))?;
    files.values().try_for_each(|file| read(&arguments, file).map(drop))
}

/// Of a folder its configuration is read as well. What lies beside a single file is not: the key does not know of it.
fn read(arguments: &Arguments, file: &Path) -> Result<Tokenizer, StageError> {
    let template = arguments.template.as_deref();
    if !file.is_dir() {
        return Ok(Tokenizer::load_files(file, None, template)?);
    }
    let config = file.join("tokenizer_config.json");
    let config = if config.is_file() { Some(config.as_path()) } else { None };
    Ok(Tokenizer::load_files(&file.join("tokenizer.json"), config, template)?)
}
