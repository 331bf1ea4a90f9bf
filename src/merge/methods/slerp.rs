//! `slerp`: along the arc from the base to one other model (Shoemake, "Animating rotation with quaternion curves", 1985).

use super::{
    Base, Job, Method, Scope,
    combine::{arc, product, weighted},
    number,
};

pub const METHOD: Method =
    Method { name: "slerp", models: (1, 1), base: Base::Required, parameters: &[number("t", Scope::All, None)], merge };

/// Beyond this cosine, of either sign, the straight line is taken.
const NEARLY_PARALLEL: f64 = 0.9995;

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let t = job.settings.get("t");
    let (Some(base), others) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let Some(other) = others.into_iter().next() else { return Err("expected a second model, found none".to_owned()) };
    let other = other.values;
    // A tensor of (nearly) nothing is not brought to length one.
    let norm = |values: &[f32]| Some(product(values, values).sqrt()).filter(|norm| *norm > 1e-8).unwrap_or(1.0);
    let cosine = (product(&base, &other) / (norm(&base) * norm(&other))).clamp(-1.0, 1.0);
    let (from, to) = if cosine.abs() > NEARLY_PARALLEL { (1.0 - t, t) } else { arc(t, cosine) };
    Ok(weighted(vec![base, other], &[from, to]))
}
