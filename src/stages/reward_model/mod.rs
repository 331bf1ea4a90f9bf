//! `reward_model`: a model that scores answers, learnt from pairs of them or from answers that are good or are not.

pub mod artifact;
pub mod loss;

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{schedule::Schedule, units::Amount},
    data::tokenizer::Tokenizer,
    model::{PartLoss, Transformer},
    stages::{
        Context, Stage, StageError,
        batches::Batches,
        context::{Metrics, figures},
        part::{Part, Sequence, scored_parts},
        preference::{Couple, Preferences, Rated},
        slopes::with_slopes,
        trainer::{Settings, Trainer, Update},
        training::{Training, is_open_ended},
    },
};
use artifact::{Scope, write_scope};

pub const STAGE: Stage = Stage { name: "reward_model", version: 2, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    scores: Scope,
    budget: Amount,
    batch: usize,
    lr: Schedule<f64>,
    /// TRL's `center_rewards_coefficient`.
    center: f64,
    weight_decay: f64,
    clip: f64,
    beta2: f64,
    max_length: Amount,
    bias_speed: Schedule<f64>,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let longest = arguments.max_length.count() as usize;
    let rows = Preferences::read(context.input("data")?, &tokenizer, arguments.scores, longest)?;
    if arguments.center > 0.0 && matches!(rows, Preferences::Labels(_)) {
        let message = "`center` is for pairs; labels say by themselves where nought is";
        return Err(StageError::Arguments(message.to_owned()));
    }
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed.at(0, 1),
    };
    let batches = Batches::new(arguments.seed, rows.len(), arguments.batch, arguments.budget)?;
    // Where a batch is filled up in transformers, what fills it must not be what closes an answer.
    let padding = tokenizer.pad().filter(|it| *it != tokenizer.eos());
    let model = Transformer::load(folder)?.into_scoring(arguments.seed, padding)?;
    let mut training = Training::start(context, model, None, settings, batches.total)?;
    for step in training.steps() {
        let chosen = batches.rows(step);
        let lr = arguments.lr.at(step, batches.total);
        training.trainer.set_bias_speed(arguments.bias_speed.at(step, batches.total));
        let learner = Learner { context, trainer: &mut training.trainer, lr, center: arguments.center };
        let metrics = match &rows {
            Preferences::Pairs(rows) => {
                learner.pairs(&chosen.iter().filter_map(|at| rows.get(*at)).collect::<Vec<_>>())
            }
            Preferences::Labels(rows) => {
                learner.labels(&chosen.iter().filter_map(|at| rows.get(*at)).collect::<Vec<_>>())
            }
        }?;
        training.end_step(metrics)?;
    }
    write_scope(&context.out, arguments.scores)?;
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr), ("bias_speed", &arguments.bias_speed)])
}

/// One optimiser step.
struct Learner<'a> {
    context: &'a Context,
    trainer: &'a mut Trainer,
    lr: f64,
    center: f64,
}

/// The loss of a group of scores, and its derivative by each.
type Grade<'a> = &'a (dyn Fn(usize, &[f64]) -> (f64, Vec<f64>) + Sync);

impl Learner<'_> {
    fn pairs(self, rows: &[&Couple]) -> Result<Metrics, StageError> {
        let groups: Vec<Vec<Sequence>> = rows.iter().map(|it| vec![it.chosen.clone(), it.rejected.clone()]).collect();
        let center = self.center;
        let grade = |at: usize, scores: &[f64]| {
            let [chosen, rejected] = scores else { return (0.0, vec![0.0; scores.len()]) };
            let margin = rows.get(at).map_or(0.0, |it| it.margin);
            let found = loss::of_pair(*chosen, *rejected, margin, center);
            (found.loss, vec![found.chosen, found.rejected])
        };
        let (mut metrics, scores) = self.step(&groups, &grade)?;
        let leads: Vec<f64> = scores.iter().filter_map(|it| Some(it.first()? - it.get(1)?)).collect();
        metrics.extend(standing(&leads, &scores.concat()));
        Ok(metrics)
    }

    /// The lead of an answer is its score where it is good, and what lies below nought where it is not.
    fn labels(self, rows: &[&Rated]) -> Result<Metrics, StageError> {
        let groups: Vec<Vec<Sequence>> = rows.iter().map(|it| vec![it.answer.clone()]).collect();
        let grade = |at: usize, scores: &[f64]| {
            let [score] = scores else { return (0.0, vec![0.0; scores.len()]) };
            let (loss, slope) = loss::of_label(*score, rows.get(at).is_some_and(|it| it.good));
            (loss, vec![slope])
        };
        let (mut metrics, scores) = self.step(&groups, &grade)?;
        let scores = scores.concat();
        let leads: Vec<f64> =
            scores.iter().zip(rows).map(|(score, row)| if row.good { *score } else { -score }).collect();
        metrics.extend(standing(&leads, &scores));
        Ok(metrics)
    }

    /// Takes a step on the mean loss of groups, and gives their scores beside the figures of every training.
    fn step(self, groups: &[Vec<Sequence>], grade: Grade) -> Result<(Metrics, Vec<Vec<f64>>), StageError> {
        let parts: Vec<(usize, Part)> = scored_parts(groups).into_iter().enumerate().collect();
        let share = 1.0 / groups.len().max(1) as f64;
        let found = Mutex::new(vec![Vec::new(); parts.len()]);
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        let update = self.trainer.step(&self.context.pool, self.lr, &parts, |model, (index, part)| {
            let scored = model.scores(&part.packed, &part.rows)?;
            let scores: Vec<f64> = scored.scores.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
            let (mut value, mut slopes) = (0.0, Vec::with_capacity(scores.len()));
            let mut graded: Vec<(f64, Vec<f64>)> = Vec::new();
            let mut rest = scores.as_slice();
            for at in &part.groups {
                let (own, others) = rest.split_at(sizes.get(*at).copied().unwrap_or_default().min(rest.len()));
                rest = others;
                let (loss, slope) = grade(*at, own);
                value += share * loss;
                slopes.extend(slope.into_iter().map(|it| (share * it) as f32));
                graded.push((loss, own.to_vec()));
            }
            if let Some(place) = found.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*index) {
                *place = graded;
            }
            Ok(PartLoss { loss: with_slopes(&scored.scores, slopes, value)?, loads: scored.loads })
        })?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (losses, scores): (Vec<f64>, Vec<Vec<f64>>) = found.into_iter().flatten().unzip();
        let loss = share * losses.iter().sum::<f64>();
        Ok((Update { loss, ..update }.metrics(self.lr), scores))
    }
}

/// TRL's figures of a batch: the share of answers that lead, by how much, and the scores of all.
pub fn standing(leads: &[f64], scores: &[f64]) -> Metrics {
    let count = |it: &[f64]| it.len().max(1) as f64;
    figures([
        ("accuracy", leads.iter().filter(|it| **it > 0.0).count() as f64 / count(leads)),
        ("margin", leads.iter().sum::<f64>() / count(leads)),
        ("min_reward", scores.iter().copied().fold(f64::INFINITY, f64::min)),
        ("mean_reward", scores.iter().sum::<f64>() / count(scores)),
        ("max_reward", scores.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
    ])
}
