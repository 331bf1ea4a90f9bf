//! `karcher`: the point of the sphere with the least sum of squared arcs to the models (Karcher, 1977), at their mean
//! length; found by walking towards the mean of the arcs.

use super::{
    Base, Job, Kind, MANY, Method, Parameter, Scope,
    combine::{gram, weighted},
    number,
};

pub const METHOD: Method = Method {
    name: "karcher",
    models: (1, MANY),
    base: Base::Ignored,
    parameters: &[
        Parameter { name: "max_iter", kind: Kind::Whole, scope: Scope::All, default: Some(10.0) },
        number("tol", Scope::All, Some(1e-5)),
    ],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let (rounds, tolerance) = (job.settings.get("max_iter") as usize, job.settings.get("tol"));
    let tensors: Vec<Vec<f32>> = job.inputs.into_iter().map(|input| input.values).collect();
    let products = gram(&tensors.iter().map(Vec::as_slice).collect::<Vec<_>>());
    Ok(weighted(tensors, &factors(&products, rounds, tolerance)))
}

/// What each input is multiplied by: every point on the way is a sum of the inputs.
fn factors(products: &[Vec<f64>], rounds: usize, tolerance: f64) -> Vec<f64> {
    let count = products.len();
    let norms: Vec<f64> = (0..count).map(|at| products[at][at].sqrt()).collect();
    let present: Vec<usize> = (0..count).filter(|at| norms[*at] > tolerance).collect();
    let mut out = vec![0.0; count];
    if present.is_empty() {
        return out;
    }
    let share = 1.0 / present.len() as f64;
    // From here on a vector is held as what each direction is multiplied by in it.
    let cosines: Vec<Vec<f64>> =
        present.iter().map(|a| present.iter().map(|b| products[*a][*b] / (norms[*a] * norms[*b])).collect()).collect();
    let along = |at: usize, v: &[f64]| -> f64 { cosines[at].iter().zip(v).map(|(c, v)| c * v).sum() };
    let length = |v: &[f64]| v.iter().enumerate().map(|(at, it)| it * along(at, v)).sum::<f64>().max(0.0).sqrt();
    let mut mean = vec![share; present.len()];
    let first = length(&mean);
    if first < tolerance {
        mean = (0..present.len()).map(|at| if at == 0 { 1.0 } else { 0.0 }).collect();
    } else {
        mean.iter_mut().for_each(|it| *it /= first);
    }
    for _ in 0..rounds {
        let mut tangent = vec![0.0; present.len()];
        for at in 0..present.len() {
            let cosine = along(at, &mean).clamp(-1.0, 1.0);
            let angle = cosine.acos();
            if angle < tolerance {
                continue;
            }
            let pull = share * angle / angle.sin();
            tangent[at] += pull;
            tangent.iter_mut().zip(&mean).for_each(|(sum, mean)| *sum -= pull * cosine * mean);
        }
        let step = length(&tangent);
        if step < tolerance {
            break;
        }
        mean.iter_mut().zip(&tangent).for_each(|(m, t)| *m = step.cos() * *m + step.sin() * t / step);
        let size = length(&mean);
        mean.iter_mut().for_each(|it| *it /= size);
    }
    // An input of no length has no direction, and still counts in the mean length.
    let size = norms.iter().sum::<f64>() / count as f64;
    for (at, mean) in present.iter().zip(&mean) {
        out[*at] = mean * size / norms[*at];
    }
    out
}
