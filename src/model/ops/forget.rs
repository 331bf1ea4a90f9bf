//! Numbers that no backward pass reads, or that are soon made again: Candle's graph would hold them to the end.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor};

use super::rms_norm::rms_norm;
use super::storage::is_native;
use crate::model::sink;

/// Empties a tensor that only backward passes will see, and none of them reads.
pub fn forget(x: &Tensor) -> Result<()> {
    if is_native(x) { x.inplace_op1(&Replace::new(Vec::new())) } else { Ok(()) }
}

/// As [`forget`], of `rms_norm(x, weight, 0, eps)`: where the backward pass of a part reads it, it is made again.
pub fn forget_norm(normed: &Tensor, x: &Tensor, weight: &Tensor, eps: f64) -> Result<()> {
    // What is not part of a graph is not kept anyway.
    if !is_native(normed) || !normed.track_op() {
        return Ok(());
    }
    let (x, weight) = (x.detach(), weight.detach());
    let again = move || rms_norm(&x, &weight, 0, eps);
    if sink::remember(normed.id(), again) { forget(normed) } else { Ok(()) }
}

/// Empties a tensor again that could be made once more, when all that read it have had their backward pass.
pub(super) fn forget_again(x: &Tensor) -> Result<()> {
    if sink::remembers(x.id()) { forget(x) } else { Ok(()) }
}

/// Makes the numbers of a forgotten tensor again.
pub(super) fn recall(x: &Tensor) -> Result<()> {
    let is_empty = match &*x.storage_and_layout().0 {
        Storage::Cpu(CpuStorage::F32(values)) => values.is_empty(),
        _ => false,
    };
    if !is_empty || x.elem_count() == 0 {
        return Ok(());
    }
    match sink::recall(x.id()) {
        Some(made) => x.inplace_op1(&Replace::new(made?.flatten_all()?.to_vec1()?)),
        None => candle_core::bail!("expected a tensor of shape {:?}, found one that was forgotten", x.shape()),
    }
}

/// Puts other numbers in the place of a tensor's.
struct Replace {
    values: Mutex<Vec<f32>>,
}

impl Replace {
    fn new(values: Vec<f32>) -> Self {
        Self { values: Mutex::new(values) }
    }
}

impl InplaceOp1 for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        *storage = CpuStorage::F32(std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(())
    }
}
