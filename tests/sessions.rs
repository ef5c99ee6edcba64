//! Checkout sessions: one order, one live payment.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::connector::Ability;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    AcceptDuplicateRisk, ErrorKind, ExpiryReason, IntentQuery, IntentStatus, IntentUpdate, NewSession,
    OnLatePayment, OnLateSuccess, PaymentIntent, Policy, ReviewReason, ReviewVerdict, SessionId,
    SessionStatus, prelude::*,
};
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

async fn submit(world: &World, k: &str, id: &SessionId, token: &str) -> PaymentOutcome {
    world
        .payments
        .submit(&key(k), id, card(token))
        .await
        .unwrap()
        .outcome
}

async fn status(world: &World, id: &SessionId) -> SessionStatus {
    world.payments.session(id).await.unwrap().status()
}

/// A payment that waits for its payer is given up at their risk.
async fn supersede(world: &World, intent: &PaymentIntent) {
    let ada = world.payments.operator(Actor::person("ada"));
    let attempt = *intent.attempts().last().unwrap().id();
    let note = Evidence::note("the payer went away");
    let _ = ada
        .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_cancelled_payment_is_replaced_by_the_next_submit() {
    for world in World::each(Shape::default(), &["main"]).await {
        let id = open(&world).await;
        let first = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
        let handle = world.handle(&first);
        let _ = world.payments.cancel(&key("x"), first.id()).await.unwrap();
        assert_eq!(world.reread(&first).await.status(), IntentStatus::Cancelled);
        assert_eq!(status(&world, &id).await, SessionStatus::Pending);
        let paid = submit(&world, "b", &id, "tok_approve").await;
        assert!(matches!(paid, PaymentOutcome::Succeeded(_)), "{paid:?}");
        assert_ne!(paid.intent().id(), first.id());
        let session = world.payments.session(&id).await.unwrap();
        assert_eq!(
            (session.status(), session.intent()),
            (SessionStatus::Succeeded, Some(paid.intent().id()))
        );
        assert!(world.sandbox.payer_approves(&handle).is_err());
        // The key of the first submit still says what became of it.
        let again = world
            .payments
            .submit(&key("a"), &id, card("tok_redirect"))
            .await
            .unwrap();
        assert_eq!(
            (again.replay, again.outcome.intent().id()),
            (Replay::Replayed, first.id())
        );
        let query = IntentQuery::new().session(id);
        let all = world.payments.intents(query).page(10, None).await.unwrap().items;
        assert_eq!(all.len(), 2);
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn a_buyer_who_steps_back_while_a_call_is_open_is_told_so_and_nothing_is_lost() {
    for shape in [Shape::default(), Shape::bare()] {
        for world in World::each(shape, &["main"]).await {
            let id = open(&world).await;
            world.fault(Call::Authorize, FaultKind::DropAnswer);
            let (intent, seen) = unknown(submit(&world, "a", &id, "tok_approve").await);
            let before = world.mark();
            let error = world.payments.step_back(&id).await.unwrap_err();
            let operation = seen.operation().copied();
            assert_eq!(error.kind(), &ErrorKind::OperationInProgress { operation });
            let other = world
                .payments
                .submit(&key("b"), &id, card("tok_approve"))
                .await
                .unwrap_err();
            assert_eq!(other.kind(), &ErrorKind::OperationInProgress { operation });
            assert!(world.payments.cancel_session(&id).await.is_err());
            assert_eq!(world.mark(), before);
            assert_eq!(status(&world, &id).await, SessionStatus::Processing);
            world.deliver().await;
            world.recover().await;
            assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
            assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
            assert_eq!(world.posts(), 1);
        }
    }
}

#[tokio::test]
async fn a_failed_session_is_paid_by_a_success_that_comes_late() {
    let shape = Shape::default().without(Ability::Cancel);
    let worlds = World::each_built(shape, &["main"], |builder| {
        let policy = Policy::new()
            .max_attempts(2)
            .on_late_success(OnLateSuccess::AcceptIfUnpaid);
        builder.policy(policy)
    });
    for world in worlds.await {
        let id = open(&world).await;
        let first = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
        let handle = world.handle(&first);
        supersede(&world, &first).await;
        let _ = submit(&world, "b", &id, "tok_decline_stolen_card").await;
        assert_eq!(world.reread(&first).await.status(), IntentStatus::Failed);
        assert_eq!(status(&world, &id).await, SessionStatus::Failed);
        world.sandbox.payer_approves(&handle).unwrap();
        assert!(world.deliver().await > 0);
        assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
        let error = world
            .payments
            .submit(&key("c"), &id, card("tok_approve"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::SessionAlreadyCompleted);
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

/// One order, one payment: that the first payment is unpaid doesn't make the order unpaid.
#[tokio::test]
async fn a_late_success_of_a_replaced_payment_goes_back_where_the_session_is_paid() {
    for what in [OnLateSuccess::Reverse, OnLateSuccess::AcceptIfUnpaid] {
        let shape = Shape::default().without(Ability::Cancel);
        let worlds = World::each_built(shape, &["main"], |builder| {
            builder.policy(Policy::new().on_late_success(what))
        });
        for world in worlds.await {
            let id = open(&world).await;
            let first = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
            let handle = world.handle(&first);
            supersede(&world, &first).await;
            let _ = world.payments.cancel(&key("x"), first.id()).await.unwrap();
            let paid = submit(&world, "b", &id, "tok_approve").await;
            assert!(matches!(paid, PaymentOutcome::Succeeded(_)), "{paid:?}");
            assert_ne!(paid.intent().id(), first.id());
            world.sandbox.payer_approves(&handle).unwrap();
            assert!(world.deliver().await > 0);
            world.pass(HOUR).await;
            assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1, "{what:?}");
            assert_eq!(
                world.reread(&first).await.status(),
                IntentStatus::Cancelled,
                "{what:?}"
            );
        }
    }
}

#[tokio::test]
async fn late_money_of_a_replaced_payment_is_the_money_that_goes_back() {
    let shape = Shape::default().without(Ability::Cancel);
    let worlds = World::each_built(shape, &["main"], |builder| {
        let policy = Policy::new()
            .on_late_success(OnLateSuccess::AcceptIfUnpaid)
            .on_late_payment(OnLatePayment::Refund);
        builder.policy(policy)
    });
    for world in worlds.await {
        let new = NewSession::payment(money!("100 EUR")).reference("order");
        let new = new.expires_in(5 * MINUTE);
        let reply = world.payments.create_session(&key("short"), new).await.unwrap();
        let id = *reply.outcome.id();
        let first = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
        let handle = world.handle(&first);
        supersede(&world, &first).await;
        let _ = world.payments.cancel(&key("x"), first.id()).await.unwrap();
        let second = submit(&world, "b", &id, "tok_decline_stolen_card").await;
        assert_ne!(second.intent().id(), first.id());
        world.pass(6 * MINUTE).await;
        assert_eq!(status(&world, &id).await, SessionStatus::Expired);
        world.sandbox.payer_approves(&handle).unwrap();
        assert!(world.deliver().await > 0);
        world.pass(HOUR).await;
        assert!(world.sandbox.ledger().live_charges("order").is_empty());
        assert_eq!(status(&world, &id).await, SessionStatus::Expired);
    }
}

#[tokio::test]
async fn money_for_a_cancelled_session_goes_where_the_host_said() {
    for (what, live) in [(OnLatePayment::HandOver, 1), (OnLatePayment::Refund, 0)] {
        let shape = Shape::default().without(Ability::Cancel);
        let worlds = World::each_built(shape, &["main"], |builder| {
            let policy = Policy::new()
                .on_late_success(OnLateSuccess::AcceptIfUnpaid)
                .on_late_payment(what);
            builder.policy(policy)
        });
        for world in worlds.await {
            let id = open(&world).await;
            let first = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
            let handle = world.handle(&first);
            supersede(&world, &first).await;
            let _ = world.payments.cancel_session(&id).await.unwrap();
            world.sandbox.payer_approves(&handle).unwrap();
            assert!(world.deliver().await > 0);
            world.pass(MINUTE).await;
            let session = world.payments.session(&id).await.unwrap();
            assert_eq!(session.status(), SessionStatus::Cancelled);
            assert!(session.late_payment().is_some(), "{what:?}");
            assert_eq!(
                world.sandbox.ledger().live_charges("order").len(),
                live,
                "{what:?}"
            );
        }
    }
}

/// What is given back in the same step was never paid: the buyer pays anew.
#[tokio::test]
async fn a_part_that_is_given_back_pays_no_session() {
    for world in World::each(Shape::default(), &["main"]).await {
        let new = NewSession::payment(money!("100 EUR"))
            .capture(CaptureMethod::Manual)
            .reference("order");
        let made = world.payments.create_session(&key("s"), new).await.unwrap();
        let id = *made.outcome.id();
        let part = submit(&world, "a", &id, "tok_partially_authorized").await;
        assert_eq!(part.intent().status(), IntentStatus::Voided);
        assert!(world.sandbox.ledger().live_charges("order").is_empty());
        assert_eq!(status(&world, &id).await, SessionStatus::Pending);
        let paid = submit(&world, "b", &id, "tok_approve").await;
        assert!(matches!(paid, PaymentOutcome::Authorized(_)), "{paid:?}");
        assert_ne!(paid.intent().id(), part.intent().id());
        assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
    }
}

/// A part that should go back and doesn't is no payment of the whole, and doesn't lapse with the session either.
#[tokio::test]
async fn a_part_whose_void_is_refused_pays_no_session() {
    let world = World::new().await;
    let new = NewSession::payment(money!("100 EUR"))
        .capture(CaptureMethod::Manual)
        .reference("order");
    let made = world.payments.create_session(&key("s"), new).await.unwrap();
    let id = *made.outcome.id();
    world.fault(Call::Void, FaultKind::Refuse(429));
    let part = submit(&world, "a", &id, "tok_partially_authorized").await;
    reviewed(
        &world.reread(part.intent()).await,
        ReviewReason::PartialAuthorization,
    );
    assert_eq!(status(&world, &id).await, SessionStatus::Processing);
    world.pass(3 * HOUR).await;
    assert_eq!(status(&world, &id).await, SessionStatus::Processing);
}

/// Where the account can't void, a person is asked at once.
#[tokio::test]
async fn a_part_that_no_void_gives_back_pays_no_session() {
    let world = World::of(Shape::default().without(Ability::Void), &["main"]).await;
    let new = NewSession::payment(money!("100 EUR"))
        .capture(CaptureMethod::Manual)
        .reference("order");
    let made = world.payments.create_session(&key("s"), new).await.unwrap();
    let id = *made.outcome.id();
    let part = submit(&world, "a", &id, "tok_partially_authorized").await;
    reviewed(part.intent(), ReviewReason::PartialAuthorization);
    assert_eq!(status(&world, &id).await, SessionStatus::Processing);
    let ada = world.payments.operator(Actor::person("ada"));
    let note = Evidence::note("the rest is paid in cash");
    let _ = ada
        .review(part.intent().id(), ReviewVerdict::Approve, note)
        .await
        .unwrap();
    assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
}

#[tokio::test]
async fn the_amount_of_a_sessions_payment_stays() {
    for other in [money!("1 EUR"), money!("1000 EUR")] {
        let world = World::new().await;
        let id = open(&world).await;
        let declined = submit(&world, "a", &id, "tok_decline_insufficient_funds").await;
        let intent = world.reread(declined.intent()).await;
        let before = world.mark();
        let change = IntentUpdate::new().amount(other);
        let refused = world.payments.update(&intent, change).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Invalid);
        assert_eq!(refused.faults()[0].field, "amount");
        assert_eq!(world.mark(), before);
        let same = IntentUpdate::new().amount(money!("100 EUR")).reference("order");
        assert!(world.payments.update(&intent, same).await.is_ok());
        let paid = submit(&world, "b", &id, "tok_approve").await;
        assert!(matches!(paid, PaymentOutcome::Succeeded(_)), "{paid:?}");
        let ledger = world.sandbox.ledger();
        let charges = ledger.live_charges("order");
        assert_eq!((charges.len(), charges[0].captured), (1, money!("100 EUR")));
    }
}

/// Before the session's only attempt, between two, and after the last: the buyer who goes back changes nothing.
#[tokio::test]
async fn stepping_back_from_pending_writes_nothing() {
    let world = World::new().await;
    let id = open(&world).await;
    let before = (world.mark(), world.payments.session(&id).await.unwrap());
    let session = world.payments.step_back(&id).await.unwrap();
    assert_eq!((world.mark(), session), before);
    let _ = submit(&world, "a", &id, "tok_decline_insufficient_funds").await;
    let before = world.mark();
    let session = world.payments.step_back(&id).await.unwrap();
    assert_eq!((session.status(), world.mark()), (SessionStatus::Pending, before));
}

#[tokio::test]
async fn a_failed_session_takes_another_try_and_no_step_back() {
    let world = World::built(Shape::default(), &["main"], |builder| {
        builder.policy(Policy::new().max_attempts(1))
    })
    .await;
    let id = open(&world).await;
    let first = submit(&world, "a", &id, "tok_decline_stolen_card").await;
    assert_eq!(status(&world, &id).await, SessionStatus::Failed);
    let before = world.mark();
    let error = world.payments.step_back(&id).await.unwrap_err();
    let refused = ErrorKind::InvalidTransition {
        current: "failed",
        command: "step_back",
    };
    assert_eq!(error.kind(), &refused);
    assert_eq!(world.mark(), before);
    let paid = submit(&world, "b", &id, "tok_approve").await;
    assert_ne!(paid.intent().id(), first.intent().id());
    assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

/// A live payment isn't called back for a submit that can't be sent.
#[tokio::test]
async fn a_submit_that_is_refused_leaves_the_live_payment_alone() {
    let world = World::built(Shape::default(), &["main"], |builder| {
        builder.policy(Policy::new().max_attempts(1))
    })
    .await;
    let id = open(&world).await;
    let acting = submit(&world, "a", &id, "tok_redirect").await.intent().clone();
    let before = world.mark();
    let refused = world
        .payments
        .submit(&key("b"), &id, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Invalid);
    world.clock.advance(HOUR);
    for over in [
        world.payments.submit(&key("c"), &id, card("tok_approve")).await,
        world
            .payments
            .confirm(&key("d"), acting.id(), card("tok_approve"))
            .await,
    ] {
        let over = over.unwrap_err();
        assert!(
            matches!(over.kind(), ErrorKind::SessionExpired | ErrorKind::Invalid),
            "{over}"
        );
    }
    assert_eq!(world.mark(), before);
}
