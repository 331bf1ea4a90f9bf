//! Weight matrices packed for the decoder, and their product with rows of activations.
//!
//! Every output is one chain of fused multiply-adds over the depth, in order, whatever the number of rows: a row's
//! result cannot depend on what else is in the batch. Weights that are numbers of bf16 are held as such, and widened where
//! they are multiplied: half the memory, and the same bits.

/// How many outputs stand side by side in memory.
pub const LANES: usize = 16;

/// One group of neighbouring numbers, as wide as the widest vector register.
pub type Lane = [f32; LANES];

/// Panels that a block of rows takes at once: as many sums as the registers hold.
const PANELS: usize = if cfg!(target_feature = "avx512f") { 2 } else { 1 };

/// A matrix that maps rows of `depth` numbers to rows of `width` numbers, stored as panels of [`LANES`] outputs.
#[derive(Clone, Debug)]
pub struct Matrix {
    depth: usize,
    width: usize,
    panels: Panels,
}

#[derive(Clone, Debug)]
enum Panels {
    Whole(Vec<Lane>),
    Half(Vec<HalfLane>),
}

/// The upper halves of neighbouring numbers: the lower ones are zero.
type HalfLane = [u16; LANES];

/// Neighbouring numbers, however they are held.
trait Held: Copy {
    /// Writes them as they are multiplied. A loop into a place is vectorised, where a lane that is returned is not.
    fn widen(&self, lane: &mut Lane);
}

impl Held for Lane {
    #[inline(always)]
    fn widen(&self, lane: &mut Lane) {
        *lane = *self;
    }
}

impl Held for HalfLane {
    #[inline(always)]
    fn widen(&self, lane: &mut Lane) {
        for index in 0..LANES {
            lane[index] = widen(self[index]);
        }
    }
}

/// The number of which this is the upper half.
#[inline(always)]
pub fn widen(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// The upper half of a number.
#[must_use]
pub fn upper(number: f32) -> u16 {
    (number.to_bits() >> 16) as u16
}

/// Whether all numbers are numbers of bf16.
#[must_use]
pub fn are_halves(numbers: &[f32]) -> bool {
    numbers.iter().all(|it| it.to_bits() << 16 == 0)
}

impl Matrix {
    /// Packs matrices of the usual layout (a row of `depth` weights for each output), one below the other.
    #[must_use]
    pub fn pack(depth: usize, parts: &[&[f32]]) -> Self {
        let width = parts.iter().map(|part| part.len() / depth).sum::<usize>();
        let panels = if parts.iter().all(|part| are_halves(part)) {
            Panels::Half(panels(depth, width, parts, upper))
        } else {
            Panels::Whole(panels(depth, width, parts, |weight| weight))
        };
        Self { depth, width, panels }
    }

    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes `rows · selfᵀ` to `out`.
    pub fn product(&self, out: &mut [f32], rows: &[f32]) {
        self.each_panel(out, rows, |out, value| *out = value);
    }

    /// Adds `rows · selfᵀ` to `out`.
    pub fn add_product(&self, out: &mut [f32], rows: &[f32]) {
        self.each_panel(out, rows, |out, value| *out += value);
    }

    /// Whether the weights are held as halves.
    #[cfg(test)]
    fn is_half(&self) -> bool {
        matches!(self.panels, Panels::Half(_))
    }

    fn each_panel(&self, out: &mut [f32], rows: &[f32], store: impl Fn(&mut f32, f32) + Copy) {
        let Self { depth, width, .. } = *self;
        match &self.panels {
            Panels::Whole(panels) => View { depth, width, panels }.each_panel(out, rows, store),
            Panels::Half(panels) => View { depth, width, panels }.each_panel(out, rows, store),
        }
    }
}

/// The weights of an output after the other, laid out in panels.
fn panels<T: Copy + Default>(depth: usize, width: usize, parts: &[&[f32]], hold: impl Fn(f32) -> T) -> Vec<[T; LANES]> {
    let mut panels = vec![[T::default(); LANES]; width.div_ceil(LANES) * depth];
    for (output, weights) in parts.iter().flat_map(|part| part.chunks_exact(depth)).enumerate() {
        let panel = &mut panels[output / LANES * depth..][..depth];
        for (lane, weight) in panel.iter_mut().zip(weights) {
            lane[output % LANES] = hold(*weight);
        }
    }
    panels
}

/// A matrix whose weights are held in one way.
struct View<'a, H> {
    depth: usize,
    width: usize,
    panels: &'a [H],
}

