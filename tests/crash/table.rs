//! The crash table, row by row, on each store: what is on disk after the crash, and how it is resolved.

use std::time::Duration;

use paymux::prelude::*;
use paymux::sandbox::{Call, FaultKind};
use paymux::{
    AcceptDuplicateRisk, CompensationStatus, Confirm, ErrorKind, IntentStatus, OperationStatus, Received,
};

use crate::boundary::{Boundaries, CommitFault};
use crate::story::{Story, handle, key, new_intent};
use crate::world::{Kept, ORDER, World};

/// Where, in a run without a crash, the `n`th boundary of this name is.
async fn place(story: Story, kept: Kept, name: &str, n: usize) -> u32 {
    let world = World::new(kept, story.shape(), story.accounts()).await;
    let setting = Box::pin(story.set_up(&world)).await;
    let boundaries = Boundaries::default();
    let engine = world.engine(&boundaries).await;
    Box::pin(story.act(&world, &engine, &setting)).await.unwrap();
    let log = boundaries.log();
    let found = log.iter().enumerate().filter(|(_, what)| what.starts_with(name));
    let at = found.map(|(at, _)| at).nth(n - 1);
    u32::try_from(at.unwrap_or_else(|| panic!("no {n}th {name:?} in {log:#?}")) + 1).unwrap()
}

/// A world whose story was crashed there.
async fn crashed(story: Story, kept: Kept, name: &str, n: usize) -> World {
    let boundaries = Boundaries::cut_at(Box::pin(place(story, kept, name, n)).await);
    let world = World::new(kept, story.shape(), story.accounts()).await;
    let engine = world.engine(&boundaries).await;
    let setting = Box::pin(story.set_up(&world)).await;
    let done = boundaries
        .run(Box::pin(story.act(&world, &engine, &setting)))
        .await;
    assert!(done.is_none(), "it wasn't cut");
    world
}

async fn pay(payments: &Payments) -> paymux::Result<Reply<PaymentOutcome>> {
    let method = PaymentMethod::card_token("tok_approve");
    Box::pin(payments.create_and_confirm(&key("the-verb"), new_intent(), method)).await
}

fn charges(world: &World) -> usize {
    world.sandbox.ledger().live_charges(ORDER).len()
}

fn moving_sends(world: &World) -> usize {
    let ledger = world.sandbox.ledger();
    ledger.sends().iter().filter(|sent| sent.method == "POST").count()
}

/// Recovered: paid once, and the key gets it back without another send.
async fn paid_once(world: &World) {
    Box::pin(world.recover()).await;
    let believed = Box::pin(world.audit()).await;
    assert_eq!(
        believed.payment.map(|(status, _)| status),
        Some(IntentStatus::Succeeded)
    );
    let sends = world.sandbox.ledger().sends().len();
    let payments = world.payments().await;
    let first = pay(&payments).await.unwrap();
    let second = pay(&payments).await.unwrap();
    assert_eq!(
        (first.replay, second.replay),
        (Replay::Replayed, Replay::Replayed)
    );
    assert!(
        matches!(first.outcome, PaymentOutcome::Succeeded(_)),
        "{:?}",
        first.outcome
    );
    assert_eq!(first.outcome.intent(), second.outcome.intent());
    assert_eq!(world.sandbox.ledger().sends().len(), sends, "a replay was sent");
    assert_eq!(charges(world), 1);
}

#[tokio::test]
async fn before_the_first_write_nothing_is_there_and_nothing_was_sent() {
    for kept in Kept::everywhere().await {
        let world = Box::pin(crashed(Story::Automatic, kept, "before commit", 1)).await;
        assert!(world.intents().await.is_empty());
        assert!(world.sandbox.ledger().sends().is_empty());
        Box::pin(world.recover()).await;
        assert!(world.intents().await.is_empty());
        // The caller sends it again.
        let reply = pay(&world.payments().await).await.unwrap();
        assert_eq!(reply.replay, Replay::First);
        paid_once(&world).await;
    }
}

