//! The same key never moves money twice.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::HeaderMap;
use paymux::connector::Key;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::store::{Retention, RowKind, Scope, Store, Unique, UniqueKey};
use paymux::{
    Clock, ErrorKind, IntentStatus, IntentUpdate, KeyLife, NewSession, OperationKind, PaymentIntent, Policy,
    ReverseOutcome, RiskCheck, RiskStages, RiskVerdict, Timestamp, VoidOutcome, prelude::*,
};
use support::*;
use tokio::sync::Barrier;

fn new() -> NewIntent {
    NewIntent::payment(money!("100 EUR")).reference("order")
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[tokio::test]
async fn a_replay_is_the_first_result_byte_for_byte() {
    for token in [
        "tok_approve",
        "tok_decline_insufficient_funds",
        "tok_decline_stolen_card",
        "tok_redirect",
        "tok_pending_then_settled",
    ] {
        let world = World::new().await;
        let pay = async || {
            world
                .payments
                .create_and_confirm(&key("a"), new(), card(token))
                .await
        };
        let first = pay().await.unwrap();
        assert_eq!(first.replay, Replay::First);
        world.clock.advance(5 * MINUTE);
        let before = world.mark();
        let again = pay().await.unwrap();
        assert_eq!(again.replay, Replay::Replayed);
        assert_eq!(
            text(again.outcome.intent()),
            text(first.outcome.intent()),
            "{token}"
        );
        assert_eq!(
            std::mem::discriminant(&again.outcome),
            std::mem::discriminant(&first.outcome)
        );
        assert_eq!(again.outcome.http_status(), first.outcome.http_status());
        assert_eq!(world.mark(), before, "{token}: nothing sent, nothing written");
    }
}

#[tokio::test]
async fn a_key_whose_money_is_held_is_never_free_again() {
    let world = World::new().await;
    let pay = async || {
        world
            .payments
            .create_and_confirm(&key("a"), new(), card("tok_partially_authorized"))
            .await
    };
    // Less was authorized than asked; the void that follows by itself can't be sent.
    world.fault(Call::Void, FaultKind::NotSent);
    let first = pay().await.unwrap();
    assert_eq!(first.outcome.intent().status(), IntentStatus::Authorized);
    let again = pay().await.unwrap();
    assert_eq!(again.outcome.intent().id(), first.outcome.intent().id());
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(world.sandbox.ledger().payments().len(), 1);
}

#[tokio::test]
async fn a_replay_shows_what_was_not_what_is() {
    let world = World::new().await;
    let intent = world.authorized().await;
    let (id, payments) = (intent.id(), &world.payments);
    let part = || CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
    let first = payments.capture(&key("c"), id, part()).await.unwrap();
    let rest = payments
        .capture(&key("d"), id, CaptureAmount::Remaining)
        .await
        .unwrap();
    assert_eq!(rest.outcome.intent().totals().captured, 10_000);
    let refund = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
    let refunded = payments.refund(&key("r"), id, refund.clone()).await.unwrap();
    let before = world.mark();
    let again = payments.capture(&key("c"), id, part()).await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.outcome.intent().totals().captured, 6_000);
    let again = payments.refund(&key("r"), id, refund).await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(text(again.outcome.refund()), text(refunded.outcome.refund()));
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn every_verb_with_a_key_replays() {
    let world = World::new().await;
    let payments = &world.payments;
    let created = payments.create_intent(&key("k"), new()).await.unwrap();
    let again = payments.create_intent(&key("k"), new()).await.unwrap();
    assert_eq!(
        (text(&again.outcome), again.replay),
        (text(&created.outcome), Replay::Replayed)
    );

    let session = || NewSession::payment(money!("100 EUR"));
    let made = payments.create_session(&key("k"), session()).await.unwrap();
    let again = payments.create_session(&key("k"), session()).await.unwrap();
    assert_eq!(
        (text(&again.outcome), again.replay),
        (text(&made.outcome), Replay::Replayed)
    );

    let submit = async || {
        payments
            .submit(&key("k"), made.outcome.id(), card("tok_approve"))
            .await
    };
    let first = submit().await.unwrap();
    let again = submit().await.unwrap();
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.replay, Replay::Replayed);

    let held = world.authorized().await;
    let first = payments
        .increment(&key("k"), held.id(), money!("5 EUR"))
        .await
        .unwrap();
    let again = payments
        .increment(&key("k"), held.id(), money!("5 EUR"))
        .await
        .unwrap();
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(
        world.reread(&held).await.totals().authorized,
        10_500,
        "raised once"
    );

    let first = payments.void(&key("k"), held.id()).await.unwrap();
    let again = payments.void(&key("k"), held.id()).await.unwrap();
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.replay, Replay::Replayed);

    let first = payments.cancel(&key("k"), created.outcome.id()).await.unwrap();
    let again = payments.cancel(&key("k"), created.outcome.id()).await.unwrap();
    assert!(matches!(again.outcome, VoidOutcome::Voided(_)));
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.replay, Replay::Replayed);

    let held = world.authorized().await;
    let part = CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
    let _ = payments.capture(&key("k"), held.id(), part).await.unwrap();
    let first = payments.release(&key("k"), held.id()).await.unwrap();
    let again = payments.release(&key("k"), held.id()).await.unwrap();
    assert_eq!(text(again.outcome.intent()), text(first.outcome.intent()));
    assert_eq!(again.replay, Replay::Replayed);

    let why = || RefundReason::RequestedByCustomer;
    let first = payments.reverse(&key("rev"), held.id(), why()).await.unwrap();
    let again = payments.reverse(&key("rev"), held.id(), why()).await.unwrap();
    let (ReverseOutcome::Refunded(first), ReverseOutcome::Refunded(outcome)) = (first.outcome, again.outcome)
    else {
        panic!("captured money is refunded")
    };
    assert_eq!(text(first.refund()), text(outcome.refund()));
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(world.sandbox.ledger().refunds().len(), 1);
}

