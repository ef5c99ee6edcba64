//! The host's own check, before and after an authorization.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    Clock, Error, ErrorKind, IntentStatus, NewSession, PaymentIntent, ReviewReason, ReviewVerdict, RiskCheck,
    RiskStages, RiskVerdict, SessionStatus, prelude::*,
};
use support::*;

/// Says what it is told to say, then allows.
#[derive(Debug)]
struct Check {
    stages: RiskStages,
    says: Arc<Mutex<VecDeque<Option<RiskVerdict>>>>,
}

impl Check {
    fn next(&self) -> paymux::Result<RiskVerdict> {
        match self.says.lock().unwrap().pop_front() {
            Some(Some(verdict)) => Ok(verdict),
            Some(None) => Err(Error::connectors("the check can't be reached")),
            None => Ok(RiskVerdict::Allow),
        }
    }
}

#[async_trait]
impl RiskCheck for Check {
    fn stages(&self) -> RiskStages {
        self.stages
    }
    async fn before(&self, _: &Tenant, _: &PaymentIntent, _: &PaymentMethod) -> paymux::Result<RiskVerdict> {
        match self.stages {
            RiskStages::Before => self.next(),
            RiskStages::BeforeAndAfter => Ok(RiskVerdict::Allow),
        }
    }
    async fn after(&self, _: &Tenant, _: &PaymentIntent) -> paymux::Result<RiskVerdict> {
        self.next()
    }
}

async fn world(stages: RiskStages, says: impl IntoIterator<Item = Option<RiskVerdict>>) -> World {
    let says = Arc::new(Mutex::new(says.into_iter().collect()));
    World::built(Shape::default(), &["main"], |builder| {
        builder.risk(Check { stages, says })
    })
    .await
}

#[tokio::test]
async fn what_is_refused_or_held_before_is_never_sent() {
    let refused = world(RiskStages::Before, [Some(RiskVerdict::Refuse)]).await;
    let outcome = refused.pay("tok_approve").await;
    assert_eq!(outcome.intent().status(), IntentStatus::Failed);
    assert_eq!(refused.posts(), 0);

    let held = world(RiskStages::Before, [Some(RiskVerdict::Hold)]).await;
    let outcome = held.pay("tok_approve").await;
    let intent = outcome.intent();
    reviewed(intent, ReviewReason::RiskHold);
    assert_eq!((intent.status(), held.posts()), (IntentStatus::Created, 0));
    let early = held
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(early.kind(), &ErrorKind::Forbidden);
    let ada = held.payments.operator(Actor::person("ada"));
    let _ = ada
        .review(intent.id(), ReviewVerdict::Approve, Evidence::note("known payer"))
        .await
        .unwrap();
    let paid = held
        .payments
        .confirm(&key("b"), intent.id(), card("tok_approve"))
        .await
        .unwrap();
    assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
}

#[tokio::test]
async fn a_check_that_fails_before_writes_nothing() {
    let world = world(RiskStages::Before, [None]).await;
    let before = world.mark();
    let new = NewIntent::payment(money!("1 EUR"));
    let error = world
        .payments
        .create_and_confirm(&key("a"), new, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Connectors);
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn after_an_authorization_the_capture_waits_for_the_check() {
    for (says, status, live) in [
        (vec![Some(RiskVerdict::Allow)], IntentStatus::Succeeded, 1),
        (vec![Some(RiskVerdict::Refuse)], IntentStatus::Voided, 0),
        (vec![Some(RiskVerdict::Hold)], IntentStatus::Authorized, 1),
        (vec![None, Some(RiskVerdict::Allow)], IntentStatus::Succeeded, 1),
    ] {
        let world = world(RiskStages::BeforeAndAfter, says.clone()).await;
        let outcome = world.pay("tok_approve").await;
        assert_eq!(outcome.intent().status(), IntentStatus::Authorized, "{says:?}");
        world.recover().await;
        world.pass(MINUTE).await;
        let now = world.reread(outcome.intent()).await;
        assert_eq!(now.status(), status, "{says:?}");
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), live);
        if says == [Some(RiskVerdict::Hold)] {
            reviewed(&now, ReviewReason::RiskHold);
            let ada = world.payments.operator(Actor::person("ada"));
            let note = Evidence::note("a stolen card");
            let ended = ada.review(now.id(), ReviewVerdict::Refuse, note).await.unwrap();
            assert_eq!(ended.status(), IntentStatus::Voided);
        }
    }
}

