//! `nuslerp`: along the arc between two models, or between their differences from a base, whole or vector by vector.

use rayon::prelude::*;

use super::{
    Base, Job, Method, Scope,
    combine::{add, arc, dot, is_collinear, product, subtract, weighted},
    flag, number,
};

pub const METHOD: Method = Method {
    name: "nuslerp",
    models: (2, 2),
    base: Base::Optional,
    parameters: &[number("weight", Scope::Model, None), flag("nuslerp_flatten", true), flag("nuslerp_row_wise", false)],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let (flatten, row_wise) = (job.settings.flag("nuslerp_flatten"), job.settings.flag("nuslerp_row_wise"));
    let row = job.row();
    let first = if job.shape.len() > 1 { job.shape[0] } else { 0 };
    let (base, inputs) = job.split();
    let weights: Vec<f64> = inputs.iter().map(|input| input.settings.get("weight")).collect();
    let [left, right] = weights[..] else { return Err(format!("expected two models, found {}", weights.len())) };
    let t = if (left + right).abs() < 1e-6 { 0.5 } else { right / (left + right) };
    let mut tensors: Vec<Vec<f32>> = inputs.into_iter().map(|input| input.values).collect();
    if let Some(base) = &base {
        tensors.iter_mut().for_each(|values| subtract(values, base));
    }
    let mut out = if flatten {
        let [a, b] = [&tensors[0], &tensors[1]];
        let (from, to) = factors(t, product(a, a), product(a, b), product(b, b));
        weighted(tensors, &[from, to])
    } else if row_wise && first > 0 {
        along_the_first_dimension(tensors, t, first)
    } else {
        along_the_last_dimension(tensors, t, row)
    };
    if let Some(base) = &base {
        add(&mut out, base);
    }
    Ok(out)
}

/// What two vectors are multiplied by, given their products with themselves and each other.
fn factors(t: f64, aa: f64, ab: f64, bb: f64) -> (f64, f64) {
    let cosine = ab / (aa.sqrt().max(1e-7) * bb.sqrt().max(1e-7));
    if is_collinear(cosine) { (1.0 - t, t) } else { arc(t, cosine) }
}

fn along_the_last_dimension(mut tensors: Vec<Vec<f32>>, t: f64, row: usize) -> Vec<f32> {
    let other = tensors.pop().unwrap_or_default();
    let mut out = tensors.pop().unwrap_or_default();
    out.par_chunks_mut(row).zip(other.par_chunks(row)).for_each(|(a, b)| {
        let (from, to) = factors(t, dot(a, a), dot(a, b), dot(b, b));
        mix(a, b, |_| (from, to));
    });
    out
}

/// The vectors run from row to row: the name that mergekit gives it is misleading.
fn along_the_first_dimension(mut tensors: Vec<Vec<f32>>, t: f64, rows: usize) -> Vec<f32> {
    let other = tensors.pop().unwrap_or_default();
    let mut out = tensors.pop().unwrap_or_default();
    let width = out.len() / rows;
    let mut products = vec![(0.0, 0.0, 0.0); width];
    for (a, b) in out.chunks(width).zip(other.chunks(width)) {
        for ((sums, a), b) in products.iter_mut().zip(a).zip(b) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            sums.0 += a * a;
            sums.1 += a * b;
            sums.2 += b * b;
        }
    }
    let factors: Vec<(f64, f64)> = products.into_iter().map(|(aa, ab, bb)| factors(t, aa, ab, bb)).collect();
    out.par_chunks_mut(width).zip(other.par_chunks(width)).for_each(|(a, b)| mix(a, b, |at| factors[at]));
    out
}

fn mix(a: &mut [f32], b: &[f32], factors: impl Fn(usize) -> (f64, f64)) {
    for (at, (a, b)) in a.iter_mut().zip(b).enumerate() {
        let (from, to) = factors(at);
        *a = (from * f64::from(*a) + to * f64::from(*b)) as f32;
    }
}
