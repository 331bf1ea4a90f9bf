//! Parts of a batch: token sequences laid end to end, with the places whose next token is learnt.

use std::ops::Range;

use crate::{data::packing::pack, model::Packed};

/// How many tokens a part aims at: enough rows to keep matrix products busy, few enough to keep memory small.
///
/// The cut is a constant, and not a function of the threads, because sums of gradients depend on it.
pub const PART_TOKENS: usize = 1024;

/// A token sequence of which the tokens from `from` on are learnt.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub ids: Vec<u32>,
    pub from: usize,
}

impl Sequence {
    /// How many tokens are learnt. The first token has nothing before it, and is never learnt.
    #[must_use]
    pub fn targets(&self) -> usize {
        Learn::targets(self)
    }
}

/// A token sequence of which some stretches are learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    pub ids: Vec<u32>,
    /// In their order, and apart from each other.
    pub learnt: Vec<Range<usize>>,
}

/// A token sequence, and what is learnt of it.
pub trait Learn {
    fn ids(&self) -> &[u32];

    /// The stretches of tokens that are learnt.
    fn learnt(&self) -> Vec<Range<usize>>;

    /// How many tokens are learnt. The first token has nothing before it, and is never learnt.
    fn targets(&self) -> usize {
        let last = self.ids().len();
        self.learnt().iter().map(|it| it.end.min(last).saturating_sub(it.start.max(1))).sum()
    }
}

impl Learn for Sequence {
    fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn learnt(&self) -> Vec<Range<usize>> {
        std::iter::once(self.from..self.ids.len()).collect()
    }
}

impl Learn for Example {
    fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn learnt(&self) -> Vec<Range<usize>> {
        self.learnt.clone()
    }
}

/// Some sequences of a batch, ready for the model.
#[derive(Debug)]
pub struct Part {
    pub packed: Packed,
    /// Rows of the packed batch that predict, and what they should predict.
    pub rows: Vec<u32>,
    pub targets: Vec<u32>,
    /// Which sequences of the batch these are, with the number of targets of each.
    pub sequences: Vec<(usize, usize)>,
    /// Which groups they make up, where they were grouped.
    pub groups: Vec<usize>,
}

/// Packs sequences, in their order, into parts of at most [`PART_TOKENS`] tokens (one sequence may be longer).
#[must_use]
pub fn parts<T: Learn>(sequences: &[T]) -> Vec<Part> {
    let learnt: Vec<(usize, &T)> = sequences.iter().enumerate().filter(|(_, it)| it.targets() > 0).collect();
    let lengths: Vec<usize> = learnt.iter().map(|(_, it)| it.ids().len() - 1).collect();
    let groups = pack(&lengths, PART_TOKENS).into_iter().map(|group| {
        let mut part = Part::empty();
        group.into_iter().filter_map(|at| learnt.get(at)).for_each(|(index, sequence)| part.push(*index, *sequence));
        part
    });
    groups.collect()
}

/// Packs groups of sequences as [`parts`] does. The sequences of one group, which one loss compares, stay in one part.
#[must_use]
pub fn grouped_parts(groups: &[Vec<Sequence>]) -> Vec<Part> {
    packed(groups, |part, index, sequence| part.push(index, sequence))
}

/// As [`grouped_parts`], to be read at their last token: each sequence is one row, and there are no targets.
#[must_use]
pub fn scored_parts(groups: &[Vec<Sequence>]) -> Vec<Part> {
    packed(groups, |part, index, sequence| {
        part.packed.push(&sequence.ids);
        part.rows.push(part.packed.ids.len() as u32 - 1);
        part.sequences.push((index, 1));
    })
}

/// Packs groups, adding their sequences, which are counted through all groups, one by one.
fn packed(groups: &[Vec<Sequence>], add: impl Fn(&mut Part, usize, &Sequence)) -> Vec<Part> {
    let lengths: Vec<usize> = groups.iter().map(|group| group.iter().map(|it| it.ids.len()).sum()).collect();
    let mut index = 0;
    let together = pack(&lengths, PART_TOKENS).into_iter().map(|places| {
        let mut part = Part::empty();
        for (place, group) in places.into_iter().filter_map(|at| Some((at, groups.get(at)?))) {
            part.groups.push(place);
            for sequence in group {
                add(&mut part, index, sequence);
                index += 1;
            }
        }
        part
    });
    together.collect()
}

impl Part {
    fn empty() -> Self {
        Self {
            packed: Packed::default(),
            rows: Vec::new(),
            targets: Vec::new(),
            sequences: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Adds a sequence without its last token, which predicts nothing.
    fn push(&mut self, index: usize, sequence: &impl Learn) {
        let start = self.packed.ids.len();
        let Some((_, inputs)) = sequence.ids().split_last() else { return };
        self.packed.push(inputs);
        let before = self.targets.len();
        for range in sequence.learnt() {
            let from = range.start.max(1);
            let Some(targets) = sequence.ids().get(from..range.end.max(from)) else { continue };
            self.rows.extend((from - 1..from - 1 + targets.len()).map(|at| (start + at) as u32));
            self.targets.extend(targets);
        }
        self.sequences.push((index, self.targets.len() - before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tokens_from_the_mark_on_are_learnt() {
        let sequences = [Sequence { ids: vec![5, 6, 7, 8], from: 2 }, Sequence { ids: vec![9, 10], from: 0 }];
        let parts = parts(&sequences);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].packed.ids, [5, 6, 7, 9]);
        assert_eq!(parts[0].packed.lengths, [3, 1]);
        assert_eq!(parts[0].rows, [1, 2, 3]);
        assert_eq!(parts[0].targets, [7, 8, 10]);
        assert_eq!(parts[0].sequences, [(0, 2), (1, 1)]);
    }

    #[test]
    fn each_learnt_stretch_has_its_rows() {
        let example = Example { ids: vec![5, 6, 7, 8, 9, 10], learnt: vec![1..3, 5..6] };
        let parts = parts(&[example]);
        assert_eq!((parts[0].rows.as_slice(), parts[0].targets.as_slice()), (&[0, 1, 4][..], &[6, 7, 10][..]));
        assert_eq!(parts[0].sequences, [(0, 3)]);
    }

    #[test]
    fn a_full_part_is_closed() {
        let sequence = Sequence { ids: vec![1; 401], from: 1 };
        let parts = parts(&[sequence.clone(), sequence.clone(), sequence]);
        assert_eq!(parts.iter().map(|it| it.packed.ids.len()).collect::<Vec<_>>(), [800, 400]);
    }
}
