//! The clipped policy loss of GRPO for one token, with its derivative.
//!
//! DeepSeekMath (arXiv 2402.03300) equations 3 and 4: with `r = exp(new - old)`,
//! `-(min(r A, clip(r, 1 - low, 1 + high) A) - kl (exp(ref - new) - (ref - new) - 1))`.

use serde::Deserialize;

/// How the tokens of a rollout are weighed against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Each token weighs the same (DAPO, arXiv 2503.14476, equation 8).
    Token,
    /// Each answer weighs the same, and its tokens share that (DeepSeekMath).
    Sequence,
}

/// The coefficients of the loss.
#[derive(Clone, Copy, Debug)]
pub struct Coefficients {
    pub clip_low: f64,
    pub clip_high: f64,
    pub kl: f64,
}

/// The log-probabilities of one sampled token under three policies, in nats.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub new: f64,
    pub old: f64,
    /// Equal to `new` where there is no reference.
    pub reference: f64,
    pub advantage: f64,
}

/// The loss of one token, and what the metrics need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLoss {
    pub loss: f64,
    /// The derivative of the loss by `new`.
    pub slope: f64,
    pub kl: f64,
    pub clipped: bool,
}

#[must_use]
pub fn token_loss(token: Token, coefficients: Coefficients) -> TokenLoss {
    let Token { new, old, reference, advantage } = token;
    let ratio = (new - old).exp();
    let bounded = ratio.clamp(1.0 - coefficients.clip_low, 1.0 + coefficients.clip_high);
    let clipped = bounded * advantage < ratio * advantage;
    let (surrogate, surrogate_slope) =
        if clipped { (bounded * advantage, 0.0) } else { (ratio * advantage, ratio * advantage) };
    let gap = reference - new;
    let kl = gap.exp() - gap - 1.0;
    TokenLoss {
        loss: coefficients.kl * kl - surrogate,
        slope: coefficients.kl * (1.0 - gap.exp()) - surrogate_slope,
        kl,
        clipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COEFFICIENTS: Coefficients = Coefficients { clip_low: 0.2, clip_high: 0.28, kl: 0.04 };

    #[test]
    fn the_slope_is_the_derivative() {
        for (new, old, advantage) in [(-1.0, -1.0, 1.0), (-1.0, -1.1, -0.7), (-0.5, -1.0, 2.0), (-2.0, -1.0, -2.0)] {
            let at = |new| token_loss(Token { new, old, reference: -1.3, advantage }, COEFFICIENTS);
            let step = 1e-6;
            let numeric = (at(new + step).loss - at(new - step).loss) / (2.0 * step);
            assert!((numeric - at(new).slope).abs() < 1e-6, "{new} {old} {advantage}");
        }
    }

    #[test]
    fn only_ratios_that_went_too_far_in_the_wanted_direction_are_clipped() {
        let clipped =
            |new, advantage| token_loss(Token { new, old: 0.0, reference: new, advantage }, COEFFICIENTS).clipped;
        assert!(clipped(0.5, 1.0) && clipped(-0.5, -1.0));
        assert!(!clipped(0.5, -1.0) && !clipped(-0.5, 1.0) && !clipped(0.1, 1.0));
    }
}
