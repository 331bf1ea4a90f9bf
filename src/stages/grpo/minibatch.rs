//! Optimiser steps over one rollout: the answers in random minibatches, each learnt from once.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use rayon::prelude::*;

use super::loss::{Aggregate, Coefficients, Token, token_loss};
use crate::{
    model::{Completion, ModelError, PartLoss, Transformer},
    stages::{
        StageError,
        part::{Part, Sequence, parts},
        trainer::{Trainer, Update},
    },
};

/// One answer to learn from.
pub struct Experience {
    sequence: Sequence,
    /// The log-probabilities of the answer's tokens as the sampler recorded them.
    sampled: Vec<f32>,
    advantage: f64,
}

impl Experience {
    #[must_use]
    pub fn new(prompt: Vec<u32>, completion: Completion, advantage: f64) -> Self {
        let from = prompt.len();
        let mut ids = prompt;
        ids.extend(completion.ids);
        Self { sequence: Sequence { ids, from }, sampled: completion.log_probs, advantage }
    }
}

/// How a rollout is learnt from.
pub struct Minibatches<'a> {
    pub pool: &'a rayon::ThreadPool,
    pub coefficients: Coefficients,
    pub aggregate: Aggregate,
    /// That of the sampler: the policy that is learnt is the one that was sampled.
    pub temperature: f64,
    /// A random order of the answers.
    pub order: Vec<usize>,
    pub count: usize,
}

/// What learning from a rollout did: means over its minibatches, the difference to the sampler at its worst.
#[derive(Default)]
pub struct Learnt {
    pub loss: f64,
    pub kl: f64,
    pub clip_ratio: f64,
    pub entropy: f64,
    pub sampler_difference: f64,
    pub gradient_norm: f64,
    pub imbalance: f64,
}

/// A part of a minibatch with what the loss needs for each of its tokens.
struct Task {
    index: usize,
    part: Part,
    advantages: Vec<f64>,
    weights: Vec<f64>,
    sampled: Vec<f32>,
    /// Under the policy of the rollout's start; None where that is the policy itself.
    old: Option<Vec<f32>>,
    reference: Option<Vec<f32>>,
}

/// Sums over the tokens of one part.
#[derive(Clone, Copy, Default)]
struct Sums {
    tokens: f64,
    kl: f64,
    clipped: f64,
    entropy: f64,
    difference: f64,
}

