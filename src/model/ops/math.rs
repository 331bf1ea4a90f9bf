//! Elementary functions and sums, written so that the compiler turns loops over them into vector instructions.

/// The exponential function, within two units in the last place (relative error below 2e-7) where the result is a
/// normal number; below that it is zero, and above 88 it stays finite at about 1.6e38.
///
/// The argument is split into a whole number of `ln 2` and a rest of at most half of it, for which a polynomial (that
/// of Cephes) is enough.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with few bits so that its products with whole numbers are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped.mul_add(LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-LN2_LOW, whole.mul_add(-LN2_HIGH, clamped));
    let mut sum = 1.987_569_1e-4_f32;
    sum = sum.mul_add(rest, 1.398_199_9e-3);
    sum = sum.mul_add(rest, 8.333_452e-3);
    sum = sum.mul_add(rest, 4.166_579_6e-2);
    sum = sum.mul_add(rest, 1.666_666_5e-1);
    sum = sum.mul_add(rest, 0.5);
    let value = sum.mul_add(rest * rest, rest) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { value * power }
}

/// The logistic function.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// How many sums are carried side by side.
const LANES: usize = 16;

/// The sum of a list of numbers; its rounding depends on the list alone.
#[must_use]
pub fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    fold(lanes) + rest.iter().sum::<f32>()
}

/// The sum of products of two lists of one length.
#[must_use]
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for at in 0..LANES {
            lanes[at] = left[at].mul_add(right[at], lanes[at]);
        }
    }
    fold(lanes) + left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The largest of a list of numbers.
#[must_use]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

/// Replaces each number by `exp(number - shift)` and gives their sum.
pub fn exp_and_sum(values: &mut [f32], shift: f32) -> f32 {
    for value in values.iter_mut() {
        *value = exp(*value - shift);
    }
    sum(values)
}

fn fold(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for at in 0..width {
            lanes[at] += lanes[at + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_stated_error() {
        let mut worst = 0.0_f64;
        for step in -870_000..=880_000 {
            let x = step as f32 * 1e-4;
            let expected = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - expected) / expected).abs());
        }
        assert!(worst < 2e-7, "{worst}");
    }

    #[test]
    fn exp_of_what_is_masked_is_zero_and_of_zero_is_one() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert!(exp(f32::INFINITY).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoid_goes_from_zero_to_one() {
        for (x, expected) in [(-1e30, 0.0), (-2.0, 0.119_202_92), (0.0, 0.5), (2.0, 0.880_797_1), (1e30, 1.0)] {
            assert!((sigmoid(x) - expected).abs() < 1e-7, "{x}");
        }
    }

    #[test]
    fn sums_take_every_number_whatever_the_length() {
        for length in 0..70_u32 {
            let values: Vec<f32> = (0..length).map(|at| at as f32).collect();
            let expected = (0..length).sum::<u32>() as f32;
            let squares = (0..length).map(|at| at * at).sum::<u32>() as f32;
            assert_eq!((sum(&values), dot(&values, &values)), (expected, squares));
            assert_eq!(max(&values), if length == 0 { f32::NEG_INFINITY } else { length as f32 - 1.0 });
        }
    }
}
