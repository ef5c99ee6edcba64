//! What becomes of a refund: parts that fail, parts of several captures, and which way money goes back.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux::connector::{Key, Request, Response, SuccessOn, Transport, TransportError};
use paymux::sandbox::{Call, FaultKind, Sandbox, Settlement, Shape};
use paymux::{
    Bytes, ErrorKind, IntentStatus, PaymentIntent, Refund, RefundStatus, ReverseOutcome, ReviewReason,
    VoidOutcome, prelude::*,
};
use support::*;

fn given(intent: &PaymentIntent) -> (i64, i64, i64) {
    let totals = intent.totals();
    (totals.refunded, totals.refund_pending, totals.refundable())
}

fn part(amount: Money) -> NewRefund {
    NewRefund::part(amount, RefundReason::GoodsReturned)
}

fn available() -> NewRefund {
    NewRefund::available(RefundReason::GoodsReturned)
}

async fn refund(world: &World, name: &str, intent: &PaymentIntent, new: NewRefund) -> Refund {
    let reply = world.payments.refund(&key(name), intent.id(), new).await;
    reply.unwrap().outcome.refund().clone()
}

/// 100 EUR, taken as 60 and 40, at an account that refunds captures.
async fn taken_twice(shape: Shape) -> (World, PaymentIntent) {
    let world = World::of(shape.refund_per_capture(), &["main"]).await;
    let intent = world.authorized().await;
    for (name, amount, rest) in [
        ("c1", money!("60 EUR"), Rest::Keep),
        ("c2", money!("40 EUR"), Rest::Release),
    ] {
        let amount = CaptureAmount::Part(amount, rest);
        let _ = world
            .payments
            .capture(&key(name), intent.id(), amount)
            .await
            .unwrap();
    }
    world.deliver().await;
    let intent = world.reread(&intent).await;
    assert_eq!(given(&intent), (0, 0, 10_000));
    (world, intent)
}

#[tokio::test]
async fn a_refund_that_fails_days_later_leaves_a_good_one_beside_it() {
    let world = World::new().await;
    let intent = world.taken("tok_refund_fails_later").await;
    refund(&world, "r", &intent, part(money!("30 EUR"))).await;
    world.clock.advance(2 * DAY);
    refund(&world, "s", &intent, part(money!("50 EUR"))).await;
    world.deliver().await;
    let _ = world.payments.sync(intent.id()).await.unwrap();
    assert_eq!(given(&world.reread(&intent).await), (8_000, 0, 2_000));
    world.clock.advance(DAY + HOUR);
    world.deliver().await;
    assert_eq!(
        given(&world.reread(&intent).await),
        (5_000, 0, 5_000),
        "the first failed"
    );
    world.clock.advance(2 * DAY);
    world.deliver().await;
    assert_eq!(
        given(&world.reread(&intent).await),
        (0, 0, 10_000),
        "and the second"
    );
}

#[tokio::test]
async fn what_was_given_back_elsewhere_is_never_free_when_a_refund_fails() {
    let world = World::new().await;
    let intent = world.taken("tok_refund_fails_later").await;
    refund(&world, "r", &intent, part(money!("50 EUR"))).await;
    world
        .sandbox
        .dashboard_refund(&world.handle(&intent), money!("50 EUR"))
        .unwrap();
    world.deliver().await;
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
    world.clock.advance(3 * DAY + HOUR);
    world.deliver().await;
    assert_eq!(given(&world.reread(&intent).await), (5_000, 0, 5_000));
}

#[tokio::test]
async fn a_payment_that_can_t_be_read_when_its_refund_fails_stays_on_the_safe_side_until_it_can() {
    let world = World::new().await;
    let intent = world.taken("tok_refund_fails_later").await;
    let refund = refund(&world, "r", &intent, available()).await;
    let _ = world.payments.sync(intent.id()).await.unwrap();
    world.clock.advance(3 * DAY);
    for _ in 0..10 {
        world.fault(Call::Read, FaultKind::DropAnswer);
    }
    world.deliver().await;
    world.sandbox.faults().clear();
    let failed = world.payments.refund_by_id(refund.id()).await.unwrap();
    assert_eq!(failed.status(), RefundStatus::Failed);
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
    world.pass(HOUR).await;
    assert_eq!(given(&world.reread(&intent).await), (0, 0, 10_000));
}

