//! Two accounts of one connector, and two connectors with the same identifiers, are never mixed up.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use paymux::connector::prelude::*;
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::{RowKind, Store, UniqueKey};
use paymux::stripe::Stripe;
use paymux::{
    AccountRef, Bytes, ConnectorId, EndpointId, ErrorKind, IntentQuery, IntentStatus, Mode, ProviderKind,
    ProviderRef, Received, ReviewReason, Secret, SubjectId, VoidOutcome, prelude::*,
};
use support::*;

/// The same webhook with another account in it, and genuine.
fn moved(world: &World, body: &Bytes, to: &str) -> (http::HeaderMap, Bytes) {
    world.resigned(body, |event| {
        event["account"] = to.into();
        event["event"] = format!("{}-moved", event["event"]).into();
    })
}

/// A payment whose first account took nothing, so that the second has it.
async fn held_at_second(world: &World) -> paymux::PaymentIntent {
    world
        .sandbox
        .faults()
        .next_at("first", Call::Authorize, FaultKind::Refuse(429));
    let intent = world.authorized().await;
    assert_eq!(intent.attempts()[1].account(), &account("second"));
    intent
}

#[tokio::test]
async fn what_follows_goes_to_the_account_that_authorized() {
    let world = World::of(Shape::default(), &["first", "second"]).await;
    let intent = held_at_second(&world).await;
    let id = intent.id();
    let sends = |name: &str| {
        let ledger = world.sandbox.ledger();
        let moving = ledger.sends().iter().filter(|sent| sent.method != "GET");
        moving.filter(|sent| sent.account == name).count()
    };
    let first = sends("first");
    let part = CaptureAmount::Part(money!("40 EUR"), Rest::Keep);
    let _ = world
        .payments
        .increment(&key("i"), id, money!("5 EUR"))
        .await
        .unwrap();
    let _ = world.payments.capture(&key("c"), id, part).await.unwrap();
    let _ = world.payments.release(&key("rel"), id).await.unwrap();
    let refund = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
    let reply = world.payments.refund(&key("r"), id, refund).await.unwrap();
    assert_eq!(reply.outcome.refund().account(), &account("second"));
    let _ = world.payments.sync(id).await.unwrap();
    let voided = held_at_second(&world).await;
    let reply = world.payments.void(&key("v"), voided.id()).await.unwrap();
    assert!(matches!(reply.outcome, VoidOutcome::Voided(_)));
    assert_eq!(
        sends("first"),
        first + 1,
        "nothing but the second payment's refused authorization"
    );
    let ledger = world.sandbox.ledger();
    assert_eq!(ledger.account("first").count(), 0);
    assert_eq!(ledger.account("second").next().unwrap().kept(), money!("30 EUR"));
}

#[tokio::test]
async fn a_webhook_of_another_account_about_the_same_identifier_changes_nothing() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let world = World::of(shape, &["first", "second"]).await;
        let intent = held_at_second(&world).await;
        let handle = world.handle(&intent);
        world.sandbox.webhooks();
        let _ = world.sandbox.dashboard_refund(&handle, money!("1 EUR"));
        world.sandbox.lapse(&handle).unwrap();
        let posts = world.sandbox.webhooks();
        assert!(!posts.is_empty());
        let version = world.reread(&intent).await.version();
        for (_, body) in &posts {
            let reply = world.post(moved(&world, body, "first")).await;
            assert!(!matches!(reply.received, Received::TryLater), "{reply:?}");
        }
        world.pass(MINUTE).await;
        let unmoved = world.reread(&intent).await;
        assert_eq!(
            (unmoved.status(), unmoved.version()),
            (IntentStatus::Authorized, version)
        );
        for post in posts {
            let _ = world.post(post).await;
        }
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Voided);
    }
}

