//! A bias added to every row.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::storage::{is_native, read, slice};
use crate::model::sink::{reads, weight_gradient};

/// `x[rows, width] + bias[width]`
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, bias);
    }
    reads(bias);
    x.contiguous()?.apply_op2(bias, AddBias)
}

/// The composition in plain Candle.
pub fn reference(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.broadcast_add(bias)
}

/// Adds a bias to every row, in place: what the decoder does too, so that both round alike.
pub fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
    for row in rows.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let bias = slice(bias, bias_layout)?;
        if bias.len() != width {
            candle_core::bail!("add-bias: expected rows of {}, found {width}", bias.len());
        }
        let mut values = slice(x, x_layout)?.to_vec();
        add_to_rows(&mut values, bias);
        Ok((CpuStorage::F32(values), Shape::from((rows, width))))
    }

    fn bwd(&self, _: &Tensor, bias: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let bias_grad = read(&grad, |grad| {
            weight_gradient(bias, |values, add| {
                if !add {
                    values.fill(0.0);
                }
                for row in grad.chunks_exact(values.len()) {
                    values.iter_mut().zip(row).for_each(|(value, grad)| *value += grad);
                }
            })
        })??;
        Ok((Some(grad), bias_grad))
    }
}
