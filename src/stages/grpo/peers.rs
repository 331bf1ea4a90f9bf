//! Held against Hugging Face TRL: the loss, its derivatives and the figures of the same log-probabilities, as
//! `tests/fixtures/losses/grpo.py` wrote them down.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::stages::grpo::objective::{Estimator, Surrogate};

#[derive(Deserialize)]
struct Peer {
    trl: String,
    lengths: Vec<usize>,
    longest: usize,
    new: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    entropy: Vec<f32>,
    advantages: Vec<f64>,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    settings: Settings,
    loss: f64,
    by_log_prob: Vec<f64>,
    by_entropy: Vec<f64>,
    metrics: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Settings {
    loss_type: String,
    importance_sampling_level: Level,
    epsilon_low: f64,
    epsilon_high: f64,
    delta: Option<f64>,
    beta: f64,
    use_bias_correction_kl: bool,
    off_policy_mask_threshold: Option<f64>,
    top_entropy_quantile: f64,
    entropy_coef: f64,
    sapo_temperature_pos: f64,
    sapo_temperature_neg: f64,
    masked: Vec<usize>,
}

impl Settings {
    /// The same in our words, as `docs/training.md` has it.
    fn minibatches<'a>(&self, pool: &'a rayon::ThreadPool, peer: &Peer) -> Minibatches<'a> {
        let (surrogate, aggregate) = match self.loss_type.as_str() {
            "grpo" => (Surrogate::Clip, Aggregate::Sequence),
            "dapo" => (Surrogate::Clip, Aggregate::Rollout),
            "bnpo" => (Surrogate::Clip, Aggregate::Token),
            "dr_grpo" => (Surrogate::Clip, Aggregate::Constant),
            "luspo" => (Surrogate::Clip, Aggregate::Sum),
            "cispo" => (Surrogate::Cispo, Aggregate::Rollout),
            "sapo" => (Surrogate::Sapo, Aggregate::Sequence),
            other => panic!("{other}"),
        };
        // TRL bounds CISPO's ratio from above alone, by the bound itself and not by how far it is from one.
        let (clip_low, clip_high) = if surrogate == Surrogate::Cispo {
            (1.0, self.epsilon_high - 1.0)
        } else {
            (self.epsilon_low, self.epsilon_high)
        };
        let objective = Objective {
            surrogate,
            level: self.importance_sampling_level,
            clip_low,
            clip_high,
            gate: (self.sapo_temperature_pos, self.sapo_temperature_neg),
            delta: self.delta,
            kl: self.beta,
            estimator: Estimator::K3,
            corrected: self.use_bias_correction_kl,
            off_policy: self.off_policy_mask_threshold,
        };
        Minibatches {
            pool,
            objective,
            aggregate,
            temperature: 1.0,
            longest: peer.longest,
            entropy_coef: self.entropy_coef,
            top_entropy: self.top_entropy_quantile,
            order: Vec::new(),
            count: 1,
            // The log-probabilities are others than when the answers were sampled.
            iterations: 2,
        }
    }
}

/// The values of the tokens that are learnt.
fn learnt(values: &[f32], peer: &Peer, masked: &[usize]) -> Vec<f32> {
    let mut at = 0;
    let mut kept = Vec::new();
    for (answer, length) in peer.lengths.iter().enumerate() {
        if !masked.contains(&answer) {
            kept.extend(&values[at..at + length]);
        }
        at += length;
    }
    kept
}

#[test]
fn losses_slopes_and_figures_are_those_of_trl() {
    let peer: Peer = serde_json::from_str(include_str!("../../../tests/fixtures/losses/grpo.json")).unwrap();
    assert_eq!((peer.trl.as_str(), peer.cases.len()), ("1.16.0", 18));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (name, case) in &peer.cases {
        let masked = &case.settings.masked;
        let minibatches = case.settings.minibatches(&pool, &peer);
        let experiences: Vec<Experience> = (peer.lengths.iter().zip(&peer.advantages).enumerate())
            .map(|(at, (length, advantage))| {
                let completion =
                    Completion { row: 0, ids: vec![1; *length], log_probs: vec![0.0; *length], stopped: true };
                Experience::new(vec![1], completion, *advantage, masked.contains(&at))
            })
            .collect();
        let sequences: Vec<Sequence> = experiences.iter().map(|it| it.sequence.clone()).collect();
        let of = |values: &[f32]| learnt(values, &peer, masked);
        let scored = |values: &[f32]| vec![Scored { log_probs: of(values), entropy: of(&peer.entropy) }];
        let reference = (case.settings.beta > 0.0).then(|| scored(&peer.reference));
        let tokens = of(&peer.new).len() as f64;
        let all: Vec<&Experience> = experiences.iter().collect();
        let tasks = minibatches.assemble(&all, parts(&sequences), Some(scored(&peer.old)), reference, tokens);
        assert_eq!(tasks.len(), 1);
        let found = minibatches.slopes(&tasks[0], &of(&peer.new), &of(&peer.entropy));

        let near = |what: &str, found: f64, expected: f64| {
            assert!(
                (found - expected).abs() < 2e-6 * (1.0 + expected.abs()),
                "{name}, {what}: {found}, TRL {expected}"
            );
        };
        near("loss", found.loss, case.loss);
        let expected = |values: &[f64]| of(&values.iter().map(|it| *it as f32).collect::<Vec<_>>());
        for (at, (found, expected)) in found.by_log_prob.iter().zip(expected(&case.by_log_prob)).enumerate() {
            near(&format!("slope {at}"), f64::from(*found), f64::from(expected));
        }
        let none = vec![0.0; found.by_log_prob.len()];
        let by_entropy = found.by_entropy.as_ref().unwrap_or(&none);
        for (at, (found, expected)) in by_entropy.iter().zip(expected(&case.by_entropy)).enumerate() {
            near(&format!("slope by entropy {at}"), f64::from(*found), f64::from(expected));
        }
        // Only the figures of the loss are compared; nothing was trained.
        let mut figures = Learnt::new(minibatches.objective.level, 1);
        figures.add(&Update { loss: found.loss, gradient_norm: 0.0, imbalance: 1.0, router: Vec::new() }, &found.sums);
        let figures: BTreeMap<String, f64> =
            figures.metrics(0.0).into_iter().map(|(name, value)| (name.into_owned(), value)).collect();
        for (figure, expected) in &case.metrics {
            let ours = match figure.as_str() {
                // The share of ratios above the bound, where there is but one bound.
                "cispo_clip_ratio" => "clip_ratio/high_mean",
                "entropy_coef" => continue,
                other => other,
            };
            // An answer without tokens has no share of clipped ones: not a number to torch, and left out here.
            near(figure, figures[ours], *expected);
        }
    }
}