#[tokio::test]
async fn two_processors_with_the_same_identifiers_are_kept_apart() {
    let (runtime, clock) = Runtime::test(7);
    let named = |name| {
        let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
        sandbox.named(ConnectorId::from_static(name))
    };
    let (left, right) = (named("left"), named("right"));
    let at = |name| AccountRef::new(ConnectorId::from_static(name), "main");
    let ids = [
        EndpointId::named(Mode::Test, "left"),
        EndpointId::named(Mode::Test, "right"),
    ];
    let connectors = ConnectorMap::shared([left.connector("main"), right.connector("main")])
        .unwrap()
        .endpoint(ids[0], at("left"), [left.webhook_secret()])
        .unwrap()
        .endpoint(ids[1], at("right"), [right.webhook_secret()])
        .unwrap();
    let world = World::from(runtime, clock, left.clone(), connectors, |builder| builder).await;
    let one = world.authorized().await;
    left.down();
    let two = world.authorized().await;
    left.up();
    assert_eq!(
        world.handle(&one),
        world.handle(&two),
        "the processors' identifiers collide"
    );
    left.webhooks();
    right.webhooks();
    right.lapse(&world.handle(&two)).unwrap();
    let posts = right.webhooks();
    for (headers, body) in posts.clone() {
        // At the other one's endpoint: the secrets are the same, the object isn't known there.
        let _ = world.paymux.handle_webhook(&ids[0], &headers, body).await;
    }
    assert_eq!(world.reread(&two).await.status(), IntentStatus::Authorized);
    for (headers, body) in posts {
        let _ = world.paymux.handle_webhook(&ids[1], &headers, body).await;
    }
    assert_eq!(world.reread(&one).await.status(), IntentStatus::Authorized);
    assert_eq!(world.reread(&two).await.status(), IntentStatus::Voided);
    let reply = world
        .payments
        .capture(&key("c"), one.id(), CaptureAmount::Remaining)
        .await;
    assert!(matches!(reply.unwrap().outcome, CaptureOutcome::Captured(_)));
    assert_eq!(left.ledger().payments()[0].captured, money!("100 EUR"));
    assert_eq!(right.ledger().payments()[0].captured, money!("0 EUR"));
}

/// A merchant knows the secret of its own endpoint. It says nothing of anybody else's account by it.
#[tokio::test]
async fn an_endpoint_of_one_merchant_speaks_for_no_other_merchant_s_account() {
    let (runtime, clock) = Runtime::test(7);
    let shape = Shape::default().authoritative_webhooks();
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape);
    let other = Tenant::test("other").unwrap();
    let connectors = ConnectorMap::private()
        .only_for(tenant(), sandbox.connector("ours"))
        .unwrap()
        .only_for(other.clone(), sandbox.connector("theirs"))
        .unwrap()
        .endpoint(endpoint(), account("theirs"), [sandbox.webhook_secret()])
        .unwrap();
    let world = World::from(runtime, clock, sandbox, connectors, |builder| builder).await;
    let intent = world.authorized().await;
    world.sandbox.webhooks();
    world.sandbox.lapse(&world.handle(&intent)).unwrap();
    let before = world.mark();
    for post in world.sandbox.webhooks() {
        let reply = world.post(post).await;
        assert_eq!(reply.received, Received::Refused);
        assert_eq!(reply.response.status(), 401);
    }
    assert_eq!(world.mark(), before);
    assert!(world.rows(RowKind::Notice).await.is_empty());
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Authorized);
}

#[tokio::test]
async fn an_account_of_another_tenant_is_not_there() {
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let connectors = ConnectorMap::private()
        .only_for(Tenant::test("other").unwrap(), sandbox.connector("theirs"))
        .unwrap();
    let world = World::from(runtime, clock, sandbox, connectors, |builder| builder).await;
    let new = NewIntent::payment(money!("100 EUR"));
    let before = world.mark();
    let error = world
        .payments
        .create_and_confirm(&key("a"), new, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NoRoute);
    assert_eq!(world.mark(), before);
}

/// Sends nothing, and keeps what it was to send.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Transport for Kept {
    async fn send(&self, request: Request) -> std::result::Result<Response, TransportError> {
        let key = request.headers()["authorization"].to_str().unwrap().to_owned();
        self.0.lock().unwrap().push(key);
        Err(TransportError::NotSent("kept"))
    }
}

