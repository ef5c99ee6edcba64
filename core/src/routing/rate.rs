//! Counts by time, which weigh less the older they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::Sign;

/// A rate in parts per million: all of it.
pub(super) const WHOLE_PPM: u64 = 1_000_000;

/// How many buckets a half-life has. Within a bucket all weigh the same.
pub(super) const BUCKETS_PER_HALF_LIFE: u32 = 4;
/// For how many half-lives a count is kept: what is dropped weighs 1/32.
pub(super) const HALF_LIVES: u32 = 5;
/// How many buckets are kept of each segment.
pub(super) const BUCKETS: usize = (BUCKETS_PER_HALF_LIFE * HALF_LIVES) as usize;

/// Weights are in parts of 2^16.
const WEIGHT_BITS: u32 = 16;
/// 2^(-k/4) for k of 0 to 3.
const FADING: [u64; BUCKETS_PER_HALF_LIFE as usize] = [65_536, 55_109, 46_341, 38_968];

/// What a bucket of this age weighs. The clocks of instances differ a little, so that one bucket ahead is as good as
/// now; what is further ahead is a clock gone wrong, and weighs nothing.
fn weight(age: i64) -> u64 {
    let Ok(age) = usize::try_from(age.saturating_add(1)) else {
        return 0;
    };
    let age = age.saturating_sub(1);
    if age >= BUCKETS {
        return 0;
    }
    FADING[age % FADING.len()] >> (age / FADING.len())
}

/// What can be added up, in any order.
pub(super) trait Sum: Clone + Default {
    fn add(&mut self, other: &Self);
}

/// Sums by the index of their time, ascending: the newest `MOST` of them.
///
/// Which are kept depends on the indices alone, and what isn't among the newest of a part isn't among those of the whole.
/// So merging is commutative and associative, and one index from a clock gone wrong pushes out one other at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series<T, const MOST: usize>(Vec<(i64, T)>);

impl<T, const MOST: usize> Default for Series<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Sum, const MOST: usize> Series<T, MOST> {
    /// Adds to the sum at an index.
    pub(super) fn add(&mut self, index: i64, sum: &T) {
        // Nearly always it is the newest.
        let at = match self.0.last_mut() {
            Some((last, newest)) if *last == index => return newest.add(sum),
            Some((last, _)) if *last < index => Err(self.0.len()),
            Some(_) | None => self.0.binary_search_by_key(&index, |(index, _)| *index),
        };
        match at {
            Ok(place) => self.0[place].1.add(sum),
            Err(place) => {
                self.0.insert(place, (index, sum.clone()));
                if self.0.len() > MOST {
                    self.0.remove(0);
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(index, sum)| self.add(*index, sum));
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &T)> {
        self.0.iter().map(|(index, sum)| (*index, sum))
    }

    /// Drops what is before an index.
    pub(super) fn drop_before(&mut self, first: i64) {
        self.0.retain(|(index, _)| *index >= first);
    }

    /// Drops what is after an index.
    pub(super) fn drop_after(&mut self, last: i64) {
        self.0.retain(|(index, _)| *index <= last);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn newest(&self) -> Option<i64> {
        self.0.last().map(|(index, _)| *index)
    }
}

/// How attempts of one bucket ended. The numbers stop at the highest that there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) approved: u32,
    pub(super) soft_declined: u32,
    pub(super) hard_declined: u32,
    pub(super) not_executed: u32,
    pub(super) unknown: u32,
    /// Of those that were answered, added up.
    pub(super) latency_ms: u64,
}

impl Tally {
    pub(super) fn of(sign: Sign, latency: Duration) -> Self {
        let mut tally = Self::default();
        match sign {
            Sign::Approved => tally.approved = 1,
            Sign::SoftDecline => tally.soft_declined = 1,
            Sign::HardDecline => tally.hard_declined = 1,
            Sign::NotExecuted => tally.not_executed = 1,
            Sign::Unknown => tally.unknown = 1,
        }
        if sign.is_answer() {
            tally.latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        }
        tally
    }
}

impl Sum for Tally {
    fn add(&mut self, other: &Self) {
        self.approved = self.approved.saturating_add(other.approved);
        self.soft_declined = self.soft_declined.saturating_add(other.soft_declined);
        self.hard_declined = self.hard_declined.saturating_add(other.hard_declined);
        self.not_executed = self.not_executed.saturating_add(other.not_executed);
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.latency_ms = self.latency_ms.saturating_add(other.latency_ms);
    }
}

/// The tallies of one segment.
pub(super) type Window = Series<Tally, BUCKETS>;

/// Tallies, each by the weight of its age: in parts of 2^16 of an attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faded {
    approved: u128,
    soft_declined: u128,
    hard_declined: u128,
    not_executed: u128,
    unknown: u128,
    latency_ms: u128,
}

impl Faded {
    /// Adds a segment's tallies as they weigh in the bucket `now`.
    pub(super) fn add(&mut self, window: &Window, now: i64) {
        for (index, tally) in window.iter().rev() {
            let weight = u128::from(weight(now.saturating_sub(index)));
            if weight > 0 {
                self.approved += weight * u128::from(tally.approved);
                self.soft_declined += weight * u128::from(tally.soft_declined);
                self.hard_declined += weight * u128::from(tally.hard_declined);
                self.not_executed += weight * u128::from(tally.not_executed);
                self.unknown += weight * u128::from(tally.unknown);
                self.latency_ms += weight * u128::from(tally.latency_ms);
            }
        }
    }

