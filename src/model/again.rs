//! One layer of which nothing is kept but what it read: forward, and backward from that alone.
//!
//! Only attention looks at several rows of a batch at once. All else is computed in blocks of rows, so that little more
//! exists at a time than the residual stream, its gradient, and what the heads of one layer read and give.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Result, Shape, Tensor, Var};

use super::layers::{self, Context, Notes, Tensors};
use super::ops::matmul::ROWS;
use super::ops::{self, Choice};
use super::recompute::{Finish, Layers};
use super::weights::{FeedForwardPlan, LayerPlan};

/// A layer that is computed again.
pub(super) struct Again<'a> {
    pub layers: &'a Layers,
    pub context: &'a Context,
    pub plan: &'a LayerPlan,
}

/// What the router of a sparse layer said of all rows.
struct Routes {
    logits: Tensor,
    choice: Choice,
    weights: Tensor,
    balance: f64,
}

impl Again<'_> {
    /// The residual stream after the layer.
    pub fn forward(&self, x: &Tensor, notes: &mut Notes) -> Result<Tensor> {
        let model = &*self.layers.detached;
        let attended = layers::attend(self.context, &layers::inputs(model, self.plan, self.context, x)?)?;
        let between = layers::add_attended(model, self.plan, &attended, x)?;
        drop(attended);
        let routes = self.routes(&between)?;
        let mut values = Vec::with_capacity(x.elem_count());
        for block in blocks(x)? {
            let between = block.of(&between)?;
            let normed = layers::norm(model, self.plan.post_norm, self.context, &between)?;
            let routes = routes.as_ref().map(|routes| routes.of(block)).transpose()?;
            let sum = layers::network(model, &self.plan.feed_forward, &normed, routes.as_ref())?;
            ops::read(&between.add(&sum)?, |sum| values.extend_from_slice(sum))?;
        }
        if let Some(routes) = routes {
            notes.add(routes.choice, routes.weights, routes.balance);
        }
        Tensor::from_vec(values, x.shape(), x.device())
    }

    /// Turns the gradient of what the layer gives into that of what it reads; those of its weights go into the open sink.
    pub fn backward(&self, x: &Tensor, grad: &mut [f32]) -> Result<()> {
        let (model, width) = (&*self.layers.tensors, x.dim(1)?);
        let inputs = layers::inputs(&self.layers.detached, self.plan, self.context, x)?;
        let attended = layers::attend_apart(self.context, &inputs)?;
        let between = layers::add_attended(&self.layers.detached, self.plan, &attended.out, x)?;
        self.feed_forward(&between, grad)?;
        drop(between);
        let output = model.variable(self.plan.attention.output());
        let mut attended_grad = Vec::with_capacity(attended.out.elem_count());
        for block in blocks(x)? {
            let attended = leaf(&block.of(&attended.out)?)?;
            let [found] = back([&attended], block.tensor(grad, width)?, |[x]| ops::linear(x, output))?;
            ops::read(&found, |found| attended_grad.extend_from_slice(found))?;
        }
        let attended_grad = Tensor::from_vec(attended_grad, attended.out.shape(), x.device())?;
        let grads = attended.back(&inputs, &attended_grad)?;
        drop((inputs, attended, attended_grad));
        for block in blocks(x)? {
            let x = leaf(&block.of(x)?)?;
            let [first, second, third] = layers::inputs(model, self.plan, self.context, &x)?;
            let [a, b, c] = &grads;
            let seed = Seeds { grads: [block.of(a)?, block.of(b)?, block.of(c)?] };
            block.add(grad, &gradient(&first.apply_op3(&second, &third, seed)?, &x)?)?;
        }
        Ok(())
    }

    /// Turns the gradient of what the layer gives into that of the stream after its attention.
    fn feed_forward(&self, between: &Tensor, grad: &mut [f32]) -> Result<()> {
        let (model, kept, width) = (&*self.layers.tensors, &*self.layers.detached, between.dim(1)?);
        let norm = |model, x: &Tensor| layers::norm(model, self.plan.post_norm, self.context, x);
        let routes = self.routes(between)?;
        // What flows back to the normed stream through the networks, and to the routers' weights.
        let (mut sums, mut weights_grad) = (Vec::with_capacity(grad.len()), Vec::new());
        for block in blocks(between)? {
            let normed = leaf(&norm(kept, &block.of(between)?)?)?;
            let grad = block.tensor(grad, width)?;
            let gated = |(gate_up, down): (usize, usize)| {
                let weights = [gate_up, down].map(|at| model.variable(at));
                let [found] = back([&normed], grad.clone(), |[x]| ops::mlp(x, weights[0], weights[1]))?;
                Ok::<_, candle_core::Error>(found)
            };
            let sum = match (&self.plan.feed_forward, &routes) {
                (FeedForwardPlan::Dense { gate_up, down }, _) => gated((*gate_up, *down))?,
                (FeedForwardPlan::Sparse { experts, shared, .. }, Some(routes)) => {
                    let (choice, weights) = routes.of(block)?;
                    let weights = leaf(&weights)?;
                    let [routed, chosen] = back([&normed, &weights], grad.clone(), |[x, weights]| {
                        ops::experts(x, weights, model.variable(*experts), &choice)
                    })?;
                    ops::read(&chosen, |chosen| weights_grad.extend_from_slice(chosen))?;
                    match shared {
                        Some(shared) => gated(*shared)?.add(&routed)?,
                        None => routed,
                    }
                }
                (FeedForwardPlan::Sparse { .. }, None) => candle_core::bail!("a sparse layer without routes"),
            };
            ops::read(&sum, |sum| sums.extend_from_slice(sum))?;
        }
        let gate = match (&self.plan.feed_forward, routes) {
            (FeedForwardPlan::Sparse { bias, gate, .. }, Some(routes)) => {
                let logits = leaf(&routes.logits)?;
                let weights_grad = Tensor::from_vec(weights_grad, routes.weights.shape(), logits.device())?;
                let route = |[logits]: [&Tensor; 1]| Ok(layers::route(model, self.context, *bias, logits)?.1);
                let [found] = back([&logits], weights_grad, route)?;
                Some((model.variable(*gate), found))
            }
            _ => None,
        };
        for block in blocks(between)? {
            let between = leaf(&block.of(between)?)?;
            let mut sum = block.tensor(&sums, width)?;
            if let Some((gate, logits_grad)) = &gate {
                let normed = leaf(&norm(kept, &between.as_tensor().detach())?)?;
                let [chosen] = back([&normed], block.of(logits_grad)?, |[x]| ops::linear(x, gate))?;
                sum = sum.add(&chosen)?;
            }
            let [branch] = back([&between], sum, |[x]| norm(model, x))?;
            block.add(grad, &branch)?;
        }
        Ok(())
    }

    /// What the router says of the stream after the attention; nothing in a dense layer.
    fn routes(&self, between: &Tensor) -> Result<Option<Routes>> {
        let FeedForwardPlan::Sparse { bias, gate, .. } = &self.plan.feed_forward else { return Ok(None) };
        let model = &*self.layers.detached;
        let mut values = Vec::new();
        for block in blocks(between)? {
            let normed = layers::norm(model, self.plan.post_norm, self.context, &block.of(between)?)?;
            ops::read(&ops::linear(&normed, model.variable(*gate))?, |logits| values.extend_from_slice(logits))?;
        }
        let rows = between.dim(0)?;
        let logits = Tensor::from_vec(values, (rows, model.variable(*gate).dim(0)?), between.device())?;
        let (choice, weights, balance) = layers::route(model, self.context, *bias, &logits)?;
        Ok(Some(Routes { logits, choice, weights, balance }))
    }
}

