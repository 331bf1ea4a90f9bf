//! The losses of a reward model, with their slopes: Bradley and Terry's of pairs, and that of labels.

use crate::stages::slopes::{log_sigmoid, sigmoid};

/// The loss of one pair, and its derivatives by the two scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OfPair {
    pub loss: f64,
    pub chosen: f64,
    pub rejected: f64,
}

/// `-log sigmoid(chosen - rejected - margin) + center (chosen + rejected)^2`: Llama 2's loss with a margin (arXiv
/// 2307.09288, equation 2), and the term that keeps scores near nought (arXiv 2312.09244, section 2), as in TRL.
#[must_use]
pub fn of_pair(chosen: f64, rejected: f64, margin: f64, center: f64) -> OfPair {
    let lead = chosen - rejected - margin;
    let sum = chosen + rejected;
    let slope = -sigmoid(-lead);
    OfPair {
        loss: -log_sigmoid(lead) + center * sum * sum,
        chosen: slope + 2.0 * center * sum,
        rejected: -slope + 2.0 * center * sum,
    }
}

/// Binary cross-entropy of an answer that is good, or is not; and its derivative by the score.
#[must_use]
pub fn of_label(score: f64, good: bool) -> (f64, f64) {
    let sign = if good { 1.0 } else { -1.0 };
    (-log_sigmoid(sign * score), -sign * sigmoid(-sign * score))
}
