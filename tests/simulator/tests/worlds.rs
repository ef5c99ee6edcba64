//! A few worlds on every run of the tests: those that failed once, and new ones with every change of the sources.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(
    clippy::disallowed_methods,
    reason = "how long the tests may take is this machine's time"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use paymux_sim::{Kept, Options, Outcome, Script, command, reachable, record, run};

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

/// A world's decisions, as a fuzzer gets them.
fn written_down(seed: u64) -> String {
    record(&world(seed, 3)).1.to_string()
}

fn read(text: &str) -> Options {
    Options::script(Script::read(text.as_bytes()))
}

#[test]
fn a_world_goes_the_same_way_by_the_decisions_that_it_made() {
    for seed in [4, 12, 18] {
        let (seeded, again) = (run(&world(seed, 3)), run(&read(&written_down(seed))));
        assert_eq!((seeded.hash, seeded.polls), (again.hash, again.polls));
    }
}

#[test]
fn what_isnt_written_down_is_the_seeds() {
    let texts: [&[u8]; 4] = [
        b"seed 12",
        b"seed 12\nshop-0 . x .\nfaults-1\n\n.",
        b"seed 12\norders 3\nshop-99 1 2 3",
        b"\xff\xfe 1 2\nseed 12",
    ];
    for text in texts {
        let outcome = run(&Options::script(Script::read(text)));
        assert_eq!(outcome.hash, run(&world(12, 3)).hash);
    }
}

#[test]
fn one_decision_that_is_altered_leaves_the_others() {
    let text = written_down(12);
    let altered = text.replacen("\nfaults-1 0", "\nfaults-1 1", 1);
    assert_ne!(text, altered);
    let (before, after) = (run(&read(&text)), run(&read(&altered)));
    let of = |outcome: &Outcome, order: u32| {
        let faults = outcome.faults.iter();
        let of_order = faults.filter(|(name, _)| name.order == order);
        of_order.map(|(_, fault)| fault.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&after, 1)[0], "ClientGone");
    assert_ne!(of(&before, 1).first(), of(&after, 1).first());
    assert_eq!(of(&before, 0), of(&after, 0));
    assert_ne!(before.hash, after.hash);
}

#[test]
fn a_text_that_is_too_long_and_orders_without_end_make_a_small_world() {
    let long = format!("orders {}\nturns {}", u64::MAX, "1 ".repeat(100_000));
    let options = read(&long);
    assert!((1..=6).contains(&options.payments));
    assert!(holds(&options).polls < 100_000);
    let (_, script) = record(&world(1, 60));
    assert!(script.to_string().len() <= 8_192);
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
