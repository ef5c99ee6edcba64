//! What a store costs: the two commits of a payment in memory, on SQLite and on PostgreSQL, beside the bound, which is
//! the same rows in as many transactions as a bare program and pgbench write them; two instances at once; a claim of
//! due jobs among many; and a payment's commits while the tables grow: `cargo bench --bench store`.
//!
//! The table is made of slices of all sides in turn, as in `orchestrate.rs`: each ratio is that of two neighbours, and
//! printed are the medians, with the quartiles in brackets.
//!
//! PostgreSQL is the one at `PAYMUX_POSTGRES_URL` or on this machine, whose `pgbench` is on the path; without it, or
//! without pgbench, the bench says what is left out. `PAYMUX_BENCH_ROWS` is how far the tables grow: 100,000 payments
//! without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // it measures, and may panic

#[path = "../storage/sql/tests/database/mod.rs"]
mod database;
#[path = "store/instances.rs"]
mod instances;
#[path = "store/payment.rs"]
mod payment;
#[path = "store/postgres.rs"]
mod postgres;
#[path = "../tests/costs/recording.rs"]
mod recording;
#[path = "store/table.rs"]
mod table;

use std::path::Path;
use std::time::{Duration, Instant};

use payment::Payment;
use paymux::prelude::*;
use paymux::{Store, sqlx};
use table::{Side, Table};

/// Short and many: what disturbs the machine for longer than a slice falls on neighbours alike.
const SLICES: usize = 31;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants it to compile and start
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(async {
        let payment = Payment::recorded().await;
        println!("A payment: {payment}\n");
        embedded(&payment).await;
        postgres::measure(&payment).await;
    });
}

/// The stores that need no server.
async fn embedded(payment: &Payment) {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let sqlite = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    let memory = MemoryStore::new();
    let mut table = Table::new();
    for slice in 0..SLICES {
        table.add("memory", Side::Paymux, commit(&memory, payment, slice, 200).await);
        table.add("SQLite", Side::Paymux, commit(&sqlite, payment, slice, 20).await);
    }
    table.print();
}

/// The time of each commit of that many payments.
async fn commit(store: &dyn Store, payment: &Payment, slice: usize, count: usize) -> Vec<Duration> {
    let tenant = Tenant::test(&format!("merchant-{}", slice % 7)).unwrap();
    let mut times = Vec::with_capacity(2 * count);
    for _ in 0..count {
        for batch in payment.again() {
            let started = Instant::now();
            store.commit(&tenant, &batch).await.unwrap();
            times.push(started.elapsed());
        }
    }
    times
}
