//! The gradients of a batch, part by part: each part is a graph of its own on one thread.
//!
//! Parts are begun in their order and their gradients are summed in their order, so that the bits of the sum depend
//! neither on the number of threads nor on which thread is the faster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use super::error::ModelError;
use super::ops;
use super::ops::math::dot;
use super::sink::Sink;
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
    let sum = Mutex::new(Sum::default());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else { return };
            let sink = Sink::new(model.variables(), lock(&sum).free.pop());
            let (sink, result) = sink.collect(|| backward(part, &loss));
            let result = result.and_then(|(value, store, loads)| Part::finish(model, sink, value, &store, loads));
            if result.is_err() {
                // The parts after this one would be computed for nothing.
                next.fetch_max(parts.len(), Ordering::Relaxed);
            }
            lock(&sum).put(at, result);
        }
    };
    pool.scope(|scope| {
        for _ in 0..model.device().at_once(pool.current_num_threads()).min(parts.len()) {
            scope.spawn(|_| work());
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (sum.error, sum.total) {
        (Some((_, error)), _) => Err(error),
        (None, Some(total)) => Ok(Gradients { tensors: total, losses: sum.losses, loads: sum.loads }),
        (None, None) => Err(ModelError::Batch("expected at least one part, found none".to_owned())),
    }
}

impl Gradients {
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

type Loss = (f32, candle_core::backprop::GradStore, Vec<Vec<u64>>);

fn backward<P>(part: &P, loss: &(impl Fn(&P) -> Result<PartLoss, ModelError> + Sync)) -> Result<Loss, ModelError> {
    let PartLoss { loss, loads } = loss(part)?;
    let store = loss.backward()?;
    Ok((loss.to_scalar::<f32>()?, store, loads))
}

struct Part {
    gradients: Vec<Vec<f32>>,
    loss: f32,
    loads: Vec<Vec<u64>>,
}

impl Part {
    /// Takes what the sink collected, and what went through operations that know no sink.
    fn finish(
        model: &Transformer,
        sink: Sink,
        loss: f32,
        store: &candle_core::backprop::GradStore,
        loads: Vec<Vec<u64>>,
    ) -> Result<Self, ModelError> {
        let mut gradients = sink.buffers;
        for ((buffer, written), (_, var)) in gradients.iter_mut().zip(sink.written).zip(model.variables()) {
            if !written {
                buffer.fill(0.0);
            }
            if let Some(gradient) = store.get(var.as_tensor()) {
                ops::read(&gradient.contiguous()?, |gradient| add(buffer, gradient))?;
            }
        }
        Ok(Self { gradients, loss, loads })
    }
}

/// The sum so far, and the parts that wait for their turn.
#[derive(Default)]
struct Sum {
    /// How many parts have been summed.
    done: usize,
    total: Option<Vec<Vec<f32>>>,
    losses: Vec<f32>,
    loads: Vec<Vec<u64>>,
    waiting: BTreeMap<usize, Part>,
    /// Buffers to be used again.
    free: Vec<Vec<Vec<f32>>>,
    /// The failed part that comes first.
    error: Option<(usize, ModelError)>,
}

impl Sum {
    fn put(&mut self, at: usize, part: Result<Part, ModelError>) {
        match part {
            Ok(part) => {
                self.waiting.insert(at, part);
            }
            Err(error) => {
                if self.error.as_ref().is_none_or(|(first, _)| at < *first) {
                    self.error = Some((at, error));
                }
            }
        }
        while let Some(part) = self.waiting.remove(&self.done) {
            self.done += 1;
            self.add(part);
        }
    }

    fn add(&mut self, part: Part) {
        self.losses.push(part.loss);
        if self.loads.is_empty() {
            self.loads = part.loads;
        } else {
            for (sum, load) in self.loads.iter_mut().flatten().zip(part.loads.iter().flatten()) {
                *sum += load;
            }
        }
        match &mut self.total {
            None => self.total = Some(part.gradients),
            Some(total) => {
                total.iter_mut().zip(&part.gradients).for_each(|(sum, gradient)| add(sum, gradient));
                self.free.push(part.gradients);
            }
        }
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn lock(sum: &Mutex<Sum>) -> MutexGuard<'_, Sum> {
    sum.lock().unwrap_or_else(PoisonError::into_inner)
}
