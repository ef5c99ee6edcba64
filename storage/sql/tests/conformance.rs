//! The SQLite store keeps the contract, however it is held.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::PathBuf;
use std::sync::Arc;

use paymux_core::Store;
use paymux_core::store::StoreTime;
use paymux_sql::{SqliteOptions, SqliteStore};
use paymux_testkit::{Durability, TestClock, store_conformance};

async fn open(folder: PathBuf) -> SqliteStore {
    SqliteStore::open(folder.join("payments.db")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_value() {
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_box() {
    store_conformance(async |folder| Box::new(open(folder).await) as Box<dyn Store>)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared() {
    store_conformance(async |folder| Arc::new(open(folder).await) as Arc<dyn Store>)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_tests_clock() {
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    let open = async |folder: PathBuf| {
        let options = SqliteOptions::new(folder.join("payments.db"));
        options.time(time.clone()).open().await.unwrap()
    };
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .clock(clock)
        .run()
        .await;
}
