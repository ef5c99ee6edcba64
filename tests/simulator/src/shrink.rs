//! The smallest run that still shows what a failing seed showed: fewer orders first, then fewer faults. Best effort:
//! whatever is left out changes how the rest is scheduled, and so the same may not be seen again.

use crate::{FaultName, Options, Outcome, run};

/// So many runs at most.
const RUNS_AT_MOST: u32 = 160;

/// Leaves out what isn't needed for a violation of the same invariant.
pub fn shrink(failing: &Options, outcome: &Outcome) -> Options {
    let Some(invariant) = outcome.violations.first().map(|violation| violation.invariant) else {
        return failing.clone();
    };
    let mut runs = 0;
    let mut fails = |options: &Options| {
        runs += 1;
        runs <= RUNS_AT_MOST
            && run(options)
                .violations
                .first()
                .is_some_and(|violation| violation.invariant == invariant)
    };
    let orders: Vec<u32> = match &failing.only {
        Some(only) => only.clone(),
        None => (0..failing.payments).collect(),
    };
    let with_orders = |only: &[u32]| Options {
        only: Some(only.to_vec()),
        ..failing.clone()
    };
    let only = fewer(orders, |only| fails(&with_orders(only)));
    let fewer_orders = with_orders(&only);
    let faults: Vec<FaultName> = run(&fewer_orders).faults.iter().map(|(name, _)| *name).collect();
    let without = |kept: &[FaultName]| {
        let gone = faults.iter().filter(|name| !kept.contains(name));
        let mut without = failing.without.clone();
        without.extend(gone.copied());
        Options {
            without,
            ..fewer_orders.clone()
        }
    };
    let kept = fewer(faults.clone(), |kept| fails(&without(kept)));
    without(&kept)
}

/// Halves, then quarters, and so on: what can go, goes.
fn fewer<T: Clone>(all: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = all;
    let mut size = kept.len().div_ceil(2);
    while size > 0 && !kept.is_empty() {
        let mut place = 0;
        while place < kept.len() {
            let mut rest = kept.clone();
            rest.drain(place..(place + size).min(kept.len()));
            if fails(&rest) {
                kept = rest;
            } else {
                place += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::fewer;

    #[test]
    fn what_isnt_needed_goes() {
        let needed = |rest: &[u32]| rest.contains(&7) && rest.contains(&31);
        assert_eq!(fewer((0..100).collect(), needed), [7, 31]);
    }
}