#[tokio::test]
async fn a_key_with_another_request_is_refused_and_does_nothing() {
    let world = World::new().await;
    let payments = &world.payments;
    let held = world.authorized().await;
    let id = held.id();
    let _ = payments
        .create_and_confirm(&key("a"), new(), card("tok_approve"))
        .await
        .unwrap();
    let _ = payments
        .capture(&key("c"), id, CaptureAmount::Part(money!("10 EUR"), Rest::Keep))
        .await
        .unwrap();
    let refund = |amount| NewRefund::part(amount, RefundReason::GoodsReturned);
    let _ = payments
        .refund(&key("r"), id, refund(money!("1 EUR")))
        .await
        .unwrap();
    let before = world.mark();
    let other = NewIntent::payment(money!("100.01 EUR")).reference("order");
    let elsewhere = world
        .payments
        .create_and_confirm(&key("a"), other, card("tok_approve"))
        .await;
    let errors = [
        elsewhere.err(),
        payments
            .create_and_confirm(&key("a"), new(), card("tok_redirect"))
            .await
            .err(),
        payments
            .capture(&key("c"), id, CaptureAmount::Part(money!("11 EUR"), Rest::Keep))
            .await
            .err(),
        payments
            .capture(
                &key("c"),
                id,
                CaptureAmount::Part(money!("10 EUR"), Rest::Release),
            )
            .await
            .err(),
        payments
            .capture(&key("c"), id, CaptureAmount::Remaining)
            .await
            .err(),
        payments
            .refund(&key("r"), id, refund(money!("2 EUR")))
            .await
            .err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind(), &ErrorKind::IdempotencyMismatch);
        assert_eq!(error.http_status(), 422);
    }
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_key_in_flight_says_which_operation_is_open() {
    let world = World::new().await;
    world.fault(Call::Authorize, FaultKind::Hang);
    let payments = world.payments.clone();
    let verb = tokio::spawn(async move {
        payments
            .create_and_confirm(&key("a"), new(), card("tok_approve"))
            .await
    });
    while world.posts() == 0 {
        tokio::task::yield_now().await;
    }
    let intents = world
        .payments
        .intents(paymux::IntentQuery::new())
        .page(10, None)
        .await;
    let intent = intents.unwrap().items.remove(0);
    let open = *intent.operations()[0].id();
    assert_eq!(intent.operations()[0].kind(), OperationKind::Authorize);
    let before = world.mark();
    let error = world
        .payments
        .create_and_confirm(&key("a"), new(), card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::OperationInProgress {
            operation: Some(open)
        }
    );
    assert_eq!(error.http_status(), 409);
    assert!(
        serde_json::to_string(&error.public())
            .unwrap()
            .contains(&open.to_string())
    );
    let other = world
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await;
    assert_eq!(
        other.unwrap_err().kind(),
        &ErrorKind::OperationInProgress {
            operation: Some(open)
        }
    );
    assert_eq!(world.mark(), before);
    world.clock.advance(MINUTE);
    let (_, unknown) = unknown(verb.await.unwrap().unwrap().outcome);
    assert_eq!(unknown.operation(), Some(&open));
}

