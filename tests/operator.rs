//! What a person sees and decides of what is unknown.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::connector::Key;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    AcceptDuplicateRisk, CompensationStatus, ErrorKind, IntentStatus, IntentUpdate, OperationKind,
    OperationStatus, PaymentIntent, ProviderKind, ProviderRef, ReviewReason, SafeStep, SubjectId,
    UnknownOutcome, UnknownQuery, prelude::*,
};
use support::*;

async fn doubtful() -> (World, paymux::PaymentIntent, paymux::UnknownOutcome) {
    let world = World::of(Shape::bare(), &["main"]).await;
    world.fault(Call::Authorize, FaultKind::DropRequest);
    let (intent, seen) = unknown(world.pay("tok_approve").await);
    (world, intent, seen)
}

#[tokio::test]
async fn unknowns_say_how_old_how_much_and_what_to_do() {
    let (world, intent, _) = doubtful().await;
    world.clock.advance(HOUR);
    let all = world.unknowns().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].subject(), paymux::SubjectId::Payment(*intent.id()));
    assert_eq!(
        (all[0].at_risk(), all[0].kind()),
        (money!("100 EUR"), Some(OperationKind::Authorize))
    );
    assert_eq!(paymux::Clock::now(&world.clock).since(all[0].since()), HOUR);
    assert_eq!(
        all[0].safe_step(),
        &SafeStep::Wait {
            until: all[0].review_at()
        }
    );
    world.pass(2 * DAY).await;
    assert_eq!(world.unknowns().await[0].safe_step(), &SafeStep::SettleByHand);
    let backlog = world.paymux.backlog(paymux::Queue::Recovery).await.unwrap();
    assert_eq!(backlog.attention, vec![(tenant(), 1)]);
}

#[tokio::test]
async fn unknowns_come_in_pages() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let mut expected = std::collections::BTreeSet::new();
    for _ in 0..5 {
        world.fault(Call::Authorize, FaultKind::DropRequest);
        expected.insert(unknown(world.pay("tok_approve").await).0.id().to_string());
    }
    let operator = world.payments.operator(Actor::person("ada"));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = operator
            .unknowns(UnknownQuery::new())
            .page(2, after)
            .await
            .unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|item| match item.subject() {
            paymux::SubjectId::Payment(id) => id.to_string(),
            other => panic!("{other:?}"),
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(
        seen.into_iter().collect::<std::collections::BTreeSet<_>>(),
        expected
    );
}

#[tokio::test]
async fn a_person_settles_on_what_was_seen_and_is_recorded() {
    let (world, intent, seen) = doubtful().await;
    let ada = world.payments.operator(Actor::person("ada"));
    let note = || Evidence::note("nothing in the dashboard");
    let _ = ada
        .settle_by_hand(&seen, Verdict::NotExecuted, note())
        .await
        .unwrap();
    let now = world.reread(&intent).await;
    assert_eq!((now.status(), now.attempts().len()), (IntentStatus::Created, 1));
    assert!(world.unknowns().await.is_empty());
    let kept = world.evidence().await;
    let by_hand = kept.iter().find(|(kind, _)| kind == "settled_by_hand").unwrap();
    assert!(by_hand.1.contains("ada") && by_hand.1.contains("nothing in the dashboard"));
    let before = world.mark();
    let again = ada
        .settle_by_hand(&seen, Verdict::NotExecuted, note())
        .await
        .unwrap_err();
    assert_eq!(again.kind(), &ErrorKind::Stale);
    assert_eq!(
        ada.abandon(&seen, note()).await.unwrap_err().kind(),
        &ErrorKind::Stale
    );
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_person_who_found_the_charge_settles_it_as_executed() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let (intent, seen) = unknown(world.pay("tok_charged_answer_lost").await);
    let handle = world.sandbox.ledger().payments()[0].handle.clone();
    let found = paymux::ProviderRef {
        account: account("main"),
        kind: paymux::ProviderKind::Payment,
        id: handle.clone(),
    };
    let ada = world.payments.operator(Actor::person("ada"));
    let note = || Evidence::note("seen in the dashboard");
    let wrong = Verdict::Executed(money!("99 EUR"), Some(found.clone()));
    assert_eq!(
        ada.settle_by_hand(&seen, wrong, note()).await.unwrap_err().kind(),
        &ErrorKind::Invalid
    );
    let verdict = Verdict::Executed(money!("100 EUR"), Some(found));
    let _ = ada.settle_by_hand(&seen, verdict, note()).await.unwrap();
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Succeeded);
    assert_eq!(world.handle(&now), handle);
}