impl<H: Held> View<'_, H> {
    fn each_panel(&self, out: &mut [f32], rows: &[f32], store: impl Fn(&mut f32, f32) + Copy) {
        let count = self.width.div_ceil(LANES);
        let mut first = 0;
        if rows.len() == self.depth {
            while first + 4 <= count {
                self.tile::<1, 4>(out, rows, first, store);
                first += 4;
            }
        }
        while first + PANELS <= count {
            self.each_block::<PANELS>(out, rows, first, store);
            first += PANELS;
        }
        while first < count {
            self.each_block::<1>(out, rows, first, store);
            first += 1;
        }
    }

    fn each_block<const P: usize>(
        &self,
        out: &mut [f32],
        rows: &[f32],
        first: usize,
        store: impl Fn(&mut f32, f32) + Copy,
    ) {
        let count = rows.len() / self.depth;
        let mut row = 0;
        while row + 4 <= count {
            self.tile::<4, P>(&mut out[row * self.width..], &rows[row * self.depth..], first, store);
            row += 4;
        }
        if row + 2 <= count {
            self.tile::<2, P>(&mut out[row * self.width..], &rows[row * self.depth..], first, store);
            row += 2;
        }
        if row < count {
            self.tile::<1, P>(&mut out[row * self.width..], &rows[row * self.depth..], first, store);
        }
    }

    #[inline(always)]
    fn tile<const R: usize, const P: usize>(
        &self,
        out: &mut [f32],
        rows: &[f32],
        first: usize,
        store: impl Fn(&mut f32, f32),
    ) {
        let rows: [&[f32]; R] = std::array::from_fn(|row| &rows[row * self.depth..][..self.depth]);
        let panels: [&[H]; P] = std::array::from_fn(|panel| &self.panels[(first + panel) * self.depth..][..self.depth]);
        let mut sums = [[[0.0; LANES]; P]; R];
        accumulate(&mut sums, self.depth, rows, panels);
        for (row, sums) in sums.iter().enumerate() {
            for (panel, sums) in sums.iter().enumerate() {
                let start = (first + panel) * LANES;
                let end = (start + LANES).min(self.width);
                for (out, sum) in out[row * self.width..][start..end].iter_mut().zip(sums) {
                    store(out, *sum);
                }
            }
        }
    }
}

/// Adds the products of `R` rows with `P` panels to `sums`, in the order of depth.
#[inline(always)]
fn accumulate<H: Held, const R: usize, const P: usize>(
    sums: &mut [[Lane; P]; R],
    depth: usize,
    rows: [&[f32]; R],
    panels: [&[H]; P],
) {
    let rows = rows.map(|row| &row[..depth]);
    let panels = panels.map(|panel| &panel[..depth]);
    // A copy on the stack lets the compiler hold the sums in registers.
    let mut held = *sums;
    for at in 0..depth {
        let mut lanes = [[0.0; LANES]; P];
        for panel in 0..P {
            panels[panel][at].widen(&mut lanes[panel]);
        }
        for row in 0..R {
            let factor = rows[row][at];
            for panel in 0..P {
                let lane = &lanes[panel];
                for index in 0..LANES {
                    held[row][panel][index] = factor.mul_add(lane[index], held[row][panel][index]);
                }
            }
        }
    }
    *sums = held;
}

