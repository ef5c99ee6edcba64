//! What is unknown stays unknown until something proves it: no second charge, no failover, no guess.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use paymux::connector::prelude::*;
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::{Clock, ErrorKind, IntentQuery, IntentStatus, ReviewReason, TestClock, Volatile, prelude::*};
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
    for fault in [400, 401, 422, 429]
        .map(FaultKind::Refuse)
        .into_iter()
        .chain([FaultKind::NotSent])
    {
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
    let wallet = PaymentMethod::wallet("apple_pay", Volatile::new("signed"));
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
    let wallet = || PaymentMethod::wallet("apple_pay", Volatile::new("signed"));
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
        PaymentMethod::wallet("apple_pay", Volatile::new("signed")),
        PaymentMethod::network_token("tok_approve", Volatile::new("cryptogram")),
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

/// A worker whose clock runs apart from the store's and the processor's.
async fn apart(shape: Shape) -> (World, TestClock) {
    let (runtime, worker) = Runtime::test(7);
    let clock = TestClock::new();
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape);
    let connectors = ConnectorMap::shared(["main", "second"].map(|name| sandbox.connector(name))).unwrap();
    (
        World::from(runtime, clock, sandbox, connectors, |builder| builder).await,
        worker,
    )
}

#[tokio::test]
async fn a_clock_that_went_back_keeps_no_key_alive() {
    let (world, _stands_still) = apart(blind()).await;
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    let (intent, _) = unknown(world.pay("tok_approve").await);
    world.clock.advance(2 * DAY);
    world.recover().await;
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(world.posts(), 1, "the processor has forgotten the key");
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Processing);
}

#[tokio::test]
async fn a_clock_that_went_ahead_makes_no_absence_a_proof() {
    let shape = Shape::default().key(Key::None).reads_settle_within(Some(HOUR));
    let (world, worker) = apart(shape).await;
    world.sandbox.faults().stale_reads(HOUR);
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    let (intent, _) = unknown(world.pay("tok_approve").await);
    worker.advance(DAY);
    world.clock.advance(MINUTE);
    world.recover().await;
    assert_eq!(world.reread(&intent).await.attempts().len(), 1, "no failover");
    world.clock.advance(2 * HOUR);
    worker.advance(2 * HOUR);
    world.recover().await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
}

#[tokio::test]
async fn a_later_refusal_takes_no_doubt_of_a_capture_void_or_refund_back() {
    for fault in [400, 401, 422, 429]
        .map(FaultKind::Refuse)
        .into_iter()
        .chain([FaultKind::NotSent])
    {
        for call in [Call::Capture, Call::Void, Call::Refund] {
            let world = World::of(blind(), &["main"]).await;
            let intent = match call {
                Call::Refund => world.paid().await,
                _ => world.authorized().await,
            };
            world.fault(call, FaultKind::DropAnswer);
            world.fault(call, fault);
            let (k, id) = (key("k"), intent.id());
            match call {
                Call::Capture => {
                    let _ = world
                        .payments
                        .capture(&k, id, CaptureAmount::Remaining)
                        .await
                        .unwrap();
                }
                Call::Void => {
                    let _ = world.payments.void(&k, id).await.unwrap();
                }
                _ => {
                    let all = NewRefund::part(money!("100 EUR"), RefundReason::GoodsReturned);
                    let _ = world.payments.refund(&k, id, all).await.unwrap();
                }
            }
            let (posts, at_risk) = (world.posts(), money!("100 EUR"));
            world.recover().await;
            assert_eq!(world.sandbox.faults().waiting(), 0, "the second send was made");
            assert_eq!(world.posts(), posts + 1);
            let seen = world.unknowns().await;
            assert_eq!(
                (seen.len(), seen[0].at_risk()),
                (1, at_risk),
                "{call:?}, {fault:?}"
            );
            // The third send has the same key, and the processor says what it did.
            world.pass(HOUR).await;
            assert!(world.unknowns().await.is_empty(), "{call:?}, {fault:?}");
            let ledger = world.sandbox.ledger();
            let charge = &ledger.payments()[0];
            match call {
                Call::Capture => assert_eq!(charge.captured, money!("100 EUR")),
                Call::Void => assert!(ledger.live_charges("order").is_empty()),
                _ => assert_eq!((charge.refunded, ledger.refunds().len()), (money!("100 EUR"), 1)),
            }
        }
    }
}

