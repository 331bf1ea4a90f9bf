//! The mixture of experts: each token goes through its chosen experts, whose outputs are summed by the router's
//! weights.
//!
//! Tokens are sorted by expert, so that each expert's weights are multiplied with all of its tokens at once. A token's
//! outputs are added in the order of the experts, whatever else is in the batch.

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::math::dot;
use super::matmul::{ROWS, Rows, RowsMut, nn, project, tn};
use super::route::Choice;
use super::storage::{is_native, like, read3, slice};
use super::swiglu;
use crate::model::sink::{reads, weight_gradient};

/// `x[rows, width]` through the chosen experts, with `weights[rows, experts per token]`. The variable `experts[experts,
/// 3, inner · width]` holds for each expert its gate, up and down projections end to end.
pub fn experts(x: &Tensor, weights: &Tensor, experts: &Tensor, choice: &Choice) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, weights, experts, choice);
    }
    reads(experts);
    let op = Experts { groups: Groups::new(choice), gate_up: OnceLock::new() };
    x.contiguous()?.apply_op3(&weights.contiguous()?, experts, op)
}

/// The composition in plain Candle.
pub fn reference(x: &Tensor, weights: &Tensor, experts: &Tensor, choice: &Choice) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    let inner = experts.dim(2)? / width;
    let groups = Groups::new(choice);
    let weights = weights.flatten_all()?;
    let mut out = x.zeros_like()?;
    for expert in 0..choice.experts {
        let slots = groups.slots(expert);
        if slots.is_empty() {
            continue;
        }
        let tokens: Vec<u32> = slots.iter().map(|slot| slot / choice.per_token as u32).collect();
        let (tokens, slots) = (Tensor::new(tokens, x.device())?, Tensor::new(slots, x.device())?);
        let own = experts.get(expert)?;
        let gate_up = own.narrow(0, 0, 2)?.reshape((2 * inner, width))?;
        let down = own.get(2)?.reshape((width, inner))?;
        let result = super::mlp::reference(&x.index_select(&tokens, 0)?, &gate_up, &down)?;
        let result = result.broadcast_mul(&weights.index_select(&slots, 0)?.unsqueeze(1)?)?;
        out = out.index_add(&tokens, &result, 0)?;
    }
    Ok(out)
}

/// The slots of a choice (a slot is one expert of one token) sorted by expert, and by token in each.
struct Groups {
    per_token: usize,
    /// Where each expert's slots begin, and the end of the last.
    starts: Vec<usize>,
    slots: Vec<u32>,
}