#[tokio::test]
async fn an_unknown_outcome_replays_as_it_stands_and_is_done_later() {
    let world = World::new().await;
    let pay = async || {
        world
            .payments
            .create_and_confirm(&key("a"), new(), card("tok_charged_answer_lost"))
            .await
    };
    let first = pay().await.unwrap();
    assert_eq!(first.outcome.http_status(), 202);
    let again = pay().await.unwrap();
    assert_eq!(
        (again.replay, again.outcome.http_status().as_u16()),
        (Replay::Replayed, 202)
    );
    let _ = unknown(again.outcome);
    world.recover().await;
    let done = pay().await.unwrap();
    assert_eq!(done.replay, Replay::Replayed);
    let PaymentOutcome::Succeeded(intent) = &done.outcome else {
        panic!("{:?}", done.outcome)
    };
    let kept = text(intent);
    let part = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
    let _ = world.payments.refund(&key("r"), intent.id(), part).await.unwrap();
    assert_eq!(text(pay().await.unwrap().outcome.intent()), kept);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn an_unknown_capture_replays_as_it_stands_and_is_done_later() {
    let world = World::new().await;
    let held = world.authorized().await;
    world.fault(Call::Capture, FaultKind::DropAnswer);
    let capture = async || {
        world
            .payments
            .capture(&key("c"), held.id(), CaptureAmount::Remaining)
            .await
    };
    assert!(matches!(
        capture().await.unwrap().outcome,
        CaptureOutcome::Unknown { .. }
    ));
    let again = capture().await.unwrap();
    assert_eq!(
        (again.replay, again.outcome.http_status().as_u16()),
        (Replay::Replayed, 202)
    );
    world.recover().await;
    let done = capture().await.unwrap();
    assert_eq!(done.replay, Replay::Replayed);
    assert!(matches!(done.outcome, CaptureOutcome::Captured(_)));
    assert_eq!(world.sent("POST", "captures"), 1);
}

#[tokio::test]
async fn an_unknown_refund_replays_as_it_stands_and_is_done_later() {
    let world = World::new().await;
    let paid = world.paid().await;
    world.fault(Call::Refund, FaultKind::DropAnswer);
    let refund = async || {
        let new = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
        world.payments.refund(&key("r"), paid.id(), new).await
    };
    assert!(matches!(
        refund().await.unwrap().outcome,
        RefundOutcome::Unknown { .. }
    ));
    let again = refund().await.unwrap();
    assert_eq!(
        (again.replay, again.outcome.http_status().as_u16()),
        (Replay::Replayed, 202)
    );
    world.recover().await;
    let done = refund().await.unwrap();
    assert_eq!(done.replay, Replay::Replayed);
    assert!(matches!(done.outcome, RefundOutcome::Succeeded(_)));
    assert_eq!(world.sandbox.ledger().refunds().len(), 1);
}

#[tokio::test]
async fn keys_are_printable_ascii_and_not_blank() {
    let long = "k".repeat(256);
    for bad in [
        "",
        " ",
        "   ",
        long.as_str(),
        "schlüssel",
        "tab\tkey",
        "line\n",
        "\u{7f}",
    ] {
        let error = IdempotencyKey::new(bad).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{bad:?}");
        assert_eq!(error.http_status(), 400);
        assert_eq!(error.faults()[0].field, "idempotency_key");
        assert!(!error.faults()[0].remedy.is_empty());
    }
    assert!(IdempotencyKey::new("k".repeat(255)).is_ok());
    assert!(IdempotencyKey::new(" order 7 ~").is_ok());
    let with = |value: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", http::HeaderValue::from_bytes(value).unwrap());
        headers
    };
    assert_eq!(IdempotencyKey::from_headers(&HeaderMap::new()).unwrap(), None);
    assert_eq!(
        IdempotencyKey::from_headers(&with(b"  ")).unwrap(),
        None,
        "blank is none over HTTP"
    );
    assert_eq!(IdempotencyKey::from_headers(&with(b"a")).unwrap(), Some(key("a")));
    assert!(IdempotencyKey::from_headers(&with(b"\xff")).is_err());
    for missing in [HeaderMap::new(), with(b" ")] {
        let error = IdempotencyKey::require(&missing).unwrap_err();
        assert_eq!(error.faults()[0].field, "idempotency_key");
    }
}

#[tokio::test]
async fn one_key_of_two_tenants_is_two_keys() {
    let world = World::new().await;
    let other = world.paymux.tenant(Tenant::test("other").unwrap());
    let live = world.paymux.tenant(Tenant::live("acme").unwrap());
    let mut ids = std::collections::BTreeSet::new();
    for payments in [&world.payments, &other, &live] {
        let reply = payments
            .create_and_confirm(&key("a"), new(), card("tok_approve"))
            .await
            .unwrap();
        assert_eq!(reply.replay, Replay::First);
        ids.insert(*reply.outcome.intent().id());
    }
    assert_eq!(ids.len(), 3);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 3);
}

