//! The whole engine at Stripe's API over HTTP: against localstripe, which others wrote, and against the stand-in,
//! which fails on demand.

#![allow(
    clippy::disallowed_methods,
    reason = "it waits for other processes, in real time"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test panics where an expectation fails"
)]

mod connected;
mod declined;
mod example;
mod faults;
mod localstripe;
mod mailbox;

use std::sync::Arc;
use std::time::Duration;

use paymux::connector::{Request, Response, Transport};
use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::{Policy, Secret};

fn http(timeout: Duration) -> Arc<HttpTransport> {
    let transport = HttpTransport::builder()
        .connect_timeout(timeout / 2)
        .total_timeout(timeout)
        .build();
    Arc::new(transport.unwrap())
}

/// A form that isn't the connector's: what a test sets up, or what a payer's browser does.
async fn post(base: &str, secret: &str, path: &str, form: String) -> Response {
    let request = Request::post(format!("{base}{path}"))
        .bearer(&Secret::from(secret))
        .body("application/x-www-form-urlencoded", form);
    http(Duration::from_secs(10)).send(request).await.unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn ten_euro(capture: CaptureMethod) -> NewIntent {
    NewIntent::payment(money!("10 EUR"))
        .capture(capture)
        .reference("order-1042")
}

/// Time-outs that don't outlast a test.
fn policy() -> Policy {
    Policy::new()
        .call_timeout(Duration::from_secs(10))
        .grace(Duration::from_secs(1))
}
