//! One store, one processor and one clock that outlive the engines which crash over them, and the audit of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paymux::prelude::*;
use paymux::sandbox::{Sandbox, Shape};
use paymux::store::StoreTime;
use paymux::{
    AttemptStatus, EndpointId, IntentQuery, IntentStatus, Mode, PaymentIntent, Queue, RefundQuery,
    RefundStatus, SeededIds, Store, TestClock, Totals, UnknownQuery,
};
use tempfile::TempDir;

use crate::boundary::{Boundaries, CutConnectors, CutStore};

/// Which store a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    InMemory,
    InSqlite,
}

pub(crate) const ORDER: &str = "order-1042";

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) sandbox: Sandbox,
    pub(crate) store: Arc<dyn Store>,
    accounts: Vec<&'static str>,
    seed: AtomicU64,
    _folder: Option<TempDir>,
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
    pub(crate) async fn new(kept: Kept, shape: Shape, accounts: &[&'static str]) -> Self {
        let clock = TestClock::new();
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        let (store, folder): (Arc<dyn Store>, _) = match kept {
            Kept::InMemory => (Arc::new(MemoryStore::with_time(time)), None),
            Kept::InSqlite => {
                let folder = tempfile::tempdir().unwrap();
                let options = paymux::SqliteOptions::new(folder.path().join("payments.db")).time(time);
                (Arc::new(options.open().await.unwrap()), Some(folder))
            }
        };
        Self {
            sandbox: Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape),
            clock,
            store,
            accounts: accounts.to_vec(),
            seed: AtomicU64::new(1),
            _folder: folder,
        }
    }

    /// A fresh engine over what is left of the one before, as after a restart.
    pub(crate) async fn engine(&self, boundaries: &Boundaries) -> Orchestrator {
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
        Orchestrator::builder(store, connectors, runtime)
            .build()
            .await
            .unwrap()
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

    /// Recovers with fresh engines until nothing is under way any more, which it must be in bounded time.
    pub(crate) async fn recover(&self) {
        let engine = self.engine(&Boundaries::default()).await;
        let mut quiet = 0;
        for _ in 0..14 {
            self.clock.advance(Duration::from_secs(50));
            let progress = engine.recover_due(100).await.unwrap();
            assert_eq!(
                progress.failed, 0,
                "recovery failed on a healthy store and processor"
            );
            let recovery = engine.backlog(Queue::Recovery).await.unwrap();
            let due = engine.backlog(Queue::Due).await.unwrap();
            quiet = match recovery.scheduled + due.scheduled {
                0 => quiet + 1,
                _ => 0,
            };
            let waits = |intent: &PaymentIntent| intent.status() == IntentStatus::Processing;
            if quiet >= 2 && !Box::pin(self.intents()).await.iter().any(waits) {
                return;
            }
            if quiet >= 2 {
                // Only the processor knows: it is asked at least every hour.
                self.clock.advance(Duration::from_secs(3_600));
            }
        }
        panic!("still not quiet:\n{}", self.sandbox.ledger().render());
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
                IntentStatus::Authorized => totals.authorized - totals.captured,
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
                .flat_map(PaymentIntent::attempts)
                .map(|attempt| (attempt.account().to_string(), attempt.status()))
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