impl Minibatches<'_> {
    pub fn learn(
        &self,
        trainer: &mut Trainer,
        reference: Option<&Transformer>,
        experiences: &[Experience],
        lr: f64,
    ) -> Result<Learnt, StageError> {
        let size = experiences.len().div_ceil(self.count).max(1);
        let batches = self.order.chunks(size);
        let mut tasks = Vec::new();
        for batch in batches {
            let chosen: Vec<&Experience> = batch.iter().filter_map(|at| experiences.get(*at)).collect();
            tasks.push(self.tasks(&trainer.model, reference, &chosen)?);
        }
        let mut learnt = Learnt::default();
        let share = 1.0 / tasks.len().max(1) as f64;
        for tasks in &tasks {
            let (update, sums) = self.step(trainer, tasks, lr)?;
            learnt.loss += share * update.loss;
            learnt.kl += share * sums.kl / sums.tokens.max(1.0);
            learnt.clip_ratio += share * sums.clipped / sums.tokens.max(1.0);
            learnt.entropy += share * sums.entropy / sums.tokens.max(1.0);
            learnt.sampler_difference = learnt.sampler_difference.max(sums.difference);
            learnt.gradient_norm += share * update.gradient_norm;
            learnt.imbalance = learnt.imbalance.max(update.imbalance);
        }
        Ok(learnt)
    }

    /// The parts of a minibatch, with the log-probabilities that must be taken before the model changes.
    fn tasks(
        &self,
        model: &Transformer,
        reference: Option<&Transformer>,
        experiences: &[&Experience],
    ) -> Result<Vec<Task>, StageError> {
        let sequences: Vec<Sequence> = experiences.iter().map(|it| it.sequence.clone()).collect();
        let parts = parts(&sequences);
        let tokens: usize = sequences.iter().map(Sequence::targets).sum();
        let old = if self.count > 1 { Some(self.values(model, &parts)?) } else { None };
        let reference = reference.map(|model| self.values(model, &parts)).transpose()?;
        let tasks = parts.into_iter().enumerate().map(|(index, part)| {
            let mut task = Task {
                index,
                advantages: Vec::with_capacity(part.targets.len()),
                weights: Vec::with_capacity(part.targets.len()),
                sampled: Vec::with_capacity(part.targets.len()),
                old: old.as_ref().and_then(|values| values.get(index).cloned()),
                reference: reference.as_ref().and_then(|values| values.get(index).cloned()),
                part,
            };
            for (at, length) in &task.part.sequences {
                let Some(experience) = experiences.get(*at) else { continue };
                let weight = match self.aggregate {
                    Aggregate::Token => 1.0 / tokens as f64,
                    Aggregate::Sequence => 1.0 / (sequences.len() * length) as f64,
                };
                task.advantages.extend(std::iter::repeat_n(experience.advantage, *length));
                task.weights.extend(std::iter::repeat_n(weight, *length));
                task.sampled.extend(&experience.sampled);
            }
            task
        });
        Ok(tasks.collect())
    }

    /// The log-probabilities of every part's targets under a model, for good.
    fn values(&self, model: &Transformer, parts: &[Part]) -> Result<Vec<Vec<f32>>, ModelError> {
        self.pool.install(|| {
            let of_part = |part: &Part| {
                let scored = model.log_probs_at(&part.packed, &part.rows, &part.targets, self.temperature as f32)?;
                Ok(scored.log_probs.to_vec1::<f32>()?)
            };
            parts.par_iter().map(of_part).collect()
        })
    }

    fn step(&self, trainer: &mut Trainer, tasks: &[Task], lr: f64) -> Result<(Update, Sums), StageError> {
        let sums = Mutex::new(vec![Sums::default(); tasks.len()]);
        let update = trainer.step(self.pool, lr, tasks, |model, task| {
            let part = &task.part;
            let scored = model.log_probs_at(&part.packed, &part.rows, &part.targets, self.temperature as f32)?;
            let new = scored.log_probs.to_vec1::<f32>()?;
            let (slopes, value, mut of_part) = self.slopes(task, &new);
            of_part.entropy = scored.entropy.iter().map(|it| f64::from(*it)).sum();
            if let Some(place) = sums.lock().unwrap_or_else(PoisonError::into_inner).get_mut(task.index) {
                *place = of_part;
            }
            Ok(PartLoss { loss: with_slopes(&scored.log_probs, slopes, value)?, loads: scored.loads })
        })?;
        // Summed in the order of the parts, not in the order in which threads came to an end.
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        let total = sums.iter().fold(Sums::default(), |total, it| Sums {
            tokens: total.tokens + it.tokens,
            kl: total.kl + it.kl,
            clipped: total.clipped + it.clipped,
            entropy: total.entropy + it.entropy,
            difference: total.difference.max(it.difference),
        });
        Ok((update, total))
    }

    /// The derivative of a part's loss by each log-probability, the loss, and the sums for the metrics.
    fn slopes(&self, task: &Task, new: &[f32]) -> (Vec<f32>, f64, Sums) {
        let mut sums = Sums { tokens: new.len() as f64, ..Sums::default() };
        let mut loss = 0.0;
        let at = |values: &Option<Vec<f32>>, index: usize, otherwise: f64| {
            values.as_ref().and_then(|it| it.get(index)).map_or(otherwise, |it| f64::from(*it))
        };
        let per_token = task.advantages.iter().zip(&task.weights).zip(new.iter().zip(&task.sampled));
        let slopes = per_token.enumerate().map(|(index, ((advantage, weight), (new, sampled)))| {
            let new = f64::from(*new);
            let token = Token {
                new,
                old: at(&task.old, index, new),
                reference: at(&task.reference, index, new),
                advantage: *advantage,
            };
            sums.difference = sums.difference.max((token.old - f64::from(*sampled)).abs());
            let result = token_loss(token, self.coefficients);
            loss += weight * result.loss;
            sums.kl += result.kl;
            sums.clipped += f64::from(u8::from(result.clipped));
            (weight * result.slope) as f32
        });
        (slopes.collect(), loss, sums)
    }
}

/// A scalar worth `value` whose derivative by each log-probability is the given slope.
fn with_slopes(log_probs: &Tensor, slopes: Vec<f32>, value: f64) -> Result<Tensor, ModelError> {
    let slopes = Tensor::from_vec(slopes, log_probs.shape(), log_probs.device())?;
    let linear = (log_probs * slopes)?.sum_all()?;
    let offset = value - f64::from(linear.to_scalar::<f32>()?);
    Ok((linear + offset)?)
}
