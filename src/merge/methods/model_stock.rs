//! `model_stock`: between the base and the mean of the models, as far as their angles say (Jang et al., arXiv 2403.19522).

use rayon::prelude::*;

use super::{
    Base, Job, MANY, Method,
    combine::{dot, each_chunk, product, subtract},
    flag,
};

pub const METHOD: Method = Method {
    name: "model_stock",
    models: (2, MANY),
    base: Base::Required,
    parameters: &[flag("filter_wise", false)],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let by_row = job.settings.flag("filter_wise");
    let row = job.row();
    let (Some(mut base), inputs) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let mut differences: Vec<Vec<f32>> = inputs.into_iter().map(|input| input.values).collect();
    differences.iter_mut().for_each(|values| subtract(values, &base));
    if by_row {
        base.par_chunks_mut(row).enumerate().for_each(|(at, out)| {
            let rows: Vec<&[f32]> = differences.iter().map(|it| &it[at * row..at * row + out.len()]).collect();
            let t = ratio(&rows, dot);
            step(out, &rows, t);
        });
    } else {
        let whole: Vec<&[f32]> = differences.iter().map(Vec::as_slice).collect();
        let t = ratio(&whole, product);
        each_chunk(&mut base, |at, out| {
            let parts: Vec<&[f32]> = whole.iter().map(|it| &it[at..at + out.len()]).collect();
            step(out, &parts, t);
        });
    }
    Ok(base)
}

/// `t = k cos / (1 + (k - 1) cos)`, with the mean cosine of the pairs; it may be negative.
fn ratio(differences: &[&[f32]], product: impl Fn(&[f32], &[f32]) -> f64) -> f64 {
    let count = differences.len();
    let norms: Vec<f64> = differences.iter().map(|it| product(it, it).sqrt()).collect();
    let mut cosines = 0.0;
    for one in 0..count {
        for other in one + 1..count {
            let scale = (norms[one] * norms[other]).max(1e-6);
            cosines += (product(differences[one], differences[other]) / scale).clamp(-1.0, 1.0);
        }
    }
    let pairs = count * (count - 1) / 2;
    let cosine = cosines / pairs.max(1) as f64;
    let divisor = 1.0 + (count as f64 - 1.0) * cosine;
    if divisor.abs() < 1e-6 { 0.0 } else { count as f64 * cosine / divisor }
}

/// The base moved by `t` of the mean difference.
fn step(out: &mut [f32], differences: &[&[f32]], t: f64) {
    let factor = t / differences.len() as f64;
    for (at, value) in out.iter_mut().enumerate() {
        let sum: f64 = differences.iter().map(|it| f64::from(it[at])).sum();
        *value = (f64::from(*value) + factor * sum) as f32;
    }
}