/// While it lags, what was read before is read again.
#[derive(Debug)]
struct Lagging {
    inner: Arc<dyn Transport>,
    read: Mutex<BTreeMap<String, (http::StatusCode, Bytes)>>,
    lags: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for Lagging {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let path = request.url().to_owned();
        if *request.method() != http::Method::GET || !path.contains("/payments/") {
            return self.inner.send(request).await;
        }
        let before = self.read.lock().unwrap().get(&path).cloned();
        if let Some((status, body)) = before.filter(|_| self.lags.load(Ordering::SeqCst)) {
            return Ok(Response::from_parts(status, http::HeaderMap::new(), body));
        }
        let answer = self.inner.send(request).await?;
        let body = Bytes::copy_from_slice(answer.bytes());
        self.read.lock().unwrap().insert(path, (answer.status(), body));
        Ok(answer)
    }
}

/// An account whose reads of payments lag while the flag is up.
async fn lagging(shape: Shape) -> (World, Arc<AtomicBool>) {
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape);
    let lags = Arc::new(AtomicBool::new(false));
    let connector = sandbox.connector("main").with_transport(|inner| {
        Arc::new(Lagging {
            inner,
            read: Mutex::default(),
            lags: lags.clone(),
        })
    });
    let connectors = ConnectorMap::shared([connector]).unwrap();
    let connectors = connectors.endpoint(endpoint(), account("main"), [sandbox.webhook_secret()]);
    let world = World::from(runtime, clock, sandbox, connectors.unwrap(), |builder| builder).await;
    (world, lags)
}

#[tokio::test]
async fn what_a_webhook_hints_at_is_seen_although_the_read_that_it_causes_lags() {
    for settles in [None, Some(MINUTE)] {
        let (world, lags) = lagging(Shape::default().reads_settle_within(settles)).await;
        let intent = world.paid().await;
        world.deliver().await;
        world.pass(2 * HOUR).await;
        let _ = world.payments.sync(intent.id()).await.unwrap();
        world.sandbox.fail_capture(&world.handle(&intent)).unwrap();
        lags.store(true, Ordering::SeqCst);
        world.deliver().await;
        assert_eq!(world.reread(&intent).await.totals().captured, 10_000);
        lags.store(false, Ordering::SeqCst);
        world.pass(2 * HOUR).await;
        assert_eq!(world.reread(&intent).await.totals().captured, 0, "{settles:?}");
        let left = world.paymux.recover_due(100).await.unwrap().claimed;
        assert_eq!(left, 0, "nothing is left to ask");
    }
}

#[tokio::test]
async fn a_read_that_lags_behind_a_refunds_failure_is_asked_again_where_no_account_says_when_reads_settle() {
    let (world, lags) = lagging(Shape::default().reads_settle_within(None)).await;
    let intent = world.taken("tok_refund_fails_later").await;
    let refund = refund(&world, "r", &intent, available()).await;
    let _ = world.payments.sync(intent.id()).await.unwrap();
    world.clock.advance(3 * DAY);
    lags.store(true, Ordering::SeqCst);
    world.deliver().await;
    let failed = world.payments.refund_by_id(refund.id()).await.unwrap();
    assert_eq!(failed.status(), RefundStatus::Failed);
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
    lags.store(false, Ordering::SeqCst);
    world.pass(3 * HOUR).await;
    assert_eq!(given(&world.reread(&intent).await), (0, 0, 10_000));
}

