//! Every crash, not some: each verb is dropped at every await at which it waits for a port, and the recovery that
//! follows is dropped at every await of its own. A fresh engine over the same store and processor then finishes, and
//! what it believes is compared with the processor's books and with a run that nobody cut.
//!
//! The verb is cut at every boundary on each store; the pairs are on the store in memory. Each call of a port gives
//! way before and after its effect, once or a few times, so that what recovery does side by side takes turns in many
//! orders. Each life is polled by hand, so that it is dropped at the boundary and nowhere else, and a call of an SQL
//! store runs to its end within one poll: what a crash within the call leaves is for `storage/sql/tests/`, which cut
//! the wire and kill the process.
//!
//! `cargo test --test crash_table` prints the table, with a share of the pairs and of PostgreSQL's boundaries; words
//! after `--` choose stories. All of both, which is faster with `--release`: `PAYMUX_CRASH_PAIRS=all`; another share
//! of the pairs: `PAYMUX_CRASH_PAIRS=50` for one in 50. `PAYMUX_CRASH_SEED` chooses others of both, and another order
//! of what recovery does side by side. Without PostgreSQL its part is skipped, and with `PAYMUX_REQUIRE_SERVICES=1` that
//! fails.
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
#[path = "crash/shelf.rs"]
mod shelf;
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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use paymux::{ErrorKind, sqlx};

use crate::boundary::{Boundaries, mixed};
use crate::shelf::{Place, Shelf};
use crate::story::Story;
use crate::world::{Believed, Kept, World};

/// One in so many pairs is run, unless it is said otherwise.
const SHARE: u64 = 20;

/// One in so many boundaries is run at PostgreSQL, unless all are asked for.
const SHARE_AT_POSTGRES: u64 = 10;

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
    /// By which work that is done side by side takes turns.
    pace: u64,
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

/// Which of what could be run is run.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    one_in: u64,
    one_in_at_postgres: u64,
    seed: u64,
}

/// What was found about one story on one store.
#[derive(Debug, Default)]
struct Tally {
    boundaries: Count,
    pairs: Count,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    run: usize,
    held: usize,
    in_all: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    let chosen = Chosen::from_env();
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let named = |story: &&Story| {
        let name = format!("{story:?}");
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    let stories: Vec<Story> = Story::ALL.iter().filter(named).copied().collect();
    let stores = stores();
    std::panic::set_hook(Box::new(|_| {}));
    let tallies = run(&stories, &stores, chosen);
    let _hook = std::panic::take_hook();
    print(&stories, &stores, &tallies, chosen)
}

/// All that there are here.
fn stores() -> Vec<Kept> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(Kept::everywhere())
}

impl Chosen {
    fn from_env() -> Self {
        let number = |name: &str, text: String| -> u64 {
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
        };
        let named = |name: &str| std::env::var(name).ok();
        let (one_in, one_in_at_postgres) = match named("PAYMUX_CRASH_PAIRS") {
            None => (SHARE, SHARE_AT_POSTGRES),
            Some(text) if text == "all" => (1, 1),
            Some(text) => (number("PAYMUX_CRASH_PAIRS", text).max(1), SHARE_AT_POSTGRES),
        };
        let seed = named("PAYMUX_CRASH_SEED").map_or(1, |text| number("PAYMUX_CRASH_SEED", text));
        Self {
            one_in,
            one_in_at_postgres,
            seed,
        }
    }

    fn takes_pair(self, story: usize, verb: usize, recovery: usize) -> bool {
        self.mixed([story, verb, recovery]).is_multiple_of(self.one_in)
    }

    fn takes_boundary(self, kept: Kept, story: usize, verb: usize) -> bool {
        match kept {
            Kept::InMemory | Kept::InSqlite => true,
            Kept::AtPostgres => self
                .mixed([story, verb, 0])
                .is_multiple_of(self.one_in_at_postgres),
        }
    }

    fn mixed(self, parts: [usize; 3]) -> u64 {
        parts
            .into_iter()
            .fold(self.seed, |seed, part| mixed(seed, part as u64))
    }
}

// --- one life --------------------------------------------------------------------------------------------------

