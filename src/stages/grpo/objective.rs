//! What one answer adds to the loss, with its derivatives: the ratio to the policy that sampled it, the clipping, and the
//! divergence from the reference.
//!
//! With `r = exp(new - old)` and `x = exp(reference - new)` the loss of a token is `-(min(r A, clip(r, 1 - low, 1 + high)
//! A) - kl (x - log x - 1))`: DeepSeekMath (arXiv 2402.03300) equations 3 and 4. The other forms are named where they are
//! defined. The slopes are those of the very formula; a test holds them against finite differences.

use serde::Deserialize;

/// What the advantage is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Surrogate {
    /// The ratio, clipped where it has gone far in the wanted direction (PPO, arXiv 1707.06347, equation 7).
    Clip,
    /// The log-probability, weighed by the clipped ratio as a constant: no token loses its slope (CISPO, arXiv
    /// 2506.13585, equation 4).
    Cispo,
    /// The ratio through a soft gate in the place of the clipping (SAPO, arXiv 2511.20347, equation 5).
    Sapo,
}

/// Of what the ratio to the sampling policy is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each token by itself (DeepSeekMath, and every library).
    Token,
    /// The geometric mean over the answer's tokens (GSPO, arXiv 2507.18071, equation 7).
    Sequence,
    /// The whole answer, the divergence too (DeepSeek-R1, Nature 645, equations 1 and 2).
    Product,
}

/// How the divergence from the reference is estimated from the sampled tokens (Schulman, "Approximating KL divergence").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// `log(1/x)`: unbiased in value, of much variance.
    K1,
    /// `(log x)^2 / 2`: biased in value, unbiased in its slope.
    K2,
    /// `x - log x - 1`: unbiased in value, never negative.
    K3,
}

/// What does not change from answer to answer.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    pub surrogate: Surrogate,
    pub level: Level,
    pub clip_low: f64,
    pub clip_high: f64,
    /// How steep the soft gate is where the advantage is positive, and where it is not.
    pub gate: (f64, f64),
    /// Bounds the ratio where the advantage is negative (dual clip, arXiv 1912.09729; INTELLECT-2's two-sided clip).
    pub delta: Option<f64>,
    pub kl: f64,
    pub estimator: Estimator,
    /// Whether the divergence is weighed by the ratio, which makes its slope unbiased (DeepSeek-V3.2, section 3.1).
    pub corrected: bool,
    /// The mean of `old - new` above which an answer with a negative advantage is left out (DeepSeek-V3.2, equation 9).
    pub off_policy: Option<f64>,
}

/// The log-probabilities of an answer's tokens under the policies, in nats.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub new: &'a [f64],
    /// Equal to `new` where absent.
    pub old: Option<&'a [f64]>,
    /// There is no divergence where absent.
    pub reference: Option<&'a [f64]>,
    pub advantage: f64,
    /// Which tokens the policy's part of the loss is of; all where absent.
    pub chosen: Option<&'a [bool]>,
}

/// The loss of an answer: summed over its tokens, without the weight of a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerLoss {
    pub loss: f64,
    /// The derivative of the loss by each token's `new`.
    pub slopes: Vec<f64>,
    /// The mean divergence.
    pub kl: f64,
    /// The share of ratios at or beyond the lower bound that the advantage would push farther down.
    pub low: f64,
    /// The same of the upper bound.
    pub high: f64,
}