#[tokio::test]
async fn a_refund_over_two_captures_whose_second_part_fails_is_partly_done() {
    let (world, intent) = taken_twice(Shape::default()).await;
    world.fault(Call::Refund, FaultKind::Slow(std::time::Duration::ZERO));
    world.fault(Call::Refund, FaultKind::Refuse(422));
    let done = refund(&world, "r", &intent, available()).await;
    assert_eq!(done.status(), RefundStatus::PartiallySucceeded);
    assert_eq!(done.refunded(), money!("60 EUR"));
    assert_eq!(given(&world.reread(&intent).await), (6_000, 0, 4_000));
    let rest = refund(&world, "s", &intent, available()).await;
    assert_eq!(
        (rest.status(), rest.refunded()),
        (RefundStatus::Succeeded, money!("40 EUR"))
    );
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
}

#[tokio::test]
async fn an_unknown_part_stops_the_rest_until_recovery_knows() {
    let (world, intent) = taken_twice(Shape::default()).await;
    world.fault(Call::Refund, FaultKind::DropAnswer);
    let before = world.posts();
    let open = refund(&world, "r", &intent, available()).await;
    assert_eq!(open.status(), RefundStatus::Requested);
    assert_eq!(world.posts() - before, 1, "the second part isn't asked for");
    assert_eq!(given(&world.reread(&intent).await), (0, 10_000, 0));
    world.pass(HOUR).await;
    let done = world.payments.refund_by_id(open.id()).await.unwrap();
    assert_eq!(
        (done.status(), done.refunded()),
        (RefundStatus::Succeeded, money!("100 EUR"))
    );
    assert_eq!(world.sandbox.ledger().refunds().len(), 2);
}

#[tokio::test]
async fn a_part_that_was_proved_not_executed_and_turns_out_refunded_takes_its_capture_again() {
    let (world, intent) = taken_twice(Shape::default().key(Key::None)).await;
    // What webhooks hinted at is read before.
    world.pass(HOUR).await;
    world.sandbox.faults().stale_reads(HOUR * 2);
    world.fault(Call::Refund, FaultKind::DropAnswer);
    let open = refund(&world, "r", &intent, part(money!("60 EUR"))).await;
    world.pass(HOUR).await;
    let proved = world.payments.refund_by_id(open.id()).await.unwrap();
    assert_eq!(proved.status(), RefundStatus::Failed);
    assert_eq!(given(&world.reread(&intent).await), (0, 0, 10_000));
    world.clock.advance(2 * HOUR);
    world.deliver().await;
    let after_all = world.payments.refund_by_id(open.id()).await.unwrap();
    assert_eq!(after_all.status(), RefundStatus::Succeeded);
    assert_eq!(given(&world.reread(&intent).await), (6_000, 0, 4_000));
    let rest = refund(&world, "s", &intent, available()).await;
    assert_eq!(
        (rest.status(), rest.refunded()),
        (RefundStatus::Succeeded, money!("40 EUR")),
        "it is asked of the other capture"
    );
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
}

#[tokio::test]
async fn money_that_isn_t_settled_is_reversed_where_it_can_t_be_refunded() {
    let shape = Shape::default()
        .refund_requires_settlement()
        .success_on(SuccessOn::Settled)
        .settles(Settlement::After(2 * DAY));
    let world = World::of(shape, &["main"]).await;
    let intent = world.pay("tok_approve").await.intent().clone();
    assert_eq!(intent.status(), IntentStatus::Captured);
    let error = world
        .payments
        .refund(&key("r"), intent.id(), available())
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RefundNotSettled), "{error}");
    let why = RefundReason::RequestedByCustomer;
    let reversed = world
        .payments
        .reverse(&key("v"), intent.id(), why.clone())
        .await
        .unwrap();
    assert!(
        matches!(reversed.outcome, ReverseOutcome::Voided(VoidOutcome::Voided(_))),
        "{reversed:?}"
    );
    let again = world.payments.reverse(&key("v"), intent.id(), why).await.unwrap();
    assert!(matches!(again.outcome, ReverseOutcome::Voided(_)), "{again:?}");
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Voided);
    assert!(world.sandbox.ledger().live_charges("order").is_empty());
}

