//! A connector against a server on this machine, driven by hand: as the engine does it, one step at a time.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paymux_core::connector::prelude::*;
use paymux_core::connector::{Outcome, outcome_of};
use paymux_core::{Mode, OperationId, RefundReason};
use paymux_http::HttpTransport;
use paymux_stripe::Stripe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::{Asked, key};

/// An account at a server.
pub(crate) struct Account {
    pub(crate) connector: Connector,
    transport: Arc<dyn Transport>,
    base: String,
    secret: String,
}

impl Account {
    pub(crate) fn new(base: &str, secret: &str) -> Self {
        Self::of(Stripe::new(secret, "main"), base, secret)
    }

    pub(crate) fn of(stripe: Stripe, base: &str, secret: &str) -> Self {
        let transport: Arc<dyn Transport> = Arc::new(HttpTransport::builder().build().expect("a transport"));
        Self {
            connector: stripe.base_url(base).connector(transport.clone()),
            transport,
            base: base.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// One send of one step. The same number is the same operation, and its key the same.
    pub(crate) async fn ask<O: Asked>(&self, number: u8, op: &O) -> Outcome<O::Report> {
        let exchange = O::exchange(&self.connector);
        let request = exchange.request(op, &key(number, O::STEP)).expect("can be asked");
        match self.transport.send(request).await {
            Ok(answer) => outcome_of(exchange, op, &answer, Echoes::Nothing),
            Err(TransportError::NotSent(why)) => panic!("the server is gone: {why}"),
            Err(TransportError::Unknown(why)) => unknown(why),
        }
    }

    pub(crate) async fn answered<O: Asked>(&self, number: u8, op: &O) -> O::Report {
        match self.ask(number, op).await {
            Outcome::Answered(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a payment, and gives its handle.
    pub(crate) async fn prepare(&self, number: u8, authorize: &op::Authorize) -> Handle {
        match self.answered(number, &op::Prepare::new(authorize.clone())).await {
            PrepareReport::Prepared(handle, _) => handle,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a payment and confirms it.
    pub(crate) async fn authorize(&self, number: u8, authorize: &op::Authorize) -> (Handle, AuthorizeReport) {
        let handle = self.prepare(number, authorize).await;
        let report = self
            .answered(number, &op::Execute::new(authorize.clone(), handle.clone()))
            .await;
        (handle, report)
    }

    pub(crate) async fn standing(&self, handle: &Handle, authorize: &op::Authorize) -> Standing {
        let read = op::Read::new(handle.clone(), authorize.amount, authorize.reference.clone());
        match self.answered(0, &read).await {
            ReadReport::Found(standing) => standing,
            other => panic!("{other:?}"),
        }
    }

    /// A request that isn't the connector's: what a test sets up, or a payer's browser does.
    pub(crate) async fn raw(&self, path: &str, form: &str) -> Response {
        let request = Request::post(format!("{}{path}", self.base))
            .bearer(&Secret::from(self.secret.as_str()))
            .body("application/x-www-form-urlencoded", form.to_owned());
        self.transport.send(request).await.expect("answers")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request =
            Request::get(format!("{}{path}", self.base)).bearer(&Secret::from(self.secret.as_str()));
        self.transport.send(request).await.expect("answers")
    }
}

fn unknown<R>(why: &'static str) -> Outcome<R> {
    Outcome::Unknown(paymux_core::connector::Doubt {
        stage: paymux_core::connector::Stage::Sent,
        why: why.into(),
        contradicts: paymux_core::connector::Contradiction::None,
    })
}

/// An operation's number, new in this process.
pub(crate) fn number() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[allow(clippy::disallowed_methods, reason = "servers sign with the time as it is")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap())
}

/// 10.00 EUR, by this method.
pub(crate) fn ten_euro(number: u8, method: &str, capture: CaptureMethod) -> op::Authorize {
    let reference = OperationId::from_reference(Mode::Test, &crate::fixture::reference(number)).unwrap();
    let amount = Money::from_minor(1000, Currency::EUR);
    op::Authorize::new(
        reference.reference(),
        amount,
        PaymentMethod::card_token(method),
        capture,
    )
}

/// Of a payment, this much.
pub(crate) fn refund_of(number: u8, handle: &Handle, minor: i64) -> op::Refund {
    let amount = Money::from_minor(minor, Currency::EUR);
    op::Refund::new(
        crate::fixture::reference(number),
        handle.clone(),
        amount,
        RefundReason::Dispute,
    )
}

/// Takes webhooks on this machine.
pub(crate) struct Mailbox {
    listener: TcpListener,
    pub(crate) url: String,
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next webhook, answered with `status`.
    pub(crate) async fn next(&self, status: u16) -> Inbound {
        let taken = tokio::time::timeout(Duration::from_secs(30), self.take(status)).await;
        taken.expect("a webhook comes")
    }

    async fn take(&self, status: u16) -> Inbound {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") {
                break end;
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole head");
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut headers = http::HeaderMap::new();
        for line in head.split("\r\n").skip(1) {
            let (name, value) = line.split_once(':').unwrap();
            headers.insert(
                http::HeaderName::try_from(name).unwrap(),
                value.trim().parse().unwrap(),
            );
        }
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        while bytes.len() < end + 4 + length {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole body");
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        Inbound {
            headers,
            body: bytes[end + 4..].to_vec().into(),
        }
    }
}
