//! paymux in a world where everything goes wrong, over and over, and always the same way for the same seed.
//!
//! A **world** is two or three workers over one store, a handful of accounts of every shape at one processor, two or
//! three merchants, and a hundred orders whose shops pay, capture, void, refund, step back, ask twice and go away. All
//! of it runs in one thread, and all of it follows from one number: which task goes on next, what time it is, which
//! identifiers are made, what is lost on the network, who crashes.
//!
//! ```sh
//! cargo run --release -p paymux-sim -- --seeds 10000            # many worlds, one line of JSON at the end
//! cargo run --release -p paymux-sim -- --seeds 1 --from 42 --trace
//! cargo run --release -p paymux-sim -- --seeds 20 --store sqlite    # or postgres: the same trace as in memory
//! cargo run --release -p paymux-sim -- --seeds 1 --from 42 --payments 4 --record FILE    # its decisions, as a text
//! cargo run --release -p paymux-sim -- --script FILE --trace
//! ```
//!
//! # How it is built
//!
//! | module | what it is |
//! |---|---|
//! | `world.rs` | a world from its seed: trouble, rest, audit |
//! | `schedule.rs` | the scheduler and its clock: a hand-written executor whose next task is the seed's choice |
//! | `ports.rs` | store, network, accounts, clock and risk check, each call of which gives way before and after its effect |
//! | `faults.rs` | what goes wrong; each fault has a name, so that a run can go on without it |
//! | `bank.rs`, `wire.rs` | the processor and its books, which the engine never sees |
//! | `connector.rs`, `shape.rs` | its connector, through the public API, and the shapes that accounts have |
//! | `disk.rs` | the stores under it: memory, and with the feature `sql` SQLite and PostgreSQL |
//! | `courier.rs` | who carries webhooks: late, early, twice, out of order, forged, stale, for another's account |
//! | `shopper.rs` | the shops: every verb, repeated until it is answered |
//! | `person.rs` | who decides on what is left unknown |
//! | `auditor.rs` | who sees every commit, send and reply, and the books, and believes the books |
//! | `routes.rs` | what it has of routing: programs, fees, counts, what accounts don't take, what orders ask |
//! | `keeper.rs` | who puts, activates and rolls back tenants' programs while payments run |
//! | `routed.rs`, `routed/` | who judges where payments go, by a model of its own |
//! | `fenced.rs` | whether what overtaken workers were told is kept all the same |
//! | `sums.rs` | whether each row is what its events add up to, in every sixteenth world |
//! | `script.rs` | a world's decisions, written down: what fuzzers alter |
//! | `coverage.rs` | what must have been reached for a long run to count |
//! | `teeth/` | planted bugs, which must be found |
//! | `shrink.rs`, `report.rs`, `trace.rs` | the smallest failing run, what is printed, what happened |
//!
//! A worker that crashes loses every task it had, at whatever boundary each of them was; it starts again over the same
//! store. When all shops are done, the faults stop: then everything must come to rest in bounded time, and what is left
//! unknown must have a way out, which a person takes by the books. Then each payment is compared with the books.
//!
//! # Planted bugs
//!
//! Whoever finds nothing may have looked badly. So there are bugs to be found, each a defect as payment systems have had
//! it: a key per try, a time-out that counts as a failure, a lock without a fence, a merge that forgets.
//!
//! ```sh
//! cargo run --release -p paymux-sim --bin teeth                 # each of them; which seed found it, by which invariant
//! cargo run --release -p paymux-sim --bin teeth -- --list
//! cargo run --release -p paymux-sim -- --tooth fresh-key-per-try --seeds 10 --trace
//! ```
//!
//! Most are wrappers of a port, around those in `ports.rs`, in this very binary. What no port can show is a passage of
//! core that is replaced in a copy: a file in `tests/simulator/teeth/`, which names the passage. The passage must be
//! there exactly once, which a test holds, so that a change of it takes the bug along. A bug counts as found where
//! something is violated within 100,000 payments, in a world in which nothing is without the bug.
//!
//! A new invariant comes with a bug that it finds; a bug that isn't found is a reason for a better workload or auditor.
//!
//! # What is checked
//!
//! The numbers are those that violations carry.
//!
//! | | invariant | where |
//! |---|---|---|
//! | 1, 2 | no more is captured than is held, no more refunded than is captured, pending included | each reply |
//! | 3 | at most one live charge for an order, but while one is given back | at rest |
//! | 4 | the processor's money is ours | at rest |
//! | 5, 6 | nothing has failed here that is charged there; nothing has succeeded here that isn't there | each reply, at rest |
//! | 7 | what was unknown is known only on stored evidence | each commit |
//! | 7 | what a worker was told is kept as evidence, though it was overtaken before it could write it | at rest |
//! | 9 | nothing is sent without a committed first write | each send |
//! | 10, 11 | one key always has the same bytes, and isn't sent after its window; without keys, nothing is sent twice | each send |
//! | 8, 12, 13 | no attempt is sent while another of the order may take money | each send |
//! | 14, 15 | states change as the tables say; no session expires while its payment is good | each commit |
//! | 16, 17, 18 | a version more for each commit, events for each change, without gaps | each commit |
//! | 18 | each row is what its events add up to | at rest, in every sixteenth world |
//! | 20, 21, 22 | a key makes one thing, replays are byte for byte, another request is refused, tenants' keys don't meet | each reply, at rest |
//! | 23 | nobody sees or writes another tenant's | each commit, probes |
//! | 24, 25 | webhooks converge in any order; forged, stale, foreign and broken ones are refused | at rest, each webhook |
//! | 26, 27 | an old epoch never commits; an unknown commit has one fate | each commit |
//! | 28 | currencies and minor units hold, since 4 compares them | at rest |
//! | 30 | no secret is stored | each commit of every sixteenth world |
//! | 31 | without faults, everything comes to rest or has a way out | at rest |
//! | 32 | a seed goes the same way twice | every fiftieth world |
//! | 33 | what belongs to one account is never sent to another | each send, at rest |
//! | 34 | no attempt is opened at, and no plan holds, an account that can't take it or that the caller didn't name; a token is sent to its own account alone | each commit, each send |
//! | 35 | a payment goes on by itself only after a stored proof or soft decline, as often, as soon and where the policy says; a card is tried no more than its network allows | each commit |
//! | 36 | what is blocked isn't sent; open circuits come last, and with all open the policy decides; no end of an attempt is counted twice | each commit, at rest |
//! | 37 | the program that decides was in force for that tenant, is followed to the letter, and decides the same again | each commit |
//!
//! Not here: 19, since nothing is delivered yet; and of 29, what only the machine can refuse.
//!
//! # What a world keeps to
//!
//! Nobody can be safe from a processor that breaks its own word, so the world keeps some:
//!
//! * An account that promises that its reads settle shows every effect within that time: requests are late, rolled
//!   forward and hidden from reads for less. Without a key the network repeats no request.
//! * Where clocks jump by a day, nothing is late, and the processor remembers keys for longer than it promises.
//! * A webhook may be lost for good only where there is something to read; what comes days later is then excused.

