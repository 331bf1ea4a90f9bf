//! DeepSeek's latent attention for new tokens: keys and values are expanded once, when the token is read, and kept.

use super::attention::Heads;
use super::kernels::{rms_norm, scale};
use super::matrix::Matrix;
use super::pass::{Pass, Room};

/// The attention of one layer.
#[derive(Clone, Debug)]
pub struct Latent {
    /// To the queries (or what they are raised from), then the latent, then the turning part of the key.
    pub lower: Matrix,
    pub queries: Queries,
    pub latent_norm: Vec<f32>,
    /// From the latent to each head's still part of the key and its value.
    pub expand: Matrix,
    pub output: Matrix,
    pub heads: Heads,
    /// Numbers of a key that do not turn.
    pub still: usize,
    /// Numbers of a key that turn with position.
    pub turning: usize,
    pub value: usize,
    /// Whether the pairs that turn together lie side by side.
    pub interleaved: bool,
    pub epsilon: f32,
}

/// How queries are made.
#[derive(Clone, Debug)]
pub enum Queries {
    /// Straight from the hidden state.
    Whole,
    /// Through a norm and a second matrix.
    Raised { norm: Vec<f32>, raise: Matrix },
}

impl Latent {
    /// Reads the pass's tokens into the caches and adds what attention finds to `out`.
    pub fn add_answer(&self, out: &mut [f32], rows: &[f32], layer: usize, pass: &mut Pass<'_>, room: &mut Room) {
        let count = pass.entries.len();
        let stride = self.lower.width();
        let key = self.still + self.turning;
        let mut lowered = room.take(count * stride);
        self.lower.product(&mut lowered, rows);

        let mut queries = room.take(count * self.heads.count * key);
        let start = self.raise_queries(&mut queries, &lowered, room);
        let mut latents = room.take(count * self.latent_norm.len());
        rms_norm(&mut latents, &lowered[start..], stride, &self.latent_norm, self.epsilon);
        let mut expanded = room.take(count * self.expand.width());
        self.expand.product(&mut expanded, &latents);

        let mut whole_key = room.take(key);
        let width = self.still + self.value;
        let angles = pass.angles;
        let turn = |numbers: &mut [f32], position| angles.turn(numbers, position, self.interleaved, false);
        for (row, entry) in pass.entries.iter().enumerate() {
            for query in queries[row * self.heads.count * key..][..self.heads.count * key].chunks_exact_mut(key) {
                scale(query, self.heads.scale);
                turn(&mut query[self.still..], entry.position);
            }
            let turning = &lowered[row * stride + start + self.latent_norm.len()..][..self.turning];
            whole_key[self.still..].copy_from_slice(turning);
            turn(&mut whole_key[self.still..], entry.position);
            let expanded = &expanded[row * self.expand.width()..][..self.expand.width()];
            for (head, expanded) in expanded.chunks_exact(width).enumerate() {
                let (still, value) = expanded.split_at(self.still);
                whole_key[..self.still].copy_from_slice(still);
                pass.caches[entry.sequence].write(layer, head, entry.position, &whole_key, value);
            }
        }

        let mut read = room.take(count * self.output.depth());
        self.heads.attend_all(&mut read, &queries, layer, pass, room);
        self.output.add_product(out, &read);
        for buffer in [lowered, queries, latents, expanded, whole_key, read] {
            room.give(buffer);
        }
    }

    /// Fills `queries` and returns where the latent begins in a lowered row.
    fn raise_queries(&self, queries: &mut [f32], lowered: &[f32], room: &mut Room) -> usize {
        let stride = self.lower.width();
        match &self.queries {
            Queries::Whole => {
                let width = self.heads.count * (self.still + self.turning);
                for (query, lowered) in queries.chunks_exact_mut(width).zip(lowered.chunks_exact(stride)) {
                    query.copy_from_slice(&lowered[..width]);
                }
                width
            }
            Queries::Raised { norm, raise } => {
                let mut normed = room.take(lowered.len() / stride * norm.len());
                rms_norm(&mut normed, lowered, stride, norm, self.epsilon);
                raise.product(queries, &normed);
                room.give(normed);
                norm.len()
            }
        }
    }
}
