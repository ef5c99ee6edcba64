//! An account that may only be called so fast: never faster, whoever calls, and nobody is charged twice for it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paymux::connector::{Pace, Request, Response, Transport, TransportError};
use paymux::sandbox::Sandbox;
use paymux::{ErrorKind, Policy, Retry, prelude::*};
use support::*;

/// Counts the calls that are under way, each of which takes a while.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Transport>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Counting {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let answer = self.inner.send(request).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_are_under_way_than_the_pace_allows() {
    let most = Arc::new(AtomicUsize::new(0));
    let connector = Sandbox::seeded(7).connector("main").with_transport(|inner| {
        Arc::new(Counting {
            inner,
            under_way: Arc::default(),
            most: most.clone(),
        })
    });
    let connectors = ConnectorMap::shared([connector.paced(Pace::unbounded().at_once(3))]).unwrap();
    let built = Orchestrator::builder(MemoryStore::new(), connectors, Runtime::tokio());
    let paymux = built.build().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..40 {
        let payments = paymux.tenant(Tenant::test(["acme", "globex"][n % 2]).unwrap());
        tasks.push(tokio::spawn(async move {
            let new = NewIntent::payment(money!("10 EUR"));
            let key = payments.one_off_key();
            let paid = payments.create_and_confirm(&key, new, card("tok_approve"));
            matches!(paid.await.unwrap().outcome, PaymentOutcome::Succeeded(_))
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_call_that_gets_no_turn_isn_t_sent_and_the_next_account_is_asked() {
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let slow = Pace::unbounded().rate(1, Duration::from_secs(3_600));
    let accounts = ["main", "second"].map(|name| sandbox.connector(name).paced(slow));
    let connectors = ConnectorMap::shared(accounts).unwrap();
    let world = World::from(runtime, clock, sandbox, connectors, |builder| builder).await;
    for expected in ["main", "second"] {
        let paid = world.paid().await;
        assert_eq!(paid.attempts().last().unwrap().account(), &account(expected));
    }
    let (key, new) = (key("third"), NewIntent::payment(money!("10 EUR")));
    let sends = world.sandbox.ledger().sends().len();
    let pay = async || {
        let paid = world
            .payments
            .create_and_confirm(&key, new.clone(), card("tok_approve"));
        paid.await
    };
    let error = pay().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotExecuted), "{error:?}");
    assert!(matches!(error.retry(), Retry::SameKey { .. }), "{error:?}");
    assert_eq!(world.sandbox.ledger().sends().len(), sends);
    world.clock.advance(HOUR);
    assert!(matches!(
        pay().await.unwrap().outcome,
        PaymentOutcome::Succeeded(_)
    ));
}

#[tokio::test]
async fn a_worker_claims_no_more_than_it_begins_at_once() {
    let most = Arc::new(AtomicUsize::new(0));
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let connector = sandbox.connector("main").with_transport(|inner| {
        Arc::new(Counting {
            inner,
            under_way: Arc::default(),
            most: most.clone(),
        })
    });
    let connectors = ConnectorMap::shared([connector]).unwrap();
    let policy = Policy::new().jobs_at_once(4);
    let world = World::from(runtime, clock, sandbox, connectors, |builder| {
        builder.policy(policy)
    })
    .await;
    let mut lost = Vec::new();
    for _ in 0..10 {
        lost.push(unknown(world.pay("tok_charged_answer_lost").await).0);
    }
    most.store(0, Ordering::SeqCst);
    let progress = world.paymux.recover_due(100).await.unwrap();
    assert_eq!((progress.claimed, progress.failed), (10, 0));
    assert_eq!(most.load(Ordering::SeqCst), 4);
    for intent in lost {
        assert_eq!(
            world.reread(&intent).await.status(),
            paymux::IntentStatus::Succeeded
        );
    }
}