impl Routes {
    /// The choice and the weights of a block's rows.
    fn of(&self, block: Block) -> Result<(Choice, Tensor)> {
        let chosen = self.choice.chosen[block.range(self.choice.per_token)].to_vec();
        Ok((Choice { chosen, ..self.choice }, block.of(&self.weights)?))
    }
}

/// The gradient of the stream that the last norm reads rows of, given that of what it gives.
pub(super) fn finish(
    finish: &Finish,
    model: &Tensors,
    context: &Context,
    x: &Tensor,
    grad: &[f32],
) -> Result<Vec<f32>> {
    let width = x.dim(1)?;
    let rows = match &finish.rows {
        Some(rows) => rows.clone(),
        None => (0..x.dim(0)? as u32).collect(),
    };
    let mut values = vec![0.0; x.elem_count()];
    for (rows, grad) in rows.chunks(ROWS).zip(grad.chunks(ROWS * width)) {
        let read = leaf(&ops::select_rows(x, rows)?)?;
        let grad = Tensor::from_slice(grad, read.shape(), x.device())?;
        let [found] = back([&read], grad, |[x]| layers::norm(model, finish.norm, context, x))?;
        ops::read(&found, |found| {
            for (row, found) in rows.iter().zip(found.chunks_exact(width)) {
                let place = &mut values[*row as usize * width..][..width];
                place.iter_mut().zip(found).for_each(|(place, found)| *place += found);
            }
        })?;
    }
    Ok(values)
}

/// Some rows of a batch.
#[derive(Clone, Copy)]
struct Block {
    from: usize,
    rows: usize,
}

/// All rows of a tensor, in blocks.
fn blocks(x: &Tensor) -> Result<impl Iterator<Item = Block> + use<>> {
    let rows = x.dim(0)?;
    Ok((0..rows).step_by(ROWS).map(move |from| Block { from, rows: ROWS.min(rows - from) }))
}

impl Block {
    fn range(self, width: usize) -> std::ops::Range<usize> {
        self.from * width..(self.from + self.rows) * width
    }

    /// Its rows of a tensor, which are not copied.
    fn of(self, x: &Tensor) -> Result<Tensor> {
        x.narrow(0, self.from, self.rows)
    }

    /// Its rows of numbers, copied.
    fn tensor(self, values: &[f32], width: usize) -> Result<Tensor> {
        Tensor::from_slice(&values[self.range(width)], (self.rows, width), &Device::Cpu)
    }

    /// Adds to its rows of numbers.
    fn add(self, values: &mut [f32], more: &Tensor) -> Result<()> {
        let place = &mut values[self.range(more.dim(1)?)];
        ops::read(more, |more| place.iter_mut().zip(more).for_each(|(place, more)| *place += more))
    }
}

/// A tensor whose gradient is wanted.
fn leaf(x: &Tensor) -> Result<Var> {
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

/// The gradient of one leaf.
fn gradient(out: &Tensor, leaf: &Var) -> Result<Tensor> {
    match out.backward()?.remove(leaf.as_tensor()) {
        Some(grad) => Ok(grad.detach()),
        None => candle_core::bail!("recomputed: a part of a layer without a gradient"),
    }
}

/// Where a backward pass begins that is given its first gradient.
struct Seed {
    grad: Tensor,
}

/// Where a backward pass begins that is given its first three.
struct Seeds {
    grads: [Tensor; 3],
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

impl CustomOp3 for Seeds {
    fn name(&self) -> &'static str {
        "seeds"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(single())
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [first, second, third] = self.grads.clone();
        Ok((Some(first), Some(second), Some(third)))
    }
}

/// A single number that stands for something else.
pub(super) fn single() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(()))
}