async fn live(story: Story, place: &Place, cut: Cut) -> Lived {
    let world = World::of(story, place.clock.clone(), place.store.clone());
    world.set_pace(cut.pace);
    let setting = Box::pin(story.set_up(&world)).await;
    let boundaries = at(cut.verb);
    let engine = world.engine(&boundaries).await;
    let done = boundaries
        .run(Box::pin(story.act(&world, &engine, &setting)))
        .await;
    drop(engine);
    // From here on nothing is compared with the life that wasn't cut: each cut is followed in an order of its own.
    world.set_pace(mixed(cut.pace, cut.verb as u64));
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
fn lived(story: Story, shelf: &Shelf, kept: Kept, cut: Cut) -> Result<Lived, String> {
    let life = AssertUnwindSafe(|| {
        let place = shelf.place(kept);
        by_hand(Box::pin(live(story, &place, cut)))
    });
    std::panic::catch_unwind(life).map_err(|panic| message(panic.as_ref()))
}

/// Ports answer at once or give way once, and wake whom they made wait: whoever waits for something else never wakes.
fn by_hand<T>(life: impl Future<Output = T>) -> T {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut life = pin!(life);
    while woken.0.swap(false, Ordering::SeqCst) {
        if let Poll::Ready(lived) = life.as_mut().poll(&mut Context::from_waker(&waker)) {
            return lived;
        }
    }
    panic!("it waits for something that is no port")
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

// --- all of them -----------------------------------------------------------------------------------------------

/// One story on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    store: usize,
    story: usize,
}

/// Runs every story without a crash, then every crash of every story, on as many threads as there are cores. What was
/// found, by store and story.
fn run(stories: &[Story], stores: &[Kept], chosen: Chosen) -> Vec<Vec<Tally>> {
    let all = (0..stores.len()).flat_map(|store| (0..stories.len()).map(move |story| Told { store, story }));
    let all: Vec<Told> = all.collect();
    let found: BTreeMap<Told, Mutex<Tally>> = all.iter().map(|told| (*told, Mutex::default())).collect();
    let wholes: Mutex<BTreeMap<Told, Lived>> = Mutex::default();
    in_parallel(&all, |shelf, told| {
        match whole(stories[told.story], shelf, stores[told.store], chosen.seed) {
            Ok(lived) => {
                wholes.lock().unwrap().insert(*told, lived);
            }
            Err(violation) => found[told].lock().unwrap().violations.push(violation),
        }
    });
    let wholes = wholes.into_inner().unwrap();
    let mut crashes = Vec::new();
    for (told, whole) in &wholes {
        let kept = stores[told.store];
        let in_memory = &wholes.get(&Told { store: 0, ..*told });
        if in_memory.is_some_and(|first| first.verb_log != whole.verb_log || first.believed != whole.believed)
        {
            let other = format!(
                "{:?}, {kept:?}: otherwise than in memory: {whole:#?}",
                stories[told.story]
            );
            found[told].lock().unwrap().violations.push(other);
        }
        let first = if kept == Kept::InMemory { 0 } else { 1 };
        found[told].lock().unwrap().boundaries.in_all = whole.verb_log.len();
        let verbs =
            (first..=whole.verb_log.len()).filter(|verb| chosen.takes_boundary(kept, told.story, *verb));
        crashes.extend(verbs.map(|verb| (*told, whole, verb)));
    }
    in_parallel(&crashes, |shelf, (told, whole, verb)| {
        let crash = Crash {
            story: stories[told.story],
            shelf,
            kept: stores[told.store],
            whole,
            verb: *verb,
            pace: chosen.seed,
        };
        let tally = match crash.kept {
            Kept::InMemory => crash.with_pairs(told.story, chosen),
            Kept::InSqlite | Kept::AtPostgres => crash.alone(),
        };
        found[told].lock().unwrap().add(tally);
    });
    let mut tallies = found.into_values().map(|tally| tally.into_inner().unwrap());
    stores
        .iter()
        .map(|_| tallies.by_ref().take(stories.len()).collect())
        .collect()
}

fn in_parallel<J: Sync>(jobs: &[J], work: impl Fn(&Shelf, &J) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let worker = || {
                let shelf = Shelf::new();
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    work(&shelf, job);
                }
            };
            let builder = std::thread::Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, worker).unwrap();
        }
    });
}

/// The story without a crash: what a crash must not change.
fn whole(story: Story, shelf: &Shelf, kept: Kept, pace: u64) -> Result<Lived, String> {
    let cut = Cut {
        verb: 0,
        recovery: 0,
        caller: Caller::Waits,
        pace,
    };
    let named = |why: String| format!("{story:?}, {kept:?}, not cut: {why}");
    let lived = lived(story, shelf, kept, cut).map_err(named)?;
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
    shelf: &'a Shelf,
    kept: Kept,
    whole: &'a Lived,
    verb: usize,
    pace: u64,
}