/// A call that was sent, whose caller is gone before any answer; the processor's signed word comes before recovery.
async fn told_while_open<T: Send + 'static>(
    world: &World,
    verb: impl Future<Output = paymux::Result<T>> + Send + 'static,
    sent: impl Fn(&World) -> bool,
) {
    let verb = tokio::spawn(verb);
    for _ in 0..10_000 {
        if sent(world) {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(sent(world));
    verb.abort();
    let _ = verb.await;
    assert!(world.deliver().await > 0);
    world.pass(DAY).await;
    assert!(world.unknowns().await.is_empty());
}

async fn the_only(world: &World) -> paymux::PaymentIntent {
    let intents = world.payments.intents(paymux::IntentQuery::new());
    intents.page(10, None).await.unwrap().items.remove(0)
}

#[tokio::test]
async fn what_a_webhook_told_while_a_payment_s_call_was_open_answers_it() {
    for (capture, status) in [
        (CaptureMethod::Automatic, IntentStatus::Succeeded),
        (CaptureMethod::Manual, IntentStatus::Authorized),
    ] {
        let world = World::of(Shape::bare(), &["main"]).await;
        world.fault(Call::Authorize, FaultKind::Hang);
        let payments = world.payments.clone();
        let new = move || {
            NewIntent::payment(money!("100 EUR"))
                .reference("order")
                .capture(capture)
        };
        let verb = async move {
            payments
                .create_and_confirm(&key("a"), new(), card("tok_approve"))
                .await
        };
        told_while_open(&world, verb, |world| {
            !world.sandbox.ledger().live_charges("order").is_empty()
        })
        .await;
        let intent = the_only(&world).await;
        assert_eq!(intent.status(), status);
        assert_eq!(intent.unknown_operation(), None);
        let again = world
            .payments
            .create_and_confirm(&key("a"), new(), card("tok_approve"))
            .await;
        let again = again.unwrap();
        assert_eq!(again.outcome.intent().id(), intent.id());
        assert_eq!(again.replay, Replay::Replayed, "the key has its result");
    }
}

#[tokio::test]
async fn what_a_webhook_told_before_an_answer_was_lost_answers_the_call() {
    let world = World::of(Shape::bare(), &["main"]).await;
    world.fault(Call::Authorize, FaultKind::Hang);
    let payments = world.payments.clone();
    let verb = tokio::spawn(async move {
        let new = NewIntent::payment(money!("100 EUR"))
            .reference("order")
            .capture(CaptureMethod::Manual);
        payments
            .create_and_confirm(&key("a"), new, card("tok_approve"))
            .await
    });
    for _ in 0..10_000 {
        if !world.sandbox.ledger().live_charges("order").is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(world.deliver().await > 0);
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let outcome = tokio::time::timeout(MINUTE, verb)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .outcome;
    assert_eq!(outcome.intent().status(), IntentStatus::Authorized);
    assert_eq!(outcome.intent().unknown_operation(), None);
    let captured = world
        .payments
        .capture(&key("c"), outcome.intent().id(), CaptureAmount::Remaining)
        .await;
    assert!(captured.is_ok());
}

#[tokio::test]
async fn what_a_webhook_told_while_a_refund_s_or_capture_s_call_was_open_answers_it() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let intent = world.paid().await;
    world.deliver().await;
    world.fault(Call::Refund, FaultKind::Hang);
    let (payments, id) = (world.payments.clone(), *intent.id());
    let all = || NewRefund::available(RefundReason::GoodsReturned);
    let verb = async move { payments.refund(&key("r"), &id, all()).await };
    told_while_open(&world, verb, |world| !world.sandbox.ledger().refunds().is_empty()).await;
    assert_eq!(world.reread(&intent).await.totals().refunded, 10_000);

    let world = World::of(Shape::bare(), &["main"]).await;
    let intent = world.authorized().await;
    world.deliver().await;
    world.fault(Call::Capture, FaultKind::Hang);
    let (payments, id) = (world.payments.clone(), *intent.id());
    let part = CaptureAmount::Part(money!("30 EUR"), Rest::Keep);
    let verb = async move { payments.capture(&key("c"), &id, part).await };
    told_while_open(&world, verb, |world| {
        !world.sandbox.ledger().payments()[0].captured.is_zero()
    })
    .await;
    let now = world.reread(&intent).await;
    assert_eq!((now.totals().captured, now.totals().capture_pending), (3_000, 0));
    assert_eq!(now.unknown_operation(), None);
}

/// An account that promises settled reads within a minute, and whose reads lag: an absence is taken for a proof.
#[tokio::test]
async fn a_charge_that_reads_hid_for_longer_than_promised_is_seen_by_its_webhook() {
    let world = World::of(Shape::default().key(Key::None), &["main"]).await;
    world.sandbox.faults().stale_reads(HOUR * 2);
    let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
    world.pass(HOUR).await;
    world.clock.advance(HOUR * 3);
    assert!(world.deliver().await > 0);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
}

/// The same, where the next account was charged meanwhile.
#[tokio::test]
async fn a_charge_that_reads_hid_until_another_account_was_charged_goes_back() {
    let world = World::of(Shape::default().key(Key::None), &["main", "second"]).await;
    world.sandbox.faults().stale_reads(MINUTE * 30);
    let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
    for _ in 0..10 {
        world.clock.advance(MINUTE);
        world.recover().await;
    }
    world.clock.advance(HOUR);
    assert!(world.deliver().await > 0);
    world.pass(DAY).await;
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
}

/// A refund whose caller died after its send.
async fn refund_of_a_dead_caller(world: &World) -> paymux::PaymentIntent {
    let intent = world.paid().await;
    world.fault(Call::Refund, FaultKind::Hang);
    let (payments, id) = (world.payments.clone(), *intent.id());
    let new = NewRefund::available(RefundReason::GoodsReturned);
    let verb = tokio::spawn(async move { payments.refund(&key("r"), &id, new).await });
    while world.sandbox.ledger().refunds().is_empty() {
        tokio::task::yield_now().await;
    }
    verb.abort();
    let _ = verb.await;
    intent
}

#[tokio::test]
async fn an_open_refund_whose_account_is_gone_is_shown_and_done_when_it_is_back() {
    let world = World::new().await;
    let intent = refund_of_a_dead_caller(&world).await;
    let other = ConnectorMap::shared([world.sandbox.connector("other")]).unwrap();
    let after = world.restarted(other).await;
    after.pass(HOUR).await;
    let shown = after.unknowns().await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].review(), Some(ReviewReason::NoConnector));
    let back = ConnectorMap::shared([world.sandbox.connector("main")]).unwrap();
    let after = after.restarted(back).await;
    after.pass(DAY).await;
    assert!(after.unknowns().await.is_empty());
    assert_eq!(after.reread(&intent).await.totals().refunded, 10_000);
}

