//! Randomness that follows from a seed, SplitMix64 (Steele, Lea, Flood 2014), where nothing else is written down.

use crate::script::Written;

/// A row of decisions that follows from its seed, but for those that are written down.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
    written: Option<Written>,
}

impl Rng {
    /// The row of this seed, and of this use of it: uses don't disturb each other.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        Self {
            state: mix(seed, purpose),
            written: None,
        }
    }

    /// The same, with these decisions instead of the seed's.
    pub(crate) fn written(self, written: Written) -> Self {
        let written = Some(written);
        Self { written, ..self }
    }

    /// The seed goes on with each decision, whoever makes it: the next one doesn't depend on that.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.state)
    }

    /// A number below `limit`, which must not be 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let seeded = self.next() % limit;
        match &mut self.written {
            Some(written) if limit > 1 => written.next(seeded, limit),
            Some(_) | None => seeded,
        }
    }

    /// Which of several befalls, if any, each with its rate of `of`: 0 for none, and then their places from 1 on.
    pub(crate) fn befalls(&mut self, rates: impl ExactSizeIterator<Item = u64>, of: u64) -> usize {
        let mut left = self.next() % of;
        let choices = rates.len() as u64 + 1;
        let mut seeded = 0;
        for (place, rate) in (1..).zip(rates) {
            if left < rate {
                seeded = place;
                break;
            }
            left -= rate;
        }
        match &mut self.written {
            Some(written) => written.next(seeded, choices) as usize,
            None => seeded as usize,
        }
    }

    /// From `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = self.below(of.len() as u64) as usize;
        &of[place]
    }

    /// One of several, each as likely as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, what) in of {
            if left < *weight {
                return *what;
            }
            left -= weight;
        }
        of[0].1
    }
}

/// One number out of two, in which no trace of either is left.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    finish(a ^ finish(b.wrapping_add(0x9e37_79b9_7f4a_7c15)).rotate_left(17))
}

fn finish(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
