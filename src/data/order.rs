//! The order in which rows are read: a function of the seed, the epoch and the place, so there is no position to lose.

use crate::base::rng::Stream;

/// An endless sequence of epochs, each of which visits every row once.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    stream: Stream,
    rows: usize,
}

impl Order {
    #[must_use]
    pub fn new(seed: u64, rows: usize) -> Self {
        Self { stream: Stream::new(seed, "data order"), rows }
    }

    /// The rows of one epoch, in order.
    #[must_use]
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        self.stream.permutation(self.rows, epoch)
    }

    /// The rows at the places `start..start + count`, which may lie in several epochs; empty where there are no rows.
    #[must_use]
    pub fn range(&self, start: u64, count: usize) -> Vec<usize> {
        let Some(first) = start.checked_div(self.rows as u64) else { return Vec::new() };
        let skip = (start % self.rows as u64) as usize;
        (first..).flat_map(|epoch| self.epoch(epoch)).skip(skip).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_row_once_and_each_in_its_own_order() {
        let order = Order::new(3, 50);
        let mut first = order.epoch(0);
        assert_ne!(first, order.epoch(1));
        first.sort_unstable();
        assert_eq!(first, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn a_range_does_not_depend_on_where_reading_began() {
        let order = Order::new(3, 7);
        let whole = order.range(0, 30);
        assert_eq!([order.range(0, 5), order.range(5, 25)].concat(), whole);
        assert_eq!(whole[7..14], order.epoch(1));
        assert!(Order::new(3, 0).range(2, 4).is_empty());
    }
}
