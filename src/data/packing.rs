//! Packs token sequences into batches of about a number of tokens; nothing is padded, and nothing is cut in silence.

/// The places `0..lengths.len()` in groups, in order, each of at most `budget` tokens; a longer sequence stands alone.
#[must_use]
pub fn pack(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut groups = Vec::new();
    let mut group = Vec::new();
    let mut filled = 0;
    for (place, length) in lengths.iter().enumerate() {
        if !group.is_empty() && filled + length > budget {
            groups.push(std::mem::take(&mut group));
            filled = 0;
        }
        group.push(place);
        filled += length;
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

/// A sequence longer than `longest` as pieces of at most that length; every token is in exactly one of them.
#[must_use]
pub fn pieces(ids: &[u32], longest: usize) -> Vec<Vec<u32>> {
    ids.chunks(longest.max(1)).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_group_closes_before_it_overflows() {
        assert_eq!(pack(&[3, 4, 2, 9, 1], 8), [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert!(pack(&[], 8).is_empty());
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_group(lengths in prop::collection::vec(0usize..20, 0..50), budget in 1usize..30) {
            let groups = pack(&lengths, budget);
            prop_assert_eq!(groups.concat(), (0..lengths.len()).collect::<Vec<_>>());
            for group in groups {
                prop_assert!(group.len() == 1 || group.iter().map(|at| lengths[*at]).sum::<usize>() <= budget);
            }
        }

        #[test]
        fn pieces_join_to_the_whole(ids in prop::collection::vec(0u32..9, 0..40), longest in 1usize..9) {
            prop_assert_eq!(pieces(&ids, longest).concat(), ids);
        }
    }
}
