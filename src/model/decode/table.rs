//! The embedding of tokens as the decoder holds it.

use super::matrix::{are_halves, upper, widen};

/// Rows of numbers, held as numbers of bf16 where they are such.
#[derive(Clone, Debug)]
pub enum Table {
    Whole(Vec<f32>),
    Half(Vec<u16>),
}

impl Table {
    #[must_use]
    pub fn new(numbers: &[f32]) -> Self {
        if are_halves(numbers) {
            Self::Half(numbers.iter().map(|it| upper(*it)).collect())
        } else {
            Self::Whole(numbers.to_vec())
        }
    }

    /// Copies a row, which is as wide as the place for it.
    pub fn read(&self, row: usize, place: &mut [f32]) {
        let range = row * place.len()..(row + 1) * place.len();
        match self {
            Self::Whole(numbers) => place.copy_from_slice(&numbers[range]),
            Self::Half(numbers) => {
                place.iter_mut().zip(&numbers[range]).for_each(|(place, half)| *place = widen(*half));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for numbers in [[1.0, -2.5, 0.0, 384.0], [1.0, -2.5, 0.1, 384.0]] {
            let table = Table::new(&numbers);
            assert_eq!(matches!(table, Table::Half(_)), numbers[2] == 0.0);
            let mut row = [0.0; 2];
            table.read(1, &mut row);
            assert_eq!(row, numbers[2..]);
        }
    }
}