/// Adds the product of each row with its own panel to its sums, in the order of depth.
#[inline(always)]
pub fn accumulate_chains<const C: usize>(sums: &mut [Lane; C], depth: usize, rows: [&[f32]; C], panels: [&[Lane]; C]) {
    let rows = rows.map(|row| &row[..depth]);
    let panels = panels.map(|panel| &panel[..depth]);
    let mut held = *sums;
    for at in 0..depth {
        for chain in 0..C {
            let factor = rows[chain][at];
            let lane = &panels[chain][at];
            for index in 0..LANES {
                held[chain][index] = factor.mul_add(lane[index], held[chain][index]);
            }
        }
    }
    *sums = held;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::precision::Precision;
    use crate::base::rng::Stream;
    use crate::model::ops::matmul::project;

    fn numbers(count: usize, place: u64) -> Vec<f32> {
        let stream = Stream::new(3, "matrix");
        (0..count as u64).map(|at| stream.normal(place, at) as f32).collect()
    }

    #[test]
    fn a_product_is_the_chain_of_fused_multiply_adds_for_every_count_of_rows() {
        for (depth, width) in [(1, 1), (7, 15), (48, 33), (64, 80), (300, 130)] {
            let weights = numbers(depth * width, 0);
            let matrix = Matrix::pack(depth, &[&weights[..depth * (width / 2)], &weights[depth * (width / 2)..]]);
            for count in 1..12 {
                let rows = numbers(depth * count, 1);
                let mut found = vec![f32::NAN; count * width];
                matrix.product(&mut found, &rows);
                let expected: Vec<f32> = rows
                    .chunks(depth)
                    .flat_map(|row| weights.chunks(depth).map(move |w| (row, w)))
                    .map(|(row, weights)| row.iter().zip(weights).fold(0.0, |sum, (x, w)| x.mul_add(*w, sum)))
                    .collect();
                assert_eq!(found, expected, "depth {depth}, width {width}, {count} rows");
                matrix.add_product(&mut found, &rows);
                assert_eq!(found, expected.iter().map(|it| it + it).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn weights_of_bf16_are_held_in_half_the_room_and_give_the_same_bits() {
        for (depth, width) in [(1, 1), (7, 15), (48, 33), (64, 80), (300, 130)] {
            let weights: Vec<f32> = numbers(depth * width, 0).iter().map(|it| Precision::BF16.round(*it)).collect();
            let half = Matrix::pack(depth, &[&weights]);
            let whole = Matrix { panels: Panels::Whole(panels(depth, width, &[&weights], |it| it)), ..half };
            assert!(half.is_half() && !whole.is_half());
            for count in 1..12 {
                let rows = numbers(depth * count, 1);
                let (mut found, mut expected) = (vec![0.5; count * width], vec![0.5; count * width]);
                half.add_product(&mut found, &rows);
                whole.add_product(&mut expected, &rows);
                assert!(found == expected, "depth {depth}, width {width}, {count} rows");
            }
        }
        let other = [1.0, 1.0 + f32::EPSILON];
        assert!(!Matrix::pack(2, &[&[1.0, 2.0], &other]).is_half());
    }

    /// The training operation multiplies with another kernel, but sums up to a depth of 1024 in the same order.
    #[test]
    fn a_product_has_the_bits_of_the_training_operation() {
        for (depth, width) in [(16, 8), (48, 256), (257, 33), (512, 130)] {
            let (weights, rows) = (numbers(depth * width, 0), numbers(depth * 40, 1));
            let (mut found, mut expected) = (vec![0.0; 40 * width], vec![0.0; 40 * width]);
            Matrix::pack(depth, &[&weights]).product(&mut found, &rows);
            project(&mut expected, &rows, &weights, [40, width, depth], false);
            assert!(found == expected, "depth {depth}, width {width}");
        }
    }
}
