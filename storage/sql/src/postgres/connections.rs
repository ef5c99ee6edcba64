//! The pool, and statements that are run once or again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgPool};
use tokio::sync::Mutex;

use super::error::{Failure, Fate};
use super::open::{Engine, Statements, first};
use super::resting::{Resting, Working};
use super::script::Script;

pub(super) struct Connections {
    pub(super) hosts: Hosts,
    /// Quoted, and with a dot.
    pub(super) schema: Arc<str>,
    pub(super) statements: Statements,
    pub(super) engine: Engine,
    /// How long a statement may take.
    pub(super) patience: Duration,
}

/// Where the database may be: one host, or several of which one is the primary.
pub(super) struct Hosts {
    hosts: Vec<Host>,
    primary: AtomicUsize,
    /// Something failed in a way that a primary which is gone explains.
    doubted: AtomicBool,
    looking: Mutex<()>,
}

pub(super) struct Host {
    pub(super) options: PgConnectOptions,
    pub(super) pool: PgPool,
    pub(super) resting: Arc<Resting>,
}

impl Host {
    async fn acquire(&self) -> sqlx::Result<Working> {
        self.resting.acquire(&self.pool).await
    }
}

/// Before a statement that PostgreSQL took back is run again: from the first time to the last.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Where there are several hosts: after so long without a connection it is asked which is the primary.
const PROMPT: Duration = Duration::from_secs(1);

impl Hosts {
    pub(super) fn new(hosts: Vec<Host>, primary: usize) -> Self {
        Self {
            hosts,
            primary: AtomicUsize::new(primary),
            doubted: AtomicBool::new(false),
            looking: Mutex::default(),
        }
    }

    /// The primary's, as far as is known.
    pub(super) fn pool(&self) -> &PgPool {
        &self.primary().pool
    }

    fn primary(&self) -> &Host {
        &self.hosts[self.primary.load(Ordering::Acquire)]
    }

    fn doubt(&self) {
        self.doubted.store(true, Ordering::Release);
    }

    /// A connection to the primary.
    async fn acquire(&self, statements: Statements, patience: Duration) -> Result<Working, Failure> {
        if self.hosts.len() > 1 {
            if self.doubted.load(Ordering::Acquire) {
                self.find_primary(statements, patience).await?;
            }
            if let Ok(Ok(conn)) = tokio::time::timeout(PROMPT, self.primary().acquire()).await {
                return Ok(conn);
            }
            self.doubt();
            self.find_primary(statements, patience).await?;
        }
        self.primary().acquire().await.map_err(Failure::unreachable)
    }

    /// Asks the hosts, the one that failed last: it may be a primary that nobody listens to any more.
    async fn find_primary(&self, statements: Statements, patience: Duration) -> Result<(), Failure> {
        let Ok(_one_looks) = tokio::time::timeout(patience, self.looking.lock()).await else {
            return Err(Failure::too_slow().before_anything_was_sent());
        };
        if !self.doubted.load(Ordering::Acquire) {
            return Ok(());
        }
        let (all, failed) = (self.hosts.len(), self.primary.load(Ordering::Acquire));
        let mut refused = Failure::too_slow();
        for at in (1..=all).map(|step| (failed + step) % all) {
            match is_primary(&self.hosts[at].options, statements, patience / all as u32).await {
                Ok(()) => {
                    self.primary.store(at, Ordering::Release);
                    self.doubted.store(false, Ordering::Release);
                    return Ok(());
                }
                Err(failure) => refused = failure,
            }
        }
        Err(refused.before_anything_was_sent())
    }
}

/// Whether it answers, takes writes and keeps them.
pub(super) async fn is_primary(
    options: &PgConnectOptions,
    statements: Statements,
    patience: Duration,
) -> Result<(), Failure> {
    let asked = tokio::time::timeout(patience, first(options, statements)).await;
    let conn = asked.unwrap_or_else(|_| Err(Failure::too_slow()))?;
    // What is left to say goodbye to doesn't matter.
    let _ = tokio::time::timeout(patience, conn.close()).await;
    Ok(())
}

impl Connections {
    pub(super) fn script(&self) -> Script {
        Script::new(&self.schema, self.statements)
    }

    /// Runs a statement, and again if it was taken back because of others: each time on a new view of the tables,
    /// after waits that grow and differ, until the store's patience is over.
    #[allow(
        clippy::disallowed_methods,
        reason = "the database that others work on is in real time too"
    )]
    pub(super) async fn run(&self, build: impl Fn(&mut Script)) -> Result<Vec<PgRow>, Failure> {
        let mut over = pin!(tokio::time::sleep(self.patience));
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(SHORTEST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .without_max_times()
            .build();
        loop {
            let mut script = self.script();
            build(&mut script);
            let done = self.once(script).await;
            let taken_back = done.as_ref().is_err_and(|failure| failure.fate() == Fate::Again);
            let Some(wait) = waits.next().filter(|_| taken_back) else {
                return done;
            };
            if tokio::time::timeout(wait, over.as_mut()).await.is_ok() {
                return done;
            }
        }
    }

    async fn once(&self, script: Script) -> Result<Vec<PgRow>, Failure> {
        let mut working = self.hosts.acquire(self.statements, self.patience).await?;
        let done = match tokio::time::timeout(self.patience, script.all(&mut working.conn)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::too_slow()),
        };
        match &done {
            Ok(_) => working.rest(),
            Err(failure) if failure.fate() == Fate::InDoubt => {
                working.end();
                self.hosts.doubt();
            }
            Err(failure) if failure.is_of_a_replica() => self.hosts.doubt(),
            Err(_) => {}
        }
        done
    }
}
