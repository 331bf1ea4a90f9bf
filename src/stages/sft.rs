//! `sft`: supervised fine-tuning, with the loss on the assistant's tokens only.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{schedule::Schedule, units::Amount},
    data::tokenizer::Tokenizer,
    stages::{
        Context, Stage, StageError,
        batches::Batches,
        conversation::{self, Turns},
        fit::{Fitted, Overlong},
        likelihood::Likelihood,
        part::Example,
        trainer::Settings,
        training::{Training, is_open_ended},
    },
};

pub const STAGE: Stage = Stage { name: "sft", version: 4, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    budget: Amount,
    batch: usize,
    lr: Schedule<f64>,
    weight_decay: f64,
    clip: f64,
    beta2: f64,
    turns: Turns,
    max_length: Amount,
    overlong: Overlong,
    overlong_limit: f64,
    bias_speed: Schedule<f64>,
    balance: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let examples = conversation::examples(context.input("data")?, &tokenizer, arguments.turns)?;
    let longest = arguments.max_length.count() as usize;
    let fitted = Fitted::new(examples, longest, arguments.overlong, arguments.overlong_limit)?;
    let batches = Batches::new(arguments.seed, fitted.examples.len(), arguments.batch, arguments.budget)?;
    let total = batches.total;
    let batch = |step: u64| -> Vec<Example> {
        batches.rows(step).iter().filter_map(|at| fitted.examples.get(*at).cloned()).collect()
    };
    let length = |batch: &[Example]| batch.iter().map(|it| it.ids.len() as u64).sum::<u64>();
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed.at(0, 1),
    };
    let likelihood = Likelihood { ahead: 0.0, balance: arguments.balance };
    let mut training = Training::begin(context, folder, settings, false, total)?;
    let mut tokens: u64 = (0..training.steps().start).map(|step| length(&batch(step))).sum();
    for step in training.steps() {
        let chosen = batch(step);
        tokens += length(&chosen);
        let lr = arguments.lr.at(step, total);
        training.trainer.set_bias_speed(arguments.bias_speed.at(step, total));
        let learnt = likelihood.step(&mut training.trainer, &context.pool, lr, &chosen)?;
        let mut metrics = learnt.metrics(lr, tokens, (step + 1) as f64 / batches.per_epoch as f64);
        metrics.extend(fitted.metrics());
        training.end_step(metrics)?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr), ("bias_speed", &arguments.bias_speed)])
}
