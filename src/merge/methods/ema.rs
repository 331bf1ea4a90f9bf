//! `ema`: the exponential moving average of models in the order in which training made them.
//!
//! With decay `d`, each model after the first moves the average by `1 - d` of the way: `m_0 = x_0`,
//! `m_i = d m_(i-1) + (1 - d) x_i` (Polyak and Juditsky, 1992, in its exponential form).

use super::{Base, Job, MANY, Method, Scope, linear, number};

pub const METHOD: Method = Method {
    name: "ema",
    models: (1, MANY),
    base: Base::Ignored,
    parameters: &[number("decay", Scope::All, Some(0.5))],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let weights = weights(job.inputs.len(), job.settings.get("decay"));
    linear::weighted_sum(job, &weights, false)
}

/// What each model counts in the end; they sum to one.
fn weights(count: usize, decay: f64) -> Vec<f64> {
    let mut weights = vec![1.0];
    for _ in 1..count {
        weights.iter_mut().for_each(|weight| *weight *= decay);
        weights.push(1.0 - decay);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_counts_most_and_all_sum_to_one() {
        assert_eq!(weights(3, 0.5), [0.25, 0.25, 0.5]);
        assert_eq!(weights(1, 0.9), [1.0]);
        assert!((weights(9, 0.9).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
