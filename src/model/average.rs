//! The weighted sum of models of one shape, variable by variable.

use super::{ModelError, Transformer, ops};

/// `sum_i weights[i] * models[i]`, router biases included; summed in f32 in the order of the models, as mergekit does.
pub fn average(models: &[Transformer], weights: &[f64]) -> Result<Transformer, ModelError> {
    let Some((first, others)) = models.split_first() else {
        return Err(ModelError::Weights("expected at least one model, found none".to_owned()));
    };
    for (place, other) in others.iter().enumerate() {
        check_shapes(first, other, place + 2)?;
    }
    let mut values = Vec::with_capacity(first.variables().len());
    for (at, (_, variable)) in first.variables().iter().enumerate() {
        let mut sum = vec![0.0; variable.elem_count()];
        for (model, weight) in models.iter().zip(weights) {
            ops::read(&model.variables()[at].1, |values| add_scaled(&mut sum, *weight as f32, values))?;
        }
        values.push(sum);
    }
    let biases = (0..first.router_biases().len()).map(|at| {
        let mut sum = vec![0.0; first.router_biases()[at].len()];
        for (model, weight) in models.iter().zip(weights) {
            add_scaled(&mut sum, *weight as f32, &model.router_biases()[at]);
        }
        sum
    });
    Transformer::from_parts(first.config().clone(), first.plan().clone(), values, biases.collect())
}

fn add_scaled(sum: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

fn check_shapes(first: &Transformer, other: &Transformer, place: usize) -> Result<(), ModelError> {
    let (ours, theirs) = (first.variables(), other.variables());
    if ours.len() != theirs.len() || first.router_biases().len() != other.router_biases().len() {
        return Err(ModelError::Weights(format!(
            "expected models of one architecture, found {} variables in model 1 and {} in model {place}",
            ours.len(),
            theirs.len()
        )));
    }
    for ((name, one), (other_name, two)) in ours.iter().zip(theirs) {
        if name != other_name || one.dims() != two.dims() {
            return Err(ModelError::Weights(format!(
                "expected models of one architecture, found `{name}` {:?} in model 1 and `{other_name}` {:?} in model {place}",
                one.dims(),
                two.dims()
            )));
        }
    }
    Ok(())
}
