//! Stores for lives that are polled by hand.

use std::cell::OnceCell;
use std::future::Future;
use std::sync::Arc;

use paymux::prelude::*;
use paymux::store::*;
use paymux::{Clock, Store, TestClock};
use tempfile::TempDir;

use super::sqlx::PgConnection;
use crate::database::{self, Database};
use crate::world::Kept;

/// Where the lives of one thread keep what they write: each finds nothing of the one before.
#[derive(Debug)]
pub(crate) struct Shelf {
    runtime: Arc<tokio::runtime::Runtime>,
    postgres: OnceCell<Schema>,
}

/// A clock, and an empty store that tells its time.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) clock: TestClock,
    pub(crate) store: Arc<dyn Store>,
    _folder: Option<TempDir>,
}

/// A schema of this thread's, dropped with it. To make one takes longer than to live in it.
#[derive(Debug)]
struct Schema {
    clock: TestClock,
    store: Arc<dyn Store>,
    conn: std::cell::RefCell<PgConnection>,
    empty: String,
    _database: Database,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            runtime: Arc::new(runtime.unwrap()),
            postgres: OnceCell::new(),
        }
    }

    pub(crate) fn place(&self, kept: Kept) -> Place {
        let clock = TestClock::new();
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        match kept {
            Kept::InMemory => Place {
                store: Arc::new(MemoryStore::with_time(time)),
                clock,
                _folder: None,
            },
            Kept::InSqlite => {
                let folder = tempfile::tempdir().unwrap();
                let options = paymux::SqliteOptions::new(folder.path().join("payments.db")).time(time);
                Place {
                    store: self.at_once(self.runtime.block_on(options.open()).unwrap()),
                    clock,
                    _folder: Some(folder),
                }
            }
            Kept::AtPostgres => {
                let schema = self.postgres.get_or_init(|| self.schema());
                self.runtime
                    .block_on(database::run(&mut schema.conn.borrow_mut(), &schema.empty));
                schema.clock.jump_to(Clock::now(&clock));
                Place {
                    store: schema.store.clone(),
                    clock: schema.clock.clone(),
                    _folder: None,
                }
            }
        }
    }

    fn schema(&self) -> Schema {
        let clock = TestClock::new();
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        self.runtime.block_on(async {
            let database = Database::find().await.unwrap();
            let name = database.schema();
            let options = paymux::PostgresOptions::new(database.url()).schema(&name);
            let store = options.max_connections(1).time(time).open().await.unwrap();
            let tables = ["rows", "uniques", "events", "jobs", "commits"];
            let empty = tables.map(|table| format!("DELETE FROM \"{name}\".paymux_{table};"));
            Schema {
                clock,
                store: self.at_once(store),
                conn: database.connect().await.into(),
                empty: empty.concat(),
                _database: database,
            }
        })
    }

    fn at_once(&self, inner: impl Store) -> Arc<dyn Store> {
        Arc::new(AtOnce {
            inner,
            runtime: self.runtime.clone(),
        })
    }
}

/// A store whose every call runs to its end within the poll that begins it, on a runtime of its own. The drivers wait
/// for sockets and threads, which nobody who polls by hand would ever hear of; and a future that is dropped while they
/// wait leaves them to finish or not, as it happens. So a life is cut before a call and after it, never within: that
/// is for the tests which cut a store's wire and kill its processes.
#[derive(Debug)]
struct AtOnce<S> {
    inner: S,
    runtime: Arc<tokio::runtime::Runtime>,
}

impl<S> AtOnce<S> {
    fn whole<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }
}

#[async_trait::async_trait]
impl<S: Store> Store for AtOnce<S> {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.whole(self.inner.load(tenant, keys))
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.whole(self.inner.lookup(tenant, key))
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.whole(self.inner.locate(key))
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.whole(self.inner.find(tenant, query))
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.whole(self.inner.events(tenant, row, from, limit))
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        self.whole(self.inner.commit(tenant, batch))
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.whole(self.inner.resolve(tenant, id))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.whole(self.inner.claim_due(request))
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.whole(self.inner.backlog(queue))
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.whole(self.inner.purge(retention, limit))
    }
}
