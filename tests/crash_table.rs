//! Every crash, not some: each verb is dropped at every await at which it waits for a port, and the recovery that
//! follows is dropped at every await of its own. A fresh engine over the same store and processor then finishes, and
//! what it believes is compared with the processor's books and with a run that nobody cut.
//!
//! `cargo test --test crash_table` prints the table, with a share of the pairs; words after `--` choose stories. All
//! pairs, which is faster with `--release`: `PAYMUX_CRASH_PAIRS=all`; another share: `PAYMUX_CRASH_PAIRS=50` for one
//! in 50, and `PAYMUX_CRASH_SEED` for others of them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by it, and shares its world with crash.rs"
)]

#[path = "crash/boundary.rs"]
mod boundary;
#[path = "../storage/sql/tests/database/mod.rs"]
mod database;
#[path = "crash/story.rs"]
mod story;
#[path = "crash/world.rs"]
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use paymux::{ErrorKind, sqlx};

use crate::boundary::Boundaries;
use crate::story::Story;
use crate::world::{Believed, Kept, World};

/// One in so many pairs is run, unless it is said otherwise.
const SHARE: u64 = 20;

/// The least boundaries that a verb has: one read or write, before and after, and one more.
const LEAST: usize = 4;

/// Debug builds keep large futures on the stack.
const STACK: usize = 64 << 20;

/// Where a life is cut. The first boundary is 1; 0 is no cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    verb: usize,
    recovery: usize,
    caller: Caller,
}

/// What the caller does before recovery has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Waits,
    Repeats,
}

/// What one life came to.
#[derive(Debug)]
struct Lived {
    believed: Believed,
    verb_cut: bool,
    verb_log: Vec<String>,
    recovery_cut: bool,
    recovery_log: Vec<String>,
}

/// Which pairs are run.
#[derive(Clone, Copy, Debug)]
struct Pairs {
    one_in: u64,
    seed: u64,
}

/// What was found about one story.
#[derive(Debug, Default)]
struct Tally {
    boundaries: Count,
    sqlite: Count,
    pairs: Count,
    pairs_in_all: usize,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    run: usize,
    held: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let pairs = Pairs::from_env();
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |story: &&Story| {
        let name = format!("{story:?}");
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let stories: Vec<Story> = Story::ALL.iter().filter(chosen).copied().collect();
    std::panic::set_hook(Box::new(|_| {}));
    let tallies = run(&stories, pairs);
    let _hook = std::panic::take_hook();
    print(&stories, &tallies, pairs)
}

impl Pairs {
    fn from_env() -> Self {
        let number = |name: &str, text: String| -> u64 {
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
        };
        let named = |name: &str| std::env::var(name).ok();
        let one_in = match named("PAYMUX_CRASH_PAIRS") {
            None => SHARE,
            Some(text) if text == "all" => 1,
            Some(text) => number("PAYMUX_CRASH_PAIRS", text).max(1),
        };
        let seed = named("PAYMUX_CRASH_SEED").map_or(1, |text| number("PAYMUX_CRASH_SEED", text));
        Self { one_in, seed }
    }

