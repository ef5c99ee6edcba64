//! A payment from end to end, on a database in a temporary folder and with a processor that keeps its own books:
//! `cargo run --example quickstart`.
//!
//! One payment is declined by the first account and taken by the second, captured in part and refunded. For the next,
//! this process starts itself a second time and kills that one while its call to the processor is under way. It ends
//! with an error if a promise is broken.

#![allow(
    clippy::disallowed_methods,
    reason = "it waits for another process, in real time"
)]

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use paymux::prelude::*;
use paymux::sandbox::{Call, FaultKind, LedgerView, Sandbox};
use paymux::{AttemptStatus, IntentStatus, PaymentIntent, Policy};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, mode, folder] if mode == PAY_AND_HANG => pay_and_hang(Path::new(folder)).await,
        _ => story().await,
    }
}

async fn story() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let Shop {
        paymux,
        payments,
        processor,
    } = Shop::open(folder.path()).await?;

    heading("order-1042: 49.99 EUR, held first and captured later");
    processor
        .faults()
        .next_at("north", Call::Authorize, FaultKind::Decline);
    let new = NewIntent::payment(money!("49.99 EUR"))
        .capture(CaptureMethod::Manual)
        .reference("order-1042");
    let method = PaymentMethod::card_token("tok_approve");
    let key = IdempotencyKey::new("order-1042")?;
    let PaymentOutcome::Authorized(intent) = payments.create_and_confirm(&key, new, method).await?.outcome
    else {
        return Err("the payment should be authorized".into());
    };
    show_route(&intent);
    show_attempts(&intent);
    let statuses: Vec<_> = intent.attempts().iter().map(|attempt| attempt.status()).collect();
    let failed_over = statuses == [AttemptStatus::Declined, AttemptStatus::Authorized];
    promise(
        "a soft decline lets the next account try, and nobody else",
        failed_over,
    )?;

    heading("order-1042: 30 EUR is captured, the rest goes back to the payer");
    let part = CaptureAmount::Part(money!("30 EUR"), Rest::Release);
    let captured = payments
        .capture(&IdempotencyKey::new("order-1042-capture")?, intent.id(), part)
        .await?;
    let CaptureOutcome::Captured(intent) = captured.outcome else {
        return Err("the capture should be done".into());
    };
    say(&format!(
        "status {}, refundable {}",
        intent.status(),
        intent.refundable()
    ));

    heading("order-1042: 10 EUR is refunded, and 20.01 EUR more is refused");
    let part = NewRefund::part(money!("10 EUR"), RefundReason::GoodsReturned);
    let refunded = payments
        .refund(&IdempotencyKey::new("order-1042-refund")?, intent.id(), part)
        .await?;
    let RefundOutcome::Succeeded(refund) = refunded.outcome else {
        return Err("the refund should be done".into());
    };
    say(&format!("refunded {} at {}", refund.refunded(), refund.account()));
    let too_much = NewRefund::part(money!("20.01 EUR"), RefundReason::GoodsReturned);
    match payments
        .refund(
            &IdempotencyKey::new("order-1042-too-much")?,
            intent.id(),
            too_much,
        )
        .await
    {
        Ok(_) => promise("no refund gives back more than was taken", false)?,
        Err(refused) => {
            say(&format!("{refused}"));
            promise("no refund gives back more than was taken", true)?;
        }
    }
    let first = payments.intent(intent.id()).await?;

    heading("order-1043: the process is killed while the call is under way");
    let killed = kill_in_the_middle(folder.path(), &processor).await?;
    say(&format!(
        "process {killed} is dead; the processor has charged the payer"
    ));
    let intent = payments
        .intents(paymux::IntentQuery::new().reference("order-1043"))
        .page(1, None)
        .await?
        .items
        .pop()
        .ok_or("the payment should be on disk: it was written before it was sent")?;
    say(&format!("our own record says: {}", intent.status()));
    promise(
        "before an answer a payment is never failed",
        intent.status() == IntentStatus::Processing,
    )?;

    heading("order-1043: another process recovers it");
    let recovered = recover(&paymux, &payments, &intent).await?;
    say(&format!(
        "status {}, captured {}",
        recovered.status(),
        total(recovered.totals().captured, &recovered)?
    ));
    promise(
        "the outcome is found out",
        recovered.status() == IntentStatus::Succeeded,
    )?;
    let again = payments
        .create_and_confirm(&IdempotencyKey::new("order-1043")?, order_1043(), card())
        .await?;
    say(&format!(
        "the shop asks again with the same key: {:?}, {}",
        again.replay,
        again.outcome.intent().status()
    ));
    let ledger = processor.ledger();
    let once = again.replay == Replay::Replayed && ledger.live_charges("order-1043").len() == 1;
    promise("the payer is charged once", once)?;

    show_history(&payments, &first).await?;
    show_history(&payments, &recovered).await?;

    heading("The processor's own books");
    for line in ledger.render().lines() {
        say(line);
    }
    for intent in [&first, &recovered] {
        let agree = agrees(&ledger, intent);
        let name = intent.details().merchant_reference.clone().unwrap_or_default();
        promise(&format!("{name}: the processor's books and ours agree"), agree)?;
    }
    Ok(())
}

