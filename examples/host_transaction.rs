//! An order of the host's and its payment, written together or not at all.
//!
//! The host opens a transaction in the SQLite file that paymux uses, writes its own row, and commits the planned
//! payment in the same transaction.
//!
//! ```sh
//! cargo run --example host_transaction
//! ```

use std::error::Error;
use std::process::ExitCode;

use paymux::IntentQuery;
use paymux::prelude::*;
use paymux::sandbox::Sandbox;
use paymux::sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use paymux::sqlx::{self, SqliteConnection};
use paymux::store::{CommitError, Store};

struct Shop {
    store: SqliteStore,
    pool: SqlitePool,
    payments: Payments,
    broken: u32,
}

impl Shop {
    async fn open(folder: &std::path::Path) -> Result<Self, Box<dyn Error>> {
        let store = SqliteStore::open(folder.join("shop.db")).await?;
        let pool = SqlitePoolOptions::new()
            .connect_with(store.connect_options())
            .await?;
        sqlx::query("CREATE TABLE orders (id TEXT PRIMARY KEY, payment TEXT)")
            .execute(&pool)
            .await?;
        let connectors = ConnectorMap::shared([Sandbox::seeded(7).connector("main")])?;
        let paymux = Orchestrator::builder(store.clone(), connectors, Runtime::tokio())
            .build()
            .await?;
        Ok(Self {
            store,
            pool,
            payments: paymux.tenant(Tenant::test("acme")?),
            broken: 0,
        })
    }

    /// Says what is there of an order, and whether that is what was promised.
    async fn expect(&mut self, what: &str, order: &str, there: [usize; 2]) -> Result<(), Box<dyn Error>> {
        let rows: Vec<String> = sqlx::query_scalar("SELECT id FROM orders WHERE id = ?")
            .bind(order)
            .fetch_all(&self.pool)
            .await?;
        let query = IntentQuery::new().reference(order);
        let payments = self.payments.intents(query).page(10, None).await?.items.len();
        let kept = [rows.len(), payments] == there;
        self.broken += u32::from(!kept);
        let verdict = if kept { "as promised" } else { "BROKEN" };
        println!(
            "{what:<44} {order:<6} order rows {}  payments {payments}  {verdict}",
            rows.len()
        );
        Ok(())
    }

    async fn check(&mut self, what: &str, holds: bool) {
        self.broken += u32::from(!holds);
        let verdict = if holds { "as promised" } else { "BROKEN" };
        println!("{what:<78} {verdict}");
    }
}

fn payment(order: &str) -> NewIntent {
    NewIntent::payment(money!("49.99 EUR")).reference(order)
}

async fn insert(conn: &mut SqliteConnection, order: &str, payment: &PaymentIntentId) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO orders (id, payment) VALUES (?, ?)")
        .bind(order)
        .bind(payment.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut shop = Shop::open(folder.path()).await?;

    // Commit: both are there.
    let planned = shop
        .payments
        .plan_create_intent(&IdempotencyKey::new("A-1")?, payment("A-1"))
        .await?;
    let mut transaction = shop.pool.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, "A-1", planned.value().id()).await?;
    shop.store.commit_in(&mut transaction, &planned).await?;
    transaction.commit().await?;
    let first = planned.into_value();
    shop.expect("committed", "A-1", [1, 1]).await?;

    // Rollback: neither is.
    let planned = shop
        .payments
        .plan_create_intent(&IdempotencyKey::new("A-2")?, payment("A-2"))
        .await?;
    let mut transaction = shop.pool.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, "A-2", planned.value().id()).await?;
    let receipt = shop.store.commit_in(&mut transaction, &planned).await?;
    transaction.rollback().await?;
    shop.expect("rolled back", "A-2", [0, 0]).await?;
    let fate = shop.store.resolve(planned.tenant(), receipt.commit_id).await?;
    let absent = fate == paymux::store::Resolved::Absent;
    shop.check("the receipt of what was rolled back resolves to absent", absent)
        .await;

    // Conflict: the key is taken. The batch alone is taken back, and the host's transaction goes on.
    let again = shop
        .payments
        .plan_create_intent(&IdempotencyKey::new("A-1")?, payment("A-1"))
        .await?;
    let mut transaction = shop.pool.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, "A-3", first.id()).await?;
    let refused = shop.store.commit_in(&mut transaction, &again).await;
    let conflict = matches!(refused, Err(CommitError::Conflict(_)));
    shop.check("a key that was used before is refused as a conflict", conflict)
        .await;
    insert(&mut transaction, "A-4", first.id()).await?;
    transaction.commit().await?;
    shop.expect("written before the conflict", "A-3", [1, 0]).await?;
    shop.expect("written after it, in the same transaction", "A-4", [1, 0])
        .await?;
    shop.expect("the first payment is still the only one", "A-1", [1, 1])
        .await?;

    // The payment is an ordinary one.
    let key = IdempotencyKey::new("pay A-1")?;
    let method = PaymentMethod::card_token("tok_approve");
    let paid = shop.payments.confirm(&key, first.id(), method).await?.outcome;
    shop.check(
        "and is paid like any other",
        matches!(paid, PaymentOutcome::Succeeded(_)),
    )
    .await;

    println!("\n{} broken promises.", shop.broken);
    Ok(if shop.broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