    fn takes(self, story: usize, verb: usize, recovery: usize) -> bool {
        let mut mixed = self.seed;
        for part in [story, verb, recovery] {
            mixed = (mixed ^ part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 29;
        }
        mixed.is_multiple_of(self.one_in)
    }
}

// --- one life --------------------------------------------------------------------------------------------------

async fn live(story: Story, kept: Kept, cut: Cut) -> Lived {
    let world = World::of(kept, story).await;
    let setting = Box::pin(story.set_up(&world)).await;
    let boundaries = at(cut.verb);
    let engine = world.engine(&boundaries).await;
    let done = boundaries
        .run(Box::pin(story.act(&world, &engine, &setting)))
        .await;
    drop(engine);
    if let Some(reply) = &done {
        assert!(reply.is_ok(), "the verb failed: {reply:?}");
    }
    if cut.caller == Caller::Repeats {
        let engine = world.engine(&Boundaries::default()).await;
        if let Err(error) = Box::pin(story.act(&world, &engine, &setting)).await {
            let waits = matches!(error.kind(), ErrorKind::OperationInProgress { .. });
            assert!(waits, "repeated: {error:?}");
        }
    }
    let recovery = at(cut.recovery);
    let recover = async |boundaries: &Boundaries| match story.needs_its_caller() {
        true => Box::pin(world.recover_some(boundaries)).await,
        false => Box::pin(world.recover_through(boundaries)).await,
    };
    let recovered = recover(&recovery).await;
    if recovered.is_none() {
        assert!(recover(&Boundaries::default()).await.is_some(), "nobody cut it");
    }
    if !story.needs_its_caller() {
        Box::pin(world.audit()).await;
    }
    let again = async || {
        let engine = world.engine(&Boundaries::default()).await;
        let reply = Box::pin(story.act(&world, &engine, &setting)).await;
        reply.unwrap_or_else(|error| panic!("asked again: {error:?}"))
    };
    // The first repeat may be the first to get through; the two after it are replays.
    again().await;
    Box::pin(world.recover()).await;
    Box::pin(world.audit()).await;
    let (first, second) = (again().await, again().await);
    assert_eq!(first, second, "two replays differ");
    Box::pin(world.recover()).await;
    Box::pin(world.audit()).await;
    // What waits for a payer or for its session ends by itself.
    Box::pin(world.pass_hours(2)).await;
    Box::pin(world.recover()).await;
    Lived {
        believed: Box::pin(world.audit()).await,
        verb_cut: done.is_none(),
        verb_log: boundaries.log(),
        recovery_cut: recovered.is_none(),
        recovery_log: recovery.log(),
    }
}

fn at(place: usize) -> Boundaries {
    match place {
        0 => Boundaries::default(),
        place => Boundaries::cut_at(u32::try_from(place).unwrap()),
    }
}

/// Lives it to its end; an assertion that fails in it is a violation.
fn lived(story: Story, kept: Kept, cut: Cut) -> Result<Lived, String> {
    let life = AssertUnwindSafe(|| match kept {
        Kept::InMemory => by_hand(Box::pin(live(story, kept, cut))),
        Kept::InSqlite | Kept::AtPostgres => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(Box::pin(live(story, kept, cut)))
        }
    });
    std::panic::catch_unwind(life).map_err(|panic| message(panic.as_ref()))
}

/// In memory every port answers at once: whoever waits for something else never wakes.
fn by_hand<T>(life: impl Future<Output = T>) -> T {
    match pin!(life).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(lived) => lived,
        Poll::Pending => panic!("it waits for something that is no port"),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

// --- all of them -----------------------------------------------------------------------------------------------

/// Every SQL store commits alike: PostgreSQL has the rows of the crash table, in `crash/table.rs`.
const KEPT: [Kept; 2] = [Kept::InMemory, Kept::InSqlite];

/// Runs every story without a crash, then every crash of every story, on as many threads as there are cores.
fn run(stories: &[Story], pairs: Pairs) -> Vec<Tally> {
    let tallies: Vec<Mutex<Tally>> = stories.iter().map(|_| Mutex::default()).collect();
    let whole_of: Vec<(usize, Kept)> = (0..stories.len())
        .flat_map(|at| KEPT.map(|kept| (at, kept)))
        .collect();
    let wholes: Mutex<BTreeMap<(usize, bool), Lived>> = Mutex::default();
    in_parallel(&whole_of, |(at, kept)| match whole(stories[*at], *kept) {
        Ok(lived) => {
            wholes
                .lock()
                .unwrap()
                .insert((*at, *kept == Kept::InMemory), lived);
        }
        Err(violation) => tallies[*at].lock().unwrap().violations.push(violation),
    });
    let wholes = wholes.into_inner().unwrap();
    let mut crashes = Vec::new();
    for (at, kept) in &whole_of {
        if let Some(whole) = wholes.get(&(*at, *kept == Kept::InMemory)) {
            let first = if *kept == Kept::InMemory { 0 } else { 1 };
            crashes.extend((first..=whole.verb_log.len()).map(|verb| (*at, *kept, whole, verb)));
        }
    }
    in_parallel(&crashes, |(at, kept, whole, verb)| {
        let crash = Crash {
            story: stories[*at],
            whole,
            verb: *verb,
        };
        match kept {
            Kept::InMemory => crash.in_memory(*at, pairs, &tallies[*at]),
            Kept::InSqlite | Kept::AtPostgres => crash.in_sqlite(&tallies[*at]),
        }
    });
    tallies
        .into_iter()
        .map(|tally| tally.into_inner().unwrap())
        .collect()
}

fn in_parallel<J: Sync>(jobs: &[J], work: impl Fn(&J) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let worker = || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    work(job);
                }
            };
            let builder = std::thread::Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, worker).unwrap();
        }
    });
}

