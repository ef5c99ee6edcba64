//! The PostgreSQL store keeps the contract, however it is held and however its statements are sent.

use std::path::PathBuf;
use std::sync::Arc;

use paymux_core::Store;
use paymux_core::store::StoreTime;
use paymux_sql::{Engine, PostgresOptions, PostgresStore, Statements};
use paymux_testkit::{Durability, TestClock, store_conformance};

use crate::database::Database;

/// A schema for each folder of the suite's.
fn options(database: &Database, folder: PathBuf) -> PostgresOptions {
    let name = folder.file_name().unwrap().to_str().unwrap();
    PostgresOptions::new(database.url())
        .schema(database.schema_of(name))
        .max_connections(6)
}

async fn open(database: &Database, folder: PathBuf) -> PostgresStore {
    options(database, folder).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_value() {
    let Some(database) = Database::find().await else {
        return;
    };
    store_conformance(async |folder| open(&database, folder).await)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_box() {
    let Some(database) = Database::find().await else {
        return;
    };
    store_conformance(async |folder| Box::new(open(&database, folder).await) as Box<dyn Store>)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared() {
    let Some(database) = Database::find().await else {
        return;
    };
    store_conformance(async |folder| Arc::new(open(&database, folder).await) as Arc<dyn Store>)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_tests_clock() {
    let Some(database) = Database::find().await else {
        return;
    };
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    let open = async |folder| {
        options(&database, folder)
            .time(time.clone())
            .open()
            .await
            .unwrap()
    };
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .clock(clock)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_statements_inline() {
    let Some(database) = Database::find().await else {
        return;
    };
    let open = async |folder| {
        let options = options(&database, folder).statements(Statements::Inline);
        options.open().await.unwrap()
    };
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_what_other_engines_lack() {
    let Some(database) = Database::find().await else {
        return;
    };
    let open = async |folder| {
        let options = options(&database, folder).engine(Engine::Compatible);
        options.open().await.unwrap()
    };
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_in_transaction_mode() {
    let otherwise = "postgres://postgres@127.0.0.1:6432/test";
    let Some(database) = Database::at("PAYMUX_PGBOUNCER_URL", otherwise).await else {
        return;
    };
    let open = async |folder| {
        let options = options(&database, folder).statements(Statements::Inline);
        options.open().await.unwrap()
    };
    store_conformance(open)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}