#[tokio::test]
async fn an_open_refund_whose_account_refunds_no_more_is_shown_or_found_out() {
    let world = World::new().await;
    let intent = refund_of_a_dead_caller(&world).await;
    let shape = Shape::default().without(paymux::connector::Ability::Refund);
    let less = world.sandbox.clone().shape(shape);
    let after = world
        .restarted(ConnectorMap::shared([less.connector("main")]).unwrap())
        .await;
    after.pass(DAY).await;
    let intent = after.reread(&intent).await;
    assert!(intent.totals().refunded == 10_000 || !after.unknowns().await.is_empty());
}

#[tokio::test]
async fn a_payment_whose_time_is_up_while_nobody_knows_of_it_is_looked_at_ever_less_often() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let until = world.clock.now().after(HOUR);
    let new = NewIntent::payment(money!("100 EUR")).expires_at(until);
    let paid = world
        .payments
        .create_and_confirm(&key("k"), new, card("tok_charged_answer_lost"))
        .await;
    let (intent, _) = unknown(paid.unwrap().outcome);
    let mut looks = 0;
    for _ in 0..24 * 60 {
        world.clock.advance(MINUTE);
        looks += world.paymux.expire_due(100).await.unwrap().claimed;
    }
    assert!((23..=48).contains(&looks), "{looks} in a day");
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Processing);
}

fn altered_reads(world: &World) {
    for call in [Call::Read, Call::LookUp] {
        for _ in 0..50 {
            world.fault(call, FaultKind::AlterAmount);
        }
    }
}

#[tokio::test]
async fn a_read_or_look_up_that_speaks_of_another_amount_settles_nothing_until_one_matches() {
    for shape in [Shape::default(), Shape::handle_first()] {
        let world = World::of(shape.key(Key::None), &["main", "second"]).await;
        altered_reads(&world);
        let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
        let sent = world.posts();
        world.pass(HOUR).await;
        let (now, _) = unknown(world.payments.outcome_of(intent.id()).await.unwrap());
        reviewed(&now, ReviewReason::AmountMismatch);
        assert_eq!(now.totals().captured, 0);
        world.sandbox.faults().clear();
        world.pass(HOUR).await;
        let now = world.reread(&intent).await;
        assert_eq!(
            (now.status(), now.totals().captured),
            (IntentStatus::Succeeded, 10_000)
        );
        assert_eq!(world.posts(), sent, "never sent again");
    }
}

#[tokio::test]
async fn a_read_of_a_pending_payment_that_speaks_of_another_amount_is_no_news_and_is_reviewed() {
    let world = World::new().await;
    let PaymentOutcome::Pending(intent) = world.pay("tok_pending_then_settled").await else {
        panic!("accepted, answer later");
    };
    altered_reads(&world);
    world.pass(30 * HOUR).await;
    let now = world.reread(&intent).await;
    reviewed(&now, ReviewReason::AmountMismatch);
    assert_eq!(
        (now.status(), now.totals().captured),
        (IntentStatus::Processing, 0)
    );
}

/// A processor that loses what it is asked, and finds whatever it likes by our reference.
#[derive(Clone, Debug)]
struct Finds {
    id: &'static str,
    minor: i64,
    currency: Currency,
    reference: Reference,
}

