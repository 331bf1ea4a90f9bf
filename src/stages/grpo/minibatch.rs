//! Optimiser steps over one rollout: the answers in random minibatches, each learnt from once or several times.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;
use rayon::prelude::*;

use super::{
    figures::{Learnt, Sums},
    objective::{Answer, Level, Objective},
    weights::{Aggregate, Counts, threshold},
};
use crate::{
    model::{Completion, ModelError, PartLoss, Transformer},
    stages::{
        StageError,
        part::{Part, Sequence, parts},
        trainer::{Trainer, Update},
    },
};

#[cfg(test)]
#[path = "peers.rs"]
mod peers;

/// One answer to learn from.
pub struct Experience {
    sequence: Sequence,
    /// The log-probabilities of the answer's tokens as the sampler recorded them.
    sampled: Vec<f32>,
    advantage: f64,
}

impl Experience {
    /// An answer; one that is masked counts as an answer, of which no token is learnt.
    #[must_use]
    pub fn new(prompt: Vec<u32>, completion: Completion, advantage: f64, masked: bool) -> Self {
        let from = prompt.len();
        let mut ids = prompt;
        ids.extend(completion.ids);
        let from = if masked { ids.len() } else { from };
        Self { sequence: Sequence { ids, from }, sampled: completion.log_probs, advantage }
    }
}

/// How a rollout is learnt from.
pub struct Minibatches<'a> {
    pub pool: &'a rayon::ThreadPool,
    pub objective: Objective,
    pub aggregate: Aggregate,
    /// That of the sampler: the policy that is learnt is the one that was sampled.
    pub temperature: f64,
    /// The longest answer that was allowed.
    pub longest: usize,
    /// The weight of the mean entropy, which is to be large.
    pub entropy_coef: f64,
    /// The share of tokens, those of the most entropy, that the policy is learnt from.
    pub top_entropy: f64,
    /// A random order of the answers.
    pub order: Vec<usize>,
    pub count: usize,
    pub iterations: usize,
}

/// A part of a minibatch with what the loss needs for each of its tokens, all answers end to end.
struct Task {
    index: usize,
    part: Part,
    answers: Vec<Share>,
    sampled: Vec<f32>,
    /// Under the policy of the rollout's start; None where that is the policy itself.
    old: Option<Vec<f32>>,
    reference: Option<Vec<f32>>,
    /// Whether a token is one of those that the policy is learnt from; None where all are.
    chosen: Option<Vec<bool>>,
    /// The weight of each token's entropy in the loss.
    entropy_weight: f64,
}

/// An answer's place in a task.
struct Share {
    length: usize,
    advantage: f64,
    /// What each of its tokens weighs.
    weight: f64,
}

/// The log-probability and the entropy of each token of a part.
struct Scored {
    log_probs: Vec<f32>,
    entropy: Vec<f32>,
}

