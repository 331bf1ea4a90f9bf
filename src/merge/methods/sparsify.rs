//! Making differences sparse: by magnitude, without outliers, at random, or at random by rank.
//!
//! Among equal magnitudes at a cut those with the lowest index are kept.

use rayon::prelude::*;

use super::combine::{CHUNK, each_chunk, l1};
use crate::base::rng::Stream;

/// Smaller tensors are copied and partitioned; larger ones are counted in place.
const SMALL: usize = 1 << 18;

/// Which numbers of a tensor are the largest in magnitude.
pub struct Cut {
    /// The bits of the smallest magnitude kept, or of the largest not kept where all those of its size are dropped.
    threshold: u32,
    /// How many numbers of exactly this magnitude are kept in each chunk.
    quotas: Vec<usize>,
}

/// Goes over the numbers of one chunk in order.
struct Chooser {
    threshold: u32,
    quota: usize,
}

impl Cut {
    /// The cut that keeps the `count` largest.
    pub fn largest(values: &[f32], count: usize) -> Self {
        let chunks = values.len().div_ceil(CHUNK);
        if count == 0 {
            return Self { threshold: u32::MAX, quotas: vec![0; chunks] };
        }
        if count >= values.len() {
            return Self { threshold: 0, quotas: vec![CHUNK; chunks] };
        }
        let (threshold, above) =
            if values.len() <= SMALL { by_partition(values, count) } else { by_counting(values, count) };
        let equal: Vec<usize> = values
            .par_chunks(CHUNK)
            .map(|chunk| chunk.iter().filter(|value| magnitude(**value) == threshold).count())
            .collect();
        let mut left = count - above;
        let quotas = equal.into_iter().map(|equal| {
            let quota = equal.min(left);
            left -= quota;
            quota
        });
        Self { threshold, quotas: quotas.collect() }
    }

    /// Sets the numbers to nought whose places in `measure` are not kept.
    pub fn keep(&self, measure: &[f32], values: &mut [f32]) {
        each_chunk(values, |at, chunk| {
            let mut chooser = self.chooser(at);
            for (value, measure) in chunk.iter_mut().zip(&measure[at..]) {
                if !chooser.takes(*measure) {
                    *value = 0.0;
                }
            }
        });
    }

    fn chooser(&self, at: usize) -> Chooser {
        Chooser { threshold: self.threshold, quota: self.quotas.get(at / CHUNK).copied().unwrap_or_default() }
    }
}

impl Chooser {
    fn takes(&mut self, value: f32) -> bool {
        let bits = magnitude(value);
        if bits == self.threshold && self.quota > 0 {
            self.quota -= 1;
            return true;
        }
        bits > self.threshold
    }
}

/// The bits of the magnitude, which are in the order of the magnitudes.
fn magnitude(value: f32) -> u32 {
    value.abs().to_bits()
}

/// The magnitude of the `count`-th largest, and how many are larger.
fn by_partition(values: &[f32], count: usize) -> (u32, usize) {
    let mut bits: Vec<u32> = values.iter().map(|value| magnitude(*value)).collect();
    let at = bits.len() - count;
    let threshold = *bits.select_nth_unstable(at).1;
    let above = values.iter().filter(|value| magnitude(**value) > threshold).count();
    (threshold, above)
}

/// As [`by_partition`], by counting the upper bits and then, within their class, the lower ones.
fn by_counting(values: &[f32], count: usize) -> (u32, usize) {
    const LOWER: u32 = 15;
    let (upper, above_class) = locate(&histogram(values, |bits| Some(bits >> LOWER)), count);
    let lower = |bits: u32| (bits >> LOWER == upper).then_some(bits & ((1 << LOWER) - 1));
    let (lower, above) = locate(&histogram(values, lower), count - above_class);
    (upper << LOWER | lower, above_class + above)
}

fn histogram(values: &[f32], class: impl Fn(u32) -> Option<u32> + Sync) -> Vec<usize> {
    let counted = values.par_chunks(SMALL).fold(
        || vec![0usize; 1 << 16],
        |mut counts, chunk| {
            for value in chunk {
                if let Some(class) = class(magnitude(*value)) {
                    counts[class as usize] += 1;
                }
            }
            counts
        },
    );
    counted.reduce(
        || vec![0; 1 << 16],
        |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        },
    )
}

