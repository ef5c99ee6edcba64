//! What orchestration adds: a payment on a store in memory; on SQLite beside a bare program that commits the same rows
//! in as many transactions; at Stripe's API, served by a stub on this machine, beside the same calls made with bare
//! reqwest: `cargo bench --bench orchestrate`.
//!
//! Criterion measures the payment in memory. It runs one benchmark to its end before the next, so that a ratio of two
//! of its figures would hold whatever else the machine did meanwhile. The table is therefore made of slices of both
//! sides in turn: each ratio is that of two neighbours, and printed are the medians, with the quartiles in brackets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // it measures, and may panic

#[path = "../tests/costs/recording.rs"]
mod recording;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::sandbox::Sandbox;
use paymux::sqlx::{self, Connection, Executor, Row as _, sqlite::SqliteJournalMode};
use paymux::store::{Batch, JobWrite, UniqueWrite};
use paymux::stripe::Stripe;
use paymux::{Connector, Store};
use recording::Recording;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime as Tokio;

/// Short and many: what disturbs the machine for longer than a slice falls on neighbours alike.
const SLICES: usize = 101;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants it to compile and start
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    in_memory(&tokio);
    println!("| payment | paymux | bare | ratio |\n|---|---|---|---|");
    tokio.block_on(memory());
    tokio.block_on(sqlite());
    let client = client();
    let what = "Stripe's two calls, answered at once";
    tokio.block_on(stripe(&client, what, 10, Duration::ZERO));
    let what = "Stripe's two calls, answered after 20 ms each";
    tokio.block_on(stripe(&client, what, 1, Duration::from_millis(20)));
}

async fn host(store: impl Store, connector: Connector) -> Payments {
    let connectors = ConnectorMap::shared([connector]).unwrap();
    let builder = Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn());
    builder
        .build()
        .await
        .unwrap()
        .tenant(Tenant::test("acme").unwrap())
}

async fn host_in_memory() -> Payments {
    host(MemoryStore::new(), Sandbox::seeded(7).connector("main")).await
}

/// The time of `count` payments.
async fn pay(payments: &Payments, count: u64, token: &str) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        let new = NewIntent::payment(money!("10 EUR")).reference("order-1042");
        let method = PaymentMethod::card_token(token);
        let key = payments.one_off_key();
        let paid = payments.create_and_confirm(&key, new, method).await.unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
    }
    started.elapsed()
}

/// Each sample has a store of its own, which grows with its payments alone.
fn in_memory(tokio: &Tokio) {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    criterion.bench_function("create_and_confirm in memory", |bench| {
        bench.iter_custom(|count| {
            tokio.block_on(async { pay(&host_in_memory().await, count, "tok_approve").await })
        });
    });
}

async fn memory() {
    let mut ours = Vec::new();
    for _ in 0..SLICES {
        let payments = host_in_memory().await;
        pay(&payments, 20, "tok_approve").await;
        ours.push(pay(&payments, 50, "tok_approve").await / 50);
    }
    println!("| memory, the sandbox included | {} | | |", spread(&mut ours));
}

