//! Causal attention over packed sequences: latent attention (DeepSeek-V3) and grouped-query attention (Llama) alike.
//!
//! Both are the same sums over heads; they differ in where a head's query, key and value lie among the columns of the
//! projections. Positions are turned into rotations inside of the operation.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::attention_head::{Head, HeadGrad, Scratch, padded};
use super::storage::{is_native, like, read, read3, slice};

/// The columns of one of the three inputs that a head reads: those of head `h` begin at `offset + h * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which of the three inputs.
    pub source: usize,
    /// Where the columns of the first head begin.
    pub offset: usize,
    /// How far apart the columns of two heads lie; zero if all heads share them.
    pub step: usize,
    /// How many columns there are.
    pub width: usize,
}

/// Where queries, keys and values lie, and how they are turned and scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionLayout {
    /// The number of heads of queries.
    pub heads: usize,
    /// The number of heads of keys and values; each serves `heads / kv_heads` heads of queries.
    pub kv_heads: usize,
    /// The queries: the part without position and then the part that turns.
    pub query: Piece,
    /// The part of the keys without position.
    pub key_plain: Piece,
    /// The part of the keys that turns.
    pub key_turned: Piece,
    /// The values.
    pub value: Piece,
    /// Whether the pairs that turn together lie side by side, or half a width apart.
    pub interleaved: bool,
    /// What the scores are multiplied by.
    pub scale: f32,
}

/// The cosines and sines of the rotations, for every position and pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Angles {
    /// The number of pairs.
    pub pairs: usize,
    /// `[positions, pairs]`
    pub cos: Vec<f32>,
    /// `[positions, pairs]`
    pub sin: Vec<f32>,
}

/// Attention of three projections, each of one row for each token; the result is `[rows, heads · value width]`.
pub fn attention(
    inputs: [&Tensor; 3],
    layout: &Arc<AttentionLayout>,
    angles: &Arc<Angles>,
    lengths: &Arc<[usize]>,
) -> Result<Tensor> {
    let [first, second, third] = inputs;
    if !is_native(first) {
        return super::attention_reference::reference(inputs, layout, angles, lengths);
    }
    let op = Attention::new(layout, angles, lengths);
    first.contiguous()?.apply_op3(&second.contiguous()?, &third.contiguous()?, op)
}

/// Attention outside of Candle's graph, which would hold what it reads and gives to the end of the whole backward pass.
pub(in crate::model) struct Attended {
    op: Attention,
    /// What [`attention`] gives.
    pub out: Tensor,
}

impl Attended {
    pub fn new(
        [first, second, third]: [&Tensor; 3],
        layout: &Arc<AttentionLayout>,
        angles: &Arc<Angles>,
        lengths: &Arc<[usize]>,
    ) -> Result<Self> {
        let op = Attention::new(layout, angles, lengths);
        let out = first.apply_op3_no_bwd(second, third, &op)?;
        Ok(Self { op, out })
    }

    /// The gradients of what it reads, given that of what it gives.
    pub fn back(&self, [first, second, third]: &[Tensor; 3], grad: &Tensor) -> Result<[Tensor; 3]> {
        match self.op.bwd(first, second, third, &self.out, grad)? {
            (Some(first), Some(second), Some(third)) => Ok([first, second, third]),
            _ => candle_core::bail!("attention: a gradient is missing"),
        }
    }
}

impl AttentionLayout {
    /// The width of a query or key.
    #[must_use]
    pub fn qk(&self) -> usize {
        self.query.width
    }
}

impl Angles {
    /// The angles of the first positions, each the product of position and frequency rounded to f32 as transformers
    /// does.
    #[must_use]
    pub fn new(frequencies: &[f32], amplitude: f64, positions: usize) -> Self {
        let mut angles = Self { pairs: frequencies.len(), cos: Vec::new(), sin: Vec::new() };
        for position in 0..positions {
            for frequency in frequencies {
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                angles.cos.push((cos * amplitude) as f32);
                angles.sin.push((sin * amplitude) as f32);
            }
        }
        angles
    }

    /// Turns a row by the angles of a position, in place; back if `back`.
    pub fn turn(&self, row: &mut [f32], position: usize, interleaved: bool, back: bool) {
        let range = position * self.pairs..(position + 1) * self.pairs;
        let sign = if back { -1.0 } else { 1.0 };
        for (pair, (cos, sin)) in self.cos[range.clone()].iter().zip(&self.sin[range]).enumerate() {
            let (a, b) = if interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + self.pairs) };
            let (x, y, sin) = (row[a], row[b], sign * sin);
            row[a] = x * cos - y * sin;
            row[b] = y * cos + x * sin;
        }
    }
}

