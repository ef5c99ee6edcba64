//! A processor, a store that records what it is handed, and a clock that stands still: what the suites share.

#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paymux::connector::TimestampedHmac;
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::*;
use paymux::{
    AccountRef, Clock, ConnectorId, Connectors, EndpointId, Mode, OrchestratorBuilder, PaymentIntent,
    RandomIds, ReviewReason, SqliteOptions, TestClock, UnknownOutcome, UnknownQuery, WebhookReply,
    prelude::*,
};
use tempfile::TempDir;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(crate) fn card(token: &str) -> PaymentMethod {
    PaymentMethod::card_token(token)
}

pub(crate) fn account(name: &str) -> AccountRef {
    AccountRef::new(ConnectorId::from_static("sandbox"), name)
}

pub(crate) fn endpoint() -> EndpointId {
    EndpointId::named(Mode::Test, "sandbox")
}

/// One orchestrator in front of one sandbox, on one clock that a test moves.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) sandbox: Sandbox,
    pub(crate) store: Recorder,
    pub(crate) paymux: Orchestrator,
    pub(crate) payments: Payments,
    folder: Option<Arc<TempDir>>,
}

pub(crate) const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "sandbox-signature",
    tolerance: Duration::from_secs(300),
};

impl World {
    /// One account of the default shape.
    pub(crate) async fn new() -> Self {
        Self::of(Shape::default(), &["main"]).await
    }

    /// Accounts of one shape, in the order of preference.
    pub(crate) async fn of(shape: Shape, accounts: &[&str]) -> Self {
        Self::built(shape, accounts, |builder| builder).await
    }

    pub(crate) async fn built(
        shape: Shape,
        accounts: &[&str],
        build: impl FnOnce(OrchestratorBuilder) -> OrchestratorBuilder,
    ) -> Self {
        let (runtime, clock, sandbox, connectors) = Self::parts(shape, accounts);
        Self::from(runtime, clock, sandbox, connectors, build).await
    }

    /// The same on each store: in memory and on SQLite.
    pub(crate) async fn each(shape: Shape, accounts: &[&str]) -> [Self; 2] {
        Self::each_built(shape, accounts, |builder| builder).await
    }

    pub(crate) async fn each_built(
        shape: Shape,
        accounts: &[&str],
        build: impl Fn(OrchestratorBuilder) -> OrchestratorBuilder,
    ) -> [Self; 2] {
        let (runtime, clock, sandbox, connectors) = Self::parts(shape.clone(), accounts);
        let folder = tempfile::tempdir().unwrap();
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        let options = SqliteOptions::new(folder.path().join("payments.db")).time(time);
        let store = Recorder::over(options.open().await.unwrap());
        let sqlite = Self::over(store, runtime, clock, sandbox, connectors, &build).await;
        let folder = Some(Arc::new(folder));
        [
            Self::built(shape, accounts, &build).await,
            Self { folder, ..sqlite },
        ]
    }

