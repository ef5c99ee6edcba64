//! A payment from end to end: routed, declined by one account, taken by the next, captured in part, refunded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

use paymux::sandbox::Sandbox;
use paymux::{IntentStatus, prelude::*};

async fn orchestrator(sandbox: &Sandbox) -> Orchestrator {
    let connectors = ConnectorMap::shared([sandbox.connector("first"), sandbox.connector("second")]).unwrap();
    Orchestrator::builder(MemoryStore::new(), connectors, Runtime::tokio())
        .build()
        .await
        .unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

#[tokio::test]
async fn an_automatic_payment_is_paid_once_whatever_is_repeated() {
    let sandbox = Sandbox::seeded(7);
    let payments = orchestrator(&sandbox).await.tenant(Tenant::test("acme").unwrap());
    let new = || NewIntent::payment(money!("49.99 EUR")).reference("order-1042");
    let method = || PaymentMethod::card_token("tok_approve");
    let first = payments
        .create_and_confirm(&key("order-1042"), new(), method())
        .await
        .unwrap();
    assert_eq!(first.replay, Replay::First);
    let PaymentOutcome::Succeeded(intent) = first.outcome else {
        panic!("{:?}", first.outcome)
    };
    assert_eq!(intent.totals().captured, 4_999);
    let again = payments
        .create_and_confirm(&key("order-1042"), new(), method())
        .await
        .unwrap();
    assert_eq!(again.replay, Replay::Replayed);
    assert_eq!(again.outcome.intent(), &intent);
    assert_eq!(sandbox.ledger().live_charges("order-1042").len(), 1);
}

#[tokio::test]
async fn a_manual_payment_is_captured_in_part_and_refunded() {
    let sandbox = Sandbox::seeded(7);
    let payments = orchestrator(&sandbox).await.tenant(Tenant::test("acme").unwrap());
    let new = NewIntent::payment(money!("100 EUR"))
        .capture(CaptureMethod::Manual)
        .reference("order-7");
    let method = PaymentMethod::card_token("tok_approve");
    let reply = payments.create_and_confirm(&key("a"), new, method).await.unwrap();
    let PaymentOutcome::Authorized(intent) = reply.outcome else {
        panic!("{:?}", reply.outcome)
    };
    let part = CaptureAmount::Part(money!("60 EUR"), Rest::Release);
    let captured = payments
        .capture(&key("b"), intent.id(), part)
        .await
        .unwrap()
        .outcome;
    let CaptureOutcome::Captured(intent) = captured else {
        panic!("{captured:?}")
    };
    assert_eq!(intent.status(), IntentStatus::Succeeded);
    assert_eq!(
        (intent.totals().authorized, intent.totals().captured),
        (6_000, 6_000)
    );
    let part = NewRefund::part(money!("15 EUR"), RefundReason::GoodsReturned);
    let refunded = payments
        .refund(&key("c"), intent.id(), part)
        .await
        .unwrap()
        .outcome;
    let RefundOutcome::Succeeded(refund) = refunded else {
        panic!("{refunded:?}")
    };
    assert_eq!(refund.amount(), money!("15 EUR"));
    let intent = payments.intent(intent.id()).await.unwrap();
    assert_eq!(
        (intent.totals().refunded, intent.totals().refund_pending),
        (1_500, 0)
    );
    let too_much = NewRefund::part(money!("45.01 EUR"), RefundReason::GoodsReturned);
    let error = payments
        .refund(&key("d"), intent.id(), too_much)
        .await
        .unwrap_err();
    assert_eq!(error.faults()[0].field, "amount");
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_recovery_finds_the_one_charge() {
    let sandbox = Sandbox::seeded(7);
    let paymux = orchestrator(&sandbox).await;
    let payments = paymux.tenant(Tenant::test("acme").unwrap());
    let new = NewIntent::payment(money!("10 EUR")).reference("order-8");
    let method = PaymentMethod::card_token("tok_charged_answer_lost");
    let reply = payments.create_and_confirm(&key("a"), new, method).await.unwrap();
    let PaymentOutcome::Unknown { intent, .. } = reply.outcome else {
        panic!("{:?}", reply.outcome)
    };
    assert_eq!(intent.status(), IntentStatus::Processing);
    paymux.recover_due(10).await.unwrap();
    let intent = payments.intent(intent.id()).await.unwrap();
    assert_eq!(intent.status(), IntentStatus::Succeeded);
    assert_eq!(sandbox.ledger().live_charges("order-8").len(), 1);
}
