//! Products of matrices in row-major order, on one thread.

/// How many rows of a batch are summed over at a time, and computed at a time where memory is scarce.
pub const ROWS: usize = 1024;

/// A matrix to read: its numbers and the distance between the beginnings of two rows.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The numbers, from the first of the first row.
    pub values: &'a [f32],
    /// The distance between two rows.
    pub stride: usize,
}

/// A matrix to write.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The numbers, from the first of the first row.
    pub values: &'a mut [f32],
    /// The distance between two rows.
    pub stride: usize,
    /// Whether the product is added to what is there, or replaces it.
    pub add: bool,
}

impl<'a> Rows<'a> {
    /// A matrix whose rows lie this far apart.
    #[must_use]
    pub fn new(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride }
    }
}

impl<'a> RowsMut<'a> {
    /// A matrix to be replaced.
    #[must_use]
    pub fn set(values: &'a mut [f32], stride: usize) -> Self {
        Self { values, stride, add: false }
    }

    /// A matrix to be added to.
    #[must_use]
    pub fn add(values: &'a mut [f32], stride: usize) -> Self {
        Self { values, stride, add: true }
    }
}

/// `out[m, n] = a[m, k] · b[n, k]ᵀ`
pub fn nt(out: RowsMut<'_>, a: Rows<'_>, b: Rows<'_>, [m, n, k]: [usize; 3]) {
    product(out, a.values, [a.stride, 1], b.values, [1, b.stride], [m, n, k]);
}

/// `out[m, n] = a[m, k] · b[k, n]`
pub fn nn(out: RowsMut<'_>, a: Rows<'_>, b: Rows<'_>, [m, n, k]: [usize; 3]) {
    product(out, a.values, [a.stride, 1], b.values, [b.stride, 1], [m, n, k]);
}

/// `out[m, n] = a[k, m]ᵀ · b[k, n]`
pub fn tn(out: RowsMut<'_>, a: Rows<'_>, b: Rows<'_>, [m, n, k]: [usize; 3]) {
    product(out, a.values, [1, a.stride], b.values, [b.stride, 1], [m, n, k]);
}

/// As [`tn`], where `k` counts the rows of a batch: the gradient of a weight. The rows are summed in stretches, so that
/// a batch that is computed in blocks of as many rows gives the same bits.
pub fn tn_by_rows(out: RowsMut<'_>, a: Rows<'_>, b: Rows<'_>, [m, n, k]: [usize; 3]) {
    let RowsMut { values, stride, mut add } = out;
    for from in (0..k.max(1)).step_by(ROWS) {
        let (a, b) =
            (Rows::new(&a.values[from * a.stride..], a.stride), Rows::new(&b.values[from * b.stride..], b.stride));
        tn(RowsMut { values: &mut *values, stride, add }, a, b, [m, n, ROWS.min(k - from)]);
        add = true;
    }
}

/// `out[rows, n] = x[rows, k] · w[n, k]ᵀ`, all contiguous, where each row's bits do not depend on how many rows there
/// are.
///
/// The kernels for few rows sum in another order than those for many, so a small batch is filled up with rows of zeros
/// to a size from which on the bits are the same (a test checks it).
pub fn project(out: &mut [f32], x: &[f32], w: &[f32], [rows, n, k]: [usize; 3], add: bool) {
    let least = invariant_rows(n, k);
    if rows >= least {
        nt(RowsMut { values: out, stride: n, add }, Rows::new(x, k), Rows::new(w, k), [rows, n, k]);
        return;
    }
    let mut padded = vec![0.0; least * k];
    padded[..rows * k].copy_from_slice(&x[..rows * k]);
    let mut product = vec![0.0; least * n];
    nt(RowsMut::set(&mut product, n), Rows::new(&padded, k), Rows::new(w, k), [least, n, k]);
    if add {
        out.iter_mut().zip(&product).for_each(|(out, product)| *out += product);
    } else {
        out[..rows * n].copy_from_slice(&product[..rows * n]);
    }
}

/// From how many rows on the bits of a row of `x · wᵀ` do not depend on the number of rows.
///
/// The kernel for outer products up to 256 numbers sums across a vector, and blocks of up to 64 by 64 split long sums
/// at other places than larger ones do.
#[must_use]
pub fn invariant_rows(n: usize, k: usize) -> usize {
    let least = 8.max(256 / n.max(1) + 1);
    if n <= 64 && k > 512 { least.max(65) } else { least }
}

fn product(
    out: RowsMut<'_>,
    a: &[f32],
    [a_row, a_column]: [usize; 2],
    b: &[f32],
    [b_row, b_column]: [usize; 2],
    [m, n, k]: [usize; 3],
) {
    if m == 0 || n == 0 {
        return;
    }
    let last = |rows: usize, row: usize, columns: usize, column: usize| {
        rows.saturating_sub(1) * row + columns.saturating_sub(1) * column
    };
    assert!(last(m, out.stride, n, 1) < out.values.len(), "the product does not fit its place");
    assert!(k == 0 || last(m, a_row, k, a_column) < a.len(), "the left matrix is too small");
    assert!(k == 0 || last(k, b_row, n, b_column) < b.len(), "the right matrix is too small");
    #[expect(unsafe_code, reason = "the kernel takes pointers; every place it touches was checked just above")]
    // SAFETY: the farthest place read in `a` and `b` and written in `out` lies inside the slices, and `out` is borrowed
    // mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.values.as_mut_ptr(),
            1,
            out.stride as isize,
            out.add,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Stream;

    fn random(purpose: &str, len: usize) -> Vec<f32> {
        let stream = Stream::new(1, purpose);
        (0..len).map(|at| stream.normal(0, at as u64) as f32).collect()
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        let shapes =
            [(8, 256), (64, 256), (80, 64), (192, 64), (512, 128), (24, 64), (16, 1024), (64, 768), (256, 2048)];
        for (n, k) in shapes {
            let (x, w) = (random("x", 256 * k), random("w", n * k));
            let mut whole = vec![0.0; 256 * n];
            project(&mut whole, &x, &w, [256, n, k], false);
            for rows in (1..=70).chain([100, 128, 200]) {
                let mut part = vec![0.0; rows * n];
                project(&mut part, &x, &w, [rows, n, k], false);
                assert!(part == whole[..rows * n], "{rows} rows of {n} x {k}");
            }
        }
    }

    #[test]
    fn the_three_products_are_what_they_say() {
        let [m, n, k] = [5, 7, 11];
        let (a, b) = (random("a", m * k), random("b", k * n));
        let transposed = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..rows * columns).map(|at| x[at % rows * columns + at / rows]).collect()
        };
        let mut expected = vec![0.0; m * n];
        for (at, value) in expected.iter_mut().enumerate() {
            *value = (0..k).map(|inner| a[at / n * k + inner] * b[inner * n + at % n]).sum();
        }
        let (at, bt) = (transposed(&a, m, k), transposed(&b, k, n));
        let close = |found: &[f32], factor: f32| {
            assert!(found.iter().zip(&expected).all(|(x, y)| (x - factor * y).abs() < 1e-5), "{found:?}");
        };
        let mut out = vec![9.0; m * n];
        nn(RowsMut::set(&mut out, n), Rows::new(&a, k), Rows::new(&b, n), [m, n, k]);
        close(&out, 1.0);
        nt(RowsMut::add(&mut out, n), Rows::new(&a, k), Rows::new(&bt, k), [m, n, k]);
        close(&out, 2.0);
        tn(RowsMut::add(&mut out, n), Rows::new(&at, m), Rows::new(&b, n), [m, n, k]);
        close(&out, 3.0);
    }
}
