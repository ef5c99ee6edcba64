//! A process that is killed again and again, at moments that nobody chose: SQLite keeps our side, a file the
//! processor's.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use paymux::prelude::*;
use paymux::sandbox::{Sandbox, Shape};
use paymux::{ErrorKind, IntentQuery, IntentStatus, Policy, Queue, UnknownQuery};

const CHILD: &str = "PAYMUX_KILLS_CHILD";
const KILLS: &str = "PAYMUX_KILLS";

/// What becomes of an order follows from its number.
fn token(order: u64) -> &'static str {
    match order % 5 {
        0 => "tok_decline_stolen_card",
        1 => "tok_charged_answer_lost",
        _approved => "tok_approve",
    }
}

fn key(verb: &str, order: u64) -> IdempotencyKey {
    IdempotencyKey::new(format!("{verb}-{order}")).unwrap()
}

fn reference(order: u64) -> String {
    format!("order-{order}")
}

fn sandbox(folder: &Path) -> Sandbox {
    Sandbox::seeded(7)
        .shape(Shape::handle_first())
        .ledger_file(folder.join("ledger"))
        .unwrap()
}

async fn open(folder: &Path, sandbox: &Sandbox) -> Orchestrator {
    let store = SqliteStore::open(folder.join("payments.db")).await.unwrap();
    let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    let policy = Policy::new()
        .call_timeout(Duration::from_millis(300))
        .grace(Duration::from_millis(100))
        .recheck(Duration::from_millis(50))
        .idle(Duration::from_millis(20));
    Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn())
        .policy(policy)
        .build()
        .await
        .unwrap()
}

async fn pause(millis: u64) {
    let runtime = Runtime::tokio_without_spawn();
    runtime.clock().sleep(Duration::from_millis(millis)).await;
}

/// Whether a verb has got as far as it can: what is under way is asked for again.
fn settled<O>(reply: paymux::Result<Reply<O>>, unknown: impl Fn(&O) -> bool) -> Option<O> {
    match reply {
        Ok(reply) if unknown(&reply.outcome) => None,
        Ok(reply) => Some(reply.outcome),
        Err(error) => match error.kind() {
            ErrorKind::OperationInProgress { .. } | ErrorKind::Stale => None,
            other => panic!("{other:?}: {error}"),
        },
    }
}

/// One order from its payment to its refund. Every step has a key of its own that never changes.
async fn serve(payments: &Payments, order: u64) {
    let paid = loop {
        let new = NewIntent::payment(money!("20 EUR"))
            .capture(CaptureMethod::Manual)
            .reference(reference(order));
        let method = PaymentMethod::card_token(token(order));
        let reply = Box::pin(payments.create_and_confirm(&key("pay", order), new, method)).await;
        let unknown = |outcome: &PaymentOutcome| matches!(outcome, PaymentOutcome::Unknown { .. });
        match settled(reply, unknown) {
            Some(outcome) => break outcome,
            None => pause(20).await,
        }
    };
    let PaymentOutcome::Authorized(intent) = paid else {
        assert!(matches!(paid, PaymentOutcome::Declined { .. }), "{paid:?}");
        return;
    };
    loop {
        let part = CaptureAmount::Part(money!("15 EUR"), Rest::Release);
        let reply = Box::pin(payments.capture(&key("capture", order), intent.id(), part)).await;
        let unknown = |outcome: &CaptureOutcome| matches!(outcome, CaptureOutcome::Unknown { .. });
        if settled(reply, unknown).is_some() {
            break;
        }
        pause(20).await;
    }
    loop {
        let part = NewRefund::part(money!("4 EUR"), RefundReason::GoodsReturned);
        let reply = Box::pin(payments.refund(&key("refund", order), intent.id(), part)).await;
        let unknown = |outcome: &RefundOutcome| matches!(outcome, RefundOutcome::Unknown { .. });
        if settled(reply, unknown).is_some() {
            break;
        }
        pause(20).await;
    }
}

