//! Events, signed and posted (docs.stripe.com/webhooks).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::book::Book;
use crate::render::{self, Expand};
use crate::server::pause;

/// Where events are posted, and what they are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http://127.0.0.1:PORT/…`
    pub url: String,
    /// The signing secret.
    pub secret: String,
}

/// How often an event is posted until somebody takes it, and how long after the first failure: twice as long each
/// time. Stripe goes on for three days.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(20);

/// Something that happened, as it was then.
#[derive(Clone, Debug)]
pub(crate) struct Event(pub(crate) Value);

/// What an event holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Intent,
    /// The latest charge of the payment that is named.
    Charge,
    Refund,
}

impl Book {
    /// Notes an event about the object of that identifier.
    pub(crate) fn happened(&mut self, about: &str, kind: &str, subject: Subject) {
        let id = self.id("evt");
        let intent = || self.intents.get(about);
        let described = match subject {
            Subject::Intent => intent().map(|intent| {
                (
                    render::intent(self, intent, Expand::Nothing),
                    intent.account.clone(),
                )
            }),
            Subject::Charge => intent().and_then(|intent| {
                let charge = self.charges.get(intent.latest_charge.as_deref()?)?;
                Some((render::charge(intent, charge), intent.account.clone()))
            }),
            Subject::Refund => self
                .refunds
                .get(about)
                .map(|refund| (render::refund(refund), refund.account.clone())),
        };
        if let Some((object, account)) = described {
            let mut body = json!({
                "id": id, "object": "event", "type": kind, "livemode": false, "pending_webhooks": 1,
                "data": { "object": object },
            });
            if let Some(connected) = account.connected {
                body["account"] = connected.into();
            }
            self.events.push(Event(body));
        }
    }
}

/// Posts an event until it is taken, or the tries are used up. Each try is signed anew, at `now`.
pub(crate) async fn deliver(endpoint: Endpoint, event: Event, now: impl Fn() -> i64) {
    let mut body = event.0;
    body["created"] = now().into();
    let body = body.to_string();
    for tried in 0..TRIES {
        if post(&endpoint, &body, now()).await == Some(true) {
            return;
        }
        pause(PAUSE * 2_u32.pow(tried)).await;
    }
}

/// `t=SECONDS,v1=HEX` over `SECONDS.BODY` (docs.stripe.com/webhooks#verify-manually).
fn signature(secret: &str, at: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(format!("{at}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(format!("t={at},v1={hex}"))
}

/// Whether it was taken: any 2xx.
async fn post(endpoint: &Endpoint, body: &str, at: i64) -> Option<bool> {
    let (host, path) = endpoint.url.strip_prefix("http://")?.split_once('/')?;
    let mut stream = TcpStream::connect(host).await.ok()?;
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\n\
         content-length: {}\r\nstripe-signature: {}\r\n\r\n",
        body.len(),
        signature(&endpoint.secret, at, body)?
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let status = answer.split(|byte| *byte == b' ').nth(1)?;
    Some(status.first() == Some(&b'2'))
}