#[tokio::test]
async fn a_key_is_one_for_each_verb() {
    let world = World::new().await;
    let held = world.authorized().await;
    let captured = world
        .payments
        .capture(&key("k"), held.id(), CaptureAmount::Remaining)
        .await
        .unwrap();
    assert_eq!(captured.replay, Replay::First);
    let refund = NewRefund::part(money!("30 EUR"), RefundReason::GoodsReturned);
    let refunded = world.payments.refund(&key("k"), held.id(), refund).await.unwrap();
    assert_eq!(refunded.replay, Replay::First);
    let why = || RefundReason::GoodsReturned;
    let reversed = world.payments.reverse(&key("k"), held.id(), why()).await.unwrap();
    assert_eq!(reversed.replay, Replay::First);
    let again = world.payments.reverse(&key("k"), held.id(), why()).await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    let other = world.authorized().await;
    let error = world.payments.reverse(&key("k"), other.id(), why()).await;
    assert_eq!(error.unwrap_err().kind(), &ErrorKind::IdempotencyMismatch);
    let voided = world.payments.void(&key("k"), other.id()).await.unwrap();
    assert_eq!(voided.replay, Replay::First);
    let reversed = world.payments.reverse(&key("l"), held.id(), why()).await;
    assert_eq!(
        reversed.unwrap_err().kind(),
        &ErrorKind::Invalid,
        "nothing is left"
    );
    let totals = *world.reread(&held).await.totals();
    assert_eq!((totals.captured, totals.refunded), (10_000, 10_000));
}

#[tokio::test]
async fn a_plan_with_a_key_of_another_request_is_refused() {
    let world = World::new().await;
    let one = || NewIntent::payment(money!("1 EUR"));
    let made = world.payments.create_intent(&key("k"), one()).await;
    let _ = made.unwrap();
    let planned = world.payments.plan_create_intent(&key("k"), new()).await;
    assert_eq!(planned.unwrap_err().kind(), &ErrorKind::IdempotencyMismatch);
    let same = world.payments.plan_create_intent(&key("k"), one()).await;
    assert!(same.is_ok(), "its commit says that it is there already");
}

#[tokio::test]
async fn after_every_account_s_proof_the_same_key_may_try_again() {
    for token in [
        "tok_refused",
        "tok_refused_unauthorized",
        "tok_rate_limited",
        "tok_not_sent",
    ] {
        for shape in [Shape::default(), Shape::handle_first()] {
            let world = World::of(shape, &["main", "second"]).await;
            let pay = async || {
                world
                    .payments
                    .create_and_confirm(&key("a"), new(), card(token))
                    .await
            };
            let error = pay().await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::NotExecuted, "{token}");
            assert_eq!(error.http_status(), 503);
            let intents = world
                .payments
                .intents(paymux::IntentQuery::new())
                .page(10, None)
                .await;
            let intent = intents.unwrap().items.remove(0);
            assert_eq!(intent.status(), IntentStatus::Created, "{token}");
            assert_eq!(intent.attempts().len(), 2, "{token}: both accounts were tried");
            let sends = world.posts();
            let again = pay().await.unwrap_err();
            assert_eq!(again.kind(), &ErrorKind::NotExecuted);
            let intents = world
                .payments
                .intents(paymux::IntentQuery::new())
                .page(10, None)
                .await;
            let intents = intents.unwrap().items;
            assert_eq!(intents.len(), 1, "{token}: one key made one payment");
            assert_eq!(intents[0].attempts().len(), 4, "{token}");
            assert!(
                world.posts() > sends || token == "tok_not_sent",
                "{token}: it was tried again"
            );
        }
    }
    let world = World::of(Shape::default(), &["main", "second"]).await;
    world.sandbox.down();
    let pay = async || {
        world
            .payments
            .create_and_confirm(&key("a"), new(), card("tok_approve"))
            .await
    };
    assert_eq!(pay().await.unwrap_err().kind(), &ErrorKind::NotExecuted);
    world.sandbox.up();
    let reply = pay().await.unwrap();
    assert_eq!(reply.replay, Replay::First);
    assert!(matches!(reply.outcome, PaymentOutcome::Succeeded(_)));
    let again = pay().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(text(again.outcome.intent()), text(reply.outcome.intent()));
}

/// A payment of which nothing was executed, as its key's caller was told of it before that was known.
async fn made_in_vain(world: &World) -> PaymentIntent {
    world.fault(Call::Authorize, FaultKind::DropRequest);
    let reply = pay_once(world).await.unwrap();
    let (told, _) = unknown(reply.outcome);
    world.pass(HOUR).await;
    let intent = world.reread(&told).await;
    assert_eq!((intent.status(), world.posts()), (IntentStatus::Created, 1));
    intent
}

async fn pay_once(world: &World) -> paymux::Result<Reply<PaymentOutcome>> {
    world
        .payments
        .create_and_confirm(&key("a"), new(), card("tok_approve"))
        .await
}

