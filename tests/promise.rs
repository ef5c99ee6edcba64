//! `Err` means that the call moved nothing and left nothing in doubt: whatever fails once a payment's first write may
//! be there, the store or the host's own source of accounts, is told as what is known by then.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use paymux::connector::Connector;
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::*;
use paymux::{
    AccountRef, Connectors, Endpoint, EndpointId, Error, IntentStatus, NewSession, PartialAuthorization,
    Policy, RefundOutcome, SafeStep, TestClock, UnknownOutcome, prelude::*,
};
use support::*;

/// A store that is down after so many commits, for reads as well. The last one before may be in doubt.
#[derive(Clone, Debug)]
struct Failing {
    store: Arc<dyn Store>,
    takes: Arc<AtomicUsize>,
    last_in_doubt: Arc<AtomicBool>,
    last_lost: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
}

impl Failing {
    fn after(&self, commits: usize) {
        self.takes.store(commits, Ordering::SeqCst);
    }

    /// Writes the next commit without saying so, and is down then.
    fn in_doubt_next(&self) {
        self.last_in_doubt.store(true, Ordering::SeqCst);
        self.after(1);
    }

    /// The same, but it isn't written either.
    fn lost_next(&self) {
        self.last_lost.store(true, Ordering::SeqCst);
        self.in_doubt_next();
    }

    /// Doesn't write a payment's next change, and never says so.
    fn silent_next(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    fn mended(&self) {
        self.silent.store(false, Ordering::SeqCst);
        self.last_lost.store(false, Ordering::SeqCst);
        self.last_in_doubt.store(false, Ordering::SeqCst);
        self.after(usize::MAX);
    }

    fn up(&self) -> Result<(), StoreError> {
        match self.takes.load(Ordering::SeqCst) {
            0 => Err(StoreError::new(StoreErrorKind::Unavailable, "the store is down")),
            _up => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Failing {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.up()?;
        self.store.load(tenant, keys).await
    }
    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.up()?;
        self.store.lookup(tenant, key).await
    }
    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.up()?;
        self.store.locate(key).await
    }
    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.up()?;
        self.store.find(tenant, query).await
    }
    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.up()?;
        self.store.events(tenant, row, from, limit).await
    }
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        self.up().map_err(CommitError::NotCommitted)?;
        let left = self.takes.load(Ordering::SeqCst);
        if left != usize::MAX {
            self.takes.store(left - 1, Ordering::SeqCst);
        }
        let of_payment = batch.puts.iter().any(|row| row.key.kind == RowKind::Intent);
        let silent = self.silent.load(Ordering::SeqCst) && of_payment;
        if self.last_lost.load(Ordering::SeqCst) || silent {
            return Err(CommitError::Unknown(batch.commit_id));
        }
        let receipt = self.store.commit(tenant, batch).await?;
        match left == 1 && self.last_in_doubt.load(Ordering::SeqCst) {
            true => Err(CommitError::Unknown(batch.commit_id)),
            false => Ok(receipt),
        }
    }
    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.up()?;
        if self.silent.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "it doesn't say"));
        }
        self.store.resolve(tenant, id).await
    }
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.up()?;
        self.store.claim_due(request).await
    }
    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.up()?;
        self.store.backlog(queue).await
    }
    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.up()?;
        self.store.purge(retention, limit).await
    }
}

/// The host's source of accounts, which answers so often and fails from then on.
#[derive(Clone, Debug)]
struct Vault {
    map: Arc<ConnectorMap>,
    gets: Arc<AtomicUsize>,
}

impl Vault {
    fn answers(&self, gets: usize) {
        self.gets.store(gets, Ordering::SeqCst);
    }
}

#[async_trait]
impl Connectors for Vault {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> paymux::Result<Option<Arc<Connector>>> {
        let left = |left: usize| left.checked_sub(1);
        match self.gets.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.map.get(tenant, account).await,
            Err(_) => Err(Error::connectors("the vault is down")),
        }
    }
    async fn accounts(&self, tenant: &Tenant) -> paymux::Result<Vec<Arc<Connector>>> {
        self.map.accounts(tenant).await
    }
    async fn endpoint(&self, endpoint: &EndpointId) -> paymux::Result<Option<Endpoint>> {
        Connectors::endpoint(&*self.map, endpoint).await
    }
    async fn owner(&self, account: &AccountRef) -> paymux::Result<Option<Tenant>> {
        self.map.owner(account).await
    }
}

