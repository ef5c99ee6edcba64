//! Webhooks: the genuine ones converge in every order, all others change nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paymux::connector::Connector;
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::{Query, Row, RowKind, Store, StoreTime};
use paymux::{
    AccountRef, Bytes, Clock, Connectors, Endpoint, EndpointId, ErrorKind, IntentStatus, Mode, Received,
    RefundStatus, Result, ReviewReason, Secret, TestClock, prelude::*,
};
use support::*;

#[tokio::test]
async fn a_genuine_webhook_brings_the_news() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let world = World::of(shape, &["main"]).await;
        let pending = world.pay("tok_pending_then_settled").await;
        let PaymentOutcome::Pending(intent) = pending else {
            panic!("{pending:?}")
        };
        world.sandbox.settle(&world.handle(&intent)).unwrap();
        assert!(world.deliver().await > 0);
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    }
}

#[tokio::test]
async fn duplicates_and_any_order_converge() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let mut outcomes = Vec::new();
        for order in 0..3 {
            let world = World::of(shape.clone(), &["main"]).await;
            let intent = world.authorized().await;
            let part = CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
            let _ = world
                .payments
                .capture(&key("c"), intent.id(), part)
                .await
                .unwrap();
            let handle = world.handle(&intent);
            let _ = world.sandbox.dashboard_refund(&handle, money!("10 EUR")).unwrap();
            world.sandbox.lapse(&handle).unwrap();
            let mut posts = world.sandbox.webhooks();
            match order {
                0 => {}
                1 => posts.reverse(),
                _ => posts.rotate_left(1),
            }
            for post in posts.clone().into_iter().chain(posts) {
                assert!(world.post(post).await.response.status().is_success());
            }
            let now = world.reread(&intent).await;
            let totals = *now.totals();
            assert_eq!(
                (totals.authorized, totals.captured, totals.refunded),
                (6_000, 6_000, 1_000)
            );
            outcomes.push((now.status(), totals));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
    }
}

#[tokio::test]
async fn what_isn_t_genuine_changes_nothing_and_stores_nothing() {
    let world = World::of(Shape::default().authoritative_webhooks(), &["main"]).await;
    let intent = world.authorized().await;
    world.sandbox.webhooks();
    world.sandbox.lapse(&world.handle(&intent)).unwrap();
    let (headers, body) = world.sandbox.webhooks().remove(0);
    let before = world.mark();
    let mut altered = body.to_vec();
    altered.push(b' ');
    let posts = [
        world.sandbox.forge(body.clone()),
        (http::HeaderMap::new(), body.clone()),
        (headers.clone(), altered.into()),
        (headers.clone(), paymux::Bytes::new()),
        (headers.clone(), paymux::Bytes::from_static(b"not json")),
    ];
    for post in posts {
        let reply = world.post(post).await;
        assert_eq!(
            (reply.received, reply.response.status().as_u16()),
            (Received::Refused, 401)
        );
    }
    let large = paymux::Bytes::from(vec![b' '; (1 << 20) + 1]);
    let reply = world.post((headers.clone(), large)).await;
    assert_eq!(
        (reply.received, reply.response.status().as_u16()),
        (Received::Refused, 413)
    );
    let nowhere = EndpointId::named(Mode::Test, "nowhere");
    let reply = world
        .paymux
        .handle_webhook(&nowhere, &headers, body.clone())
        .await;
    assert_eq!(
        (reply.received, reply.response.status().as_u16()),
        (Received::Refused, 404)
    );
    world.clock.advance(10 * MINUTE);
    let stale = world.post((headers, body)).await;
    assert_eq!(
        (stale.received, stale.response.status().as_u16()),
        (Received::Refused, 401)
    );
    assert_eq!(world.mark(), before);
    assert!(world.rows(RowKind::Notice).await.is_empty());
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Authorized);
}

#[tokio::test]
async fn an_unknown_outcome_ends_by_a_webhook() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
    assert!(world.deliver().await > 0);
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Succeeded);
    assert!(world.unknowns().await.is_empty());
    assert_eq!(world.posts(), 1);
}

