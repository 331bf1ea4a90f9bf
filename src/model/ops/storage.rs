//! Between tensors and slices of numbers.

use std::cell::Cell;
use std::marker::PhantomData;

use super::forget::recall;
use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor};

thread_local! {
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, operations begun on this thread are plain compositions, or are not, whatever the device.
pub(in crate::model) struct Plainly {
    before: bool,
    /// It belongs to its thread.
    here: PhantomData<*const ()>,
}

impl Plainly {
    pub fn begin(plain: bool) -> Self {
        Self { before: PLAIN.replace(plain), here: PhantomData }
    }
}

impl Drop for Plainly {
    fn drop(&mut self) {
        PLAIN.set(self.before);
    }
}

/// Whether the kernels of this program apply.
pub(super) fn is_native(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32 && !PLAIN.get()
}

/// The numbers of a contiguous tensor on the CPU.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => match storage.as_slice::<f32>()?.get(from..to) {
            Some(values) => Ok(values),
            None => candle_core::bail!("expected {} numbers, found {}", to - from, storage.as_slice::<f32>()?.len()),
        },
        None => candle_core::bail!("expected a contiguous tensor, found one of shape {:?}", layout.shape()),
    }
}

/// Calls a function with the numbers of a contiguous tensor; with a copy of them where they lie on another device.
pub(in crate::model) fn read<R>(tensor: &Tensor, function: impl FnOnce(&[f32]) -> R) -> Result<R> {
    recall(tensor)?;
    let moved = if tensor.device().is_cpu() { None } else { Some(tensor.to_device(&Device::Cpu)?) };
    let (storage, layout) = moved.as_ref().unwrap_or(tensor).storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(function(slice(storage, layout)?)),
        _ => candle_core::bail!("expected a tensor on the CPU"),
    }
}

/// As [`read`], for two tensors.
pub(super) fn read2<R>(a: &Tensor, b: &Tensor, function: impl FnOnce(&[f32], &[f32]) -> R) -> Result<R> {
    read(a, |a| read(b, |b| function(a, b)))?
}

/// As [`read`], for three tensors.
pub(super) fn read3<R>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    function: impl FnOnce(&[f32], &[f32], &[f32]) -> R,
) -> Result<R> {
    read(a, |a| read2(b, c, |b, c| function(a, b, c)))?
}

/// A tensor of these numbers, in the shape of another.
pub(super) fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}
