//! One clause being tested: the store, and what to say when it is broken.

use std::fmt::Debug;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{IdSource, SeededIds, Store, Tenant, TestClock, Timestamp};
use uuid::Uuid;

/// Says that the clause is broken unless the condition holds.
macro_rules! check {
    ($case:expr, $holds:expr, $($seen:tt)+) => {
        if !$holds {
            $case.broken(&format!($($seen)+))
        }
    };
}

/// Says that the clause is broken unless both are the same.
macro_rules! check_eq {
    ($case:expr, $seen:expr, $expected:expr, $($what:tt)+) => {
        match (&$seen, &$expected) {
            (seen, expected) => check!(
                $case,
                seen == expected,
                "{}\n  expected: {expected:?}\n  but saw:  {seen:?}",
                format!($($what)+)
            ),
        }
    };
}

type Open<'a, S> = &'a dyn Fn(PathBuf) -> Pin<Box<dyn Future<Output = S> + 'a>>;

pub(super) struct Case<'a, S> {
    clause: &'static str,
    open: Open<'a, S>,
    folder: PathBuf,
    store: Option<Arc<S>>,
    clock: Option<TestClock>,
    ids: SeededIds,
    /// The tenant that a test uses unless it is about tenants.
    pub(super) acme: Tenant,
    /// Another one.
    pub(super) other: Tenant,
}

impl<'a, S: Store> Case<'a, S> {
    pub(super) async fn open(
        clause: &'static str,
        open: Open<'a, S>,
        folder: &Path,
        clock: Option<TestClock>,
    ) -> Self {
        let tenant = |name| match Tenant::test(name) {
            Ok(tenant) => tenant,
            Err(error) => panic!("{error}"),
        };
        Self {
            clause,
            open,
            folder: folder.to_owned(),
            store: Some(Arc::new(open(folder.to_owned()).await)),
            clock,
            ids: SeededIds::new(17),
            acme: tenant("acme"),
            other: tenant("other"),
        }
    }

    /// The store; shared, for tasks.
    pub(super) fn store(&self) -> &Arc<S> {
        match &self.store {
            Some(store) => store,
            None => self.broken("the store couldn't be opened again"),
        }
    }

    /// Drops the store and opens it again, as a new process would.
    pub(super) async fn restart(&mut self) {
        self.store = None;
        self.store = Some(Arc::new((self.open)(self.folder.clone()).await));
    }

    /// Another instance on the same folder, as another process has one.
    pub(super) async fn another_instance(&self) -> S {
        (self.open)(self.folder.clone()).await
    }

    pub(super) fn clock(&self) -> Option<&TestClock> {
        self.clock.as_ref()
    }

    #[track_caller]
    pub(super) fn broken(&self, seen: &str) -> ! {
        panic!(
            "the store breaks its contract\n  clause: {}\n  {seen}",
            self.clause
        )
    }

    #[track_caller]
    pub(super) fn ok<T, E: Debug>(&self, result: Result<T, E>, what: &str) -> T {
        match result {
            Ok(value) => value,
            Err(error) => self.broken(&format!("{what} failed: {error:?}")),
        }
    }

    /// A new identifier; later ones sort after earlier ones.
    pub(super) fn uuid(&self) -> Uuid {
        self.ids.uuid(super::make::TIME)
    }

    /// An identifier that was made at that time.
    pub(super) fn uuid_at(&self, time: Timestamp) -> Uuid {
        SeededIds::new(self.uuid().as_u128() as u64).uuid(time)
    }

    pub(super) fn batch(&self) -> Batch {
        Batch::new(CommitId(self.uuid()))
    }

    /// Commits for acme what must be committed.
    pub(super) async fn commit(&self, batch: Batch) -> Receipt {
        self.commit_of(&self.acme, batch).await
    }

    pub(super) async fn commit_of(&self, tenant: &Tenant, batch: Batch) -> Receipt {
        let receipt = self.ok(
            self.store().commit(tenant, &batch).await,
            "a batch that had to be committed",
        );
        check_eq!(
            self,
            receipt.commit_id,
            batch.commit_id,
            "the receipt is another commit's"
        );
        receipt
    }

    /// Commits for acme what must be refused.
    pub(super) async fn refused(&self, batch: &Batch, why: &str) -> CommitError {
        self.refused_of(&self.acme, batch, why).await
    }

    pub(super) async fn refused_of(&self, tenant: &Tenant, batch: &Batch, why: &str) -> CommitError {
        match self.store().commit(tenant, batch).await {
            Ok(_) => self.broken(&format!("a batch was committed that had to be refused: {why}")),
            Err(CommitError::Unknown(_)) => self.broken(&format!("a refusal was reported as unknown: {why}")),
            Err(error) => error,
        }
    }