/// Notices that wait for an object that nobody has.
async fn parked(world: &World) -> Vec<Row> {
    let nobody = Tenant::test("~parked").unwrap();
    let mut rows = world
        .store
        .find(&nobody, &Query::of(RowKind::Notice))
        .await
        .unwrap();
    rows.retain(|row| row.index.status == "parked");
    rows
}

/// As some processors post: without our reference.
fn nameless(world: &World, body: &Bytes) -> (http::HeaderMap, Bytes) {
    world.resigned(body, |event| {
        event.as_object_mut().unwrap().remove("reference").unwrap();
    })
}

/// What the processor will post of the first payment, before there is one: the same seed does the same elsewhere. Each
/// webhook that is taken in draws identifiers, so that the payment's reference is known once they were all taken in.
async fn foreseen(shape: &Shape) -> Vec<Bytes> {
    let of_another_reference = rehearsed(shape, &[]).await;
    rehearsed(shape, &of_another_reference).await
}

async fn rehearsed(shape: &Shape, told: &[Bytes]) -> Vec<Bytes> {
    let world = World::of(shape.clone(), &["main"]).await;
    for body in told.iter().rev().chain(told) {
        let _ = world.post(nameless(&world, body)).await;
    }
    let intent = world.pay("tok_pending_then_settled").await.intent().clone();
    world.sandbox.settle(&world.handle(&intent)).unwrap();
    world
        .sandbox
        .webhooks()
        .into_iter()
        .map(|(_, body)| body)
        .collect()
}

#[tokio::test]
async fn a_webhook_that_is_faster_than_the_answer_waits_and_is_applied_once() {
    let shapes = [
        Shape::default(),
        Shape::default().authoritative_webhooks(),
        Shape::bare(),
    ];
    for shape in shapes {
        let posts = foreseen(&shape).await;
        assert!(posts.len() > 1);
        for world in World::each(shape, &["main"]).await {
            for body in posts.iter().rev().chain(&posts) {
                let reply = world.post(nameless(&world, body)).await;
                assert_eq!(reply.received, Received::Accepted { notices: 1 });
            }
            assert_eq!(parked(&world).await.len(), posts.len(), "each waits once");
            let outcome = world.pay("tok_pending_then_settled").await;
            let PaymentOutcome::Pending(intent) = outcome else {
                panic!("{outcome:?}")
            };
            world.sandbox.settle(&world.handle(&intent)).unwrap();
            world.sandbox.webhooks();
            // Only what waits can tell yet: a pending payment is asked about after a minute.
            world.pass(MINUTE / 2).await;
            let now = world.reread(&intent).await;
            assert_eq!(
                (now.status(), now.totals().captured),
                (IntentStatus::Succeeded, 10_000)
            );
            assert!(parked(&world).await.is_empty());
            for body in &posts {
                let _ = world.post(nameless(&world, body)).await;
            }
            world.pass(HOUR).await;
            let later = world.reread(&intent).await;
            assert_eq!((later.status(), later.totals()), (now.status(), now.totals()));
            assert_eq!(later.captures(), now.captures());
            assert_eq!(world.posts(), 1);
        }
    }
}

#[tokio::test]
async fn a_webhook_about_nothing_of_ours_is_given_up_in_the_end() {
    let posts = foreseen(&Shape::default()).await;
    let world = World::new().await;
    for body in &posts {
        let _ = world.post(nameless(&world, body)).await;
    }
    world.pass(3 * DAY).await;
    let before = world.mark();
    world.pass(3 * DAY).await;
    assert_eq!(world.mark(), before, "nobody asks any more");
    assert_eq!(
        parked(&world).await.len(),
        posts.len(),
        "they are kept to be seen"
    );
}