#[tokio::test]
async fn money_that_has_settled_is_refunded() {
    let shape = Shape::default()
        .refund_requires_settlement()
        .success_on(SuccessOn::Settled);
    let world = World::of(shape, &["main"]).await;
    let intent = world.pay("tok_approve").await.intent().clone();
    world.pass(3 * DAY).await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    let done = refund(&world, "r", &intent, available()).await;
    assert_eq!(done.status(), RefundStatus::Succeeded);
}

#[tokio::test]
async fn a_payment_is_reversed_by_what_its_status_needs() {
    let world = World::new().await;
    let why = || RefundReason::RequestedByCustomer;
    let reverse = async |name: &str, intent: &PaymentIntent| {
        let reply = world.payments.reverse(&key(name), intent.id(), why()).await;
        reply.map(|reply| reply.outcome)
    };
    let new = NewIntent::payment(money!("100 EUR")).reference("created");
    let created = world
        .payments
        .create_intent(&key("created"), new)
        .await
        .unwrap()
        .outcome;
    let acting = world.pay("tok_redirect").await.intent().clone();
    for (name, intent) in [("a", &created), ("b", &acting)] {
        let outcome = reverse(name, intent).await.unwrap();
        assert!(matches!(outcome, ReverseOutcome::Cancelled(_)), "{outcome:?}");
        assert_eq!(world.reread(intent).await.status(), IntentStatus::Cancelled);
        let error = reverse("again", intent).await.unwrap_err();
        assert_eq!(error.code(), "invalid_transition");
    }
    let held = world.authorized().await;
    let outcome = reverse("c", &held).await.unwrap();
    assert!(matches!(outcome, ReverseOutcome::Voided(_)), "{outcome:?}");
    let error = reverse("again", &held).await.unwrap_err();
    assert_eq!(error.code(), "invalid_transition");
    let paid = world.paid().await;
    let outcome = reverse("e", &paid).await.unwrap();
    assert!(matches!(outcome, ReverseOutcome::Refunded(_)), "{outcome:?}");
    assert_eq!(given(&world.reread(&paid).await), (10_000, 0, 0));
}

/// 60 of 100 EUR, taken; 40 still held.
async fn partly_taken(world: &World) -> PaymentIntent {
    let held = world.authorized().await;
    let some = CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
    let _ = world.payments.capture(&key("p"), held.id(), some).await.unwrap();
    held
}

fn held_at(world: &World) -> i64 {
    let ledger = world.sandbox.ledger();
    let charges = ledger.live_charges("order");
    charges.iter().map(|charge| charge.held().minor()).sum()
}

#[tokio::test]
async fn a_payment_that_is_taken_in_part_is_reversed_whole() {
    for world in World::each(Shape::default(), &["main"]).await {
        let why = || RefundReason::OrderCancelled;
        let partly = partly_taken(&world).await;
        let reverse = async || {
            world
                .payments
                .reverse(&key("r"), partly.id(), why())
                .await
                .unwrap()
        };
        let both = reverse().await;
        let ReverseOutcome::PartlyTaken { released, refunded } = &both.outcome else {
            panic!("{both:?}")
        };
        assert!(matches!(released, Ok(VoidOutcome::Voided(_))), "{released:?}");
        assert!(
            matches!(refunded, Ok(RefundOutcome::Succeeded(_))),
            "{refunded:?}"
        );
        assert_eq!((both.replay, held_at(&world)), (Replay::First, 0));
        assert_eq!(given(&world.reread(&partly).await), (6_000, 0, 0));
        let before = world.mark();
        let again = reverse().await;
        assert_eq!(again.replay, Replay::Replayed);
        assert!(
            matches!(again.outcome, ReverseOutcome::PartlyTaken { .. }),
            "{again:?}"
        );
        assert_eq!(world.mark(), before);
    }
}