struct Frail {
    store: Failing,
    vault: Vault,
    sandbox: Sandbox,
    clock: TestClock,
    paymux: Orchestrator,
    payments: Payments,
}

impl Frail {
    async fn new() -> Self {
        Self::of(Policy::new()).await
    }

    async fn of(policy: Policy) -> Self {
        Self::shaped(policy, Shape::default(), &["main"]).await
    }

    async fn shaped(policy: Policy, shape: Shape, accounts: &[&str]) -> Self {
        let (runtime, clock) = Runtime::test(7);
        let time = Arc::new(clock.clone());
        let sandbox = Sandbox::seeded(7).clock(time.clone()).shape(shape);
        let map = ConnectorMap::shared(accounts.iter().map(|name| sandbox.connector(name))).unwrap();
        let map = map.endpoint(endpoint(), account(accounts[0]), [sandbox.webhook_secret()]);
        let vault = Vault {
            map: Arc::new(map.unwrap()),
            gets: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let store = Failing {
            store: Arc::new(MemoryStore::with_time(StoreTime::Injected(time))),
            takes: Arc::new(AtomicUsize::new(usize::MAX)),
            last_in_doubt: Arc::default(),
            last_lost: Arc::default(),
            silent: Arc::default(),
        };
        let builder = Orchestrator::builder(store.clone(), vault.clone(), runtime);
        let paymux = builder.policy(policy).build().await.unwrap();
        Self {
            store,
            vault,
            sandbox,
            clock,
            payments: paymux.tenant(tenant()),
            paymux,
        }
    }

    async fn pay(&self, token: &str) -> paymux::Result<PaymentOutcome> {
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        let reply = self
            .payments
            .create_and_confirm(&key("pay"), new, card(token))
            .await?;
        Ok(reply.outcome)
    }

    /// What a verb says while the clock goes on: it waits before it asks the store again.
    async fn told<T>(&self, verb: impl Future<Output = T>) -> T {
        let on = async {
            loop {
                tokio::task::yield_now().await;
                self.clock.advance(MINUTE / 60);
            }
        };
        tokio::select! {
            said = verb => said,
            () = on => unreachable!(),
        }
    }

    /// Everything works again, and a day passes.
    async fn mended(&self) {
        self.store.mended();
        self.vault.answers(usize::MAX);
        for _ in 0..24 {
            self.clock.advance(HOUR);
            self.paymux.recover_due(50).await.unwrap();
        }
    }

    fn live_charges(&self) -> usize {
        self.sandbox.ledger().live_charges("order").len()
    }
}

#[tokio::test]
async fn a_charge_whose_store_went_down_is_unknown_and_found_again() {
    let frail = Frail::new().await;
    frail.store.after(1);
    let (intent, unknown) = unknown(frail.pay("tok_approve").await.unwrap());
    assert_eq!(frail.live_charges(), 1);
    assert_eq!(intent.unknown_operation(), unknown.operation().copied());
    frail.mended().await;
    let now = frail.payments.intent(intent.id()).await.unwrap();
    assert_eq!((now.status(), frail.live_charges()), (IntentStatus::Succeeded, 1));
}

#[tokio::test]
async fn a_refund_whose_store_went_down_is_unknown_and_found_again() {
    let frail = Frail::new().await;
    let paid = frail.pay("tok_approve").await.unwrap();
    let id = *paid.intent().id();
    frail.store.after(1);
    let refund = NewRefund::part(money!("40 EUR"), RefundReason::RequestedByCustomer);
    let said = frail
        .payments
        .refund(&key("refund"), &id, refund)
        .await
        .unwrap()
        .outcome;
    assert_eq!(frail.sandbox.ledger().refunds().len(), 1);
    assert!(matches!(said, RefundOutcome::Unknown { .. }), "{said:?}");
    frail.mended().await;
    let now = frail.payments.intent(&id).await.unwrap();
    assert_eq!(now.totals().refunded, 4_000);
    assert_eq!(frail.sandbox.ledger().refunds().len(), 1);
}

#[tokio::test]
async fn a_session_s_charge_whose_store_went_down_is_unknown_and_found_again() {
    let frail = Frail::new().await;
    let new = NewSession::payment(money!("100 EUR")).reference("order");
    let made = frail.payments.create_session(&key("session"), new).await.unwrap();
    let id = *made.outcome.id();
    frail.store.after(1);
    let said = frail
        .payments
        .submit(&key("submit"), &id, card("tok_approve"))
        .await;
    assert_eq!(frail.live_charges(), 1);
    let (intent, _) = unknown(said.unwrap().outcome);
    frail.mended().await;
    let now = frail.payments.intent(intent.id()).await.unwrap();
    assert_eq!((now.status(), frail.live_charges()), (IntentStatus::Succeeded, 1));
}

#[tokio::test]
async fn what_follows_an_authorization_needs_no_second_word_of_the_host() {
    let outcomes = [
        (PartialAuthorization::Accept, IntentStatus::Succeeded, 1),
        (PartialAuthorization::Void, IntentStatus::Voided, 0),
    ];
    for (policy, status, charges) in outcomes {
        let frail = Frail::of(Policy::new().partial_authorization(policy)).await;
        frail.vault.answers(1);
        let said = frail.pay("tok_partially_authorized").await.unwrap();
        assert_eq!((said.intent().status(), frail.live_charges()), (status, charges));
    }
}

#[tokio::test]
async fn a_payer_is_sent_on_though_the_host_gives_no_account_any_more() {
    let frail = Frail::new().await;
    frail.vault.answers(1);
    let said = frail.pay("tok_redirect").await.unwrap();
    let PaymentOutcome::ActionRequired { intent, action } = said else {
        panic!("{said:?}")
    };
    assert_eq!(action.expose_to_payer().await.unwrap()["type"], "redirect");
    let again = frail.payments.outcome_of(intent.id()).await.unwrap();
    assert!(
        matches!(again, PaymentOutcome::ActionRequired { .. }),
        "{again:?}"
    );
}

fn to_be_repeated(unknown: &UnknownOutcome) {
    assert_eq!(unknown.safe_step(), &SafeStep::RepeatRequest, "{unknown:?}");
}

#[tokio::test]
async fn a_payment_that_may_have_been_written_is_unknown_and_repeating_it_charges_once() {
    let frail = Frail::new().await;
    frail.store.in_doubt_next();
    let said = frail.told(frail.pay("tok_approve")).await.unwrap();
    assert_eq!(frail.live_charges(), 0, "nothing is sent while that is in doubt");
    let (intent, unknown) = unknown(said);
    to_be_repeated(&unknown);
    frail.mended().await;
    let again = frail.pay("tok_approve").await.unwrap();
    assert!(matches!(again, PaymentOutcome::Succeeded(_)), "{again:?}");
    assert_eq!((again.intent().id(), frail.live_charges()), (intent.id(), 1));
}

#[tokio::test]
async fn a_payment_that_was_not_written_after_all_is_not_found_and_repeating_it_charges_once() {
    let frail = Frail::new().await;
    frail.store.lost_next();
    let said = frail.told(frail.pay("tok_approve")).await.unwrap();
    let (intent, unknown) = unknown(said);
    to_be_repeated(&unknown);
    frail.mended().await;
    let found = frail.payments.intent(intent.id()).await.map_err(|e| e.code());
    assert_eq!((found.err(), frail.live_charges()), (Some("not_found"), 0));
    let again = frail.pay("tok_approve").await.unwrap();
    assert!(matches!(again, PaymentOutcome::Succeeded(_)), "{again:?}");
    assert_eq!(frail.live_charges(), 1);
}

#[tokio::test]
async fn a_capture_that_may_have_been_written_is_unknown_and_done_once() {
    let frail = Frail::new().await;
    let new = NewIntent::payment(money!("100 EUR")).capture(CaptureMethod::Manual);
    let held = frail
        .payments
        .create_and_confirm(&key("hold"), new, card("tok_approve"))
        .await
        .unwrap();
    let id = *held.outcome.intent().id();
    frail.store.in_doubt_next();
    let k = key("capture");
    let verb = frail.payments.capture(&k, &id, CaptureAmount::Remaining);
    let said = frail.told(verb).await.unwrap().outcome;
    let CaptureOutcome::Unknown { unknown, .. } = &said else {
        panic!("{said:?}")
    };
    to_be_repeated(unknown);
    frail.mended().await;
    let again = frail.payments.capture(&k, &id, CaptureAmount::Remaining).await;
    let again = again.unwrap().outcome;
    assert!(matches!(again, CaptureOutcome::Captured(_)), "{again:?}");
    assert_eq!(again.intent().totals().captured, 10_000);
}

#[tokio::test]
async fn a_refund_that_may_have_been_written_is_unknown_and_given_back_once() {
    let frail = Frail::new().await;
    let paid = frail.pay("tok_approve").await.unwrap();
    let id = *paid.intent().id();
    frail.store.in_doubt_next();
    let k = key("refund");
    let new = NewRefund::available(RefundReason::RequestedByCustomer);
    let verb = frail.payments.refund(&k, &id, new.clone());
    let said = frail.told(verb).await.unwrap().outcome;
    let RefundOutcome::Unknown { unknown, .. } = &said else {
        panic!("{said:?}")
    };
    to_be_repeated(unknown);
    frail.mended().await;
    let again = frail.payments.refund(&k, &id, new).await.unwrap().outcome;
    assert!(matches!(again, RefundOutcome::Succeeded(_)), "{again:?}");
    assert_eq!(frail.sandbox.ledger().refunds().len(), 1);
}

#[tokio::test]
async fn a_cancel_whose_answer_was_lost_is_told_by_the_verb_that_sent_it() {
    let world = World::of(Shape::default(), &["main"]).await;
    let PaymentOutcome::ActionRequired { intent, .. } = world.pay("tok_redirect").await else {
        panic!("no action")
    };
    world.fault(Call::Cancel, FaultKind::DropAnswer);
    let k = key("again");
    let said = world.payments.confirm(&k, intent.id(), card("tok_approve")).await;
    assert_eq!(world.sent("POST", "/cancel"), 1);
    let (shown, unknown) = unknown(said.unwrap().outcome);
    assert_eq!(shown.unknown_operation(), unknown.operation().copied());
    // Once that is known, the same key goes on.
    world.pass(HOUR).await;
    let said = world.payments.confirm(&k, intent.id(), card("tok_approve")).await;
    let said = said.unwrap().outcome;
    assert!(matches!(said, PaymentOutcome::Succeeded(_)), "{said:?}");
}

#[tokio::test]
async fn a_session_s_cancel_whose_answer_was_lost_is_told_by_the_verb_that_sent_it() {
    for steps_back in [false, true] {
        let world = World::of(Shape::default(), &["main"]).await;
        let new = NewSession::payment(money!("100 EUR"));
        let made = world.payments.create_session(&key("session"), new).await.unwrap();
        let id = *made.outcome.id();
        let first = world.payments.submit(&key("a"), &id, card("tok_redirect")).await;
        let _ = first.unwrap();
        world.fault(Call::Cancel, FaultKind::DropAnswer);
        match steps_back {
            true => {
                let after = world.payments.step_back(&id).await.unwrap();
                assert_eq!(after.status(), paymux::SessionStatus::Processing);
            }
            false => {
                let said = world.payments.submit(&key("b"), &id, card("tok_approve")).await;
                let _ = unknown(said.unwrap().outcome);
            }
        }
        assert_eq!(world.sent("POST", "/cancel"), 1);
    }
}

#[tokio::test]
async fn a_webhook_whose_news_may_not_be_written_is_kept_and_applied_later() {
    let shape = Shape::bare().authoritative_webhooks();
    let policy = Policy::new().cascade_within(24 * HOUR);
    let frail = Frail::shaped(policy, shape, &["main", "second"]).await;
    let pending = frail.pay("tok_pending_then_declined").await.unwrap();
    let id = *pending.intent().id();
    frail.clock.advance(2 * HOUR);
    // The decline, and the next account's first write in the same commit.
    frail.store.silent_next();
    for (headers, body) in frail.sandbox.webhooks() {
        let endpoint = endpoint();
        let told = frail.paymux.handle_webhook(&endpoint, &headers, body);
        let told = frail.told(told).await;
        assert_eq!(told.received, paymux::Received::Accepted { notices: 1 });
    }
    assert_eq!(frail.payments.intent(&id).await.unwrap().attempts().len(), 1);
    frail.mended().await;
    let now = frail.payments.intent(&id).await.unwrap();
    assert_eq!(now.attempts().len(), 2, "the processor says it once: {now:?}");
}
