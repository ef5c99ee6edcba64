//! How often a payment and a routing decision allocate, in a binary of its own, since the allocator that counts is the whole program's.
//! The bounds leave room for another compiler's library, not for another copy of the payment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

use paymux::prelude::*;
use paymux::routing::{self, Facts, Program, Route};
use paymux::sandbox::Sandbox;
use paymux::{Metadata, MethodKind};

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

#[test]
fn a_routing_decision_allocates_nothing() {
    let rule = |place: u16| {
        let bins = [format!("4{place:05}"), format!("5{place:05}")];
        routing::card_bin()
            .starts_with_one_of(bins.iter().map(String::as_str))
            .and(routing::mcc().within(place..place + 100))
            .and(routing::metadata("segment").is_in(["gold", "platinum"]).negated())
    };
    for rules in [10, 2_000] {
        let program = (0..rules).fold(Program::builder("many"), |builder, place| {
            builder.rule(&format!("rule-{place}"), rule(place), Route::ordered(["acme"]))
        });
        let program = program.otherwise(Route::ordered(["stripe"])).unwrap();
        let metadata = Metadata::from([("segment".to_owned(), "silver".to_owned())]);
        let mut facts = Facts::of("acme", money!("10 EUR"), MethodKind::CardToken);
        (facts.card.bin, facts.mcc) = (Some("50000712"), Some(50));
        facts.metadata = Some(&metadata);
        let mut decided = Vec::with_capacity(2);
        let counted = allocation_counter::measure(|| {
            decided.push(program.decide(&facts).rule);
            facts.mcc = None;
            decided.push(program.decide(&facts).rule);
        });
        assert_eq!(decided, [Some(7), None]);
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
