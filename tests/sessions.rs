//! Checkout sessions: one order, one live payment.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{ErrorKind, ExpiryReason, IntentStatus, NewSession, SessionId, SessionStatus, prelude::*};
use support::*;

async fn open(world: &World) -> SessionId {
    let new = NewSession::payment(money!("100 EUR")).reference("order");
    *world
        .payments
        .create_session(&key("session"), new)
        .await
        .unwrap()
        .outcome
        .id()
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let world = World::new().await;
    let before = world.mark();
    world
        .payments
        .check_session(&NewSession::payment(money!("100 EUR")))
        .await
        .unwrap();
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_declined_buyer_tries_again_on_the_same_payment_and_a_paid_session_is_closed() {
    let world = World::new().await;
    let id = open(&world).await;
    let submit = async |k: &str, token: &str| world.payments.submit(&key(k), &id, card(token)).await;
    let first = submit("a", "tok_decline_insufficient_funds")
        .await
        .unwrap()
        .outcome;
    assert!(matches!(first, PaymentOutcome::Declined { .. }));
    assert_eq!(
        world.payments.session(&id).await.unwrap().status(),
        SessionStatus::Pending
    );
    let second = submit("b", "tok_approve").await.unwrap().outcome;
    assert_eq!(second.intent().id(), first.intent().id());
    assert_eq!(
        world.payments.session(&id).await.unwrap().status(),
        SessionStatus::Succeeded
    );
    let before = world.mark();
    let error = submit("c", "tok_approve").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.http_status().as_u16()),
        (&ErrorKind::SessionAlreadyCompleted, 409)
    );
    assert_eq!(world.mark(), before);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_buyer_steps_back_and_pays_otherwise() {
    let world = World::new().await;
    let id = open(&world).await;
    let first = world
        .payments
        .submit(&key("a"), &id, card("tok_redirect"))
        .await
        .unwrap()
        .outcome;
    let handle = world.handle(first.intent());
    let session = world.payments.step_back(&id).await.unwrap();
    assert_eq!(session.status(), SessionStatus::Pending);
    assert!(
        world.sandbox.payer_approves(&handle).is_err(),
        "the bank's page was closed"
    );
    let paid = world
        .payments
        .submit(&key("b"), &id, card("tok_approve"))
        .await
        .unwrap()
        .outcome;
    assert!(matches!(paid, PaymentOutcome::Succeeded(_)));
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn an_unpaid_session_expires() {
    let world = World::new().await;
    let id = open(&world).await;
    world.pass(HOUR).await;
    let session = world.payments.session(&id).await.unwrap();
    assert_eq!(
        (session.status(), session.expired()),
        (SessionStatus::Expired, Some(ExpiryReason::TimeIsUp))
    );
    let before = world.mark();
    let error = world
        .payments
        .submit(&key("a"), &id, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.http_status().as_u16()),
        (&ErrorKind::SessionExpired, 410)
    );
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn an_unknown_outcome_never_says_that_a_new_session_may_be_made() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let id = open(&world).await;
    world.fault(Call::Authorize, FaultKind::DropRequest);
    let (intent, _) = unknown(
        world
            .payments
            .submit(&key("a"), &id, card("tok_approve"))
            .await
            .unwrap()
            .outcome,
    );
    world.pass(2 * HOUR).await;
    let session = world.payments.session(&id).await.unwrap();
    assert_eq!(
        session.status(),
        SessionStatus::Processing,
        "a payment is in flight"
    );
    world.pass(2 * DAY).await;
    let session = world.payments.session(&id).await.unwrap();
    assert_eq!(session.expired(), Some(ExpiryReason::OutcomeUnknown));
    let error = world
        .payments
        .submit(&key("b"), &id, card("tok_approve"))
        .await
        .unwrap_err();
    assert_ne!(error.http_status(), 410);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Processing);
    assert_eq!(world.posts(), 1);
}