impl Crash<'_> {
    /// With recovery cut too, at each of its boundaries that was chosen.
    fn with_pairs(&self, index: usize, chosen: Chosen) -> Tally {
        let mut found = Tally::default();
        let alone = self.once(0, Caller::Waits, &[], &mut found.violations);
        let repeated = self.once(0, Caller::Repeats, &[], &mut found.violations);
        if self.verb > 0 {
            found.boundaries.run += 1;
            found.boundaries.held += usize::from(alone.is_some() && repeated.is_some());
        }
        let recovery = alone.map(|lived| lived.recovery_log).unwrap_or_default();
        found.pairs.in_all += recovery.len();
        for place in 1..=recovery.len() {
            if chosen.takes_pair(index, self.verb, place) {
                let expected = &recovery[..place];
                let lived = self.once(place, Caller::Waits, expected, &mut found.violations);
                found.pairs.run += 1;
                found.pairs.held += usize::from(lived.is_some());
            }
        }
        found
    }

    fn alone(&self) -> Tally {
        let mut found = Tally::default();
        let lived = self.once(0, Caller::Waits, &[], &mut found.violations);
        found.boundaries.run += 1;
        found.boundaries.held += usize::from(lived.is_some());
        found
    }

    /// One life, or what it violated.
    fn once(
        &self,
        recovery: usize,
        caller: Caller,
        expected: &[String],
        violations: &mut Vec<String>,
    ) -> Option<Lived> {
        let cut = Cut {
            verb: self.verb,
            recovery,
            caller,
            pace: self.pace,
        };
        let judged = lived(self.story, self.shelf, self.kept, cut).and_then(|lived| {
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
                    "{:?}, {:?}, the caller {caller:?}, cut at {}; recovery cut at {}:\n{why}",
                    self.story,
                    self.kept,
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
        self.pairs.add(other.pairs);
        self.violations.extend(other.violations);
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.run += other.run;
        self.held += other.held;
        self.in_all += other.in_all;
    }

    /// How many of those that were run held, and in percent, rounded down; and how many could have been run.
    fn shown(self) -> [String; 2] {
        let percent = (self.held * 100).checked_div(self.run).unwrap_or(100);
        match self.in_all {
            0 => ["-".to_owned(), "-".to_owned()],
            all => [
                format!("{}/{} {percent:>3} %", self.held, self.run),
                all.to_string(),
            ],
        }
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
        count => [&lines[..25], &["…"], &lines[count - 25..]].concat().join("\n"),
    }
}

fn print(stories: &[Story], stores: &[Kept], tallies: &[Vec<Tally>], chosen: Chosen) -> ExitCode {
    let row = |store: &str, name: &str, words: &str, columns: [&str; 5]| {
        let [boundaries, of, pairs, of_pairs, violations] = columns;
        println!(
            "{store:<10} {name:<22} {words:<48} {boundaries:>15} {of:>5} {pairs:>18} {of_pairs:>6} {violations:>10}"
        );
    };
    let show = |store: &Kept, name: &str, words: &str, tally: &Tally| {
        let ([boundaries, of], [pairs, of_pairs]) = (tally.boundaries.shown(), tally.pairs.shown());
        let violations = tally.violations.len().to_string();
        row(
            store.words(),
            name,
            words,
            [&boundaries, &of, &pairs, &of_pairs, &violations],
        );
    };
    let head = ["boundaries", "of", "pairs", "of", "violations"];
    let mut sums = Vec::new();
    for (store, tallies) in stores.iter().zip(tallies) {
        println!();
        row("store", "story", "what happens", head);
        let mut sum = Tally::default();
        for (story, tally) in stories.iter().zip(tallies) {
            show(store, &format!("{story:?}"), story.words(), tally);
            sum.add(Tally {
                violations: tally.violations.clone(),
                ..*tally
            });
        }
        sums.push(sum);
    }
    println!();
    row("store", "story", "what happens", head);
    for (store, sum) in stores.iter().zip(&sums) {
        show(store, "all", &format!("{} stories", stories.len()), sum);
    }
    match (chosen.one_in, chosen.one_in_at_postgres) {
        (1, 1) => println!("\nEvery boundary and every pair of these stores was run."),
        (pairs, boundaries) => println!(
            "\nOne pair in {pairs} and one of PostgreSQL's boundaries in {boundaries} were run, by the seed {}; \
             PAYMUX_CRASH_PAIRS=all runs them all.",
            chosen.seed
        ),
    }
    for tally in tallies.iter().flatten() {
        for violation in tally.violations.iter().take(SHOWN) {
            println!("\nVIOLATION: {}", shortened(violation));
        }
        if let Some(more) = tally.violations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            println!("\n… and {more} more");
        }
    }
    match sums.iter().all(|sum| sum.violations.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
