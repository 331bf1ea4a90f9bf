//! `dpo`: direct preference optimisation (arXiv 2305.18290) and its kin, on pairs of answers or on answers one by one.

pub mod loss;
mod paired;
mod reference;
mod unpaired;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{schedule::Schedule, units::Amount},
    data::tokenizer::Tokenizer,
    model::Transformer,
    stages::{
        Context, Stage, StageError,
        batches::Batches,
        preference::Preferences,
        reward_model::artifact::Scope,
        trainer,
        training::{Training, is_open_ended},
    },
};
use loss::{Loss, Settings};
use reference::Reference;
pub use reference::sums;

pub const STAGE: Stage = Stage { name: "dpo", version: 2, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    loss: Loss,
    beta: f64,
    label_smoothing: f64,
    gamma: f64,
    tau: f64,
    /// What the likelihood of the preferred answers weighs beside the loss; what the loss usually has where absent.
    likelihood: Option<f64>,
    desirable: f64,
    undesirable: f64,
    budget: Amount,
    batch: usize,
    lr: Schedule<f64>,
    weight_decay: f64,
    clip: f64,
    beta2: f64,
    max_length: Amount,
    bias_speed: Schedule<f64>,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let settings = arguments.settings()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let longest = arguments.max_length.count() as usize;
    let rows = Preferences::read(context.input("data")?, &tokenizer, Scope::Whole, longest)?;
    let rows = match (rows, settings.loss.is_unpaired()) {
        (rows, true) => Preferences::Labels(rows.into_labels()),
        (rows @ Preferences::Pairs(_), false) => rows,
        (Preferences::Labels(_), false) => {
            let message = "expected pairs for this loss, found labels; `loss = \"kto\"` learns from labels";
            return Err(StageError::Data(message.to_owned()));
        }
    };
    if settings.loss == Loss::Kto && arguments.batch < 2 {
        let message = "expected `batch` of 2 or more: `kto` compares each answer with the others of its batch";
        return Err(StageError::Arguments(message.to_owned()));
    }
    let trained = trainer::Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed.at(0, 1),
    };
    let batches = Batches::new(arguments.seed, rows.len(), arguments.batch, arguments.budget)?;
    let mut training = Training::begin(context, folder, trained, false, batches.total)?;
    let model = context.optional_input("reference").unwrap_or(folder);
    let model = if settings.loss.has_reference() { Some(Transformer::load(model)?.on(context.device)?) } else { None };
    let mut reference = Reference::new(model, settings.loss == Loss::Kto, rows.len());
    for step in training.steps() {
        let chosen = batches.rows(step);
        let lr = arguments.lr.at(step, batches.total);
        training.trainer.set_bias_speed(arguments.bias_speed.at(step, batches.total));
        let (pool, trainer) = (&context.pool, &mut training.trainer);
        let metrics = match &rows {
            Preferences::Pairs(rows) => {
                let likelihood = arguments.likelihood.unwrap_or_else(|| settings.loss.usual_likelihood());
                paired::Paired { pool, settings, likelihood }.step(trainer, &mut reference, rows, &chosen, lr)
            }
            Preferences::Labels(rows) => {
                unpaired::Unpaired { pool, settings }.step(trainer, &mut reference, rows, &chosen, lr)
            }
        }?;
        training.end_step(metrics)?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr), ("bias_speed", &arguments.bias_speed)])
}

impl Arguments {
    /// What the loss is set with; what it does not read must not be set, as it would be silently without effect.
    fn settings(&self) -> Result<Settings, StageError> {
        let loss = self.loss;
        let wrong = |message: &str| Err(StageError::Arguments(message.to_owned()));
        if self.label_smoothing > 0.0 && !loss.smooths() {
            return wrong("`label_smoothing` has no effect on this loss; leave it out");
        }
        if loss == Loss::ExoPair && self.label_smoothing == 0.0 {
            return wrong("`exo_pair` needs `label_smoothing` above 0, such as 1e-3");
        }
        if loss == Loss::Robust && self.label_smoothing >= 0.5 {
            return wrong(
                "`robust` needs `label_smoothing` below 0.5: with half of the labels wrong nothing is left to learn",
            );
        }
        if loss.is_unpaired() && self.likelihood.is_some_and(|it| it > 0.0) {
            return wrong("`likelihood` is for pairs; leave it out");
        }
        if self.beta <= 0.0 {
            return wrong("expected `beta` above 0");
        }
        Ok(Settings {
            loss,
            beta: self.beta,
            label_smoothing: self.label_smoothing,
            gamma: self.gamma,
            tau: self.tau,
            weights: [self.desirable, self.undesirable],
        })
    }
}