/// The story without a crash: what a crash must not change.
fn whole(story: Story, kept: Kept) -> Result<Lived, String> {
    let cut = Cut {
        verb: 0,
        recovery: 0,
        caller: Caller::Waits,
    };
    let named = |why: String| format!("{story:?}, {kept:?}, not cut: {why}");
    let lived = lived(story, kept, cut).map_err(named)?;
    let ended = match lived.believed.payment {
        None => "none".to_owned(),
        Some((status, _)) => format!("{status:?}"),
    };
    if ended != story.ends() {
        return Err(named(format!("it ended as {ended}, not as {}", story.ends())));
    }
    if lived.verb_log.len() < LEAST {
        return Err(named(format!("it has hardly a boundary: {:?}", lived.verb_log)));
    }
    Ok(lived)
}

/// A story whose verb is cut at one boundary.
struct Crash<'a> {
    story: Story,
    whole: &'a Lived,
    verb: usize,
}

impl Crash<'_> {
    fn in_memory(&self, index: usize, pairs: Pairs, tally: &Mutex<Tally>) {
        let mut found = Tally::default();
        let alone = self.once(Kept::InMemory, 0, Caller::Waits, &[], &mut found.violations);
        let repeated = self.once(Kept::InMemory, 0, Caller::Repeats, &[], &mut found.violations);
        if self.verb > 0 {
            found.boundaries.run += 1;
            found.boundaries.held += usize::from(alone.is_some() && repeated.is_some());
        }
        let recovery = alone.map(|lived| lived.recovery_log).unwrap_or_default();
        found.pairs_in_all += recovery.len();
        for place in 1..=recovery.len() {
            if pairs.takes(index, self.verb, place) {
                let expected = &recovery[..place];
                let lived = self.once(
                    Kept::InMemory,
                    place,
                    Caller::Waits,
                    expected,
                    &mut found.violations,
                );
                found.pairs.run += 1;
                found.pairs.held += usize::from(lived.is_some());
            }
        }
        tally.lock().unwrap().add(found);
    }

    fn in_sqlite(&self, tally: &Mutex<Tally>) {
        let mut found = Tally::default();
        let lived = self.once(Kept::InSqlite, 0, Caller::Waits, &[], &mut found.violations);
        found.sqlite.run += 1;
        found.sqlite.held += usize::from(lived.is_some());
        tally.lock().unwrap().add(found);
    }

    /// One life, or what it violated.
    fn once(
        &self,
        kept: Kept,
        recovery: usize,
        caller: Caller,
        expected: &[String],
        violations: &mut Vec<String>,
    ) -> Option<Lived> {
        let cut = Cut {
            verb: self.verb,
            recovery,
            caller,
        };
        let judged = lived(self.story, kept, cut).and_then(|lived| {
            self.judge(cut, expected, &lived)?;
            Ok(lived)
        });
        match judged {
            Ok(lived) => Some(lived),
            Err(why) => {
                let place = |at: usize, log: &[String]| match at {
                    0 => "nowhere".to_owned(),
                    at => format!("{at}, {}", log.get(at - 1).map_or("?", String::as_str)),
                };
                violations.push(format!(
                    "{:?}, {kept:?}, the caller {caller:?}, cut at {}; recovery cut at {}:\n{why}",
                    self.story,
                    place(self.verb, &self.whole.verb_log),
                    place(recovery, expected),
                ));
                None
            }
        }
    }

    /// The cuts fell where they were to, and nothing is otherwise than without them.
    fn judge(&self, cut: Cut, expected: &[String], lived: &Lived) -> Result<(), String> {
        let verb = &self.whole.verb_log[..cut.verb];
        if lived.verb_cut != (cut.verb > 0) || !lived.verb_log.starts_with(verb) {
            return Err(format!("the boundary wasn't reached: {:#?}", lived.verb_log));
        }
        if lived.recovery_cut != (cut.recovery > 0) || !lived.recovery_log.starts_with(expected) {
            return Err(format!(
                "recovery's boundary wasn't reached: {:#?}",
                lived.recovery_log
            ));
        }
        let (whole, now) = (&self.whole.believed, &lived.believed);
        let same = match self.story.may_charge_elsewhere() {
            true => whole.payment == now.payment && whole.refunds == now.refunds,
            false => whole == now,
        };
        match same {
            true => Ok(()),
            false => Err(format!("with the crash {now:#?}\nwithout it {whole:#?}")),
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.boundaries.add(other.boundaries);
        self.sqlite.add(other.sqlite);
        self.pairs.add(other.pairs);
        self.pairs_in_all += other.pairs_in_all;
        self.violations.extend(other.violations);
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.run += other.run;
        self.held += other.held;
    }

    /// How many of those that were run held, and in percent, rounded down.
    fn shown(self) -> String {
        let percent = (self.held * 100).checked_div(self.run).unwrap_or(100);
        format!("{}/{} {percent:>3} %", self.held, self.run)
    }
}

