//! What one pass through the layers works on: the new tokens, the caches of their sequences, and room for numbers.

use crate::model::ops::Angles;

use super::cache::Cache;

/// A token to be read.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which of the caches is its sequence's.
    pub sequence: usize,
    pub token: u32,
    /// Its place in the sequence; tokens of one sequence come in order.
    pub position: usize,
}

/// New tokens of any number of sequences.
#[derive(Debug)]
pub struct Pass<'a> {
    pub entries: &'a [Entry],
    pub caches: &'a mut [Cache],
    pub angles: &'a Angles,
}

/// Buffers that are lent and given back, so that a step allocates nothing.
#[derive(Debug, Default)]
pub struct Room {
    free: Vec<Vec<f32>>,
}

impl Room {
    /// A buffer of some length, holding any numbers.
    #[must_use]
    pub fn take(&mut self, length: usize) -> Vec<f32> {
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.resize(length, 0.0);
        buffer
    }

    /// A buffer of zeros.
    #[must_use]
    pub fn zeros(&mut self, length: usize) -> Vec<f32> {
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.clear();
        buffer.resize(length, 0.0);
        buffer
    }

    pub fn give(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }
}
