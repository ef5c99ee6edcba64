//! What is unknown stays unknown until something proves it: no second charge, no failover, no guess.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::time::Duration;

use paymux::connector::{Key, ReplaysErrors};
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{ErrorKind, IntentStatus, ReviewReason, Volatile, prelude::*};
use support::*;

/// Neither reads nor look-ups, but keys.
fn blind() -> Shape {
    Shape::bare().key(Key::Header {
        window: DAY,
        replays_errors: ReplaysErrors::Never,
    })
}

#[tokio::test]
async fn a_lost_answer_is_read_back_and_charged_once() {
    for token in [
        "tok_charged_answer_lost",
        "tok_500_though_charged",
        "tok_unreadable_answer",
        "tok_request_lost",
        "tok_500_not_charged",
    ] {
        for shape in [Shape::default(), Shape::handle_first(), blind()] {
            let world = World::of(shape, &["main", "second"]).await;
            let (intent, unknown) = support::unknown(world.pay(token).await);
            assert_eq!(intent.status(), IntentStatus::Processing, "{token}");
            assert_eq!(unknown.at_risk(), money!("100 EUR"));
            assert_eq!(unknown.account(), Some(&account("main")));
            world.recover().await;
            let intent = world.reread(&intent).await;
            assert_eq!(intent.status(), IntentStatus::Succeeded, "{token}");
            assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1, "{token}");
            assert_eq!(world.sandbox.ledger().account("second").count(), 0, "{token}");
            assert!(world.unknowns().await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_later_refusal_takes_no_earlier_doubt_back() {
    for fault in [FaultKind::Refuse(422), FaultKind::Refuse(401), FaultKind::NotSent] {
        let world = World::of(blind(), &["main", "second"]).await;
        world.fault(Call::Authorize, FaultKind::DropRequest);
        world.fault(Call::Authorize, fault);
        let (intent, _) = unknown(world.pay("tok_approve").await);
        world.recover().await;
        assert_eq!(world.sandbox.faults().waiting(), 0, "the second send was made");
        let (now, _) = unknown(world.payments.outcome_of(intent.id()).await.unwrap());
        assert_eq!(now.status(), IntentStatus::Processing, "{fault:?}");
        assert_eq!(now.attempts().len(), 1, "{fault:?}: no failover");
    }
}

#[tokio::test]
async fn a_cached_error_of_a_key_is_no_evidence() {
    let shape = Shape::default().key(Key::Header {
        window: DAY,
        replays_errors: ReplaysErrors::Yes,
    });
    let world = World::of(shape, &["main", "second"]).await;
    let (intent, _) = unknown(world.pay("tok_500_not_charged").await);
    world.pass(2 * HOUR).await;
    assert_eq!(
        world.posts(),
        1,
        "after a kept error the step is read, not sent again"
    );
    let _ = unknown(world.payments.outcome_of(intent.id()).await.unwrap());

    let world = World::of(
        Shape::default().key(Key::Header {
            window: DAY,
            replays_errors: ReplaysErrors::Yes,
        }),
        &["main"],
    )
    .await;
    let (intent, _) = unknown(world.pay("tok_500_though_charged").await);
    world.recover().await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    assert_eq!(world.posts(), 1);
}

#[tokio::test]
async fn time_alone_proves_nothing() {
    let world = World::of(Shape::bare(), &["main", "second"]).await;
    world.fault(Call::Authorize, FaultKind::DropRequest);
    let (intent, unknown) = unknown(world.pay("tok_approve").await);
    world.pass(DAY - HOUR).await;
    assert_eq!(world.reread(&intent).await.review(), None);
    world.pass(2 * HOUR).await;
    reviewed(&world.reread(&intent).await, ReviewReason::UnknownTooLong);
    world.pass(60 * DAY).await;
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Processing);
    assert_eq!(now.attempts().len(), 1);
    assert_eq!(now.unknown_operation().as_ref(), unknown.operation());
    assert_eq!(
        world.posts(),
        1,
        "no key, no look-up, no handle: nothing is sent again"
    );
    assert_eq!(world.unknowns().await.len(), 1);
}

#[tokio::test]
async fn not_found_counts_only_after_the_processor_s_reads_have_settled() {
    let world = World::new().await;
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    world.sandbox.faults().stale_reads(Duration::from_secs(30));
    let wallet = PaymentMethod::Wallet {
        wallet: "apple_pay".to_owned(),
        payload: Volatile::new("signed"),
    };
    let new = NewIntent::payment(money!("100 EUR")).reference("order");
    let reply = world.payments.create_and_confirm(&key("a"), new, wallet).await;
    let (intent, _) = unknown(reply.unwrap().outcome);
    world.recover().await;
    let _ = unknown(world.payments.outcome_of(intent.id()).await.unwrap());
    world.clock.advance(Duration::from_secs(40));
    world.recover().await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn what_was_never_found_is_proved_not_executed_and_the_key_is_free() {
    let world = World::new().await;
    world.fault(Call::Authorize, FaultKind::DropRequest);
    let wallet = || PaymentMethod::Wallet {
        wallet: "apple_pay".to_owned(),
        payload: Volatile::new("signed"),
    };
    let new = || NewIntent::payment(money!("100 EUR")).reference("order");
    let reply = world
        .payments
        .create_and_confirm(&key("a"), new(), wallet())
        .await;
    let (intent, _) = unknown(reply.unwrap().outcome);
    world.pass(2 * DAY).await;
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Created);
    assert!(now.last_failure().is_some());
    assert_eq!(world.posts(), 1, "a volatile step is sent once");
    let again = world
        .payments
        .create_and_confirm(&key("a"), new(), wallet())
        .await;
    let again = again.unwrap();
    assert_eq!(again.replay, Replay::First);
    assert!(matches!(again.outcome, PaymentOutcome::Succeeded(_)));
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_volatile_step_is_never_sent_again() {
    let methods = [
        PaymentMethod::Wallet {
            wallet: "apple_pay".to_owned(),
            payload: Volatile::new("signed"),
        },
        PaymentMethod::NetworkToken {
            token: "tok_approve".to_owned(),
            cryptogram: Volatile::new("cryptogram"),
        },
    ];
    for method in methods {
        let world = World::of(blind(), &["main"]).await;
        world.fault(Call::Authorize, FaultKind::DropAnswer);
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        let reply = world.payments.create_and_confirm(&key("a"), new, method).await;
        let (intent, _) = unknown(reply.unwrap().outcome);
        world.pass(3 * DAY).await;
        assert_eq!(world.posts(), 1);
        let _ = unknown(world.payments.outcome_of(intent.id()).await.unwrap());
    }
}

#[tokio::test]
async fn an_altered_amount_is_unknown_and_only_read() {
    let world = World::of(blind(), &["main", "second"]).await;
    let (intent, _) = unknown(world.pay("tok_amount_altered").await);
    reviewed(&intent, ReviewReason::AmountMismatch);
    world.pass(3 * DAY).await;
    assert_eq!(world.posts(), 1, "never sent again");
    let (now, _) = unknown(world.payments.outcome_of(intent.id()).await.unwrap());
    reviewed(&now, ReviewReason::AmountMismatch);
    assert_eq!(now.totals().captured, 0);

    let world = World::new().await;
    let (intent, _) = unknown(world.pay("tok_amount_altered").await);
    reviewed(&intent, ReviewReason::AmountMismatch);
    world.recover().await;
    assert_eq!(world.posts(), 1);
    let now = world.reread(&intent).await;
    assert_eq!(
        now.status(),
        IntentStatus::Succeeded,
        "a read that matches is the proof"
    );
    assert_eq!(now.totals().captured, 10_000);
}

#[tokio::test]
async fn nothing_else_is_opened_while_an_outcome_is_unknown() {
    let world = World::of(Shape::bare(), &["main", "second"]).await;
    let (intent, unknown) = unknown(world.pay("tok_charged_answer_lost").await);
    let before = world.mark();
    let payments = &world.payments;
    let (k, id) = (payments.one_off_key(), intent.id());
    let in_progress = ErrorKind::OperationInProgress {
        operation: unknown.operation().copied(),
    };
    let errors = [
        payments.confirm(&k, id, card("tok_approve")).await.err(),
        payments.capture(&k, id, CaptureAmount::Remaining).await.err(),
        payments.void(&k, id).await.err(),
        payments.cancel(&k, id).await.err(),
        payments.increment(&k, id, money!("1 EUR")).await.err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().kind(), &in_progress);
    }
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn an_unknown_capture_void_or_refund_is_found_out_and_done_once() {
    for fault in [
        FaultKind::DropAnswer,
        FaultKind::DropRequest,
        FaultKind::ServerErrorAfter,
        FaultKind::ServerErrorBefore,
        FaultKind::Truncate,
    ] {
        let world = World::new().await;
        let intent = world.authorized().await;
        world.fault(Call::Capture, fault);
        let reply = world
            .payments
            .capture(&key("c"), intent.id(), CaptureAmount::Remaining)
            .await;
        let CaptureOutcome::Unknown { intent, .. } = reply.unwrap().outcome else {
            panic!("{fault:?}")
        };
        assert_eq!(intent.totals().capture_pending, 10_000, "{fault:?}");
        world.recover().await;
        let intent = world.reread(&intent).await;
        assert_eq!(
            (intent.totals().captured, intent.totals().capture_pending),
            (10_000, 0),
            "{fault:?}"
        );
        world.fault(Call::Refund, fault);
        let part = NewRefund::part(money!("40 EUR"), RefundReason::GoodsReturned);
        let reply = world.payments.refund(&key("r"), intent.id(), part).await.unwrap();
        let RefundOutcome::Unknown { refund, .. } = reply.outcome else {
            panic!("{fault:?}")
        };
        assert_eq!(world.reread(&intent).await.totals().refund_pending, 4_000);
        world.recover().await;
        let intent = world.reread(&intent).await;
        assert_eq!(
            (intent.totals().refunded, intent.totals().refund_pending),
            (4_000, 0),
            "{fault:?}"
        );
        assert_eq!(refund.amount(), money!("40 EUR"));
        let ledger = world.sandbox.ledger();
        assert_eq!(ledger.payments()[0].captured, money!("100 EUR"));
        assert_eq!(ledger.payments()[0].refunded, money!("40 EUR"));
        assert_eq!(ledger.refunds().len(), 1, "{fault:?}");

        let world = World::new().await;
        let intent = world.authorized().await;
        world.fault(Call::Void, fault);
        let reply = world.payments.void(&key("v"), intent.id()).await.unwrap();
        assert!(
            matches!(reply.outcome, paymux::VoidOutcome::Unknown { .. }),
            "{fault:?}"
        );
        world.recover().await;
        assert_eq!(
            world.reread(&intent).await.status(),
            IntentStatus::Voided,
            "{fault:?}"
        );
        assert!(world.sandbox.ledger().live_charges("order").is_empty());
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_an_operation_that_recovery_finishes() {
    for shape in [Shape::default(), Shape::handle_first(), blind()] {
        let world = World::of(shape, &["main", "second"]).await;
        for call in [Call::Authorize, Call::Execute] {
            world.fault(call, FaultKind::Hang);
        }
        let payments = world.payments.clone();
        let verb = tokio::spawn(async move {
            let new = NewIntent::payment(money!("100 EUR")).reference("order");
            payments
                .create_and_confirm(&key("a"), new, card("tok_approve"))
                .await
        });
        while world.sandbox.ledger().live_charges("order").is_empty() {
            tokio::task::yield_now().await;
        }
        verb.abort();
        assert!(verb.await.unwrap_err().is_cancelled());
        world.sandbox.faults().clear();
        world.recover().await;
        let intents = world
            .payments
            .intents(paymux::IntentQuery::new())
            .page(10, None)
            .await;
        let intent = intents.unwrap().items.remove(0);
        assert_eq!(intent.status(), IntentStatus::Processing, "its lease still runs");
        world.clock.advance(MINUTE);
        world.recover().await;
        let intent = world.reread(&intent).await;
        assert_eq!(intent.status(), IntentStatus::Succeeded);
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        let again = world
            .payments
            .create_and_confirm(&key("a"), new, card("tok_approve"))
            .await
            .unwrap();
        assert_eq!(
            again.replay,
            Replay::Replayed,
            "recovery completed the key's record"
        );
        assert!(matches!(again.outcome, PaymentOutcome::Succeeded(_)));
    }
}
