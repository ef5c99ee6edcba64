//! What orchestration adds: a payment on a store in memory; on SQLite beside a bare program that commits the same rows
//! in as many transactions; at Stripe's API, served by a stub on this machine, beside the same calls made by hand.
//!
//! Slices of both sides alternate, so that what else the machine does falls on both. Printed are the medians and the
//! spread between the quartiles: `cargo bench --bench orchestrate`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // it measures, and may panic

#[path = "../tests/costs/recording.rs"]
mod recording;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paymux::connector::{Request, Transport};
use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::sandbox::Sandbox;
use paymux::sqlx::{self, Connection, Executor};
use paymux::store::{Batch, JobWrite, UniqueWrite};
use paymux::stripe::Stripe;
use paymux::{Secret, Store};
use recording::Recording;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SLICES: usize = 21;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants it to compile and start
    }
    println!("| payment | paymux | bare | ratio |\n|---|---|---|---|");
    memory().await;
    sqlite().await;
    stripe().await;
}

async fn host(store: impl Store, connector: paymux::Connector) -> Payments {
    let connectors = ConnectorMap::shared([connector]).unwrap();
    let builder = Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn());
    builder
        .build()
        .await
        .unwrap()
        .tenant(Tenant::test("acme").unwrap())
}

/// The time of one payment, over a slice of `count`.
async fn pay(payments: &Payments, count: u32, token: &str) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        let new = NewIntent::payment(money!("10 EUR")).reference("order-1042");
        let method = PaymentMethod::card_token(token);
        let key = payments.one_off_key();
        let paid = payments.create_and_confirm(&key, new, method).await.unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    }
    started.elapsed() / count
}

async fn memory() {
    let mut ours = Vec::new();
    for _ in 0..SLICES {
        let payments = host(MemoryStore::new(), Sandbox::seeded(7).connector("main")).await;
        pay(&payments, 50, "tok_approve").await;
        ours.push(pay(&payments, 200, "tok_approve").await);
    }
    println!("| memory, the sandbox included | {} | | |", spread(&mut ours));
}

async fn sqlite() {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let recorded = Recording::new(MemoryStore::new());
    pay(
        &host(recorded.clone(), Sandbox::seeded(7).connector("main")).await,
        1,
        "tok_approve",
    )
    .await;
    let (batches, _) = recorded.take();
    let store = SqliteStore::open(folder.path().join("ours.db")).await.unwrap();
    let mut bare = sqlx::SqliteConnection::connect_with(
        &store.connect_options().filename(folder.path().join("bare.db")),
    )
    .await
    .unwrap();
    bare.execute(
        "CREATE TABLE rows (id BLOB, version INTEGER, body BLOB, PRIMARY KEY (id));
         CREATE TABLE uniques (name TEXT PRIMARY KEY, bytes BLOB);
         CREATE TABLE events (id BLOB, sequence INTEGER, body BLOB, PRIMARY KEY (id, sequence));
         CREATE TABLE jobs (id BLOB PRIMARY KEY, due INTEGER);
         CREATE TABLE commits (id BLOB PRIMARY KEY)",
    )
    .await
    .unwrap();
    let payments = host(store, Sandbox::seeded(7).connector("main")).await;
    let (mut ours, mut theirs, mut made) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SLICES {
        ours.push(pay(&payments, 20, "tok_approve").await);
        let started = Instant::now();
        for _ in 0..20 {
            made += 1;
            for batch in &batches {
                write(&mut bare, batch, made).await;
            }
        }
        theirs.push(started.elapsed() / 20);
    }
    compare("SQLite, the sandbox included", ours, theirs);
}

