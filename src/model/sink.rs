//! Where the gradients of weights are summed while the parts of a batch are computed.
//!
//! Candle's backward pass makes a tensor of zeros for every gradient and adds to a fresh copy of it. For weights that
//! is three passes over memory as large as the model, for each part of the batch. While a sink is open on a thread, the
//! operations write the gradients of the model's variables straight into it and tell Candle that there are none; with
//! no sink open they return them to Candle as usual.

use std::cell::RefCell;

use candle_core::{Result, Tensor, TensorId, Var};

thread_local! {
    static OPEN: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// The gradients of all variables of a model.
pub(super) struct Sink {
    slots: Vec<(TensorId, usize)>,
    /// One list of numbers for each variable.
    pub buffers: Vec<Vec<f32>>,
    /// Whether anything was written; until then the numbers are leftovers of an earlier part.
    pub written: Vec<bool>,
}

impl Sink {
    /// A sink for these variables, with the buffers of an earlier one if there are any.
    pub fn new(variables: &[(String, Var)], buffers: Option<Vec<Vec<f32>>>) -> Self {
        let slots = variables.iter().enumerate().map(|(at, (_, var))| (var.as_tensor().id(), at)).collect();
        let buffers = buffers.unwrap_or_else(|| variables.iter().map(|(_, var)| vec![0.0; var.elem_count()]).collect());
        let written = vec![false; buffers.len()];
        Self { slots, buffers, written }
    }

    /// Runs a function with the sink open on this thread, and gives the sink back filled.
    pub fn collect<R>(self, function: impl FnOnce() -> R) -> (Self, R) {
        let empty = Self { slots: Vec::new(), buffers: Vec::new(), written: Vec::new() };
        let before = OPEN.replace(Some(self));
        let result = function();
        // What was open before is put back: a thread that waits inside `function` may have begun another part.
        (OPEN.replace(before).unwrap_or(empty), result)
    }

    fn find(&self, id: TensorId) -> Option<usize> {
        self.slots.iter().find(|(slot, _)| *slot == id).map(|(_, at)| *at)
    }
}

/// Whether a sink is open on this thread.
pub(super) fn is_open() -> bool {
    OPEN.with_borrow(Option::is_some)
}

/// Takes the gradient of a weight: `write` gets the numbers and whether to add to them; if not, it must set them all.
///
/// Gives nothing if an open sink took it, and the gradient as a tensor otherwise.
pub(super) fn weight_gradient(weight: &Tensor, write: impl FnOnce(&mut [f32], bool)) -> Result<Option<Tensor>> {
    OPEN.with_borrow_mut(|open| {
        if let Some(sink) = open
            && let Some(at) = sink.find(weight.id())
        {
            write(&mut sink.buffers[at], sink.written[at]);
            sink.written[at] = true;
            return Ok(None);
        }
        let mut values = vec![0.0; weight.elem_count()];
        write(&mut values, false);
        Tensor::from_vec(values, weight.shape(), weight.device()).map(Some)
    })
}
