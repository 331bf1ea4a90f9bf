//! The figures of what was learnt from a rollout, under the names that TRL gives them.

use super::objective::{AnswerLoss, Level};
use crate::stages::{
    context::{Metrics, figures},
    trainer::Update,
};

/// Sums over the answers of a part or of a minibatch.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    pub policy_loss: f64,
    pub entropy: f64,
    tokens: f64,
    answers: f64,
    kl: f64,
    /// Shares of ratios at a bound: summed over answers, and weighed by their tokens.
    low: [f64; 2],
    high: [f64; 2],
    low_min: f64,
    high_max: f64,
    difference: f64,
    difference_max: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            policy_loss: 0.0,
            entropy: 0.0,
            tokens: 0.0,
            answers: 0.0,
            kl: 0.0,
            low: [0.0; 2],
            high: [0.0; 2],
            low_min: f64::INFINITY,
            high_max: 0.0,
            difference: 0.0,
            difference_max: 0.0,
            ratio: 0.0,
            ratio_min: f64::INFINITY,
            ratio_max: 0.0,
        }
    }
}

impl Sums {
    /// Adds an answer; `old` is what the trainer makes of the policy that sampled it, `sampled` what the sampler said.
    pub fn answer(&mut self, result: &AnswerLoss, old: &[f64], sampled: &[f64]) {
        let tokens = result.slopes.len() as f64;
        self.tokens += tokens;
        self.answers += 1.0;
        self.kl += result.kl * tokens;
        self.low = [self.low[0] + result.low, self.low[1] + result.low * tokens];
        self.high = [self.high[0] + result.high, self.high[1] + result.high * tokens];
        self.low_min = self.low_min.min(result.low);
        self.high_max = self.high_max.max(result.high);
        for (old, sampled) in old.iter().zip(sampled) {
            let gap = old - sampled;
            self.difference += gap.abs();
            self.difference_max = self.difference_max.max(gap.abs());
            self.ratio += gap.exp();
            self.ratio_min = self.ratio_min.min(gap.exp());
            self.ratio_max = self.ratio_max.max(gap.exp());
        }
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            policy_loss: self.policy_loss + other.policy_loss,
            entropy: self.entropy + other.entropy,
            tokens: self.tokens + other.tokens,
            answers: self.answers + other.answers,
            kl: self.kl + other.kl,
            low: [self.low[0] + other.low[0], self.low[1] + other.low[1]],
            high: [self.high[0] + other.high[0], self.high[1] + other.high[1]],
            low_min: self.low_min.min(other.low_min),
            high_max: self.high_max.max(other.high_max),
            difference: self.difference + other.difference,
            difference_max: self.difference_max.max(other.difference_max),
            ratio: self.ratio + other.ratio,
            ratio_min: self.ratio_min.min(other.ratio_min),
            ratio_max: self.ratio_max.max(other.ratio_max),
        }
    }
}

/// What learning from a rollout did: means over its optimiser steps; of what is least and most, the least and the most.
pub struct Learnt {
    /// What an optimiser step counts in a mean.
    share: f64,
    level: Level,
    loss: f64,
    policy_loss: f64,
    kl: f64,
    entropy: f64,
    low: f64,
    high: f64,
    low_min: f64,
    high_max: f64,
    difference: f64,
    difference_max: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    gradient_norm: f64,
    imbalance: f64,
    /// The routers' load and biases after the last optimiser step.
    router: Metrics,
}

impl Learnt {
    #[must_use]
    pub fn new(level: Level, updates: usize) -> Self {
        Self {
            share: 1.0 / updates.max(1) as f64,
            level,
            loss: 0.0,
            policy_loss: 0.0,
            kl: 0.0,
            entropy: 0.0,
            low: 0.0,
            high: 0.0,
            low_min: f64::INFINITY,
            high_max: 0.0,
            difference: 0.0,
            difference_max: 0.0,
            ratio: 0.0,
            ratio_min: f64::INFINITY,
            ratio_max: 0.0,
            gradient_norm: 0.0,
            imbalance: 0.0,
            router: Metrics::new(),
        }
    }

    /// Adds an optimiser step.
    pub fn add(&mut self, update: &Update, sums: &Sums) {
        let (share, tokens) = (self.share, sums.tokens.max(1.0));
        let counted = if self.level.is_whole() { sums.answers.max(1.0) } else { tokens };
        let of = usize::from(!self.level.is_whole());
        self.loss += share * update.loss;
        self.policy_loss += share * sums.policy_loss;
        self.kl += share * sums.kl / tokens;
        self.entropy += share * sums.entropy / tokens;
        self.low += share * sums.low.get(of).copied().unwrap_or_default() / counted;
        self.high += share * sums.high.get(of).copied().unwrap_or_default() / counted;
        self.low_min = self.low_min.min(sums.low_min);
        self.high_max = self.high_max.max(sums.high_max);
        self.difference += share * sums.difference / tokens;
        self.difference_max = self.difference_max.max(sums.difference_max);
        self.ratio += share * sums.ratio / tokens;
        self.ratio_min = self.ratio_min.min(sums.ratio_min);
        self.ratio_max = self.ratio_max.max(sums.ratio_max);
        self.gradient_norm += share * update.gradient_norm;
        self.imbalance = self.imbalance.max(update.imbalance);
        self.router.clone_from(&update.router);
    }

    /// The largest difference between what the sampler said of a token and what the trainer says of it.
    #[must_use]
    pub fn sampler_difference(&self) -> f64 {
        self.difference_max
    }

    /// The figures, in the order in which they are shown.
    #[must_use]
    pub fn metrics(&self, lr: f64) -> Metrics {
        // Where nothing was learnt there is no least.
        let least = |value: f64| if value.is_finite() { value } else { 0.0 };
        let mut metrics = figures([
            ("loss", self.loss),
            ("policy_loss", self.policy_loss),
            ("kl", self.kl),
            ("entropy", self.entropy),
            ("clip_ratio/low_mean", self.low),
            ("clip_ratio/low_min", least(self.low_min)),
            ("clip_ratio/high_mean", self.high),
            ("clip_ratio/high_max", self.high_max),
            ("clip_ratio/region_mean", self.low + self.high),
            ("sampling/sampling_logp_difference/mean", self.difference),
            ("sampling/sampling_logp_difference/max", self.difference_max),
            ("sampling/importance_sampling_ratio/min", least(self.ratio_min)),
            ("sampling/importance_sampling_ratio/mean", self.ratio),
            ("sampling/importance_sampling_ratio/max", self.ratio_max),
            ("grad_norm", self.gradient_norm),
            ("learning_rate", lr),
            ("expert_imbalance", self.imbalance),
        ]);
        metrics.extend(self.router.iter().cloned());
        metrics
    }
}