#[tokio::test]
async fn a_first_write_in_doubt_is_looked_up_before_anything_is_sent() {
    for kept in Kept::everywhere().await {
        for fault in [CommitFault::UnknownApplied, CommitFault::UnknownLost] {
            let world = World::new(kept, Story::Automatic.shape(), &["main"]).await;
            let boundaries = Boundaries::default().fault(1, fault);
            let payments = world.engine(&boundaries).await.tenant(World::tenant());
            let reply = pay(&payments).await.unwrap();
            assert!(
                matches!(reply.outcome, PaymentOutcome::Succeeded(_)),
                "{:?}",
                reply.outcome
            );
            assert_eq!(boundaries.faults_left(), 0);
            let log = boundaries.log();
            let at = |name: &str| log.iter().position(|what| what.starts_with(name));
            assert!(
                at("after resolve").is_some() && at("after resolve") < at("before POST"),
                "{log:#?}"
            );
            let commits = log.iter().take(at("before POST").unwrap());
            let commits = commits.filter(|what| *what == "before commit").count();
            assert_eq!(commits, if fault == CommitFault::UnknownLost { 2 } else { 1 });
            paid_once(&world).await;
        }
    }
}

#[tokio::test]
async fn a_first_write_that_failed_is_an_error_and_nothing_was_sent() {
    for kept in Kept::everywhere().await {
        let world = World::new(kept, Story::Automatic.shape(), &["main"]).await;
        let boundaries = Boundaries::default().fault(1, CommitFault::NotCommitted);
        let payments = world.engine(&boundaries).await.tenant(World::tenant());
        let error = pay(&payments).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Store), "{error:?}");
        assert!(world.intents().await.is_empty());
        assert!(world.sandbox.ledger().sends().is_empty());
        assert_eq!(pay(&payments).await.unwrap().replay, Replay::First);
        paid_once(&world).await;
    }
}

#[tokio::test]
async fn an_expiry_that_was_overtaken_is_no_failure_and_comes_again() {
    for kept in Kept::everywhere().await {
        let world = World::new(kept, Story::IntentExpiry.shape(), &["main"]).await;
        Box::pin(Story::IntentExpiry.set_up(&world)).await;
        let boundaries = Boundaries::default().fault(1, CommitFault::Conflict);
        let engine = world.engine(&boundaries).await;
        let progress = Box::pin(engine.expire_due(10)).await.unwrap();
        assert_eq!(boundaries.faults_left(), 0);
        assert_eq!((progress.claimed, progress.failed), (1, 0));
        assert_eq!(world.intents().await[0].status(), IntentStatus::Created);
        Box::pin(world.recover()).await;
        assert_eq!(world.intents().await[0].status(), IntentStatus::Cancelled);
    }
}

#[tokio::test]
async fn after_the_first_write_it_is_prepared_whether_it_was_sent_or_not() {
    let (lost, answered) = (Some(FaultKind::DropRequest), None);
    let moments = [
        ("before POST", answered),
        ("after POST", lost),
        ("after POST", answered),
    ];
    for kept in Kept::everywhere().await {
        for (moment, fault) in moments {
            let boundaries = Boundaries::cut_at(Box::pin(place(Story::Automatic, kept, moment, 1)).await);
            let world = World::new(kept, Story::Automatic.shape(), &["main"]).await;
            if let Some(fault) = fault {
                world.sandbox.faults().next(Call::Authorize, fault);
            }
            let engine = world.engine(&boundaries).await;
            let payments = engine.tenant(World::tenant());
            assert!(boundaries.run(Box::pin(pay(&payments))).await.is_none());
            // On disk it is the same in all three.
            let intents = world.intents().await;
            let operations = intents[0].operations();
            assert_eq!(operations.len(), 1);
            assert_eq!(operations[0].status(), OperationStatus::Prepared);
            assert_eq!(intents[0].status(), IntentStatus::Processing);
            // The key and every other command are told that it is under way, and by which operation.
            let payments = world.payments().await;
            let sent = world.sandbox.ledger().sends().len();
            let error = pay(&payments).await.unwrap_err();
            let under_way = ErrorKind::OperationInProgress {
                operation: Some(*operations[0].id()),
            };
            assert_eq!(format!("{:?}", error.kind()), format!("{under_way:?}"));
            let other = payments
                .cancel(&key("another"), intents[0].id())
                .await
                .unwrap_err();
            assert!(
                matches!(other.kind(), ErrorKind::OperationInProgress { .. }),
                "{other:?}"
            );
            // Before its time nobody takes it over.
            let early = world
                .engine(&Boundaries::default())
                .await
                .recover_due(10)
                .await
                .unwrap();
            assert_eq!(early.claimed, 0);
            assert_eq!(world.sandbox.ledger().sends().len(), sent);
            paid_once(&world).await;
            assert_eq!(world.sandbox.ledger().payments().len(), 1);
        }
    }
}

