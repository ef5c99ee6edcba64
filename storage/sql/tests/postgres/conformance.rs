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
    database.options_in(&database.schema_of(name)).max_connections(6)
}

/// Runs the suite on what `open` makes of each schema's options.
async fn conforms<S: Store>(database: Option<Database>, open: impl AsyncFn(PostgresOptions) -> S) {
    let Some(database) = database else { return };
    store_conformance(async |folder| open(options(&database, folder)).await)
        .durability(Durability::SurvivesRestart)
        .run()
        .await;
}

async fn open(options: PostgresOptions) -> PostgresStore {
    options.open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_value() {
    conforms(Database::find().await, open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_box() {
    let boxed = async |options| Box::new(open(options).await) as Box<dyn Store>;
    conforms(Database::find().await, boxed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared() {
    let shared = async |options| Arc::new(open(options).await) as Arc<dyn Store>;
    conforms(Database::find().await, shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_tests_clock() {
    let Some(database) = Database::find().await else {
        return;
    };
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    store_conformance(async |folder| open(options(&database, folder).time(time.clone())).await)
        .durability(Durability::SurvivesRestart)
        .clock(clock)
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_statements_inline() {
    let inline = async |options: PostgresOptions| open(options.statements(Statements::Inline)).await;
    conforms(Database::find().await, inline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_what_other_engines_lack() {
    let compatible = async |options: PostgresOptions| open(options.engine(Engine::Compatible)).await;
    conforms(Database::find().await, compatible).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_in_transaction_mode() {
    let pooler = Database::at("PAYMUX_PGBOUNCER_URL", "postgres://postgres@127.0.0.1:6432/test");
    let inline = async |options: PostgresOptions| open(options.statements(Statements::Inline)).await;
    conforms(pooler.await, inline).await;
}