struct Attention {
    layout: Arc<AttentionLayout>,
    angles: Arc<Angles>,
    lengths: Arc<[usize]>,
    /// The logarithms of the sums of exponentials, `[heads, rows]`.
    log_sums: OnceLock<Vec<f32>>,
}

/// The three inputs and their numbers of columns.
struct Inputs<'a> {
    values: [&'a [f32]; 3],
    columns: [usize; 3],
}

impl Inputs<'_> {
    fn at(&self, piece: &Piece, head: usize, row: usize) -> &[f32] {
        &self.values[piece.source][row * self.columns[piece.source] + piece.offset + head * piece.step..][..piece.width]
    }
}

impl Attention {
    fn new(layout: &Arc<AttentionLayout>, angles: &Arc<Angles>, lengths: &Arc<[usize]>) -> Self {
        Self {
            layout: Arc::clone(layout),
            angles: Arc::clone(angles),
            lengths: Arc::clone(lengths),
            log_sums: OnceLock::new(),
        }
    }

    /// Copies keys and values of a head for one sequence, turned and filled up.
    fn load_keys(&self, inputs: &Inputs<'_>, start: usize, head: usize, place: &mut Head) {
        let AttentionLayout { key_plain, key_turned, value, .. } = &*self.layout;
        let rows = padded(place.length);
        place.key.clear();
        place.value.clear();
        for position in 0..place.length {
            place.key.extend_from_slice(inputs.at(key_plain, head, start + position));
            let from = place.key.len();
            place.key.extend_from_slice(inputs.at(key_turned, head, start + position));
            self.angles.turn(&mut place.key[from..], position, self.layout.interleaved, false);
            place.value.extend_from_slice(inputs.at(value, head, start + position));
        }
        place.key.resize(rows * place.qk, 0.0);
        place.value.resize(rows * place.v, 0.0);
    }

    /// Copies the queries of a head for one sequence, turned, scaled and filled up.
    fn load_queries(&self, inputs: &Inputs<'_>, start: usize, head: usize, place: &mut Head) {
        let turned = self.layout.query.width - self.layout.key_turned.width;
        place.query.clear();
        for position in 0..place.length {
            let from = place.query.len();
            let scaled = inputs.at(&self.layout.query, head, start + position).iter();
            place.query.extend(scaled.map(|value| value * self.layout.scale));
            self.angles.turn(&mut place.query[from + turned..], position, self.layout.interleaved, false);
        }
        place.query.resize(padded(place.length) * place.qk, 0.0);
    }