/// Two accounts are never mixed up, nor a refund taken for a payment.
#[tokio::test]
async fn a_person_settles_by_an_identifier_of_the_account_that_was_asked() {
    let world = World::of(Shape::bare(), &["main", "second"]).await;
    let (intent, seen) = unknown(world.pay("tok_charged_answer_lost").await);
    let ada = world.payments.operator(Actor::person("ada"));
    let settle = async |seen: &UnknownOutcome, amount, name, kind| {
        let found = ProviderRef {
            account: account(name),
            kind,
            id: "theirs".to_owned(),
        };
        let verdict = Verdict::Executed(amount, Some(found));
        ada.settle_by_hand(seen, verdict, Evidence::note("seen")).await
    };
    let whole = money!("100 EUR");
    let before = world.mark();
    for (name, kind) in [
        ("second", ProviderKind::Payment),
        ("main", ProviderKind::Refund),
        ("main", ProviderKind::Capture),
    ] {
        let error = settle(&seen, whole, name, kind).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{name} {kind:?}");
        assert_eq!(error.faults()[0].field, "verdict");
    }
    assert_eq!(world.mark(), before);
    let paid = settle(&seen, whole, "main", ProviderKind::Payment).await;
    assert!(paid.is_ok());
    world.fault(Call::Refund, FaultKind::DropAnswer);
    let part = NewRefund::part(money!("40 EUR"), RefundReason::GoodsReturned);
    let reply = world.payments.refund(&key("r"), intent.id(), part).await.unwrap();
    let RefundOutcome::Unknown { unknown: seen, .. } = reply.outcome else {
        panic!()
    };
    let part = money!("40 EUR");
    let before = world.mark();
    for (name, kind) in [("second", ProviderKind::Refund), ("main", ProviderKind::Payment)] {
        let error = settle(&seen, part, name, kind).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{name} {kind:?}");
    }
    assert_eq!(world.mark(), before);
    assert!(settle(&seen, part, "main", ProviderKind::Refund).await.is_ok());
}

/// Whoever holds the lease may be sending it at this moment.
#[tokio::test]
async fn a_refund_whose_call_may_be_under_way_is_not_settled_by_hand() {
    for world in World::each(Shape::default(), &["main"]).await {
        let intent = world.paid().await;
        world.store.breaks_after(1);
        let new = NewRefund::part(money!("60 EUR"), RefundReason::OrderCancelled);
        let said = world.payments.refund(&key("r"), intent.id(), new).await.unwrap();
        world.store.mended();
        let RefundOutcome::Unknown { unknown, .. } = said.outcome else {
            panic!("{said:?}")
        };
        let ada = world.payments.operator(Actor::person("ada"));
        let before = world.mark();
        for verdict in [Verdict::NotExecuted, Verdict::Executed(money!("60 EUR"), None)] {
            let note = Evidence::note("not seen");
            let error = ada.settle_by_hand(&unknown, verdict, note).await.unwrap_err();
            let operation = unknown.operation().copied();
            assert_eq!(error.kind(), &ErrorKind::OperationInProgress { operation });
        }
        assert_eq!(world.mark(), before);
        world.pass(HOUR).await;
        let totals = *world.reread(&intent).await.totals();
        assert_eq!((totals.refunded, totals.refund_pending), (6_000, 0));
    }
}

