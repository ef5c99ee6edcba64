//! Runs many worlds on all cores, and says what they came to.

#![allow(
    clippy::disallowed_methods,
    reason = "how long a run takes is this machine's time, and nothing in a world follows from it"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use paymux_sim::{FaultName, Kept, Options, Report, Script, command, reachable, record, run, shrink};

const USAGE: &str =
    "paymux-sim [--seeds N] [--from N] [--minutes M] [--payments N] [--store memory|sqlite|postgres]
           [--threads N]
           [--orders 3,7] [--without 3.0,w.2] [--tooth NAME] [--script FILE] [--record FILE] [--trace]

  --seeds     how many worlds to run: 100 without this
  --from      the first seed: 1 without this
  --minutes   stop after so long, whatever is left
  --payments  orders in each world: 100 without this
  --store     what the engines write to
  --threads   worlds at the same time: one for each core without this
  --orders    only these orders of each world
  --without   without these faults
  --tooth     with this bug planted: the binary `teeth` knows them
  --script    the one world whose decisions are in this file
  --record    write the decisions of the world of the first seed to this file, as many as a fuzzer takes
  --trace     print what happened, line by line";

/// From so many worlds on, everything that can be reached must have been.
const ENOUGH_FOR_COVERAGE: u64 = 1_000;
/// Each of so many worlds is run twice.
const REPEAT_EVERY: u64 = 50;

struct Asked {
    seeds: u64,
    from: u64,
    minutes: Option<u64>,
    threads: usize,
    record: Option<PathBuf>,
    options: Options,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        seeds: 100,
        from: 1,
        minutes: None,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        record: None,
        options: Options::seed(0),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
        match word.as_str() {
            "--seeds" => asked.seeds = number(value()?)?,
            "--from" => asked.from = number(value()?)?,
            "--minutes" => asked.minutes = Some(number(value()?)?),
            "--threads" => asked.threads = number(value()?)?.max(1) as usize,
            "--payments" => {
                let orders = number(value()?)?;
                asked.options.payments = u32::try_from(orders).map_err(|_| "too many payments")?;
            }
            "--store" => {
                asked.options.store = match value()?.as_str() {
                    "memory" => Kept::Memory,
                    "sqlite" => Kept::Sqlite,
                    "postgres" => Kept::Postgres,
                    other => return Err(format!("`{other}` is no store: memory, sqlite or postgres")),
                };
            }
            "--orders" => {
                let orders = value()?;
                let orders = orders
                    .split(',')
                    .filter(|text| !text.is_empty())
                    .map(str::parse::<u32>);
                let orders: Result<Vec<_>, _> = orders.collect();
                asked.options.only = Some(orders.map_err(|_| "--orders takes numbers")?);
            }
            "--without" => {
                let names: Result<Vec<FaultName>, String> = value()?.split(',').map(str::parse).collect();
                asked.options.without = names?;
            }
            "--tooth" => asked.options.tooth = Some(value()?.parse()?),
            "--script" => asked.follow(value()?)?,
            "--record" => asked.record = Some(PathBuf::from(value()?)),
            "--trace" => asked.options.trace = true,
            _ => return Err(format!("`{word}` isn't known\n\n{USAGE}")),
        }
    }
    Ok(asked)
}

impl Asked {
    /// The world that is written down there, and no other.
    fn follow(&mut self, place: String) -> Result<(), String> {
        let bytes = fs::read(&place).map_err(|error| format!("{place}: {error}"))?;
        let world = Options::script(Script::read(&bytes).kept_in(place));
        (self.seeds, self.from) = (1, world.seed);
        (self.options.payments, self.options.script) = (world.payments, world.script);
        Ok(())
    }
}

/// Writes the decisions of the first world down.
fn write_down(asked: &Asked, place: &Path) -> ExitCode {
    if asked.options.payments > Script::MOST_ORDERS {
        eprintln!("--record takes --payments of at most {}", Script::MOST_ORDERS);
        return ExitCode::from(2);
    }
    let options = Options {
        seed: asked.from,
        ..asked.options.clone()
    };
    let (outcome, script) = record(&options);
    if let Err(error) = fs::write(place, script.to_string()) {
        eprintln!("{}: {error}", place.display());
        return ExitCode::from(2);
    }
    println!(
        "{} payments, {} faults, {} violations",
        outcome.payments,
        outcome.faults.len(),
        outcome.violations.len()
    );
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let reachable = |asked: Asked| reachable(asked.options.store).map(|()| asked);
    let asked = match asked().and_then(reachable) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if let Some(place) = &asked.record {
        return write_down(&asked, place);
    }
    let begun = Instant::now();
    let report = Mutex::new(Report::default());
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None::<Options>));
    let diverged = AtomicBool::new(false);
    let limit = asked.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    std::thread::scope(|scope| {
        for _ in 0..asked.threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= asked.seeds || limit.is_some_and(|limit| begun.elapsed() >= limit) {
                        return;
                    }
                    let options = Options {
                        seed: asked.from + number,
                        ..asked.options.clone()
                    };
                    let outcome = run(&options);
                    let again = number.is_multiple_of(REPEAT_EVERY).then(|| run(&options).hash);
                    let mut report = locked(&report);
                    report.add(&outcome);
                    if let Some(hash) = again {
                        report.repeated += 1;
                        if hash != outcome.hash {
                            diverged.store(true, Ordering::Relaxed);
                            eprintln!(
                                "seed {} doesn't go the same way twice (invariant 32)",
                                options.seed
                            );
                        }
                    }
                    if options.trace {
                        for line in &outcome.trace {
                            println!("{line}");
                        }
                    }
                    for violation in &outcome.violations {
                        eprintln!(
                            "seed {} violates invariant {} at {} ms: {}",
                            options.seed, violation.invariant, violation.at_ms, violation.what
                        );
                    }
                    if !outcome.violations.is_empty() {
                        eprintln!("  {}", command(&options));
                        locked(&failed).get_or_insert(options);
                    }
                    if report.seeds.is_multiple_of(100) {
                        eprintln!(
                            "{} of {} worlds, {} payments, {} faults, {} violations, {} s",
                            report.seeds,
                            asked.seeds,
                            report.payments,
                            report.faults,
                            report.violations.len(),
                            begun.elapsed().as_secs()
                        );
                    }
                }
            });
        }
    });
    let report = locked(&report);
    let partial = asked.options.only.is_some() || !asked.options.without.is_empty();
    if let (Some(options), false) = (&*locked(&failed), partial) {
        let quiet = Options {
            trace: false,
            ..options.clone()
        };
        let smallest = shrink(&quiet, &run(&quiet));
        eprintln!("seed {} in small:\n  {}", options.seed, command(&smallest));
    }
    let missing = match report.seeds >= ENOUGH_FOR_COVERAGE && !partial {
        true => report.coverage.missing(),
        false => Vec::new(),
    };
    for what in &missing {
        eprintln!("never reached: {what}");
    }
    println!("{}", report.json(begun.elapsed().as_secs(), &missing));
    match report.violations.is_empty() && missing.is_empty() && !diverged.load(Ordering::Relaxed) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
