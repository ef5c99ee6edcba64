//! The engine: what a host builds once, and the handles that its requests use.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod aggregate;
mod call;
mod commit;
mod confirm;
mod drive;
mod due;
mod follow;
mod health;
mod idempotency;
mod inbound;
mod notice;
mod operate;
mod operation;
mod operator;
mod payments;
mod policy;
mod programs;
mod query;
mod recover;
mod refunds;
mod registry;
mod resolve;
mod route;
mod said;
mod sessions;
mod sync;
mod tries;
mod turns;
mod view;
mod write;

use health::HealthDesk;
pub use health::HealthPolicy;
pub use idempotency::IdempotencyKey;
pub use inbound::{Received, WebhookReply};
pub use operator::{AcceptDuplicateRisk, Actor, Evidence, Operator, ReviewVerdict, Verdict};
pub use payments::{CaptureAmount, Confirm, Payments, ReturnPayload};
pub use policy::{KeyLife, OnLatePayment, PartialAuthorization, Policy};
use programs::ProgramCache;
pub use programs::{Programs, StoredProgram};
pub use query::{Cursor, HistoryEvent, IntentQuery, Listing, Page, RefundQuery, SessionQuery, UnknownQuery};
pub use recover::{Drained, Progress};
use registry::ByMode;
pub use registry::{ConnectorMap, Connectors, Endpoint};

use crate::error::Result;
use crate::risk::{RiskCheck, RiskStages};
use crate::routing::{FeeTable, Health, OrderedRouter, Router};
use crate::runtime::Runtime;
use crate::store::{Backlog, Queue, Retention, Store};
use crate::tenant::Tenant;
use turns::Turns;

/// paymux itself: a store, accounts, a runtime and a policy. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    inner: Arc<Inner>,
}

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) connectors: Arc<dyn Connectors>,
    pub(crate) runtime: Runtime,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) programs: Option<ProgramCache>,
    pub(crate) health: Option<HealthDesk>,
    pub(crate) fees: FeeTable,
    pub(crate) risk: Option<Arc<dyn RiskCheck>>,
    pub(crate) policy: Policy,
    pub(crate) turns: Turns,
    /// How often another worker had taken over what this instance was at.
    pub(crate) overtaken: AtomicU64,
    /// How often code that isn't ours panicked.
    pub(crate) panics: AtomicU64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orchestrator")
            .field("store", &self.store)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Orchestrator {
    /// Starts to build: what is required is positional, so that no builder can lack it.
    pub fn builder(store: impl Store, connectors: impl Connectors, runtime: Runtime) -> OrchestratorBuilder {
        OrchestratorBuilder {
            inner: Inner {
                store: Arc::new(store),
                connectors: Arc::new(ByMode(Arc::new(connectors))),
                runtime,
                router: Arc::new(OrderedRouter::new()),
                programs: None,
                health: None,
                fees: FeeTable::default(),
                risk: None,
                policy: Policy::default(),
                turns: Turns::default(),
                overtaken: AtomicU64::new(0),
                panics: AtomicU64::new(0),
            },
            health: None,
        }
    }

    /// The handle for one tenant: every verb stands on it, so that none is called without a tenant.
    pub fn tenant(&self, tenant: Tenant) -> Payments {
        Payments {
            engine: self.inner.clone(),
            tenant,
        }
    }

    /// Takes what a processor posted, and gives the HTTP answer. It never errs: [`WebhookReply::received`] says what
    /// became of it.
    pub async fn handle_webhook(
        &self,
        endpoint: &crate::EndpointId,
        headers: &http::HeaderMap,
        body: bytes::Bytes,
    ) -> WebhookReply {
        self.inner.clone().handle_webhook(endpoint, headers, body).await
    }

    /// Recovers operations whose caller died, resolves unknown outcomes, asks about pending ones and does what is
    /// due: at most `limit` of each. A host that drives no workers calls this itself.
    ///
    /// # Errors
    /// The store couldn't be read; what is due stays due.
    pub async fn recover_due(&self, limit: u32) -> Result<Progress> {
        self.inner.clone().recover_due(limit).await
    }

    /// Ends sessions and intents whose time is up: at most `limit`.
    ///
    /// # Errors
    /// The store couldn't be read; what is due stays due.
    pub async fn expire_due(&self, limit: u32) -> Result<Progress> {
        self.inner.clone().expire_due(limit).await
    }

    /// Does all due work until `shutdown`, then finishes what is in hand and returns: the rest is taken up by another
    /// instance, or at the next start.
    ///
    /// # Errors
    /// None at present: a store that can't be read is tried again.
    pub async fn run_workers(&self, shutdown: impl Future<Output = ()> + Send) -> Result<Drained> {
        self.inner.clone().run_workers(shutdown).await
    }

    /// How much waits in a queue, over all tenants, and which tenants have unknown outcomes.
    ///
    /// # Errors
    /// The store couldn't be read.
    pub async fn backlog(&self, queue: Queue) -> Result<Backlog> {
        self.inner.store.backlog(queue).await.map_err(commit::unreadable)
    }

    /// Writes what this instance has counted of its accounts, and reads what the others have, unless it has just done so.
    /// [`run_workers`](Orchestrator::run_workers) does it by itself.
    ///
    /// # Errors
    /// The store couldn't be read or written; what was counted isn't lost.
    pub async fn exchange_health(&self) -> Result<()> {
        self.inner.exchange_health().await
    }

    /// How accounts do, by what all instances counted; `None` where nothing is counted.
    pub fn health(&self) -> Option<Health> {
        self.inner.health_view()
    }

    /// How often since it was built this instance lost a lease: another worker had taken its job over, and its late
    /// commit was refused. It counts work that took longer than its lease, and clocks or stores that stall; no money
    /// is at risk.
    pub fn lease_losses(&self) -> u64 {
        self.inner.overtaken.load(Ordering::Relaxed)
    }

    /// How often since it was built a connector, a transport or another port of the host's panicked here. Each was stopped
    /// where it was called: an answer that couldn't be read so is unknown, a webhook is refused, due work stays due.
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Deletes at most `limit` things that are older than `retention` says.
    ///
    /// # Errors
    /// The store couldn't be written.
    pub async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64> {
        self.inner
            .store
            .purge(retention, limit)
            .await
            .map_err(commit::unreadable)
    }
}

