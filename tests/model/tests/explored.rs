//! The model at bounds that a debug build explores, and with bugs planted in its driver. The binary explores it whole.

use paymux_model::world::Left;
use paymux_model::{AUTHORIZE, Bug, CAPTURE, REFUND, Scope};

const THREADS: usize = 2;

const ONE_LIVE_CHARGE: usize = 3;
const FAILED_IS_UNCHARGED: usize = 5;
const TRUE_ENDS: usize = 7;
const ONE_KEY: usize = 10;
const KEY_IN_ITS_WINDOW: usize = 11;
const FAILOVER_ON_PROOF: usize = 12;
const ONE_VERSION_ON: usize = 16;

#[test]
fn a_confirmation_that_fails_over_keeps_every_invariant() {
    let left = Left {
        notices: 0,
        crashes: 1,
        ..AUTHORIZE.left
    };
    holds(Scope { left, ..AUTHORIZE });
}

#[test]
fn a_capture_beside_a_void_keeps_every_invariant() {
    let left = Left {
        notices: 0,
        crashes: 0,
        ..CAPTURE.left
    };
    holds(Scope { left, ..CAPTURE });
}

#[test]
fn a_refund_keeps_every_invariant() {
    let left = Left {
        notices: 1,
        crashes: 1,
        ..REFUND.left
    };
    holds(Scope { left, ..REFUND });
}

#[test]
fn a_time_out_that_is_taken_for_a_proof_charges_twice() {
    breaks(Bug::FailoverOnTimeOut, ONE_LIVE_CHARGE);
    breaks(Bug::FailoverOnTimeOut, FAILOVER_ON_PROOF);
}

#[test]
fn a_fresh_key_for_each_try_charges_twice() {
    breaks(Bug::FreshKey, ONE_LIVE_CHARGE);
    breaks(Bug::FreshKey, ONE_KEY);
}

#[test]
fn a_later_refusal_that_takes_a_doubt_back_charges_twice() {
    breaks(Bug::RefusalBeatsDoubt, ONE_LIVE_CHARGE);
    breaks(Bug::RefusalBeatsDoubt, TRUE_ENDS);
}

#[test]
fn a_proof_of_a_worker_that_was_fenced_off_loses_a_charge() {
    breaks(Bug::FencedProof, FAILED_IS_UNCHARGED);
    breaks(Bug::FencedProof, TRUE_ENDS);
}

#[test]
fn a_key_that_is_sent_again_after_its_window_is_seen() {
    breaks(Bug::SendAfterWindow, KEY_IN_ITS_WINDOW);
}

#[test]
fn two_writes_at_once_that_compare_no_version_charge_twice() {
    breaks(Bug::NoCompare, ONE_LIVE_CHARGE);
    breaks(Bug::NoCompare, ONE_VERSION_ON);
}

fn holds(scope: Scope) {
    let explored = scope.explore(THREADS);
    println!(
        "{}: {} states, {} of them unique",
        scope.name, explored.states, explored.unique
    );
    assert!(explored.broken.is_empty(), "{:#?}", explored.broken);
    assert!(explored.missed.is_empty(), "never: {:?}", explored.missed);
    assert!(explored.unique > 1_000, "it stopped early: {explored:?}");
}

/// A confirmation with that bug in the driver can break that invariant.
fn breaks(bug: Bug, invariant: usize) {
    let way = Scope { bug, ..AUTHORIZE }.breaks(invariant, THREADS);
    assert!(way.is_some(), "{bug:?} keeps the invariant {invariant}");
}
