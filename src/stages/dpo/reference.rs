//! How likely the reference holds the answers: asked once for each row, when it is first needed.

use rayon::prelude::*;

use crate::{
    model::{ModelError, Transformer},
    stages::{
        StageError,
        part::{Part, Sequence, parts},
    },
};

/// A model that is not trained, and what it has said.
pub struct Reference {
    /// None where the loss has no reference.
    model: Option<Transformer>,
    /// Whether it is asked of more than the rows; else it is let go once every row is known.
    kept: bool,
    /// For each row the sums of log-probabilities of its answers, once they are known.
    known: Vec<Option<Vec<f64>>>,
}

impl Reference {
    /// A reference for so many rows; without a model all it says is nought.
    #[must_use]
    pub fn new(model: Option<Transformer>, kept: bool, rows: usize) -> Self {
        Self { model, kept, known: vec![None; rows] }
    }

    /// The model, as long as there is one.
    #[must_use]
    pub fn model(&self) -> Option<&Transformer> {
        self.model.as_ref()
    }

    /// For each of some rows what the reference says of its answers.
    ///
    /// What it says of a row does not depend on the rows that it is asked of together, so that a training that was stopped
    /// and asks again is told the same.
    pub fn of(
        &mut self,
        pool: &rayon::ThreadPool,
        rows: &[usize],
        answers: &dyn Fn(usize) -> Vec<Sequence>,
    ) -> Result<Vec<Vec<f64>>, StageError> {
        let is_known = |known: &[Option<Vec<f64>>], row: usize| known.get(row).is_some_and(Option::is_some);
        let mut missing: Vec<usize> = rows.iter().copied().filter(|row| !is_known(&self.known, *row)).collect();
        missing.sort_unstable();
        missing.dedup();
        if let Some(model) = self.model.as_ref().filter(|_| !missing.is_empty()) {
            let asked: Vec<Vec<Sequence>> = missing.iter().map(|row| answers(*row)).collect();
            let sums = sums(model, pool, &asked.concat())?;
            let mut sums = sums.into_iter();
            for (row, asked) in missing.iter().zip(&asked) {
                let of_row: Vec<f64> = sums.by_ref().take(asked.len()).collect();
                if let Some(place) = self.known.get_mut(*row) {
                    *place = Some(of_row);
                }
            }
            if !self.kept && self.known.iter().all(Option::is_some) {
                self.model = None;
            }
        }
        let of_row = |row: &usize| self.known.get(*row).cloned().flatten().unwrap_or_else(|| vec![0.0; 2]);
        Ok(rows.iter().map(of_row).collect())
    }
}

/// The sum of log-probabilities over the learnt tokens of each sequence, for good.
pub fn sums(model: &Transformer, pool: &rayon::ThreadPool, sequences: &[Sequence]) -> Result<Vec<f64>, StageError> {
    let parts = parts(sequences);
    let found: Vec<Result<Vec<f32>, ModelError>> = pool.install(|| {
        let of_part =
            |part: &Part| Ok(model.log_probs(&part.packed, &part.rows, &part.targets)?.log_probs.to_vec1::<f32>()?);
        parts.par_iter().map(of_part).collect()
    });
    let mut sums = vec![0.0; sequences.len()];
    for (part, found) in parts.iter().zip(found) {
        let found = found?;
        let mut rest = found.as_slice();
        for (at, length) in &part.sequences {
            let (own, others) = rest.split_at((*length).min(rest.len()));
            rest = others;
            sums.get_mut(*at).into_iter().for_each(|sum| *sum = own.iter().map(|it| f64::from(*it)).sum());
        }
    }
    Ok(sums)
}