impl Objective {
    #[must_use]
    pub fn evaluate(&self, answer: Answer) -> AnswerLoss {
        let tokens = answer.new.len();
        let mut result = AnswerLoss { slopes: vec![0.0; tokens], ..AnswerLoss::default() };
        if tokens == 0 {
            return result;
        }
        let gap =
            |other: Option<&[f64]>, at: usize, new: f64| other.and_then(|it| it.get(at)).map_or(0.0, |it| new - it);
        let moved: Vec<f64> = answer.new.iter().enumerate().map(|(at, new)| gap(answer.old, at, *new)).collect();
        let total: f64 = moved.iter().sum();
        let whole = match self.level {
            Level::Token => None,
            Level::Sequence => Some(total / tokens as f64),
            Level::Product => Some(total),
        };
        // How much the logarithm of a whole answer's ratio grows with that of one of its tokens.
        let share = if self.level == Level::Sequence { 1.0 / tokens as f64 } else { 1.0 };
        let ratio = |at: usize| whole.unwrap_or_else(|| moved.get(at).copied().unwrap_or(0.0)).exp();
        let dropped = self.off_policy.is_some_and(|most| answer.advantage < 0.0 && -total / tokens as f64 > most);
        let mut common = 0.0;
        for (at, new) in answer.new.iter().enumerate() {
            let (term, low, high) = self.policy(ratio(at), *new, answer.advantage);
            result.low += f64::from(u8::from(low)) / tokens as f64;
            result.high += f64::from(u8::from(high)) / tokens as f64;
            let counts = answer.chosen.is_none_or(|it| it.get(at).copied().unwrap_or(false));
            if dropped || !counts {
                continue;
            }
            result.loss += term.value;
            common += self.spread(&mut result.slopes, at, term, share);
        }
        if answer.reference.is_some() {
            let apart: Vec<f64> =
                answer.new.iter().enumerate().map(|(at, new)| -gap(answer.reference, at, *new)).collect();
            let whole_gap: f64 = apart.iter().sum();
            for (at, gap) in apart.iter().enumerate() {
                let gap = if self.level == Level::Product { whole_gap } else { *gap };
                let (value, slope) = self.estimator.of(gap);
                // The ratio's own growth is what makes the slope unbiased.
                let weight = if self.corrected { ratio(at) } else { 1.0 };
                let by_ratio = if self.corrected { weight * value } else { 0.0 };
                result.kl += weight * value / tokens as f64;
                result.loss += self.kl * weight * value;
                let own = Term { value: 0.0, by_token: weight * slope, by_ratio };
                let own = match self.level {
                    // The whole answer's divergence grows with every token.
                    Level::Product => Term { by_token: 0.0, by_ratio: own.by_ratio + own.by_token, ..own },
                    _ => own,
                };
                let own = Term { by_token: self.kl * own.by_token, by_ratio: self.kl * own.by_ratio, ..own };
                common += self.spread(&mut result.slopes, at, own, share);
            }
        }
        result.slopes.iter_mut().for_each(|slope| *slope += common);
        result
    }

    /// Adds what a term does to its own token's slope, and gives what it does to every token's.
    fn spread(&self, slopes: &mut [f64], at: usize, term: Term, share: f64) -> f64 {
        let Some(slope) = slopes.get_mut(at) else { return 0.0 };
        *slope += term.by_token;
        if self.level == Level::Token {
            *slope += term.by_ratio;
            return 0.0;
        }
        term.by_ratio * share
    }

    /// The policy's part of a token's loss, and whether the bounds below and above were met.
    fn policy(&self, ratio: f64, new: f64, advantage: f64) -> (Term, bool, bool) {
        let bounds = (1.0 - self.clip_low, 1.0 + self.clip_high);
        let bounded = ratio.clamp(bounds.0, bounds.1);
        let (low, high) = (ratio < bounds.0 && advantage < 0.0, ratio > bounds.1 && advantage > 0.0);
        let term = match self.surrogate {
            Surrogate::Clip => {
                let most = self.delta.unwrap_or(f64::INFINITY);
                let (free, slope) = if ratio > most { (most, 0.0) } else { (ratio, ratio) };
                if bounded * advantage < free * advantage {
                    Term { value: -bounded * advantage, by_token: 0.0, by_ratio: 0.0 }
                } else {
                    Term { value: -free * advantage, by_token: 0.0, by_ratio: -slope * advantage }
                }
            }
            Surrogate::Cispo => {
                let weight = -bounded * advantage;
                Term { value: weight * new, by_token: weight, by_ratio: 0.0 }
            }
            Surrogate::Sapo => {
                let steepness = if advantage > 0.0 { self.gate.0 } else { self.gate.1 };
                let open = 1.0 / (1.0 + (-steepness * (ratio - 1.0)).exp());
                let by_ratio = -4.0 * open * (1.0 - open) * ratio * advantage;
                Term { value: -4.0 / steepness * open * advantage, by_token: 0.0, by_ratio }
            }
        };
        (term, low, high)
    }
}

/// A summand of the loss.
#[derive(Clone, Copy)]
struct Term {
    value: f64,
    /// Its derivative by the token's own log-probability, the ratio held fast.
    by_token: f64,
    /// Its derivative by the logarithm of the ratio.
    by_ratio: f64,
}

