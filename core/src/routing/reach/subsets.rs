//! Sets of numbers, among which a subset of another set is found without a walk through all of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A tree of sets: each is the path of its numbers, in the one order that all sets are given in. A search goes down those
/// paths alone whose numbers are in the set at hand, which of a set of `n` numbers are at most 2 to the power of `n`.
pub(super) struct Subsets {
    steps: HashMap<Step, u32, BuildHasherDefault<Mixed>>,
    /// By node, the root first: the set that ends there.
    ends: Vec<Option<usize>>,
    most_steps: usize,
}

/// What one search may take where there are many sets: all the subsets of seven numbers.
const LEAST_STEPS: usize = 128;
/// What all searches may take together, where that is more.
const ALL_STEPS: usize = 1 << 20;

impl Subsets {
    /// For this many sets: the more there are, the less each search may take, so that all take time in proportion. A
    /// search that is given up finds nothing.
    pub(super) fn for_sets(many: usize) -> Self {
        Self {
            steps: HashMap::with_capacity_and_hasher(many, BuildHasherDefault::default()),
            ends: vec![None],
            most_steps: (ALL_STEPS / many.max(1)).max(LEAST_STEPS),
        }
    }

    pub(super) fn insert(&mut self, set: &[u32], name: usize) {
        let mut node = 0;
        for number in set {
            let next = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
            let to = *self.steps.entry(Step::of(node, *number)).or_insert(next);
            if to == next {
                self.ends.push(None);
            }
            node = to;
        }
        self.ends[node as usize].get_or_insert(name);
    }

    /// The name of a set that is a subset of this one.
    pub(super) fn subset_of(&self, set: &[u32]) -> Option<usize> {
        let mut steps = self.most_steps;
        // The nodes to go on from, with the numbers that are left there.
        let mut open = vec![(0u32, set)];
        while let Some((node, left)) = open.pop() {
            if let Some(name) = self.ends[node as usize] {
                return Some(name);
            }
            for (at, number) in left.iter().enumerate() {
                steps = steps.checked_sub(1)?;
                if let Some(to) = self.steps.get(&Step::of(node, *number)) {
                    open.push((*to, &left[at + 1..]));
                }
            }
        }
        None
    }
}

/// A node, and the number with which a path goes on from there.
#[derive(PartialEq, Eq, Hash)]
struct Step(u64);

impl Step {
    fn of(node: u32, number: u32) -> Self {
        Self(u64::from(node) << 32 | u64::from(number))
    }
}

/// Spreads numbers that are counted up, of which there are a million to look up: the standard library's hash, which no
/// stranger can foresee, takes most of a check's time. No stranger chooses these.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    /// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    fn write_u64(&mut self, number: u64) {
        let mut mixed = self.0 ^ number;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = mixed ^ (mixed >> 31);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_empty_set_is_a_subset_of_all() {
        let mut sets = Subsets::for_sets(2);
        assert_eq!(sets.subset_of(&[]), None);
        sets.insert(&[], 7);
        assert_eq!(sets.subset_of(&[]), Some(7));
        assert_eq!(sets.subset_of(&[1, 2]), Some(7));
    }

    #[test]
    fn a_search_without_end_is_given_up() {
        let mut sets = Subsets::for_sets(ALL_STEPS);
        let all: Vec<u32> = (0..64).collect();
        for left_out in 0..63 {
            let set: Vec<u32> = all.iter().copied().filter(|number| *number != left_out).collect();
            let set: Vec<u32> = set.into_iter().chain([64 + left_out]).collect();
            sets.insert(&set, 1);
        }
        assert_eq!(sets.subset_of(&all), None);
    }

    proptest! {
        #[test]
        fn a_subset_is_found_if_there_is_one(
            earlier in prop::collection::vec(prop::collection::btree_set(0u32..10, 0..5), 0..20),
            set in prop::collection::btree_set(0u32..10, 0..7),
        ) {
            let mut sets = Subsets::for_sets(earlier.len());
            for (name, one) in earlier.iter().enumerate() {
                sets.insert(&one.iter().copied().collect::<Vec<_>>(), name);
            }
            let found = sets.subset_of(&set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(found.is_some(), earlier.iter().any(|one| one.is_subset(&set)));
            prop_assert!(found.is_none_or(|name| earlier[name].is_subset(&set)));
        }
    }
}