/// A batch as a program writes it that has nothing else to think of.
async fn write(bare: &mut sqlx::SqliteConnection, batch: &Batch, made: i64) {
    let mut transaction = bare.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let id = |name: &dyn std::fmt::Debug| format!("{made}{name:?}");
    for row in &batch.puts {
        sqlx::query("INSERT INTO rows VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET version = ?2, body = ?3")
            .bind(id(&row.key))
            .bind(i64::try_from(row.version).unwrap())
            .bind(row.body.to_vec())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    for unique in &batch.uniques {
        let (UniqueWrite::Insert(unique) | UniqueWrite::Replace(unique)) = unique else {
            continue;
        };
        sqlx::query("INSERT INTO uniques VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = ?2")
            .bind(id(&unique.key))
            .bind(unique.bytes.to_vec())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    for event in &batch.events {
        sqlx::query("INSERT INTO events VALUES (?, ?, ?)")
            .bind(id(&event.row))
            .bind(i64::try_from(event.sequence).unwrap())
            .bind(event.body.to_vec())
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    for job in &batch.jobs {
        let text = match job {
            JobWrite::Put { .. } | JobWrite::Reschedule { .. } => {
                "INSERT INTO jobs VALUES (?, 1) ON CONFLICT DO UPDATE SET due = 2"
            }
            JobWrite::Done(_) => "DELETE FROM jobs WHERE id = ?",
        };
        let name = id(&job.key());
        sqlx::query(text)
            .bind(name)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    sqlx::query("INSERT INTO commits VALUES (?)")
        .bind(id(&batch.commit_id))
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

async fn stripe() {
    let base = stub();
    let transport = Arc::new(HttpTransport::builder().build().unwrap());
    let connector = Stripe::new("sk_test_stub", "main")
        .base_url(&base)
        .connector(transport.clone());
    let payments = host(MemoryStore::new(), connector).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SLICES {
        ours.push(pay(&payments, 50, "pm_card_visa").await);
        let started = Instant::now();
        for _ in 0..50 {
            let form = "amount=1000&currency=eur&metadata%5Bpaymux%5D=01m7xyadtce00aq8df0kx0ejp3&capture_method=automatic";
            for (path, form) in [
                ("/v1/payment_intents", form),
                ("/v1/payment_intents/pi_1/confirm", "payment_method=pm_card_visa"),
            ] {
                let request = Request::post(format!("{base}{path}"))
                    .bearer(&Secret::from("sk_test_stub"))
                    .header("idempotency-key", "01m7xyadtce00aq8df0kx0ejp3-execute")
                    .body("application/x-www-form-urlencoded", form);
                let answer = transport.send(request).await.unwrap();
                let object: serde_json::Value = answer.json().unwrap();
                assert_eq!(object["id"], "pi_1");
            }
        }
        theirs.push(started.elapsed() / 50);
    }
    compare("Stripe's two calls, answered by a stub", ours, theirs);
}

/// Answers what Stripe would, from a thread of its own. Payments come one after the other.
fn stub() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream));
            }
        });
    });
    base
}

async fn answer(mut stream: tokio::net::TcpStream) {
    stream.set_nodelay(true).unwrap();
    let (mut bytes, mut reference) = (Vec::new(), String::new());
    loop {
        let end = loop {
            match bytes.windows(4).position(|at: &[u8]| at == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 => return,
                None => {}
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        let whole = end + length.map_or(0, |length| length.parse().unwrap());
        while bytes.len() < whole {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
        let form = String::from_utf8_lossy(&bytes[end..whole]).into_owned();
        let named = form.split('&').find_map(|pair| {
            pair.strip_prefix("metadata%5Bpaymux%5D=")
                .or(pair.strip_prefix("metadata[paymux]="))
        });
        let (status, received) = match named {
            Some(named) => {
                reference = named.to_owned();
                ("requires_confirmation", 0)
            }
            None => ("succeeded", 1_000),
        };
        let body = serde_json::json!({
            "id": "pi_1", "object": "payment_intent", "status": status, "amount": 1_000, "currency": "eur",
            "amount_capturable": 0, "amount_received": received, "capture_method": "automatic", "latest_charge": null,
            "last_payment_error": null, "next_action": null, "metadata": { "paymux": reference },
        })
        .to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        bytes.drain(..whole);
    }
}

fn compare(what: &str, mut ours: Vec<Duration>, mut theirs: Vec<Duration>) {
    let mut ratios: Vec<u128> = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| ours.as_nanos() * 1_000 / theirs.as_nanos())
        .collect();
    ratios.sort_unstable();
    let hundredths = |permille: u128| format!("{}.{:02}", permille / 1_000, permille % 1_000 / 10);
    let [low, median, high] = quartiles(&ratios).map(hundredths);
    println!(
        "| {what} | {} | {} | {median} ({low} to {high}) |",
        spread(&mut ours),
        spread(&mut theirs)
    );
}

fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let [low, median, high] = quartiles(times).map(|time| time.as_micros());
    format!("{median} µs ({low} to {high})")
}

fn quartiles<T: Copy>(sorted: &[T]) -> [T; 3] {
    [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4])
}