#[tokio::test]
async fn no_test_payment_meets_a_live_account_and_no_live_one_a_test_account() {
    let acme = |mode| Tenant::new("acme", mode).unwrap();
    for (prefix, mode, other) in [
        ("sk_live_", Mode::Live, Mode::Test),
        ("rk_live_", Mode::Live, Mode::Test),
        ("sk_test_", Mode::Test, Mode::Live),
        ("rk_test_", Mode::Test, Mode::Live),
    ] {
        let kept = Kept::default();
        let stripe = || Stripe::new(format!("{prefix}key"), "main").connector(Arc::new(kept.clone()));
        let map = ConnectorMap::shared([stripe()]).unwrap();
        let store = MemoryStore::new();
        let paymux = Orchestrator::builder(store, map.clone(), Runtime::tokio())
            .build()
            .await
            .unwrap();
        let pay = async |payments: &paymux::Payments| {
            let new = NewIntent::payment(money!("100 EUR"));
            payments
                .create_and_confirm(&key("pay"), new, card("pm_card_visa"))
                .await
        };
        let names_it = |error: &paymux::Error| {
            let fault = &error.faults()[0];
            assert_eq!((error.kind(), &*fault.field), (&ErrorKind::Connectors, "account"));
            assert!(fault.remedy.contains(other.as_str()), "{}", fault.remedy);
        };
        let payments = paymux.tenant(acme(other));
        names_it(&pay(&payments).await.unwrap_err());
        let written = payments.intents(IntentQuery::new()).page(10, None).await.unwrap();
        assert!(written.items.is_empty(), "nothing is written");
        assert!(kept.0.lock().unwrap().is_empty(), "nothing is sent");
        let _not_executed = pay(&paymux.tenant(acme(mode))).await;
        assert!(!kept.0.lock().unwrap().is_empty(), "its own tenants are served");

        names_it(
            &ConnectorMap::private()
                .only_for(acme(other), stripe())
                .unwrap_err(),
        );
        let account = stripe().account().clone();
        let endpoint = EndpointId::named(other, "stripe");
        names_it(
            &map.endpoint(endpoint, account, [Secret::from("whsec")])
                .unwrap_err(),
        );
    }
}

#[tokio::test]
async fn of_accounts_of_both_modes_a_tenant_pays_through_its_own() {
    let kept = Kept::default();
    let stripe = |secret: &str, name: &str| Stripe::new(secret, name).connector(Arc::new(kept.clone()));
    let map = ConnectorMap::shared([stripe("sk_live_key", "real"), stripe("sk_test_key", "trial")]).unwrap();
    let paymux = Orchestrator::builder(MemoryStore::new(), map, Runtime::tokio())
        .build()
        .await
        .unwrap();
    for (mode, own) in [
        (Mode::Test, "Bearer sk_test_key"),
        (Mode::Live, "Bearer sk_live_key"),
    ] {
        let payments = paymux.tenant(Tenant::new("acme", mode).unwrap());
        let new = NewIntent::payment(money!("100 EUR"));
        let _not_executed = payments
            .create_and_confirm(&key("pay"), new, card("pm_card_visa"))
            .await;
        let sent = std::mem::take(&mut *kept.0.lock().unwrap());
        assert!(!sent.is_empty() && sent.iter().all(|key| key == own), "{sent:?}");
    }
}

/// A processor that gives one identifier twice.
#[derive(Debug, Default)]
struct Repeats {
    executed: AtomicUsize,
}

impl Exchange<op::Authorize> for Repeats {
    fn request(&self, _: &op::Authorize, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.example/charges"))
    }

    fn report(&self, _: &op::Authorize, _: &Response) -> Result<AuthorizeReport, CallError> {
        Ok(AuthorizeReport::Settled(Approval::new("ch_1", Echo::none())))
    }
}