#[tokio::test]
async fn after_the_handle_the_processor_is_asked_for_it_and_executes_once() {
    for kept in Kept::everywhere().await {
        for (moment, n) in [("after commit", 2), ("before POST", 2), ("after POST", 2)] {
            let world = Box::pin(crashed(Story::HandleFirst, kept, moment, n)).await;
            let intents = world.intents().await;
            let known = handle(&intents[0]).to_owned();
            assert_eq!(world.sandbox.ledger().payments()[0].handle, known);
            assert_eq!(intents[0].operations()[0].status(), OperationStatus::Prepared);
            paid_once(&world).await;
            let ledger = world.sandbox.ledger();
            assert_eq!(ledger.payments().len(), 1, "prepared twice\n{}", ledger.render());
            assert_eq!(ledger.payments()[0].handle, known);
        }
    }
}

#[tokio::test]
async fn a_last_write_in_doubt_is_looked_up() {
    let faults = [
        CommitFault::UnknownApplied,
        CommitFault::UnknownLost,
        CommitFault::Conflict,
    ];
    for kept in Kept::everywhere().await {
        for fault in faults {
            let world = World::new(kept, Story::Automatic.shape(), &["main"]).await;
            let boundaries = Boundaries::default().fault(2, fault);
            let payments = world.engine(&boundaries).await.tenant(World::tenant());
            let reply = pay(&payments).await.unwrap();
            assert!(
                matches!(reply.outcome, PaymentOutcome::Succeeded(_)),
                "{fault:?} {:?}",
                reply.outcome
            );
            assert_eq!(boundaries.faults_left(), 0);
            assert_eq!(moving_sends(&world), 1);
            paid_once(&world).await;
        }
    }
}

#[tokio::test]
async fn a_last_write_that_failed_is_unknown_and_is_written_again() {
    for kept in Kept::everywhere().await {
        let world = World::new(kept, Story::Automatic.shape(), &["main"]).await;
        let boundaries = Boundaries::default().fault(2, CommitFault::NotCommitted);
        let payments = world.engine(&boundaries).await.tenant(World::tenant());
        let reply = pay(&payments).await.unwrap();
        let PaymentOutcome::Unknown { unknown, .. } = reply.outcome else {
            panic!("a store's failure was shown as {:?}", reply.outcome)
        };
        assert_eq!(unknown.at_risk(), money!("49.99 EUR"));
        assert_eq!(
            world.intents().await[0].operations()[0].status(),
            OperationStatus::Prepared
        );
        paid_once(&world).await;
        assert_eq!(world.sandbox.ledger().payments().len(), 1);
    }
}

#[tokio::test]
async fn after_the_last_write_the_key_gets_the_result() {
    for kept in Kept::everywhere().await {
        let world = Box::pin(crashed(Story::Automatic, kept, "after commit", 2)).await;
        let reply = pay(&world.payments().await).await.unwrap();
        assert_eq!(reply.replay, Replay::Replayed);
        assert!(matches!(reply.outcome, PaymentOutcome::Succeeded(_)));
        assert_eq!(world.sandbox.ledger().sends().len(), 1);
        paid_once(&world).await;
    }
}