/// The same on each store.
async fn worlds(stages: RiskStages, says: &[Option<RiskVerdict>]) -> [World; 2] {
    World::each_built(Shape::default(), &["main"], |builder| {
        let says = Arc::new(Mutex::new(says.iter().copied().collect()));
        builder.risk(Check { stages, says })
    })
    .await
}

/// 100 EUR that are held by the check after their authorization.
async fn checked(world: &World, capture: CaptureMethod) -> PaymentIntent {
    let outcome = match capture {
        CaptureMethod::Automatic => world.pay("tok_approve").await,
        CaptureMethod::Manual => world.hold("tok_approve").await,
    };
    world.recover().await;
    let held = world.reread(outcome.intent()).await;
    reviewed(&held, ReviewReason::RiskHold);
    assert_eq!(
        (held.status(), held.totals().captured),
        (IntentStatus::Authorized, 0)
    );
    held
}

#[tokio::test]
async fn what_is_held_after_its_authorization_is_captured_once_a_person_approves_and_once() {
    for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Hold)]).await {
        let held = checked(&world, CaptureMethod::Automatic).await;
        world.pass(2 * HOUR).await;
        assert_eq!(
            world.reread(&held).await.status(),
            IntentStatus::Authorized,
            "it waits"
        );
        let ada = world.payments.operator(Actor::person("ada"));
        let approve = async || {
            let note = Evidence::note("known payer");
            ada.review(held.id(), ReviewVerdict::Approve, note).await
        };
        let paid = approve().await.unwrap();
        assert_eq!(
            (paid.status(), paid.totals().captured),
            (IntentStatus::Succeeded, 10_000)
        );
        assert_eq!(paid.review(), None);
        assert!(world.unknowns().await.is_empty());
        let before = world.mark();
        let again = approve().await.unwrap_err();
        assert!(
            matches!(again.kind(), ErrorKind::InvalidTransition { .. }),
            "{again}"
        );
        assert_eq!(world.mark(), before);
        let ledger = world.sandbox.ledger();
        assert_eq!(ledger.live_charges("order")[0].captured, money!("100 EUR"));
    }
}

#[tokio::test]
async fn an_approved_payment_that_is_captured_by_hand_stays_held() {
    for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Hold)]).await {
        let held = checked(&world, CaptureMethod::Manual).await;
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("known payer");
        let approved = ada.review(held.id(), ReviewVerdict::Approve, note).await.unwrap();
        assert_eq!(
            (approved.status(), approved.review()),
            (IntentStatus::Authorized, None)
        );
        let taken = world
            .payments
            .capture(&key("c"), held.id(), CaptureAmount::Remaining)
            .await
            .unwrap();
        assert!(matches!(taken.outcome, CaptureOutcome::Captured(_)));
    }
}

#[tokio::test]
async fn what_a_person_refuses_before_it_was_sent_has_failed() {
    for world in worlds(RiskStages::Before, &[Some(RiskVerdict::Hold)]).await {
        let outcome = world.pay("tok_approve").await;
        let held = outcome.intent();
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("a mule");
        let ended = ada.review(held.id(), ReviewVerdict::Refuse, note).await.unwrap();
        assert_eq!((ended.status(), ended.review()), (IntentStatus::Failed, None));
        let error = world
            .payments
            .confirm(&key("b"), held.id(), card("tok_approve"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidTransition { .. }),
            "{error}"
        );
        assert_eq!(world.posts(), 0);
    }
}

