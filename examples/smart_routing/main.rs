//! A day of 100,000 payments over four processors, routed in four ways, in a minute:
//!
//! ```sh
//! cargo run --release --example smart_routing
//! ```
//!
//! North fails at noon, west is cheap and weak. The programs are the TOML files beside this one, and so are the fees:
//! change them and run it again. Each payment goes through the whole engine, with its own store and the sandbox for
//! processors; the clock is moved by hand, so that a day takes seconds, and everything follows from fixed seeds.
//!
//! It prints what each way approved, cost and tried again, why one payment went where it went, and what the cost-aware
//! program would have changed about the decisions of the fixed order. `day.svg`, beside this file, shows the day. It ends
//! with an error where the success rate doesn't approve more than the fixed order, where the cost-aware program isn't
//! cheaper, or where the processors' books show anything else than what was approved.
//!
//! `cargo run --example smart_routing -- 5000` runs 5,000 payments around noon, and draws no plot.

#![allow(clippy::disallowed_methods, reason = "it says how long it took, in real time")]

mod day;
mod plot;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use paymux::prelude::*;
use paymux::routing::{FeeTable, Program, replay};

use day::{Circuits, Day, History, PAYMENTS, Strategy};

/// Some 200,000 payments are kept in memory at a time, in small parts: a third of the time is the allocator's with glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match story() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn story() -> Outcome<()> {
    let payments = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => PAYMENTS,
    };
    let fees: FeeTable = toml::from_str(&text("fees.toml")?)?;
    let strategies = [
        strategy("fixed_order.toml", Circuits::StayClosed, History::Kept)?,
        strategy("round_robin.toml", Circuits::StayClosed, History::Dropped)?,
        strategy("success_rate.toml", Circuits::Open, History::Dropped)?,
        strategy("cost_aware.toml", Circuits::Open, History::Dropped)?,
    ];
    let from = Instant::now();
    let days = run_all(&strategies, &fees, payments)?;
    let took = from.elapsed().as_secs();
    let [fixed, _, success, cost] = days.as_slice() else {
        return Err("four strategies make four days".into());
    };

    println!("four times {} payments of a day, {took} s\n", fixed.payments);
    print_table(&days);
    if let Some(explained) = &success.explained {
        println!("\nwhy a payment went where it went, a quarter of an hour after north failed:\n{explained}");
    }
    let program = &strategies[3].program;
    let changes = replay(program, &fixed.history, |_done| {});
    println!(
        "the decisions of `{}`, replayed by `{}`:\n{changes}",
        fixed.name, cost.name
    );
    if fixed.payments == PAYMENTS {
        let path = beside("day.svg");
        std::fs::write(&path, plot::svg(&days))?;
        println!("the day as a plot: {}", path.display());
    }
    promises(&days, fixed, success, cost)
}

/// Two at a time, as most machines have two cores: who has ended a day begins the next.
fn run_all(strategies: &[Strategy], fees: &FeeTable, payments: u64) -> Outcome<Vec<Day>> {
    let next = AtomicUsize::new(0);
    let run_some = || -> Outcome<Vec<(usize, Day)>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut days = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(strategy) = strategies.get(place) else {
                return Ok(days);
            };
            let day = runtime.block_on(day::run(strategy, fees, day::numbers(payments)))?;
            days.push((place, day));
        }
    };
    let ended = thread::scope(|scope| {
        let begun = [scope.spawn(run_some), scope.spawn(run_some)];
        let ended = begun.into_iter().map(|some| match some.join() {
            Ok(some) => some,
            Err(_panic) => Err("a day ended in a panic".into()),
        });
        ended.collect::<Outcome<Vec<_>>>()
    })?;
    let mut days: Vec<(usize, Day)> = ended.into_iter().flatten().collect();
    days.sort_by_key(|(place, _)| *place);
    Ok(days.into_iter().map(|(_, day)| day).collect())
}

/// A program that is refused prints all that is wrong with it, line by line.
fn strategy(file: &str, circuits: Circuits, history: History) -> Outcome<Strategy> {
    let program = Program::from_toml(&text(file)?).map_err(|wrong| format!("{file} is refused:\n{wrong}"))?;
    if !program.warnings().is_empty() {
        println!("{file}:\n{}", program.warnings());
    }
    Ok(Strategy {
        program,
        circuits,
        history,
    })
}

fn text(file: &str) -> Outcome<String> {
    let path = beside(file);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn beside(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/smart_routing")
        .join(file)
}

fn print_table(days: &[Day]) {
    println!(
        "{:<13} {:>9} {:>15} {:>13} {:>10} {:>9} {:>9}",
        "", "approved", "fees", "per approved", "of volume", "retries", "unknown"
    );
    for day in days {
        println!(
            "{:<13} {:>9} {:>15} {:>13} {:>10} {:>9} {:>9}",
            day.name,
            percent(day.approved, day.payments),
            Money::from_minor(day.fees_minor, Currency::EUR).to_string(),
            format!("{} ct", hundredths(day.fees_minor as u64, day.approved)),
            percent(day.fees_minor as u64, day.volume_minor as u64),
            day.retries,
            day.unknown,
        );
    }
    println!(
        "\nretries are tries after the first; of the fixed order's {}, {} are of what north never executed. An unknown\n\
         outcome goes nowhere else: it was found out once north answered again.",
        days[0].retries, days[0].not_executed
    );
}

/// With two decimals.
fn percent(part: u64, whole: u64) -> String {
    format!("{} %", hundredths(part * 100, whole))
}

fn hundredths(part: u64, whole: u64) -> String {
    let hundredths = part * 100 / whole.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn promises(days: &[Day], fixed: &Day, success: &Day, cost: &Day) -> Outcome<()> {
    // Fees per approved payment, compared without a division.
    let is_cheaper = cost.fees_minor as u64 * fixed.approved < fixed.fees_minor as u64 * cost.approved;
    let kept = [
        (
            "the success rate approves more than the fixed order",
            success.approved > fixed.approved,
        ),
        (
            "the cost-aware program costs less per approved payment",
            is_cheaper,
        ),
        (
            "the processors' books show each approved payment once, and no other",
            days.iter().all(|day| day.charged == day.approved),
        ),
    ];
    let broken: Vec<&str> = kept.iter().filter(|(_, is)| !is).map(|(what, _)| *what).collect();
    for (what, is) in &kept {
        println!("{} {what}", if *is { "[kept]  " } else { "[BROKEN]" });
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(format!("not kept: {}", broken.join("; ")).into()),
    }
}