#[tokio::test]
async fn a_slow_caller_is_fenced_and_its_news_is_merged() {
    let stories = [
        Story::Automatic,
        Story::Manual,
        Story::HandleFirst,
        Story::Cascade,
        Story::Capture,
        Story::Void,
        Story::Refund,
        Story::LostAnswer,
    ];
    for kept in Kept::everywhere().await {
        for story in stories {
            for moment in ["before POST", "after POST", "before commit"] {
                let n = if moment == "before commit" { 2 } else { 1 };
                let whole = World::new(kept, story.shape(), story.accounts()).await;
                let setting = Box::pin(story.set_up(&whole)).await;
                let engine = whole.engine(&Boundaries::default()).await;
                Box::pin(story.act(&whole, &engine, &setting)).await.unwrap();
                Box::pin(whole.recover()).await;

                let boundaries = Boundaries::cut_at(Box::pin(place(story, kept, moment, n)).await);
                let world = World::new(kept, story.shape(), story.accounts()).await;
                let setting = Box::pin(story.set_up(&world)).await;
                let engine = world.engine(&boundaries).await;
                let mut verb = Box::pin(story.act(&world, &engine, &setting));
                assert!(boundaries.run(verb.as_mut()).await.is_none());
                // Another worker takes over and finishes.
                Box::pin(world.recover()).await;
                let recovered = Box::pin(world.audit()).await;
                boundaries.let_go();
                let _late = verb.await.unwrap();
                assert_eq!(engine.lease_losses(), 1, "{story:?}, {moment}");
                Box::pin(world.recover()).await;
                let after = Box::pin(world.audit()).await;
                assert_eq!(
                    after, recovered,
                    "{story:?}, {moment}: the slow caller changed what was settled"
                );
                assert_eq!(after, Box::pin(whole.audit()).await, "{story:?}, {moment}");
            }
        }
    }
}

/// The payer's first attempt was superseded and the second one paid; then the bank says that the first was paid too.
async fn paid_twice_by_the_payer(kept: Kept) -> World {
    let world = World::new(kept, Story::Return.shape(), &["main"]).await;
    let payments = world.payments().await;
    let redirect = Confirm::with(PaymentMethod::card_token("tok_redirect"));
    let opened = Box::pin(payments.create_and_confirm(&key("one"), new_intent(), redirect)).await;
    let intent = opened.unwrap().outcome.intent().clone();
    let first = handle(&intent).to_owned();
    let clerk = payments.operator(Actor::person("clerk"));
    let risk = AcceptDuplicateRisk;
    let evidence = Evidence::note("the payer's browser is gone");
    let attempt = *intent.attempts()[0].id();
    clerk
        .supersede(intent.id(), &attempt, risk, evidence)
        .await
        .unwrap();
    let card = PaymentMethod::card_token("tok_approve");
    let paid = Box::pin(payments.confirm(&key("two"), intent.id(), card))
        .await
        .unwrap();
    assert!(
        matches!(paid.outcome, PaymentOutcome::Succeeded(_)),
        "{:?}",
        paid.outcome
    );
    world.sandbox.webhooks();
    world.sandbox.payer_approves(&first).unwrap();
    assert_eq!(charges(&world), 2);
    world
}

async fn told(world: &World, boundaries: &Boundaries) -> Option<()> {
    let engine = world.engine(boundaries).await;
    for (headers, body) in world.sandbox.webhooks() {
        let endpoint = World::endpoint("main");
        let took = boundaries
            .run(Box::pin(engine.handle_webhook(&endpoint, &headers, body)))
            .await?;
        assert!(
            matches!(took.received, Received::Accepted { .. }),
            "{:?}",
            took.received
        );
    }
    boundaries.run(Box::pin(engine.recover_due(10))).await?.unwrap();
    Some(())
}

