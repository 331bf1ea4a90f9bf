//! `passthrough`: the tensor of one model as it is, or scaled; with slices it stacks layers of several models.

use super::{Base, Job, Method, Scope, combine::each_chunk, number};

pub const METHOD: Method = Method {
    name: "passthrough",
    models: (1, 1),
    base: Base::Ignored,
    parameters: &[number("scale", Scope::Model, Some(1.0))],
    merge,
};

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let Some(input) = job.inputs.into_iter().next() else { return Err("expected a model, found none".to_owned()) };
    let (mut values, scale) = (input.values, input.settings.get("scale") as f32);
    if scale != 1.0 {
        each_chunk(&mut values, |_, chunk| chunk.iter_mut().for_each(|value| *value *= scale));
    }
    Ok(values)
}
