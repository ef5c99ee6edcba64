//! What comes days later: a payment's day, a capture that fails after all, money that nobody waits for.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::connector::{Ability, SuccessOn};
use paymux::sandbox::{Call, FaultKind, Settlement, Shape};
use paymux::{
    AcceptDuplicateRisk, CaptureStatus, Clock, CompensationStatus, IntentStatus, IntentUpdate, NewSession,
    OnLatePayment, OnLateSuccess, OperationKind, OperationStatus, PaymentIntent, Policy, RefundStatus,
    ReviewReason, SessionId, SessionStatus, prelude::*,
};
use support::*;

#[tokio::test]
async fn of_several_captures_the_one_that_failed_is_failed_and_none_is_guessed() {
    for shape in [
        Shape::default(),
        Shape::default().refund_per_capture(),
        Shape::default().authoritative_webhooks(),
    ] {
        for (first, second, certain) in [
            (money!("66.83 EUR"), money!("24.62 EUR"), true),
            (money!("40 EUR"), money!("40 EUR"), false),
        ] {
            let world = World::of(shape.clone().settles(Settlement::ByHand), &["main"]).await;
            let intent = world.authorized().await;
            for (name, amount, rest) in [("c1", first, Rest::Keep), ("c2", second, Rest::Release)] {
                let part = CaptureAmount::Part(amount, rest);
                let _ = world
                    .payments
                    .capture(&key(name), intent.id(), part)
                    .await
                    .unwrap();
            }
            world.deliver().await;
            let handle = world.sandbox.ledger().payments()[0].captures[0].handle.clone();
            world.sandbox.fail_capture(&handle).unwrap();
            world.deliver().await;
            let _ = world.payments.sync(intent.id()).await.unwrap();
            let now = world.reread(&intent).await;
            assert_eq!(now.totals().captured, second.minor(), "as the processor has it");
            let failed = now
                .captures()
                .iter()
                .map(|it| it.status() == CaptureStatus::Failed);
            assert_eq!(failed.collect::<Vec<_>>(), [certain, false]);
            assert_eq!(
                now.review().is_some(),
                !certain,
                "a person is asked what can't be told"
            );
        }
    }
}

#[tokio::test]
async fn what_a_failed_capture_took_is_held_again_while_the_authorization_lives() {
    for read_first in [false, true] {
        let world = World::new().await;
        let intent = world.authorized().await;
        let all = || CaptureAmount::Remaining;
        let _ = world
            .payments
            .capture(&key("c"), intent.id(), all())
            .await
            .unwrap();
        if read_first {
            let _ = world.payments.sync(intent.id()).await.unwrap();
        }
        world.sandbox.fail_capture(&world.handle(&intent)).unwrap();
        world.deliver().await;
        let _ = world.payments.sync(intent.id()).await.unwrap();
        let now = world.reread(&intent).await;
        assert_eq!(world.sandbox.ledger().payments()[0].held(), money!("100 EUR"));
        assert_eq!(
            now.status(),
            IntentStatus::Authorized,
            "read in between: {read_first}"
        );
        assert_eq!((now.totals().capturable(), now.totals().captured), (10_000, 0));
        let _ = world
            .payments
            .capture(&key("d"), intent.id(), all())
            .await
            .unwrap();
        let _ = world.payments.sync(intent.id()).await.unwrap();
        let now = world.reread(&intent).await;
        assert_eq!((now.totals().capturable(), now.totals().captured), (0, 10_000));
    }
}

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
async fn a_scheduled_payment_that_no_account_can_take_is_shown_and_goes_on_being_tried() {
    let world = World::new().await;
    let new = NewIntent::payment(money!("100 EUR"))
        .reference("order")
        .scheduled_for(world.clock.now().after(DAY));
    let reply = world.payments.schedule(&key("s"), new, card("tok_approve")).await;
    let intent = reply.unwrap().outcome;
    let pounds = world
        .sandbox
        .clone()
        .shape(Shape::default().currencies([Currency::GBP]));
    let after = world
        .restarted(ConnectorMap::shared([pounds.connector("pounds")]).unwrap())
        .await;
    after.clock.advance(2 * DAY);
    let _ = after.paymux.recover_due(100).await.unwrap();
    let shown = after.unknowns().await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].review(), Some(ReviewReason::NoConnector));
    let back = ConnectorMap::shared([world.sandbox.connector("main")]).unwrap();
    let after = after.restarted(back).await;
    after.clock.advance(2 * HOUR);
    let _ = after.paymux.recover_due(100).await.unwrap();
    assert_eq!(after.reread(&intent).await.status(), IntentStatus::Succeeded);
    assert!(after.unknowns().await.is_empty());
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

