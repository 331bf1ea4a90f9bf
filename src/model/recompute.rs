//! Layers that keep only what they read: the backward pass computes their activations again, part by part.
//!
//! The memory of a training step then grows by one tensor for each layer, and by the activations of a part of one. The
//! numbers are those of a step that keeps everything, bit for bit: the same operations run on the same inputs, and what
//! flows back to one tensor from several operations is added in the order in which Candle adds it.
//!
//! Candle's graph holds what its operations read until the whole backward pass is done. So the layers are links of a
//! chain of single numbers in that graph, and hand streams and gradients from one to the next beside it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};

use super::again::{self, Again, single};
use super::layers::{self, Context, Notes, Tensors};
use super::ops;
use super::sink;
use super::weights::LayerPlan;

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

/// What is handed over once.
type Hand<T> = Mutex<Option<T>>;

/// The gradient on its way back from link to link.
type Grad = Arc<Hand<Vec<f32>>>;

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
        let grad = Grad::default();
        let mut stream = x.detach();
        let mut link = x.apply_op1(Entrance { grad: Arc::clone(&grad) })?;
        let chain = |part: Part, x, exit: Option<Tensor>| {
            sink::reads_again(&part.variables());
            Link {
                layers: self.clone(),
                context: Arc::clone(context),
                part,
                x: Mutex::new(Some(x)),
                grad: Arc::clone(&grad),
                exit: exit.map(|out| Mutex::new(Some(out))),
            }
        };
        for (at, plan) in plans.iter().enumerate() {
            let out = Again { layers: self, context, plan }.forward(&stream, notes)?;
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
    grad: Grad,
}

impl CustomOp1 for Entrance {
    fn name(&self) -> &'static str {
        "entrance"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(single())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Tensor::from_vec(take(&self.grad)?, x.shape(), x.device()).map(Some)
    }
}

/// One link of the chain.
struct Link {
    layers: Layers,
    context: Arc<Context>,
    part: Part,
    /// What it reads.
    x: Hand<Tensor>,
    grad: Grad,
    /// What the last link gives: there the stream is in Candle's graph again.
    exit: Option<Hand<Tensor>>,
}

enum Part {
    Layer(Arc<LayerPlan>),
    Finish(Finish),
}

impl Part {
    /// The variables that it reads.
    fn variables(&self) -> Range<usize> {
        match self {
            Self::Layer(plan) => plan.variables.clone(),
            Self::Finish(finish) => finish.norm..finish.norm + 1,
        }
    }
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
        let mut grad = match &self.exit {
            Some(_) => ops::read(&grad.contiguous()?, <[f32]>::to_vec)?,
            None => take(&self.grad)?,
        };
        let (x, context) = (take(&self.x)?, &*self.context);
        sink::again(&self.part.variables(), || {
            match &self.part {
                Part::Layer(plan) => Again { layers: &self.layers, context, plan }.backward(&x, &mut grad)?,
                Part::Finish(finish) => grad = again::finish(finish, &self.layers.tensors, context, &x, &grad)?,
            }
            Ok::<_, candle_core::Error>(())
        })?;
        *self.grad.lock().unwrap_or_else(PoisonError::into_inner) = Some(grad);
        Tensor::zeros((), candle_core::DType::F32, &Device::Cpu).map(Some)
    }
}

fn take<T>(hand: &Hand<T>) -> Result<T> {
    match hand.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(value) => Ok(value),
        None => candle_core::bail!("recomputed: a second backward pass through one forward pass"),
    }
}
