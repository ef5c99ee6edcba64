//! Lives of a child over one store and one processor, each ended by SIGKILL; then recovery, and the audit.

use std::process::Stdio;
use std::time::{Duration, Instant};

use paymux::store::{Query, Queue, RowKind, Store};
use paymux_standin_stripe::{Endpoint, Fault, Standin};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::audit::{Audit, Callers, audit};
use crate::child::Life;
use crate::kept::{Kept, accounts, engine, tenant};
use crate::log::Log;
use crate::order::serve_again;
use crate::pause;
use crate::random::Random;

/// What was done to the children and their stores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blows {
    pub(crate) at_random: u64,
    pub(crate) at_failpoints: u64,
    /// Backends that were ended around a commit.
    pub(crate) backends: u64,
    /// Servers that were stopped at once, and started again.
    pub(crate) restarts: u64,
    /// Primaries that were killed, and their standby promoted.
    pub(crate) failovers: u64,
}

pub(crate) struct Round {
    folder: TempDir,
    standin: Standin,
    kept: Kept,
    /// Another child, which lives while this one is killed: both pay the same orders with the same keys, and take over
    /// what the other left.
    beside: Option<Alive>,
    from: Instant,
    pub(crate) random: Random,
    pub(crate) blows: Blows,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    AtRandom,
    AtFailpoint,
}

pub(crate) struct Alive {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    end: End,
    /// Whether it pays.
    begun: bool,
    /// Whether it stands at its failpoint.
    stopped: bool,
}

/// The last failpoint that a life stops at: some twenty commits and calls after it began.
const FAILPOINTS: u64 = 90;

const PATIENCE: Duration = Duration::from_secs(30);

/// A request that takes so long is looked into before it is done, by whoever takes it over too.
const LATE: Duration = Duration::from_secs(3);

/// For how long a child at least waits for the next one to begin beside it.
const OVERLAP: Duration = Duration::from_millis(500);