#[tokio::test]
async fn a_key_goes_on_with_the_payment_that_it_made() {
    let shape = Shape::default().key(Key::None);
    for world in World::each(shape, &["main"]).await {
        let told = made_in_vain(&world).await;
        let reply = pay_once(&world).await.unwrap();
        assert_eq!(reply.replay, Replay::First);
        assert_eq!(reply.outcome.intent().id(), told.id());
        assert!(matches!(reply.outcome, PaymentOutcome::Succeeded(_)));
        assert_eq!(pay_once(&world).await.unwrap().replay, Replay::Replayed);
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn a_key_never_pays_what_was_paid_or_ended_since() {
    let shape = Shape::default().key(Key::None);
    for world in World::each(shape.clone(), &["main"]).await {
        let told = made_in_vain(&world).await;
        let other = key("b");
        let elsewhere = world.payments.confirm(&other, told.id(), card("tok_approve"));
        assert!(matches!(
            elsewhere.await.unwrap().outcome,
            PaymentOutcome::Succeeded(_)
        ));
        let reply = pay_once(&world).await.unwrap();
        assert_eq!(
            (reply.replay, reply.outcome.intent().id()),
            (Replay::Replayed, told.id())
        );
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
    for world in World::each(shape.clone(), &["main"]).await {
        let told = made_in_vain(&world).await;
        let _ = world.payments.cancel(&key("b"), told.id()).await.unwrap();
        let reply = pay_once(&world).await.unwrap();
        assert_eq!(reply.outcome.intent().status(), IntentStatus::Cancelled);
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 0);
    }
    for world in World::each(shape, &["main"]).await {
        let told = made_in_vain(&world).await;
        let change = IntentUpdate::new().amount(money!("90 EUR"));
        let changed = world.payments.update(&told, change).await.unwrap();
        let error = pay_once(&world).await.unwrap_err();
        assert_eq!(
            error.kind(),
            &ErrorKind::Stale,
            "the key asked for another amount"
        );
        let other = key("b");
        let confirmed = world.payments.confirm(&other, changed.id(), card("tok_approve"));
        assert!(matches!(
            confirmed.await.unwrap().outcome,
            PaymentOutcome::Succeeded(_)
        ));
    }
}

#[tokio::test]
async fn of_two_repetitions_after_nothing_was_executed_one_pays() {
    let world = World::of(Shape::default().key(Key::None), &["main"]).await;
    let told = made_in_vain(&world).await;
    let payments = world.payments.clone();
    world.store.meanwhile(async move {
        let paid = payments
            .create_and_confirm(&key("a"), new(), card("tok_approve"))
            .await;
        drop(paid.unwrap());
    });
    // This one has read that its key goes on.
    let reply = pay_once(&world).await.unwrap();
    assert_eq!(
        (reply.replay, reply.outcome.intent().id()),
        (Replay::Replayed, told.id())
    );
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_caller_that_was_overtaken_is_told_what_every_repetition_is() {
    let world = World::new().await;
    let same = key("a");
    let slow = world.payments.create_and_confirm(&same, new(), card("tok_slow"));
    let mut slow = Box::pin(slow);
    while world.posts() == 0 {
        tokio::select! {
            biased;
            told = &mut slow => panic!("{told:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    world.clock.advance(MINUTE);
    world.recover().await;
    let made = world.payments.intents(paymux::IntentQuery::new()).page(2, None);
    let made = made.await.unwrap().items.remove(0);
    assert_eq!(made.status(), IntentStatus::Succeeded);
    let back = NewRefund::available(RefundReason::OrderCancelled);
    let _ = world.payments.refund(&key("r"), made.id(), back).await.unwrap();
    let first = slow.await.unwrap();
    let again = world
        .payments
        .create_and_confirm(&same, new(), card("tok_slow"))
        .await
        .unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(text(first.outcome.intent()), text(again.outcome.intent()));
}

#[tokio::test]
async fn a_capture_or_refund_that_was_proved_not_executed_frees_its_key_and_its_money() {
    let world = World::new().await;
    let held = world.authorized().await;
    let capture = async || {
        world
            .payments
            .capture(&key("c"), held.id(), CaptureAmount::Remaining)
            .await
    };
    world.fault(Call::Capture, FaultKind::Refuse(429));
    assert_eq!(capture().await.unwrap_err().kind(), &ErrorKind::NotExecuted);
    assert_eq!(world.reread(&held).await.totals().capture_pending, 0);
    let done = capture().await.unwrap();
    assert_eq!(done.replay, Replay::First);
    assert!(matches!(done.outcome, CaptureOutcome::Captured(_)));
    let refund = async || {
        let new = NewRefund::available(RefundReason::GoodsReturned);
        world.payments.refund(&key("r"), held.id(), new).await
    };
    world.fault(Call::Refund, FaultKind::NotSent);
    assert_eq!(refund().await.unwrap_err().kind(), &ErrorKind::NotExecuted);
    assert_eq!(world.reread(&held).await.totals().refund_pending, 0);
    let done = refund().await.unwrap();
    assert_eq!(done.replay, Replay::First);
    assert!(matches!(done.outcome, RefundOutcome::Succeeded(_)));
    world.fault(Call::Void, FaultKind::NotSent);
    let held = world.authorized().await;
    let void = async || world.payments.void(&key("v"), held.id()).await;
    assert_eq!(void().await.unwrap_err().kind(), &ErrorKind::NotExecuted);
    assert_eq!(world.reread(&held).await.status(), IntentStatus::Authorized);
    assert!(matches!(void().await.unwrap().outcome, VoidOutcome::Voided(_)));
}

#[tokio::test]
async fn a_declined_capture_or_refund_is_kept_for_its_key() {
    let world = World::new().await;
    let held = world.held("tok_capture_declined").await;
    let capture = async || {
        world
            .payments
            .capture(&key("c"), held.id(), CaptureAmount::Remaining)
            .await
    };
    assert!(matches!(
        capture().await.unwrap().outcome,
        CaptureOutcome::Declined(_)
    ));
    let before = world.mark();
    let again = capture().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert!(matches!(again.outcome, CaptureOutcome::Declined(_)));
    assert_eq!(world.mark(), before);
    let paid = world.taken("tok_refund_fails").await;
    let refund = async || {
        let new = NewRefund::available(RefundReason::GoodsReturned);
        world.payments.refund(&key("r"), paid.id(), new).await
    };
    assert!(matches!(
        refund().await.unwrap().outcome,
        RefundOutcome::Failed { .. }
    ));
    let before = world.mark();
    let again = refund().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert!(matches!(again.outcome, RefundOutcome::Failed { .. }));
    assert_eq!(world.mark(), before);
}

async fn one_day() -> World {
    World::built(Shape::default(), &["main"], |builder| {
        builder.policy(Policy::new().key_life(KeyLife::ONE_DAY))
    })
    .await
}

async fn record(world: &World, name: &str) -> Option<Unique> {
    let key = UniqueKey::new(Scope::Idempotency, name);
    world.store.lookup(&tenant(), &key).await.unwrap()
}

/// Deletes the records of keys that are over, and nothing else.
async fn purge(world: &World) {
    let never = Timestamp::default();
    let retention = Retention {
        events_before: never,
        evidence_before: never,
        commits_before: never,
        uniques_before: world.clock.now().after(MINUTE / 60),
    };
    world.paymux.purge(&retention, 100).await.unwrap();
}

#[tokio::test]
async fn a_key_is_bound_for_as_long_as_what_it_made() {
    let world = World::new().await;
    let pay = async || {
        let (key, method) = (key("a"), card("tok_approve"));
        world.payments.create_and_confirm(&key, new(), method).await
    };
    let first = pay().await.unwrap();
    world.clock.advance(3_650 * DAY);
    purge(&world).await;
    let again = pay().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(again.outcome.intent().id(), first.outcome.intent().id());
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_key_of_one_day_charges_again_after_it_purged_or_not() {
    for purged in [false, true] {
        let world = one_day().await;
        let pay = async || {
            let (key, method) = (key("a"), card("tok_approve"));
            world.payments.create_and_confirm(&key, new(), method).await
        };
        let first = pay().await.unwrap();
        world.clock.advance(DAY - MINUTE);
        purge(&world).await;
        assert_eq!(pay().await.unwrap().replay, Replay::Replayed);
        world.clock.advance(MINUTE);
        if purged {
            purge(&world).await;
            assert_eq!(record(&world, "create_and_confirm/a").await, None);
        }
        let other = NewIntent::payment(money!("7 EUR")).reference("order");
        let method = card("tok_approve");
        let anew = world
            .payments
            .create_and_confirm(&key("a"), other.clone(), method)
            .await
            .unwrap();
        assert_eq!(anew.replay, Replay::First, "another request, too, is a new one");
        assert_ne!(anew.outcome.intent().id(), first.outcome.intent().id());
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 2);
        let error = pay().await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::IdempotencyMismatch);
        world.clock.advance(DAY - MINUTE);
        let method = card("tok_approve");
        let again = world.payments.create_and_confirm(&key("a"), other, method).await;
        assert_eq!(again.unwrap().replay, Replay::Replayed, "its day is its own");
    }
}

#[tokio::test]
async fn every_verb_takes_a_key_of_one_day_anew() {
    let world = one_day().await;
    let payments = &world.payments;
    let refund = || NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
    let part = || CaptureAmount::Part(money!("10 EUR"), Rest::Keep);
    let paid = world.authorized().await;
    let id = paid.id();
    let session = || NewSession::payment(money!("100 EUR"));
    let scheduled = || new().reference("idle");
    let mut made = std::collections::BTreeSet::new();
    for round in 1..=2 {
        let session = payments.create_session(&key("k"), session()).await.unwrap();
        let idle = payments.create_intent(&key("k"), scheduled()).await.unwrap();
        let capture = payments.capture(&key("k"), id, part()).await.unwrap();
        let refund = payments.refund(&key("k"), id, refund()).await.unwrap();
        let replays = [session.replay, idle.replay, capture.replay, refund.replay];
        assert_eq!(replays, [Replay::First; 4], "round {round}");
        made.insert(session.outcome.id().to_string());
        made.insert(idle.outcome.id().to_string());
        made.insert(refund.outcome.refund().id().to_string());
        world.clock.advance(DAY);
    }
    assert_eq!(made.len(), 6);
    let paid = world.reread(&paid).await;
    let totals = paid.totals();
    assert_eq!((totals.captured, totals.refunded), (2_000, 2_000));
    let gone = world.authorized().await;
    let reversed = payments
        .reverse(&key("k"), gone.id(), RefundReason::RequestedByCustomer)
        .await
        .unwrap();
    assert!(
        matches!(reversed.outcome, ReverseOutcome::Voided(_)),
        "the refund's key is over"
    );
}

/// A check between the look at a key's record and the first write, where all who pay meet.
#[derive(Clone, Debug, Default)]
struct Meeting(Arc<Mutex<Option<Arc<Barrier>>>>);

#[async_trait]
impl RiskCheck for Meeting {
    fn stages(&self) -> RiskStages {
        RiskStages::Before
    }
    async fn before(&self, _: &Tenant, _: &PaymentIntent, _: &PaymentMethod) -> paymux::Result<RiskVerdict> {
        let meeting = self.0.lock().unwrap().clone();
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        Ok(RiskVerdict::Allow)
    }
    async fn after(&self, _: &Tenant, _: &PaymentIntent) -> paymux::Result<RiskVerdict> {
        Ok(RiskVerdict::Allow)
    }
}

#[tokio::test]
async fn of_two_who_found_a_key_over_one_charges() {
    for purged in [false, true] {
        let check = Meeting::default();
        let world = World::built(Shape::default(), &["main"], |builder| {
            let policy = Policy::new().key_life(KeyLife::ONE_DAY);
            builder.policy(policy).risk(check.clone())
        })
        .await;
        let pay = || {
            let payments = world.payments.clone();
            async move {
                let (key, method) = (key("a"), card("tok_approve"));
                payments.create_and_confirm(&key, new(), method).await
            }
        };
        let _ = pay().await.unwrap();
        world.clock.advance(DAY);

        let meeting = Arc::new(Barrier::new(3));
        *check.0.lock().unwrap() = Some(meeting.clone());
        let racers = [tokio::spawn(pay()), tokio::spawn(pay())];
        if purged {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            purge(&world).await;
        }
        meeting.wait().await;
        let mut first = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(reply) if reply.replay == Replay::First => first += 1,
                Ok(_) => {}
                Err(error) => assert_eq!(error.http_status(), 409, "{error}"),
            }
        }
        assert_eq!(first, 1, "purged: {purged}");
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 2);
    }
}

#[tokio::test]
async fn a_key_never_ends_while_its_outcome_is_unknown() {
    let world = one_day().await;
    let pay = async || {
        let (key, method) = (key("a"), card("tok_charged_answer_lost"));
        world.payments.create_and_confirm(&key, new(), method).await
    };
    let (intent, _) = unknown(pay().await.unwrap().outcome);
    world.clock.advance(30 * DAY);
    purge(&world).await;
    let again = pay().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(unknown(again.outcome).0.id(), intent.id());

    // Its day begins with its result.
    world.recover().await;
    world.clock.advance(DAY - MINUTE);
    purge(&world).await;
    let again = pay().await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert!(matches!(again.outcome, PaymentOutcome::Succeeded(_)));
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(world.rows(RowKind::Intent).await.len(), 1);
}

#[tokio::test]
async fn after_body_ttl_a_replay_is_the_resource_as_it_stands() {
    let world = World::new().await;
    let payments = &world.payments;
    let held = world.authorized().await;
    let id = held.id();
    let part = || CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
    let capture = async || payments.capture(&key("c"), id, part()).await.unwrap();
    let refund = async || {
        let new = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
        payments.refund(&key("r"), id, new).await.unwrap()
    };
    let create = async || payments.create_intent(&key("i"), new()).await.unwrap();
    let first = capture().await;
    let refunded = refund().await;
    let made = create().await;
    let _ = payments
        .capture(&key("d"), id, CaptureAmount::Remaining)
        .await
        .unwrap();
    let _ = payments.cancel(&key("x"), made.outcome.id()).await.unwrap();

    world.clock.advance(DAY - MINUTE);
    assert_eq!(
        text(capture().await.outcome.intent()),
        text(first.outcome.intent())
    );
    assert_eq!(text(&create().await.outcome), text(&made.outcome));
    world.clock.advance(MINUTE);
    let before = world.mark();
    let again = capture().await;
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(text(again.outcome.intent()), text(&world.reread(&held).await));
    assert_eq!(again.outcome.intent().totals().captured, 10_000);
    assert_eq!(create().await.outcome.status(), IntentStatus::Cancelled);
    let again = refund().await;
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(again.outcome.refund().id(), refunded.outcome.refund().id());
    let again = payments.cancel(&key("x"), made.outcome.id()).await.unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(world.mark(), before);

    let world = World::built(Shape::default(), &["main"], |builder| {
        builder.policy(Policy::new().body_ttl(MINUTE))
    })
    .await;
    let pay = async || {
        let (key, method) = (key("a"), card("tok_approve"));
        world.payments.create_and_confirm(&key, new(), method).await
    };
    let paid = pay().await.unwrap();
    let refund = NewRefund::available(RefundReason::GoodsReturned);
    let id = *paid.outcome.intent().id();
    let _ = world.payments.refund(&key("r"), &id, refund).await.unwrap();
    assert_eq!(pay().await.unwrap().outcome.intent().totals().refunded, 0);
    world.clock.advance(MINUTE);
    assert_eq!(pay().await.unwrap().outcome.intent().totals().refunded, 10_000);
}

#[tokio::test]
async fn the_same_request_that_was_answered_elsewhere_meanwhile_is_a_replay() {
    let world = World::new().await;
    let created = world.payments.create_intent(&key("c"), new()).await.unwrap();
    let id = *created.outcome.id();
    let confirm = |payments: Payments| async move {
        let reply = payments.confirm(&key("k"), &id, card("tok_approve")).await;
        reply.unwrap()
    };
    let elsewhere = confirm(world.payments.clone());
    world.store.meanwhile(async { drop(elsewhere.await) });
    assert_eq!(confirm(world.payments.clone()).await.replay, Replay::Replayed);
    let refund = |payments: Payments| async move {
        let all = NewRefund::available(RefundReason::OrderCancelled);
        payments.refund(&key("k"), &id, all).await.unwrap()
    };
    let elsewhere = refund(world.payments.clone());
    world.store.meanwhile(async { drop(elsewhere.await) });
    assert_eq!(refund(world.payments.clone()).await.replay, Replay::Replayed);

    let created = world.payments.create_intent(&key("d"), new()).await.unwrap();
    let id = *created.outcome.id();
    let cancel = |payments: Payments| async move { payments.cancel(&key("x"), &id).await.unwrap() };
    let elsewhere = cancel(world.payments.clone());
    world.store.meanwhile(async { drop(elsewhere.await) });
    assert_eq!(cancel(world.payments.clone()).await.replay, Replay::Replayed);
    for verb in ["capture", "void"] {
        let held = world.authorized().await;
        let id = *held.id();
        let ask = |payments: Payments| async move {
            match verb {
                "capture" => {
                    let all = CaptureAmount::Remaining;
                    payments.capture(&key("e"), &id, all).await.unwrap().replay
                }
                _ => payments.void(&key("e"), &id).await.unwrap().replay,
            }
        };
        let elsewhere = ask(world.payments.clone());
        world.store.meanwhile(async {
            assert_eq!(elsewhere.await, Replay::First);
        });
        assert_eq!(ask(world.payments.clone()).await, Replay::Replayed, "{verb}");
    }

    let session = NewSession::payment(money!("100 EUR"));
    let made = world.payments.create_session(&key("s"), session).await.unwrap();
    let id = *made.outcome.id();
    let submit = |payments: Payments| async move {
        let reply = payments.submit(&key("k"), &id, card("tok_approve")).await;
        reply.unwrap()
    };
    let elsewhere = submit(world.payments.clone());
    world.store.meanwhile(async { drop(elsewhere.await) });
    assert_eq!(submit(world.payments.clone()).await.replay, Replay::Replayed);
    assert_eq!(world.sandbox.ledger().payments().len(), 4, "one for each payment");
}

#[tokio::test]
async fn a_payment_isn_t_tried_for_ever() {
    let world = World::new().await;
    let pay = async || {
        let key = key("k");
        let paid = world
            .payments
            .create_and_confirm(&key, new(), card("tok_approve"));
        paid.await
    };
    for _ in 0..50 {
        world.fault(Call::Authorize, FaultKind::NotSent);
        assert_eq!(pay().await.unwrap_err().code(), "not_executed");
    }
    let error = pay().await.unwrap_err();
    assert_eq!(
        (error.code(), error.faults()[0].field.as_ref()),
        ("invalid", "attempts")
    );
    assert!(world.sandbox.ledger().payments().is_empty());
}
