//! `multislerp`: the mean of several directions on the sphere, in the plane that touches it at their weighted mean.
//!
//! Every vector in the formula is a sum of the inputs, so all of it is computed from their products with each other, and
//! the tensors are read twice however long the formula.

use super::{
    Base, Job, MANY, Method, Scope,
    combine::{add, gram, subtract, weighted},
    flag, number,
};

pub const METHOD: Method = Method {
    name: "multislerp",
    models: (1, MANY),
    base: Base::Optional,
    parameters: &[
        number("weight", Scope::Model, None),
        flag("normalize_weights", true),
        number("eps", Scope::All, Some(1e-8)),
    ],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let (normalize, eps) = (job.settings.flag("normalize_weights"), job.settings.get("eps"));
    let (base, mut inputs) = job.split();
    let mut weights: Vec<f64> = inputs.iter().map(|input| input.settings.get("weight")).collect();
    if inputs.len() == 1 {
        return Ok(inputs.swap_remove(0).values);
    }
    let total: f64 = weights.iter().sum();
    if normalize {
        if total.abs() < 1e-12 {
            return Err("the weights sum to nought and cannot be normalized".to_owned());
        }
        weights.iter_mut().for_each(|weight| *weight /= total);
    }
    let mut tensors: Vec<Vec<f32>> = inputs.into_iter().map(|input| input.values).collect();
    if let Some(base) = &base {
        tensors.iter_mut().for_each(|values| subtract(values, base));
    }
    let products = gram(&tensors.iter().map(Vec::as_slice).collect::<Vec<_>>());
    if base.is_some() && products.iter().enumerate().all(|(at, row)| row[at] == 0.0) {
        // Every model has the base's tensor: there is no direction, and nothing to add.
        return Ok(base.unwrap_or_default());
    }
    let factors = factors(&products, &weights, eps)?;
    let mut out = weighted(tensors, &factors);
    if let Some(base) = &base {
        add(&mut out, base);
    }
    Ok(out)
}

/// What each input is multiplied by.
fn factors(products: &[Vec<f64>], weights: &[f64], eps: f64) -> Result<Vec<f64>, String> {
    let norms: Vec<f64> = (0..weights.len()).map(|at| products[at][at].sqrt()).collect();
    // A vector is held as what each input is multiplied by in it.
    let product = |a: &[f64], b: &[f64]| -> f64 {
        let row = |at: usize| -> f64 { products[at].iter().zip(b).map(|(p, b)| p * b).sum() };
        a.iter().enumerate().map(|(at, a)| a * row(at)).sum()
    };
    let mean: Vec<f64> = weights.iter().zip(&norms).map(|(weight, norm)| weight / (norm + eps)).collect();
    let length = product(&mean, &mean).max(0.0).sqrt();
    if length < eps {
        if weights.len() == 2 {
            return Ok(weights.to_vec());
        }
        return Err("the directions of the models cancel out, so they have no mean".to_owned());
    }
    let mean: Vec<f64> = mean.iter().map(|it| it / length).collect();
    let mut tangent = vec![0.0; weights.len()];
    for (at, (weight, norm)) in weights.iter().zip(&norms).enumerate() {
        let unit: Vec<f64> = (0..weights.len()).map(|it| if it == at { 1.0 / (norm + eps) } else { 0.0 }).collect();
        let along = product(&unit, &mean);
        for ((sum, unit), mean) in tangent.iter_mut().zip(&unit).zip(&mean) {
            *sum += weight * (unit - along * mean);
        }
    }
    let angle = product(&tangent, &tangent).max(0.0).sqrt() + eps;
    let size: f64 = weights.iter().zip(&norms).map(|(weight, norm)| weight * norm).sum();
    let point = |mean: f64, tangent: f64| (mean * angle.cos() + tangent * angle.sin() / angle) * size;
    Ok(mean.iter().zip(&tangent).map(|(mean, tangent)| point(*mean, *tangent)).collect())
}