#[tokio::test]
async fn a_late_success_on_a_closed_attempt_is_given_back_once() {
    for kept in Kept::everywhere().await {
        for k in 0.. {
            let world = Box::pin(paid_twice_by_the_payer(kept)).await;
            let boundaries = Boundaries::cut_at(k);
            let done = told(&world, &boundaries).await;
            // The notice itself may have been lost with the crash: a processor posts it again until it is taken.
            world.clock.advance(Duration::from_secs(50));
            let payments = world.payments().await;
            let id = *world.intents().await[0].id();
            payments.sync(&id).await.unwrap();
            Box::pin(world.recover()).await;
            let ledger = world.sandbox.ledger();
            assert_eq!(charges(&world), 1, "cut at {k}\n{}", ledger.render());
            Box::pin(world.audit()).await;
            let intent = world.intents().await.remove(0);
            assert_eq!(intent.status(), IntentStatus::Succeeded);
            assert_eq!(intent.totals().captured, 4_999, "the winner's money alone counts");
            assert_eq!(intent.totals().refunded, 0);
            assert_eq!(
                intent.attempts()[0].compensation(),
                Some(CompensationStatus::Done),
                "cut at {k}"
            );
            assert_eq!(intent.attempts()[1].compensation(), None);
            let back = ledger.refunds().len();
            let voids = ledger
                .payments()
                .iter()
                .filter(|payment| payment.captured.minor() == 0)
                .count();
            assert_eq!(
                back + voids,
                1,
                "cut at {k}: given back by {back} refunds and {voids} voids"
            );
            if done.is_some() && k > 0 {
                assert!(k > 10);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_handle_that_a_read_found_is_executed_only_under_a_written_step() {
    for kept in Kept::everywhere().await {
        let shape = paymux::sandbox::Shape::handle_first();
        let world = World::new(kept, shape, &["main", "second"]).await;
        // The handle is lost with its caller, and a read by our reference brings it back.
        let boundaries = Boundaries::default().fault(2, CommitFault::NotCommitted);
        let payments = world.engine(&boundaries).await.tenant(World::tenant());
        let reply = pay(&payments).await.unwrap();
        assert!(
            matches!(reply.outcome, PaymentOutcome::Unknown { .. }),
            "{reply:?}"
        );
        let id = *reply.outcome.intent().id();
        world.payments().await.sync(&id).await.unwrap();
        world.clock.advance(Duration::from_secs(50));
        // The worker that executes it dies with the answer in its hand.
        let boundaries = Boundaries::default();
        let engine = world.engine(&boundaries).await;
        let claimed = engine.recover_due(10).await.unwrap();
        assert_eq!(claimed.claimed, 1);
        let log = boundaries.log();
        let at = |name: &str| log.iter().position(|what| what.contains(name));
        let executed = at("confirm").expect("it was executed");
        let written = log[..executed]
            .iter()
            .filter(|what| *what == "after commit")
            .count();
        assert_eq!(written, 1, "{log:#?}");
    }
}

#[tokio::test]
async fn a_slow_caller_that_couldn_t_send_proves_nothing_about_what_another_sent() {
    for kept in Kept::everywhere().await {
        let blind = paymux::sandbox::Shape::bare().key(paymux::connector::Key::Header {
            window: Duration::from_secs(24 * 3_600),
            replays_errors: paymux::connector::ReplaysErrors::Never,
        });
        let world = World::new(kept, blind, &["main", "second"]).await;
        let boundaries = Boundaries::cut_at(Box::pin(place(Story::Automatic, kept, "before POST", 1)).await);
        let slow = world.engine(&boundaries).await.tenant(World::tenant());
        let mut verb = Box::pin(pay(&slow));
        assert!(boundaries.run(verb.as_mut()).await.is_none());
        // Another worker takes over, and its answer is lost.
        world.clock.advance(Duration::from_secs(50));
        world
            .sandbox
            .faults()
            .next(Call::Authorize, FaultKind::DropAnswer);
        let engine = world.engine(&Boundaries::default()).await;
        assert_eq!(engine.recover_due(1).await.unwrap().claimed, 1);
        assert_eq!(charges(&world), 1);
        // The first one goes on, and can't even connect.
        world.sandbox.faults().next(Call::Authorize, FaultKind::NotSent);
        boundaries.let_go();
        let late = verb.await.unwrap();
        assert!(
            matches!(late.outcome, PaymentOutcome::Unknown { .. }),
            "{kept:?}: {late:?}"
        );
        world.sandbox.faults().clear();
        paid_once(&world).await;
    }
}
