//! How many statements a payment is on SQLite, in a binary of its own, since the subscriber that counts them is the
//! whole program's: sqlx tells each trip to the connection's thread, with its text, from that thread.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use paymux::prelude::*;
use paymux::sandbox::Sandbox;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[tokio::test]
async fn a_payment_is_three_trips_to_sqlite_and_fifteen_statements() {
    let told = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::set_global_default(Listener(told.clone())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("payments.db"))
        .await
        .unwrap();
    let connectors = ConnectorMap::shared([Sandbox::seeded(7).connector("main")]).unwrap();
    let builder = Orchestrator::builder(store, connectors, Runtime::tokio());
    let payments = builder
        .build()
        .await
        .unwrap()
        .tenant(Tenant::test("acme").unwrap());
    let pay = async |name: &str| {
        let new = NewIntent::payment(money!("10 EUR")).reference("order-1042");
        let method = PaymentMethod::card_token("tok_approve");
        let key = IdempotencyKey::new(name).unwrap();
        let paid = payments.create_and_confirm(&key, new, method).await.unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    };
    pay("warm").await;
    told.lock().unwrap().clear();
    pay("counted").await;
    let told = told.lock().unwrap();
    let statements: Vec<&str> = told.iter().flat_map(|text| text.split("; ")).collect();
    assert_eq!(told.len(), 3, "the key is looked up, W1, W3: {told:#?}");
    assert_eq!(statements.len(), STATEMENTS, "{statements:#?}");
}

/// One reads; each commit begins, writes its own row, the payment, what is unique, the events and a job, and commits.
const STATEMENTS: usize = 15;

/// Keeps the texts that sqlx tells.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        // A text of up to four words is its own summary.
        let text = match text.statement.trim() {
            "" => text.summary,
            whole => whole.to_owned(),
        };
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[derive(Default)]
struct Text {
    summary: String,
    statement: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            _other => {}
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}