#[tokio::test]
async fn a_webhook_whose_read_fails_waits_for_another() {
    let world = World::new().await;
    let intent = world.taken("tok_refund_fails_later").await;
    let all = NewRefund::available(RefundReason::GoodsReturned);
    let reply = world.payments.refund(&key("r"), intent.id(), all).await.unwrap();
    world.deliver().await;
    world.clock.advance(3 * DAY);
    world.fault(Call::ReadRefund, FaultKind::NotSent);
    world.deliver().await;
    let status = async || {
        let id = *reply.outcome.refund().id();
        world.payments.refund_by_id(&id).await.unwrap().status()
    };
    assert_eq!(status().await, RefundStatus::Succeeded);
    world.clock.advance(MINUTE);
    world.recover().await;
    assert_eq!(status().await, RefundStatus::Failed);
}

#[tokio::test]
async fn a_refund_that_fails_days_later_can_be_asked_for_again() {
    let world = World::new().await;
    let intent = world.taken("tok_refund_fails_later").await;
    let all = || NewRefund::available(RefundReason::GoodsReturned);
    let reply = world
        .payments
        .refund(&key("r"), intent.id(), all())
        .await
        .unwrap();
    world.deliver().await;
    let given = |intent: &PaymentIntent| {
        let totals = intent.totals();
        (totals.refunded, totals.refund_pending, totals.refundable())
    };
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
    let _ = world.payments.sync(intent.id()).await.unwrap();
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
    world.clock.advance(3 * DAY);
    assert!(world.deliver().await > 0);
    assert_eq!(given(&world.reread(&intent).await), (0, 0, 10_000));
    let refund = world
        .payments
        .refund_by_id(reply.outcome.refund().id())
        .await
        .unwrap();
    assert_eq!(refund.status(), RefundStatus::Failed);
    let _ = world
        .payments
        .refund(&key("s"), intent.id(), all())
        .await
        .unwrap();
    assert_eq!(given(&world.reread(&intent).await), (10_000, 0, 0));
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

/// An attempt on a bank's page that can't be called back is superseded, and the payment `ends`; then the payer pays
/// on the page.
async fn paid_late_on_a_page(world: &World, ends: Ends) -> PaymentIntent {
    let intent = world.pay("tok_redirect").await.intent().clone();
    let handle = world.handle(&intent);
    let ada = world.payments.operator(Actor::person("ada"));
    let note = Evidence::note("the payer went away");
    let attempt = *intent.attempts()[0].id();
    let _ = ada
        .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note)
        .await
        .unwrap();
    let pay = async |token| {
        let reply = world.payments.confirm(&key("b"), intent.id(), card(token)).await;
        let _ = reply.unwrap();
    };
    let status = match ends {
        Ends::Open => IntentStatus::Created,
        Ends::Cancelled => {
            let _ = world.payments.cancel(&key("x"), intent.id()).await.unwrap();
            IntentStatus::Cancelled
        }
        Ends::Failed => {
            pay("tok_decline_stolen_card").await;
            IntentStatus::Failed
        }
        Ends::Paid => {
            pay("tok_approve").await;
            IntentStatus::Succeeded
        }
    };
    assert_eq!(world.reread(&intent).await.status(), status);
    world.sandbox.payer_approves(&handle).unwrap();
    intent
}

