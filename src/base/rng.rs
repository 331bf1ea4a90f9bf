//! Counter-based randomness: a number is a function of where it is used, so there is no generator state to lose.
//!
//! The mixing is that of Philox 4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

/// A stream of random numbers named by a seed and a purpose; the n-th number needs no other.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream for one purpose under a seed. Streams of different purposes are independent.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Self { key: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])] }
    }

    /// Sixty-four random bits for a place named by two counters, such as (step, row) or (row, token).
    #[must_use]
    pub fn bits(&self, high: u64, low: u64) -> u64 {
        let [a, b, _, _] = philox([low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32], self.key);
        u64::from(a) | u64::from(b) << 32
    }

    /// A number in `[0, 1)`.
    #[must_use]
    pub fn uniform(&self, high: u64, low: u64) -> f64 {
        (self.bits(high, low) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number in `0..bound`; `bound` must not be zero.
    #[must_use]
    pub fn below(&self, bound: u64, high: u64, low: u64) -> u64 {
        ((u128::from(self.bits(high, low)) * u128::from(bound)) >> 64) as u64
    }

    /// A number of the standard normal distribution, by Box and Muller.
    #[must_use]
    pub fn normal(&self, high: u64, low: u64) -> f64 {
        let [a, b, c, d] = philox([low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32], self.key);
        let unit = |x: u32, y: u32| ((u64::from(x) | u64::from(y) << 32) >> 11) as f64 / (1u64 << 53) as f64;
        let (u, v) = (1.0 - unit(a, b), unit(c, d));
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    /// The whole numbers `0..count` in a random order (Fisher and Yates), one order for each `high`.
    #[must_use]
    pub fn permutation(&self, count: usize, high: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last as u64 + 1, high, last as u64) as usize);
        }
        order
    }
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let first = u64::from(a) * 0xD251_1F53;
        let second = u64::from(c) * 0xCD9E_8D57;
        counter = [(second >> 32) as u32 ^ b ^ key[0], second as u32, (first >> 32) as u32 ^ d ^ key[1], first as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the paper's reference implementation (Random123, kat_vectors).
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let stream = Stream::new(1, "order");
        let mut order = stream.permutation(100, 0);
        assert_ne!(order, stream.permutation(100, 1));
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn normals_have_the_moments_they_should() {
        let stream = Stream::new(7, "normal");
        let values: Vec<f64> = (0..20_000).map(|at| stream.normal(0, at)).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|it| it * it).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05);
    }
}
