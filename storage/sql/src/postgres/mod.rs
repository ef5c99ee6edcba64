//! The store in PostgreSQL.
//!
//! # What an error of a commit means
//!
//! | what comes back | what it means | what the caller gets |
//! |---|---|---|
//! | the gate's row, `ok` | written, durable | `Ok` |
//! | the gate's row, not `ok` | nothing written; it says what differed | `Conflict`, `Fenced`, the first receipt, or `NotCommitted` |
//! | no connection, or none free in time | nothing was sent | `NotCommitted` |
//! | 23505 unique violation; 22012, by which a commit stops itself when it wrote less than the gate let through | taken back: somebody was there first | run again within the store's patience; the gate then says why |
//! | 40001 serialization failure, 40P01 deadlock | taken back | run again within the store's patience, then `NotCommitted` |
//! | 40003 statement completion unknown | may be written | `Unknown` |
//! | 08xxx connection exceptions, a pooler's own among them | may be written | `Unknown` |
//! | 57P01, 57P02, 57P03: the server shuts down or crashes | may be written: a shutdown can come between the commit and the wait for a standby | `Unknown` |
//! | XXxxx, and any error that ends the session | may be written | `Unknown` |
//! | any other SQLSTATE (57014 cancelled, 55P03 lock not available, 53xxx resources, 25006 read-only, …) | the statement was taken back | `NotCommitted` |
//! | the connection ends or breaks; an answer that can't be read | may be written | `Unknown` |
//! | no answer within the store's patience | may be written, now or later | `Unknown` |
//!
//! A statement commits by itself, so its answer is the commit's. `resolve` ends each `Unknown`: it finds the commit's
//! row, or writes a fence in its place, which waits for a commit under way and refuses one that comes later.

mod commit;
mod connections;
mod error;
mod gate;
mod jobs;
mod open;
mod purge;
mod read;
mod resting;
mod schema;
mod script;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use paymux_core::Tenant;
use paymux_core::store::*;
use sqlx::{PgConnection, PgPool};

use self::connections::Connections;
pub use self::open::{Engine, PostgresOptions, Statements};

/// A store in a PostgreSQL database. Its clones are the same store; any number of processes may open the same
/// database, also of releases that know another schema version, as long as the newer one only added to it.
///
/// A commit is one statement, which PostgreSQL commits by itself: one round trip. When it returns `Ok` it has been
/// flushed to the disk, and on a cluster with synchronous replication to the standby. Deciding is compare-and-set
/// under READ COMMITTED; a stricter default isolation works too. A call's future may be dropped at any point: its
/// statement is done as a whole or not at all.
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use paymux_sql::PostgresStore;
///
/// let store = PostgresStore::open("postgres://shop:secret@db.internal/shop").await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// # Sharing a transaction
///
/// The host may keep tables of its own in the same database (none of those in paymux's schema may start with
/// `paymux_`), and write to them in the transaction that commits a payment: see [`PostgresStore::commit_in`].
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    schema: String,
    time: StoreTime,
    connections: Connections,
}

impl PostgresStore {
    /// Opens the database at a URL. Makes the tables if they aren't there, and brings them up to this release's.
    ///
    /// # Errors
    /// A [`StoreError`] that names the remedy, of the kind
    /// [`Missing`](StoreErrorKind::Missing) if the URL can't be read or there is no such database,
    /// [`ReadOnly`](StoreErrorKind::ReadOnly) if it is a replica or the role may not write,
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) if a newer release has changed its tables beyond this one, and
    /// [`Unavailable`](StoreErrorKind::Unavailable) if it can't be reached, or has `synchronous_commit` off.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        PostgresOptions::new(url).open().await
    }

    /// The store's pool, for transactions of the host's own on the same database; with several hosts, the pool of the
    /// one that was last found to be the primary.
    pub fn pool(&self) -> &PgPool {
        self.inner.connections.hosts.pool()
    }

    /// Commits a planned verb inside a transaction that the host has opened on the same database, so that the host's
    /// own rows and the payment's are written together or not at all.
    ///
    /// `conn` is a connection in a transaction: `&mut transaction` of a [`sqlx::Transaction`], from
    /// [`pool`](Self::pool) or from a pool of the host's own.
    ///
    /// The batch is written under a savepoint of its own: a refusal takes back the batch alone, and the host's
    /// transaction goes on. The rows that it touches stay locked until the host ends the transaction. The receipt
    /// counts once the host has committed. A host whose `COMMIT` fails asks [`Store::resolve`] about the receipt's
    /// commit id.
    ///
    /// # Errors
    /// As [`Store::commit`]: never `Unknown`, and nothing of the batch is in the transaction.
    /// [`Rejected`](StoreErrorKind::Rejected) if `conn` isn't in a transaction that was opened through sqlx. In a
    /// transaction of a stricter isolation than READ COMMITTED, [`Locked`](StoreErrorKind::Locked) says that the host
    /// has to do the whole transaction again.
    pub async fn commit_in<T: Sync>(
        &self,
        conn: &mut PgConnection,
        planned: &Planned<T>,
    ) -> Result<Receipt, CommitError> {
        commit::commit_in(&self.inner, conn, planned.tenant(), planned.batch()).await
    }
}

/// Without what it holds, and without its address.
impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.inner.schema)
            .field("time", &self.inner.time)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        Ok(read::load(&self.inner, tenant, keys).await?)
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        Ok(read::lookup(&self.inner, tenant, key).await?)
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        Ok(read::locate(&self.inner, key).await?)
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        Ok(read::find(&self.inner, tenant, query).await?)
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(read::events(&self.inner, tenant, row, from, limit).await?)
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        commit::commit(&self.inner, tenant, batch).await
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        Ok(commit::resolve(&self.inner, tenant, id).await?)
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        Ok(jobs::claim_due(&self.inner, request).await?)
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        Ok(jobs::backlog(&self.inner, queue).await?)
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        Ok(purge::purge(&self.inner, retention, limit).await?)
    }
}