/// How a payment stands when a superseded attempt of it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Open,
    Cancelled,
    Failed,
    Paid,
}

async fn uncancellable(what: OnLateSuccess) -> [World; 2] {
    World::each_built(Shape::default().without(Ability::Cancel), &["main"], |builder| {
        builder.policy(Policy::new().on_late_success(what).max_attempts(2))
    })
    .await
}

#[tokio::test]
async fn a_late_success_goes_where_the_policy_says_whatever_the_payment_has_come_to() {
    use CompensationStatus::{Done, LeftToHost};
    use IntentStatus::{Cancelled, Failed, Succeeded};
    use OnLateSuccess::{AcceptIfUnpaid, Ask, Reverse};
    for (what, ends, status, live, compensation) in [
        (Reverse, Ends::Open, Succeeded, 1, None),
        (Reverse, Ends::Cancelled, Cancelled, 0, Some(Done)),
        (Reverse, Ends::Failed, Failed, 0, Some(Done)),
        (Reverse, Ends::Paid, Succeeded, 1, Some(Done)),
        (AcceptIfUnpaid, Ends::Open, Succeeded, 1, None),
        (AcceptIfUnpaid, Ends::Cancelled, Succeeded, 1, None),
        (AcceptIfUnpaid, Ends::Failed, Succeeded, 1, None),
        (AcceptIfUnpaid, Ends::Paid, Succeeded, 1, Some(Done)),
        (Ask, Ends::Open, Succeeded, 1, None),
        (Ask, Ends::Cancelled, Cancelled, 1, Some(LeftToHost)),
        (Ask, Ends::Failed, Failed, 1, Some(LeftToHost)),
        (Ask, Ends::Paid, Succeeded, 2, Some(LeftToHost)),
    ] {
        for world in uncancellable(what).await {
            let intent = paid_late_on_a_page(&world, ends).await;
            assert!(world.deliver().await > 0);
            world.pass(HOUR).await;
            let now = world.reread(&intent).await;
            let case = format!("{what:?}, {ends:?}");
            assert_eq!(now.status(), status, "{case}");
            assert_eq!(now.attempts()[0].compensation(), compensation, "{case}");
            assert_eq!(world.sandbox.ledger().live_charges("order").len(), live, "{case}");
            let paid = if status == Succeeded { 10_000 } else { 0 };
            assert_eq!(
                (now.totals().captured, now.totals().refunded),
                (paid, 0),
                "{case}"
            );
            let review = (compensation == Some(LeftToHost)).then_some(ReviewReason::LateSuccess);
            assert_eq!(now.review(), review, "{case}");
            // Told again, nothing more happens.
            let before = world.mark();
            world.sandbox.webhooks();
            let _ = world.payments.sync(intent.id()).await.unwrap();
            world.recover().await;
            assert_eq!(world.store.commits(), before.1, "{case}");
        }
    }
}

#[tokio::test]
async fn what_a_person_gave_up_goes_back_under_every_policy() {
    for what in [
        OnLateSuccess::Reverse,
        OnLateSuccess::AcceptIfUnpaid,
        OnLateSuccess::Ask,
    ] {
        let worlds = World::each_built(Shape::bare(), &["main"], |builder| {
            builder.policy(Policy::new().on_late_success(what))
        });
        for world in worlds.await {
            let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
            let posts = world.sandbox.webhooks();
            world.pass(DAY + HOUR).await;
            let seen = world.unknowns().await.remove(0);
            let ada = world.payments.operator(Actor::person("ada"));
            let _ = ada
                .abandon(&seen, Evidence::note("no answer from them"))
                .await
                .unwrap();
            for (_, body) in posts {
                let _ = world.post(world.resigned(&body, |_| {})).await;
            }
            world.pass(HOUR).await;
            assert!(
                world.sandbox.ledger().live_charges("order").is_empty(),
                "{what:?}"
            );
            let now = world.reread(&intent).await;
            assert_eq!(now.status(), IntentStatus::Created, "{what:?}");
            assert_eq!(now.attempts()[0].compensation(), Some(CompensationStatus::Done));
        }
    }
}

