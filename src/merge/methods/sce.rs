//! `sce`: select where the models differ most, calculate their weights, erase the minority's signs (FuseChat-3.0,
//! arXiv 2408.07990).

use super::{
    Base, Job, MANY, Method, Scope,
    combine::{each_chunk, product, subtract, sum},
    flag, number, sparsify,
};

pub const METHOD: Method = Method {
    name: "sce",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[number("select_topk", Scope::All, Some(1.0)), flag("int8_mask", false)],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let share = job.settings.get("select_topk");
    let (Some(mut base), inputs) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let mut differences: Vec<Vec<f32>> = inputs.into_iter().map(|input| input.values).collect();
    differences.iter_mut().for_each(|values| subtract(values, &base));
    if share < 1.0 {
        select(&mut differences, share);
    }
    let count = differences.len();
    let squares: Vec<f64> = differences.iter().map(|it| product(it, it) / it.len().max(1) as f64).collect();
    let total: f64 = squares.iter().sum();
    let weights: Vec<f32> =
        squares.iter().map(|square| if total < 1e-6 { 1.0 / count as f64 } else { square / total } as f32).collect();
    each_chunk(&mut base, |start, chunk| {
        for (offset, value) in chunk.iter_mut().enumerate() {
            let at = start + offset;
            let sign = if differences.iter().map(|it| it[at]).sum::<f32>() >= 0.0 { 1.0 } else { -1.0 };
            let (mut kept, mut divisor) = (0.0f32, 0.0f32);
            for (difference, weight) in differences.iter().zip(&weights) {
                if difference[at] * sign > 0.0 {
                    kept += weight * difference[at];
                    divisor += weight;
                }
            }
            *value += kept / divisor.max(1e-6);
        }
    });
    Ok(base)
}

/// Sets all to nought but the places of the largest variance: that share of those where it is not nought.
fn select(differences: &mut [Vec<f32>], share: f64) {
    let count = differences.len() as f64;
    let mut variances = vec![0.0f32; differences.first().map_or(0, Vec::len)];
    each_chunk(&mut variances, |start, chunk| {
        for (offset, variance) in chunk.iter_mut().enumerate() {
            let values = || differences.iter().map(|it| f64::from(it[start + offset]));
            let mean = values().sum::<f64>() / count;
            *variance = (values().map(|it| (it - mean) * (it - mean)).sum::<f64>() / count) as f32;
        }
    });
    let present = sum(variances.len(), |range| variances[range].iter().filter(|it| **it != 0.0).count() as f64);
    let cut = sparsify::Cut::largest(&variances, (share * present) as usize);
    for values in differences {
        cut.keep(&variances, values);
    }
}
