//! `load_tokenizer`: takes a tokenizer from a folder or from a `tokenizer.json`, maybe with another chat template.

use serde::Deserialize;

use crate::{
    data::tokenizer::Tokenizer,
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "load_tokenizer", version: 1, run };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    template: Option<String>,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let file = context.file("file")?;
    let path = if file.is_dir() { file.join("tokenizer.json") } else { file.to_owned() };
    let config = path.with_file_name("tokenizer_config.json");
    let config = if config.is_file() { Some(config.as_path()) } else { None };
    Tokenizer::load_files(&path, config, arguments.template.as_deref())?.save(&context.out)?;
    Ok(())
}
