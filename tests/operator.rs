//! What a person sees and decides of what is unknown.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    AcceptDuplicateRisk, ErrorKind, IntentStatus, OperationKind, SafeStep, UnknownQuery, prelude::*,
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