impl Estimator {
    /// The divergence for `gap = reference - new`, and its derivative by `new`.
    fn of(self, gap: f64) -> (f64, f64) {
        match self {
            Self::K1 => (-gap, 1.0),
            Self::K2 => (0.5 * gap * gap, -gap),
            Self::K3 => (gap.exp() - gap - 1.0, 1.0 - gap.exp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Objective = Objective {
        surrogate: Surrogate::Clip,
        level: Level::Token,
        clip_low: 0.2,
        clip_high: 0.28,
        gate: (1.0, 1.05),
        delta: None,
        kl: 0.04,
        estimator: Estimator::K3,
        corrected: false,
        off_policy: None,
    };

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
    }

    /// Equations 1 and 2 of the Nature paper for one answer of two tokens, written out.
    #[test]
    fn whole_answers_have_one_ratio_and_one_divergence() {
        let objective = Objective { level: Level::Product, clip_high: 10.0, ..PLAIN };
        let (new, old, reference): ([f64; 2], [f64; 2], [f64; 2]) = ([-0.5, -1.25], [-0.75, -1.5], [-0.625, -1.0]);
        let answer = Answer { new: &new, old: Some(&old), reference: Some(&reference), advantage: 2.0, chosen: None };
        let found = objective.evaluate(answer);
        let policy = |tokens: [f64; 2]| tokens[0].exp() * tokens[1].exp();
        let (ratio, x) = (policy(new) / policy(old), policy(reference) / policy(new));
        let of_answer = -(ratio * 2.0 - 0.04 * (x - x.ln() - 1.0));
        // Each of the answer's two tokens has the answer's loss, and half of its weight.
        close(found.loss / 2.0, of_answer);
        close(found.kl, x - x.ln() - 1.0);
        for slope in found.slopes {
            close(slope / 2.0, -ratio * 2.0 + 0.04 * (1.0 - x));
        }
    }

    /// The three estimators of one token at the same place: values by hand.
    #[test]
    fn the_estimators_are_those_of_the_formulas() {
        for (estimator, expected) in
            [(Estimator::K1, -0.5), (Estimator::K2, 0.125), (Estimator::K3, 0.5f64.exp() - 1.5)]
        {
            let answer =
                Answer { new: &[-1.0], old: Some(&[-1.25]), reference: Some(&[-0.5]), advantage: 0.0, chosen: None };
            let plain = Objective { estimator, ..PLAIN };
            close(plain.evaluate(answer).kl, expected);
            close(plain.evaluate(answer).loss, 0.04 * expected);
            close(Objective { corrected: true, ..plain }.evaluate(answer).kl, 0.25f64.exp() * expected);
        }
    }

    /// Where the policy is the one that sampled, the weighed divergence pulls as the divergence itself does.
    #[test]
    fn the_unbiased_form_pulls_by_the_logarithm_of_the_ratio() {
        let objective = Objective { corrected: true, kl: 1.0, ..PLAIN };
        let answer = Answer { new: &[-1.0], old: None, reference: Some(&[-0.5]), advantage: 0.0, chosen: None };
        close(objective.evaluate(answer).slopes[0], -0.5);
    }

    #[test]
    fn only_ratios_that_went_too_far_in_the_wanted_direction_are_clipped() {
        let at = |new: f64, advantage: f64| {
            let answer = Answer { new: &[new], old: Some(&[0.0]), reference: None, advantage, chosen: None };
            PLAIN.evaluate(answer)
        };
        assert_eq!((at(0.5, 1.0).high, at(0.5, 1.0).slopes[0]), (1.0, 0.0));
        assert_eq!((at(-0.5, -1.0).low, at(-0.5, -1.0).slopes[0]), (1.0, 0.0));
        for free in [at(0.5, -1.0), at(-0.5, 1.0), at(0.1, 1.0)] {
            assert_eq!((free.low, free.high), (0.0, 0.0));
            assert_ne!(free.slopes[0], 0.0);
        }
    }

    #[test]
    fn a_negative_advantage_is_bounded_by_delta_and_by_nothing_else() {
        let at = |delta: Option<f64>, advantage: f64| {
            let objective = Objective { delta, ..PLAIN };
            let answer = Answer { new: &[1.0], old: Some(&[0.0]), reference: None, advantage, chosen: None };
            objective.evaluate(answer)
        };
        close(at(None, -1.0).loss, 1f64.exp());
        close(at(Some(2.0), -1.0).loss, 2.0);
        assert_eq!(at(Some(2.0), -1.0).slopes, [0.0]);
        assert_eq!(at(Some(2.0), 1.0), at(None, 1.0));
    }

    /// CISPO's weight is a constant: the slope is that of a weighed log-likelihood, clipped tokens included.
    #[test]
    fn cispo_keeps_the_slope_of_clipped_tokens() {
        let objective = Objective { surrogate: Surrogate::Cispo, ..PLAIN };
        let (new, old) = ([-0.25, -1.0], [-1.25, -0.875]);
        let found =
            objective.evaluate(Answer { new: &new, old: Some(&old), reference: None, advantage: 1.5, chosen: None });
        let weights = [1.28, (-0.125f64).exp()];
        close(found.loss, -1.5 * (weights[0] * new[0] + weights[1] * new[1]));
        close(found.slopes[0], -1.5 * weights[0]);
        close(found.slopes[1], -1.5 * weights[1]);
    }

    #[test]
    fn an_answer_far_off_the_policy_is_left_out_where_it_is_a_bad_one() {
        let objective = Objective { off_policy: Some(0.5), kl: 0.0, ..PLAIN };
        let at = |old: f64, advantage: f64| {
            let answer = Answer { new: &[-1.0; 2], old: Some(&[old; 2]), reference: None, advantage, chosen: None };
            objective.evaluate(answer).loss
        };
        assert_eq!(at(-0.25, -1.0), 0.0);
        assert_ne!(at(-0.25, 1.0), 0.0);
        assert_ne!(at(-0.75, -1.0), 0.0);
    }

    fn objectives() -> impl Strategy<Value = Objective> {
        let surrogate = prop_oneof![Just(Surrogate::Clip), Just(Surrogate::Sapo)];
        let level = prop_oneof![Just(Level::Token), Just(Level::Sequence), Just(Level::Product)];
        let estimator = prop_oneof![Just(Estimator::K1), Just(Estimator::K2), Just(Estimator::K3)];
        let delta = proptest::option::of(1.3..3.0);
        (surrogate, level, estimator, delta, any::<bool>(), 0.0..1.0, 0.0..0.3).prop_map(
            |(surrogate, level, estimator, delta, corrected, kl, clip_high)| Objective {
                surrogate,
                level,
                clip_high,
                delta,
                kl,
                estimator,
                corrected,
                ..PLAIN
            },
        )
    }

    proptest! {
        /// Whatever the form, the slopes are the derivatives of the loss.
        #[test]
        fn the_slopes_are_the_derivatives(
            objective in objectives(),
            tokens in proptest::collection::vec((-3.0..-0.1, -0.5..0.5, -0.5..0.5, any::<bool>()), 1..6),
            advantage in -2.0..2.0,
        ) {
            let new: Vec<f64> = tokens.iter().map(|it| it.0).collect();
            let old: Vec<f64> = tokens.iter().map(|it| it.0 + it.1).collect();
            let reference: Vec<f64> = tokens.iter().map(|it| it.0 + it.2).collect();
            let chosen: Vec<bool> = tokens.iter().map(|it| it.3).collect();
            let at = |new: &[f64]| {
                let (old, reference, chosen) = (Some(&*old), Some(&*reference), Some(&*chosen));
                objective.evaluate(Answer { new, old, reference, advantage, chosen })
            };
            let slopes = at(&new).slopes;
            let step = 1e-6;
            for (token, slope) in slopes.iter().enumerate() {
                let moved = |by: f64| {
                    let mut new = new.clone();
                    new[token] += by;
                    at(&new)
                };
                let (above, below) = (moved(step), moved(-step));
                // At a bound there is no derivative.
                let (left, right) = (below.slopes[token], above.slopes[token]);
                prop_assume!((left - right).abs() < 1e-3 * (1.0 + slope.abs()));
                let numeric = (above.loss - below.loss) / (2.0 * step);
                prop_assert!((numeric - slope).abs() < 1e-6 * (1.0 + slope.abs()), "{numeric} {slope} {objective:?}");
            }
        }
    }
}
