//! Rows of a table by their numbers: the embedding, and the choice of rows that the output head is computed on.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::storage::{is_native, read, slice};
use crate::model::sink::{reads, weight_gradient};

/// The rows of `table` with these numbers, one below the other.
pub fn select_rows(table: &Tensor, rows: &[u32]) -> Result<Tensor> {
    if !is_native(table) {
        return reference(table, rows);
    }
    reads(table);
    table.contiguous()?.apply_op1(SelectRows { rows: rows.to_vec() })
}

/// The composition in plain Candle.
pub fn reference(table: &Tensor, rows: &[u32]) -> Result<Tensor> {
    table.index_select(&Tensor::new(rows, table.device())?, 0)
}

struct SelectRows {
    rows: Vec<u32>,
}

impl CustomOp1 for SelectRows {
    fn name(&self) -> &'static str {
        "select-rows"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, width) = layout.shape().dims2()?;
        let table = slice(table, layout)?;
        let mut values = Vec::with_capacity(self.rows.len() * width);
        for row in &self.rows {
            let row = *row as usize;
            if row >= count {
                candle_core::bail!("select-rows: expected rows below {count}, found {row}");
            }
            values.extend_from_slice(&table[row * width..(row + 1) * width]);
        }
        Ok((CpuStorage::F32(values), Shape::from((self.rows.len(), width))))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = table.dim(1)?;
        read(&grad.contiguous()?, |grad| {
            weight_gradient(table, |values, add| {
                if !add {
                    values.fill(0.0);
                }
                for (row, grad) in self.rows.iter().zip(grad.chunks_exact(width)) {
                    let place = &mut values[*row as usize * width..][..width];
                    place.iter_mut().zip(grad).for_each(|(value, grad)| *value += grad);
                }
            })
        })?
    }
}
