//! Kills a process at every write and at every call to the processor, and shows that each payment is charged once.
//!
//! The child pays, and stops at the boundary that its parent names; the parent kills it there (SIGKILL on Unix),
//! looks at what is on disk, recovers, and asks the processor's own books.
//!
//! ```sh
//! cargo run --example crash_recovery
//! ```

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use paymux::connector::{Connector, Request, Response, Transport, TransportError};
use paymux::prelude::*;
use paymux::sandbox::{Sandbox, Shape};
use paymux::store::*;
use paymux::{IntentQuery, IntentStatus, OperationStatus, PaymentIntent, Policy, Queue};

const ORDER: &str = "order-1042";
const CENTS: i64 = 4_999;

/// Counts the boundaries, says each aloud, and stops for good at the chosen one.
#[derive(Clone, Debug)]
struct Boundaries {
    passed: Arc<AtomicU32>,
    stop_at: u32,
}

impl Boundaries {
    async fn pass(&self, what: &str) {
        let place = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if place == self.stop_at {
            println!("at boundary {place}: {what}");
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug)]
struct StoppingStore {
    inner: SqliteStore,
    boundaries: Boundaries,
    writes: AtomicU32,
}

#[async_trait::async_trait]
impl Store for StoppingStore {
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        self.boundaries.pass(&format!("before write {write}")).await;
        let receipt = self.inner.commit(tenant, batch).await?;
        self.boundaries.pass(&format!("after write {write}")).await;
        Ok(receipt)
    }

    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.load(tenant, keys).await
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.inner.lookup(tenant, key).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.inner.locate(key).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.inner.find(tenant, query).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.events(tenant, row, from, limit).await
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.inner.resolve(tenant, id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.inner.claim_due(request).await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.inner.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.inner.purge(retention, limit).await
    }
}

#[derive(Debug)]
struct StoppingTransport {
    inner: Arc<dyn Transport>,
    boundaries: Boundaries,
    calls: AtomicU32,
}

#[async_trait::async_trait]
impl Transport for StoppingTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.boundaries.pass(&format!("before call {call}")).await;
        let answer = self.inner.send(request).await;
        self.boundaries.pass(&format!("after call {call}")).await;
        answer
    }
}

fn sandbox(folder: &Path, shape: &str) -> std::io::Result<Sandbox> {
    let sandbox = Sandbox::seeded(7).shape(match shape {
        "two calls" => Shape::handle_first(),
        _one_call => Shape::default(),
    });
    sandbox.ledger_file(folder.join("processor"))
}

/// Times that let a person watch; a real host keeps the defaults.
fn policy() -> Policy {
    Policy::new()
        .call_timeout(Duration::from_millis(60))
        .grace(Duration::from_millis(20))
        .recheck(Duration::from_millis(20))
}

async fn pay(payments: &Payments) -> paymux::Result<Reply<PaymentOutcome>> {
    let new = NewIntent::payment(money!("49.99 EUR")).reference(ORDER);
    let method = PaymentMethod::card_token("tok_approve");
    payments
        .create_and_confirm(&IdempotencyKey::new(ORDER)?, new, method)
        .await
}

async fn child(folder: &Path, shape: &str, stop_at: u32) -> Result<(), Box<dyn Error>> {
    let boundaries = Boundaries {
        passed: Arc::default(),
        stop_at,
    };
    let store = StoppingStore {
        inner: SqliteStore::open(folder.join("payments.db")).await?,
        boundaries: boundaries.clone(),
        writes: AtomicU32::new(0),
    };
    let account: Connector = sandbox(folder, shape)?.connector("main");
    let account = account.with_transport(|inner| {
        Arc::new(StoppingTransport {
            inner,
            boundaries,
            calls: AtomicU32::new(0),
        })
    });
    let runtime = Runtime::tokio_without_spawn();
    let paymux = Orchestrator::builder(store, ConnectorMap::shared([account])?, runtime)
        .policy(policy())
        .build()
        .await?;
    let paid = pay(&paymux.tenant(Tenant::test("acme")?)).await?;
    println!("done: {}", paid.outcome.http_status());
    Ok(())
}

/// Where it died, what was there, how it ended.
struct Death {
    shape: &'static str,
    died: String,
    disk: String,
    resolved: String,
    charges: usize,
    sound: bool,
}