/// The derivatives of a part's loss.
struct Slopes {
    loss: f64,
    by_log_prob: Vec<f32>,
    by_entropy: Option<Vec<f32>>,
    sums: Sums,
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
        let all: usize = experiences.iter().map(|it| it.sequence.targets()).sum();
        let mean_tokens = all as f64 / batches.len().max(1) as f64;
        let mut minibatches = Vec::new();
        for batch in batches {
            let chosen: Vec<&Experience> = batch.iter().filter_map(|at| experiences.get(*at)).collect();
            minibatches.push(self.tasks(&trainer.model, reference, &chosen, mean_tokens)?);
        }
        // A minibatch of which no token is learnt has no slope.
        minibatches.retain(|tasks| !tasks.is_empty());
        let mut learnt = Learnt::new(self.objective.level, self.iterations * minibatches.len());
        for _ in 0..self.iterations {
            for tasks in &minibatches {
                let (update, sums) = self.step(trainer, tasks, lr)?;
                learnt.add(&update, &sums);
            }
        }
        Ok(learnt)
    }

    /// The parts of a minibatch, with the log-probabilities that must be taken before the model changes.
    fn tasks(
        &self,
        model: &Transformer,
        reference: Option<&Transformer>,
        experiences: &[&Experience],
        mean_tokens: f64,
    ) -> Result<Vec<Task>, ModelError> {
        let sequences: Vec<Sequence> = experiences.iter().map(|it| it.sequence.clone()).collect();
        let parts = parts(&sequences);
        let old = if self.changes() || self.top_entropy < 1.0 { Some(self.values(model, &parts)?) } else { None };
        let reference = reference.map(|model| self.values(model, &parts)).transpose()?;
        Ok(self.assemble(experiences, parts, old, reference, mean_tokens))
    }

    /// Whether the model changes while a rollout is learnt from.
    fn changes(&self) -> bool {
        self.count > 1 || self.iterations > 1
    }

    fn assemble(
        &self,
        experiences: &[&Experience],
        parts: Vec<Part>,
        old: Option<Vec<Scored>>,
        reference: Option<Vec<Scored>>,
        mean_tokens: f64,
    ) -> Vec<Task> {
        let tokens: usize = parts.iter().map(|it| it.targets.len()).sum();
        let counts = Counts { tokens, mean_tokens, answers: experiences.len(), longest: self.longest };
        // The entropies under the policy that sampled the answers say which tokens are chosen.
        let least = old
            .as_ref()
            .filter(|_| self.top_entropy < 1.0)
            .map(|values| threshold(values.iter().flat_map(|it| &it.entropy).copied().collect(), self.top_entropy));
        let mut old = old.into_iter().flatten();
        let mut reference = reference.into_iter().flatten();
        let mut tasks: Vec<Task> = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let old = old.next();
            let chosen = least
                .zip(old.as_ref())
                .map(|(least, scored)| scored.entropy.iter().map(|it| f64::from(*it) >= least).collect::<Vec<bool>>());
            let mut task = Task {
                index,
                answers: Vec::with_capacity(part.sequences.len()),
                sampled: Vec::with_capacity(part.targets.len()),
                old: old.filter(|_| self.changes()).map(|it| it.log_probs),
                reference: reference.next().map(|it| it.log_probs),
                chosen,
                entropy_weight: 0.0,
                part,
            };
            for (at, length) in &task.part.sequences {
                let Some(experience) = experiences.get(*at) else { continue };
                let weight = self.aggregate.weight(*length, counts);
                task.answers.push(Share { length: *length, advantage: experience.advantage, weight });
                task.sampled.extend(&experience.sampled);
            }
            tasks.push(task);
        }
        let counted = |task: &Task| match &task.chosen {
            Some(chosen) => chosen.iter().filter(|it| **it).count(),
            None => task.part.targets.len(),
        };
        let counted: usize = tasks.iter().map(counted).sum();
        tasks.iter_mut().for_each(|task| task.entropy_weight = self.entropy_coef / counted.max(1) as f64);
        tasks
    }

    /// What a model says of every part's targets, for good.
    fn values(&self, model: &Transformer, parts: &[Part]) -> Result<Vec<Scored>, ModelError> {
        self.pool.install(|| {
            let of_part = |part: &Part| {
                let scored = model.log_probs_at(&part.packed, &part.rows, &part.targets, self.temperature as f32)?;
                Ok(Scored { log_probs: scored.log_probs.to_vec1::<f32>()?, entropy: scored.entropy })
            };
            parts.par_iter().map(of_part).collect()
        })
    }

    fn step(&self, trainer: &mut Trainer, tasks: &[Task], lr: f64) -> Result<(Update, Sums), StageError> {
        let sums = Mutex::new(vec![Sums::default(); tasks.len()]);
        let update = trainer.step(self.pool, lr, tasks, |model, task| {
            let (part, temperature) = (&task.part, self.temperature as f32);
            let (log_probs, entropy, entropies, loads) = if self.entropy_coef > 0.0 {
                let it = model.log_probs_and_entropy(&part.packed, &part.rows, &part.targets, temperature)?;
                (it.log_probs, it.entropy.to_vec1()?, Some(it.entropy), it.loads)
            } else {
                let it = model.log_probs_at(&part.packed, &part.rows, &part.targets, temperature)?;
                (it.log_probs, it.entropy, None, it.loads)
            };
            let slopes = self.slopes(task, &log_probs.to_vec1::<f32>()?, &entropy);
            if let Some(place) = sums.lock().unwrap_or_else(PoisonError::into_inner).get_mut(task.index) {
                *place = slopes.sums;
            }
            let mut linear = summed(&log_probs, slopes.by_log_prob)?;
            if let (Some(entropies), Some(slopes)) = (entropies, slopes.by_entropy) {
                linear = (linear + summed(&entropies, slopes)?)?;
            }
            // A scalar of the loss's value, whose derivatives are those of the sums.
            let offset = slopes.loss - f64::from(linear.to_scalar::<f32>()?);
            Ok(PartLoss { loss: (linear + offset)?, loads })
        })?;
        // Summed in the order of the parts, not in the order in which threads came to an end.
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((update, sums.into_iter().fold(Sums::default(), Sums::with)))
    }

    /// The loss of a part, its derivatives, and the sums for the metrics.
    fn slopes(&self, task: &Task, new: &[f32], entropy: &[f32]) -> Slopes {
        let mut sums = Sums::default();
        let mut loss = 0.0;
        let mut by_log_prob = Vec::with_capacity(new.len());
        let mut at = 0;
        for share in &task.answers {
            let range = at..at + share.length;
            at = range.end;
            let of = |values: &[f32]| -> Vec<f64> {
                values.get(range.clone()).unwrap_or_default().iter().map(|it| f64::from(*it)).collect()
            };
            let part = |values: &Option<Vec<f32>>| values.as_deref().map(of);
            let (new, old, reference) = (of(new), part(&task.old), part(&task.reference));
            let chosen = task.chosen.as_deref().and_then(|it| it.get(range.clone()));
            let answer = Answer {
                new: &new,
                old: old.as_deref(),
                reference: reference.as_deref(),
                advantage: share.advantage,
                chosen,
            };
            let result = self.objective.evaluate(answer);
            sums.answer(&result, old.as_deref().unwrap_or(&new), &of(&task.sampled));
            loss += share.weight * result.loss;
            by_log_prob.extend(result.slopes.iter().map(|slope| (share.weight * slope) as f32));
        }
        sums.policy_loss = loss;
        sums.entropy = entropy.iter().map(|it| f64::from(*it)).sum();
        let by_entropy = (self.entropy_coef > 0.0).then(|| {
            let counts = |at: usize| task.chosen.as_ref().is_none_or(|it| it.get(at).copied().unwrap_or(false));
            let slope = |at: usize| if counts(at) { -task.entropy_weight as f32 } else { 0.0 };
            let slopes: Vec<f32> = (0..entropy.len()).map(slope).collect();
            loss += slopes.iter().zip(entropy).map(|(slope, it)| f64::from(*slope) * f64::from(*it)).sum::<f64>();
            slopes
        });
        Slopes { loss, by_log_prob, by_entropy, sums }
    }
}

/// The sum of values, each times a constant.
fn summed(values: &Tensor, slopes: Vec<f32>) -> Result<Tensor, ModelError> {
    let slopes = Tensor::from_vec(slopes, values.shape(), values.device())?;
    Ok((values * slopes)?.sum_all()?)
}

impl Level {
    /// Whether an answer has one ratio and not one for each token.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self != Self::Token
    }
}
