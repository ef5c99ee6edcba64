//! What the payer has to do, and what follows a decline.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::sandbox::Shape;
use paymux::{ActionKind, IntentStatus, PartialAuthorization, Policy, ReturnPayload, prelude::*};
use support::*;

#[tokio::test]
async fn a_redirect_is_completed_and_a_reload_is_harmless() {
    let world = World::new().await;
    let outcome = world.pay("tok_redirect").await;
    let PaymentOutcome::ActionRequired { intent, action } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(action.kind(), &ActionKind::Redirect);
    assert!(action.expose_to_payer().await.unwrap()["url"].is_string());
    let query = world.sandbox.payer_approves(&world.handle(intent)).unwrap();
    for _ in 0..2 {
        let payload = ReturnPayload::query(Some(query.clone()));
        let done = world.payments.complete(intent.id(), payload).await.unwrap();
        assert!(matches!(done, PaymentOutcome::Succeeded(_)), "{done:?}");
    }
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_return_is_never_believed() {
    let world = World::new().await;
    let outcome = world.pay("tok_redirect").await;
    let payload = ReturnPayload::query(Some("status=succeeded&paid=true".to_owned()));
    let _ = world.payments.complete(outcome.intent().id(), payload).await;
    let now = world.reread(outcome.intent()).await;
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::RequiresAction, 0)
    );
}

#[tokio::test]
async fn a_soft_decline_goes_on_to_the_next_account_and_a_hard_one_doesn_t() {
    for (token, attempts) in [
        ("tok_decline_insufficient_funds", 2),
        ("tok_decline_stolen_card", 1),
    ] {
        let world = World::of(Shape::default(), &["main", "second"]).await;
        let outcome = world.pay(token).await;
        assert!(matches!(outcome, PaymentOutcome::Declined { .. }));
        assert_eq!(outcome.intent().attempts().len(), attempts, "{token}");
        assert_eq!(world.posts(), attempts);
    }
}

#[tokio::test]
async fn authentication_required_is_the_same_account_with_a_challenge_once() {
    let world = World::of(Shape::default(), &["main", "second"]).await;
    let outcome = world.pay("tok_authentication_required").await;
    let PaymentOutcome::ActionRequired { intent, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(intent.attempts().len(), 2);
    assert!(
        intent
            .attempts()
            .iter()
            .all(|attempt| attempt.account() == &account("main"))
    );
    assert_eq!(intent.attempts()[1].challenge(), paymux::Challenge::Required);
}

#[tokio::test]
async fn less_than_asked_is_taken_or_given_back_as_the_policy_says() {
    for (policy, held) in [
        (PartialAuthorization::Accept, true),
        (PartialAuthorization::Void, false),
    ] {
        let world = World::built(Shape::default(), &["main"], |builder| {
            builder.policy(Policy::new().partial_authorization(policy))
        })
        .await;
        let outcome = world.hold("tok_partially_authorized").await;
        assert_eq!(
            matches!(outcome, PaymentOutcome::Authorized(_)),
            held,
            "{outcome:?}"
        );
        assert_eq!(
            world.sandbox.ledger().live_charges("order").len(),
            usize::from(held)
        );
        assert_eq!(outcome.intent().totals().authorized, if held { 6_000 } else { 0 });
    }
}

#[tokio::test]
async fn another_method_closes_the_live_attempt_first() {
    let world = World::new().await;
    let outcome = world.pay("tok_redirect").await;
    let handle = world.handle(outcome.intent());
    let paid = world
        .payments
        .confirm(&key("b"), outcome.intent().id(), card("tok_approve"))
        .await
        .unwrap();
    assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    assert!(world.sandbox.payer_approves(&handle).is_err());
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}