impl Exchange<op::Prepare> for Repeats {
    fn request(&self, _: &op::Prepare, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.example/charges"))
    }

    fn report(&self, _: &op::Prepare, _: &Response) -> Result<PrepareReport, CallError> {
        Ok(PrepareReport::Prepared("ch_1".into(), Echo::none()))
    }
}

impl Exchange<op::Execute> for Repeats {
    fn request(&self, _: &op::Execute, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.example/charges/ch_1/confirm"))
    }

    fn report(&self, _: &op::Execute, _: &Response) -> Result<AuthorizeReport, CallError> {
        self.executed.fetch_add(1, Ordering::SeqCst);
        Ok(AuthorizeReport::Settled(Approval::new("ch_1", Echo::none())))
    }
}

impl Exchange<op::Refund> for Repeats {
    fn request(&self, _: &op::Refund, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.example/refunds"))
    }

    fn report(&self, _: &op::Refund, _: &Response) -> Result<RefundReport, CallError> {
        Ok(RefundReport::Refunded("re_1".into(), Echo::none()))
    }
}

#[derive(Debug)]
struct Answers;

#[async_trait]
impl Transport for Answers {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        Ok(Response::new(200, serde_json::Value::Null))
    }
}

async fn repeating(authorization: Authorization, repeats: Arc<Repeats>) -> World {
    let at = AccountRef::new(ConnectorId::from_static("acme"), "main");
    let limits = Capabilities::currencies([Currency::EUR]).partial_refund();
    let connector = Connector::builder(at, limits, Arc::new(Answers))
        .authorize(authorization)
        .refund(Step::moves_money(Key::None), repeats)
        .build();
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let connectors = ConnectorMap::shared([connector]).unwrap();
    World::from(runtime, clock, sandbox, connectors, |builder| builder).await
}

#[tokio::test]
async fn one_charge_pays_no_two_payments_and_one_refund_is_no_two_refunds() {
    let repeats = Arc::new(Repeats::default());
    let step = Step::moves_money(Key::None);
    let world = repeating(Authorization::OneCall(step, repeats.clone()), repeats).await;
    let first = world.pay("t").await.intent().clone();
    assert_eq!((first.status(), first.review()), (IntentStatus::Succeeded, None));
    let second = world.pay("t").await.intent().clone();
    reviewed(&second, ReviewReason::Contradiction);
    let handle = ProviderRef {
        account: first.attempts()[0].account().clone(),
        kind: ProviderKind::Payment,
        id: "ch_1".into(),
    };
    let held = world.store.locate(&UniqueKey::provider(&handle)).await.unwrap();
    assert_eq!(
        held.map(|(_, row)| row.id),
        Some(first.id().uuid()),
        "it stays the first one's"
    );
    for name in ["r", "s"] {
        let new = NewRefund::part(money!("40 EUR"), RefundReason::OrderCancelled);
        let said = world.payments.refund(&key(name), first.id(), new).await.unwrap();
        let shown = world.unknowns().await;
        let refund = SubjectId::Refund(*said.outcome.refund().id());
        let reviewed = shown.iter().any(|one| one.subject() == refund);
        assert_eq!(reviewed, name == "s", "{shown:?}");
    }
}

#[tokio::test]
async fn what_another_payment_prepared_is_not_executed() {
    let repeats = Arc::new(Repeats::default());
    let authorization = Authorization::HandleFirst {
        prepare: (Step::preparatory(Key::None), repeats.clone()),
        execute: (Step::moves_money(Key::None), repeats.clone()),
    };
    let world = repeating(authorization, repeats.clone()).await;
    let first = world.pay("t").await.intent().clone();
    assert_eq!(first.status(), IntentStatus::Succeeded);
    let new = NewIntent::payment(money!("100 EUR"));
    let second = world
        .payments
        .create_and_confirm(&key("second"), new, card("t"))
        .await;
    assert_eq!(second.unwrap_err().kind(), &ErrorKind::NotExecuted);
    assert_eq!(repeats.executed.load(Ordering::SeqCst), 1);
}