impl Round {
    #[allow(clippy::disallowed_methods, reason = "its children live in real time")]
    pub(crate) async fn new(kept: Kept, random: Random) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            standin: Standin::start().await.unwrap(),
            kept,
            beside: None,
            from: Instant::now(),
            random,
            blows: Blows::default(),
        }
    }

    /// A child is begun, and the one before it is killed.
    pub(crate) async fn kill(&mut self) {
        let mut next = self.begin().await;
        // What stands still in the middle of a write may be in the way until it is killed.
        next.begins(&mut self.blows, OVERLAP).await;
        if let Some(earlier) = self.beside.take() {
            self.end(earlier).await;
        }
        next.begins(&mut self.blows, PATIENCE).await;
        self.beside = Some(next);
    }

    /// A child that ends at a failpoint or not.
    async fn begin(&mut self) -> Alive {
        match self.random.below(2) {
            0 => self.begin_for(End::AtRandom).await,
            _ => self.begin_for(End::AtFailpoint).await,
        }
    }

    /// Begins a life, alone, that is long enough for what is done to its store.
    pub(crate) async fn begin_long(&mut self) -> Alive {
        if let Some(earlier) = self.beside.take() {
            self.end(earlier).await;
        }
        let mut alive = self.begin_for(End::AtRandom).await;
        alive.begins(&mut self.blows, PATIENCE).await;
        alive
    }

    async fn begin_for(&mut self, end: End) -> Alive {
        let random = &mut self.random;
        let life = Life {
            folder: self.folder.path().to_owned(),
            kept: self.kept.clone(),
            processor: self.standin.base_url().to_owned(),
            stop_at: (end == End::AtFailpoint).then(|| 1 + random.below(FAILPOINTS) as u32),
            moment: Duration::from_micros(random.below(3_000)),
            cut_every: (random.below(2) == 0).then(|| 2 + random.below(12) as u32),
        };
        // Now and then the network fails too. A late refund is one that a processor would give twice.
        let calls = [
            Endpoint::Create,
            Endpoint::Confirm,
            Endpoint::Capture,
            Endpoint::Refund,
        ];
        let faults = [
            Fault::DropAnswer,
            Fault::DropRequest,
            Fault::Twice,
            Fault::RateLimit,
            Fault::Delay(LATE),
        ];
        let (call, fault) = (random.below(4) as usize, random.below(5) as usize);
        match random.below(4) {
            0 => self.standin.faults().next(Endpoint::Refund, Fault::Delay(LATE)),
            1 => self.standin.faults().next(calls[call], faults[fault]),
            _without => {}
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("child")
            .arg(serde_json::to_string(&life).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Alive {
            child,
            lines,
            end,
            begun: false,
            stopped: false,
        }
    }

    /// How many lines the callers have noted.
    pub(crate) fn noted(&self) -> usize {
        Log::read(self.folder.path()).values().map(Vec::len).sum()
    }

    /// Waits until the child's callers were told something more.
    pub(crate) async fn goes_on(&self, alive: &mut Alive) {
        let before = self.noted();
        let more = async {
            while self.noted() < before + 5 {
                assert!(
                    alive.child.try_wait().unwrap().is_none(),
                    "the child ended by itself"
                );
                pause(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, more).await;
        assert!(waited.is_ok(), "the child doesn't go on");
    }

    /// Kills it: at its failpoint, or at any moment.
    pub(crate) async fn end(&mut self, mut alive: Alive) {
        match alive.end {
            End::AtRandom => {
                self.blows.at_random += 1;
                let moment = pause(Duration::from_micros(self.random.below(150_000)));
                tokio::select! {
                    () = moment => {}
                    () = alive.hear(&mut self.blows, &["stops"]) => {}
                }
            }
            End::AtFailpoint => {
                self.blows.at_failpoints += 1;
                if !alive.stopped {
                    let stops = alive.hear(&mut self.blows, &["stops"]);
                    let stopped = tokio::time::timeout(PATIENCE, stops).await;
                    assert!(stopped.is_ok(), "the child doesn't come to its failpoint");
                }
            }
        }
        alive.child.start_kill().unwrap();
        let status = alive.child.wait().await.unwrap();
        // A process that a signal ended has no code.
        assert_eq!(status.code(), None, "the child ended by itself: {status}");
        // What it said last.
        alive.hear(&mut self.blows, &[]).await;
    }

    /// Recovers until all is at rest, lets the callers come back, and looks twice.
    pub(crate) async fn audit(mut self) -> (Blows, Audit) {
        if let Some(last) = self.beside.take() {
            self.end(last).await;
        }
        let folder = self.folder.path();
        let store = self.kept.open(folder).await.unwrap();
        let engine = engine(store.clone(), accounts(self.standin.base_url()))
            .await
            .unwrap();
        let payments = engine.tenant(tenant());
        self.standin.faults().none();
        // The pauses between looks at an unknown outcome grow with its age, which is at most the round's.
        let patience = PATIENCE + self.from.elapsed();
        let rested = rest(&engine, &*store, patience).await;
        let told = Log::read(folder);
        let first = audit(&payments, &*store, &self.standin, &told, Callers::Away).await;

        let log = Log::open(folder);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let workers = Box::pin(engine.run_workers(async {
            let _told = stopped.await;
        }));
        let callers = async {
            let done = tokio::time::timeout(PATIENCE, serve_again(&payments, &log, &told)).await;
            let _told = stop.send(());
            done.is_ok()
        };
        let (drained, done) = tokio::join!(workers, callers);
        drained.unwrap();
        let rested_again = rest(&engine, &*store, patience).await;
        let told = Log::read(folder);
        let mut last = audit(&payments, &*store, &self.standin, &told, Callers::Served).await;
        for rested in [rested, rested_again] {
            match rested {
                Ok(took) => last.rested = last.rested.max(took),
                Err(violation) => last.violations.push(violation),
            }
        }
        if !done {
            last.violations.push("a caller got no answer".to_owned());
        }
        for violation in first.violations {
            last.violations
                .push(format!("before callers came back: {violation}"));
        }
        (self.blows, last)
    }
}

/// Works until nothing is left to do, and says how long that took.
#[allow(clippy::disallowed_methods, reason = "its children lived in real time")]
async fn rest(
    engine: &paymux::Orchestrator,
    store: &dyn Store,
    patience: Duration,
) -> Result<Duration, String> {
    let from = Instant::now();
    while from.elapsed() < patience {
        engine.recover_due(100).await.unwrap();
        let mut left = 0;
        for queue in [Queue::Recovery, Queue::Due] {
            left += store.backlog(queue).await.unwrap().scheduled;
        }
        // What is held is asked about on its last day, and no sooner.
        let held = Query {
            statuses: vec!["authorized".to_owned()],
            limit: 100_000,
            ..Query::of(RowKind::Intent)
        };
        let held = store.find(&tenant(), &held).await.unwrap().len() as u64;
        left += store
            .backlog(Queue::Sync)
            .await
            .unwrap()
            .scheduled
            .saturating_sub(held);
        if left == 0 {
            return Ok(from.elapsed());
        }
        pause(Duration::from_millis(20)).await;
    }
    Err(format!("work is left after {patience:?}"))
}

impl Alive {
    /// Waits until it pays, or stands still before it can.
    async fn begins(&mut self, blows: &mut Blows, within: Duration) {
        if !self.begun {
            let begins = self.hear(blows, &["begun", "stops"]);
            self.begun = tokio::time::timeout(within, begins).await.is_ok();
        }
        assert!(self.begun || within < PATIENCE, "the child doesn't begin");
    }

    /// Reads what it says until it says one of these words, or ends.
    async fn hear(&mut self, blows: &mut Blows, until: &[&str]) {
        while let Ok(Some(line)) = self.lines.next_line().await {
            if let Some(ended) = line.strip_prefix("ended ") {
                blows.backends += ended.parse::<u64>().unwrap();
            }
            self.stopped |= line.starts_with("stops");
            if until.iter().any(|word| line.starts_with(word)) {
                return;
            }
        }
    }
}
