//! Layers that keep only what they read: the backward pass computes their activations again.
//!
//! The memory of a training step then grows by one tensor for each layer, and by the activations of half a layer. The
//! numbers are those of a step that keeps everything, bit for bit, because the same operations run on the same inputs.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, Var};

use super::layers::{self, Context, Notes, Tensors};
use super::ops;
use super::sink;
use super::weights::LayerPlan;

/// What the layers of one pass have in common.
#[derive(Clone)]
pub(super) struct Layers {
    /// The weights whose gradients are wanted.
    pub tensors: Arc<Tensors>,
    /// The same, without gradients.
    pub detached: Arc<Tensors>,
}

impl Layers {
    /// The residual stream after a layer.
    pub fn layer(
        &self,
        plan: &Arc<LayerPlan>,
        context: &Arc<Context>,
        x: &Tensor,
        notes: &mut Notes,
    ) -> Result<Tensor> {
        let out = layers::layer(&self.detached, plan, context, &x.detach(), notes)?;
        let out = ops::read(&out, <[f32]>::to_vec)?;
        let (layers, plan, context) = (self.clone(), Arc::clone(plan), Arc::clone(context));
        x.apply_op1(Recomputed { layers, plan, context, out: Mutex::new(Some(out)) })
    }
}

struct Recomputed {
    layers: Layers,
    plan: Arc<LayerPlan>,
    context: Arc<Context>,
    /// What the layer gave, until the forward pass takes it.
    out: Mutex<Option<Vec<f32>>>,
}

impl CustomOp1 for Recomputed {
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.out.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(out) => Ok((CpuStorage::F32(out), layout.shape().clone())),
            None => candle_core::bail!("recomputed: a second forward pass of one operation"),
        }
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        if !sink::is_open() {
            candle_core::bail!("recomputed: the gradients of weights are collected by `gradients` only");
        }
        let x = x.detach();
        let (plan, context) = (&*self.plan, &*self.context);
        // One half after the other, so that only the activations of one exist at a time.
        let between = layers::attention_half(&self.layers.detached, plan, context, &x)?;
        let grad = through(&between, grad, |x| {
            layers::feed_forward_half(&self.layers.tensors, plan, context, x, &mut Notes::default())
        })?;
        drop(between);
        through(&x, &grad, |x| layers::attention_half(&self.layers.tensors, plan, context, x)).map(Some)
    }
}

/// The gradient of what a function reads, given that of what it gives; those of the weights go into the open sink.
fn through(x: &Tensor, grad: &Tensor, function: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let leaf = Var::from_tensor(x)?;
    let out = function(leaf.as_tensor())?;
    let mut store = out.apply_op1(Seed { grad: grad.detach() })?.backward()?;
    match store.remove(leaf.as_tensor()) {
        Some(grad) => Ok(grad.detach()),
        None => candle_core::bail!("recomputed: a layer without a gradient"),
    }
}

/// Where a backward pass begins that is given its first gradient.
struct Seed {
    grad: Tensor,
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.grad.clone()))
    }
}
