//! Processes that are killed (SIGKILL) while they pay, at random and at failpoints, on stores that outlive them and at
//! a processor with books of its own, over HTTP. Also the database is struck: its backends are ended around commits,
//! its server is stopped and started, and a primary is killed and its standby promoted. Each round ends with fresh
//! workers and an audit: nothing that was acknowledged is lost, nothing is charged twice, and the money here is the
//! money there.
//!
//! `cargo test --test kill` does 40 kills in all, where PostgreSQL, PgBouncer and the binaries for servers of its own
//! are there; words after `--` choose grounds (`-- sqlite`). More kills: `PAYMUX_KILLS=10000`; others of them:
//! `PAYMUX_KILLS_SEED=2`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by it"
)]

mod audit;
mod child;
#[path = "../../storage/sql/tests/cluster/mod.rs"]
mod cluster;
#[path = "../../storage/sql/tests/database/mod.rs"]
mod database;
mod failpoint;
mod ground;
mod kept;
mod log;
mod order;
mod random;
mod round;

use std::process::ExitCode;
use std::time::Duration;

use paymux::{Runtime, sqlx};

use crate::child::Life;
use crate::ground::{Ground, Outcome, Tally};
use crate::random::Random;

/// How many kills there are in all, unless it is said otherwise.
const KILLS: u64 = 40;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, life] = args.as_slice()
        && role == "child"
    {
        let life: Life = serde_json::from_str(life).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(life.live());
        return ExitCode::FAILURE;
    }
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let kills = number("PAYMUX_KILLS", KILLS);
    let mut random = Random::new(number("PAYMUX_KILLS_SEED", 1));
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen: Vec<Ground> = Ground::ALL
        .into_iter()
        .filter(|ground| words.is_empty() || words.iter().any(|word| ground.name().contains(word.as_str())))
        .collect();
    assert!(
        !chosen.is_empty(),
        "no ground is called {words:?}: {:?}",
        Ground::ALL
    );
    assert!(kills > 0, "PAYMUX_KILLS is at least 1");
    let weights: u64 = chosen.iter().map(|ground| ground.weight()).sum();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let mut tallies = Vec::new();
    let runtime = runtime.unwrap();
    for ground in chosen {
        let share = (kills * ground.weight()).div_ceil(weights);
        let outcome = runtime.block_on(Box::pin(ground.play(share, random.split())));
        match outcome {
            Outcome::Skipped => {}
            Outcome::Played(tally) => tallies.push((ground, tally)),
        }
    }
    print(&tallies)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}"))
    })
}

fn print(tallies: &[(Ground, Tally)]) -> ExitCode {
    println!(
        "\n{:<10} {:>6} {:>7} {:>10} {:>8} {:>8} {:>9} {:>7} {:>8} {:>12} {:>12} {:>8} {:>6} {:>10}",
        "store",
        "kills",
        "random",
        "failpoint",
        "backends",
        "restarts",
        "failovers",
        "orders",
        "charges",
        "captured",
        "refunded",
        "recovery",
        "time",
        "violations"
    );
    let mut violations = 0;
    for (ground, tally) in tallies {
        let (blows, audit) = (&tally.blows, &tally.audit);
        violations += audit.violations.len();
        println!(
            "{:<10} {:>6} {:>7} {:>10} {:>8} {:>8} {:>9} {:>7} {:>8} {:>12} {:>12} {:>7}s {:>5}s {:>10}",
            ground.name(),
            blows.at_random + blows.at_failpoints,
            blows.at_random,
            blows.at_failpoints,
            blows.backends,
            blows.restarts,
            blows.failovers,
            audit.orders,
            audit.charges,
            audit.captured,
            audit.refunded,
            audit.rested.as_secs(),
            tally.took.as_secs(),
            audit.violations.len()
        );
    }
    for (ground, tally) in tallies {
        for violation in &tally.audit.violations {
            println!("{}: {violation}", ground.name());
        }
    }
    match violations {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

async fn pause(duration: Duration) {
    Runtime::tokio_without_spawn().clock().sleep(duration).await;
}