    /// A hard decline is the issuer's, and no try of the connector's.
    fn tries(&self) -> u128 {
        self.approved + self.soft_declined + self.not_executed + self.unknown
    }

    fn failures(&self) -> u128 {
        self.not_executed + self.unknown
    }

    pub(super) fn has_tries(&self, least: u32) -> bool {
        self.tries() >= u128::from(least) << WEIGHT_BITS
    }

    /// Whole tries, rounded half up.
    pub(super) fn tried(&self) -> u32 {
        whole(self.tries())
    }

    /// Approved of tried, in parts per million; nothing, where nothing was tried.
    pub(super) fn approved_ppm(&self) -> Option<u32> {
        share_ppm(self.approved, self.tries())
    }

    /// Not executed or unknown of all attempts, in parts per million; nothing, where there were none.
    pub(super) fn failed_ppm(&self) -> Option<u32> {
        share_ppm(self.failures(), self.tries() + self.hard_declined)
    }

    /// The mean of what was answered.
    pub(super) fn latency(&self) -> Option<Duration> {
        let answered = self.approved + self.soft_declined + self.hard_declined;
        let mean = self.latency_ms.checked_div(answered)?;
        Some(Duration::from_millis(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            approved: whole(self.approved),
            soft_declined: whole(self.soft_declined),
            hard_declined: whole(self.hard_declined),
            not_executed: whole(self.not_executed),
            unknown: whole(self.unknown),
        }
    }
}

fn whole(weighed: u128) -> u32 {
    let half = 1 << (WEIGHT_BITS - 1);
    u32::try_from((weighed + half) >> WEIGHT_BITS).unwrap_or(u32::MAX)
}

fn share_ppm(part: u128, all: u128) -> Option<u32> {
    let share = (part * u128::from(WHOLE_PPM)).checked_div(all)?;
    u32::try_from(share).ok()
}

/// How attempts ended, the old ones counting less: whole attempts, rounded half up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Approved.
    #[serde(skip_serializing_if = "is_zero")]
    pub approved: u32,
    /// Declined, and it may pass elsewhere or later.
    #[serde(skip_serializing_if = "is_zero")]
    pub soft_declined: u32,
    /// Declined for good.
    #[serde(skip_serializing_if = "is_zero")]
    pub hard_declined: u32,
    /// Never executed: a refused connection, an overload, a breakdown that says so.
    #[serde(skip_serializing_if = "is_zero")]
    pub not_executed: u32,
    /// Nobody knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: u32,
}

impl Counts {
    /// Whether nothing was counted.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_halves_with_each_half_life_and_ends() {
        assert_eq!(weight(0), 1 << WEIGHT_BITS);
        for age in 0..BUCKETS as i64 - 4 {
            assert!(weight(age) > weight(age + 1), "{age}");
            assert!(weight(age).abs_diff(2 * weight(age + 4)) <= 1, "{age}");
        }
        assert!(weight(BUCKETS as i64 - 1) > 0);
        assert_eq!(weight(BUCKETS as i64), 0);
        assert_eq!(weight(i64::MAX), 0);
        assert_eq!(weight(-1), weight(0), "a clock that is a little ahead");
        assert_eq!(weight(-2), 0, "a clock gone wrong");
        assert_eq!(weight(i64::MIN), 0);
    }

    #[test]
    fn a_series_keeps_the_newest() {
        let one = Tally::of(Sign::Approved, Duration::ZERO);
        let mut series = Series::<Tally, 3>::default();
        for index in [5, 7, 5, 6, 4, 9, 1] {
            series.add(index, &one);
        }
        let kept: Vec<(i64, u32)> = series
            .iter()
            .map(|(index, tally)| (index, tally.approved))
            .collect();
        assert_eq!(kept, [(6, 1), (7, 1), (9, 1)]);
        series.drop_before(7);
        assert_eq!(series.iter().count(), 2);
    }

    #[test]
    fn numbers_stop_at_the_highest() {
        let most = Tally {
            approved: u32::MAX,
            latency_ms: u64::MAX,
            ..Tally::default()
        };
        let mut window = Window::default();
        window.add(0, &most);
        window.add(0, &most);
        let mut faded = Faded::default();
        faded.add(&window, 0);
        assert_eq!(faded.tried(), u32::MAX);
        assert_eq!(faded.approved_ppm(), Some(1_000_000));
    }
}
