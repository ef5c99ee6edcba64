//! How often a payment allocates, in a binary of its own, since the allocator that counts is the whole program's.
//! The bounds leave room for another compiler's library, not for another copy of the payment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

use paymux::prelude::*;
use paymux::sandbox::Sandbox;

#[test]
fn a_payment_allocates_little() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (sandbox, store) = (Sandbox::seeded(7), MemoryStore::new());
    let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    let builder = Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn());
    let paymux = runtime.block_on(builder.build()).unwrap();
    let payments = paymux.tenant(Tenant::test("acme").unwrap());
    let pay = |name: &str| {
        let key = IdempotencyKey::new(name).unwrap();
        let new = NewIntent::payment(money!("10 EUR")).reference("order-1042");
        let method = PaymentMethod::card_token("tok_approve");
        let paid = runtime
            .block_on(payments.create_and_confirm(&key, new, method))
            .unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    };
    pay("warm");
    let counted = allocation_counter::measure(|| pay("counted"));
    println!(
        "{} allocations, {} bytes",
        counted.count_total, counted.bytes_total
    );
    assert!((1..=ALLOCATIONS).contains(&counted.count_total), "{counted:?}");
}

/// The sandbox's share included.
const ALLOCATIONS: u64 = 550;
