//! One store, one processor and one clock that outlive the engines which crash over them, and the audit of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paymux::prelude::*;
use paymux::sandbox::{Sandbox, Shape};
use paymux::store::StoreTime;
use paymux::{
    AttemptStatus, EndpointId, IntentQuery, IntentStatus, Mode, OrchestratorBuilder, PaymentIntent, Queue,
    RefundQuery, RefundStatus, SeededIds, Store, TestClock, Totals, UnknownQuery,
};
use tempfile::TempDir;

use crate::boundary::{Boundaries, CutConnectors, CutStore};
use crate::database::Database;
use crate::story::Story;

/// Which store a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    InMemory,
    InSqlite,
    AtPostgres,
}

impl Kept {
    /// All that there are here.
    pub(crate) async fn everywhere() -> Vec<Self> {
        let mut all = vec![Self::InMemory, Self::InSqlite];
        if Database::find().await.is_some() {
            all.push(Self::AtPostgres);
        }
        all
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::InMemory => "memory",
            Self::InSqlite => "SQLite",
            Self::AtPostgres => "PostgreSQL",
        }
    }
}

pub(crate) const ORDER: &str = "order-1042";

/// How the host builds its engine.
pub(crate) type Host = fn(OrchestratorBuilder) -> OrchestratorBuilder;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) sandbox: Sandbox,
    pub(crate) store: Arc<dyn Store>,
    accounts: Vec<&'static str>,
    host: Host,
    seed: AtomicU64,
    pace: AtomicU64,
    _folder: Option<TempDir>,
    _database: Option<Database>,
}

/// What both sides believe at quiescence, without identifiers: equal for a run that crashed and one that didn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Believed {
    pub(crate) payment: Option<(IntentStatus, Totals)>,
    pub(crate) attempts: Vec<(String, AttemptStatus)>,
    pub(crate) refunds: Vec<(Money, RefundStatus)>,
    pub(crate) books: Vec<String>,
}

impl World {
    /// The world in which a story takes place, over a store that tells this clock's time.
    pub(crate) fn of(story: Story, clock: TestClock, store: Arc<dyn Store>) -> Self {
        Self {
            host: story.host(),
            ..Self::over(clock, store, story.shape(), story.accounts())
        }
    }

