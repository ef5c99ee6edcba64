//! Where a child stops, so that it is killed just there; and where its connections to PostgreSQL are cut.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paymux::Tenant;
use paymux::connector::{Request, Response, Transport, TransportError};
use paymux::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use paymux::sqlx::{self, AssertSqlSafe, PgPool, Row as _};
use paymux::store::*;

use crate::pause;

/// The failpoints of a life: before, in and after each write and each call, in the order in which they come.
#[derive(Clone, Debug)]
pub(crate) struct Failpoints {
    passed: Arc<AtomicU32>,
    stop_at: Option<u32>,
    /// For how long it is in the middle of what it stops in.
    moment: Duration,
}

impl Failpoints {
    /// The first failpoint is 1.
    pub(crate) fn new(stop_at: Option<u32>, moment: Duration) -> Self {
        Self {
            passed: Arc::default(),
            stop_at,
            moment,
        }
    }

    async fn through<T>(&self, what: &str, effect: impl Future<Output = T>) -> T {
        let before = self.passed.fetch_add(3, Ordering::SeqCst) + 1;
        let stops = |place: u32| self.stop_at == Some(place);
        if stops(before) {
            stop(format_args!("before {what}"));
        }
        if stops(before + 1) {
            let _cut = tokio::time::timeout(self.moment, effect).await;
            stop(format_args!("in {what}"));
        }
        let done = effect.await;
        if stops(before + 2) {
            stop(format_args!("after {what}"));
        }
        done
    }
}

/// Says where, and goes no further: nothing else in this process does either, since it has one thread.
fn stop(place: fmt::Arguments<'_>) -> ! {
    println!("stops {place}");
    let _said = std::io::stdout().flush();
    loop {
        std::thread::park();
    }
}

/// A store with failpoints around its writes.
#[derive(Debug)]
pub(crate) struct StoppingStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) failpoints: Failpoints,
    pub(crate) cuts: Option<Cuts>,
}

#[async_trait]
impl Store for StoppingStore {
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let commit = self.inner.commit(tenant, batch);
        let commit = async {
            match self.cuts.as_ref().and_then(Cuts::next) {
                None => commit.await,
                Some(cut) => tokio::join!(commit, cut.run()).0,
            }
        };
        self.failpoints.through("a commit", commit).await
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        let resolve = self.inner.resolve(tenant, id);
        self.failpoints
            .through("the resolution of a commit", resolve)
            .await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let claims = self.inner.claim_due(request).await?;
        match claims.is_empty() {
            true => Ok(claims),
            // Only a claim that got something is worth a death.
            false => Ok(self.failpoints.through("a claim", async { claims }).await),
        }
    }

    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.load(tenant, keys).await
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.inner.lookup(tenant, key).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.inner.locate(key).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.inner.find(tenant, query).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.events(tenant, row, from, limit).await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.inner.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.inner.purge(retention, limit).await
    }
}

/// A transport with failpoints around its calls.
#[derive(Debug)]
pub(crate) struct StoppingTransport {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) failpoints: Failpoints,
}

#[async_trait]
impl Transport for StoppingTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.failpoints.through("a call", self.inner.send(request)).await
    }
}

/// Ends the backends that work for a schema, around every so many commits.
#[derive(Debug)]
pub(crate) struct Cuts {
    pool: PgPool,
    schema: String,
    every: u32,
    commits: AtomicU32,
}

impl Cuts {
    pub(crate) fn new(url: &str, schema: &str, every: u32) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_millis(500));
        // PgBouncer refuses what it doesn't know in a connection's first message.
        let options = PgConnectOptions::from_str(url).unwrap().extra_float_digits(None);
        Self {
            pool: pool.connect_lazy_with(options),
            schema: schema.to_owned(),
            every,
            commits: AtomicU32::new(0),
        }
    }

    fn next(&self) -> Option<Cut<'_>> {
        let commit = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        commit.is_multiple_of(self.every).then_some(Cut {
            cuts: self,
            after: Duration::from_micros(u64::from(commit / self.every % 8) * 300),
        })
    }
}

struct Cut<'c> {
    cuts: &'c Cuts,
    after: Duration,
}

impl Cut<'_> {
    async fn run(self) {
        pause(self.after).await;
        // The statements of a store name its schema.
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND query LIKE '%\"{}\"%'",
            self.cuts.schema
        );
        let ended = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&self.cuts.pool).await;
        // The server itself may be down.
        if let Ok(row) = ended {
            println!("ended {}", row.get::<i64, _>(0));
        }
    }
}