async fn sqlite() {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let recorded = Recording::new(MemoryStore::new());
    let recording = host(recorded.clone(), Sandbox::seeded(7).connector("main")).await;
    let _building = recorded.take();
    pay(&recording, 1, "tok_approve").await;
    let transactions = transactions(&recorded.take().0);
    let store = SqliteStore::open(folder.path().join("ours.db")).await.unwrap();
    let options = store
        .connect_options()
        .filename(folder.path().join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut bare = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    // As durable as ours: a commit is on the disk when it returns.
    let synchronous = bare.fetch_one("PRAGMA synchronous").await.unwrap();
    assert_eq!(synchronous.get::<i64, _>(0), 2);
    for table in ["rows", "uniques", "events", "jobs", "commits"] {
        let text = format!(
            "CREATE TABLE {table} (payment INTEGER, name TEXT, number INTEGER, body BLOB, PRIMARY KEY (payment, name))"
        );
        bare.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    }
    let payments = host(store, Sandbox::seeded(7).connector("main")).await;
    let (mut ours, mut theirs, mut made) = (Vec::new(), Vec::new(), 0);
    for _ in 0..SLICES {
        ours.push(pay(&payments, 5, "tok_approve").await / 5);
        let started = Instant::now();
        for _ in 0..5 {
            made += 1;
            for writes in &transactions {
                commit(&mut bare, writes, made).await;
            }
        }
        theirs.push(started.elapsed() / 5);
    }
    compare("SQLite, the sandbox included", ours, theirs);
}

/// A row as a program writes it that has nothing else to think of.
struct Write {
    text: &'static str,
    name: String,
    number: i64,
    body: Vec<u8>,
}

impl Write {
    fn new(text: &'static str, name: &dyn std::fmt::Debug, number: u64, body: &[u8]) -> Self {
        Self {
            text,
            name: format!("{name:?}"),
            number: i64::try_from(number).unwrap(),
            body: body.to_vec(),
        }
    }
}

/// What the batches of one payment write, as statements that a program would have.
fn transactions(batches: &[Batch]) -> Vec<Vec<Write>> {
    let writes = |batch: &Batch| {
        let mut writes = Vec::new();
        for row in &batch.puts {
            writes.push(Write::new(PUT_ROW, &row.key, row.version, &row.body));
        }
        for unique in &batch.uniques {
            if let UniqueWrite::Insert(unique)
            | UniqueWrite::Renew { unique, .. }
            | UniqueWrite::Replace(unique) = unique
            {
                writes.push(Write::new(PUT_UNIQUE, &unique.key, 0, &unique.bytes));
            }
        }
        for event in &batch.events {
            let name = (event.row, event.sequence);
            writes.push(Write::new(PUT_EVENT, &name, event.sequence, &event.body));
        }
        for job in &batch.jobs {
            let text = match job {
                JobWrite::Put { .. } | JobWrite::Reschedule { .. } => PUT_JOB,
                JobWrite::Done(_) => END_JOB,
            };
            writes.push(Write::new(text, &job.key(), 1, &[]));
        }
        writes.push(Write::new(PUT_COMMIT, &batch.commit_id, 0, &[]));
        writes
    };
    batches.iter().map(writes).collect()
}

const PUT_ROW: &str =
    "INSERT INTO rows VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET number = ?3, body = ?4";
const PUT_UNIQUE: &str =
    "INSERT INTO uniques VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET number = ?3, body = ?4";
const PUT_EVENT: &str = "INSERT INTO events VALUES (?1, ?2, ?3, ?4)";
const PUT_JOB: &str = "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET number = ?3";
const END_JOB: &str = "DELETE FROM jobs WHERE payment = ?1 AND name = ?2";
const PUT_COMMIT: &str = "INSERT INTO commits VALUES (?1, ?2, ?3, ?4)";

async fn commit(bare: &mut sqlx::SqliteConnection, writes: &[Write], payment: i64) {
    let mut transaction = bare.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for write in writes {
        let query = sqlx::query(write.text).bind(payment).bind(write.name.as_str());
        let query = match write.text {
            END_JOB => query,
            _put => query.bind(write.number).bind(write.body.as_slice()),
        };
        query.execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// The bare side's: as a program sets it up that has nothing else to think of.
fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

async fn stripe(client: &reqwest::Client, what: &str, count: u32, takes: Duration) {
    let base = stub(takes);
    let connector = Stripe::new("sk_test_stub", "main")
        .base_url(&base)
        .connector(Arc::new(HttpTransport::builder().build().unwrap()));
    let payments = host(MemoryStore::new(), connector).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SLICES {
        ours.push(pay(&payments, count.into(), "pm_card_visa").await / count);
        let started = Instant::now();
        for _ in 0..count {
            let create = "amount=1000&currency=eur&metadata%5Bpaymux%5D=01m7xyadtce00aq8df0kx0ejp3&capture_method=automatic";
            let id = post(client, format!("{base}/v1/payment_intents"), create).await;
            let confirm = "payment_method=pm_card_visa";
            post(client, format!("{base}/v1/payment_intents/{id}/confirm"), confirm).await;
        }
        theirs.push(started.elapsed() / count);
    }
    compare(what, ours, theirs);
}

/// A call as a program makes it that has nothing else to think of.
async fn post(client: &reqwest::Client, url: String, form: &'static str) -> String {
    let request = client
        .post(url)
        .bearer_auth("sk_test_stub")
        .header("idempotency-key", "01m7xyadtce00aq8df0kx0ejp3-execute")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&answer).unwrap();
    object["id"].as_str().unwrap().to_owned()
}

/// Answers what Stripe would, from a thread of its own, each call after that time. A payment is called by its reference.
fn stub(takes: Duration) -> String {
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
                tokio::spawn(answer(stream, takes));
            }
        });
    });
    base
}

async fn answer(mut stream: tokio::net::TcpStream, takes: Duration) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
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
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let form = String::from_utf8_lossy(&bytes[end..whole]).into_owned();
        let named = form.split('&').find_map(|pair| {
            pair.strip_prefix("metadata%5Bpaymux%5D=")
                .or(pair.strip_prefix("metadata[paymux]="))
        });
        let called = || head.split("/pi_").nth(1).and_then(|rest| rest.split('/').next());
        let (reference, status, received) = match named {
            Some(named) => (named, "requires_confirmation", 0),
            None => (called().unwrap(), "succeeded", 1_000),
        };
        let body = serde_json::json!({
            "id": format!("pi_{reference}"), "object": "payment_intent", "status": status, "amount": 1_000, "currency": "eur",
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