/// The class in which the `count`-th from above lies, and how many lie above the class.
fn locate(counts: &[usize], count: usize) -> (u32, usize) {
    let mut above = 0;
    for (class, here) in counts.iter().enumerate().rev() {
        if above + here >= count {
            return (class as u32, above);
        }
        above += here;
    }
    (0, above)
}

/// Keeps the largest: `max(1, floor(density n))` of them.
pub fn magnitude_prune(values: &mut [f32], density: f64) {
    if density >= 1.0 {
        return;
    }
    if density <= 0.0 {
        values.fill(0.0);
        return;
    }
    let cut = Cut::largest(values, ((density * values.len() as f64) as usize).max(1));
    each_chunk(values, |at, chunk| {
        let mut chooser = cut.chooser(at);
        for value in chunk {
            if !chooser.takes(*value) {
                *value = 0.0;
            }
        }
    });
}

/// Drops the `floor(gamma n)` largest, and then the smallest until `floor(density n)` are left; where that would leave
/// too few, fewer of the largest are dropped.
pub fn drop_outliers(values: &mut [f32], density: f64, gamma: f64) {
    if density >= 1.0 {
        return;
    }
    let count = values.len();
    let keep = (density.max(0.0) * count as f64) as usize;
    let outliers = (gamma * count as f64) as usize;
    let bottom = count.saturating_sub(keep + outliers);
    let (wide, narrow) = (Cut::largest(values, count - bottom), Cut::largest(values, count - bottom - keep));
    each_chunk(values, |at, chunk| {
        let (mut wide, mut narrow) = (wide.chooser(at), narrow.chooser(at));
        for value in chunk {
            let (inside, outlier) = (wide.takes(*value), narrow.takes(*value));
            if !inside || outlier {
                *value = 0.0;
            }
        }
    });
}

/// Keeps each number with the probability `density`. The n-th number's fate is a function of the stream, the input and n.
pub fn bernoulli(values: &mut [f32], density: f64, stream: &Stream, input: u64) {
    if density >= 1.0 {
        return;
    }
    let bound = (density.max(0.0) * 2.0f64.powi(32)) as u64;
    each_chunk(values, |at, chunk| {
        // One draw has the bits for two numbers; chunks begin at even places.
        for (pair, values) in chunk.chunks_mut(2).enumerate() {
            let bits = stream.bits(input, (at / 2 + pair) as u64);
            for (value, bits) in values.iter_mut().zip([bits & 0xffff_ffff, bits >> 32]) {
                if bits >= bound {
                    *value = 0.0;
                }
            }
        }
    });
}

/// Keeps each number with a probability that grows with its rank in its row, from `density - epsilon` to
/// `density + epsilon` (DELLA, arXiv 2406.11617).
pub fn by_rank(
    values: &mut [f32],
    row: usize,
    density: f64,
    epsilon: f64,
    stream: &Stream,
    input: u64,
) -> Result<(), String> {
    if density >= 1.0 {
        return Ok(());
    }
    let (low, high) = (density - epsilon, density + epsilon);
    if low <= 0.0 || high >= 1.0 {
        return Err(format!(
            "expected `density` less and plus `epsilon` between 0 and 1, found {density} and {epsilon}, which give \
             {low} and {high}"
        ));
    }
    values.par_chunks_mut(row).enumerate().for_each(|(at, values)| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_unstable_by_key(|place| (magnitude(values[*place]), *place));
        let steps = values.len().saturating_sub(1).max(1) as f64;
        for (rank, place) in order.into_iter().enumerate() {
            let probability = low + 2.0 * epsilon * rank as f64 / steps;
            if stream.uniform(input, (at * row + place) as u64) >= probability {
                values[place] = 0.0;
            }
        }
    });
    Ok(())
}

