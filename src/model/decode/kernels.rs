//! Work on rows of activations, in the order of sums that the training operations have.

use crate::model::ops::math::dot;

/// Writes each row of `rows`, divided by its root mean square and scaled by `weight`, to `out`. Rows of `out` lie
/// densely; rows of `rows` begin every `stride` numbers.
pub fn rms_norm(out: &mut [f32], rows: &[f32], stride: usize, weight: &[f32], epsilon: f32) {
    for (out, row) in out.chunks_exact_mut(weight.len()).zip(rows.chunks(stride)) {
        let row = &row[..weight.len()];
        let inverse = 1.0 / (dot(row, row) / row.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
            *out = x * inverse * weight;
        }
    }
}

/// Adds `other` to `sum`.
pub fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// Adds `factor * other` to `sum`.
pub fn add_scaled(sum: &mut [f32], factor: f32, other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum = factor.mul_add(*other, *sum);
    }
}

/// Multiplies numbers by a factor.
pub fn scale(numbers: &mut [f32], factor: f32) {
    for number in numbers {
        *number *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_divides_by_the_root_mean_square_of_its_columns() {
        let mut out = [0.0; 4];
        rms_norm(&mut out, &[3.0, 4.0, 99.0, 6.0, 8.0], 3, &[1.0, 2.0], 0.0);
        let root = 12.5_f32.sqrt();
        for (found, expected) in out.iter().zip([3.0 / root, 8.0 / root, 3.0 / root, 8.0 / root]) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
    }
}
