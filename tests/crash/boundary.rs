//! Every boundary between the engine and a port: where a crash may be put, and faults of the store.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use paymux::connector::{Connector, Request, Response, Transport, TransportError};
use paymux::store::*;
use paymux::{AccountRef, Connectors, Endpoint, EndpointId, Result, Tenant};

/// Counts the boundaries that a verb passes, and ends it at the one that was chosen. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boundaries(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    passed: AtomicU32,
    cut_at: AtomicU32,
    cut_named: Mutex<Option<&'static str>>,
    cut: AtomicBool,
    pace: AtomicU64,
    let_go: AtomicBool,
    log: Mutex<Vec<String>>,
    commits: AtomicU32,
    faults: Mutex<Vec<(u32, CommitFault)>>,
}

/// What befalls a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It is written, and the store can't tell.
    UnknownApplied,
    /// It isn't written, and the store can't tell.
    UnknownLost,
    /// It isn't written, and the store says so.
    NotCommitted,
    /// Refused as if somebody else had changed the row.
    Conflict,
}

impl Boundaries {
    /// Cuts at the `n`th boundary from now on, the first being 1.
    pub(crate) fn cut_at(n: u32) -> Self {
        let boundaries = Self::default();
        boundaries.0.cut_at.store(n, Ordering::SeqCst);
        boundaries
    }

    /// Cuts at the first boundary whose name begins so.
    pub(crate) fn cut_named(name: &'static str) -> Self {
        let boundaries = Self::default();
        *boundaries.0.cut_named.lock().unwrap() = Some(name);
        boundaries
    }

    /// Gives way at each boundary as often as follows from `pace`; 0 is once.
    pub(crate) fn set_pace(&self, pace: u64) {
        self.0.pace.store(pace, Ordering::SeqCst);
    }

    /// Lets `fault` befall the `n`th commit, the first being 1.
    pub(crate) fn fault(self, n: u32, fault: CommitFault) -> Self {
        self.0.faults.lock().unwrap().push((n, fault));
        self
    }

    /// Lets go on what was held at the chosen boundary: a caller who was slow, not dead.
    pub(crate) fn let_go(&self) {
        self.0.let_go.store(true, Ordering::SeqCst);
    }

    /// What was passed, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    /// How many faults didn't come to pass.
    pub(crate) fn faults_left(&self) -> usize {
        self.0.faults.lock().unwrap().len()
    }

    /// Runs `work` until it ends or reaches the chosen boundary, where it is dropped: then `None`.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.0.cut.load(Ordering::SeqCst) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    async fn pass(&self, what: impl FnOnce() -> String) {
        let inner = &self.0;
        let what = what();
        let named = inner
            .cut_named
            .lock()
            .unwrap()
            .is_some_and(|name| what.starts_with(name));
        inner.log.lock().unwrap().push(what);
        let place = inner.passed.fetch_add(1, Ordering::SeqCst) + 1;
        let chosen = named || place == inner.cut_at.load(Ordering::SeqCst);
        let cut = chosen || inner.cut.load(Ordering::SeqCst);
        if cut && !inner.let_go.load(Ordering::SeqCst) {
            inner.cut.store(true, Ordering::SeqCst);
            let held = |_: &mut std::task::Context<'_>| match inner.let_go.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            };
            std::future::poll_fn(held).await;
        }
        for _ in 0..turns(inner.pace.load(Ordering::SeqCst), place) {
            yield_once().await;
        }
    }

    fn commit_fault(&self) -> Option<CommitFault> {
        let at = self.0.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let mut faults = self.0.faults.lock().unwrap();
        let place = faults.iter().position(|(n, _)| *n == at)?;
        Some(faults.remove(place).1)
    }

    /// A connector whose every call passes a boundary before and after.
    pub(crate) fn around(&self, connector: Connector) -> Connector {
        let boundaries = self.clone();
        connector.with_transport(|inner| Arc::new(CutTransport { inner, boundaries }))
    }
}

/// How often a boundary gives way.
fn turns(pace: u64, place: u32) -> u64 {
    match pace {
        0 => 1,
        seed => 1 + (mixed(seed, u64::from(place)) >> 32) % 6,
    }
}

/// A number that looks like chance and isn't.
pub(crate) fn mixed(seed: u64, part: u64) -> u64 {
    let mixed = (seed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// Lets whatever else there is go on first: work that is done side by side takes turns at every boundary.
async fn yield_once() {
    let mut yielded = false;
    let once = |cx: &mut std::task::Context<'_>| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    };
    std::future::poll_fn(once).await;
}

/// A store whose every call passes a boundary before and after its effect.
#[derive(Debug)]
pub(crate) struct CutStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) boundaries: Boundaries,
}

impl CutStore {
    async fn around<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        self.boundaries.pass(|| format!("before {name}")).await;
        let done = work.await;
        self.boundaries.pass(|| format!("after {name}")).await;
        done
    }
}

#[async_trait::async_trait]
impl Store for CutStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.around("load", self.inner.load(tenant, keys)).await
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.around("lookup", self.inner.lookup(tenant, key)).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.around("locate", self.inner.locate(key)).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.around("find", self.inner.find(tenant, query)).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.around("events", self.inner.events(tenant, row, from, limit))
            .await
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let fault = self.boundaries.commit_fault();
        self.around("commit", async {
            match fault {
                None => self.inner.commit(tenant, batch).await,
                Some(CommitFault::UnknownApplied) => {
                    self.inner.commit(tenant, batch).await?;
                    Err(CommitError::Unknown(batch.commit_id))
                }
                Some(CommitFault::UnknownLost) => Err(CommitError::Unknown(batch.commit_id)),
                Some(CommitFault::NotCommitted) => Err(CommitError::NotCommitted(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "the disk is full",
                ))),
                Some(CommitFault::Conflict) => {
                    let row = batch.puts.first().map(|row| row.key);
                    match row {
                        Some(key) => Err(CommitError::Conflict(Refusal::Row(key))),
                        None => self.inner.commit(tenant, batch).await,
                    }
                }
            }
        })
        .await
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.around("resolve", self.inner.resolve(tenant, id)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.around("claim", self.inner.claim_due(request)).await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.inner.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.around("purge", self.inner.purge(retention, limit)).await
    }
}

struct CutTransport {
    inner: Arc<dyn Transport>,
    boundaries: Boundaries,
}

impl fmt::Debug for CutTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutTransport")
    }
}

#[async_trait::async_trait]
impl Transport for CutTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let what = format!("{} {}", request.method(), request.url());
        self.boundaries.pass(|| format!("before {what}")).await;
        let answer = self.inner.send(request).await;
        self.boundaries.pass(|| format!("after {what}")).await;
        answer
    }
}

/// A source of accounts whose every answer waits at a boundary.
#[derive(Debug)]
pub(crate) struct CutConnectors<C> {
    pub(crate) inner: C,
    pub(crate) boundaries: Boundaries,
}

#[async_trait::async_trait]
impl<C: Connectors> Connectors for CutConnectors<C> {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        self.boundaries.pass(|| "before account".to_owned()).await;
        self.inner.get(tenant, account).await
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        self.boundaries.pass(|| "before accounts".to_owned()).await;
        self.inner.accounts(tenant).await
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        self.boundaries.pass(|| "before endpoint".to_owned()).await;
        self.inner.endpoint(endpoint).await
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        self.boundaries.pass(|| "before owner".to_owned()).await;
        self.inner.owner(account).await
    }
}