#[tokio::test]
async fn abandoning_waits_for_its_time_and_a_late_success_is_given_back() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let (intent, seen) = unknown(world.pay("tok_charged_answer_lost").await);
    let posts = world.sandbox.webhooks();
    let ada = world.payments.operator(Actor::person("ada"));
    let note = || Evidence::note("no answer from them");
    let error = ada.abandon(&seen, note()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::TooEarly {
            after: seen.review_at()
        }
    );
    world.pass(DAY + HOUR).await;
    let seen = world.unknowns().await.remove(0);
    let _ = ada.abandon(&seen, note()).await.unwrap();
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Created);
    assert!(now.unknown_operation().is_some(), "the flag stays");
    assert!(
        world
            .evidence()
            .await
            .iter()
            .any(|(kind, body)| kind == "abandoned" && body.contains("ada"))
    );
    for (_, body) in posts {
        // The processor signs anew on each try.
        let secret = world.sandbox.webhook_secret();
        let scheme = paymux::connector::TimestampedHmac {
            header: "sandbox-signature",
            tolerance: 5 * MINUTE,
        };
        let headers = scheme.sign(&body, &secret, paymux::Clock::now(&world.clock));
        let _ = world.post((headers, body)).await;
    }
    world.recover().await;
    assert!(
        world.sandbox.ledger().live_charges("order").is_empty(),
        "it was given back"
    );
    let now = world.reread(&intent).await;
    assert_eq!(now.operations()[0].status(), OperationStatus::Done);
    assert_eq!(
        now.unknown_operation(),
        None,
        "the processor has said what became of it"
    );
}

#[tokio::test]
async fn superseding_opens_the_way_and_the_second_success_is_given_back() {
    let world = World::of(
        Shape::default().without(paymux::connector::Ability::Cancel),
        &["main"],
    )
    .await;
    let outcome = world.pay("tok_redirect").await;
    let intent = outcome.intent().clone();
    let handle = world.handle(&intent);
    let error = world
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::PayerActionOutstanding { .. }),
        "{error}"
    );
    let ada = world.payments.operator(Actor::person("ada"));
    let attempt = *intent.attempts()[0].id();
    let note = Evidence::note("the payer asked for another way");
    let now = ada
        .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note)
        .await
        .unwrap();
    assert_eq!(now.status(), IntentStatus::Created);
    let paid = world
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await
        .unwrap();
    assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    world.sandbox.payer_approves(&handle).unwrap();
    let _ = world.payments.sync(intent.id()).await.unwrap();
    world.deliver().await;
    world.pass(HOUR).await;
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    assert!(
        world
            .evidence()
            .await
            .iter()
            .any(|(kind, _)| kind == "superseded")
    );
}

/// A charge whose answer was lost, at a processor that has nothing to read; what it would post; and what is unknown.
async fn lost(world: &World, token: &str) -> (PaymentIntent, UnknownOutcome, Vec<paymux::Bytes>) {
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    let (intent, seen) = unknown(world.pay(token).await);
    let posts = world.sandbox.webhooks();
    assert!(!posts.is_empty());
    (intent, seen, posts.into_iter().map(|(_, body)| body).collect())
}

async fn tell(world: &World, posts: &[paymux::Bytes]) {
    for body in posts {
        let reply = world.post(world.resigned(body, |_| {})).await;
        assert!(reply.response.status().is_success());
    }
    world.pass(HOUR).await;
}

fn found(world: &World) -> ProviderRef {
    ProviderRef {
        account: account("main"),
        kind: ProviderKind::Payment,
        id: world.sandbox.ledger().payments()[0].handle.clone(),
    }
}

