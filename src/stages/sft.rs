//! `sft`: supervised fine-tuning, with the loss on the answer's tokens only.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{
        schedule::Schedule,
        units::{Amount, Unit},
    },
    data::{order::Order, tokenizer::Tokenizer},
    stages::{
        Context, Stage, StageError, conversation, likelihood,
        part::Sequence,
        trainer::Settings,
        training::{Training, is_open_ended},
    },
};

pub const STAGE: Stage = Stage { name: "sft", version: 2, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    budget: Amount,
    batch: usize,
    lr: Schedule<f64>,
    weight_decay: f64,
    clip: f64,
    beta2: f64,
    max_length: Amount,
    bias_speed: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let sequences = conversation::sequences(context.input("data")?, &tokenizer)?;
    check_lengths(&sequences, arguments.max_length.count() as usize)?;
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed,
    };
    let order = Order::new(arguments.seed, sequences.len());
    let batch = arguments.batch.max(1);
    let per_epoch = sequences.len().div_ceil(batch) as u64;
    let total = match arguments.budget.unit {
        Unit::Steps => arguments.budget.count(),
        Unit::Epochs => (arguments.budget.value * per_epoch as f64).round() as u64,
        other => {
            return Err(StageError::Arguments(format!("expected a budget in epochs or steps, found {}", other.name())));
        }
    };
    let mut training = Training::begin(context, folder, settings, false, total)?;
    for step in training.steps() {
        let places = order.epoch(step / per_epoch);
        let places = places.chunks(batch).nth((step % per_epoch) as usize).unwrap_or_default();
        let chosen: Vec<Sequence> = places.iter().filter_map(|at| sequences.get(*at).cloned()).collect();
        let lr = arguments.lr.at(step, total);
        let update = likelihood::step(&mut training.trainer, &context.pool, lr, &chosen)?;
        training.end_step(update.metrics(lr))?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr)])
}

/// Nothing is cut in silence: a row that does not fit is an error that says how many there are.
fn check_lengths(sequences: &[Sequence], longest: usize) -> Result<(), StageError> {
    if sequences.is_empty() {
        return Err(StageError::Data("the data holds no rows to learn from".to_owned()));
    }
    let over = sequences.iter().filter(|it| it.ids.len() > longest).count();
    let most = sequences.iter().map(|it| it.ids.len()).max().unwrap_or_default();
    if over > 0 {
        return Err(StageError::Data(format!(
            "{over} of {} rows are longer than {longest} tokens (the longest has {most}); raise `max_length` or filter by `length`",
            sequences.len()
        )));
    }
    Ok(())
}
