//! Where the gradients of weights go while the parts of a batch are computed.
//!
//! Candle's backward pass makes a tensor of zeros for every gradient and adds to a fresh copy of it. For weights that
//! is three passes over memory as large as the model, for each part of the batch. While a sink is open on a thread, the
//! operations write the gradients of the model's variables straight into it and tell Candle that there are none; with
//! no sink open they return them to Candle as usual.
//!
//! A part counts how often its forward pass reads a variable, and hands a variable's gradient over to the sum of all
//! parts with the last of as many backward passes: so that little more than one set of gradients exists at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId, Var};

use super::ops;

thread_local! {
    static OPEN: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// The gradients of all variables, summed over the parts in the order of the parts.
pub(super) struct Sum {
    variables: Vec<(TensorId, usize)>,
    places: Vec<Mutex<Place>>,
    room: Arc<Room>,
}

/// Buffers to be used again, by their length: from part to part, and from step to step.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<BTreeMap<usize, Vec<Vec<f32>>>>);

/// The sum of one variable's gradients.
#[derive(Default)]
struct Place {
    total: Option<Vec<f32>>,
    /// The part whose gradient is added next.
    turn: usize,
    /// What parts after it have given already; nothing from those that do not read the variable.
    waiting: BTreeMap<usize, Option<Vec<f32>>>,
}

/// The gradients of one part.
pub(super) struct Sink {
    sum: Arc<Sum>,
    part: usize,
    slots: Vec<Slot>,
    /// Whether the operations that run belong to a layer that is computed again, which was counted as a whole.
    again: bool,
    /// How tensors that were forgotten are made again.
    recipes: Vec<(TensorId, Recipe)>,
}

type Recipe = Rc<dyn Fn() -> Result<Tensor>>;

/// The gradient of one variable in one part.
#[derive(Default)]
struct Slot {
    values: Option<Vec<f32>>,
    /// How many backward passes are still to come, as far as they are counted.
    due: usize,
    /// Whether it has been handed over.
    closed: bool,
}

impl Room {
    /// A buffer of this length; the numbers in it are leftovers.
    fn take(&self, len: usize) -> Vec<f32> {
        let spare = lock(&self.0).get_mut(&len).and_then(Vec::pop);
        spare.unwrap_or_else(|| vec![0.0; len])
    }

    /// Lets all go but so many of a length: more are left over where one thread ran far ahead of another.
    pub fn keep(&self, count: usize) {
        lock(&self.0).values_mut().for_each(|buffers| buffers.truncate(count));
    }

    pub fn give(&self, buffer: Vec<f32>) {
        lock(&self.0).entry(buffer.len()).or_default().push(buffer);
    }
}

impl Sum {
    /// A place for each of these variables.
    pub fn new(variables: &[(String, Var)], room: &Arc<Room>) -> Self {
        Self {
            variables: variables.iter().map(|(_, var)| (var.as_tensor().id(), var.elem_count())).collect(),
            places: variables.iter().map(|_| Mutex::default()).collect(),
            room: Arc::clone(room),
        }
    }

    /// The sums, when all parts have given what they have.
    pub fn into_totals(self) -> Vec<Vec<f32>> {
        let places = self.places.into_iter().zip(self.variables);
        let total = |(place, (_, len)): (Mutex<Place>, (TensorId, usize))| {
            let place = place.into_inner().unwrap_or_else(PoisonError::into_inner);
            place.total.unwrap_or_else(|| vec![0.0; len])
        };
        places.map(total).collect()
    }

    fn find(&self, id: TensorId) -> Option<usize> {
        self.variables.iter().position(|(variable, _)| *variable == id)
    }

    /// Takes what a part has for a variable, and adds all whose turn it is.
    fn put(&self, at: usize, part: usize, values: Option<Vec<f32>>) {
        let mut place = lock(&self.places[at]);
        place.waiting.insert(part, values);
        let turn = place.turn;
        for part in turn.. {
            let Some(values) = place.waiting.remove(&part) else { break };
            place.turn = part + 1;
            let Some(values) = values else { continue };
            match &mut place.total {
                None => place.total = Some(values),
                Some(total) => {
                    add(total, &values);
                    self.room.give(values);
                }
            }
        }
    }
}

impl Sink {
    /// A sink for a part, the parts being counted from nought without a gap.
    pub fn new(sum: &Arc<Sum>, part: usize) -> Self {
        let slots = sum.variables.iter().map(|_| Slot::default()).collect();
        Self { sum: Arc::clone(sum), part, slots, again: false, recipes: Vec::new() }
    }

    /// Runs a function with the sink open on this thread, and gives the sink back filled.
    pub fn collect<R>(self, function: impl FnOnce() -> R) -> (Self, R) {
        let empty = Self { slots: Vec::new(), ..Self::new(&self.sum, self.part) };
        let before = OPEN.replace(Some(self));
        let result = function();
        // What was open before is put back: a thread that waits inside `function` may have begun another part.
        (OPEN.replace(before).unwrap_or(empty), result)
    }

    /// Hands over what is left: of variables that went through operations which know no sink, too.
    pub fn finish(mut self, variables: &[(String, Var)], store: &GradStore) -> Result<()> {
        for (at, (name, var)) in variables.iter().enumerate() {
            if let Some(gradient) = store.get(var.as_tensor()) {
                if self.slots[at].closed {
                    candle_core::bail!("gradients: `{name}` has a gradient after it was handed over");
                }
                let gradient = gradient.contiguous()?;
                self.write(at, |values, more| {
                    ops::read(
                        &gradient,
                        |gradient| if more { add(values, gradient) } else { values.copy_from_slice(gradient) },
                    )
                })??;
            }
            self.close(at);
        }
        Ok(())
    }

    fn write<R>(&mut self, at: usize, write: impl FnOnce(&mut [f32], bool) -> R) -> Result<R> {
        let slot = &mut self.slots[at];
        if slot.closed {
            candle_core::bail!("gradients: a second backward pass through one forward pass");
        }
        let more = slot.values.is_some();
        let values = slot.values.get_or_insert_with(|| self.sum.room.take(self.sum.variables[at].1));
        Ok(write(values, more))
    }

    /// Counts one backward pass less, and hands the gradient over with the last.
    fn done(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        // What was never counted is handed over at the end of the part.
        if slot.due > 0 {
            slot.due -= 1;
            if slot.due == 0 {
                self.close(at);
            }
        }
    }

    fn close(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if !slot.closed {
            slot.closed = true;
            self.sum.put(at, self.part, slot.values.take());
        }
    }
}

/// Whether a sink is open on this thread.
pub(super) fn is_open() -> bool {
    OPEN.with_borrow(Option::is_some)
}

/// Says how a tensor is made again, if a sink is open on this thread that will see its backward pass.
pub(super) fn remember(id: TensorId, again: impl Fn() -> Result<Tensor> + 'static) -> bool {
    OPEN.with_borrow_mut(|open| match open.as_mut().filter(|sink| !sink.again) {
        Some(sink) => {
            sink.recipes.push((id, Rc::new(again)));
            true
        }
        None => false,
    })
}

/// Whether it is known how a tensor is made again.
pub(super) fn remembers(id: TensorId) -> bool {
    OPEN.with_borrow(|open| open.as_ref().is_some_and(|sink| sink.recipes.iter().any(|(it, _)| *it == id)))
}

/// Makes a tensor again, if it is known how.
pub(super) fn recall(id: TensorId) -> Option<Result<Tensor>> {
    let recipe = OPEN.with_borrow(|open| {
        open.as_ref()?.recipes.iter().find(|(it, _)| *it == id).map(|(_, recipe)| Rc::clone(recipe))
    });
    recipe.map(|recipe| recipe())
}

/// Says that a forward pass reads a weight, whose gradient the backward pass will give.
pub(super) fn reads(weight: &Tensor) {
    OPEN.with_borrow_mut(|open| {
        if let Some(sink) = open.as_mut().filter(|sink| !sink.again)
            && let Some(at) = sink.sum.find(weight.id())
        {
            sink.slots[at].due += 1;
        }
    });
}

/// Says that a layer with these variables will be computed again.
pub(super) fn reads_again(variables: &Range<usize>) {
    OPEN.with_borrow_mut(|open| {
        if let Some(sink) = open {
            variables.clone().for_each(|at| sink.slots[at].due += 1);
        }
    });
}

/// Runs the backward pass of a layer that is computed again.
pub(super) fn again<R>(variables: &Range<usize>, function: impl FnOnce() -> R) -> R {
    let set = |again| OPEN.with_borrow_mut(|open| open.as_mut().map(|sink| std::mem::replace(&mut sink.again, again)));
    let before = set(true);
    let result = function();
    set(before.unwrap_or(false));
    OPEN.with_borrow_mut(|open| {
        if let Some(sink) = open {
            variables.clone().for_each(|at| sink.done(at));
        }
    });
    result
}

/// Takes the gradient of a weight: `write` gets the numbers and whether to add to them; if not, it must set them all.
///
/// Gives nothing if an open sink took it, and the gradient as a tensor otherwise.
pub(super) fn weight_gradient(weight: &Tensor, write: impl FnOnce(&mut [f32], bool)) -> Result<Option<Tensor>> {
    OPEN.with_borrow_mut(|open| {
        if let Some(sink) = open
            && let Some(at) = sink.sum.find(weight.id())
        {
            sink.write(at, write)?;
            if !sink.again {
                sink.done(at);
            }
            return Ok(None);
        }
        let mut values = vec![0.0; weight.elem_count()];
        write(&mut values, false);
        Tensor::from_vec(values, weight.shape(), weight.device()).map(Some)
    })
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
