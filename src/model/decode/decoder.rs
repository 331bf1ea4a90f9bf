//! A model laid out for reading tokens one by one, outside Candle: the layers, and one pass through them.

use crate::model::ops::Angles;

use super::cache::{Cache, CacheShape};
use super::feed_forward::{Experts, Gated};
use super::grouped::Grouped;
use super::kernels::{rms_norm, scale};
use super::latent::Latent;
use super::matrix::Matrix;
use super::pass::{Entry, Pass, Room};
use super::table::Table;

/// A packed model.
#[derive(Clone, Debug)]
pub struct Decoder {
    pub(super) hidden: usize,
    pub(super) embedding: Table,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Matrix,
    pub(super) epsilon: f32,
    pub(super) frequencies: Vec<f32>,
    pub(super) amplitude: f64,
    pub(super) cache: CacheShape,
}

/// What all passes of one generation have in common.
#[derive(Debug)]
pub struct Terms {
    angles: Angles,
    /// One over the temperature.
    factor: f32,
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub attention: Attention,
    pub feed_forward_norm: Vec<f32>,
    pub feed_forward: FeedForward,
}

#[derive(Clone, Debug)]
pub(super) enum Attention {
    Latent(Latent),
    Grouped(Grouped),
}

#[derive(Clone, Debug)]
pub(super) enum FeedForward {
    Gated(Gated),
    Experts(Experts),
}

impl Decoder {
    /// An empty cache for a sequence of this model.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache::new(self.cache)
    }

    /// The terms for sequences of up to `length` tokens; a temperature of 0 leaves the logits as they are.
    #[must_use]
    pub fn terms(&self, length: usize, temperature: f32) -> Terms {
        let factor = if temperature > 0.0 { (1.0 / f64::from(temperature)) as f32 } else { 1.0 };
        Terms { angles: Angles::new(&self.frequencies, self.amplitude, length), factor }
    }

    /// The number of logits of a token.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.head.width()
    }

    /// Reads tokens into the caches of their sequences and writes the logits of the entries named by `wanted`, divided
    /// by the temperature.
    pub fn read(
        &self,
        entries: &[Entry],
        caches: &mut [Cache],
        terms: &Terms,
        wanted: &[usize],
        logits: &mut Vec<f32>,
        room: &mut Room,
    ) {
        let mut pass = Pass { entries, caches, angles: &terms.angles };
        let mut hidden = room.take(entries.len() * self.hidden);
        for (row, entry) in hidden.chunks_exact_mut(self.hidden).zip(entries) {
            self.embedding.read(entry.token as usize, row);
        }
        let mut normed = room.take(hidden.len());
        for (index, layer) in self.layers.iter().enumerate() {
            rms_norm(&mut normed, &hidden, self.hidden, &layer.attention_norm, self.epsilon);
            match &layer.attention {
                Attention::Latent(it) => it.add_answer(&mut hidden, &normed, index, &mut pass, room),
                Attention::Grouped(it) => it.add_answer(&mut hidden, &normed, index, &mut pass, room),
            }
            rms_norm(&mut normed, &hidden, self.hidden, &layer.feed_forward_norm, self.epsilon);
            match &layer.feed_forward {
                FeedForward::Gated(it) => it.add_answer(&mut hidden, &normed, room),
                FeedForward::Experts(it) => it.add_answer(&mut hidden, &normed, room),
            }
        }
        normed.truncate(wanted.len() * self.hidden);
        for (row, place) in wanted.iter().zip(normed.chunks_exact_mut(self.hidden)) {
            rms_norm(place, &hidden[row * self.hidden..][..self.hidden], self.hidden, &self.norm, self.epsilon);
        }
        // The head is linear: dividing what it reads divides the logits, and rounds as it does in training.
        scale(&mut normed, terms.factor);
        logits.resize(wanted.len() * self.vocabulary(), 0.0);
        self.head.product(logits, &normed);
        room.give(hidden);
        room.give(normed);
    }
}
