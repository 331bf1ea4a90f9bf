//! `nearswap`: the base, drawn to the other model where the two are near (alchemonaut, 2024).

use super::{Base, Job, Method, Scope, combine::each_chunk, number};

pub const METHOD: Method = Method {
    name: "nearswap",
    models: (1, 1),
    base: Base::Required,
    parameters: &[number("t", Scope::All, None)],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let t = job.settings.get("t") as f32;
    let (Some(mut base), others) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let Some(other) = others.first() else { return Err("expected a second model, found none".to_owned()) };
    each_chunk(&mut base, |at, chunk| {
        for (value, other) in chunk.iter_mut().zip(&other.values[at..]) {
            let weight = (t / (*value - other).abs().max(1e-6)).clamp(0.0, 1.0);
            *value = weight * other + (1.0 - weight) * *value;
        }
    });
    Ok(base)
}