/// The child: serves orders from the last one that was begun, until it is killed.
async fn child(folder: PathBuf) {
    let engine = open(&folder, &sandbox(&folder)).await;
    let payments = engine.tenant(Tenant::test("acme").unwrap());
    let workers = engine.run_workers(std::future::pending::<()>());
    let orders = async {
        for order in begun(&folder).. {
            let mut progress = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(folder.join("begun"))
                .unwrap();
            progress.write_all(b".").unwrap();
            println!("begun {order}");
            serve(&payments, order).await;
        }
    };
    tokio::select! {
        drained = Box::pin(workers) => panic!("the workers stopped: {drained:?}"),
        () = Box::pin(orders) => {}
    }
}

/// How many orders may have been begun, less those that the last child may not have finished.
fn begun(folder: &Path) -> u64 {
    let dots = std::fs::metadata(folder.join("begun")).map_or(0, |file| file.len());
    // A child begins with an order that may be finished: each life adds at least one dot, and orders never run out.
    dots.saturating_sub(1)
}

#[tokio::test]
async fn two_hundred_kills_lose_nothing_and_charge_nobody_twice() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return Box::pin(child(PathBuf::from(folder))).await;
    }
    let kills: u32 = std::env::var(KILLS).map_or(200, |text| text.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let mut random = 0x5eed_u64;
    for _ in 0..kills {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("kills::two_hundred_kills_lose_nothing_and_charge_nobody_twice")
            .env(CHILD, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let served = lines.any(|line| line.is_ok_and(|line| line.starts_with("begun")));
        assert!(served, "the child ended by itself: {:?}", child.wait());
        pause(random >> 33 & 0x3f).await;
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "it ended before it was killed: {status}");
    }

    let sandbox = sandbox(folder);
    let engine = open(folder, &sandbox).await;
    let payments = engine.tenant(Tenant::test("acme").unwrap());
    let orders = std::fs::metadata(folder.join("begun")).unwrap().len();
    for order in 0..orders {
        let served = async {
            loop {
                engine.recover_due(100).await.unwrap();
                pause(20).await;
            }
        };
        tokio::select! {
            () = Box::pin(serve(&payments, order)) => {}
            () = Box::pin(served) => {}
        }
    }
    for _ in 0..200 {
        if engine.backlog(Queue::Recovery).await.unwrap().scheduled == 0 {
            break;
        }
        engine.recover_due(100).await.unwrap();
        pause(20).await;
    }
    assert_eq!(engine.backlog(Queue::Recovery).await.unwrap().scheduled, 0);
    let operator = payments.operator(Actor::person("auditor"));
    let unknown = operator
        .unknowns(UnknownQuery::new())
        .page(10, None)
        .await
        .unwrap();
    assert!(unknown.items.is_empty(), "{:?}", unknown.items);

    let ledger = sandbox.ledger();
    let (mut captured, mut refunded) = (0, 0);
    for order in 0..orders {
        let name = reference(order);
        let query = IntentQuery::new().reference(&name);
        let intents = payments.intents(query).page(10, None).await.unwrap().items;
        assert_eq!(intents.len(), 1, "{name}");
        let declined = token(order).starts_with("tok_decline");
        let live = ledger.live_charges(&name).len();
        assert_eq!(live, usize::from(!declined), "{name}\n{}", ledger.render());
        let expected = if declined {
            IntentStatus::Created
        } else {
            IntentStatus::Succeeded
        };
        assert_eq!(intents[0].status(), expected, "{name}");
        let totals = intents[0].totals();
        let theirs = ledger.charges(&name);
        let sum = |part: fn(&paymux::sandbox::Payment) -> Money| -> i64 {
            theirs.iter().map(|payment| part(payment).minor()).sum()
        };
        assert_eq!(totals.captured, sum(|payment| payment.captured), "{name}");
        assert_eq!(totals.refunded, sum(|payment| payment.refunded), "{name}");
        captured += totals.captured;
        refunded += totals.refunded;
    }
    let books = ledger.totals(money!("1 EUR").currency()).unwrap();
    assert_eq!(
        (books.captured.minor(), books.refunded.minor()),
        (captured, refunded)
    );
    assert_eq!(books.held.minor(), 0);
    println!("{kills} kills, {orders} orders, {captured} captured and {refunded} refunded in cents");
}
