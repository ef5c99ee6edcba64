//! What a payment costs in commits, reads and sends: these don't hang on the machine, so that a test can hold them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

mod recording;

use std::sync::Arc;

use paymux::prelude::*;
use paymux::sandbox::{Sandbox, Shape};
use recording::Recording;

struct Host {
    store: Arc<Recording<MemoryStore>>,
    sandbox: Sandbox,
    payments: Payments,
}

impl Host {
    async fn new(shape: Shape) -> Self {
        let (store, sandbox) = (
            Recording::new(MemoryStore::new()),
            Sandbox::seeded(7).shape(shape),
        );
        let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
        let paymux = Orchestrator::builder(store.clone(), connectors, Runtime::tokio());
        let payments = paymux
            .build()
            .await
            .unwrap()
            .tenant(Tenant::test("acme").unwrap());
        let _building = store.take();
        Self {
            store,
            sandbox,
            payments,
        }
    }

    /// Commits, reads and sends since this was last asked.
    fn costs(&self, sends_before: usize) -> (usize, usize, usize) {
        let (batches, reads) = self.store.take();
        (
            batches.len(),
            reads,
            self.sandbox.ledger().sends().len() - sends_before,
        )
    }

    async fn pay(&self, capture: CaptureMethod) -> Reply<PaymentOutcome> {
        let new = NewIntent::payment(money!("10 EUR")).capture(capture);
        let method = PaymentMethod::card_token("tok_approve");
        self.payments
            .create_and_confirm(&key("pay"), new, method)
            .await
            .unwrap()
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

#[tokio::test]
async fn a_payment_is_two_commits_and_one_send() {
    let host = Host::new(Shape::default()).await;
    let _paid = host.pay(CaptureMethod::Automatic).await;
    assert_eq!(host.costs(0), (2, 1, 1), "W1, W3; the key is looked up");
    let _replayed = host.pay(CaptureMethod::Automatic).await;
    let (commits, _, sends) = host.costs(1);
    assert_eq!((commits, sends), (0, 0), "a replay writes and sends nothing");
}

#[tokio::test]
async fn a_payment_in_two_steps_is_three_commits_and_two_sends() {
    let host = Host::new(Shape::handle_first()).await;
    let _paid = host.pay(CaptureMethod::Automatic).await;
    let (commits, _, sends) = host.costs(0);
    assert_eq!((commits, sends), (3, 2), "W1, W2, W3");
}

#[tokio::test]
async fn a_capture_and_a_refund_are_two_commits_and_one_send_each() {
    let host = Host::new(Shape::default()).await;
    let held = host.pay(CaptureMethod::Manual).await.outcome;
    let id = held.intent().id();
    let _authorizing = host.costs(0);
    let all = CaptureAmount::Remaining;
    let _captured = host.payments.capture(&key("capture"), id, all).await.unwrap();
    let (commits, _, sends) = host.costs(1);
    assert_eq!((commits, sends), (2, 1));
    let part = NewRefund::part(money!("4 EUR"), RefundReason::GoodsReturned);
    let _refunded = host.payments.refund(&key("refund"), id, part).await.unwrap();
    let (commits, _, sends) = host.costs(2);
    assert_eq!(
        (commits, sends),
        (2, 1),
        "what it takes of the payment is in the same batch"
    );
}
