//! `cast`: a model with its weights kept in another precision.
//!
//! Whatever reads the model computes in f32 as before. A weight in bf16 is the nearest number of eight significant bits, at
//! most 2^-8 of itself away.

use serde::Deserialize;

use crate::{
    base::precision::Dtype,
    model::Transformer,
    stages::{Context, Stage, StageError, card},
};

pub const STAGE: Stage = Stage { name: "cast", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    dtype: Dtype,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    Transformer::load(folder)?.save_in(&context.out, arguments.dtype.precision())?;
    card::finish(context, folder)
}