/// The processor was told that its webhook arrived, and posts it no more.
#[tokio::test]
async fn a_webhook_that_was_stored_and_not_acted_on_is_acted_on_later() {
    for shape in [
        Shape::default(),
        Shape::default().authoritative_webhooks(),
        Shape::bare(),
    ] {
        for world in World::each(shape.clone(), &["main"]).await {
            let intent = world.authorized().await;
            world.sandbox.webhooks();
            world.sandbox.lapse(&world.handle(&intent)).unwrap();
            let posts = world.sandbox.webhooks();
            for post in posts.clone() {
                world.store.breaks_after(1);
                let reply = world.post(post).await;
                assert_eq!(reply.received, Received::Accepted { notices: 1 });
            }
            assert_eq!(world.reread(&intent).await.status(), IntentStatus::Authorized);
            world.store.mended();
            for post in posts {
                let _ = world.post(post).await;
            }
            world.pass(HOUR).await;
            assert_eq!(
                world.reread(&intent).await.status(),
                IntentStatus::Voided,
                "{shape:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_webhook_that_the_store_can_t_take_is_to_be_sent_again() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let intent = world.authorized().await;
        world.sandbox.webhooks();
        world.sandbox.lapse(&world.handle(&intent)).unwrap();
        let post = world.sandbox.webhooks().remove(0);
        world.store.breaks_after(0);
        let reply = world.post(post.clone()).await;
        assert_eq!(
            (reply.received, reply.response.status().as_u16()),
            (Received::TryLater, 503)
        );
        world.store.mended();
        let reply = world.post(post).await;
        assert_eq!(reply.received, Received::Accepted { notices: 1 });
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Voided);
    }
}

#[tokio::test]
async fn duplicates_and_any_order_end_an_unknown_outcome_alike() {
    for token in ["tok_webhook_duplicate", "tok_webhook_reordered"] {
        for shape in [Shape::default(), Shape::bare()] {
            for world in World::each(shape, &["main"]).await {
                world.fault(Call::Authorize, FaultKind::DropAnswer);
                let (intent, _) = unknown(world.pay(token).await);
                let handle = world.sandbox.ledger().payments()[0].handle.clone();
                world.sandbox.settle(&handle).unwrap();
                let posts = world.sandbox.webhooks();
                assert!(posts.len() > 1);
                for post in posts.clone().into_iter().chain(posts) {
                    assert!(world.post(post).await.response.status().is_success());
                }
                let now = world.reread(&intent).await;
                assert_eq!(
                    (now.status(), now.totals().captured),
                    (IntentStatus::Succeeded, 10_000)
                );
                assert!(world.unknowns().await.is_empty());
                assert_eq!(world.posts(), 1);
            }
        }
    }
}

/// Accounts of a host's own, whose vault gives an empty secret for each endpoint.
#[derive(Debug)]
struct Keyless(ConnectorMap);

#[async_trait]
impl Connectors for Keyless {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        self.0.get(tenant, account).await
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        self.0.accounts(tenant).await
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        let found = Connectors::endpoint(&self.0, endpoint).await?;
        Ok(found.map(|found| Endpoint {
            secrets: vec![Secret::from("")],
            ..found
        }))
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        self.0.owner(account).await
    }
}

#[tokio::test]
async fn an_empty_secret_lets_nobody_in() {
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let accounts = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    for blank in ["", " \n"] {
        let secrets = [sandbox.webhook_secret(), Secret::from(blank)];
        let map = accounts.clone();
        let error = map.endpoint(endpoint(), account("main"), secrets).unwrap_err();
        let fault = &error.faults()[0];
        assert_eq!((error.kind(), &*fault.field), (&ErrorKind::Connectors, "secrets"));
        assert!(!fault.remedy.is_empty());
    }
    let secrets = [sandbox.webhook_secret()];
    let map = accounts.endpoint(endpoint(), account("main"), secrets).unwrap();
    let world = World::from(runtime, clock, sandbox, Keyless(map), |builder| builder).await;
    let intent = world.authorized().await;
    world.sandbox.webhooks();
    world.sandbox.lapse(&world.handle(&intent)).unwrap();
    let (_, body) = world.sandbox.webhooks().remove(0);
    let before = world.mark();
    let headers = SIGNATURE.sign(&body, &Secret::from(""), world.clock.now());
    let reply = world.post((headers, body)).await;
    assert_eq!(
        (reply.received, reply.response.status().as_u16()),
        (Received::Refused, 401)
    );
    assert_eq!(world.mark(), before);
}

/// What a webhook may say instead of what is so.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Amount(i64),
    Currency,
    Reference,
}

