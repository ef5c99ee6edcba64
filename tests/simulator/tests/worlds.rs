//! A few worlds on every run of the tests: those that failed once, and new ones with every change of the sources.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(
    clippy::disallowed_methods,
    reason = "how long the tests may take is this machine's time"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use paymux_sim::{Kept, Options, Outcome, command, reachable, run};

const ENOUGH: Duration = Duration::from_secs(40);

fn world(seed: u64, payments: u32) -> Options {
    Options {
        payments,
        ..Options::seed(seed)
    }
}

fn holds(options: &Options) -> Outcome {
    let outcome = run(options);
    assert!(
        outcome.violations.is_empty(),
        "{:#?}\n{}",
        outcome.violations,
        command(options)
    );
    outcome
}

#[test]
fn seeds_that_failed_once_hold() {
    let begun = Instant::now();
    let seeds = include_str!("../seeds.txt");
    let lines = seeds.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let numbers = line.split('#').next().unwrap_or_default();
        let mut numbers = numbers
            .split_whitespace()
            .map(|number| number.parse::<u64>().unwrap());
        let (Some(seed), Some(payments)) = (numbers.next(), numbers.next()) else {
            continue;
        };
        holds(&world(seed, u32::try_from(payments).unwrap()));
        assert!(
            begun.elapsed() < ENOUGH * 6,
            "too many seeds for the tests: move some to .ci/run"
        );
    }
}

#[test]
fn new_worlds_with_every_change_hold() {
    let mut seed = 0xcbf2_9ce4_8422_2325_u64;
    for folder in ["core/src", "storage/memory/src", "tests/simulator/src"] {
        digest(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder),
            &mut seed,
        );
    }
    let begun = Instant::now();
    let mut worlds = 0;
    while begun.elapsed() < ENOUGH / 2 && worlds < 50 {
        holds(&world(seed % 1_000_000_000 + worlds, 20));
        worlds += 1;
    }
}

#[test]
fn a_seed_goes_the_same_way_twice() {
    for seed in [3, 4] {
        let (once, twice) = (run(&world(seed, 15)), run(&world(seed, 15)));
        assert_eq!((once.hash, once.polls), (twice.hash, twice.polls));
        assert_ne!(once.hash, run(&world(seed + 100, 15)).hash);
    }
}

/// The seed's worlds on a store, each of them twice.
fn hold_on(store: Kept) {
    if let Err(why) = reachable(store) {
        let required = std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() == Ok("1");
        assert!(!required, "{why}");
        return println!("skipped: {why}");
    }
    for seed in [3, 4] {
        let options = Options {
            store,
            ..world(seed, 8)
        };
        let (once, twice) = (holds(&options), run(&options));
        assert_eq!((once.hash, once.polls), (twice.hash, twice.polls));
    }
}

#[test]
fn worlds_hold_on_sqlite_and_go_the_same_way_twice() {
    hold_on(Kept::Sqlite);
}

#[test]
fn worlds_hold_on_postgres_and_go_the_same_way_twice() {
    hold_on(Kept::Postgres);
}

#[test]
fn a_trace_changes_nothing() {
    let traced = Options {
        trace: true,
        ..world(5, 10)
    };
    let (silent, traced) = (run(&world(5, 10)), run(&traced));
    assert_eq!(silent.hash, traced.hash);
    assert!(silent.trace.is_empty() && !traced.trace.is_empty());
}

/// FNV-1a over all that is in a folder, in the order of names.
fn digest(folder: &Path, into: &mut u64) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            digest(&path, into);
        } else {
            for byte in std::fs::read(&path).unwrap() {
                *into = (*into ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}