    /// The first row and the length of each sequence.
    fn sequences(&self) -> impl Iterator<Item = (usize, usize)> {
        self.lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some((start, *length))
        })
    }

    fn empty_head(&self, length: usize) -> Head {
        Head { length, qk: self.layout.qk(), v: self.layout.value.width, ..Head::default() }
    }

    fn forward(&self, inputs: &Inputs<'_>, rows: usize) -> (Vec<f32>, Vec<f32>) {
        let v = self.layout.value.width;
        let stride = self.layout.heads * v;
        let mut out = vec![0.0; rows * stride];
        let mut log_sums = vec![0.0; self.layout.heads * rows];
        let mut scratch = Scratch::default();
        let group = self.layout.heads / self.layout.kv_heads;
        for (start, length) in self.sequences().filter(|(_, length)| *length > 0) {
            let mut place = self.empty_head(length);
            for kv_head in 0..self.layout.kv_heads {
                self.load_keys(inputs, start, kv_head, &mut place);
                for head in kv_head * group..(kv_head + 1) * group {
                    self.load_queries(inputs, start, head, &mut place);
                    let log_sums = &mut log_sums[head * rows + start..][..length];
                    place.forward(&mut scratch, &mut out[start * stride + head * v..], stride, log_sums);
                }
            }
        }
        (out, log_sums)
    }

    fn backward(&self, inputs: &Inputs<'_>, out: &[f32], out_grad: &[f32], log_sums: &[f32]) -> [Vec<f32>; 3] {
        let v = self.layout.value.width;
        let stride = self.layout.heads * v;
        let rows = out.len() / stride;
        let mut grads = inputs.values.map(|values| vec![0.0; values.len()]);
        let mut scratch = Scratch::default();
        let mut grad = HeadGrad::default();
        let group = self.layout.heads / self.layout.kv_heads;
        for (start, length) in self.sequences().filter(|(_, length)| *length > 0) {
            let mut place = self.empty_head(length);
            for kv_head in 0..self.layout.kv_heads {
                self.load_keys(inputs, start, kv_head, &mut place);
                grad.key.clear();
                grad.key.resize(place.key.len(), 0.0);
                grad.value.clear();
                grad.value.resize(place.value.len(), 0.0);
                for head in kv_head * group..(kv_head + 1) * group {
                    self.load_queries(inputs, start, head, &mut place);
                    grad.query.resize(place.query.len(), 0.0);
                    let from = start * stride + head * v;
                    let log_sums = &log_sums[head * rows + start..][..length];
                    place.backward(&mut scratch, &out[from..], &out_grad[from..], stride, log_sums, &mut grad);
                    self.add_query_grads(&mut grads, inputs, start, head, length, &mut grad);
                }
                self.add_key_grads(&mut grads, inputs, start, kv_head, length, &mut grad);
            }
        }
        grads
    }

    fn add_query_grads(
        &self,
        grads: &mut [Vec<f32>; 3],
        inputs: &Inputs<'_>,
        start: usize,
        head: usize,
        length: usize,
        grad: &mut HeadGrad,
    ) {
        let query = &self.layout.query;
        let turned = query.width - self.layout.key_turned.width;
        for (position, row) in grad.query.chunks_exact_mut(query.width).enumerate().take(length) {
            self.angles.turn(&mut row[turned..], position, self.layout.interleaved, true);
            row.iter_mut().for_each(|value| *value *= self.layout.scale);
            add(grads, inputs, query, head, start + position, row);
        }
    }

    fn add_key_grads(
        &self,
        grads: &mut [Vec<f32>; 3],
        inputs: &Inputs<'_>,
        start: usize,
        head: usize,
        length: usize,
        grad: &mut HeadGrad,
    ) {
        let AttentionLayout { key_plain, key_turned, value, .. } = &*self.layout;
        let keys = grad.key.chunks_exact_mut(self.layout.qk());
        let rows = keys.zip(grad.value.chunks_exact(value.width)).enumerate().take(length);
        for (position, (key, value_grad)) in rows {
            let (plain, turned) = key.split_at_mut(key_plain.width);
            self.angles.turn(turned, position, self.layout.interleaved, true);
            add(grads, inputs, key_plain, head, start + position, plain);
            add(grads, inputs, key_turned, head, start + position, turned);
            add(grads, inputs, value, head, start + position, value_grad);
        }
    }
}

/// Adds a row to the gradient of the columns that a piece names.
fn add(grads: &mut [Vec<f32>; 3], inputs: &Inputs<'_>, piece: &Piece, head: usize, row: usize, values: &[f32]) {
    let from = row * inputs.columns[piece.source] + piece.offset + head * piece.step;
    let place = &mut grads[piece.source][from..from + piece.width];
    place.iter_mut().zip(values).for_each(|(place, value)| *place += value);
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
        third: &CpuStorage,
        third_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = first_layout.shape().dims2()?;
        let total: usize = self.lengths.iter().sum();
        if rows != total {
            candle_core::bail!("attention: expected {total} rows, the sum of the lengths, found {rows}");
        }
        let inputs = Inputs {
            values: [slice(first, first_layout)?, slice(second, second_layout)?, slice(third, third_layout)?],
            columns: [columns, second_layout.shape().dims2()?.1, third_layout.shape().dims2()?.1],
        };
        let (out, log_sums) = self.forward(&inputs, rows);
        // A second forward pass of the same operation would give the same numbers.
        let _ = self.log_sums.set(log_sums);
        Ok((CpuStorage::F32(out), Shape::from((rows, self.layout.heads * self.layout.value.width))))
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        third: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(log_sums) = self.log_sums.get() else {
            candle_core::bail!("attention: the backward pass came before the forward pass");
        };
        let grad = grad.contiguous()?;
        let columns = [first.dim(1)?, second.dim(1)?, third.dim(1)?];
        let [a, b, c] = read3(first, second, third, |a, b, c| {
            let inputs = Inputs { values: [a, b, c], columns };
            read(out, |out| read(&grad, |grad| self.backward(&inputs, out, grad, log_sums)))
        })???;
        Ok((Some(like(a, first)?), Some(like(b, second)?), Some(like(c, third)?)))
    }
}