/// Builds an [`Orchestrator`].
#[derive(Debug)]
#[must_use = "call build"]
pub struct OrchestratorBuilder {
    inner: Inner,
    health: Option<HealthPolicy>,
}

impl OrchestratorBuilder {
    /// Orders accounts by this router, a [`Program`](crate::routing::Program) say; without one, by their registration.
    pub fn router(mut self, router: impl Router) -> Self {
        self.inner.router = Arc::new(router);
        self
    }

    /// Lets each tenant keep routing programs of its own in the store: [`Payments::programs`]. The active one routes its
    /// payments; a tenant without one has the router's order. `refresh` is how long this instance goes by what it read
    /// last: one read of the store for each tenant in so long.
    pub fn stored_programs(mut self, refresh: Duration) -> Self {
        self.inner.programs = Some(ProgramCache::new(refresh));
        self
    }

    /// Counts how accounts do: approvals, declines, failures and latency, for routing by success rate and for circuits that
    /// open where nothing is executed. Instances hear of each other through the store, by
    /// [`run_workers`](Orchestrator::run_workers) or [`exchange_health`](Orchestrator::exchange_health); without this
    /// nothing is counted.
    pub fn health(mut self, policy: HealthPolicy) -> Self {
        self.health = Some(policy);
        self
    }

    /// What payments cost at which account, for routing to the cheapest and for what explanations show.
    pub fn fees(mut self, fees: FeeTable) -> Self {
        self.inner.fees = fees;
        self
    }

    /// With these choices about time and money.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.inner.policy = policy;
        self
    }

    /// With the host's own risk check.
    pub fn risk(mut self, check: impl RiskCheck) -> Self {
        self.inner.risk = Some(Arc::new(check));
        self
    }

    /// The orchestrator, once the store answers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with every choice of the policy that makes no sense; the store couldn't be read.
    pub async fn build(self) -> Result<Orchestrator> {
        self.inner.policy.check()?;
        let mut inner = self.inner;
        if let Some(policy) = &self.health {
            inner.health = Some(HealthDesk::new(policy, &inner.runtime)?);
        }
        let built = Orchestrator {
            inner: Arc::new(inner),
        };
        built.backlog(Queue::Recovery).await?;
        Ok(built)
    }
}

impl Inner {
    /// Counts and traces a panic of code that isn't ours.
    pub(crate) fn note_panic(&self, whose: &dyn fmt::Display, at: &'static str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%whose, at, "code that isn't paymux's panicked, and was stopped");
    }

    pub(crate) fn checks_after(&self) -> bool {
        match self.risk.as_ref().map(|risk| risk.stages()) {
            Some(RiskStages::BeforeAndAfter) => true,
            Some(RiskStages::Before) | None => false,
        }
    }

    /// With `Spawn`, runs to its end even if the caller goes away; without, inside the caller's future. `None` where the
    /// task was dropped with its runtime: what it had begun is recovered like any crash.
    pub(crate) async fn shielded<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let Some(spawn) = &self.runtime.spawn else {
            // On the heap: a whole drive is large, and a caller's stack may be small.
            return Some(Box::pin(work).await);
        };
        let (send, receive) = oneshot();
        spawn.spawn(Box::pin(async move { send.put(work.await) }));
        receive.await
    }
}

struct Slot<T> {
    value: Option<T>,
    closed: bool,
    waker: Option<std::task::Waker>,
}

struct Sender<T>(Arc<std::sync::Mutex<Slot<T>>>);

struct Receiver<T>(Arc<std::sync::Mutex<Slot<T>>>);

/// A channel for one value, of the little that std has: core has no channels, and a task hands back one result.
fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(std::sync::Mutex::new(Slot {
        value: None,
        closed: false,
        waker: None,
    }));
    (Sender(slot.clone()), Receiver(slot))
}

impl<T> Sender<T> {
    fn put(self, value: T) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .value = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut slot = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.closed = true;
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        let mut slot = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (slot.value.take(), slot.closed) {
            (Some(value), _) => std::task::Poll::Ready(Some(value)),
            (None, true) => std::task::Poll::Ready(None),
            (None, false) => {
                slot.waker = Some(cx.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}
