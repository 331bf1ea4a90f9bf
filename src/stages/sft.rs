//! `sft`: supervised fine-tuning, with the loss on the assistant's tokens only.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{
        schedule::Schedule,
        units::{Amount, Unit},
    },
    data::{order::Order, tokenizer::Tokenizer},
    stages::{
        Context, Stage, StageError,
        conversation::{self, Turns},
        fit::{Fitted, Overlong},
        likelihood::Likelihood,
        part::Example,
        trainer::Settings,
        training::{Training, is_open_ended},
    },
};

pub const STAGE: Stage = Stage { name: "sft", version: 3, run, check: None, extends: Some(extends) };

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
    let epochs = Epochs::new(&fitted.examples, arguments.batch.max(1), arguments.seed);
    let total = match arguments.budget.unit {
        Unit::Steps => arguments.budget.count(),
        Unit::Epochs => (arguments.budget.value * epochs.steps as f64).round() as u64,
        other => {
            return Err(StageError::Arguments(format!("expected a budget in epochs or steps, found {}", other.name())));
        }
    };
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed.at(0, 1),
    };
    let likelihood = Likelihood { ahead: 0.0, balance: arguments.balance };
    let mut training = Training::begin(context, folder, settings, false, total)?;
    let mut tokens = epochs.tokens_before(training.steps().start);
    for step in training.steps() {
        let chosen = epochs.batch(step);
        tokens += chosen.iter().map(|it| it.ids.len() as u64).sum::<u64>();
        let lr = arguments.lr.at(step, total);
        training.trainer.set_bias_speed(arguments.bias_speed.at(step, total));
        let learnt = likelihood.step(&mut training.trainer, &context.pool, lr, &chosen)?;
        let mut metrics = learnt.metrics(lr, tokens, (step + 1) as f64 / epochs.steps as f64);
        metrics.extend(fitted.metrics());
        training.end_step(metrics)?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr), ("bias_speed", &arguments.bias_speed)])
}

/// The examples, epoch after epoch in an order of its own, in batches.
struct Epochs<'a> {
    examples: &'a [Example],
    order: Order,
    batch: usize,
    /// How many batches an epoch has.
    steps: u64,
}

impl<'a> Epochs<'a> {
    fn new(examples: &'a [Example], batch: usize, seed: u64) -> Self {
        let order = Order::new(seed, examples.len());
        Self { examples, order, batch, steps: examples.len().div_ceil(batch) as u64 }
    }

    /// The examples of a step.
    fn batch(&self, step: u64) -> Vec<Example> {
        let places = self.order.epoch(step / self.steps);
        let places = places.chunks(self.batch).nth((step % self.steps) as usize).unwrap_or_default();
        places.iter().filter_map(|at| self.examples.get(*at).cloned()).collect()
    }

    /// How many tokens all steps before one see.
    fn tokens_before(&self, step: u64) -> u64 {
        let length = |at: &usize| self.examples.get(*at).map_or(0, |it| it.ids.len() as u64);
        let whole: u64 = self.examples.iter().map(|it| it.ids.len() as u64).sum();
        let begun = self.order.epoch(step / self.steps);
        let seen = (step % self.steps) as usize * self.batch;
        whole * (step / self.steps) + begun.iter().take(seen).map(length).sum::<u64>()
    }
}
