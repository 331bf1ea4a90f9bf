//! The loss that evens out how often experts are chosen: within each sequence as DeepSeek-V3 has it, or over a whole
//! batch as Qwen3-MoE has it.
//!
//! How often an expert was chosen is a count, and no gradient flows through it; so either loss is a sum over tokens of a
//! slope for each expert times the token's score for it. Only where the slopes come from differs.

use std::sync::Arc;

use super::router::Router;

/// A loss that keeps the load of experts even, and the part of it that a packed batch answers for.
#[derive(Clone, Debug, PartialEq)]
pub enum Balance {
    /// Of every sequence and layer `weight · sum over experts of f · P`: `f` is how often the scores alone would choose
    /// the expert, in parts of an even load, and `P` its mean normalised score (DeepSeek-V3 technical report, equations
    /// 17 to 20). For a mean over the sequences of a batch, the weight is divided by their number.
    Sequence { weight: f64 },
    /// The same slope of an expert's score in every token and layer.
    Batch { slopes: Arc<[f32]> },
}

impl Balance {
    /// `weight · experts · sum over experts of F · P` over all tokens and layers of a batch together: `F` is how often an
    /// expert is chosen per token, `P` its mean score (Switch Transformer, equations 4 to 6, as transformers defines
    /// it for Qwen3-MoE: `router_aux_loss_coef`). `loads` are those of the whole batch, a list for each sparse layer.
    #[must_use]
    pub fn batch(weight: f64, loads: &[Vec<u64>], per_token: usize) -> Self {
        let experts = loads.first().map_or(0, Vec::len);
        let tokens = loads.iter().flatten().sum::<u64>() as f64 / per_token.max(1) as f64;
        let slope = |expert: usize| {
            let chosen: u64 = loads.iter().filter_map(|layer| layer.get(expert)).sum();
            (weight * experts as f64 * chosen as f64 / tokens.max(1.0).powi(2)) as f32
        };
        Self::Batch { slopes: (0..experts).map(slope).collect() }
    }
}

/// What a balance loss is for the tokens of one layer.
pub struct Pull {
    /// The slopes of an expert's normalised score, expert by expert, for each stretch of tokens.
    slopes: Vec<f32>,
    /// How many tokens each stretch has.
    lengths: Vec<usize>,
    experts: usize,
    /// The share of these tokens in the loss.
    pub loss: f64,
}

impl Pull {
    /// `scores` are those of token after token, `lengths` how many tokens each sequence has.
    #[must_use]
    pub fn new(balance: &Balance, router: &Router, scores: &[f32], lengths: &[usize]) -> Self {
        let experts = router.experts;
        let (slopes, lengths) = match balance {
            Balance::Batch { slopes } => (slopes.to_vec(), vec![scores.len() / experts]),
            Balance::Sequence { weight } => {
                let mut slopes = Vec::with_capacity(lengths.len() * experts);
                let mut start = 0;
                for length in lengths {
                    let sequence = &scores[start * experts..][..length * experts];
                    slopes.extend(of_sequence(router, sequence, *weight));
                    start += length;
                }
                (slopes, lengths.to_vec())
            }
        };
        let mut pull = Self { slopes, lengths, experts, loss: 0.0 };
        let tokens = scores.chunks_exact(experts).zip(pull.of_tokens());
        pull.loss = tokens.map(|(scores, slopes)| f64::from(along(scores, slopes))).sum();
        pull
    }

    /// The slopes of each token's experts, token by token.
    pub fn of_tokens(&self) -> impl Iterator<Item = &[f32]> {
        let stretches = self.slopes.chunks_exact(self.experts).zip(&self.lengths);
        stretches.flat_map(|(slopes, length)| std::iter::repeat_n(slopes, *length))
    }
}

/// Adds to the gradients of a token's scores that of `sum over experts of slope · score / sum of scores`.
pub fn add_gradient(scores: &[f32], slopes: &[f32], gradients: &mut [f32]) {
    let total = scores.iter().sum::<f32>() + 1e-20;
    let along = along(scores, slopes);
    for (gradient, slope) in gradients.iter_mut().zip(slopes) {
        *gradient += (slope - along) / total;
    }
}

/// The sum of the slopes times the token's scores, which are made to sum to one.
fn along(scores: &[f32], slopes: &[f32]) -> f32 {
    let total = scores.iter().sum::<f32>() + 1e-20;
    scores.iter().zip(slopes).map(|(score, slope)| score * slope).sum::<f32>() / total
}

/// The slopes of a sequence's normalised scores: `weight · f / tokens`.
fn of_sequence(router: &Router, scores: &[f32], weight: f64) -> Vec<f32> {
    // The bias and the groups have no part in what is counted: the loss is to even out the scores themselves.
    let alone = Router { groups: 1, kept_groups: 1, ..router.clone() };
    let mut counts = vec![0_u64; router.experts];
    let mut chosen = Vec::with_capacity(router.chosen);
    let tokens = scores.len() / router.experts;
    for scores in scores.chunks_exact(router.experts) {
        chosen.clear();
        alone.choose(scores, &[], &mut chosen);
        chosen.iter().for_each(|expert| counts[*expert as usize] += 1);
    }
    let even = (router.chosen * tokens) as f64 / router.experts as f64;
    counts.iter().map(|count| (weight * *count as f64 / even / tokens as f64) as f32).collect()
}