/// What runs in a server: a store, accounts, and the handle of one tenant.
struct Shop {
    paymux: Orchestrator,
    payments: Payments,
    processor: Sandbox,
}

impl Shop {
    async fn open(folder: &Path) -> Outcome<Self> {
        let store = SqliteStore::open(folder.join("payments.db")).await?;
        let processor = Sandbox::seeded(7).ledger_file(folder.join("processor.jsonl"))?;
        let connectors = ConnectorMap::shared([processor.connector("north"), processor.connector("south")])?;
        // A server keeps the defaults of 30 and 15 seconds; here somebody watches.
        let policy = Policy::new()
            .call_timeout(Duration::from_secs(2))
            .grace(Duration::from_millis(500));
        let paymux = Orchestrator::builder(store, connectors, Runtime::tokio())
            .policy(policy)
            .build()
            .await?;
        let payments = paymux.tenant(Tenant::test("acme")?);
        Ok(Self {
            paymux,
            payments,
            processor,
        })
    }
}

const PAY_AND_HANG: &str = "pay-and-hang";

fn order_1043() -> NewIntent {
    NewIntent::payment(money!("20 EUR")).reference("order-1043")
}

fn card() -> PaymentMethod {
    PaymentMethod::card_token("tok_approve")
}

/// The process that is killed: the processor charges the payer, and its answer never comes.
async fn pay_and_hang(folder: &Path) -> Outcome<()> {
    let shop = Shop::open(folder).await?;
    shop.processor.faults().next(Call::Authorize, FaultKind::Hang);
    let key = IdempotencyKey::new("order-1043")?;
    let _killed_before = shop
        .payments
        .create_and_confirm(&key, order_1043(), card())
        .await?;
    Ok(())
}

/// Starts this program again, waits until its call has reached the processor, and kills it.
async fn kill_in_the_middle(folder: &Path, processor: &Sandbox) -> Outcome<u32> {
    let child = Command::new(std::env::current_exe()?)
        .arg(PAY_AND_HANG)
        .arg(folder)
        .spawn()?;
    let mut child = Ended(child);
    while processor.ledger().charges("order-1043").is_empty() {
        if let Some(status) = child.0.try_wait()? {
            return Err(format!("the other process ended by itself: {status}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.0.kill()?;
    child.0.wait()?;
    Ok(child.0.id())
}

/// A child that doesn't outlive this process, whatever goes wrong.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.0.kill();
    }
}

/// What a worker does in a server: as soon as the dead process's time for its call is over, its operation is taken up.
async fn recover(
    paymux: &Orchestrator,
    payments: &Payments,
    intent: &PaymentIntent,
) -> Outcome<PaymentIntent> {
    for _ in 0..300 {
        paymux.recover_due(10).await?;
        let now = payments.intent(intent.id()).await?;
        if now.status() != IntentStatus::Processing {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("nobody recovered the payment within 15 seconds".into())
}

/// Whether the processor took and gave back what we say it did, and from one payment alone.
fn agrees(ledger: &LedgerView, intent: &PaymentIntent) -> bool {
    let reference = intent.details().merchant_reference.as_deref().unwrap_or_default();
    let totals = intent.totals();
    match ledger.live_charges(reference).as_slice() {
        [payment] => {
            (payment.captured.minor(), payment.refunded.minor()) == (totals.captured, totals.refunded)
                && intent
                    .attempts()
                    .iter()
                    .any(|attempt| attempt.handle() == Some(payment.handle.as_str()))
        }
        _ => false,
    }
}

fn total(minor: i64, intent: &PaymentIntent) -> Outcome<Money> {
    Ok(Money::from_minor(minor, intent.amount().currency()))
}

fn show_route(intent: &PaymentIntent) {
    for (place, planned) in (1..).zip(intent.route()) {
        say(&format!(
            "route {place}: {} ({})",
            planned.account, planned.reason
        ));
    }
    for planned in intent.left_out() {
        say(&format!("left out: {} ({})", planned.account, planned.reason));
    }
}

fn show_attempts(intent: &PaymentIntent) {
    for attempt in intent.attempts() {
        let why = attempt
            .decline()
            .map(|decline| format!(" {} ({:?})", decline.code().as_str(), decline.kind()));
        say(&format!(
            "{}: {:?}{}",
            attempt.account(),
            attempt.status(),
            why.unwrap_or_default()
        ));
    }
}

async fn show_history(payments: &Payments, intent: &PaymentIntent) -> Outcome<()> {
    let name = intent.details().merchant_reference.as_deref().unwrap_or_default();
    heading(&format!("What happened to {name}, {}", intent.id()));
    let mut cursor = None;
    loop {
        let page = payments.history(intent.id()).page(100, cursor).await?;
        for event in page.items {
            say(&format!("{:>2}  {}  {}", event.sequence, event.at, event.kind));
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn say(text: &str) {
    println!("    {text}");
}

/// Prints a promise and whether it is kept; a broken one ends the program.
fn promise(text: &str, kept: bool) -> Outcome<()> {
    match kept {
        true => {
            println!("  ✓ {text}");
            Ok(())
        }
        false => Err(format!("broken promise: {text}").into()),
    }
}
