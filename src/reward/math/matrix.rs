//! Numbers and matrices, added and multiplied.

use crate::reward::math::{algebra::Algebra, expression::Expression};

/// Rows of entries, all of one width.
pub type Matrix = Vec<Vec<Expression>>;

/// What stands on one side of a sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Scalar(Expression),
    Matrix(Matrix),
}

impl Operand {
    #[must_use]
    pub fn scalar(self) -> Option<Expression> {
        match self {
            Self::Scalar(value) => Some(value),
            Self::Matrix(_) => None,
        }
    }
}

pub fn negate(value: &Operand, algebra: &mut Algebra) -> Option<Operand> {
    multiply(&Operand::Scalar(Expression::whole(-1)), value, algebra)
}

/// None where the shapes do not fit.
pub fn add(left: Operand, right: &Operand, algebra: &mut Algebra) -> Option<Operand> {
    match (left, right) {
        (Operand::Scalar(left), Operand::Scalar(right)) => Some(Operand::Scalar(algebra.add(left, right)?)),
        (Operand::Matrix(left), Operand::Matrix(right)) if shape(&left) == shape(right) => {
            let rows = left.into_iter().zip(right).map(|(left, right)| {
                left.into_iter().zip(right).map(|(left, right)| algebra.add(left, right)).collect::<Option<Vec<_>>>()
            });
            Some(Operand::Matrix(rows.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// None where the shapes do not fit.
pub fn multiply(left: &Operand, right: &Operand, algebra: &mut Algebra) -> Option<Operand> {
    match (left, right) {
        (Operand::Scalar(left), Operand::Scalar(right)) => Some(Operand::Scalar(algebra.multiply(left, right)?)),
        (Operand::Scalar(scalar), Operand::Matrix(matrix)) | (Operand::Matrix(matrix), Operand::Scalar(scalar)) => {
            let rows = matrix
                .iter()
                .map(|row| row.iter().map(|entry| algebra.multiply(scalar, entry)).collect::<Option<Vec<_>>>());
            Some(Operand::Matrix(rows.collect::<Option<_>>()?))
        }
        (Operand::Matrix(left), Operand::Matrix(right)) if shape(left).1 == shape(right).0 => {
            let mut rows = Vec::new();
            for row in left {
                let mut entries = Vec::new();
                for column in 0..shape(right).1 {
                    let mut sum = Expression::default();
                    for (left, below) in row.iter().zip(right) {
                        let product = algebra.multiply(left, below.get(column)?)?;
                        sum = algebra.add(sum, &product)?;
                    }
                    entries.push(sum);
                }
                rows.push(entries);
            }
            Some(Operand::Matrix(rows))
        }
        _ => None,
    }
}

/// A small positive power of a square matrix.
pub fn power(base: &Operand, times: i64, algebra: &mut Algebra) -> Option<Operand> {
    if !(1..=16).contains(&times) {
        return None;
    }
    let mut value = base.clone();
    for _ in 1..times {
        value = multiply(&value, base, algebra)?;
    }
    Some(value)
}

fn shape(matrix: &Matrix) -> (usize, usize) {
    (matrix.len(), matrix.first().map_or(0, Vec::len))
}