/// The same webhook, genuinely signed, that says something else of its object.
fn saying(world: &World, body: &Bytes, wrong: Wrong) -> (http::HeaderMap, Bytes) {
    world.resigned(body, |event| {
        let object = &mut event["object"];
        match wrong {
            Wrong::Reference => object["reference"] = "01kdvdna00e01vfjy4m4sw5m7q".into(),
            Wrong::Amount(minor) => {
                let asked = object["amount"]["minor"].as_i64().unwrap();
                each_amount(object, &mut |amount| {
                    if amount["minor"] == asked {
                        amount["minor"] = minor.into();
                    }
                });
            }
            Wrong::Currency => each_amount(object, &mut |amount| amount["currency"] = "JPY".into()),
        }
    })
}

fn each_amount(value: &mut serde_json::Value, change: &mut impl FnMut(&mut serde_json::Value)) {
    if value.get("minor").is_some() {
        return change(value);
    }
    if let Some(fields) = value.as_object_mut() {
        fields.values_mut().for_each(|field| each_amount(field, change));
    }
}

const WRONGS: [Wrong; 4] = [
    Wrong::Amount(1_000),
    Wrong::Amount(10_001),
    Wrong::Currency,
    Wrong::Reference,
];

#[tokio::test]
async fn a_payment_s_webhook_that_speaks_of_something_else_than_was_asked_is_reviewed_and_settles_nothing() {
    for wrong in WRONGS {
        let world = World::of(Shape::bare(), &["main"]).await;
        let PaymentOutcome::Pending(intent) = world.pay("tok_pending_then_settled").await else {
            panic!("accepted, answer later");
        };
        world.deliver().await;
        world.clock.advance(2 * HOUR);
        let posts = world.sandbox.webhooks();
        assert!(!posts.is_empty());
        for (_, body) in &posts {
            let _ = world.post(saying(&world, body, wrong)).await;
        }
        let now = world.reread(&intent).await;
        reviewed(&now, ReviewReason::AmountMismatch);
        assert_eq!(
            (now.status(), now.totals().captured),
            (IntentStatus::Processing, 0),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn a_refund_s_webhook_that_speaks_of_something_else_than_was_asked_is_reviewed_and_settles_nothing() {
    for wrong in WRONGS {
        let world = World::of(Shape::bare(), &["main"]).await;
        let intent = world.taken("tok_refund_pending").await;
        let new = NewRefund::part(money!("40 EUR"), RefundReason::OrderCancelled);
        let said = world.payments.refund(&key("r"), intent.id(), new).await.unwrap();
        let RefundOutcome::Pending(refund) = said.outcome else {
            panic!("accepted, answer later");
        };
        world.deliver().await;
        world.clock.advance(2 * HOUR);
        let posts = world.sandbox.webhooks();
        let of_refund = posts
            .iter()
            .filter(|(_, body)| String::from_utf8_lossy(body).contains(r#""about":"refund""#));
        let mut told = 0;
        for (_, body) in of_refund {
            let _ = world.post(saying(&world, body, wrong)).await;
            told += 1;
        }
        assert!(told > 0);
        let now = world.payments.refund_by_id(refund.id()).await.unwrap();
        assert_eq!(now.status(), RefundStatus::Pending, "{wrong:?}");
        let shown = world.unknowns().await;
        assert!(
            shown
                .iter()
                .any(|one| one.review() == Some(ReviewReason::AmountMismatch)),
            "{wrong:?}: {shown:?}"
        );
        assert_eq!(world.reread(&intent).await.totals().refunded, 0);
    }
}

/// It is told before the payment is known, and waits with all that it says.
#[tokio::test]
async fn a_webhook_that_waited_is_compared_with_what_was_asked_as_well() {
    let shape = Shape::bare();
    let world = World::of(shape.clone(), &["main"]).await;
    let posts = foreseen(&shape).await;
    for body in posts.iter().rev().chain(&posts) {
        let (_, body) = nameless(&world, body);
        let _ = world.post(saying(&world, &body, Wrong::Amount(1_000))).await;
    }
    assert!(!parked(&world).await.is_empty());
    let PaymentOutcome::Pending(intent) = world.pay("tok_pending_then_settled").await else {
        panic!("accepted, answer later");
    };
    world.pass(2 * HOUR).await;
    let now = world.reread(&intent).await;
    reviewed(&now, ReviewReason::AmountMismatch);
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::Processing, 0)
    );
}

/// A processor whose notices have no number, and which has news while it answers a read.
mod unnumbered {
    use std::sync::Mutex;

    use paymux::connector::TransportError;
    use paymux::connector::prelude::*;
    use paymux::prelude::*;
    use paymux::{EndpointId, Mode};
    use serde_json::{Value, json};

    const SIGNATURE: TimestampedHmac = TimestampedHmac {
        header: "acme-signature",
        tolerance: Duration::from_secs(300),
    };
    const STATUSES: StatusTable = StatusTable::new().answers(&[200]);

    #[derive(Debug)]
    struct Acme(AccountRef);

    fn amount(body: &Value, name: &str) -> Money {
        Money::from_minor(body[name].as_i64().unwrap(), Currency::EUR)
    }

    impl Exchange<op::Authorize> for Acme {
        fn request(&self, op: &op::Authorize, _: &StepKey) -> Result<Request, Unsendable> {
            Ok(Request::post("https://acme.example/charges")
                .json(json!({ "reference": op.reference, "minor": op.amount.minor() })))
        }
        fn report(&self, op: &op::Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
            let _: Value = STATUSES.read(answer)?;
            Ok(AuthorizeReport::Settled(Approval::new(
                "ch_1",
                Echo::none().amount(op.amount),
            )))
        }
    }
    impl Exchange<op::Read> for Acme {
        fn request(&self, _: &op::Read, _: &StepKey) -> Result<Request, Unsendable> {
            Ok(Request::get("https://acme.example/charges/ch_1"))
        }
        fn report(&self, op: &op::Read, answer: &Response) -> Result<ReadReport, CallError> {
            let body: Value = STATUSES.read(answer)?;
            let standing = Standing::from(AuthorizeReport::Settled(Approval::new(
                "ch_1",
                Echo::none().amount(op.amount),
            )));
            Ok(ReadReport::Found(
                standing.captured(op.amount).refunded(amount(&body, "refunded")),
            ))
        }
    }
    #[async_trait]
    impl WebhookOps for Acme {
        fn identify(&self, _: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
            Ok(vec![self.0.clone()])
        }
        async fn verify(
            &self,
            inbound: &Inbound,
            secrets: &[Secret],
            now: Timestamp,
        ) -> Result<Verified, BadSignature> {
            SIGNATURE.verify(inbound, secrets, now)
        }
        fn decode(&self, _: &Verified) -> Result<Vec<Notice>, Malformed> {
            Ok(vec![Notice::unnumbered("charge.changed", "ch_1".into())])
        }
        fn reply(&self) -> http::Response<Bytes> {
            http::Response::new(Bytes::new())
        }
    }

    /// The processor: its answer to a read leaves it before somebody refunds in the dashboard, and arrives after the webhook of that.
    #[derive(Debug, Default)]
    struct Processor {
        refunded: Mutex<i64>,
        paymux: Mutex<Option<Orchestrator>>,
    }

    #[async_trait]
    impl Transport for Processor {
        async fn send(&self, request: Request) -> Result<Response, TransportError> {
            let answer = Response::new(200, json!({ "refunded": *self.refunded.lock().unwrap() }));
            if request.method() == "GET" {
                let paymux = self.paymux.lock().unwrap().take();
                if let Some(paymux) = paymux {
                    *self.refunded.lock().unwrap() = 4_000;
                    post(&paymux).await;
                }
            }
            Ok(answer)
        }
    }

    async fn post(paymux: &Orchestrator) {
        let body = Bytes::from_static(b"{}");
        let now = Runtime::tokio().clock().now();
        let headers = SIGNATURE.sign(&body, &Secret::from("whsec"), now);
        let reply = paymux
            .handle_webhook(&EndpointId::named(Mode::Test, "acme"), &headers, body)
            .await;
        assert!(reply.response.status().is_success(), "{reply:?}");
    }

    #[tokio::test]
    async fn a_hint_that_comes_while_one_like_it_is_acted_on_is_read_for_again() {
        let account = AccountRef::new(ConnectorId::from_static("acme"), "main");
        let processor = Arc::new(Processor::default());
        let acme = Arc::new(Acme(account.clone()));
        let limits = Capabilities::currencies([Currency::EUR]);
        let connector = Connector::builder(account.clone(), limits, processor.clone())
            .authorize(Authorization::OneCall(Step::moves_money(Key::None), acme.clone()))
            .read(acme.clone())
            .webhooks(acme)
            .build();
        let endpoint = EndpointId::named(Mode::Test, "acme");
        let map = ConnectorMap::shared([connector])
            .unwrap()
            .endpoint(endpoint, account, [Secret::from("whsec")])
            .unwrap();
        let paymux = Orchestrator::builder(MemoryStore::new(), map, Runtime::tokio())
            .build()
            .await
            .unwrap();
        let payments = paymux.tenant(super::tenant());
        let new = NewIntent::payment(money!("100 EUR"));
        let paid = payments
            .create_and_confirm(&super::key("k"), new, super::card("t"))
            .await
            .unwrap();
        let id = *paid.outcome.intent().id();
        *processor.paymux.lock().unwrap() = Some(paymux.clone());
        post(&paymux).await;
        assert_eq!(payments.intent(&id).await.unwrap().totals().refunded, 0);
        while paymux.recover_due(50).await.unwrap().claimed > 0 {}
        assert_eq!(payments.intent(&id).await.unwrap().totals().refunded, 4_000);
        let left = paymux.backlog(paymux::Queue::Due).await.unwrap();
        assert_eq!((left.due, left.scheduled), (0, 0), "{left:?}");
    }
}

#[tokio::test]
async fn what_a_hint_told_of_is_read_when_reads_have_settled_by_the_store_s_clock() {
    for behind in [Duration::ZERO, Duration::from_secs(200)] {
        let (runtime, worker) = Runtime::test(7);
        let theirs = TestClock::new();
        theirs.advance(behind);
        let quiet = Duration::from_secs(60);
        let sandbox = Sandbox::seeded(7)
            .clock(Arc::new(theirs.clone()))
            .shape(Shape::default().reads_settle_within(Some(quiet)));
        let secrets = [sandbox.webhook_secret()];
        let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
        let connectors = connectors.endpoint(endpoint(), account("main"), secrets).unwrap();
        let store = MemoryStore::with_time(StoreTime::Injected(Arc::new(theirs.clone())));
        let builder = Orchestrator::builder(store, connectors, runtime);
        let paymux = builder.build().await.unwrap();
        let pass = async |time: Duration| {
            worker.advance(time);
            theirs.advance(time);
            while paymux.recover_due(100).await.unwrap().claimed > 0 {}
        };
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        let payments = paymux.tenant(tenant());
        let paid = payments
            .create_and_confirm(&key("a"), new, card("tok_approve"))
            .await;
        let intent = paid.unwrap().outcome.intent().clone();
        let handle = intent.attempts()[0].handle().unwrap().to_owned();
        for _ in 0..48 {
            pass(HOUR).await;
        }
        let _ = sandbox.webhooks();
        let hint = format!(
            r#"{{"event":"evt_1","kind":"payment.refunded","account":"main","about":"payment","id":"{handle}"}}"#
        );
        let hint = Bytes::from(hint);
        let headers = SIGNATURE.sign(&hint, &sandbox.webhook_secret(), theirs.now());
        let handled = paymux.handle_webhook(&endpoint(), &headers, hint).await;
        assert!(handled.response.status().is_success());
        // Reads show it half a minute later: the one that the hint caused came too early.
        pass(Duration::from_secs(30)).await;
        sandbox.dashboard_refund(&handle, money!("40 EUR")).unwrap();
        let _ = sandbox.webhooks();
        for _ in 0..10 {
            pass(MINUTE).await;
        }
        let seen = payments.intent(intent.id()).await.unwrap();
        assert_eq!(seen.totals().refunded, 4_000, "{behind:?} behind");
    }
}
