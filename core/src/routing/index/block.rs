//! Bits of 512 clauses, and each distinct block of them once.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap};

/// How many clauses' bits stand in a block.
pub(super) const BLOCK: usize = 512;

const WORDS: usize = BLOCK / 64;

/// The bits of 512 clauses: one line of a processor's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
pub(super) struct Block([u64; WORDS]);

impl Block {
    /// The first `count` bits, or all.
    pub(super) fn ones(count: usize) -> Self {
        Self(std::array::from_fn(|word| {
            match count.saturating_sub(word * 64) {
                0 => 0,
                rest @ 1..64 => (1 << rest) - 1,
                _full => u64::MAX,
            }
        }))
    }

    /// The first 64 bits are these.
    pub(super) fn narrow(word: u64) -> Self {
        let mut block = Self([0; WORDS]);
        block.0[0] = word;
        block
    }

    /// The first 64 bits.
    pub(super) fn word(&self) -> u64 {
        self.0[0]
    }

    pub(super) fn toggle(&mut self, place: usize) {
        self.0[place / 64] ^= 1 << (place % 64);
    }

    pub(super) fn clear(&mut self, place: usize) {
        self.0[place / 64] &= !(1 << (place % 64));
    }

    #[inline]
    pub(super) fn keep(&mut self, other: &Self) {
        for (word, kept) in self.0.iter_mut().zip(other.0) {
            *word &= kept;
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |any, word| any | word) == 0
    }

    /// The place of the first bit that is set.
    #[inline]
    pub(super) fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|word| *word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

/// Distinct blocks, by their place.
#[derive(Debug, Default)]
pub(super) struct Pool {
    blocks: Vec<Block>,
    /// By hash. Of two blocks with one hash the later is found, and the earlier may come to stand twice, which does no harm.
    places: FxHashMap<u64, u32>,
    counts: Vec<u32>,
}

impl Pool {
    pub(super) fn place(&mut self, block: &Block) -> u32 {
        let hash = FxBuildHasher.hash_one(block);
        if let Some(place) = self.places.get(&hash)
            && self.blocks[*place as usize] == *block
        {
            return *place;
        }
        let place = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push(*block);
        self.counts.push(block.count());
        self.places.insert(hash, place);
        place
    }

    /// How many bits are set in the block of this place.
    pub(super) fn count(&self, place: u32) -> u64 {
        u64::from(self.counts[place as usize])
    }

    pub(super) fn into_blocks(self) -> Box<[Block]> {
        self.blocks.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_up_to_any_place() {
        for count in [0, 1, 63, 64, 65, 511, 512, 513, 9_999] {
            let mut ones = Block::ones(count);
            assert_eq!(ones.count() as usize, count.min(BLOCK));
            for place in 0..count.min(BLOCK) {
                assert_eq!(ones.first(), Some(place));
                ones.clear(place);
            }
            assert_eq!(ones.first(), None);
            assert!(ones.is_empty());
        }
    }

    #[test]
    fn a_block_stands_once() {
        let mut pool = Pool::default();
        let (one, two) = (Block::ones(3), Block::ones(4));
        assert_eq!([pool.place(&one), pool.place(&two), pool.place(&one)], [0, 1, 0]);
        assert_eq!((pool.count(0), pool.count(1)), (3, 4));
        assert_eq!(*pool.into_blocks(), [one, two]);
    }
}