#[tokio::test]
async fn a_compensation_whose_outcome_is_unknown_is_found_out_and_done_once() {
    for fault in [
        FaultKind::DropAnswer,
        FaultKind::DropRequest,
        FaultKind::ServerErrorAfter,
        FaultKind::ServerErrorBefore,
        FaultKind::Truncate,
        FaultKind::Refuse(429),
        FaultKind::NotSent,
    ] {
        for world in uncancellable(OnLateSuccess::Reverse).await {
            let intent = paid_late_on_a_page(&world, Ends::Paid).await;
            world.fault(Call::Refund, fault);
            assert!(world.deliver().await > 0);
            let _ = world.paymux.recover_due(100).await.unwrap();
            let now = world.reread(&intent).await;
            let of = |now: &PaymentIntent, kind| {
                let mine = now
                    .operations()
                    .iter()
                    .filter(|operation| operation.kind() == kind);
                mine.map(|operation| operation.status()).collect::<Vec<_>>()
            };
            let statuses = of(&now, OperationKind::CompensateRefund);
            let proved = matches!(fault, FaultKind::Refuse(_) | FaultKind::NotSent);
            let expected = match proved {
                true => OperationStatus::NotExecuted,
                false => OperationStatus::Unknown,
            };
            assert_eq!(statuses, [expected], "{fault:?}");
            assert_eq!(
                now.status(),
                IntentStatus::Succeeded,
                "{fault:?}: the winner isn't touched"
            );
            if !proved {
                let seen = world.unknowns().await;
                assert_eq!(
                    (seen.len(), seen[0].at_risk()),
                    (1, money!("100 EUR")),
                    "{fault:?}"
                );
            }
            world.pass(HOUR).await;
            let now = world.reread(&intent).await;
            assert_eq!(
                now.attempts()[0].compensation(),
                Some(CompensationStatus::Done),
                "{fault:?}"
            );
            assert_eq!(
                (now.status(), now.review()),
                (IntentStatus::Succeeded, None),
                "{fault:?}"
            );
            assert!(world.unknowns().await.is_empty(), "{fault:?}");
            assert_eq!(world.sandbox.ledger().refunds().len(), 1, "{fault:?}");
            assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn what_somebody_gave_back_in_the_dashboard_isn_t_given_back_again() {
    for world in uncancellable(OnLateSuccess::Reverse).await {
        let intent = paid_late_on_a_page(&world, Ends::Paid).await;
        assert!(world.deliver().await > 0);
        let handle = intent.attempts()[0].handle().unwrap();
        let _ = world.sandbox.dashboard_refund(handle, money!("100 EUR")).unwrap();
        world.recover().await;
        world.pass(MINUTE).await;
        world.pass(MINUTE).await;
        let now = world.reread(&intent).await;
        assert_eq!(now.attempts()[0].compensation(), Some(CompensationStatus::Done));
        assert_eq!((now.status(), now.review()), (IntentStatus::Succeeded, None));
        assert_eq!(world.sent("POST", "/refunds"), 1, "asked for once, and refused");
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn a_compensation_that_is_refused_again_and_again_is_tried_ever_less_and_goes_to_a_person() {
    for world in uncancellable(OnLateSuccess::Reverse).await {
        let intent = paid_late_on_a_page(&world, Ends::Paid).await;
        for _ in 0..100 {
            world.fault(Call::Refund, FaultKind::Refuse(422));
        }
        assert!(world.deliver().await > 0);
        world.recover().await;
        assert_eq!(
            world.sent("POST", "/refunds"),
            1,
            "a refusal isn't answered at once"
        );
        world.pass(MINUTE).await;
        assert_eq!(world.reread(&intent).await.review(), None);
        world.pass(DAY).await;
        let now = world.reread(&intent).await;
        reviewed(&now, ReviewReason::CompensationFailed);
        assert_eq!(world.unknowns().await.len(), 1);
        let tried = world.sent("POST", "/refunds");
        assert!((11..40).contains(&tried), "{tried}");
        world.sandbox.faults().clear();
        world.pass(2 * HOUR).await;
        let now = world.reread(&intent).await;
        assert_eq!(now.attempts()[0].compensation(), Some(CompensationStatus::Done));
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

/// What was given back before says nothing of what is being given back.
#[tokio::test]
async fn a_part_that_was_refunded_before_is_no_proof_of_a_compensation() {
    for fault in [None, Some(FaultKind::DropRequest), Some(FaultKind::DropAnswer)] {
        for world in uncancellable(OnLateSuccess::Reverse).await {
            let intent = paid_late_on_a_page(&world, Ends::Paid).await;
            let handle = intent.attempts()[0].handle().unwrap().to_owned();
            let _ = world.sandbox.dashboard_refund(&handle, money!("60 EUR")).unwrap();
            assert!(world.deliver().await > 0);
            if let Some(fault) = fault {
                world.fault(Call::Refund, fault);
            }
            let _ = world.paymux.recover_due(100).await.unwrap();
            let _ = world.payments.sync(intent.id()).await.unwrap();
            let now = world.reread(&intent).await;
            let compensation = now
                .operations()
                .iter()
                .find(|operation| operation.kind() == OperationKind::CompensateRefund)
                .unwrap();
            assert_eq!(compensation.amount(), money!("40 EUR"));
            if fault == Some(FaultKind::DropRequest) {
                assert_eq!(
                    compensation.status(),
                    OperationStatus::Unknown,
                    "nothing proves it"
                );
            }
            world.pass(HOUR).await;
            let now = world.reread(&intent).await;
            assert_eq!(
                now.attempts()[0].compensation(),
                Some(CompensationStatus::Done),
                "{fault:?}"
            );
            assert_eq!(now.review(), None, "{fault:?}");
            assert_eq!(world.sandbox.ledger().refunds().len(), 2, "{fault:?}");
            assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1, "{fault:?}");
            let sent = world.sent("POST", "/refunds");
            assert_eq!(
                sent,
                if fault == Some(FaultKind::DropRequest) {
                    2
                } else {
                    1
                },
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_worker_that_dies_while_it_asks_leaves_the_payment_to_the_next_one() {
    for refunds in [false, true] {
        let world = World::new().await;
        let call = match refunds {
            true => {
                let paid = world.taken("tok_refund_pending").await;
                let new = NewRefund::available(RefundReason::GoodsReturned);
                let _ = world.payments.refund(&key("r"), paid.id(), new).await.unwrap();
                Call::ReadRefund
            }
            false => {
                let _ = world.pay("tok_pending_then_settled").await;
                Call::Read
            }
        };
        world.clock.advance(30 * MINUTE);
        world.fault(call, FaultKind::Hang);
        let asked = world.sent("GET", "");
        let paymux = world.paymux.clone();
        let worker = tokio::spawn(async move { paymux.recover_due(10).await });
        while world.sent("GET", "") == asked {
            tokio::task::yield_now().await;
        }
        worker.abort();
        assert!(worker.await.unwrap_err().is_cancelled());

        assert_eq!(world.paymux.recover_due(10).await.unwrap().claimed, 0, "leased");
        world.clock.advance(MINUTE);
        assert_eq!(world.paymux.recover_due(10).await.unwrap().claimed, 1);
        assert_eq!(world.sent("GET", ""), asked + 2);
    }
}

/// A processor may say days later that what it declined was paid. Its amount isn't the payment's any more.
#[tokio::test]
async fn a_declined_attempt_that_is_paid_after_all_is_not_the_amount_that_the_payment_was_changed_to() {
    let policies = [
        OnLateSuccess::Reverse,
        OnLateSuccess::AcceptIfUnpaid,
        OnLateSuccess::Ask,
    ];
    for what in policies {
        for amount in [money!("100 EUR"), money!("50 EUR"), money!("150 EUR")] {
            let policy = Policy::default().on_late_success(what);
            let world = World::built(Shape::bare(), &["main"], |builder| builder.policy(policy)).await;
            let outcome = world.pay("tok_decline_insufficient_funds").await;
            let intent = world.reread(outcome.intent()).await;
            let posts = world.sandbox.webhooks();
            let (_, body) = posts.last().unwrap();
            let change = IntentUpdate::new().amount(amount);
            let changed = world.payments.update(&intent, change).await.unwrap();
            assert_eq!(changed.status(), IntentStatus::Created);
            let late = world.resigned(body, |event| {
                event["event"] = "evt_late".into();
                event["kind"] = "payment.settled".into();
                let object = &mut event["object"];
                object["state"] = "settled".into();
                object["authorized"] = object["amount"].clone();
                object["captured"] = object["amount"].clone();
                object.as_object_mut().unwrap().remove("decline");
                object.as_object_mut().unwrap().remove("code");
            });
            let _ = world.post(late).await;
            let now = world.reread(&intent).await;
            let attempt = &now.attempts()[0];
            if amount == money!("100 EUR") {
                assert_eq!(
                    (now.status(), attempt.compensation()),
                    (IntentStatus::Succeeded, None)
                );
                continue;
            }
            assert_eq!((now.status(), now.totals().captured), (IntentStatus::Created, 0));
            match what {
                OnLateSuccess::Ask => {
                    assert_eq!(attempt.compensation(), Some(CompensationStatus::LeftToHost));
                    reviewed(&now, ReviewReason::LateSuccess);
                }
                OnLateSuccess::Reverse | OnLateSuccess::AcceptIfUnpaid => {
                    assert!(attempt.compensation().is_some(), "{what:?}: it goes back");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_authorization_whose_time_is_up_is_asked_about() {
    let world = World::of(Shape::default(), &["main"]).await;
    let intent = world.authorized().await;
    let until = intent.capture_before().unwrap();
    world.pass(until.since(world.clock.now()) - HOUR).await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Authorized);
    let asked = world.sent("GET", "");
    assert_eq!(asked, 0, "nobody asks while it holds");
    world.pass(DAY).await;
    let now = world.reread(&intent).await;
    assert_eq!((now.status(), now.review()), (IntentStatus::Voided, None));
}

#[tokio::test]
async fn an_authorization_whose_time_is_up_and_that_can_t_be_read_is_shown_to_a_person() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let intent = world.authorized().await;
    let until = intent.capture_before().unwrap();
    world.pass(until.since(world.clock.now()) + HOUR).await;
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Authorized);
    reviewed(&now, ReviewReason::AuthorizationLapsed);
    assert_eq!(world.unknowns().await.len(), 1);
}

#[tokio::test]
async fn what_a_payment_waits_for_now_is_asked_though_a_worker_was_at_it_before() {
    let shape = Shape::default()
        .settles(Settlement::ByHand)
        .success_on(SuccessOn::Settled);
    for world in World::each(shape, &["main"]).await {
        let new = NewIntent::payment(money!("100 EUR")).capture(CaptureMethod::Manual);
        let token = card("tok_pending_then_settled");
        let paid = world
            .payments
            .create_and_confirm(&key("p"), new, token)
            .await
            .unwrap();
        let id = *paid.outcome.intent().id();
        let payments = world.payments.clone();
        // The worker has seen it authorized, which is asked about on its last day; it is captured before that is written.
        world.store.before_next_sync(async move {
            let captured = payments.capture(&key("c"), &id, CaptureAmount::Remaining).await;
            drop(captured.unwrap());
        });
        world.pass(2 * HOUR).await;
        let now = world.payments.intent(&id).await.unwrap();
        assert_eq!(now.status(), IntentStatus::Captured);
        world.sandbox.settle(&world.handle(&now)).unwrap();
        world.sandbox.webhooks();
        world.pass(2 * HOUR).await;
        let now = world.payments.intent(&id).await.unwrap();
        assert_eq!(now.status(), IntentStatus::Succeeded);
    }
}
