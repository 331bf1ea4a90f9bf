//! A batch without padding: sequences laid end to end.

use super::error::ModelError;

/// Sequences end to end; positions count from zero in each, and no sequence sees another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The tokens of all sequences.
    pub ids: Vec<u32>,
    /// The length of each sequence.
    pub lengths: Vec<usize>,
}

impl Packed {
    /// Lays sequences end to end.
    #[must_use]
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut packed = Self::default();
        for sequence in sequences {
            packed.push(sequence);
        }
        packed
    }

    /// Adds a sequence at the end.
    pub fn push(&mut self, sequence: &[u32]) {
        self.ids.extend_from_slice(sequence);
        self.lengths.push(sequence.len());
    }

    /// Checks the ids against the vocabulary, the lengths against the ids and the rows against the batch.
    pub(super) fn check(&self, vocab: usize, rows: &[u32]) -> Result<(), ModelError> {
        let total: usize = self.lengths.iter().sum();
        if total != self.ids.len() {
            let text = format!("expected lengths that sum to {}, the number of ids, found {total}", self.ids.len());
            return Err(ModelError::Batch(text));
        }
        if let Some(id) = self.ids.iter().find(|id| **id as usize >= vocab) {
            return Err(ModelError::Batch(format!("expected ids below the vocabulary's size {vocab}, found {id}")));
        }
        if let Some(row) = rows.iter().find(|row| **row as usize >= total) {
            return Err(ModelError::Batch(format!("expected rows below the batch's length {total}, found {row}")));
        }
        if rows.is_empty() {
            return Err(ModelError::Batch("expected at least one row, found none".to_owned()));
        }
        Ok(())
    }
}
