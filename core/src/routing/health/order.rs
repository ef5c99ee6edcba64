//! Orders of accounts by how they stand.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::super::circuit::{Circuit, WhenAllOpen};
use super::super::rate::WHOLE_PPM;
use super::Standing;
use crate::id::AccountRef;

/// An order of accounts, and whether any of them answers. The order is never shorter than what was given: who doesn't
/// answer comes last, and isn't left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// The places in what was given.
    pub order: Vec<usize>,
    /// Set where no circuit lets a payment through.
    pub all_open: Option<AllOpen>,
}

/// The circuits of all accounts are open. What then becomes of the payment is [`WhenAllOpen`]'s to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllOpen;

impl Ranking {
    /// What to try.
    ///
    /// # Errors
    /// [`AllOpen`], where the payment is to be refused then.
    pub fn settle(self, when: WhenAllOpen) -> Result<Vec<usize>, AllOpen> {
        match (self.all_open, when) {
            (None, _) | (Some(AllOpen), WhenAllOpen::TryAnyway) => Ok(self.order),
            (Some(AllOpen), WhenAllOpen::Refuse) => Err(AllOpen),
        }
    }
}

/// The given order, but those whose circuits are open come last.
pub fn closed_first(circuits: &[Circuit]) -> Ranking {
    rank(circuits, |_place| ())
}

/// The likeliest to approve a payment first, and now and then another, to learn how it does (Thompson sampling).
///
/// For each account a rate is drawn from what its true rate may be, by what is known: a normal distribution with the mean
/// and the variance of the Beta distribution after so many approvals of so many tries, from an even prior. The highest
/// draw comes first. So an account is tried as often as it is likely to be the best; one without data, now and then. All
/// of it is in whole numbers and from the payment's seed: the same standings and seed give the same order. An account's
/// draw doesn't depend on who else is there.
///
/// Drawing from counts that fade follows rates that change (Raj, Kalyani: Taming non-stationary bandits, 2017), and a
/// draw per payment, unlike the highest upper bound, doesn't send everything one way until the next row is read
/// (Chapelle, Li: An empirical evaluation of Thompson sampling, 2011).
pub fn by_success_rate(standings: &[(&AccountRef, Standing)], seed: u64) -> Ranking {
    let circuits: Vec<Circuit> = standings.iter().map(|(_, standing)| standing.circuit).collect();
    rank(&circuits, |place| {
        let (account, standing) = &standings[place];
        Reverse(drawn_ppm(account, standing, seed))
    })
}

/// Who answers first, by the fewest failures, then the shortest latency. Before them goes an account whose circuit is half
/// open, since nobody else finds out whether it answers again: so many payments per interval as may probe.
pub fn healthiest_first(standings: &[Standing]) -> Ranking {
    let circuits: Vec<Circuit> = standings.iter().map(|standing| standing.circuit).collect();
    rank(&circuits, |place| {
        let standing = &standings[place];
        (
            standing.circuit != Circuit::HalfOpen,
            standing.failed_ppm.unwrap_or(0),
            standing.latency.is_none(),
            standing.latency,
        )
    })
}

fn rank<K: Ord>(circuits: &[Circuit], key: impl Fn(usize) -> K) -> Ranking {
    let is_open = |place: usize| matches!(circuits[place], Circuit::Open { .. });
    let mut order: Vec<usize> = (0..circuits.len()).collect();
    // Stable: equal ones keep the given order.
    order.sort_by_cached_key(|place| (is_open(*place), key(*place)));
    let all_open = !order.is_empty() && order.iter().all(|place| is_open(*place));
    Ranking {
        order,
        all_open: all_open.then_some(AllOpen),
    }
}

/// The rate of an account, as drawn for a payment, in parts per million. It may lie a little outside of 0 to 1,000,000.
fn drawn_ppm(account: &AccountRef, standing: &Standing, seed: u64) -> i64 {
    let tries = u64::from(standing.counts_for);
    let rate = u64::from(standing.rate_ppm.unwrap_or(0));
    // Beta(approved + 1, rejected + 1), scaled by a million.
    let mean = (rate * tries + WHOLE_PPM) / (tries + 2);
    let variance = mean * WHOLE_PPM.saturating_sub(mean) / (tries + 3);
    let deviation = i64::try_from(variance.isqrt()).unwrap_or(i64::MAX);
    let mean = i64::try_from(mean).unwrap_or(i64::MAX);
    mean + ((deviation * normal(seed ^ stable_hash(account))) >> 16)
}

/// A draw from the standard normal distribution, in parts of 2^16: the sum of twelve even draws, less their mean
/// (Irwin-Hall). It lies within six deviations.
fn normal(seed: u64) -> i64 {
    let mut sum = 0;
    let mut state = seed;
    for _ in 0..3 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let drawn = mixed(state);
        for part in 0..4 {
            sum += i64::from((drawn >> (16 * part)) as u16);
        }
    }
    sum - 6 * i64::from(u16::MAX)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over the account's text: the same on every machine and in every release.
fn stable_hash(account: &AccountRef) -> u64 {
    let connector = account.connector().as_str().bytes();
    let text = connector.chain([b'/']).chain(account.account().bytes());
    let hash = text.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mixed(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_standard_normal() {
        let draws: Vec<i64> = (0..40_000).map(normal).collect();
        let count = draws.len() as i64;
        let mean = draws.iter().sum::<i64>() / count;
        let variance = draws.iter().map(|draw| draw * draw).sum::<i64>() / count;
        assert!(mean.abs() < 1_000, "{mean}");
        let one = 1_i64 << 32;
        assert!((one - variance).abs() < one / 50, "{variance}");
        let within = |deviations: i64| draws.iter().filter(|draw| draw.abs() <= deviations << 16).count();
        assert!((27_000..=27_700).contains(&within(1)), "{}", within(1)); // 68.3 %
        assert!((38_000..=38_400).contains(&within(2)), "{}", within(2)); // 95.4 %
    }
}
