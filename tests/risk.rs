//! The host's own check, before and after an authorization.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux::sandbox::Shape;
use paymux::{
    Error, ErrorKind, IntentStatus, PaymentIntent, ReviewReason, ReviewVerdict, RiskCheck, RiskStages,
    RiskVerdict, prelude::*,
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