/// Where what was taken is given back already, the rest is what there is to give up.
#[tokio::test]
async fn a_payment_whose_part_is_refunded_is_reversed_by_a_release() {
    let world = World::new().await;
    let why = || RefundReason::OrderCancelled;
    let partly = partly_taken(&world).await;
    let _ = refund(&world, "f", &partly, available()).await;
    for replay in [Replay::First, Replay::Replayed] {
        let reply = world
            .payments
            .reverse(&key("r"), partly.id(), why())
            .await
            .unwrap();
        let released = matches!(reply.outcome, ReverseOutcome::Released(VoidOutcome::Voided(_)));
        assert!(released && reply.replay == replay, "{reply:?}");
    }
    assert_eq!((held_at(&world), world.sandbox.ledger().refunds().len()), (0, 1));
}

/// Each leg says what became of it; the same key tries the one again that moved nothing.
#[tokio::test]
async fn a_leg_of_a_reversal_that_did_nothing_is_tried_again_with_the_same_key() {
    for call in [Call::Void, Call::Refund] {
        let world = World::new().await;
        let partly = partly_taken(&world).await;
        world.fault(call, FaultKind::Refuse(429));
        let why = || RefundReason::OrderCancelled;
        let reverse = async || {
            world
                .payments
                .reverse(&key("r"), partly.id(), why())
                .await
                .unwrap()
        };
        let first = reverse().await;
        let ReverseOutcome::PartlyTaken { released, refunded } = &first.outcome else {
            panic!("{first:?}")
        };
        let failed = match call {
            Call::Void => released.as_ref().err(),
            _refund => refunded.as_ref().err(),
        };
        assert_eq!(failed.unwrap().code(), "not_executed", "{call:?}");
        assert_eq!(
            (released.is_err(), refunded.is_err()),
            (call == Call::Void, call == Call::Refund)
        );
        let second = reverse().await;
        let ReverseOutcome::PartlyTaken { released, refunded } = &second.outcome else {
            panic!("{second:?}")
        };
        assert!(released.is_ok() && refunded.is_ok(), "{second:?}");
        assert_eq!(
            (held_at(&world), given(&world.reread(&partly).await)),
            (0, (6_000, 0, 0))
        );
        assert_eq!(world.sandbox.ledger().refunds().len(), 1);
    }
}

/// A refund of both captures whose first part's answer was lost.
async fn first_part_unknown(shape: Shape) -> (World, PaymentIntent, Refund) {
    let (world, intent) = taken_twice(shape).await;
    world.fault(Call::Refund, FaultKind::DropAnswer);
    let open = refund(&world, "r", &intent, available()).await;
    assert_eq!(open.status(), RefundStatus::Requested);
    (world, intent, open)
}

#[tokio::test]
async fn the_second_part_follows_when_a_webhook_tells_the_first_ones_fate() {
    for shape in [
        Shape::default(),
        Shape::default().authoritative_webhooks(),
        Shape::bare(),
    ] {
        let (world, intent, open) = first_part_unknown(shape).await;
        world.deliver().await;
        world.pass(HOUR).await;
        let done = world.payments.refund_by_id(open.id()).await.unwrap();
        assert_eq!(done.status(), RefundStatus::Succeeded);
        assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
        assert_eq!(world.sandbox.ledger().refunds().len(), 2);
        let again = world
            .payments
            .refund(&key("r"), intent.id(), available())
            .await
            .unwrap();
        assert_eq!(again.outcome.refund().status(), RefundStatus::Succeeded);
    }
}

#[tokio::test]
async fn the_second_part_follows_when_a_person_settles_the_first() {
    for verdict in [Verdict::Executed(money!("60 EUR"), None), Verdict::NotExecuted] {
        let (world, intent, open) = first_part_unknown(Shape::bare()).await;
        let seen = world.unknowns().await.remove(0);
        let ada = world.payments.operator(Actor::person("ada"));
        let _ = ada
            .settle_by_hand(&seen, verdict.clone(), Evidence::note("seen"))
            .await
            .unwrap();
        let done = world.payments.refund_by_id(open.id()).await.unwrap();
        let (status, left) = match verdict {
            Verdict::Executed(..) => (RefundStatus::Succeeded, (10_000, 0, 0)),
            Verdict::NotExecuted => (RefundStatus::PartiallySucceeded, (4_000, 0, 6_000)),
        };
        assert_eq!(done.status(), status);
        assert_eq!(given(&world.reread(&intent).await), left);
    }
}

