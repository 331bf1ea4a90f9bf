//! Layers that keep only what they read: the backward pass computes their activations again, part by part.
//!
//! The memory of a training step then grows by one tensor for each layer, and by the activations of a part of one. The
//! numbers are those of a step that keeps everything, bit for bit: the same operations run on the same inputs, and what
//! flows back to one tensor from several operations is added in the order in which Candle adds it.
//!
//! Candle's graph holds what its operations read until the whole backward pass is done. So the layers are links of a
//! chain of single numbers in that graph, and hand streams and gradients from one to the next beside it.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};

use super::layers::{self, Context, Notes, Tensors};
use super::ops;
use super::sink;
use super::weights::{FeedForwardPlan, LayerPlan};

/// The weights of layers whose activations are computed again.
#[derive(Clone)]
pub(super) struct Layers {
    /// The weights whose gradients are wanted.
    pub tensors: Arc<Tensors>,
    /// The same, without gradients: what is computed of them is not kept.
    pub detached: Arc<Tensors>,
}

/// What is made of the stream after the last layer.
pub(super) struct Finish {
    /// The rows that are asked for; all without.
    pub rows: Option<Vec<u32>>,
    /// The weights of the last norm.
    pub norm: usize,
}

/// A tensor that is handed over once.
type Hand = Mutex<Option<Tensor>>;

impl Layers {
    /// The residual stream after some layers; or, given what `finish` names, the rows of it that are asked for, normed.
    pub fn through(
        &self,
        plans: &[Arc<LayerPlan>],
        context: &Arc<Context>,
        x: &Tensor,
        finish: Option<Finish>,
        notes: &mut Notes,
    ) -> Result<Tensor> {
        let grad = Arc::new(Hand::default());
        let mut stream = x.detach();
        let mut link = x.apply_op1(Entrance { grad: Arc::clone(&grad) })?;
        let chain = |part, x, exit: Option<Tensor>| Link {
            layers: self.clone(),
            context: Arc::clone(context),
            part,
            x: Mutex::new(Some(x)),
            grad: Arc::clone(&grad),
            exit: exit.map(|out| Mutex::new(Some(out))),
        };
        for (at, plan) in plans.iter().enumerate() {
            let out = layers::layer(&self.detached, plan, context, &stream, notes)?;
            let exit = (finish.is_none() && at + 1 == plans.len()).then(|| out.clone());
            link = link.apply_op1(chain(Part::Layer(Arc::clone(plan)), stream, exit))?;
            stream = out;
        }
        if let Some(finish) = finish {
            let out = finish.apply(&self.detached, context, &stream)?;
            link = link.apply_op1(chain(Part::Finish(finish), stream, Some(out)))?;
        }
        Ok(link)
    }
}

impl Finish {
    /// The chosen rows, normed.
    pub fn apply(&self, model: &Tensors, context: &Context, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            None => layers::norm(model, self.norm, context, x),
            Some(rows) => layers::norm(model, self.norm, context, &ops::select_rows(x, rows)?),
        }
    }
}

/// The head of the chain: what comes back through it is the gradient of what the first layer reads.
struct Entrance {
    grad: Arc<Hand>,
}

impl CustomOp1 for Entrance {
    fn name(&self) -> &'static str {
        "entrance"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(single())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        take(&self.grad).map(Some)
    }
}

/// One link of the chain.
struct Link {
    layers: Layers,
    context: Arc<Context>,
    part: Part,
    /// What it reads.
    x: Hand,
    /// The gradient on its way back.
    grad: Arc<Hand>,
    /// What the last link gives: there the stream is in Candle's graph again.
    exit: Option<Hand>,
}

enum Part {
    Layer(Arc<LayerPlan>),
    Finish(Finish),
}

impl CustomOp1 for Link {
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match &self.exit {
            Some(out) => {
                let out = take(out)?;
                Ok((CpuStorage::F32(ops::read(&out, <[f32]>::to_vec)?), out.shape().clone()))
            }
            None => Ok(single()),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        if !sink::is_open() {
            candle_core::bail!("recomputed: the gradients of weights are collected by `gradients` only");
        }
        let grad = if self.exit.is_some() { grad.detach() } else { take(&self.grad)? };
        let x = take(&self.x)?;
        let grad = match &self.part {
            Part::Layer(plan) => self.layer(plan, x, grad)?,
            Part::Finish(finish) => {
                let x = leaf(x)?;
                let [grad] = back([&x], grad, |[x]| finish.apply(&self.layers.tensors, &self.context, x))?;
                grad
            }
        };
        *self.grad.lock().unwrap_or_else(PoisonError::into_inner) = Some(grad);
        Tensor::zeros((), candle_core::DType::F32, &Device::Cpu).map(Some)
    }
}

