//! One connection that writes, and a few that read.

use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::error::Failure;
use super::script::Script;

/// A connection, unless its last one had to be thrown away.
type Slot = Mutex<Option<SqliteConnection>>;

pub(super) struct Connections {
    options: SqliteConnectOptions,
    read_options: SqliteConnectOptions,
    writer: Slot,
    readers: Box<[Slot]>,
    /// Which reader to wait for when all are busy.
    turn: AtomicUsize,
}

impl Connections {
    pub(super) fn new(options: SqliteConnectOptions, writer: SqliteConnection, readers: usize) -> Self {
        Self {
            read_options: options.clone().pragma("query_only", "ON"),
            options,
            writer: Mutex::new(Some(writer)),
            readers: (0..readers.max(1)).map(|_| Mutex::default()).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn options(&self) -> SqliteConnectOptions {
        self.options.clone()
    }

    /// The connection that writes, for one statement of its own.
    pub(super) async fn writer(&self) -> Result<Lease<'_>, Failure> {
        Lease::of(self.writer.lock().await, &self.options).await
    }

    /// The connection that writes, for a transaction; the caller's first script begins it.
    pub(super) async fn transaction(&self) -> Result<Transaction<'_>, Failure> {
        Ok(Transaction {
            lease: self.writer().await?,
            open: true,
        })
    }

    /// A connection that can only read.
    pub(super) async fn reader(&self) -> Result<Lease<'_>, Failure> {
        let free = self.readers.iter().find_map(|slot| slot.try_lock().ok());
        let slot = match free {
            Some(slot) => slot,
            None => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                self.readers[turn % self.readers.len()].lock().await
            }
        };
        Lease::of(slot, &self.read_options).await
    }
}

/// A connection, for one call.
pub(super) struct Lease<'a> {
    slot: MutexGuard<'a, Option<SqliteConnection>>,
}

impl<'a> Lease<'a> {
    async fn of(
        mut slot: MutexGuard<'a, Option<SqliteConnection>>,
        options: &SqliteConnectOptions,
    ) -> Result<Self, Failure> {
        if slot.is_none() {
            *slot = Some(options.connect().await?);
        }
        Ok(Self { slot })
    }

    pub(super) fn conn(&mut self) -> Result<&mut SqliteConnection, Failure> {
        self.slot
            .as_mut()
            .ok_or_else(|| Failure::from(sqlx::Error::WorkerCrashed))
    }
}

/// A transaction on the writer. One that is neither committed nor rolled back, because its future was dropped or a
/// statement failed, takes its connection with it: SQLite rolls back whatever a closed connection had open, and the
/// next writer gets a new one. So no state that a failure left behind is ever carried on with.
pub(super) struct Transaction<'a> {
    lease: Lease<'a>,
    open: bool,
}

impl Transaction<'_> {
    pub(super) fn conn(&mut self) -> Result<&mut SqliteConnection, Failure> {
        self.lease.conn()
    }

    /// Makes it durable. An error leaves its fate open, but for [`Locked`](paymux_core::store::StoreErrorKind), which
    /// SQLite gives with the transaction untouched.
    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        Script::new("COMMIT").run(self.conn()?).await?;
        self.open = false;
        Ok(())
    }

    pub(super) async fn roll_back(mut self) {
        if let Ok(conn) = self.conn()
            && Script::new("ROLLBACK").run(conn).await.is_ok()
        {
            self.open = false;
        }
    }

    /// The caller's script has committed it.
    pub(super) fn ended(&mut self) {
        self.open = false;
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            *self.lease.slot = None;
        }
    }
}