#[tokio::test]
async fn the_second_part_follows_when_a_person_abandons_the_first() {
    let (world, intent, open) = first_part_unknown(Shape::bare()).await;
    world.pass(DAY + HOUR).await;
    let seen = world.unknowns().await.remove(0);
    let ada = world.payments.operator(Actor::person("ada"));
    let _ = ada.abandon(&seen, Evidence::note("no answer")).await.unwrap();
    let done = world.payments.refund_by_id(open.id()).await.unwrap();
    assert_eq!(done.status(), RefundStatus::Pending);
    assert_eq!(given(&world.reread(&intent).await), (4_000, 6_000, 0));
}

#[tokio::test]
async fn a_part_that_waits_for_an_account_is_asked_for_once_it_is_registered_again() {
    let (world, intent, open) = first_part_unknown(Shape::bare()).await;
    let gone = world
        .restarted(ConnectorMap::shared([world.sandbox.connector("other")]).unwrap())
        .await;
    let seen = gone.unknowns().await.remove(0);
    let ada = gone.payments.operator(Actor::person("ada"));
    let first = Verdict::Executed(money!("60 EUR"), None);
    let _ = ada
        .settle_by_hand(&seen, first, Evidence::note("seen"))
        .await
        .unwrap();
    gone.pass(HOUR).await;
    assert_eq!(given(&gone.reread(&intent).await), (6_000, 4_000, 0));
    assert_eq!(gone.unknowns().await.len(), 1, "a person sees that it waits");

    let back = gone
        .restarted(ConnectorMap::shared([world.sandbox.connector("main")]).unwrap())
        .await;
    back.pass(2 * HOUR).await;
    let done = back.payments.refund_by_id(open.id()).await.unwrap();
    assert_eq!(done.status(), RefundStatus::Succeeded);
    assert_eq!(given(&back.reread(&intent).await), (10_000, 0, 0));
    assert!(back.unknowns().await.is_empty());
}

#[tokio::test]
async fn a_pending_refund_that_nobody_can_ask_about_is_looked_at_ever_less_often() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let intent = world.taken("tok_refund_pending").await;
    let pending = refund(&world, "r", &intent, available()).await;
    assert_eq!(pending.status(), RefundStatus::Pending);
    let mut looks = 0;
    for _ in 0..24 * 60 {
        world.clock.advance(MINUTE);
        looks += world.paymux.recover_due(100).await.unwrap().claimed;
    }
    assert!((24..=48).contains(&looks), "{looks} in a day");
}

#[tokio::test]
async fn a_read_of_a_refund_that_speaks_of_another_amount_is_no_news_and_is_reviewed() {
    for token in ["tok_refund_pending", "tok_approve"] {
        let world = World::new().await;
        let intent = world.taken(token).await;
        if token == "tok_approve" {
            world.fault(Call::Refund, FaultKind::DropAnswer);
        }
        for _ in 0..50 {
            world.fault(Call::ReadRefund, FaultKind::AlterAmount);
            world.fault(Call::LookUpRefund, FaultKind::AlterAmount);
        }
        refund(&world, "r", &intent, part(money!("40 EUR"))).await;
        let sent = world.posts();
        world.pass(30 * HOUR).await;
        assert_eq!(given(&world.reread(&intent).await), (0, 4_000, 6_000), "{token}");
        let shown = world.unknowns().await;
        assert!(
            shown
                .iter()
                .any(|one| one.review() == Some(ReviewReason::AmountMismatch)),
            "{token}: {shown:?}"
        );
        assert_eq!(world.posts(), sent, "{token}: never sent again");
        world.sandbox.faults().clear();
        world.pass(5 * HOUR).await;
        let now = world.reread(&intent).await;
        assert_eq!(given(&now), (4_000, 0, 6_000), "{token}: a read that matches");
    }
}
