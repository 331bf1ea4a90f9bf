//! AdamW: one pass over the weights, in place.
//!
//! The moments lie in the memory of the program, whatever device the weights are on: they are copied there and back.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor};
use rayon::prelude::*;

use super::error::ModelError;
use super::gradients::Gradients;
use super::ops;
use super::transformer::Transformer;
use crate::base::device::Device;

/// How many numbers one task updates.
const CHUNK: usize = 1 << 15;

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSettings {
    /// How slowly the mean of the gradients changes.
    pub beta1: f64,
    /// How slowly the mean of their squares changes.
    pub beta2: f64,
    /// What is added to the root of the mean of squares.
    pub eps: f64,
    /// The share of a weight that each step takes away, times the learning rate.
    pub weight_decay: f64,
    /// Whether norms decay too; usually only matrices do.
    pub decay_vectors: bool,
}

impl Default for AdamWSettings {
    /// The settings of DeepSeek-V3's training.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, decay_vectors: false }
    }
}

/// The state of the optimizer, as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The number of steps taken.
    pub step: u64,
    /// The mean of the gradients of each variable, in the order of `Transformer::variables`.
    pub first: Vec<Vec<f32>>,
    /// The mean of their squares.
    pub second: Vec<Vec<f32>>,
}

/// AdamW with decoupled weight decay.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    settings: AdamWSettings,
    moments: Moments,
}

impl AdamW {
    /// A fresh optimizer for a model.
    #[must_use]
    pub fn new(model: &Transformer, settings: AdamWSettings) -> Self {
        let zeros = || model.variables().iter().map(|(_, var)| vec![0.0; var.elem_count()]).collect();
        Self { settings, moments: Moments { step: 0, first: zeros(), second: zeros() } }
    }

    /// An optimizer that goes on from a checkpoint.
    pub fn resume(model: &Transformer, settings: AdamWSettings, moments: Moments) -> Result<Self, ModelError> {
        for moment in [&moments.first, &moments.second] {
            let fits = moment.len() == model.variables().len()
                && moment.iter().zip(model.variables()).all(|(values, (_, var))| values.len() == var.elem_count());
            if !fits {
                return Err(ModelError::Weights("the optimizer's moments are not of this model's shapes".to_owned()));
            }
        }
        Ok(Self { settings, moments })
    }

    /// The state, to be kept in a checkpoint.
    #[must_use]
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Takes one step against the gradients.
    pub fn step(
        &mut self,
        model: &Transformer,
        gradients: &Gradients,
        learning_rate: f64,
        pool: &rayon::ThreadPool,
    ) -> Result<(), ModelError> {
        let settings = self.settings;
        self.moments.step += 1;
        let step = self.moments.step as f64;
        let correction1 = 1.0 - settings.beta1.powf(step);
        let correction2 = 1.0 - settings.beta2.powf(step);
        let moments = self.moments.first.iter_mut().zip(&mut self.moments.second);
        for (((_, var), gradient), (first, second)) in model.variables().iter().zip(&gradients.tensors).zip(moments) {
            let decays = settings.decay_vectors || var.rank() >= 2;
            let update = Update {
                keep: if decays { 1.0 - learning_rate * settings.weight_decay } else { 1.0 } as f32,
                beta1: settings.beta1 as f32,
                beta2: settings.beta2 as f32,
                rate: (learning_rate / correction1) as f32,
                root: correction2.sqrt() as f32,
                eps: settings.eps as f32,
                gradient,
                moments: Mutex::new((first, second)),
            };
            if model.device() == Device::Cpu {
                pool.install(|| var.inplace_op1(&update))?;
            } else {
                let mut weights = ops::read(var, <[f32]>::to_vec)?;
                pool.install(|| update.apply_all(&mut weights));
                var.set(&Tensor::from_vec(weights, var.shape(), var.device())?)?;
            }
        }
        Ok(())
    }
}

/// The step of one variable.
struct Update<'a> {
    /// What weight decay leaves of a weight.
    keep: f32,
    beta1: f32,
    beta2: f32,
    /// The learning rate over the correction of the first moment.
    rate: f32,
    /// The root of the correction of the second moment.
    root: f32,
    eps: f32,
    gradient: &'a [f32],
    moments: Mutex<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl Update<'_> {
    fn apply_all(&self, weights: &mut [f32]) {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let weights = weights.par_chunks_mut(CHUNK).zip(self.gradient.par_chunks(CHUNK));
        weights.zip(moments).for_each(|((weights, gradient), (first, second))| {
            self.apply(weights, gradient, first, second);
        });
    }

    fn apply(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let moments = first.iter_mut().zip(second);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
            *first += (1.0 - self.beta1) * (gradient - *first);
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            *weight = *weight * self.keep - self.rate * *first / (second.sqrt() / self.root + self.eps);
        }
    }
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(weights) = storage else {
            candle_core::bail!("adamw: expected weights of f32");
        };
        let Some((from, to)) = layout.contiguous_offsets() else {
            candle_core::bail!("adamw: expected contiguous weights");
        };
        self.apply_all(&mut weights[from..to]);
        Ok(())
    }
}
