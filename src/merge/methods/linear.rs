//! `linear`: the weighted sum, or mean (Wortsman et al., "Model soups", arXiv 2203.05482).

use super::{Base, Job, MANY, Method, Scope, combine::each_chunk, flag, number};

pub const METHOD: Method = Method {
    name: "linear",
    models: (1, MANY),
    base: Base::Ignored,
    parameters: &[number("weight", Scope::Model, None), flag("normalize", true)],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let normalize = job.settings.flag("normalize");
    let weights: Vec<f64> = job.inputs.iter().map(|input| input.settings.get("weight")).collect();
    weighted_sum(job, &weights, normalize)
}

/// `sum_i weights[i] * x_i`, divided by the sum of the weights where they are normalized.
pub fn weighted_sum(job: Job, weights: &[f64], normalize: bool) -> Result<Vec<f32>, String> {
    let total: f64 = weights.iter().sum();
    if normalize && total.abs() < 1e-12 {
        return Err("the weights sum to nought and cannot be normalized".to_owned());
    }
    let divisor = if normalize { total as f32 } else { 1.0 };
    let mut inputs = job.inputs.into_iter().map(|input| input.values);
    let Some(mut out) = inputs.next() else { return Err("expected at least one model, found none".to_owned()) };
    let others: Vec<Vec<f32>> = inputs.collect();
    let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    each_chunk(&mut out, |at, chunk| {
        for value in &mut *chunk {
            *value *= weights[0];
        }
        for (weight, other) in weights[1..].iter().zip(&others) {
            for (value, other) in chunk.iter_mut().zip(&other[at..]) {
                *value += weight * other;
            }
        }
        for value in chunk {
            *value /= divisor;
        }
    });
    Ok(out)
}