#![allow(
    clippy::expect_used,
    reason = "a world that can't be built has nothing to say"
)]

mod auditor;
mod bank;
mod connector;
mod courier;
mod coverage;
mod disk;
mod faults;
mod fenced;
mod keeper;
mod person;
mod ports;
mod report;
mod rng;
mod routed;
mod routes;
mod schedule;
mod script;
mod shape;
mod shopper;
mod shrink;
mod sums;
mod teeth;
mod trace;
mod wire;
mod world;

pub use auditor::Violation;
pub use coverage::Coverage;
pub use disk::reachable;
pub use faults::FaultName;
pub use report::{Report, command};
pub use script::Script;
pub use shrink::shrink;
pub use teeth::Tooth;
pub use teeth::hunt::{Found, Hunt};
pub use teeth::patch::{Patch, all as patches, digest, root as workspace};
pub use world::{record, run};

use std::sync::Arc;

/// Which store a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kept {
    /// Memory.
    #[default]
    Memory,
    /// A file of SQLite's in the folder for temporary files.
    #[cfg(feature = "sql")]
    Sqlite,
    /// A schema of its own on the server at `PAYMUX_POSTGRES_URL`, or on this machine's.
    #[cfg(feature = "sql")]
    Postgres,
}

/// Which world to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What everything follows from.
    pub seed: u64,
    /// How many orders its shops have.
    pub payments: u32,
    /// Only these of them; all, without.
    pub only: Option<Vec<u32>>,
    /// Without these faults.
    pub without: Vec<FaultName>,
    /// On this store.
    pub store: Kept,
    /// With this bug planted.
    pub tooth: Option<Tooth>,
    /// With these decisions instead of the seed's.
    pub script: Option<Arc<Script>>,
    /// Whether lines are kept for a reader.
    pub trace: bool,
}

impl Options {
    /// A world as a run of many has it.
    pub fn seed(seed: u64) -> Self {
        Self {
            seed,
            payments: 100,
            only: None,
            without: Vec::new(),
            store: Kept::default(),
            tooth: None,
            script: None,
            trace: false,
        }
    }

    /// A small world whose decisions are written down.
    pub fn script(script: Script) -> Self {
        let (seed, payments) = (script.seed(), script.orders());
        Self {
            payments,
            script: Some(Arc::new(script)),
            ..Self::seed(seed)
        }
    }
}

/// What became of a world.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How many orders were made.
    pub payments: u64,
    /// What went wrong around the engine.
    pub faults: Vec<(FaultName, String)>,
    /// What the engine did wrong.
    pub violations: Vec<Violation>,
    /// What was reached.
    pub coverage: Coverage,
    /// Equal for equal runs.
    pub hash: u64,
    /// How often a task was polled.
    pub polls: u64,
    /// The lines, where they were asked for.
    pub trace: Vec<String>,
    /// When it ended, in milliseconds of its own time.
    pub ended_ms: u64,
}