    #[track_caller]
    pub(super) fn conflict(&self, error: &CommitError, expected: &Refusal, why: &str) {
        match error {
            CommitError::Conflict(refusal) => {
                check_eq!(self, refusal, expected, "{why}: refused for another reason")
            }
            CommitError::Fenced(_) | CommitError::NotCommitted(_) | CommitError::Unknown(_) => self.broken(
                &format!("{why}: expected Conflict({expected:?}), but saw {error:?}"),
            ),
        }
    }

    #[track_caller]
    pub(super) fn fenced(&self, error: &CommitError, expected: JobKey, why: &str) {
        match error {
            CommitError::Fenced(job) => check_eq!(self, *job, expected, "{why}: another job is named"),
            CommitError::Conflict(_) | CommitError::NotCommitted(_) | CommitError::Unknown(_) => self.broken(
                &format!("{why}: expected Fenced({expected:?}), but saw {error:?}"),
            ),
        }
    }

    #[track_caller]
    pub(super) fn not_committed(&self, error: &CommitError, why: &str) {
        check!(
            self,
            matches!(error, CommitError::NotCommitted(_)),
            "{why}: expected NotCommitted, but saw {error:?}"
        );
    }

    pub(super) async fn load(&self, key: RowKey) -> Option<Row> {
        self.load_of(&self.acme, key).await
    }

    pub(super) async fn load_of(&self, tenant: &Tenant, key: RowKey) -> Option<Row> {
        let mut rows = self.ok(self.store().load(tenant, &[key]).await, "`load`");
        check_eq!(
            self,
            rows.len(),
            1,
            "`load` of one key gave another number of rows"
        );
        rows.pop().flatten()
    }

    pub(super) async fn lookup(&self, key: &UniqueKey) -> Option<Unique> {
        self.ok(self.store().lookup(&self.acme, key).await, "`lookup`")
    }

    pub(super) async fn locate(&self, key: &UniqueKey) -> Option<(Tenant, RowKey)> {
        self.ok(self.store().locate(key).await, "`locate`")
    }

    pub(super) async fn events(&self, row: RowKey, from: u64, limit: u32) -> Vec<StoredEvent> {
        self.ok(
            self.store().events(&self.acme, row, from, limit).await,
            "`events`",
        )
    }

    pub(super) async fn resolve(&self, id: CommitId) -> Resolved {
        self.ok(self.store().resolve(&self.acme, id).await, "`resolve`")
    }

    /// Claims; their ages, which most clauses don't mind, are left out.
    pub(super) async fn claim(&self, queue: Queue, limit: u32, lease: Duration) -> Vec<Claim> {
        let claims = self.claim_with_ages(queue, limit, lease).await;
        let ageless = |claim| Claim {
            age: Duration::ZERO,
            ..claim
        };
        claims.into_iter().map(ageless).collect()
    }

    pub(super) async fn claim_with_ages(&self, queue: Queue, limit: u32, lease: Duration) -> Vec<Claim> {
        let request = ClaimRequest { queue, limit, lease };
        self.ok(self.store().claim_due(&request).await, "`claim_due`")
    }

    pub(super) async fn backlog(&self, queue: Queue) -> Backlog {
        let mut backlog = self.ok(self.store().backlog(queue).await, "`backlog`");
        backlog.attention.sort();
        backlog
    }

    /// Lets so much time pass for the store: a test's clock is moved, else it is waited for.
    #[allow(
        clippy::disallowed_methods,
        reason = "a store with a clock of its own is waited for in real time"
    )]
    pub(super) async fn pass(&self, time: Duration) {
        match self.clock() {
            Some(clock) => clock.advance(time),
            None => tokio::time::sleep(time).await,
        }
    }

    /// Claims until there is something, for a lease of an hour. Moves the clock on by `wait` if it is a test's, else
    /// waits for the store's own, at most five seconds more than `wait`.
    #[allow(
        clippy::disallowed_methods,
        reason = "the store's own clock can only be waited for"
    )]
    pub(super) async fn claim_after(&self, queue: Queue, wait: Duration) -> Vec<Claim> {
        const PAUSE: Duration = Duration::from_millis(5);
        if let Some(clock) = self.clock() {
            clock.advance(wait);
            return self.claim(queue, 10, super::make::HOUR).await;
        }
        let mut waited = Duration::ZERO;
        loop {
            let claims = self.claim(queue, 10, super::make::HOUR).await;
            if !claims.is_empty() || waited > wait + Duration::from_secs(5) {
                return claims;
            }
            tokio::time::sleep(PAUSE).await;
            waited += PAUSE;
        }
    }
}

/// Polls a future at most so often, and drops it then: a caller that goes away. `None` if it wasn't done.
pub(super) async fn drop_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(move |cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
