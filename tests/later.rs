//! What comes days later: a payment's day, a capture that fails after all, money that nobody waits for.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::connector::Ability;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    AcceptDuplicateRisk, Clock, CompensationStatus, IntentStatus, NewSession, OnLatePayment, OnLateSuccess,
    PaymentIntent, Policy, ReviewReason, SessionId, SessionStatus, prelude::*,
};
use support::*;

#[tokio::test]
async fn a_scheduled_payment_is_confirmed_when_its_day_comes_and_once() {
    let world = World::new().await;
    let day = world.clock.now().after(3 * DAY);
    let new = NewIntent::payment(money!("100 EUR"))
        .reference("order")
        .scheduled_for(day);
    let schedule = async || {
        let reply = world
            .payments
            .schedule(&key("s"), new.clone(), card("tok_approve"))
            .await;
        reply.unwrap().outcome
    };
    let intent = schedule().await;
    assert_eq!(intent.scheduled_for(), Some(day));
    world.pass(3 * DAY - MINUTE).await;
    assert_eq!(world.posts(), 0, "its day hasn't come");
    world.pass(2 * MINUTE).await;
    let now = world.reread(&intent).await;
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::Succeeded, 10_000)
    );
    assert_eq!(schedule().await.id(), intent.id());
    world.pass(DAY).await;
    assert_eq!(world.posts(), 1);
}

#[tokio::test]
async fn a_scheduled_payment_is_tried_once_where_it_is_declined() {
    let world = World::new().await;
    let new = NewIntent::payment(money!("100 EUR"))
        .reference("order")
        .scheduled_for(world.clock.now().after(DAY));
    let method = card("tok_decline_stolen_card");
    let reply = world.payments.schedule(&key("s"), new, method).await.unwrap();
    world.pass(3 * DAY).await;
    let now = world.reread(&reply.outcome).await;
    assert!(now.last_decline().is_some());
    assert_eq!((world.posts(), now.totals().captured), (1, 0));
}

/// How the news of what failed comes.
#[derive(Clone, Copy, Debug)]
enum By {
    Webhook,
    Sync,
}

