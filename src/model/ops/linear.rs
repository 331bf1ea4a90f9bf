//! A linear layer without bias, `x · wᵀ`, and the same added to a residual stream.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::matmul::{Rows, RowsMut, nn, project, tn_by_rows};
use super::storage::{is_native, like, read2, slice};
use crate::model::sink::{reads, weight_gradient};

/// `x[rows, in] · weight[out, in]ᵀ`
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, weight);
    }
    reads(weight);
    x.contiguous()?.apply_op2(weight, Linear)
}

/// `residual + x · weightᵀ`
pub fn linear_add(x: &Tensor, weight: &Tensor, residual: &Tensor) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, weight)?.add(residual);
    }
    reads(weight);
    x.contiguous()?.apply_op3(weight, &residual.contiguous()?, LinearAdd)
}

/// The composition in plain Candle.
pub fn reference(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

struct Linear;

struct LinearAdd;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes @ [rows, out, _] = sizes(x_layout, w_layout)?;
        let mut values = vec![0.0; rows * out];
        project(&mut values, slice(x, x_layout)?, slice(w, w_layout)?, sizes, false);
        Ok((CpuStorage::F32(values), Shape::from((rows, out))))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x_grad, weight_grad) = backward(x, weight, &grad.contiguous()?)?;
        Ok((Some(x_grad), weight_grad))
    }
}

impl CustomOp3 for LinearAdd {
    fn name(&self) -> &'static str {
        "linear-add"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes @ [rows, out, _] = sizes(x_layout, w_layout)?;
        let mut values = slice(residual, residual_layout)?.to_vec();
        if values.len() != rows * out {
            candle_core::bail!(
                "linear-add: expected a residual of {rows} rows of {out}, found {:?}",
                residual_layout.shape()
            );
        }
        project(&mut values, slice(x, x_layout)?, slice(w, w_layout)?, sizes, true);
        Ok((CpuStorage::F32(values), Shape::from((rows, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (x_grad, weight_grad) = backward(x, weight, &grad)?;
        Ok((Some(x_grad), weight_grad, Some(grad)))
    }
}

/// The gradients of `x` and of the weight.
fn backward(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
    let [rows, out, inner] = sizes(x.layout(), weight.layout())?;
    let x_grad = read2(weight, grad, |weight, grad| {
        let mut values = vec![0.0; rows * inner];
        nn(RowsMut::set(&mut values, inner), Rows::new(grad, out), Rows::new(weight, inner), [rows, inner, out]);
        values
    })?;
    let weight_grad = read2(x, grad, |x, grad| {
        weight_gradient(weight, |values, add| {
            let place = RowsMut { values, stride: inner, add };
            tn_by_rows(place, Rows::new(grad, out), Rows::new(x, inner), [out, inner, rows]);
        })
    })??;
    Ok((like(x_grad, x)?, weight_grad))
}

fn sizes(x: &Layout, weight: &Layout) -> Result<[usize; 3]> {
    let (rows, inner) = x.shape().dims2()?;
    let (out, expected) = weight.shape().dims2()?;
    if inner != expected {
        candle_core::bail!("linear: expected rows of {expected} numbers, found {inner}");
    }
    Ok([rows, out, inner])
}