// --- the table -------------------------------------------------------------------------------------------------

/// How many violations of a story are shown.
const SHOWN: usize = 3;

/// The first and the last lines: those between them are whole payments.
fn shortened(violation: &str) -> String {
    let lines: Vec<&str> = violation.lines().collect();
    match lines.len() {
        0..=40 => lines.join("\n"),
        count => [&lines[..25], &["…"], &lines[count - 5..]].concat().join("\n"),
    }
}

fn print(stories: &[Story], tallies: &[Tally], pairs: Pairs) -> ExitCode {
    let row = |name: &str, words: &str, columns: [&str; 5]| {
        let [boundaries, sqlite, pairs, all, violations] = columns;
        println!(
            "{name:<22} {words:<48} {boundaries:>15} {sqlite:>15} {pairs:>18} {all:>7} {violations:>10}"
        );
    };
    println!();
    let head = ["boundaries", "on SQLite", "pairs", "of", "violations"];
    row("story", "what happens", head);
    let mut sum = Tally::default();
    let show = |tally: &Tally| {
        [
            tally.boundaries.shown(),
            tally.sqlite.shown(),
            tally.pairs.shown(),
            tally.pairs_in_all.to_string(),
            tally.violations.len().to_string(),
        ]
    };
    for (story, tally) in stories.iter().zip(tallies) {
        row(
            &format!("{story:?}"),
            story.words(),
            show(tally).each_ref().map(String::as_str),
        );
        sum.add(Tally {
            violations: tally.violations.clone(),
            ..*tally
        });
    }
    let words = format!("{} stories", stories.len());
    row("all", &words, show(&sum).each_ref().map(String::as_str));
    match pairs.one_in {
        1 => println!("\nEvery pair was run."),
        many => println!(
            "\nOne pair in {many} was run, by the seed {}; PAYMUX_CRASH_PAIRS=all runs them all.",
            pairs.seed
        ),
    }
    for tally in tallies {
        for violation in tally.violations.iter().take(SHOWN) {
            println!("\nVIOLATION: {}", shortened(violation));
        }
        if let Some(more) = tally.violations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            println!("\n… and {more} more");
        }
    }
    match sum.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