/// Brings the sum of magnitudes back to what it was.
pub fn rescale(values: &mut [f32], before: f64) {
    let after = l1(values);
    if before < 1e-7 || after < 1e-7 {
        return;
    }
    let factor = (before / after) as f32;
    each_chunk(values, |_, chunk| chunk.iter_mut().for_each(|value| *value *= factor));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(values: &[f32], count: usize) -> Vec<usize> {
        let mut marks = vec![1.0; values.len()];
        Cut::largest(values, count).keep(values, &mut marks);
        (0..values.len()).filter(|at| marks[*at] != 0.0).collect()
    }

    /// The same by sorting: by magnitude from above, equal ones by index.
    fn kept_by_sorting(values: &[f32], count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b)));
        order.truncate(count);
        order.sort_unstable();
        order
    }

    proptest! {
        #[test]
        fn a_cut_keeps_the_largest_and_of_equals_the_first(
            values in proptest::collection::vec((-4i8..4).prop_map(f32::from), 0..60),
            count in 0usize..70,
        ) {
            prop_assert_eq!(kept(&values, count), kept_by_sorting(&values, count));
        }
    }

    #[test]
    fn counting_finds_the_same_cut_as_partitioning() {
        let stream = Stream::new(3, "values");
        let values: Vec<f32> = (0..300_000).map(|at| stream.normal(0, at / 3) as f32).collect();
        for count in [1, 2, 1000, 150_001, 299_999] {
            assert_eq!(by_counting(&values, count), by_partition(&values, count));
            assert_eq!(kept(&values, count).len(), count);
        }
    }

    #[test]
    fn outliers_are_dropped_from_the_top_and_the_rest_from_below() {
        let mut values: Vec<f32> = (1..=10).map(|it| it as f32).collect();
        drop_outliers(&mut values, 0.5, 0.2);
        assert_eq!(values, [0.0, 0.0, 0.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0, 0.0]);
        // All that the density asks for is kept, even if fewer outliers can go.
        let mut values: Vec<f32> = (1..=10).map(|it| it as f32).collect();
        drop_outliers(&mut values, 0.9, 0.2);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0]);
    }

    #[test]
    fn random_masks_keep_their_share_and_rescaling_keeps_the_size() {
        let stream = Stream::new(7, "model.layers.0.mlp.up_proj.weight");
        let fresh: Vec<f32> = (0..100_000).map(|at| stream.normal(9, at) as f32).collect();
        let mut masked = fresh.clone();
        bernoulli(&mut masked, 0.3, &stream, 0);
        let share = masked.iter().filter(|it| **it != 0.0).count() as f64 / 1e5;
        assert!((share - 0.3).abs() < 0.006, "{share}");
        rescale(&mut masked, l1(&fresh));
        assert!((l1(&masked) / l1(&fresh) - 1.0).abs() < 1e-5);

        let mut other = fresh.clone();
        bernoulli(&mut other, 0.3, &stream, 1);
        let both = masked.iter().zip(&other).filter(|(a, b)| **a != 0.0 && **b != 0.0).count() as f64 / 1e5;
        assert!((both - 0.09).abs() < 0.004, "the masks of two inputs are not independent: {both}");
    }

    #[test]
    fn the_probability_of_being_kept_grows_with_the_rank() {
        let stream = Stream::new(7, "rank");
        let fresh: Vec<f32> = (0..100_000).map(|at| (at % 1000) as f32 + 1.0).collect();
        let mut masked = fresh.clone();
        by_rank(&mut masked, 1000, 0.5, 0.3, &stream, 0).unwrap();
        let share = |low: usize, high: usize| {
            let kept = masked.iter().enumerate().filter(|(at, it)| (low..high).contains(&(at % 1000)) && **it != 0.0);
            kept.count() as f64 / (100.0 * (high - low) as f64)
        };
        // 0.2 + 0.6 rank / 999: the means over a tenth of the ranks, and over all.
        assert!((share(0, 100) - 0.23).abs() < 0.015);
        assert!((share(900, 1000) - 0.77).abs() < 0.015);
        assert!((share(0, 1000) - 0.5).abs() < 0.006);
        let error = by_rank(&mut masked, 1000, 0.9, 0.15, &stream, 0).unwrap_err();
        assert!(error.starts_with("expected `density` less and plus `epsilon` between 0 and 1"), "{error}");
    }
}