impl Link {
    /// The gradient of what a layer reads, given that of what it gives.
    fn layer(&self, plan: &LayerPlan, x: Tensor, grad: Tensor) -> Result<Tensor> {
        let (model, context) = (&*self.layers.tensors, &*self.context);
        let (attended, between) = layers::attended_and_added(&self.layers.detached, plan, context, &x)?;
        let normed = layers::norm(&self.layers.detached, plan.post_norm, context, &between)?;
        let normed_grad = self.feed_forward(&plan.feed_forward, normed, &grad)?;
        let between = leaf(between)?;
        let [branch] = back([&between], normed_grad, |[x]| layers::norm(model, plan.post_norm, context, x))?;
        drop(between);
        let grad = grad.add(&branch)?;
        drop(branch);
        let attended = leaf(attended)?;
        let output = model.variable(plan.attention.output());
        let [attended_grad] = back([&attended], grad.clone(), |[x]| ops::linear(x, output))?;
        drop(attended);
        let x = leaf(x)?;
        let [branch] = back([&x], attended_grad, |[x]| layers::attended(model, plan, context, x))?;
        grad.add(&branch)
    }

    /// The gradient of what the feed-forward network reads.
    fn feed_forward(&self, plan: &FeedForwardPlan, x: Tensor, grad: &Tensor) -> Result<Tensor> {
        let (model, context) = (&*self.layers.tensors, &*self.context);
        let x = leaf(x)?;
        let gated = |gate_up: usize, down: usize| {
            let [grad] = back([&x], grad.clone(), |[x]| ops::mlp(x, model.variable(gate_up), model.variable(down)))?;
            Ok::<_, candle_core::Error>(grad)
        };
        match plan {
            FeedForwardPlan::Dense { gate_up, down } => gated(*gate_up, *down),
            FeedForwardPlan::Sparse { bias, gate, experts, shared } => {
                let logits = ops::linear(&x.as_tensor().detach(), self.layers.detached.variable(*gate))?;
                let (choice, weights, _) = layers::route(model, context, *bias, &logits)?;
                let weights = leaf(weights)?;
                let [routed, weights_grad] = back([&x, &weights], grad.clone(), |[x, weights]| {
                    ops::experts(x, weights, model.variable(*experts), &choice)
                })?;
                let sum = match shared {
                    Some((gate_up, down)) => gated(*gate_up, *down)?.add(&routed)?,
                    None => routed,
                };
                let [chosen] = back([&x], weights_grad, |[x]| {
                    let logits = ops::linear(x, model.variable(*gate))?;
                    Ok(layers::route(model, context, *bias, &logits)?.1)
                })?;
                sum.add(&chosen)
            }
        }
    }
}

/// A tensor whose gradient is wanted.
fn leaf(x: Tensor) -> Result<Var> {
    Var::from_tensor(&x.detach())
}

/// The gradients of what a function reads, given that of what it gives; those of weights go into the open sink.
fn back<const N: usize>(
    leaves: [&Var; N],
    grad: Tensor,
    function: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<[Tensor; N]> {
    let out = function(leaves.map(|leaf| leaf.as_tensor()))?;
    let mut store = out.apply_op1(Seed { grad: grad.detach() })?.backward()?;
    let mut grads = Vec::with_capacity(N);
    for leaf in leaves {
        match store.remove(leaf.as_tensor()) {
            Some(grad) => grads.push(grad.detach()),
            None => candle_core::bail!("recomputed: a part of a layer without a gradient"),
        }
    }
    grads.try_into().map_err(|_| candle_core::Error::Msg("recomputed: a gradient is missing".to_owned()))
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
        Ok(single())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.grad.clone()))
    }
}

/// A single number that stands for something else.
fn single() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(()))
}

fn take(hand: &Hand) -> Result<Tensor> {
    match hand.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(tensor) => Ok(tensor),
        None => candle_core::bail!("recomputed: a second backward pass through one forward pass"),
    }
}
