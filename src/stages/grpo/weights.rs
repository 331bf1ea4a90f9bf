//! What each token of a minibatch counts, and which tokens count at all.

use serde::Deserialize;

/// What weighs the same in the loss. TRL calls them `bnpo`, `dapo`, `grpo`, `dr_grpo` and `luspo`, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Each token of a minibatch (DAPO, arXiv 2503.14476, equation 8).
    Token,
    /// Each token of the rollout, however it falls into minibatches.
    Rollout,
    /// Each answer, and its tokens share that (DeepSeekMath, arXiv 2402.03300, equation 3).
    Sequence,
    /// Each token, by the longest answer allowed and not by what there is (Dr. GRPO, arXiv 2503.20783, listing 1).
    Constant,
    /// Each answer counts as many times as it has tokens (LUSPO, arXiv 2602.05261).
    Sum,
}

/// How many tokens and answers there are.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Tokens of the minibatch that are learnt.
    pub tokens: usize,
    /// Those of the whole rollout, over its minibatches.
    pub mean_tokens: f64,
    /// Answers of the minibatch, those without any token that is learnt among them.
    pub answers: usize,
    pub longest: usize,
}

impl Aggregate {
    /// The weight of each token of an answer of so many tokens.
    #[must_use]
    pub fn weight(self, length: usize, counts: Counts) -> f64 {
        let answers = counts.answers.max(1);
        match self {
            Self::Token => 1.0 / counts.tokens.max(1) as f64,
            Self::Rollout => 1.0 / counts.mean_tokens.max(1.0),
            Self::Sequence => 1.0 / (answers * length.max(1)) as f64,
            Self::Constant => 1.0 / (answers * counts.longest.max(1)) as f64,
            Self::Sum => 1.0 / answers as f64,
        }
    }
}

/// The least entropy of the share of tokens that has the most, between two tokens as torch and numpy do it.
#[must_use]
pub fn threshold(mut entropies: Vec<f32>, share: f64) -> f64 {
    entropies.sort_by(f32::total_cmp);
    let place = (1.0 - share).clamp(0.0, 1.0) * entropies.len().saturating_sub(1) as f64;
    let at = |place: f64| entropies.get(place as usize).map_or(0.0, |it| f64::from(*it));
    let (below, above) = (at(place.floor()), at(place.ceil()));
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_the_same() {
        let counts = Counts { tokens: 10, mean_tokens: 8.0, answers: 2, longest: 16 };
        let weight = |aggregate: Aggregate| [2, 8].map(|length| aggregate.weight(length, counts));
        assert_eq!(weight(Aggregate::Token), [0.1, 0.1]);
        assert_eq!(weight(Aggregate::Rollout), [0.125, 0.125]);
        assert_eq!(weight(Aggregate::Sequence), [0.25, 0.0625]);
        assert_eq!(weight(Aggregate::Constant), [0.03125, 0.03125]);
        assert_eq!(weight(Aggregate::Sum), [0.5, 0.5]);
    }

    #[test]
    fn the_quantile_lies_between_two_tokens() {
        assert_eq!(threshold(vec![4.0, 1.0, 3.0, 2.0, 0.0], 0.2), 3.2);
        assert_eq!(threshold(vec![1.0, 2.0], 1.0), 1.0);
        assert_eq!(threshold(Vec::new(), 0.2), 0.0);
    }
}
