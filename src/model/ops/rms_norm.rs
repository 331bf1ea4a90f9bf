//! Normalisation by the root of the mean square, of all columns or of a range of them.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor};

use super::forget::forget_again;
use super::math::dot;
use super::storage::{is_native, like, read2, read3, slice};
use crate::model::sink::{reads, weight_gradient};

/// The columns of `x` from `offset` on, as many as there are weights, each row divided by the root of its mean square
/// and multiplied by the weights.
pub fn rms_norm(x: &Tensor, weight: &Tensor, offset: usize, eps: f64) -> Result<Tensor> {
    if !is_native(x) {
        return reference(x, weight, offset, eps);
    }
    reads(weight);
    x.contiguous()?.apply_op2(weight, RmsNorm { offset, eps: eps as f32 })
}

/// The composition in plain Candle.
pub fn reference(x: &Tensor, weight: &Tensor, offset: usize, eps: f64) -> Result<Tensor> {
    let columns = x.narrow(D::Minus1, offset, weight.elem_count())?.contiguous()?;
    candle_nn::RmsNorm::new(weight.clone(), eps).forward_diff(&columns)
}

struct RmsNorm {
    offset: usize,
    eps: f32,
}

impl RmsNorm {
    /// One over the root of the mean square.
    fn inverse(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }

    /// The range of columns in each row.
    fn rows<'a>(&'a self, x: &'a [f32], stride: usize, width: usize) -> impl Iterator<Item = &'a [f32]> {
        x.chunks_exact(stride).map(move |row| &row[self.offset..self.offset + width])
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, stride) = x_layout.shape().dims2()?;
        let weight = slice(w, w_layout)?;
        let width = weight.len();
        if self.offset + width > stride {
            candle_core::bail!("rms-norm: expected at least {} columns, found {stride}", self.offset + width);
        }
        let mut values = Vec::with_capacity(rows * width);
        for row in self.rows(slice(x, x_layout)?, stride, width) {
            let inverse = self.inverse(row);
            values.extend(row.iter().zip(weight).map(|(x, weight)| x * inverse * weight));
        }
        Ok((CpuStorage::F32(values), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        forget_again(out)?;
        let grad = grad.contiguous()?;
        let stride = x.dim(1)?;
        let width = weight.elem_count();
        let x_grad = read3(x, weight, &grad, |x, weight, grad| {
            let mut values = vec![0.0; x.len()];
            let mut weighted = vec![0.0; width];
            let rows = self.rows(x, stride, width).zip(grad.chunks_exact(width));
            for ((row, grad), out) in rows.zip(values.chunks_exact_mut(stride)) {
                let inverse = self.inverse(row);
                for ((weighted, grad), weight) in weighted.iter_mut().zip(grad).zip(weight) {
                    *weighted = grad * weight * inverse;
                }
                let along = dot(&weighted, row) * inverse * inverse / width as f32;
                let out = &mut out[self.offset..self.offset + width];
                for ((out, weighted), x) in out.iter_mut().zip(&weighted).zip(row) {
                    *out = weighted - x * along;
                }
            }
            values
        })?;
        let weight_grad = read2(x, &grad, |x, grad| {
            weight_gradient(weight, |values, add| {
                if !add {
                    values.fill(0.0);
                }
                for (row, grad) in self.rows(x, stride, width).zip(grad.chunks_exact(width)) {
                    let inverse = self.inverse(row);
                    for ((value, grad), x) in values.iter_mut().zip(grad).zip(row) {
                        *value += grad * x * inverse;
                    }
                }
            })
        })??;
        Ok((Some(like(x_grad, x)?), weight_grad))
    }
}
