//! Which experts a token goes to: the bias-corrected, group-limited choice of DeepSeek-V3, and the plain one of
//! Qwen3-MoE.

use super::config::Config;
use super::ops::math::{exp_and_sum, max, sigmoid};

/// How an expert is scored by its logit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// By itself (DeepSeek-V3).
    Sigmoid,
    /// Against all others (Qwen3-MoE).
    Softmax,
}

/// The choices of a router.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// How logits become scores.
    pub scoring: Scoring,
    /// The number of experts.
    pub experts: usize,
    /// How many experts a token goes to.
    pub chosen: usize,
    /// Into how many groups the experts are divided.
    pub groups: usize,
    /// From how many groups a token's experts may come.
    pub kept_groups: usize,
    /// Whether a token's weights are made to sum to one.
    pub normalise: bool,
    /// What the weights are multiplied by.
    pub scale: f32,
}

impl Router {
    /// The router that a configuration describes, if it describes one.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        match config {
            Config::DeepseekV3(config) => Some(Self {
                scoring: Scoring::Sigmoid,
                experts: config.n_routed_experts,
                chosen: config.num_experts_per_tok,
                groups: config.n_group,
                kept_groups: config.topk_group,
                normalise: config.norm_topk_prob,
                scale: config.routed_scaling_factor as f32,
            }),
            Config::Qwen3Moe(config) => Some(Self {
                scoring: Scoring::Softmax,
                experts: config.num_experts,
                chosen: config.num_experts_per_tok,
                groups: 1,
                kept_groups: 1,
                normalise: config.norm_topk_prob,
                scale: 1.0,
            }),
            Config::Llama(_) | Config::Qwen2(_) => None,
        }
    }

    /// Replaces the logits of one token by its scores.
    pub fn score(&self, logits: &mut [f32]) {
        match self.scoring {
            Scoring::Sigmoid => logits.iter_mut().for_each(|logit| *logit = sigmoid(*logit)),
            Scoring::Softmax => {
                let largest = max(logits);
                let factor = 1.0 / exp_and_sum(logits, largest);
                logits.iter_mut().for_each(|logit| *logit *= factor);
            }
        }
    }

    /// The experts of one token, in rising order, from its scores and the bias; an empty bias corrects nothing.
    ///
    /// A group is judged by the sum of its two best biased scores; experts of groups that are not kept cannot be
    /// chosen, whatever the sign of the bias. Of equal scores the lower index wins.
    pub fn choose(&self, scores: &[f32], bias: &[f32], experts: &mut Vec<u32>) {
        let mut biased = scores.to_vec();
        biased.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        if self.kept_groups < self.groups {
            let size = self.experts / self.groups;
            let group_scores: Vec<f32> = biased.chunks_exact(size).map(best_two).collect();
            let kept = best(&group_scores, self.kept_groups);
            for (group, scores) in biased.chunks_exact_mut(size).enumerate() {
                if !kept.contains(&(group as u32)) {
                    scores.fill(f32::NEG_INFINITY);
                }
            }
        }
        experts.extend(best(&biased, self.chosen));
    }

    /// The weights of a token's chosen experts: their scores without the bias, normalised and scaled.
    pub fn weigh(&self, scores: &[f32], experts: &[u32], weights: &mut [f32]) {
        for (weight, expert) in weights.iter_mut().zip(experts) {
            *weight = scores[*expert as usize];
        }
        let factor = if self.normalise { self.scale / (weights.iter().sum::<f32>() + 1e-20) } else { self.scale };
        weights.iter_mut().for_each(|weight| *weight *= factor);
    }
}

/// The indices of the largest numbers, in rising order of index.
fn best(scores: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// The sum of the two largest numbers; of one number, itself.
fn best_two(scores: &[f32]) -> f32 {
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for score in scores {
        if *score > first {
            (first, second) = (*score, first);
        } else if *score > second {
            second = *score;
        }
    }
    if scores.len() < 2 { first } else { first + second }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(groups: usize, kept_groups: usize) -> Router {
        Router { scoring: Scoring::Sigmoid, experts: 8, chosen: 2, groups, kept_groups, normalise: true, scale: 2.5 }
    }

    fn choose(router: &Router, scores: [f32; 8], bias: [f32; 8]) -> Vec<u32> {
        let mut experts = Vec::new();
        router.choose(&scores, &bias, &mut experts);
        experts
    }

    #[test]
    fn the_bias_moves_the_choice_but_not_the_weights() {
        let scores = [0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        let bias = [-1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0];
        let router = router(1, 1);
        let experts = choose(&router, scores, bias);
        assert_eq!(experts, [5, 7]);
        let mut weights = [0.0; 2];
        router.weigh(&scores, &experts, &mut weights);
        let expected = [2.5 * 0.5 / 1.2, 2.5 * 0.7 / 1.2];
        assert!(weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{weights:?}");
    }

    #[test]
    fn a_group_is_judged_by_its_two_best() {
        // The best single expert is in the second group, the better pair in the first.
        let scores = [0.6, 0.6, 0.0, 0.0, 0.9, 0.1, 0.0, 0.0];
        assert_eq!(choose(&router(2, 1), scores, [0.0; 8]), [0, 1]);
        assert_eq!(choose(&router(1, 1), scores, [0.0; 8]), [0, 4]);
    }

    #[test]
    fn experts_of_dropped_groups_are_never_chosen_even_if_all_biased_scores_are_negative() {
        let scores = [0.5; 8];
        let bias = [-1.0, -1.0, -2.0, -2.0, -3.0, -3.0, -3.0, -3.0];
        let three = Router { chosen: 3, ..router(2, 1) };
        assert_eq!(choose(&three, scores, bias), [0, 1, 2]);
    }

    #[test]
    fn of_equal_scores_the_lower_index_wins() {
        assert_eq!(choose(&router(1, 1), [0.5; 8], [0.0; 8]), [0, 1]);
        assert_eq!(choose(&router(4, 2), [0.5; 8], [0.0; 8]), [0, 1]);
    }
}