    pub(crate) async fn new(kept: Kept, shape: Shape, accounts: &[&'static str]) -> Self {
        let clock = TestClock::new();
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        let (mut folder, mut database) = (None, None);
        let store: Arc<dyn Store> = match kept {
            Kept::InMemory => Arc::new(MemoryStore::with_time(time)),
            Kept::InSqlite => {
                let kept = folder.insert(tempfile::tempdir().unwrap());
                let options = paymux::SqliteOptions::new(kept.path().join("payments.db")).time(time);
                Arc::new(options.open().await.unwrap())
            }
            Kept::AtPostgres => {
                let kept = database.insert(Database::find().await.unwrap());
                let options = paymux::PostgresOptions::new(kept.url()).schema(kept.schema());
                Arc::new(options.max_connections(4).time(time).open().await.unwrap())
            }
        };
        Self {
            _folder: folder,
            _database: database,
            ..Self::over(clock, store, shape, accounts)
        }
    }

    fn over(clock: TestClock, store: Arc<dyn Store>, shape: Shape, accounts: &[&'static str]) -> Self {
        Self {
            sandbox: Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape),
            clock,
            store,
            accounts: accounts.to_vec(),
            host: |builder| builder,
            seed: AtomicU64::new(1),
            pace: AtomicU64::new(0),
            _folder: None,
            _database: None,
        }
    }

    /// By which what the engines from now on do side by side takes turns.
    pub(crate) fn set_pace(&self, pace: u64) {
        self.pace.store(pace, Ordering::SeqCst);
    }

    /// A fresh engine over what is left of the one before, as after a restart.
    pub(crate) async fn engine(&self, boundaries: &Boundaries) -> Orchestrator {
        boundaries.set_pace(self.pace.load(Ordering::SeqCst));
        let accounts = self
            .accounts
            .iter()
            .map(|account| boundaries.around(self.sandbox.connector(account)));
        let mut connectors = ConnectorMap::shared(accounts).unwrap();
        for account in &self.accounts {
            let connector = self.sandbox.connector(account);
            connectors = connectors
                .endpoint(
                    Self::endpoint(account),
                    connector.account().clone(),
                    [self.sandbox.webhook_secret()],
                )
                .unwrap();
        }
        let store = CutStore {
            inner: self.store.clone(),
            boundaries: boundaries.clone(),
        };
        let connectors = CutConnectors {
            inner: connectors,
            boundaries: boundaries.clone(),
        };
        let seed = self.seed.fetch_add(1, Ordering::SeqCst);
        let runtime = Runtime::new(self.clock.clone(), SeededIds::new(seed), None);
        let builder = Orchestrator::builder(store, connectors, runtime);
        (self.host)(builder).build().await.unwrap()
    }

    pub(crate) fn endpoint(account: &str) -> EndpointId {
        EndpointId::named(Mode::Test, account)
    }

    pub(crate) fn tenant() -> Tenant {
        Tenant::test("acme").unwrap()
    }

    pub(crate) async fn payments(&self) -> Payments {
        self.engine(&Boundaries::default()).await.tenant(Self::tenant())
    }

    /// Recovers with a fresh engine until nothing is under way any more, which it must be in bounded time.
    pub(crate) async fn recover(&self) {
        let whole = Box::pin(self.recover_through(&Boundaries::default())).await;
        assert!(whole.is_some(), "nobody cut it");
    }

    /// The same, but that the engine may be cut: then `None`.
    pub(crate) async fn recover_through(&self, boundaries: &Boundaries) -> Option<()> {
        let engine = self.engine(boundaries).await;
        let looking = self.engine(&Boundaries::default()).await;
        let mut quiet = 0;
        for _ in 0..14 {
            self.work(&engine, boundaries, Duration::from_secs(50)).await?;
            let recovery = looking.backlog(Queue::Recovery).await.unwrap();
            let due = looking.backlog(Queue::Due).await.unwrap();
            quiet = match recovery.scheduled + due.scheduled {
                0 => quiet + 1,
                _ => 0,
            };
            let waits = |intent: &PaymentIntent| {
                let totals = intent.totals();
                intent.status() == IntentStatus::Processing
                    || totals.capture_pending + totals.refund_pending > 0
            };
            if quiet >= 2 && !Box::pin(self.intents()).await.iter().any(waits) {
                return Some(());
            }
            if quiet >= 2 {
                // Only the processor knows: it is asked at least every hour.
                self.clock.advance(Duration::from_secs(3_600));
            }
        }
        panic!("still not quiet:\n{}", self.sandbox.ledger().render());
    }

    /// Recovers a while, whatever comes of it: what is under way may need somebody to come back.
    pub(crate) async fn recover_some(&self, boundaries: &Boundaries) -> Option<()> {
        let engine = self.engine(boundaries).await;
        for _ in 0..3 {
            self.work(&engine, boundaries, Duration::from_secs(50)).await?;
        }
        Some(())
    }

    /// Lets hours pass, one by one, with all that falls due meanwhile.
    pub(crate) async fn pass_hours(&self, hours: u32) {
        let boundaries = Boundaries::default();
        let engine = self.engine(&boundaries).await;
        for _ in 0..hours {
            let worked = self.work(&engine, &boundaries, Duration::from_secs(3_600));
            assert!(worked.await.is_some(), "nobody cut it");
        }
    }

    async fn work(&self, engine: &Orchestrator, boundaries: &Boundaries, after: Duration) -> Option<()> {
        self.clock.advance(after);
        let recovered = boundaries.run(Box::pin(engine.recover_due(100))).await?.unwrap();
        let expired = boundaries.run(Box::pin(engine.expire_due(100))).await?.unwrap();
        assert_eq!(
            recovered.failed + expired.failed,
            0,
            "recovery failed on a healthy store and processor: {recovered:?} {expired:?}"
        );
        Some(())
    }

    pub(crate) async fn intents(&self) -> Vec<PaymentIntent> {
        let query = IntentQuery::new().reference(ORDER);
        let payments = self.payments().await;
        payments.intents(query).page(100, None).await.unwrap().items
    }

    /// What both sides believe now; at quiescence, what must hold of it.
    pub(crate) async fn audit(&self) -> Believed {
        let payments = self.payments().await;
        let operator = payments.operator(Actor::person("auditor"));
        let unknown = operator
            .unknowns(UnknownQuery::new())
            .page(100, None)
            .await
            .unwrap()
            .items;
        assert!(unknown.is_empty(), "left in doubt: {unknown:?}");
        let ledger = self.sandbox.ledger();
        let live = ledger.live_charges(ORDER);
        assert!(live.len() <= 1, "charged twice:\n{}", ledger.render());
        let intents = self.intents().await;
        assert!(intents.len() <= 1, "one key made {} payments", intents.len());
        let theirs = ledger.totals(money!("1 EUR").currency()).unwrap();
        let refunds = match intents.first() {
            None => Vec::new(),
            Some(intent) => {
                let query = RefundQuery::new().intent(*intent.id());
                payments.refunds(query).page(100, None).await.unwrap().items
            }
        };
        let totals = intents.first().map(|intent| *intent.totals()).unwrap_or_default();
        let books = ledger.render();
        if intents.iter().all(|intent| {
            intent
                .attempts()
                .iter()
                .all(|attempt| attempt.compensation().is_none())
        }) {
            assert_eq!(
                theirs.captured.minor(),
                totals.captured,
                "captured\n{books}{intents:#?}"
            );
            assert_eq!(
                theirs.refunded.minor(),
                totals.refunded,
                "refunded\n{books}{intents:#?}"
            );
        }
        if let Some(intent) = intents.first() {
            let held = match intent.status() {
                IntentStatus::Authorized => totals.authorized - totals.captured - totals.capture_pending,
                _ended => 0,
            };
            assert_eq!(
                theirs.held.minor(),
                held,
                "held, while {:?}\n{books}",
                intent.status()
            );
        } else {
            assert!(
                ledger.payments().is_empty(),
                "money that nobody knows of\n{books}"
            );
        }
        self.audit_sends();
        Believed {
            payment: intents.first().map(|intent| (intent.status(), *intent.totals())),
            attempts: intents
                .iter()
                .flat_map(|intent| intent.attempts().iter().map(move |attempt| (intent, attempt)))
                .map(|(intent, attempt)| {
                    let taken = intent.totals().captured > 0 && intent.totals().capturable() == 0;
                    let status = match attempt.status() {
                        // The answer to a release speaks of what was held; a read of the same says that the rest is taken.
                        AttemptStatus::Authorized if taken => AttemptStatus::Captured,
                        status => status,
                    };
                    (attempt.account().to_string(), status)
                })
                .collect(),
            refunds: refunds
                .iter()
                .map(|refund| (refund.amount(), refund.status()))
                .collect(),
            books: ledger
                .payments()
                .iter()
                .map(|payment| {
                    format!(
                        "{} {:?} held {} captured {} refunded {}",
                        payment.account,
                        payment.state,
                        payment.held(),
                        payment.captured,
                        payment.refunded
                    )
                })
                .collect(),
        }
    }

    /// Every send with a key has the same bytes as the others with that key.
    fn audit_sends(&self) {
        let ledger = self.sandbox.ledger();
        let mut known = std::collections::BTreeMap::new();
        for sent in ledger.sends() {
            let Some(key) = &sent.key else { continue };
            let first = known.entry(key.clone()).or_insert_with(|| sent.hash.clone());
            assert_eq!(*first, sent.hash, "one key, two requests: {sent:?}");
        }
    }
}
