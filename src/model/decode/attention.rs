//! Attention of new tokens over the cached keys and values of their sequences.
//!
//! A sum of products is a chain in which each step waits for the one before, so several chains run side by side: pages
//! of keys, or heads of values. The order inside a chain is that of the training operation.

use crate::model::ops::math::{exp_and_sum, max};

use super::cache::{Cache, PAGE};
use super::matrix::{LANES, Lane, accumulate_chains};
use super::pass::{Pass, Room};

/// Chains that run side by side: each needs two addresses at hand, and there are sixteen registers for those.
const CHAINS: usize = 4;

/// Pages whose values are summed before they are added to those of the pages before, as the training operation does.
const TOGETHER: usize = 512 / PAGE;

/// The heads of a layer's queries; several of them may share a head of keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub count: usize,
    /// What queries are multiplied by.
    pub scale: f32,
}

impl Heads {
    /// Writes what the heads of every entry of a pass read to `out`.
    pub fn attend_all(&self, out: &mut [f32], queries: &[f32], layer: usize, pass: &Pass<'_>, room: &mut Room) {
        let longest = pass.entries.iter().map(|entry| entry.position + 1).max().unwrap_or(0);
        let mut scores = room.take(self.count * longest.next_multiple_of(PAGE));
        let mut sums = room.take(self.count);
        let count = pass.entries.len();
        let rows = out.chunks_exact_mut(out.len() / count).zip(queries.chunks_exact(queries.len() / count));
        for (entry, (out, queries)) in pass.entries.iter().zip(rows) {
            let cache = &pass.caches[entry.sequence];
            let length = entry.position + 1;
            let group = self.count / cache.shape().heads;
            let source = Source { cache, layer, length, group };
            source.attend(out, queries, &mut scores[..self.count * source.stride()], &mut sums);
        }
        room.give(scores);
        room.give(sums);
    }
}

/// One layer of a cache, as far as one token sees it.
struct Source<'a> {
    cache: &'a Cache,
    layer: usize,
    /// How many tokens are seen.
    length: usize,
    /// Heads of queries that share a head of keys and values.
    group: usize,
}

impl Source<'_> {
    /// Pages that hold the seen tokens.
    fn pages(&self) -> usize {
        self.length.div_ceil(PAGE)
    }

    /// Scores of one head.
    fn stride(&self) -> usize {
        self.pages() * PAGE
    }

    /// Writes what each head reads to `out`; `scores` has room for all heads' scores, and `sums` for a number of each.
    fn attend(&self, out: &mut [f32], queries: &[f32], scores: &mut [f32], sums: &mut [f32]) {
        let chains = sums.len() * self.pages();
        let mut first = 0;
        while first + CHAINS <= chains {
            self.score::<CHAINS>(first, scores, queries);
            first += CHAINS;
        }
        for first in first..chains {
            self.score::<1>(first, scores, queries);
        }
        for (scores, sum) in scores.chunks_exact_mut(self.stride()).zip(sums.iter_mut()) {
            let seen = &mut scores[..self.length];
            let largest = max(seen);
            *sum = exp_and_sum(seen, largest);
        }
        let chains = sums.len() * self.cache.shape().value.div_ceil(LANES);
        let mut first = 0;
        while first + CHAINS <= chains {
            self.read::<CHAINS>(first, out, scores, sums);
            first += CHAINS;
        }
        for first in first..chains {
            self.read::<1>(first, out, scores, sums);
        }
    }

    /// The products of queries with pages of keys; chains count through the pages of head after head.
    #[inline(always)]
    fn score<const C: usize>(&self, first: usize, scores: &mut [f32], queries: &[f32]) {
        let width = self.cache.shape().key;
        let place = |chain: usize| ((first + chain) / self.pages(), (first + chain) % self.pages());
        let rows: [&[f32]; C] = std::array::from_fn(|chain| &queries[place(chain).0 * width..][..width]);
        let keys: [&[Lane]; C] = std::array::from_fn(|chain| {
            let (head, page) = place(chain);
            self.cache.keys(self.layer, head / self.group, page)
        });
        let mut sums = [[0.0; LANES]; C];
        accumulate_chains(&mut sums, width, rows, keys);
        scores[first * PAGE..][..C * PAGE].copy_from_slice(sums.as_flattened());
    }

    /// The weighted sums of values; chains count through the panels of head after head.
    #[inline(always)]
    fn read<const C: usize>(&self, first: usize, out: &mut [f32], scores: &[f32], totals: &[f32]) {
        let width = self.cache.shape().value;
        let panels = width.div_ceil(LANES);
        let place: [(usize, usize); C] =
            std::array::from_fn(|chain| ((first + chain) / panels, (first + chain) % panels));
        let mut finished = [[0.0; LANES]; C];
        for some in (0..self.pages()).step_by(TOGETHER) {
            let mut sums = [[0.0; LANES]; C];
            for page in some..self.pages().min(some + TOGETHER) {
                let count = PAGE.min(self.length - page * PAGE);
                let rows = place.map(|(head, _)| &scores[head * self.stride() + page * PAGE..][..count]);
                let values = place.map(|(head, panel)| self.cache.values(self.layer, head / self.group, page, panel));
                accumulate_chains(&mut sums, count, rows, values);
            }
            for (finished, sums) in finished.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *finished += sums;
            }
        }
        for ((head, panel), sums) in place.into_iter().zip(finished) {
            let factor = 1.0 / totals[head];
            let out = &mut out[head * width..][..width];
            for (out, sum) in out[panel * LANES..].iter_mut().zip(sums) {
                *out = sum * factor;
            }
        }
    }
}
