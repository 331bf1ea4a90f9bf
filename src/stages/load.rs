//! `load`: a model from a Hugging Face directory.

use serde::Deserialize;

use crate::{
    model::Transformer,
    stages::{Context, Stage, StageError, card},
};

pub const STAGE: Stage = Stage { name: "load", version: 1, run };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {}

fn run(context: &Context) -> Result<(), StageError> {
    let Arguments {} = context.arguments()?;
    let folder = context.file("dir")?;
    Transformer::load(folder)?.save(&context.out)?;
    card::finish(context, folder)
}
