//! `merge.linear`: the weighted mean of models, tensor by tensor (Wortsman et al., "Model soups", arXiv 2203.05482).

use std::path::PathBuf;

use serde::Deserialize;

use crate::{
    model::{Transformer, average},
    stages::{Context, Progress, Stage, StageError, card},
};

pub const STAGE: Stage = Stage { name: "merge.linear", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    weights: Option<Vec<f64>>,
    normalize: bool,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folders = context.inputs("models");
    let weights = weights(&arguments, folders)?;
    let models = folders.iter().map(|folder| Transformer::load(folder)).collect::<Result<Vec<_>, _>>()?;
    average(&models, &weights)?.save(&context.out)?;
    context.progress(Progress { done: 1, total: 1, unit: "merges", metrics: Vec::new() });
    let Some(first) = folders.first() else { return Ok(()) };
    card::finish(context, first)
}

fn weights(arguments: &Arguments, folders: &[PathBuf]) -> Result<Vec<f64>, StageError> {
    let weights = arguments.weights.clone().unwrap_or_else(|| vec![1.0; folders.len()]);
    if folders.is_empty() || weights.len() != folders.len() {
        return Err(StageError::Arguments(format!(
            "expected a weight for each of {} models, found {}",
            folders.len(),
            weights.len()
        )));
    }
    let sum: f64 = weights.iter().sum();
    if !arguments.normalize {
        return Ok(weights);
    }
    if sum.abs() < 1e-12 {
        return Err(StageError::Arguments("the weights sum to nought and cannot be normalized".to_owned()));
    }
    Ok(weights.iter().map(|weight| weight / sum).collect())
}