#[tokio::test]
async fn the_processor_s_proof_wins_over_a_person_who_found_nothing() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let (intent, seen, posts) = lost(&world, "tok_approve").await;
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("nothing in the dashboard");
        let _ = ada
            .settle_by_hand(&seen, Verdict::NotExecuted, note)
            .await
            .unwrap();
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Created);
        tell(&world, &posts).await;
        let now = world.reread(&intent).await;
        assert_eq!(
            (now.status(), now.totals().captured),
            (IntentStatus::Succeeded, 10_000)
        );
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn what_a_person_took_for_not_executed_and_was_goes_back_where_it_was_paid_otherwise() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let (intent, seen, posts) = lost(&world, "tok_approve").await;
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("nothing in the dashboard");
        let _ = ada
            .settle_by_hand(&seen, Verdict::NotExecuted, note)
            .await
            .unwrap();
        let paid = world
            .payments
            .confirm(&key("b"), intent.id(), card("tok_approve"))
            .await
            .unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
        tell(&world, &posts).await;
        let now = world.reread(&intent).await;
        assert_eq!(now.status(), IntentStatus::Succeeded);
        assert_eq!(now.attempts()[0].compensation(), Some(CompensationStatus::Done));
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}

#[tokio::test]
async fn the_processor_s_no_after_a_person_s_yes_is_never_passed_over() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let (intent, seen, posts) = lost(&world, "tok_decline_stolen_card").await;
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("seen in the dashboard");
        let verdict = Verdict::Executed(money!("100 EUR"), Some(found(&world)));
        let _ = ada.settle_by_hand(&seen, verdict, note).await.unwrap();
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
        tell(&world, &posts).await;
        let now = world.reread(&intent).await;
        assert!(
            now.status() != IntentStatus::Succeeded || now.review() == Some(ReviewReason::Contradiction),
            "{now:?}"
        );
    }
}

#[tokio::test]
async fn a_refund_is_settled_by_hand_either_way() {
    for executed in [Verdict::Executed(money!("40 EUR"), None), Verdict::NotExecuted] {
        for world in World::each(Shape::bare(), &["main"]).await {
            let intent = world.paid().await;
            world.fault(Call::Refund, FaultKind::DropAnswer);
            let part = NewRefund::part(money!("40 EUR"), RefundReason::GoodsReturned);
            let reply = world.payments.refund(&key("r"), intent.id(), part).await.unwrap();
            assert!(matches!(reply.outcome, RefundOutcome::Unknown { .. }));
            let seen = world.unknowns().await.remove(0);
            assert_eq!(seen.subject(), SubjectId::Refund(*reply.outcome.refund().id()));
            let ada = world.payments.operator(Actor::person("ada"));
            let note = || Evidence::note("as the dashboard says");
            let _ = ada.settle_by_hand(&seen, executed.clone(), note()).await.unwrap();
            let again = ada
                .settle_by_hand(&seen, executed.clone(), note())
                .await
                .unwrap_err();
            assert_eq!(again.kind(), &ErrorKind::Stale);
            assert!(world.unknowns().await.is_empty());
            let refunded = if executed == Verdict::NotExecuted {
                0
            } else {
                4_000
            };
            let now = world.reread(&intent).await;
            assert_eq!(
                (now.totals().refunded, now.totals().refund_pending),
                (refunded, 0)
            );
            // The processor did give it back, and says so.
            world.deliver().await;
            world.pass(HOUR).await;
            let now = world.reread(&intent).await;
            assert_eq!(
                (now.totals().refunded, now.totals().refund_pending),
                (4_000, 0),
                "{executed:?}"
            );
            assert_eq!(now.refundable(), money!("60 EUR"));
            assert_eq!(world.sandbox.ledger().refunds().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_decision_on_what_has_moved_since_changes_nothing() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let (intent, seen, posts) = lost(&world, "tok_approve").await;
        // Time passes, and the payment goes to a person: what was seen before is not what is.
        world.pass(DAY + HOUR).await;
        let ada = world.payments.operator(Actor::person("ada"));
        let note = || Evidence::note("seen yesterday");
        let before = world.mark();
        for error in [
            ada.settle_by_hand(&seen, Verdict::NotExecuted, note())
                .await
                .err(),
            ada.abandon(&seen, note()).await.err(),
        ] {
            assert_eq!(error.unwrap().kind(), &ErrorKind::Stale);
        }
        assert_eq!(world.mark(), before);
        let seen = world.unknowns().await.remove(0);
        tell(&world, &posts).await;
        let before = world.mark();
        for error in [
            ada.settle_by_hand(&seen, Verdict::NotExecuted, note())
                .await
                .err(),
            ada.abandon(&seen, note()).await.err(),
        ] {
            assert_eq!(
                error.unwrap().kind(),
                &ErrorKind::Stale,
                "the processor was faster"
            );
        }
        assert_eq!(world.mark(), before);
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    }
}

#[tokio::test]
async fn only_what_waits_for_a_payer_is_superseded() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let ada = world.payments.operator(Actor::person("ada"));
    let attempt = |intent: &PaymentIntent| *intent.attempts()[0].id();
    let note = || Evidence::note("in a hurry");
    let (open, _, _) = lost(&world, "tok_approve").await;
    let error = ada
        .supersede(open.id(), &attempt(&open), AcceptDuplicateRisk, note())
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::OperationInProgress { .. }),
        "{error}"
    );
    let held = world.authorized().await;
    let pending = world.pay("tok_pending_then_settled").await.intent().clone();
    let waits = world.pay("tok_redirect").await.intent().clone();
    let before = world.mark();
    for (intent, attempt) in [
        (&held, attempt(&held)),
        (&pending, attempt(&pending)),
        (&waits, attempt(&held)),
    ] {
        let error = ada
            .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note())
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidTransition { .. }),
            "{error}"
        );
    }
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn an_amount_isn_t_changed_while_a_superseded_attempt_can_still_be_paid() {
    for other in [money!("50 EUR"), money!("500 EUR")] {
        let world = World::of(Shape::default(), &["main"]).await;
        let intent = world.pay("tok_redirect").await.intent().clone();
        let ada = world.payments.operator(Actor::person("ada"));
        let attempt = *intent.attempts().last().unwrap().id();
        let after = ada
            .supersede(intent.id(), &attempt, AcceptDuplicateRisk, Evidence::note("away"))
            .await
            .unwrap();
        let refused = world
            .payments
            .update(&after, IntentUpdate::new().amount(other))
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Invalid);
        assert_eq!(refused.faults()[0].field, "amount");
        let same = world
            .payments
            .update(&after, IntentUpdate::new().amount(intent.amount()))
            .await;
        assert!(same.is_ok(), "the amount that it has");
        let _ = world.sandbox.payer_approves(&world.handle(&intent)).unwrap();
        world.deliver().await;
        let now = world.reread(&intent).await;
        assert_eq!(now.status(), IntentStatus::Succeeded);
        assert_eq!(now.totals().captured, now.amount().minor());
    }
}

