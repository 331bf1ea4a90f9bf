//! The attention of Llama and its kin for new tokens: several heads of queries share a head of keys and values.

use crate::model::ops::add_to_rows;

use super::attention::Heads;
use super::kernels::{rms_norm, scale};
use super::matrix::Matrix;
use super::pass::{Pass, Room};

/// The attention of one layer.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// To the queries, then the keys, then the values.
    pub inputs: Matrix,
    /// Added to the queries, keys and values, where the model has biases.
    pub bias: Option<Vec<f32>>,
    /// The norms of each head of queries and of keys, where the model has them.
    pub norms: Option<[Vec<f32>; 2]>,
    pub output: Matrix,
    pub heads: Heads,
    /// Heads of keys and values.
    pub shared_heads: usize,
    /// Numbers in a head.
    pub head: usize,
    pub epsilon: f32,
}

impl Grouped {
    /// Reads the pass's tokens into the caches and adds what attention finds to `out`.
    pub fn add_answer(&self, out: &mut [f32], rows: &[f32], layer: usize, pass: &mut Pass<'_>, room: &mut Room) {
        let count = pass.entries.len();
        let (query_width, key_width) = (self.heads.count * self.head, self.shared_heads * self.head);
        let mut inputs = room.take(count * self.inputs.width());
        self.inputs.product(&mut inputs, rows);
        if let Some(bias) = &self.bias {
            add_to_rows(&mut inputs, bias);
        }
        let mut normed = room.take(query_width + key_width);
        let mut queries = room.take(count * query_width);
        for (row, entry) in pass.entries.iter().enumerate() {
            let inputs = &mut inputs[row * self.inputs.width()..][..self.inputs.width()];
            if let Some([query_norm, key_norm]) = &self.norms {
                let (queries, keys) = normed.split_at_mut(query_width);
                rms_norm(queries, &inputs[..query_width], self.head, query_norm, self.epsilon);
                rms_norm(keys, &inputs[query_width..][..key_width], self.head, key_norm, self.epsilon);
                inputs[..query_width + key_width].copy_from_slice(&normed);
            }
            scale(&mut inputs[..query_width], self.heads.scale);
            for head in inputs[..query_width + key_width].chunks_exact_mut(self.head) {
                pass.angles.turn(head, entry.position, false, false);
            }
            let (query, rest) = inputs.split_at(query_width);
            queries[row * query_width..][..query_width].copy_from_slice(query);
            let (keys, values) = rest.split_at(key_width);
            for (head, (key, value)) in keys.chunks_exact(self.head).zip(values.chunks_exact(self.head)).enumerate() {
                pass.caches[entry.sequence].write(layer, head, entry.position, key, value);
            }
        }
        let mut read = room.take(count * query_width);
        self.heads.attend_all(&mut read, &queries, layer, pass, room);
        self.output.add_product(out, &read);
        for buffer in [inputs, queries, normed, read] {
            room.give(buffer);
        }
    }
}
