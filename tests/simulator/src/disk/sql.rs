//! The stores in SQL: each call runs to its end within one poll.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use paymux_core::store::*;
use paymux_core::{Store, Tenant};
use paymux_sql::sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use paymux_sql::{PostgresOptions, SqliteOptions};
use tokio::runtime::{Builder, Runtime};

/// A file of its own.
pub(super) fn sqlite(time: StoreTime) -> Arc<dyn Store> {
    let folder = tempfile::tempdir().expect("there is room for files of a moment");
    let options = SqliteOptions::new(folder.path().join("world.db")).time(time);
    let runtime = runtime();
    let inner = runtime.block_on(options.open()).expect("the file can be made");
    Arc::new(AtOnce {
        inner: Some(Box::new(inner)),
        runtime,
        leftover: Leftover::Folder { _folder: folder },
    })
}

/// A schema of its own.
pub(super) fn postgres(time: StoreTime) -> Arc<dyn Store> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("paymux_sim_{}_{number}", std::process::id());
    let options = PostgresOptions::new(&postgres_url()).schema(&schema).time(time);
    let runtime = runtime();
    let inner = runtime
        .block_on(options.max_connections(1).open())
        .expect("PostgreSQL answers at PAYMUX_POSTGRES_URL");
    Arc::new(AtOnce {
        inner: Some(Box::new(inner)),
        runtime,
        leftover: Leftover::Schema(schema),
    })
}

/// Whether there is a server.
pub(super) fn postgres_answers() -> Result<(), String> {
    let url = postgres_url();
    let tried = runtime().block_on(async { PgConnection::connect(&url).await?.close().await });
    tried.map_err(|error| format!("no PostgreSQL at PAYMUX_POSTGRES_URL: {error}"))
}

fn postgres_url() -> String {
    std::env::var("PAYMUX_POSTGRES_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned())
}

fn runtime() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a thread can wait")
}

/// What goes with the store.
enum Leftover {
    Folder { _folder: tempfile::TempDir },
    Schema(String),
}

/// A store whose calls are over when they are first polled.
struct AtOnce {
    inner: Option<Box<dyn Store>>,
    runtime: Runtime,
    leftover: Leftover,
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AtOnce {
    fn done<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    fn inner(&self) -> &dyn Store {
        self.inner.as_deref().expect("it is there until it is dropped")
    }
}

impl Drop for AtOnce {
    fn drop(&mut self) {
        // Its connections first.
        let inner = self.inner.take();
        self.runtime.block_on(async move { drop(inner) });
        if let Leftover::Schema(schema) = &self.leftover {
            let drops = format!("SET client_min_messages = 'warning'; DROP SCHEMA \"{schema}\" CASCADE");
            let dropped = self.runtime.block_on(async {
                let mut conn = PgConnection::connect(&postgres_url()).await?;
                raw_sql(AssertSqlSafe(drops)).execute(&mut conn).await
            });
            if let Err(error) = dropped {
                eprintln!("the schema {schema} is left: {error}");
            }
        }
    }
}

#[async_trait]
impl Store for AtOnce {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.done(self.inner().load(tenant, keys))
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.done(self.inner().lookup(tenant, key))
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.done(self.inner().locate(key))
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.done(self.inner().find(tenant, query))
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.done(self.inner().events(tenant, row, from, limit))
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        self.done(self.inner().commit(tenant, batch))
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.done(self.inner().resolve(tenant, id))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.done(self.inner().claim_due(request))
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.done(self.inner().backlog(queue))
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.done(self.inner().purge(retention, limit))
    }
}