/// What a person took for not executed, though the processor did charge.
async fn denied(shape: Shape) -> (World, PaymentIntent) {
    let world = World::of(shape.key(Key::None), &["main"]).await;
    let (intent, seen) = unknown(world.pay("tok_charged_answer_lost").await);
    let ada = world.payments.operator(Actor::person("ada"));
    let _ = ada
        .settle_by_hand(&seen, Verdict::NotExecuted, Evidence::note("nothing there"))
        .await
        .unwrap();
    (world, intent)
}

#[tokio::test]
async fn a_webhook_or_a_sync_brings_what_a_person_took_for_not_executed() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let (world, intent) = denied(shape).await;
        assert!(world.deliver().await > 0);
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    }
    let (world, intent) = denied(Shape::default()).await;
    let synced = world.payments.sync(intent.id()).await.unwrap();
    assert_eq!(synced.status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_payer_who_paid_again_after_a_person_s_no_is_given_one_charge_back() {
    let (world, intent) = denied(Shape::default()).await;
    let _ = world
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await
        .unwrap();
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 2);
    assert!(world.deliver().await > 0);
    world.pass(DAY).await;
    assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_sync_says_that_the_account_isn_t_registered() {
    let world = World::new().await;
    let intent = world.authorized().await;
    let other = ConnectorMap::shared([world.sandbox.connector("other")]).unwrap();
    let after = world.restarted(other).await;
    let error = after.payments.sync(intent.id()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connectors), "{error}");
}
