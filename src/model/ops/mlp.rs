//! The feed-forward network of a dense layer: gate and up projections, gated activation, down projection.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matmul::{Rows, RowsMut, nn, project, tn_by_rows};
use super::storage::{is_native, like, read2, slice};
use super::swiglu;
use crate::model::sink::{reads, weight_gradient};

/// `(silu(x · gateᵀ) · (x · upᵀ)) · downᵀ`; the rows of `gate_up` are those of the gate and then those of the up
/// projection.
pub fn mlp(x: &Tensor, gate_up: &Tensor, down: &Tensor) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, gate_up, down);
    }
    reads(gate_up);
    reads(down);
    x.contiguous()?.apply_op3(gate_up, down, Mlp { gate_up: Mutex::new(None) })
}

/// The composition in plain Candle.
pub fn reference(x: &Tensor, gate_up: &Tensor, down: &Tensor) -> Result<Tensor> {
    candle_nn::ops::swiglu(&x.matmul(&gate_up.t()?)?)?.matmul(&down.t()?)
}

struct Mlp {
    /// What the gate and up projections gave in the forward pass, until the backward pass takes it.
    gate_up: Mutex<Option<Vec<f32>>>,
}

impl CustomOp3 for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate_up: &CpuStorage,
        gate_up_layout: &Layout,
        down: &CpuStorage,
        down_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [rows, inner, width] = sizes(x_layout, gate_up_layout, down_layout)?;
        let mut projected = vec![0.0; rows * 2 * inner];
        let weight = slice(gate_up, gate_up_layout)?;
        project(&mut projected, slice(x, x_layout)?, weight, [rows, 2 * inner, width], false);
        let mut activations = vec![0.0; rows * inner];
        swiglu::forward(&projected, &mut activations, inner);
        let mut out = vec![0.0; rows * width];
        project(&mut out, &activations, slice(down, down_layout)?, [rows, width, inner], false);
        *self.gate_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(projected);
        Ok((CpuStorage::F32(out), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gate_up: &Tensor,
        down: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let [rows, inner, width] = sizes(x.layout(), gate_up.layout(), down.layout())?;
        let kept = self.gate_up.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut projected = match kept {
            Some(projected) => projected,
            // An earlier backward pass took it, and turned it into gradients.
            None => read2(x, gate_up, |x, weight| {
                let mut projected = vec![0.0; rows * 2 * inner];
                project(&mut projected, x, weight, [rows, 2 * inner, width], false);
                projected
            })?,
        };
        let mut activations = vec![0.0; rows * inner];
        let down_grad = read2(down, &grad, |down_values, grad| {
            let place = RowsMut::set(&mut activations, inner);
            nn(place, Rows::new(grad, width), Rows::new(down_values, inner), [rows, inner, width]);
            swiglu::backward(&mut projected, &mut activations, inner);
            weight_gradient(down, |values, add| {
                let place = RowsMut { values, stride: inner, add };
                tn_by_rows(place, Rows::new(grad, width), Rows::new(&activations, inner), [width, inner, rows]);
            })
        })??;
        read2(x, gate_up, |x_values, weight| {
            let mut x_grad = vec![0.0; rows * width];
            let projected = Rows::new(&projected, 2 * inner);
            nn(RowsMut::set(&mut x_grad, width), projected, Rows::new(weight, width), [rows, width, 2 * inner]);
            let gate_up_grad = weight_gradient(gate_up, |values, add| {
                let place = RowsMut { values, stride: width, add };
                tn_by_rows(place, projected, Rows::new(x_values, width), [2 * inner, width, rows]);
            })?;
            Ok((Some(like(x_grad, x)?), gate_up_grad, down_grad))
        })?
    }
}

/// Rows, inner width and width.
fn sizes(x: &Layout, gate_up: &Layout, down: &Layout) -> Result<[usize; 3]> {
    let (rows, width) = x.shape().dims2()?;
    let (out, inner) = down.shape().dims2()?;
    if gate_up.shape().dims2()? != (2 * inner, width) || out != width {
        candle_core::bail!("mlp: weights {:?} and {:?} do not fit rows of {width}", gate_up.shape(), down.shape());
    }
    Ok([rows, inner, width])
}
