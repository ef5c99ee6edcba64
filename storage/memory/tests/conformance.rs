//! The memory store keeps the contract, however it is held.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

use std::sync::Arc;

use paymux_core::Store;
use paymux_core::store::StoreTime;
use paymux_memory::MemoryStore;
use paymux_testkit::{TestClock, store_conformance};

#[tokio::test(flavor = "multi_thread")]
async fn as_a_value() {
    store_conformance(async |_| MemoryStore::new()).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_box() {
    store_conformance(async |_| Box::new(MemoryStore::new()) as Box<dyn Store>)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared() {
    store_conformance(async |_| Arc::new(MemoryStore::new()) as Arc<dyn Store>)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_tests_clock() {
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    store_conformance(async |_| MemoryStore::with_time(time.clone()))
        .clock(clock)
        .run()
        .await;
}