#[derive(Clone, Copy, Debug)]
enum Reference {
    Ours,
    Anothers,
    Lacking,
}

impl Exchange<op::Authorize> for Finds {
    fn request(&self, op: &op::Authorize, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.example/charges").json(&op.reference))
    }

    fn report(&self, _: &op::Authorize, _: &Response) -> Result<AuthorizeReport, CallError> {
        Err(CallError::unknown("no answer comes"))
    }
}

impl Exchange<op::LookUp> for Finds {
    fn request(&self, op: &op::LookUp, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::get(format!(
            "https://acme.example/charges?like={}",
            op.reference
        )))
    }

    fn report(&self, op: &op::LookUp, _: &Response) -> Result<LookUpReport, CallError> {
        let echo = Echo::none().amount(Money::from_minor(self.minor, self.currency));
        let echo = match self.reference {
            Reference::Ours => echo.reference(&op.reference),
            Reference::Anothers => echo.reference("somebody-else"),
            Reference::Lacking => echo,
        };
        let found = AuthorizeReport::Captured(Approval::new(self.id, echo));
        Ok(LookUpReport::Found(found.into()))
    }
}

#[derive(Debug)]
struct Loses;

#[async_trait]
impl Transport for Loses {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        match request.method() == "GET" {
            true => Ok(Response::new(200, serde_json::Value::Null)),
            false => Err(TransportError::Unknown("lost")),
        }
    }
}

#[tokio::test]
async fn another_payment_that_a_look_up_finds_is_not_ours() {
    let ours = Finds {
        id: "ch_1",
        minor: 10_000,
        currency: Currency::EUR,
        reference: Reference::Ours,
    };
    let cases = [
        (ours.clone(), true),
        (
            Finds {
                minor: 100,
                ..ours.clone()
            },
            false,
        ),
        (
            Finds {
                minor: 10_001,
                ..ours.clone()
            },
            false,
        ),
        (
            Finds {
                currency: Currency::GBP,
                ..ours.clone()
            },
            false,
        ),
        (
            Finds {
                reference: Reference::Anothers,
                ..ours.clone()
            },
            false,
        ),
        (
            Finds {
                reference: Reference::Lacking,
                ..ours
            },
            false,
        ),
    ];
    for (finds, is_ours) in cases {
        let limits = Capabilities::currencies([Currency::EUR]).echoes(Echoes::AmountAndReference);
        let at = AccountRef::new(ConnectorId::from_static("acme"), "main");
        let step = Step::moves_money(Key::None);
        let exchange = Arc::new(finds.clone());
        let connector = Connector::builder(at, limits, Arc::new(Loses))
            .authorize(Authorization::OneCall(step, exchange.clone()))
            .look_up(exchange)
            .build();
        let (runtime, clock) = Runtime::test(7);
        let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
        let connectors = ConnectorMap::shared([connector]).unwrap();
        let world = World::from(runtime, clock, sandbox, connectors, |builder| builder).await;
        let (intent, _) = unknown(world.pay("tok").await);
        world.pass(2 * HOUR).await;
        let now = world.reread(&intent).await;
        if is_ours {
            assert_eq!(
                (now.status(), now.totals().captured),
                (IntentStatus::Succeeded, 10_000)
            );
            assert_eq!(now.attempts()[0].handle(), Some("ch_1"));
        } else {
            let (now, _) = unknown(world.payments.outcome_of(now.id()).await.unwrap());
            reviewed(&now, ReviewReason::AmountMismatch);
            assert_eq!(
                (now.totals().captured, now.attempts()[0].handle()),
                (0, None),
                "{finds:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_an_overtaken_worker_was_told_is_kept_though_it_changes_nothing() {
    let world = World::new().await;
    let key = key("a");
    let new = NewIntent::payment(money!("100 EUR")).reference("order");
    let slow = world.payments.create_and_confirm(&key, new, card("tok_slow"));
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
    let said = |kept: &[(String, String)], word: &str| {
        let mut kept = kept.iter();
        kept.any(|(kind, body)| kind == "payment" && body.contains(word))
    };
    let before = world.evidence().await;
    assert!(said(&before, "Read: captured"), "{before:?}");
    assert!(!said(&before, "Answer: captured"), "{before:?}");
    let commits = world
        .payments
        .intents(IntentQuery::new())
        .page(2, None)
        .await
        .unwrap();
    let first = slow.await.unwrap();
    let after = world.evidence().await;
    assert!(said(&after, "Answer: captured"), "{after:?}");
    assert_eq!(after.len(), before.len() + 1);
    let again = world.reread(first.outcome.intent()).await;
    assert_eq!(
        again.version(),
        commits.items[0].version(),
        "the payment hasn't changed"
    );
}
