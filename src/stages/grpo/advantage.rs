//! Group-relative advantages: each answer against the other answers to its question.

use serde::Deserialize;

/// What the difference to the group's mean is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// The group's own standard deviation (DeepSeekMath, arXiv 2402.03300, section 4.1.1).
    Group,
    /// The standard deviation over the whole batch (Lite PPO, arXiv 2508.08221).
    Batch,
    /// Nothing (Dr. GRPO, arXiv 2503.20783).
    None,
}

/// Keeps a group of equal rewards from dividing by nought, as in TRL.
const EPSILON: f64 = 1e-4;

/// The advantage of every answer; `rewards` holds whole groups of `group` answers, end to end.
#[must_use]
pub fn advantages(rewards: &[f64], group: usize, normalize: Normalize) -> Vec<f64> {
    let batch_deviation = deviation(rewards);
    rewards
        .chunks(group.max(1))
        .flat_map(|rewards| {
            let centre = mean(rewards);
            let divisor = match normalize {
                Normalize::Group => deviation(rewards) + EPSILON,
                Normalize::Batch => batch_deviation + EPSILON,
                Normalize::None => 1.0,
            };
            rewards.iter().map(move |reward| (reward - centre) / divisor)
        })
        .collect()
}

/// The mean; nought of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The sample standard deviation, with Bessel's correction as torch computes it.
#[must_use]
pub fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    (squares / (values.len().max(2) - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_equal_rewards_has_no_advantage() {
        assert_eq!(advantages(&[2.0; 4], 4, Normalize::Group), [0.0; 4]);
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let values = advantages(&[1.0, 0.0, 5.0, 5.0], 2, Normalize::Group);
        let expected = 0.5 / (0.5f64.sqrt() + EPSILON);
        assert!((values[0] - expected).abs() < 1e-12 && (values[1] + expected).abs() < 1e-12);
        assert_eq!(values[2..], [0.0, 0.0]);
        assert_eq!(advantages(&[1.0, 0.0], 2, Normalize::None), [0.5, -0.5]);
    }
}
