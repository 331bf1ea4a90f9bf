//! Causal attention of one head over one sequence, forward and backward, in blocks of queries.
//!
//! Only the logarithms of the sums of exponentials are kept; the backward pass computes the probabilities of a block
//! again. Sequences are filled up with zeros to whole blocks, so that a row's bits do not depend on how long its
//! sequence goes on.

use super::math::{dot, exp, exp_and_sum, max};
use super::matmul::{Rows, RowsMut, nn, nt, tn};

/// How many queries are computed at a time.
const BLOCK: usize = 64;
/// Sequences are filled up to a multiple of this; from this size on a product's bits do not depend on its size.
const STEP: usize = 32;
/// How many keys are summed over at a time: the products of matrices split longer sums by their length.
const KEYS: usize = 512;

/// The numbers of one head: rotated queries (scaled), rotated keys and values, one row for each position.
#[derive(Debug, Default)]
pub struct Head {
    /// The length of the sequence.
    pub length: usize,
    /// The width of queries and keys.
    pub qk: usize,
    /// The width of values.
    pub v: usize,
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
}

/// Room for the scores of a block.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Vec<f32>,
    gradients: Vec<f32>,
    out: Vec<f32>,
}

/// The gradients of a head, in the same layout as the head.
#[derive(Debug, Default)]
pub struct HeadGrad {
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
}

/// The length of a sequence when filled up.
pub fn padded(length: usize) -> usize {
    length.next_multiple_of(STEP)
}

/// The blocks of a sequence: first query and number of queries, padding included.
fn blocks(length: usize) -> impl Iterator<Item = (usize, usize)> {
    let padded = padded(length);
    (0..padded).step_by(BLOCK).map(move |from| (from, BLOCK.min(padded - from)))
}

impl Head {
    /// The scores of a block's queries against all keys up to its last query; the columns are as many as those keys.
    fn scores(&self, from: usize, count: usize, scores: &mut Vec<f32>) -> usize {
        let keys = from + count;
        scores.resize(count * keys, 0.0);
        let query = Rows::new(&self.query[from * self.qk..], self.qk);
        nt(RowsMut::set(scores, keys), query, Rows::new(&self.key, self.qk), [count, keys, self.qk]);
        keys
    }

    /// Writes the outputs, `v` numbers at every `stride` for each position, and the logarithms of the sums.
    pub fn forward(&self, scratch: &mut Scratch, out: &mut [f32], stride: usize, log_sums: &mut [f32]) {
        for (from, count) in blocks(self.length) {
            let keys = self.scores(from, count, &mut scratch.scores);
            let mut sums = [1.0; BLOCK];
            for (at, row) in scratch.scores.chunks_exact_mut(keys).enumerate() {
                let (seen, masked) = row.split_at_mut(from + at + 1);
                let largest = max(seen);
                sums[at] = exp_and_sum(seen, largest);
                masked.fill(0.0);
                if let Some(place) = log_sums.get_mut(from + at) {
                    *place = largest + sums[at].ln();
                }
            }
            scratch.out.resize(count * self.v, 0.0);
            for first in (0..keys).step_by(KEYS) {
                let some = KEYS.min(keys - first);
                let place = RowsMut { values: &mut scratch.out, stride: self.v, add: first > 0 };
                let values = Rows::new(&self.value[first * self.v..], self.v);
                nn(place, Rows::new(&scratch.scores[first..], keys), values, [count, self.v, some]);
            }
            for (at, row) in scratch.out.chunks_exact(self.v).enumerate().take(self.length.saturating_sub(from)) {
                let place = &mut out[(from + at) * stride..][..self.v];
                let factor = 1.0 / sums[at];
                place.iter_mut().zip(row).for_each(|(place, value)| *place = value * factor);
            }
        }
    }

    /// Sets the gradient of the queries and adds to those of keys and values, given the outputs and their gradients.
    pub fn backward(
        &self,
        scratch: &mut Scratch,
        out: &[f32],
        out_grad: &[f32],
        stride: usize,
        log_sums: &[f32],
        grad: &mut HeadGrad,
    ) {
        for (from, count) in blocks(self.length) {
            let count = count.min(self.length.saturating_sub(from));
            if count == 0 {
                continue;
            }
            let keys = self.scores(from, count, &mut scratch.scores);
            let block_grad = Rows::new(&out_grad[from * stride..], stride);
            scratch.gradients.resize(count * keys, 0.0);
            let place = RowsMut::set(&mut scratch.gradients, keys);
            nt(place, block_grad, Rows::new(&self.value, self.v), [count, keys, self.v]);
            let rows = scratch.scores.chunks_exact_mut(keys).zip(scratch.gradients.chunks_exact_mut(keys));
            for (at, (probabilities, gradients)) in rows.enumerate() {
                let row = (from + at) * stride..(from + at) * stride + self.v;
                let along = dot(&out[row.clone()], &out_grad[row]);
                let log_sum = log_sums[from + at];
                let seen = from + at + 1;
                for (probability, gradient) in probabilities[..seen].iter_mut().zip(&mut gradients[..seen]) {
                    *probability = exp(*probability - log_sum);
                    *gradient = *probability * (*gradient - along);
                }
                probabilities[seen..].fill(0.0);
                gradients[seen..].fill(0.0);
            }
            let probabilities = Rows::new(&scratch.scores, keys);
            let gradients = Rows::new(&scratch.gradients, keys);
            tn(RowsMut::add(&mut grad.value, self.v), probabilities, block_grad, [keys, self.v, count]);
            let query = Rows::new(&self.query[from * self.qk..], self.qk);
            tn(RowsMut::add(&mut grad.key, self.qk), gradients, query, [keys, self.qk, count]);
            let place = RowsMut::set(&mut grad.query[from * self.qk..], self.qk);
            nn(place, gradients, Rows::new(&self.key, self.qk), [count, self.qk, keys]);
        }
    }
}
