//! The gradients of a batch, part by part: each part is a graph of its own on one thread.
//!
//! Parts are begun in their order and their gradients are summed in their order, so that the bits of the sum depend
//! neither on the number of threads nor on which thread is the faster.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::error::ModelError;
use super::ops::math::dot;
use super::sink::{Sink, Sum};
use super::transformer::Transformer;

/// The summed gradients of all parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// One list of numbers for each variable, in the order of `Transformer::variables`.
    pub tensors: Vec<Vec<f32>>,
    /// The loss of each part.
    pub losses: Vec<f32>,
    /// How many tokens each expert saw, summed over the parts, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
}

/// The loss of one part.
pub struct PartLoss {
    /// A single number; the gradients of all parts are summed as they are.
    pub loss: Tensor,
    /// How many tokens each expert saw, for each sparse layer.
    pub loads: Vec<Vec<u64>>,
}

/// Computes the loss of every part and the sum of their gradients.
///
/// `loss` is called once for each part, on threads of the pool; it should build its graph from `model` on the calling
/// thread. If parts fail, the error is that of the first of them.
pub fn gradients<P: Sync>(
    model: &Transformer,
    pool: &rayon::ThreadPool,
    parts: &[P],
    loss: impl Fn(&P) -> Result<PartLoss, ModelError> + Sync,
) -> Result<Gradients, ModelError> {
    let next = AtomicUsize::new(0);
    let sum = Arc::new(Sum::new(model.variables(), model.room()));
    let results: Vec<Mutex<Option<Result<Found, ModelError>>>> = parts.iter().map(|_| Mutex::default()).collect();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(part), Some(place)) = (parts.get(at), results.get(at)) else { return };
            let (sink, result) = Sink::new(&sum, at).collect(|| backward(part, &loss));
            let result = result.and_then(|(found, store)| {
                sink.finish(model.variables(), &store)?;
                Ok(found)
            });
            if result.is_err() {
                // The parts after this one would be computed for nothing.
                next.fetch_max(parts.len(), Ordering::Relaxed);
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    pool.scope(|scope| {
        for _ in 0..model.device().at_once(pool.current_num_threads()).min(parts.len()) {
            scope.spawn(|_| work());
        }
    });
    let mut gradients = Gradients { tensors: Vec::new(), losses: Vec::new(), loads: Vec::new() };
    // A part that was not begun comes after one that failed.
    for result in results.into_iter().filter_map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        let found = result?;
        gradients.losses.push(found.loss);
        if gradients.loads.is_empty() {
            gradients.loads = found.loads;
        } else {
            for (sum, load) in gradients.loads.iter_mut().flatten().zip(found.loads.iter().flatten()) {
                *sum += load;
            }
        }
    }
    if gradients.losses.is_empty() {
        return Err(ModelError::Batch("expected at least one part, found none".to_owned()));
    }
    match Arc::into_inner(sum) {
        Some(sum) => gradients.tensors = sum.into_totals(),
        None => return Err(ModelError::Batch("expected every part to be done, found one under way".to_owned())),
    }
    model.room().keep(pool.current_num_threads());
    Ok(gradients)
}

impl Gradients {
    /// Leaves the room that the numbers took to those of the model's next step.
    pub fn give_back(self, model: &Transformer) {
        self.tensors.into_iter().for_each(|values| model.room().give(values));
    }

    /// The root of the sum of all squares.
    #[must_use]
    pub fn norm(&self) -> f64 {
        // Blocks are summed in f32 and their sums in f64.
        let squares =
            self.tensors.iter().flat_map(|tensor| tensor.chunks(4096)).map(|block| f64::from(dot(block, block)));
        squares.sum::<f64>().sqrt()
    }

    /// Scales the gradients down to a norm of `max` if it is larger, and gives the norm before.
    pub fn clip(&mut self, max: f64) -> f64 {
        let norm = self.norm();
        if norm > max {
            let factor = (max / norm) as f32;
            self.tensors.iter_mut().flatten().for_each(|value| *value *= factor);
        }
        norm
    }
}

/// What one part gives beside its gradients.
struct Found {
    loss: f32,
    loads: Vec<Vec<u64>>,
}

fn backward<P>(
    part: &P,
    loss: &(impl Fn(&P) -> Result<PartLoss, ModelError> + Sync),
) -> Result<(Found, GradStore), ModelError> {
    let PartLoss { loss, loads } = loss(part)?;
    let store = loss.backward()?;
    Ok((Found { loss: loss.to_scalar::<f32>()?, loads }, store))
}