impl Groups {
    fn new(choice: &Choice) -> Self {
        let mut starts = vec![0; choice.experts + 1];
        for expert in &choice.chosen {
            starts[*expert as usize + 1] += 1;
        }
        for expert in 0..choice.experts {
            starts[expert + 1] += starts[expert];
        }
        let mut next = starts.clone();
        let mut slots = vec![0; choice.chosen.len()];
        for (slot, expert) in choice.chosen.iter().enumerate() {
            slots[next[*expert as usize]] = slot as u32;
            next[*expert as usize] += 1;
        }
        Self { per_token: choice.per_token, starts, slots }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn slots(&self, expert: usize) -> &[u32] {
        &self.slots[self.starts[expert]..self.starts[expert + 1]]
    }

    /// The most tokens of any expert.
    fn largest(&self) -> usize {
        (0..self.count()).map(|expert| self.slots(expert).len()).max().unwrap_or(0)
    }

    fn token(&self, slot: u32) -> usize {
        slot as usize / self.per_token
    }

    /// Where an expert's slots lie among the sorted, in stretches of tokens: the gradients of a stretch are summed before
    /// they are added to those before it, as [`tn_by_rows`](super::matmul::tn_by_rows) does.
    fn stretches(&self, expert: usize) -> impl Iterator<Item = Range<usize>> {
        let (mut from, end) = (self.starts[expert], self.starts[expert + 1]);
        std::iter::from_fn(move || {
            let start = from;
            let beyond = (self.token(*self.slots[start..end].first()?) / ROWS + 1) * ROWS * self.per_token;
            from += self.slots[start..end].partition_point(|slot| (*slot as usize) < beyond);
            Some(start..from)
        })
    }

    /// Copies the rows of the slots' tokens one below the other.
    fn gather(&self, slots: &[u32], rows: &[f32], width: usize, out: &mut Vec<f32>) {
        out.clear();
        for slot in slots {
            out.extend_from_slice(&rows[self.token(*slot) * width..][..width]);
        }
    }
}

struct Experts {
    groups: Groups,
    /// What the gate and up projections gave in the forward pass, by sorted slot.
    gate_up: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Experts {
    fn name(&self) -> &'static str {
        "experts"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        experts: &CpuStorage,
        experts_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let inner = inner_width(experts_layout, self.groups.count(), width)?;
        let (x, weights) = (slice(x, x_layout)?, slice(weights, weights_layout)?);
        let experts = slice(experts, experts_layout)?;
        let mut projected = vec![0.0; self.groups.slots.len() * 2 * inner];
        let mut out = vec![0.0; rows * width];
        let most = self.groups.largest();
        let mut gathered = Vec::with_capacity(most * width);
        let mut activations = vec![0.0; most * inner];
        let mut results = vec![0.0; most * width];
        for expert in 0..self.groups.count() {
            let slots = self.groups.slots(expert);
            let count = slots.len();
            if count == 0 {
                continue;
            }
            let (gate_up, down) = expert_weights(experts, expert, inner * width);
            self.groups.gather(slots, x, width, &mut gathered);
            let projected = &mut projected[self.groups.starts[expert] * 2 * inner..][..count * 2 * inner];
            project(projected, &gathered, gate_up, [count, 2 * inner, width], false);
            swiglu::forward(projected, &mut activations[..count * inner], inner);
            project(&mut results[..count * width], &activations, down, [count, width, inner], false);
            for (slot, result) in slots.iter().zip(results.chunks_exact(width)) {
                let weight = weights[*slot as usize];
                let place = &mut out[self.groups.token(*slot) * width..][..width];
                place.iter_mut().zip(result).for_each(|(out, result)| *out = weight.mul_add(*result, *out));
            }
        }
        // A second forward pass of the same operation would give the same numbers.
        let _ = self.gate_up.set(projected);
        Ok((CpuStorage::F32(out), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        experts: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(projected) = self.gate_up.get() else {
            candle_core::bail!("experts: the backward pass came before the forward pass");
        };
        let width = x.dim(1)?;
        let inner = inner_width(experts.layout(), self.groups.count(), width)?;
        let grad = grad.contiguous()?;
        let mut grads = Grads { x: vec![0.0; x.elem_count()], weights: vec![0.0; weights.elem_count()] };
        let values = super::storage::read(weights, <[f32]>::to_vec)?;
        let experts_grad = read3(x, experts, &grad, |x, experts_values, grad| {
            weight_gradient(experts, |place, add| {
                let given = Given { x, weights: &values, experts: experts_values, grad, projected };
                self.backward(&given, &mut grads, place, add, [inner, width]);
            })
        })??;
        Ok((Some(like(grads.x, x)?), Some(like(grads.weights, weights)?), experts_grad))
    }
}

/// What the backward pass reads.
struct Given<'a> {
    x: &'a [f32],
    weights: &'a [f32],
    experts: &'a [f32],
    grad: &'a [f32],
    projected: &'a [f32],
}

/// What the backward pass sums, beside the gradient of the experts' weights.
struct Grads {
    x: Vec<f32>,
    weights: Vec<f32>,
}

impl Experts {
    fn backward(&self, given: &Given<'_>, grads: &mut Grads, place: &mut [f32], add: bool, [inner, width]: [usize; 2]) {
        let size = inner * width;
        let most = self.groups.largest();
        let (mut x, mut grad) = (Vec::with_capacity(most * width), Vec::with_capacity(most * width));
        let mut gate_up = Vec::with_capacity(most * 2 * inner);
        let mut activations = vec![0.0; most * inner];
        let mut results = vec![0.0; most * width];
        for (expert, place) in place.chunks_exact_mut(3 * size).enumerate() {
            let mut add = add;
            if self.groups.slots(expert).is_empty() && !add {
                place.fill(0.0);
            }
            let (gate_up_weight, down) = expert_weights(given.experts, expert, size);
            let (gate_up_place, down_place) = place.split_at_mut(2 * size);
            for sorted in self.groups.stretches(expert) {
                let slots = &self.groups.slots[sorted.clone()];
                let count = slots.len();
                self.groups.gather(slots, given.x, width, &mut x);
                self.groups.gather(slots, given.grad, width, &mut grad);
                gate_up.clear();
                gate_up.extend_from_slice(&given.projected[sorted.start * 2 * inner..][..count * 2 * inner]);
                let activations = &mut activations[..count * inner];
                let grad = Rows::new(&grad, width);
                nn(RowsMut::set(activations, inner), grad, Rows::new(down, inner), [count, inner, width]);
                self.weigh(slots, &mut gate_up, activations, given.weights, &mut grads.weights, inner);
                let down_place = RowsMut { values: &mut *down_place, stride: inner, add };
                tn(down_place, grad, Rows::new(activations, inner), [width, inner, count]);
                let rows = Rows::new(&gate_up, 2 * inner);
                let gate_up_place = RowsMut { values: &mut *gate_up_place, stride: width, add };
                tn(gate_up_place, rows, Rows::new(&x, width), [2 * inner, width, count]);
                let results = &mut results[..count * width];
                nn(RowsMut::set(results, width), rows, Rows::new(gate_up_weight, width), [count, width, 2 * inner]);
                for (slot, result) in slots.iter().zip(results.chunks_exact(width)) {
                    let place = &mut grads.x[self.groups.token(*slot) * width..][..width];
                    place.iter_mut().zip(result).for_each(|(out, result)| *out += result);
                }
                add = true;
            }
        }
    }

