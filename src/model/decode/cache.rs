//! The keys and values of a sequence, in pages of sixteen tokens; copies of one prompt share its full pages.

use std::rc::Rc;

use super::matrix::{LANES, Lane};

/// Tokens on a page: one vector of scores.
pub const PAGE: usize = LANES;

/// What a token leaves behind in every layer.
#[derive(Clone, Copy, Debug)]
pub struct CacheShape {
    pub layers: usize,
    /// Heads with keys and values of their own.
    pub heads: usize,
    /// Numbers in a head's key.
    pub key: usize,
    /// Numbers in a head's value.
    pub value: usize,
}

impl CacheShape {
    fn value_panels(&self) -> usize {
        self.value.div_ceil(LANES)
    }

    /// Where the keys of a layer's head begin on a page; its values follow them.
    fn offset(&self, layer: usize, head: usize) -> usize {
        (layer * self.heads + head) * (self.key + self.value_panels() * PAGE)
    }
}

type Page = Box<[Lane]>;

/// The cache of one sequence.
#[derive(Clone, Debug)]
pub struct Cache {
    shape: CacheShape,
    shared: Rc<[Page]>,
    own: Vec<Page>,
}

impl Cache {
    #[must_use]
    pub fn new(shape: CacheShape) -> Self {
        Self { shape, shared: Rc::from([]), own: Vec::new() }
    }

    /// The same cache with its full pages made ready to be shared: clones of it copy only the page being filled.
    #[must_use]
    pub fn share(mut self, length: usize) -> Self {
        let rest = self.own.split_off((length / PAGE).saturating_sub(self.shared.len()).min(self.own.len()));
        if !self.own.is_empty() {
            self.shared = self.shared.iter().cloned().chain(self.own).collect();
        }
        Self { own: rest, ..self }
    }

    /// Writes the key and the value of a head at a position; positions are filled in order.
    pub fn write(&mut self, layer: usize, head: usize, position: usize, key: &[f32], value: &[f32]) {
        let shape = self.shape;
        let index = position / PAGE - self.shared.len();
        if index == self.own.len() {
            self.own.push(vec![[0.0; LANES]; shape.offset(shape.layers, 0)].into_boxed_slice());
        }
        let slot = position % PAGE;
        let (keys, values) = self.own[index][shape.offset(layer, head)..].split_at_mut(shape.key);
        for (lane, key) in keys.iter_mut().zip(key) {
            lane[slot] = *key;
        }
        for (panel, value) in value.chunks(LANES).enumerate() {
            values[panel * PAGE + slot][..value.len()].copy_from_slice(value);
        }
    }

    /// The keys of a head on a page: a lane of sixteen tokens for each number of the key.
    #[inline]
    #[must_use]
    pub fn keys(&self, layer: usize, head: usize, page: usize) -> &[Lane] {
        &self.page(page)[self.shape.offset(layer, head)..][..self.shape.key]
    }

    /// Sixteen numbers of the values of a head on a page: a lane for each token.
    #[inline]
    #[must_use]
    pub fn values(&self, layer: usize, head: usize, page: usize, panel: usize) -> &[Lane] {
        &self.page(page)[self.shape.offset(layer, head) + self.shape.key + panel * PAGE..][..PAGE]
    }

    #[must_use]
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    fn page(&self, page: usize) -> &Page {
        if page < self.shared.len() { &self.shared[page] } else { &self.own[page - self.shared.len()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_cache_reads_as_before_and_its_clones_go_separate_ways() {
        let shape = CacheShape { layers: 2, heads: 2, key: 3, value: 18 };
        let mut cache = Cache::new(shape);
        let key = |position: usize, layer: usize, head: usize| [position as f32, layer as f32, head as f32];
        for position in 0..20 {
            for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                cache.write(layer, head, position, &key(position, layer, head), &[position as f32 + 0.5; 18]);
            }
        }
        let mut first = cache.share(20);
        let second = first.clone();
        assert!(Rc::ptr_eq(&first.shared, &second.shared) && first.shared.len() == 1 && first.own.len() == 1);
        first.write(1, 1, 19, &[7.0; 3], &[8.0; 18]);
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..20 {
                let lanes = second.keys(layer, head, position / PAGE);
                let found = [0, 1, 2].map(|at: usize| lanes[at][position % PAGE]);
                assert_eq!(found, key(position, layer, head));
                assert_eq!(second.values(layer, head, position / PAGE, 1)[position % PAGE][1], position as f32 + 0.5);
            }
        }
        assert_eq!(first.keys(1, 1, 1)[0][3], 7.0);
        assert_eq!(first.values(1, 1, 1, 1)[3][1], 8.0);
    }
}