impl By {
    async fn tell(self, world: &World, intent: &PaymentIntent) {
        match self {
            Self::Webhook => assert!(world.deliver().await > 0),
            Self::Sync => {
                let _ = world.payments.sync(intent.id()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_capture_that_fails_days_later_is_held_again() {
    for by in [By::Webhook, By::Sync] {
        let world = World::new().await;
        let intent = world.held("tok_capture_fails_later").await;
        let all = CaptureAmount::Part(money!("100 EUR"), Rest::Release);
        let _ = world.payments.capture(&key("c"), intent.id(), all).await.unwrap();
        let now = world.reread(&intent).await;
        assert_eq!((now.totals().capture_pending, now.totals().captured), (10_000, 0));
        world.deliver().await;
        world.clock.advance(3 * DAY);
        by.tell(&world, &intent).await;
        let now = world.reread(&intent).await;
        assert_eq!(
            (now.status(), now.totals().captured, now.totals().capture_pending),
            (IntentStatus::Authorized, 0, 0),
            "{by:?}"
        );
        assert_eq!(now.capturable(), money!("100 EUR"), "{by:?}");
    }
}

#[tokio::test]
async fn a_part_that_was_taken_and_fails_can_be_taken_again() {
    for by in [By::Webhook, By::Sync] {
        let world = World::new().await;
        let intent = world.authorized().await;
        let part = || CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
        let _ = world
            .payments
            .capture(&key("c"), intent.id(), part())
            .await
            .unwrap();
        world.deliver().await;
        world.sandbox.fail_capture(&world.handle(&intent)).unwrap();
        by.tell(&world, &intent).await;
        let now = world.reread(&intent).await;
        assert_eq!(
            (now.totals().captured, now.capturable()),
            (0, money!("100 EUR")),
            "{by:?}"
        );
        let _ = world
            .payments
            .capture(&key("d"), intent.id(), part())
            .await
            .unwrap();
        assert_eq!(world.reread(&intent).await.totals().captured, 6_000, "{by:?}");
    }
}

#[tokio::test]
async fn a_payment_whose_only_capture_fails_is_not_paid() {
    for by in [By::Webhook, By::Sync] {
        let world = World::new().await;
        let intent = world.paid().await;
        world.deliver().await;
        world.sandbox.fail_capture(&world.handle(&intent)).unwrap();
        by.tell(&world, &intent).await;
        let now = world.reread(&intent).await;
        assert_ne!(now.status(), IntentStatus::Succeeded, "{by:?}");
        assert_eq!(
            (now.totals().captured, now.totals().refundable()),
            (0, 0),
            "{by:?}"
        );
    }
}

/// Money arrives for a session whose time was up: nobody could be asked while the processor was unreachable.
async fn paid_late(what: OnLatePayment) -> (World, SessionId) {
    let world = World::built(Shape::default().without(Ability::Cancel), &["main"], |builder| {
        builder.policy(Policy::new().on_late_payment(what))
    })
    .await;
    let new = NewSession::payment(money!("100 EUR")).reference("order");
    let reply = world.payments.create_session(&key("session"), new).await.unwrap();
    let id = *reply.outcome.id();
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    let outcome = world.payments.submit(&key("a"), &id, card("tok_approve")).await;
    let _ = unknown(outcome.unwrap().outcome);
    world.sandbox.down();
    world.pass(3 * DAY).await;
    let session = world.payments.session(&id).await.unwrap();
    assert_eq!(
        (session.status(), session.late_payment()),
        (SessionStatus::Expired, None)
    );
    world.sandbox.up();
    world.deliver().await;
    world.pass(2 * HOUR).await;
    (world, id)
}

#[tokio::test]
async fn money_for_an_expired_session_never_reopens_it_and_goes_back_only_where_the_host_said_so() {
    for (what, live) in [(OnLatePayment::HandOver, 1), (OnLatePayment::Refund, 0)] {
        let (world, id) = paid_late(what).await;
        let session = world.payments.session(&id).await.unwrap();
        assert_eq!(session.status(), SessionStatus::Expired, "{what:?}");
        assert!(session.late_payment().is_some(), "{what:?}");
        let left = world.sandbox.ledger().live_charges("order").len();
        assert_eq!(left, live, "{what:?}");
    }
}

/// A payer pays on a bank's page that was given up, after the payment was cancelled.
async fn paid_after_cancel(what: OnLateSuccess) -> (World, PaymentIntent) {
    let world = World::built(Shape::default().without(Ability::Cancel), &["main"], |builder| {
        builder.policy(Policy::new().on_late_success(what))
    })
    .await;
    let intent = world.pay("tok_redirect").await.intent().clone();
    let handle = world.handle(&intent);
    let ada = world.payments.operator(Actor::person("ada"));
    let note = Evidence::note("the payer went away");
    let attempt = *intent.attempts()[0].id();
    let _ = ada
        .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note)
        .await
        .unwrap();
    let _ = world.payments.cancel(&key("x"), intent.id()).await.unwrap();
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Cancelled);
    world.sandbox.payer_approves(&handle).unwrap();
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert!(world.deliver().await > 0);
    world.pass(HOUR).await;
    let now = world.reread(&intent).await;
    (world, now)
}

#[tokio::test]
async fn a_late_success_goes_back() {
    let (world, now) = paid_after_cancel(OnLateSuccess::Reverse).await;
    assert!(world.sandbox.ledger().live_charges("order").is_empty());
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::Cancelled, 0)
    );
    assert_eq!(now.attempts()[0].compensation(), Some(CompensationStatus::Done));
}

#[tokio::test]
async fn a_late_success_is_taken_where_nothing_was_paid() {
    let (world, now) = paid_after_cancel(OnLateSuccess::AcceptIfUnpaid).await;
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::Succeeded, 10_000)
    );
    assert_eq!(now.attempts()[0].compensation(), None);
}

#[tokio::test]
async fn a_late_success_waits_for_a_person() {
    let (world, now) = paid_after_cancel(OnLateSuccess::Ask).await;
    reviewed(&now, ReviewReason::LateSuccess);
    assert_eq!(
        world.sandbox.ledger().live_charges("order").len(),
        1,
        "nothing is done unasked"
    );
    assert_eq!(
        now.attempts()[0].compensation(),
        Some(CompensationStatus::LeftToHost)
    );
}
