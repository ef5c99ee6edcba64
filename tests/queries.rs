//! Lists with cursors.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::{IntentQuery, IntentStatus, RefundQuery, prelude::*};
use support::*;

#[tokio::test]
async fn pages_hold_everything_once_and_filters_hold() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for nth in 0..5 {
        let new = NewIntent::payment(money!("1 EUR")).reference(format!("order-{nth}"));
        let made = world
            .payments
            .create_intent(&key(&nth.to_string()), new)
            .await
            .unwrap();
        expected.push(*made.outcome.id());
    }
    let paid = world.paid().await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = IntentQuery::new().status(IntentStatus::Created);
        let page = world.payments.intents(query).page(2, after).await.unwrap();
        seen.extend(page.items.iter().map(|intent| *intent.id()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, expected);
    let one = world
        .payments
        .intents(IntentQuery::new().reference("order-3"))
        .page(10, None)
        .await
        .unwrap();
    assert_eq!(one.items.len(), 1);
    let history = world
        .payments
        .history(paid.id())
        .page(100, None)
        .await
        .unwrap()
        .items;
    let sequence: Vec<_> = history.iter().map(|event| event.sequence).collect();
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_is_bound_to_its_tenant_and_list() {
    let world = World::new().await;
    for nth in 0..3 {
        let new = NewIntent::payment(money!("1 EUR"));
        let _ = world
            .payments
            .create_intent(&key(&nth.to_string()), new)
            .await
            .unwrap();
    }
    let next = world
        .payments
        .intents(IntentQuery::new())
        .page(1, None)
        .await
        .unwrap()
        .next;
    let other = world.paymux.tenant(Tenant::test("other").unwrap());
    assert!(
        other
            .intents(IntentQuery::new())
            .page(1, next.clone())
            .await
            .is_err()
    );
    assert!(
        world
            .payments
            .refunds(RefundQuery::new())
            .page(1, next.clone())
            .await
            .is_err()
    );
    let filtered = IntentQuery::new().status(IntentStatus::Failed);
    assert!(world.payments.intents(filtered).page(1, next).await.is_err());
    for limit in [0, 101] {
        let error = world
            .payments
            .intents(IntentQuery::new())
            .page(limit, None)
            .await
            .unwrap_err();
        assert_eq!(error.faults()[0].field, "limit");
    }
}