#[tokio::test]
async fn a_refusal_whose_void_is_unknown_ends_in_a_void() {
    for fault in [FaultKind::DropAnswer, FaultKind::DropRequest] {
        for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Hold)]).await {
            let held = checked(&world, CaptureMethod::Automatic).await;
            world.fault(Call::Void, fault);
            let ada = world.payments.operator(Actor::person("ada"));
            let note = Evidence::note("a stolen card");
            let _ = ada.review(held.id(), ReviewVerdict::Refuse, note).await.unwrap();
            world.pass(HOUR).await;
            let now = world.reread(&held).await;
            assert!(
                world.sandbox.ledger().live_charges("order").is_empty(),
                "{fault:?}"
            );
            assert_eq!(now.status(), IntentStatus::Voided, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_whose_void_did_nothing_goes_to_a_person() {
    for verdict in [RiskVerdict::Refuse, RiskVerdict::Hold] {
        for world in worlds(RiskStages::BeforeAndAfter, &[Some(verdict)]).await {
            world.fault(Call::Void, FaultKind::Refuse(429));
            let outcome = world.pay("tok_approve").await;
            world.recover().await;
            let ada = world.payments.operator(Actor::person("ada"));
            let id = outcome.intent().id();
            let refuse = async || {
                let note = Evidence::note("a stolen card");
                ada.review(id, ReviewVerdict::Refuse, note).await.unwrap()
            };
            if verdict == RiskVerdict::Hold {
                let _ = refuse().await;
            }
            let now = world.reread(outcome.intent()).await;
            assert_eq!(now.status(), IntentStatus::Authorized);
            reviewed(&now, ReviewReason::RiskHold);
            assert_eq!(refuse().await.status(), IntentStatus::Voided);
            assert!(world.sandbox.ledger().live_charges("order").is_empty());
        }
    }
}

/// The host captures while the check is still to be asked.
#[tokio::test]
async fn a_refusal_waits_for_a_capture_that_is_open_and_isn_t_forgotten() {
    for rest in [Rest::Keep, Rest::Release] {
        for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Refuse)]).await {
            let held = world.authorized().await;
            world.fault(Call::Capture, FaultKind::DropRequest);
            let part = CaptureAmount::Part(money!("60 EUR"), rest);
            let reply = world.payments.capture(&key("c"), held.id(), part).await.unwrap();
            assert!(matches!(reply.outcome, CaptureOutcome::Unknown { .. }));
            world.pass(HOUR).await;
            let now = world.reread(&held).await;
            assert_eq!(now.totals().captured, 6_000);
            reviewed(&now, ReviewReason::RiskHold);
            assert_eq!(world.unknowns().await.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_person_decides_on_what_is_held_once_nothing_is_open() {
    for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Hold)]).await {
        let held = checked(&world, CaptureMethod::Manual).await;
        world.fault(Call::Capture, FaultKind::DropAnswer);
        let all = CaptureAmount::Remaining;
        let reply = world.payments.capture(&key("c"), held.id(), all).await.unwrap();
        assert!(matches!(reply.outcome, CaptureOutcome::Unknown { .. }));
        let before = world.mark();
        let ada = world.payments.operator(Actor::person("ada"));
        for verdict in [ReviewVerdict::Approve, ReviewVerdict::Refuse] {
            let error = ada
                .review(held.id(), verdict, Evidence::note("seen"))
                .await
                .unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::OperationInProgress { .. }),
                "{error}"
            );
        }
        assert_eq!(world.mark(), before);
        reviewed(&world.reread(&held).await, ReviewReason::RiskHold);
    }
}

#[tokio::test]
async fn a_session_whose_held_payment_is_refused_after_its_time_has_expired() {
    for world in worlds(RiskStages::BeforeAndAfter, &[Some(RiskVerdict::Hold)]).await {
        let new = NewSession::payment(money!("100 EUR")).reference("order");
        let session = world
            .payments
            .create_session(&key("s"), new)
            .await
            .unwrap()
            .outcome;
        let paid = world
            .payments
            .submit(&key("p"), session.id(), card("tok_approve"))
            .await
            .unwrap();
        world.pass(2 * HOUR).await;
        let now = world.payments.session(session.id()).await.unwrap();
        assert_eq!(
            now.status(),
            SessionStatus::Processing,
            "what is held never expires"
        );
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("a stolen card");
        let id = paid.outcome.intent().id();
        let _ = ada.review(id, ReviewVerdict::Refuse, note).await.unwrap();
        world.pass(2 * HOUR).await;
        let now = world.payments.session(session.id()).await.unwrap();
        assert_eq!(now.status(), SessionStatus::Expired);
    }
}

/// A payment over 100 EUR that falls due in a day.
async fn scheduled(world: &World) -> PaymentIntent {
    let day = world.clock.now().after(DAY);
    let new = NewIntent::payment(money!("100 EUR"))
        .reference("order")
        .scheduled_for(day);
    let reply = world.payments.schedule(&key("s"), new, card("tok_approve")).await;
    reply.unwrap().outcome
}

