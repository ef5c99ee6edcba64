//! A payment at Stripe, or at a server that answers as Stripe does: held, captured in part, refunded.
//!
//! ```sh
//! STRIPE_SECRET_KEY=sk_test_… cargo run --example stripe                # Stripe's own test mode
//! eval "$(tests/services/localstripe.sh start)"; cargo run --example stripe
//! cargo run -p paymux-standin-stripe                                    # prints the two variables to set
//! ```

use std::env::VarError;
use std::error::Error;
use std::sync::Arc;

use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::stripe::Stripe;

const MISSING_KEY: &str = "STRIPE_SECRET_KEY isn't set. Take a test key (sk_test_…) from Stripe's dashboard, or start \
                           a counterpart on this machine: eval \"$(tests/services/localstripe.sh start)\"";

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let secret = match std::env::var("STRIPE_SECRET_KEY") {
        Ok(secret) if secret.starts_with("sk_test_") || secret.starts_with("rk_test_") => secret,
        Ok(_) => return Err("STRIPE_SECRET_KEY isn't a test key: this example moves money".into()),
        Err(VarError::NotPresent) => return Err(MISSING_KEY.into()),
        Err(unreadable @ VarError::NotUnicode(_)) => return Err(unreadable.into()),
    };
    let mut stripe = Stripe::new(secret, "main");
    if let Ok(base) = std::env::var("STRIPE_API_BASE") {
        println!("at {base}");
        stripe = stripe.base_url(base);
    }
    let connector = stripe.connector(Arc::new(HttpTransport::builder().build()?));
    let connectors = ConnectorMap::shared([connector])?;
    let paymux = Orchestrator::builder(MemoryStore::new(), connectors, Runtime::tokio())
        .build()
        .await?;
    let payments = paymux.tenant(Tenant::test("acme")?);

    // An order's number makes a good key; nothing but this program knows these orders.
    let new = NewIntent::payment(money!("49.99 EUR"))
        .capture(CaptureMethod::Manual)
        .reference("order-1042");
    let method = PaymentMethod::card_token("pm_card_visa");
    let held = payments
        .create_and_confirm(&payments.one_off_key(), new, method)
        .await?;
    let PaymentOutcome::Authorized(intent) = held.outcome else {
        return Err(format!("not held: {:?}", held.outcome).into());
    };
    println!("held      {} as {}", intent.amount(), intent.id());
    for attempt in intent.attempts() {
        println!(
            "          at {} as {}",
            attempt.account(),
            attempt.handle().unwrap_or("?")
        );
    }

    let part = CaptureAmount::Part(money!("30 EUR"), Rest::Release);
    let captured = payments
        .capture(&payments.one_off_key(), intent.id(), part)
        .await?;
    let CaptureOutcome::Captured(intent) = captured.outcome else {
        return Err(format!("not captured: {:?}", captured.outcome).into());
    };
    println!("captured  {}, and the rest is released", intent.refundable());

    // The only reasons that Stripe knows are three others; localstripe knows none at all.
    let part = NewRefund::part(money!("10 EUR"), RefundReason::Dispute);
    let refunded = payments
        .refund(&payments.one_off_key(), intent.id(), part)
        .await?;
    let RefundOutcome::Succeeded(refund) = refunded.outcome else {
        return Err(format!("not refunded: {:?}", refunded.outcome).into());
    };
    println!("refunded  {}", refund.refunded());

    // Not asked of the counterpart again: localstripe doesn't say how much of a payment was captured.
    let intent = payments.intent(intent.id()).await?;
    let totals = intent.totals();
    println!(
        "{}: status {}, {} may still be refunded",
        intent.id(),
        intent.status(),
        intent.refundable()
    );
    match (totals.captured, totals.refunded) {
        (3_000, 1_000) => Ok(()),
        other => Err(format!("captured and refunded should be 3000 and 1000: {other:?}").into()),
    }
}