    fn parts(shape: Shape, accounts: &[&str]) -> (Runtime, TestClock, Sandbox, ConnectorMap) {
        let (runtime, clock) = Runtime::test(7);
        let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape);
        let connectors = ConnectorMap::shared(accounts.iter().map(|name| sandbox.connector(name)))
            .unwrap()
            .endpoint(endpoint(), account(accounts[0]), [sandbox.webhook_secret()])
            .unwrap();
        (runtime, clock, sandbox, connectors)
    }

    pub(crate) async fn from(
        runtime: Runtime,
        clock: TestClock,
        sandbox: Sandbox,
        connectors: impl Connectors,
        build: impl FnOnce(OrchestratorBuilder) -> OrchestratorBuilder,
    ) -> Self {
        let store = Recorder::over(MemoryStore::with_time(StoreTime::Injected(Arc::new(
            clock.clone(),
        ))));
        Self::over(store, runtime, clock, sandbox, connectors, build).await
    }

    async fn over(
        store: Recorder,
        runtime: Runtime,
        clock: TestClock,
        sandbox: Sandbox,
        connectors: impl Connectors,
        build: impl FnOnce(OrchestratorBuilder) -> OrchestratorBuilder,
    ) -> Self {
        let builder = Orchestrator::builder(store.clone(), connectors, runtime);
        let paymux = build(builder).build().await.unwrap();
        let payments = paymux.tenant(tenant());
        Self {
            clock,
            sandbox,
            store,
            paymux,
            payments,
            folder: None,
        }
    }

    /// Another process over the same store and processor: the accounts may differ.
    pub(crate) async fn restarted(&self, connectors: ConnectorMap) -> Self {
        self.restarted_with(connectors, |builder| builder).await
    }

    /// The same, built in another way.
    pub(crate) async fn restarted_with(
        &self,
        connectors: ConnectorMap,
        build: impl FnOnce(OrchestratorBuilder) -> OrchestratorBuilder,
    ) -> Self {
        let runtime = Runtime::new(self.clock.clone(), RandomIds::new(), None);
        let builder = Orchestrator::builder(self.store.clone(), connectors, runtime);
        let paymux = build(builder).build().await.unwrap();
        Self {
            clock: self.clock.clone(),
            sandbox: self.sandbox.clone(),
            store: self.store.clone(),
            payments: paymux.tenant(tenant()),
            paymux,
            folder: self.folder.clone(),
        }
    }

    /// A payment of 100 EUR that is captured by itself.
    pub(crate) async fn pay(&self, token: &str) -> PaymentOutcome {
        self.confirmed(token, CaptureMethod::Automatic).await
    }

    /// A payment of 100 EUR that is captured by hand.
    pub(crate) async fn hold(&self, token: &str) -> PaymentOutcome {
        self.confirmed(token, CaptureMethod::Manual).await
    }

    async fn confirmed(&self, token: &str, capture: CaptureMethod) -> PaymentOutcome {
        let new = NewIntent::payment(money!("100 EUR"))
            .capture(capture)
            .reference("order");
        let key = self.payments.one_off_key();
        let reply = self.payments.create_and_confirm(&key, new, card(token)).await;
        reply.unwrap().outcome
    }

    /// 100 EUR, held.
    pub(crate) async fn authorized(&self) -> PaymentIntent {
        self.held("tok_approve").await
    }

    pub(crate) async fn held(&self, token: &str) -> PaymentIntent {
        match self.hold(token).await {
            PaymentOutcome::Authorized(intent) => intent,
            other => panic!("not held: {other:?}"),
        }
    }

    /// 100 EUR, taken.
    pub(crate) async fn paid(&self) -> PaymentIntent {
        self.taken("tok_approve").await
    }

    pub(crate) async fn taken(&self, token: &str) -> PaymentIntent {
        match self.pay(token).await {
            PaymentOutcome::Succeeded(intent) => intent,
            other => panic!("not paid: {other:?}"),
        }
    }

    pub(crate) async fn reread(&self, intent: &PaymentIntent) -> PaymentIntent {
        self.payments.intent(intent.id()).await.unwrap()
    }

    /// Does what is due now, until nothing more is.
    pub(crate) async fn recover(&self) {
        for _ in 0..50 {
            let progress = self.paymux.recover_due(100).await.unwrap();
            if progress.claimed == 0 {
                return;
            }
        }
        panic!("recovery never comes to rest");
    }

    /// Lets time pass and does what becomes due meanwhile, hour by hour.
    pub(crate) async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(HOUR);
            self.clock.advance(step);
            left -= step;
            self.recover().await;
            self.paymux.expire_due(100).await.unwrap();
        }
    }

    /// Hands the webhooks that wait to the endpoint.
    pub(crate) async fn deliver(&self) -> usize {
        let posts = self.sandbox.webhooks();
        let count = posts.len();
        for post in posts {
            let reply = self.post(post).await;
            assert!(reply.response.status().is_success(), "{reply:?}");
        }
        count
    }

    pub(crate) async fn post(&self, (headers, body): (http::HeaderMap, paymux::Bytes)) -> WebhookReply {
        self.paymux.handle_webhook(&endpoint(), &headers, body).await
    }

    /// A webhook with other contents, signed now: genuine.
    pub(crate) fn resigned(
        &self,
        body: &paymux::Bytes,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> (http::HeaderMap, paymux::Bytes) {
        let mut event = serde_json::from_slice(body).unwrap();
        change(&mut event);
        let body = paymux::Bytes::from(event.to_string());
        let secret = self.sandbox.webhook_secret();
        (SIGNATURE.sign(&body, &secret, self.clock.now()), body)
    }

    pub(crate) async fn unknowns(&self) -> Vec<UnknownOutcome> {
        let operator = self.payments.operator(Actor::person("ada"));
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = operator
                .unknowns(UnknownQuery::new())
                .page(100, after)
                .await
                .unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    /// What the processor has been sent and the store handed: equal before and after means that nothing happened.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.sandbox.ledger().sends().len(), self.store.commits())
    }

    /// How often `path` was asked for with `method`.
    pub(crate) fn sent(&self, method: &str, path: &str) -> usize {
        let ledger = self.sandbox.ledger();
        let meant = |sent: &&paymux::sandbox::Sent| sent.method == method && sent.path.contains(path);
        ledger.sends().iter().filter(meant).count()
    }

    /// How often something that can move money was sent.
    pub(crate) fn posts(&self) -> usize {
        self.sent("POST", "")
    }

    pub(crate) fn fault(&self, call: Call, fault: FaultKind) {
        self.sandbox.faults().next(call, fault);
    }

    /// The processor's identifier of a payment's last attempt.
    pub(crate) fn handle(&self, intent: &PaymentIntent) -> String {
        intent.attempts().last().unwrap().handle().unwrap().to_owned()
    }

    pub(crate) async fn rows(&self, kind: RowKind) -> Vec<Row> {
        self.store.find(&tenant(), &Query::of(kind)).await.unwrap()
    }

    /// The evidence that was kept, as text.
    pub(crate) async fn evidence(&self) -> Vec<(String, String)> {
        let rows = self.rows(RowKind::Evidence).await;
        rows.into_iter()
            .map(|row| (row.index.status, String::from_utf8(row.body.to_vec()).unwrap()))
            .collect()
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant::test("acme").unwrap()
}

pub(crate) fn unknown(outcome: PaymentOutcome) -> (PaymentIntent, UnknownOutcome) {
    match outcome {
        PaymentOutcome::Unknown { intent, unknown } => (intent, unknown),
        other => panic!("not unknown: {other:?}"),
    }
}

pub(crate) fn reviewed(intent: &PaymentIntent, reason: ReviewReason) {
    assert_eq!(intent.review(), Some(reason));
}

/// A store that remembers every batch that it committed.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    store: Arc<dyn Store>,
    committed: Arc<Mutex<Vec<(Tenant, Batch)>>>,
    /// How many commits it still takes before it takes none.
    takes: Arc<Mutex<Option<usize>>>,
    meanwhile: Meanwhile,
    before_next_sync: Meanwhile,
}

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done once, beside what the store is asked.
#[derive(Clone, Default)]
struct Meanwhile(Arc<Mutex<Option<Deed>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Recorder {
    pub(crate) fn over(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            committed: Arc::default(),
            takes: Arc::default(),
            meanwhile: Meanwhile::default(),
            before_next_sync: Meanwhile::default(),
        }
    }

    /// Has `what` happen before a worker that has asked writes when it asks next, if at all.
    pub(crate) fn before_next_sync(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.before_next_sync.0.lock().unwrap() = Some(Box::pin(what));
    }

    /// Has `what` happen after the next look-up has read, and before its reader goes on.
    pub(crate) fn meanwhile(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.0.lock().unwrap() = Some(Box::pin(what));
    }

    /// Takes so many commits more, and refuses all that follow.
    pub(crate) fn breaks_after(&self, commits: usize) {
        *self.takes.lock().unwrap() = Some(commits);
    }

    pub(crate) fn mended(&self) {
        *self.takes.lock().unwrap() = None;
    }

    fn takes(&self) -> bool {
        match self.takes.lock().unwrap().as_mut() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    pub(crate) fn commits(&self) -> usize {
        self.committed.lock().unwrap().len()
    }

    /// Everything that was ever written, as text.
    pub(crate) fn written(&self) -> String {
        let committed = self.committed.lock().unwrap();
        committed
            .iter()
            .map(|(tenant, batch)| format!("{tenant}: {batch:?}\n"))
            .collect()
    }
}

#[async_trait]
impl Store for Recorder {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.store.load(tenant, keys).await
    }
    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        let found = self.store.lookup(tenant, key).await;
        let meanwhile = self.meanwhile.0.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        found
    }
    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.store.locate(key).await
    }
    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.store.find(tenant, query).await
    }
    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(tenant, row, from, limit).await
    }
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        if !self.takes() {
            let error = StoreError::new(StoreErrorKind::Unavailable, "the store is down");
            return Err(CommitError::NotCommitted(error));
        }
        let syncs = |job: &JobWrite| job.key().queue == Queue::Sync;
        if batch.puts.is_empty() && batch.jobs.iter().any(syncs) {
            let before = self.before_next_sync.0.lock().unwrap().take();
            if let Some(before) = before {
                before.await;
            }
        }
        let receipt = self.store.commit(tenant, batch).await?;
        self.committed
            .lock()
            .unwrap()
            .push((tenant.clone(), batch.clone()));
        Ok(receipt)
    }
    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.store.resolve(tenant, id).await
    }
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.store.claim_due(request).await
    }
    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.store.backlog(queue).await
    }
    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.store.purge(retention, limit).await
    }
}
