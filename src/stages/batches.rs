//! Which rows each step of a training over examples sees: epoch after epoch in a seeded order, in batches of one size.

use crate::{
    base::units::{Amount, Unit},
    data::order::Order,
    stages::StageError,
};

/// The batches of a training. The last of an epoch holds what is left.
pub struct Batches {
    order: Order,
    size: usize,
    /// How many see every row once.
    pub per_epoch: u64,
    /// How many there are in all.
    pub total: u64,
}

impl Batches {
    /// The batches of a budget in epochs or steps.
    ///
    /// # Errors
    /// Where the budget counts something else, or there is no row.
    pub fn new(seed: u64, rows: usize, size: usize, budget: Amount) -> Result<Self, StageError> {
        if rows == 0 {
            return Err(StageError::Data("the data holds no rows to learn from".to_owned()));
        }
        let size = size.max(1);
        let per_epoch = rows.div_ceil(size) as u64;
        let total = match budget.unit {
            Unit::Steps => budget.count(),
            Unit::Epochs => (budget.value * per_epoch as f64).round() as u64,
            other => {
                let message = format!("expected a budget in epochs or steps, found {}", other.name());
                return Err(StageError::Arguments(message));
            }
        };
        Ok(Self { order: Order::new(seed, rows), size, per_epoch, total })
    }

    /// The rows of a step, in their order.
    #[must_use]
    pub fn rows(&self, step: u64) -> Vec<usize> {
        let places = self.order.epoch(step / self.per_epoch);
        places.chunks(self.size).nth((step % self.per_epoch) as usize).unwrap_or_default().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_row_once_and_the_last_batch_is_what_is_left() {
        let batches = Batches::new(3, 10, 4, Amount::new(2.0, Unit::Epochs)).unwrap();
        assert_eq!(batches.total, 6);
        assert_eq!((0..6).map(|step| batches.rows(step).len()).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 2]);
        for epoch in 0..2 {
            let mut rows: Vec<usize> = (0..3).flat_map(|step| batches.rows(3 * epoch + step)).collect();
            rows.sort_unstable();
            assert_eq!(rows, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let batches = |rows, unit| Batches::new(0, rows, 4, Amount::new(2.0, unit)).map(|it| it.total);
        assert_eq!(
            batches(9, Unit::Tokens).unwrap_err().to_string(),
            "expected a budget in epochs or steps, found tokens"
        );
        assert_eq!(batches(0, Unit::Steps).unwrap_err().to_string(), "the data holds no rows to learn from");
    }
}