#[tokio::test]
async fn a_scheduled_payment_is_checked_on_its_day_before_it_is_sent() {
    let refused = world(RiskStages::Before, [Some(RiskVerdict::Refuse)]).await;
    let intent = scheduled(&refused).await;
    refused.pass(2 * DAY).await;
    assert_eq!(refused.reread(&intent).await.status(), IntentStatus::Failed);
    assert_eq!(refused.posts(), 0);

    let held = world(RiskStages::Before, [Some(RiskVerdict::Hold); 2]).await;
    let intent = scheduled(&held).await;
    held.pass(2 * DAY).await;
    let waiting = held.reread(&intent).await;
    reviewed(&waiting, ReviewReason::RiskHold);
    assert_eq!((waiting.status(), held.posts()), (IntentStatus::Scheduled, 0));
    let ada = held.payments.operator(Actor::person("ada"));
    let _ = ada
        .review(intent.id(), ReviewVerdict::Approve, Evidence::note("known payer"))
        .await
        .unwrap();
    held.pass(HOUR).await;
    assert_eq!(held.reread(&intent).await.status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_scheduled_payment_waits_for_a_check_that_fails() {
    let world = world(RiskStages::Before, [None]).await;
    let intent = scheduled(&world).await;
    world.clock.advance(DAY);
    let before = world.mark();
    assert_eq!(world.paymux.recover_due(100).await.unwrap().failed, 1);
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Scheduled);
    assert_eq!(world.posts(), 0);
    assert_eq!(world.mark().0, before.0);
    world.pass(HOUR).await;
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_payment_that_is_held_or_refused_is_its_session_s() {
    let held = world(RiskStages::Before, [Some(RiskVerdict::Hold)]).await;
    let id = open_session(&held).await;
    let submit = async |name: &str| held.payments.submit(&key(name), &id, card("tok_approve")).await;
    let first = submit("a").await.unwrap().outcome.intent().clone();
    reviewed(&first, ReviewReason::RiskHold);
    let session = held.payments.session(&id).await.unwrap();
    assert_eq!(
        (session.intent(), session.status()),
        (Some(first.id()), SessionStatus::Pending)
    );
    assert_eq!(submit("b").await.unwrap_err().kind(), &ErrorKind::Forbidden);
    let ada = held.payments.operator(Actor::person("ada"));
    let _ = ada
        .review(first.id(), ReviewVerdict::Approve, Evidence::note("known payer"))
        .await
        .unwrap();
    let paid = submit("c").await.unwrap().outcome;
    assert_eq!(paid.intent().id(), first.id());
    let session = held.payments.session(&id).await.unwrap();
    assert_eq!(session.status(), SessionStatus::Succeeded);
    assert_eq!(held.sandbox.ledger().live_charges("order").len(), 1);

    let refused = world(RiskStages::Before, [Some(RiskVerdict::Refuse)]).await;
    let id = open_session(&refused).await;
    let submit = async |name: &str| {
        refused
            .payments
            .submit(&key(name), &id, card("tok_approve"))
            .await
    };
    let first = submit("a").await.unwrap().outcome.intent().clone();
    let session = refused.payments.session(&id).await.unwrap();
    assert_eq!(
        (session.intent(), session.status()),
        (Some(first.id()), SessionStatus::Failed)
    );
    let second = submit("b").await.unwrap().outcome;
    assert_ne!(second.intent().id(), first.id());
    let session = refused.payments.session(&id).await.unwrap();
    assert_eq!(session.status(), SessionStatus::Succeeded);
}

#[tokio::test]
async fn two_requests_with_one_key_are_refused_once() {
    let world = world(RiskStages::Before, [Some(RiskVerdict::Refuse); 2]).await;
    let pay = async || {
        let new = NewIntent::payment(money!("1 EUR"));
        let key = key("a");
        world
            .payments
            .create_and_confirm(&key, new, card("tok_approve"))
            .await
    };
    let (one, two) = tokio::join!(pay(), pay());
    let (one, two) = (one.unwrap().outcome, two.unwrap().outcome);
    assert_eq!(one.intent().id(), two.intent().id());
    assert_eq!(one.intent().status(), IntentStatus::Failed);
}

async fn open_session(world: &World) -> paymux::SessionId {
    let new = NewSession::payment(money!("100 EUR")).reference("order");
    let reply = world.payments.create_session(&key("session"), new).await;
    *reply.unwrap().outcome.id()
}

#[tokio::test]
async fn a_check_that_can_t_be_asked_is_asked_ever_less_often() {
    let says = std::iter::repeat_n(None, 2_000);
    let world = world(RiskStages::BeforeAndAfter, says).await;
    let _ = world.pay("tok_approve").await;
    let mut looks = 0;
    for _ in 0..24 * 60 {
        world.clock.advance(MINUTE);
        looks += world.paymux.recover_due(100).await.unwrap().claimed;
    }
    assert!((24..=48).contains(&looks), "{looks} in a day");
}

/// What is held isn't paid before the check has let it pass: refused, it goes back, and the buyer pays anew.
#[tokio::test]
async fn a_session_is_paid_once_the_check_has_let_its_authorization_pass() {
    let open = async |world: &World| {
        let new = NewSession::payment(money!("100 EUR"))
            .capture(CaptureMethod::Manual)
            .reference("order");
        let reply = world.payments.create_session(&key("s"), new).await;
        let id = *reply.unwrap().outcome.id();
        let pay = world.payments.submit(&key("a"), &id, card("tok_approve")).await;
        (id, pay.unwrap().outcome.intent().clone())
    };
    let status = async |world: &World, id: &paymux::SessionId| {
        let session = world.payments.session(id).await;
        session.unwrap().status()
    };
    let stages = RiskStages::BeforeAndAfter;
    for world in worlds(stages, &[Some(RiskVerdict::Refuse)]).await {
        let (id, intent) = open(&world).await;
        assert_eq!(status(&world, &id).await, SessionStatus::Processing);
        world.recover().await;
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Voided);
        assert!(world.sandbox.ledger().live_charges("order").is_empty());
        assert_eq!(status(&world, &id).await, SessionStatus::Pending);
        let again = world.payments.submit(&key("b"), &id, card("tok_approve")).await;
        assert!(again.is_ok(), "{again:?}");
        world.recover().await;
        assert_eq!(status(&world, &id).await, SessionStatus::Succeeded);
    }
    for verdict in [ReviewVerdict::Approve, ReviewVerdict::Refuse] {
        for world in worlds(stages, &[Some(RiskVerdict::Hold)]).await {
            let (id, intent) = open(&world).await;
            world.pass(3 * HOUR).await;
            assert_eq!(status(&world, &id).await, SessionStatus::Processing, "it is held");
            let ada = world.payments.operator(Actor::person("ada"));
            let _ = ada
                .review(intent.id(), verdict, Evidence::note("looked"))
                .await
                .unwrap();
            let becomes = match verdict {
                ReviewVerdict::Approve => SessionStatus::Succeeded,
                ReviewVerdict::Refuse => SessionStatus::Pending,
            };
            assert_eq!(status(&world, &id).await, becomes);
        }
    }
}

/// A person's word holds for the payment as it was seen: the check, which says what it said before, isn't asked again.
#[tokio::test]
async fn what_a_person_approved_is_paid_and_what_changed_since_is_checked_again() {
    let holds = [Some(RiskVerdict::Hold); 4];
    for world in worlds(RiskStages::Before, &holds).await {
        let held = world.pay("tok_approve").await.intent().clone();
        let ada = world.payments.operator(Actor::person("ada"));
        let approve = async || {
            let note = Evidence::note("known payer");
            ada.review(held.id(), ReviewVerdict::Approve, note).await.unwrap()
        };
        let confirm = async |name: &str| {
            let reply = world
                .payments
                .confirm(&key(name), held.id(), card("tok_approve"))
                .await;
            reply.unwrap().outcome
        };
        let approved = approve().await;
        world.clock.advance(MINUTE);
        let more = paymux::IntentUpdate::new().amount(money!("1000 EUR"));
        let _ = world.payments.update(&approved, more).await.unwrap();
        let outcome = confirm("b").await;
        reviewed(outcome.intent(), ReviewReason::RiskHold);
        assert_eq!(world.posts(), 0);
        world.clock.advance(MINUTE);
        let _ = approve().await;
        let outcome = confirm("c").await;
        assert!(matches!(outcome, PaymentOutcome::Succeeded(_)), "{outcome:?}");
        assert_eq!(world.sandbox.ledger().live_charges("order").len(), 1);
    }
}