/// Starts a child that stops at a boundary, and kills it there; `None` once there is no such boundary.
async fn kill_at(folder: &Path, shape: &'static str, boundary: u32) -> Result<Option<Death>, Box<dyn Error>> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child", shape, &boundary.to_string()])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the child has no output")?;
    let said = BufReader::new(output)
        .lines()
        .next()
        .ok_or("the child said nothing")??;
    child.kill()?;
    child.wait()?;
    let Some(died) = said.strip_prefix("at boundary ") else {
        return Ok(None);
    };

    let sandbox = sandbox(folder, shape)?;
    let store = SqliteStore::open(folder.join("payments.db")).await?;
    let runtime = Runtime::tokio();
    let clock = runtime.clock().clone();
    let paymux = Orchestrator::builder(store, ConnectorMap::shared([sandbox.connector("main")])?, runtime)
        .policy(policy())
        .build()
        .await?;
    let payments = paymux.tenant(Tenant::test("acme")?);
    let disk = on_disk(find(&payments).await?.as_ref());
    let charged_before = sandbox.ledger().live_charges(ORDER).len();
    let sent_before = sandbox.ledger().sends().len();
    for _ in 0..200 {
        if paymux.backlog(Queue::Recovery).await?.scheduled == 0 {
            break;
        }
        clock.sleep(Duration::from_millis(20)).await;
        paymux.recover_due(10).await?;
    }
    let recovered = sandbox.ledger().sends()[sent_before..].to_vec();
    // The caller never got an answer, so it asks again with the same key.
    let repeat = pay(&payments).await?;
    let paid = matches!(&repeat.outcome, PaymentOutcome::Succeeded(intent)
        if intent.status() == IntentStatus::Succeeded && intent.totals().captured == CENTS);
    let resent = recovered.iter().any(|sent| sent.method == "POST");
    let resolved = match (&repeat.replay, resent, recovered.is_empty()) {
        (Replay::First, _, _) => "the caller's repeat paid",
        (Replay::Replayed, true, _) if charged_before == 0 => "recovery sent it again, same key",
        (Replay::Replayed, true, _) => "recovery sent it again: the key got the first answer",
        (Replay::Replayed, false, false) => "recovery asked the processor",
        (Replay::Replayed, false, true) => "nothing to do: the repeat got the result",
    };
    let ledger = sandbox.ledger();
    let charges = ledger.live_charges(ORDER).len();
    let taken: i64 = ledger
        .charges(ORDER)
        .iter()
        .map(|payment| payment.captured.minor())
        .sum();
    Ok(Some(Death {
        shape,
        died: died.split_once(": ").map_or(died, |(_, place)| place).to_owned(),
        disk,
        resolved: resolved.to_owned(),
        charges,
        sound: paid && charges == 1 && taken == CENTS,
    }))
}

async fn find(payments: &Payments) -> paymux::Result<Option<PaymentIntent>> {
    let query = IntentQuery::new().reference(ORDER);
    Ok(payments
        .intents(query)
        .page(1, None)
        .await?
        .items
        .into_iter()
        .next())
}

fn on_disk(intent: Option<&PaymentIntent>) -> String {
    let Some(intent) = intent else {
        return "nothing".to_owned();
    };
    let handle = intent.attempts().first().and_then(|attempt| attempt.handle());
    match (
        intent.operations().first().map(|operation| operation.status()),
        handle,
    ) {
        (Some(OperationStatus::Prepared), None) => "the intention to call".to_owned(),
        (Some(OperationStatus::Prepared), Some(_)) => "the intention, and the handle".to_owned(),
        (_, _) => format!("the result: {}", intent.status().as_str()),
    }
}

async fn parent() -> Result<ExitCode, Box<dyn Error>> {
    let mut rows = Vec::new();
    for shape in ["one call", "two calls"] {
        for boundary in 1.. {
            let folder = tempfile::tempdir()?;
            match kill_at(folder.path(), shape, boundary).await? {
                Some(row) => rows.push(row),
                None => break,
            }
        }
    }
    println!("One order of 49.99 EUR, and a process that was killed while it paid:\n");
    println!(
        "{:<10} {:<15} {:<30} {:<54} charges",
        "processor", "killed", "on disk", "resolved"
    );
    for row in &rows {
        let Death {
            shape,
            died,
            disk,
            resolved,
            charges,
            sound,
        } = row;
        let verdict = if *sound { "" } else { "  <- broken" };
        println!("{shape:<10} {died:<15} {disk:<30} {resolved:<54} {charges}{verdict}");
    }
    let broken = rows.iter().filter(|row| !row.sound).count();
    println!("\n{} kills, {broken} broken promises.", rows.len());
    Ok(match (broken, rows.len()) {
        (0, kills) if kills >= 16 => ExitCode::SUCCESS,
        (_, _) => ExitCode::FAILURE,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, role, shape, stop_at, folder] if role == "child" => {
            child(Path::new(folder), shape, stop_at.parse()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        _parent => parent().await,
    }
}
