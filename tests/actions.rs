//! What the payer has to do, and what follows a decline.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    ActionKind, DeclineAdvice, DeclineCode, IntentStatus, LiabilityShift, PartialAuthorization,
    PaymentIntent, Policy, ReturnPayload, ReviewReason, ReviewVerdict, prelude::*,
};
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

/// Less was authorized than asked, and it can't be given back at once.
#[tokio::test]
async fn a_part_that_isn_t_given_back_goes_to_a_person() {
    for world in World::each(Shape::default(), &["main"]).await {
        world.fault(Call::Void, FaultKind::Refuse(429));
        let outcome = world.pay("tok_partially_authorized").await;
        let now = world.reread(outcome.intent()).await;
        assert_eq!(now.status(), IntentStatus::Authorized);
        reviewed(&now, ReviewReason::PartialAuthorization);
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("not enough");
        let ended = ada.review(now.id(), ReviewVerdict::Refuse, note).await.unwrap();
        assert_eq!(ended.status(), IntentStatus::Voided);
        assert!(world.sandbox.ledger().live_charges("order").is_empty());
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

/// The browser's way back, with this query.
fn back(query: &str) -> ReturnPayload {
    ReturnPayload::query(Some(query.to_owned()))
}

/// A payment whose payer has been fingerprinted and is to be challenged; and the fingerprint's way back.
async fn challenged(world: &World) -> (PaymentIntent, String) {
    let outcome = world.pay("tok_fingerprint_then_challenge").await;
    let PaymentOutcome::ActionRequired { intent, action } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(action.kind(), &ActionKind::ThreeDsFingerprint);
    let page = action.expose_to_payer().await.unwrap();
    assert!(page["url"].is_string() && page["client_secret"].is_string());
    let fingerprint = world.sandbox.payer_approves(&world.handle(&intent)).unwrap();
    let done = world
        .payments
        .complete(intent.id(), back(&fingerprint))
        .await
        .unwrap();
    let PaymentOutcome::ActionRequired { intent, action } = done else {
        panic!("{done:?}")
    };
    assert_eq!(action.kind(), &ActionKind::Redirect, "the challenge comes second");
    (intent, fingerprint)
}

#[tokio::test]
async fn a_fingerprint_and_then_a_challenge_end_in_one_payment() {
    for world in World::each(Shape::default(), &["main"]).await {
        let (intent, fingerprint) = challenged(&world).await;
        let id = intent.id();
        let asked = world.payments.next_action(id).await.unwrap();
        assert_eq!(asked.kind(), &ActionKind::Redirect);
        let kept = world.reread(&intent).await;
        assert_eq!(kept.action_kind(), Some(ActionKind::Redirect));
        assert_eq!(kept.status(), IntentStatus::RequiresAction);
        // The page of the fingerprint is loaded again.
        let _ = world.payments.complete(id, back(&fingerprint)).await;
        let kept = world.reread(&intent).await;
        assert_eq!(kept.action_kind(), Some(ActionKind::Redirect));

        let challenge = world.sandbox.payer_approves(&world.handle(&intent)).unwrap();
        for query in [&challenge, &challenge, &fingerprint] {
            let done = world.payments.complete(id, back(query)).await.unwrap();
            assert!(matches!(done, PaymentOutcome::Succeeded(_)), "{done:?}");
        }
        let paid = world.reread(&intent).await;
        assert_eq!((paid.attempts().len(), paid.totals().captured), (1, 10_000));
        let proof = paid.attempts()[0].three_ds().unwrap();
        assert_eq!(proof.liability_shift, Some(LiabilityShift::Shifted));
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn a_payer_who_leaves_at_the_challenge_is_declined_when_its_time_is_up_and_may_pay_anew() {
    for world in World::each(Shape::default(), &["main"]).await {
        let (intent, fingerprint) = challenged(&world).await;
        world.pass(14 * MINUTE).await;
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::RequiresAction);
        world.pass(HOUR).await;
        let now = world.reread(&intent).await;
        assert_eq!(now.status(), IntentStatus::Created);
        assert_eq!(now.last_decline().unwrap().code(), DeclineCode::PayerTimedOut);
        let before = world.mark();
        let late = world
            .payments
            .complete(intent.id(), back(&fingerprint))
            .await
            .unwrap();
        assert!(matches!(late, PaymentOutcome::Declined { .. }), "{late:?}");
        assert_eq!(world.mark(), before);
        let paid = world
            .payments
            .confirm(&key("b"), intent.id(), card("tok_approve"))
            .await
            .unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn a_payer_who_fails_the_challenge_is_declined() {
    let world = World::new().await;
    let (intent, _) = challenged(&world).await;
    let refused = world.sandbox.payer_refuses(&world.handle(&intent)).unwrap();
    let done = world
        .payments
        .complete(intent.id(), back(&refused))
        .await
        .unwrap();
    let PaymentOutcome::Declined { intent, decline } = done else {
        panic!("{done:?}")
    };
    assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
    assert_eq!(intent.status(), IntentStatus::Created);
    assert!(world.sandbox.ledger().live_charges("order").is_empty());
}

#[tokio::test]
async fn an_empty_return_only_asks_how_things_stand() {
    for empty in [
        ReturnPayload::none(),
        ReturnPayload::query(Some(String::new())),
        ReturnPayload::form(&paymux::Bytes::new()),
    ] {
        let world = World::new().await;
        let intent = world.pay("tok_redirect").await.intent().clone();
        let reads = world.sent("GET", "/payments/");
        let before = world.store.commits();
        let still = world.payments.complete(intent.id(), empty.clone()).await.unwrap();
        assert!(
            matches!(still, PaymentOutcome::ActionRequired { .. }),
            "{still:?}"
        );
        assert_eq!(world.sent("GET", "/payments/"), reads + 1);
        assert_eq!(world.store.commits(), before, "no operation was opened");
        world.sandbox.payer_approves(&world.handle(&intent)).unwrap();
        let done = world.payments.complete(intent.id(), empty).await.unwrap();
        assert!(matches!(done, PaymentOutcome::Succeeded(_)), "{done:?}");
        assert_eq!(world.posts(), 1);
    }
}

#[tokio::test]
async fn a_lost_completion_is_read_back_and_not_sent_again() {
    let world = World::new().await;
    let (intent, _) = challenged(&world).await;
    let challenge = world.sandbox.payer_approves(&world.handle(&intent)).unwrap();
    world.fault(Call::Complete, FaultKind::DropAnswer);
    let outcome = world
        .payments
        .complete(intent.id(), back(&challenge))
        .await
        .unwrap();
    let _ = unknown(outcome);
    let before = world.posts();
    // A reload meanwhile says the same and sends nothing.
    let _ = unknown(
        world
            .payments
            .complete(intent.id(), back(&challenge))
            .await
            .unwrap(),
    );
    world.recover().await;
    assert_eq!(world.posts(), before);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn advice_to_try_later_says_when_and_the_same_payment_may_try_then() {
    for (token, after) in [
        ("tok_decline_try_again_later", MINUTE),
        ("tok_decline_issuer_unavailable", MINUTE),
        ("tok_decline_insufficient_funds", DAY),
    ] {
        for world in World::each(Shape::default(), &["main"]).await {
            let later = DeclineAdvice::TryLater { after };
            let outcome = world.pay(token).await;
            let PaymentOutcome::Declined { intent, decline } = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(decline.advice(), later, "{token}");
            let kept = world.reread(&intent).await;
            assert_eq!(kept.last_decline().unwrap().advice(), later);
            let again = world.payments.outcome_of(intent.id()).await.unwrap();
            assert!(matches!(again, PaymentOutcome::Declined { decline, .. } if decline.advice() == later));
            world.clock.advance(after);
            let paid = world
                .payments
                .confirm(&key("b"), intent.id(), card("tok_approve"))
                .await
                .unwrap();
            assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
            assert_eq!(world.reread(&intent).await.last_decline(), None);
        }
    }
}