    /// Turns the gradients of an expert's unweighted activations into what the products need: the gradients of the gate
    /// and up projections, and the weighted activations. The gradient of a token's weight is the product of its output
    /// with the gradient, which is the same as that of its activations with theirs.
    fn weigh(
        &self,
        slots: &[u32],
        gate_up: &mut [f32],
        activations: &mut [f32],
        weights: &[f32],
        weight_grads: &mut [f32],
        inner: usize,
    ) {
        let mut gradients = vec![0.0; inner];
        let rows = gate_up.chunks_exact_mut(2 * inner).zip(activations.chunks_exact_mut(inner));
        for (slot, (gate_up, activations)) in slots.iter().zip(rows) {
            let weight = weights[*slot as usize];
            gradients.copy_from_slice(activations);
            activations.iter_mut().for_each(|value| *value *= weight);
            swiglu::backward(gate_up, activations, inner);
            weight_grads[*slot as usize] = dot(&gradients, activations);
            activations.iter_mut().for_each(|value| *value *= weight);
        }
    }
}

/// An expert's gate and up projections, and its down projection.
fn expert_weights(experts: &[f32], expert: usize, size: usize) -> (&[f32], &[f32]) {
    experts[expert * 3 * size..(expert + 1) * 3 * size].split_at(2 * size)
}

fn inner_width(experts: &Layout, count: usize, width: usize) -> Result<usize> {
    let (found, three, size) = experts.shape().dims3()?;
    if found != count || three != 3 || !size.is_multiple_of(width) {
        candle_core::bail!("experts: weights {:?} do not fit {count} experts of width {width}", experts.shape());
    }
    Ok(size / width)
}
