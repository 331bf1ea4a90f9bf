//! What methods share: loops over large tensors on all cores, and sums whose bits do not depend on how many there are.

use std::ops::Range;

use rayon::prelude::*;

/// How many numbers one thread takes at a time. It decides the order of sums, so it is part of what is computed.
pub const CHUNK: usize = 1 << 15;

/// Works on a tensor chunk by chunk, each with the place of its first number.
pub fn each_chunk(values: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(at, chunk)| work(at * CHUNK, chunk));
}

/// The sum of a function of ranges over `0..count`, in an order that does not depend on the number of threads.
pub fn sum(count: usize, part: impl Fn(Range<usize>) -> f64 + Sync + Send) -> f64 {
    let chunks = (0..count.div_ceil(CHUNK)).into_par_iter();
    let parts: Vec<f64> = chunks.map(|at| part(at * CHUNK..((at + 1) * CHUNK).min(count))).collect();
    parts.iter().sum()
}

/// The product of two rows, in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums side by side, which the processor adds at once.
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f64; 8];
    for (a, b) in a.iter().zip(b) {
        for at in 0..8 {
            sums[at] += f64::from(a[at]) * f64::from(b[at]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    sums.iter().sum::<f64>() + rest
}

/// The product of two whole tensors, on all cores.
pub fn product(a: &[f32], b: &[f32]) -> f64 {
    sum(a.len(), |range| dot(&a[range.clone()], &b[range]))
}

/// The sum of magnitudes.
pub fn l1(values: &[f32]) -> f64 {
    sum(values.len(), |range| {
        let (whole, rest) = values[range].as_chunks::<8>();
        let mut sums = [0.0f64; 8];
        for chunk in whole {
            for at in 0..8 {
                sums[at] += f64::from(chunk[at].abs());
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|it| f64::from(it.abs())).sum::<f64>()
    })
}

/// The products of all pairs of tensors: what directions and their angles are made of.
pub fn gram(tensors: &[&[f32]]) -> Vec<Vec<f64>> {
    let count = tensors.len();
    let mut products = vec![vec![0.0; count]; count];
    for one in 0..count {
        for other in one..count {
            let value = product(tensors[one], tensors[other]);
            products[one][other] = value;
            products[other][one] = value;
        }
    }
    products
}

/// Turns each tensor into its difference from the base.
pub fn subtract(values: &mut [f32], base: &[f32]) {
    each_chunk(values, |at, chunk| {
        for (value, base) in chunk.iter_mut().zip(&base[at..]) {
            *value -= base;
        }
    });
}

/// `sum_i factors[i] * tensors[i]`, in f64, written over the first tensor.
pub fn weighted(mut tensors: Vec<Vec<f32>>, factors: &[f64]) -> Vec<f32> {
    if tensors.is_empty() {
        return Vec::new();
    }
    let mut out = tensors.remove(0);
    each_chunk(&mut out, |at, chunk| {
        for (offset, value) in chunk.iter_mut().enumerate() {
            let mut total = factors[0] * f64::from(*value);
            for (factor, tensor) in factors[1..].iter().zip(&tensors) {
                total += factor * f64::from(tensor[at + offset]);
            }
            *value = total as f32;
        }
    });
    out
}

/// Adds a tensor.
pub fn add(values: &mut [f32], other: &[f32]) {
    each_chunk(values, |at, chunk| {
        for (value, other) in chunk.iter_mut().zip(&other[at..]) {
            *value += other;
        }
    });
}

/// The weights of two directions at `t` of the way along the arc between them, given the cosine of their angle.
pub fn arc(t: f64, cosine: f64) -> (f64, f64) {
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let sine = angle.sin();
    (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine)
}

/// Whether an angle is too small, or too near to a half turn, for f32 to tell; mergekit takes the straight line there.
#[must_use]
pub fn is_collinear(cosine: f64) -> bool {
    let rounded = cosine as f32;
    1.0 - rounded * rounded <= 1e-16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_the_same_bits_whatever_the_number_of_threads() {
        let values: Vec<f32> = (0..200_001).map(|at| (at as f32 * 0.37).sin()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (product(&values, &values).to_bits(), l1(&values).to_bits()))
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn the_ends_of_an_arc_are_its_ends() {
        let (from, to) = arc(0.0, 0.3);
        assert!((from - 1.0).abs() < 1e-15 && to.abs() < 1e-15);
        let (from, to) = arc(1.0, 0.3);
        assert!(from.abs() < 1e-15 && (to - 1.0).abs() < 1e-15);
    }
}
