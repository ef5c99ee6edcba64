//! The store in an SQLite file.

mod commit;
mod connections;
mod error;
mod gate;
mod jobs;
mod open;
mod purge;
mod read;
mod schema;
mod script;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use paymux_core::Tenant;
use paymux_core::store::*;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

use self::connections::Connections;
pub use self::open::{CreateFile, SqliteOptions};

/// A store in one SQLite file. Its clones are the same store; several processes may open the same file.
///
/// A commit is one transaction (`BEGIN IMMEDIATE`) in a write-ahead log with `synchronous = FULL`: when it returns
/// `Ok` it has been flushed to the disk. All writes go through one connection, since SQLite has one writer at a time
/// anyway; reads have connections of their own and never wait for a writer. A call's future may be dropped at any
/// point: what it had begun is rolled back, unless its `COMMIT` was already on its way.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use paymux_sql::SqliteStore;
///
/// let store = SqliteStore::open(folder.path().join("payments.db")).await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
///
/// # Sharing a transaction
///
/// The host may keep tables of its own in the same file (none may start with `paymux_`), and write to them in the
/// transaction that commits a payment: see [`SqliteStore::commit_in`].
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    time: StoreTime,
    connections: Connections,
}

impl SqliteStore {
    /// Opens the file, and makes it if it isn't there. Brings its tables up to this release's.
    ///
    /// # Errors
    /// A [`StoreError`] that names the remedy, of the kind
    /// [`Missing`](StoreErrorKind::Missing) if its folder isn't there,
    /// [`ReadOnly`](StoreErrorKind::ReadOnly) if the file or its folder can't be written,
    /// [`Corrupt`](StoreErrorKind::Corrupt) if it isn't an SQLite database,
    /// [`NewerSchema`](StoreErrorKind::NewerSchema) if a newer release has written it, and
    /// [`Locked`](StoreErrorKind::Locked) if somebody else has held it for longer than the busy time-out.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SqliteOptions::new(path).open().await
    }

    /// The file's absolute path.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// How this store connects to its file: for a connection, or a pool, of the host's own on the same file.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = paymux_sql::SqliteStore::open(folder.path().join("payments.db")).await?;
    /// use paymux_sql::sqlx::{Connection, sqlite::SqlitePoolOptions};
    ///
    /// let pool = SqlitePoolOptions::new().connect_with(store.connect_options()).await?;
    /// let transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    /// # drop(transaction);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_options(&self) -> SqliteConnectOptions {
        self.inner.connections.options()
    }

    /// Commits a planned verb inside a transaction that the host has opened on the same file, so that the host's own
    /// rows and the payment's are written together or not at all.
    ///
    /// `conn` is a connection in a transaction: `&mut transaction` of a [`sqlx::Transaction`], from
    /// [`connect_options`](Self::connect_options) or from a pool of the host's own. Open it with
    /// `begin_with("BEGIN IMMEDIATE")`: a plain `begin` takes the write lock only at its first write, and is refused
    /// as [`Locked`](StoreErrorKind::Locked) if somebody else has written since its first read.
    ///
    /// The batch is written under a savepoint of its own: a refusal takes back the batch alone, and the host's
    /// transaction goes on. The receipt counts once the host has committed. A host whose `COMMIT` fails asks
    /// [`Store::resolve`] about the receipt's commit id.
    ///
    /// # Errors
    /// As [`Store::commit`]: never `Unknown`, and nothing of the batch is in the transaction.
    /// [`Rejected`](StoreErrorKind::Rejected) if `conn` isn't in a transaction that was opened through sqlx.
    pub async fn commit_in<T: Sync>(
        &self,
        conn: &mut SqliteConnection,
        planned: &Planned<T>,
    ) -> Result<Receipt, CommitError> {
        commit::commit_in(&self.inner, conn, planned.tenant(), planned.batch()).await
    }
}

/// Without what it holds.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.inner.path)
            .field("time", &self.inner.time)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
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
