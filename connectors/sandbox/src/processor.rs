//! The processor: takes requests as an HTTP server would, keeps idempotency keys, and changes its books.

pub(crate) use payments::Verdict;

mod authorizations;
mod captures;
mod payments;
mod refunds;
mod time;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use paymux_core::connector::{Key, ReplaysErrors, Request, Response};
use paymux_core::{Clock, ConnectorId, MoneyError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::books::{Draft, InWork, KeyEntry, KeyUse, Ledger};
use crate::fault::{Call, Down, FaultKind, Faults};
use crate::ledger::{Fate, Sent};
use crate::magic::Magic;
use crate::shape::Shape;
use crate::wire::{Confirm, ConfirmPayment, NewPayment, from_json, to_json, unescape};

/// The header that holds an idempotency key.
pub(crate) const KEY_HEADER: &str = "idempotency-key";

/// The processor, with everything that its accounts share.
#[derive(Clone, Debug)]
pub(crate) struct Processor {
    pub(crate) seed: u64,
    pub(crate) connector: ConnectorId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) shapes: Arc<Mutex<HashMap<String, Arc<Shape>>>>,
    pub(crate) faults: Faults,
}

/// A request as it arrived.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) account: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) hash: String,
    pub(crate) body: Box<RawValue>,
}

/// What the processor answers.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    status: u16,
    body: Box<RawValue>,
    /// Whether the body comes whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut_at: Option<usize>,
}

/// Shows no body: it may hold what was sent for one call.
impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Shows no body: it may hold a client secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What becomes of a request on its way there and back.
pub(crate) enum Delivery {
    Answered(Answer),
    Lost(&'static str),
    NotSent(&'static str),
    Hanging,
    Later { id: String, wait: Duration },
}

/// A request that the processor executes nothing of.
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str);

pub(crate) type Served = Result<Answer, Refusal>;

/// An amount that no sum can hold is no amount to pay.
impl From<MoneyError> for Refusal {
    fn from(_: MoneyError) -> Self {
        Refusal(422, "amount")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ServerError {
    None,
    Before,
    After,
}

impl Processor {
    /// Takes a request from an account's transport.
    pub(crate) fn receive(&self, request: &Request) -> Delivery {
        let arrival = Arrival::of(request);
        let call = arrival.call();
        let scripted = match (self.faults.down(), call) {
            (Down::Yes, _) => Some(FaultKind::NotSent),
            (Down::No, Some(call)) => self.faults.take(&arrival.account, call),
            (Down::No, None) => None,
        };
        let key = (request.headers().get(http::header::AUTHORIZATION)).is_some_and(|value| {
            value.as_bytes() == format!("Bearer {}", secret_key(&arrival.account)).as_bytes()
        });
        let taken = self.change(|draft| {
            let earlier = draft.books.sends_of(&arrival.hash);
            let fault = scripted.or_else(|| arrival.magic()?.fault(earlier));
            let fault = if key { fault } else { Some(FaultKind::Refuse(401)) };
            let (delivery, fate) = self.carry(draft, &arrival, fault);
            draft.put_send(Sent {
                account: arrival.account.clone(),
                method: arrival.method.clone(),
                path: arrival.path.clone(),
                key: arrival.key.clone(),
                hash: arrival.hash.clone(),
                at: self.clock.now(),
                fate,
            });
            delivery
        });
        taken.unwrap_or(Delivery::Lost("the ledger's file failed"))
    }

    /// The answer to a request that took its time.
    pub(crate) fn finish(&self, id: &str) -> Delivery {
        let finished = self.change(|draft| {
            self.finish_work(draft, id);
            draft.books.in_work(id).and_then(|work| work.answer.clone())
        });
        match finished {
            Ok(Some(answer)) => Delivery::Answered(answer),
            Ok(None) | Err(_) => Delivery::Lost("the ledger's file failed"),
        }
    }

    /// Makes one change, after what time changed in between.
    pub(crate) fn change<R>(&self, make: impl FnOnce(&mut Draft<'_>) -> R) -> io::Result<R> {
        self.ledger.change(|draft| {
            self.pass_time(draft);
            make(draft)
        })
    }

    /// A new identifier: it follows from the seed and how many there were before.
    pub(crate) fn id(&self, draft: &mut Draft<'_>, prefix: &str) -> String {
        format!("{prefix}_{}", base32(mix(self.seed, draft.next_id())))
    }

    pub(crate) fn shape(&self, account: &str) -> Arc<Shape> {
        let shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.get(account).cloned().unwrap_or_default()
    }

    fn carry(&self, draft: &mut Draft<'_>, arrival: &Arrival, fault: Option<FaultKind>) -> (Delivery, Fate) {
        let Some(fault) = fault else {
            return answered(self.serve(draft, arrival, ServerError::None));
        };
        match fault {
            FaultKind::NotSent => (Delivery::NotSent("the processor can't be reached"), Fate::NotSent),
            FaultKind::DropRequest => (Delivery::Lost("connection reset"), Fate::Lost),
            FaultKind::Refuse(status) => answered(Refusal(status, "refused").answer()),
            FaultKind::Decline => {
                let declined = arrival.by_card(Magic::DeclineInsufficientFunds);
                answered(self.serve(draft, &declined, ServerError::None))
            }
            FaultKind::ServerErrorBefore => answered(self.serve(draft, arrival, ServerError::Before)),
            FaultKind::ServerErrorAfter => answered(self.serve(draft, arrival, ServerError::After)),
            FaultKind::Duplicate => {
                self.serve(draft, arrival, ServerError::None);
                answered(self.serve(draft, arrival, ServerError::None))
            }
            FaultKind::DropAnswer => {
                let (_, fate) = answered(self.serve(draft, arrival, ServerError::None));
                (Delivery::Lost("connection closed before the answer"), fate)
            }
            FaultKind::Hang => {
                let (_, fate) = answered(self.serve(draft, arrival, ServerError::None));
                (Delivery::Hanging, fate)
            }
            FaultKind::Truncate => answered(self.serve(draft, arrival, ServerError::None).cut()),
            FaultKind::AlterAmount => answered(self.serve(draft, arrival, ServerError::None).altered()),
            FaultKind::Slow(wait) => self.hold(draft, arrival, wait),
        }
    }

    /// Keeps a request in work for a while, with its key in use.
    fn hold(&self, draft: &mut Draft<'_>, arrival: &Arrival, wait: Duration) -> (Delivery, Fate) {
        if let Some(known) = self.known(draft, arrival) {
            return answered(known);
        }
        let id = self.id(draft, "work");
        let due = self.clock.now().after(wait);
        draft.put_in_work(InWork {
            id: id.clone(),
            due,
            arrival: arrival.clone(),
            answer: None,
        });
        self.keep_key(draft, arrival, KeyUse::InUse);
        (Delivery::Later { id, wait }, Fate::Held)
    }

    pub(crate) fn finish_work(&self, draft: &mut Draft<'_>, id: &str) {
        let Some(work) = draft
            .books
            .in_work(id)
            .filter(|work| work.answer.is_none())
            .cloned()
        else {
            return;
        };
        let answer = self.execute(draft, &work.arrival, ServerError::None);
        draft.put_in_work(InWork {
            answer: Some(answer),
            ..work
        });
    }

    fn serve(&self, draft: &mut Draft<'_>, arrival: &Arrival, error: ServerError) -> Answer {
        match self.known(draft, arrival) {
            Some(answer) => answer,
            None => self.execute(draft, arrival, error),
        }
    }

    /// The answer to a request whose key is known.
    fn known(&self, draft: &Draft<'_>, arrival: &Arrival) -> Option<Answer> {
        let Key::Header { window, .. } = self.shape(&arrival.account).key else {
            return None;
        };
        let entry = draft.books.key(&arrival.account, arrival.key.as_deref()?)?;
        if self.clock.now().since(entry.since) >= window {
            return None;
        }
        match &entry.usage {
            KeyUse::Free => None,
            KeyUse::InUse | KeyUse::Answered(_) if entry.hash != arrival.hash => {
                Some(Refusal(409, "key_reused").answer())
            }
            KeyUse::InUse => Some(Refusal(409, "key_in_use").answer()),
            KeyUse::Answered(answer) => Some(answer.clone()),
        }
    }

    fn execute(&self, draft: &mut Draft<'_>, arrival: &Arrival, error: ServerError) -> Answer {
        let failure = || Answer::of(500, &json!({ "error": "internal" }));
        let answer = match error {
            ServerError::Before => failure(),
            ServerError::None | ServerError::After => self
                .route(draft, arrival)
                .unwrap_or_else(|refusal| refusal.answer()),
        };
        let shown = match error {
            ServerError::None | ServerError::Before => answer.clone(),
            ServerError::After => failure(),
        };
        let replays_errors = match self.shape(&arrival.account).key {
            Key::Header { replays_errors, .. } => replays_errors,
            Key::None => return shown,
        };
        // A processor that replays errors keeps what it showed; another keeps what it did.
        let usage = match (replays_errors, shown.status) {
            (ReplaysErrors::Yes, 200..300 | 402 | 500..) => KeyUse::Answered(shown.clone()),
            (ReplaysErrors::Never, _) if matches!(answer.status, 200..300 | 402) => KeyUse::Answered(answer),
            (ReplaysErrors::Yes | ReplaysErrors::Never, _) => KeyUse::Free,
        };
        self.keep_key(draft, arrival, usage);
        shown
    }

    fn keep_key(&self, draft: &mut Draft<'_>, arrival: &Arrival, usage: KeyUse) {
        if let (Key::Header { .. }, Some(key)) = (self.shape(&arrival.account).key, &arrival.key) {
            let since = self.clock.now();
            let (account, key, hash) = (arrival.account.clone(), key.clone(), arrival.hash.clone());
            draft.put_key(KeyEntry {
                account,
                key,
                hash,
                since,
                usage,
            });
        }
    }

    fn route(&self, draft: &mut Draft<'_>, arrival: &Arrival) -> Served {
        let (path, query) = arrival.target();
        match (arrival.method.as_str(), path.as_slice()) {
            ("POST", ["payments"]) => self.create(draft, &arrival.account, arrival.read()?),
            ("GET", ["payments"]) => self.find_payments(draft, &arrival.account, &query),
            ("GET", ["payments", id]) => self.show_payment(draft, &arrival.account, id),
            ("POST", ["payments", id, "confirm"]) => {
                self.confirm(draft, &arrival.account, id, arrival.read()?)
            }
            ("POST", ["payments", id, "complete"]) => {
                self.complete(draft, &arrival.account, id, arrival.read()?)
            }
            ("POST", ["payments", id, "captures"]) => {
                self.capture(draft, &arrival.account, id, arrival.read()?)
            }
            ("POST", ["payments", id, "increments"]) => {
                self.increment(draft, &arrival.account, id, arrival.read()?)
            }
            ("POST", ["payments", id, "void"]) => self.void(draft, &arrival.account, id, arrival.read()?),
            ("POST", ["payments", id, "cancel"]) => self.cancel(draft, &arrival.account, id, arrival.read()?),
            ("POST", ["refunds"]) => self.refund(draft, &arrival.account, arrival.read()?),
            ("GET", ["refunds"]) => self.find_refunds(draft, &arrival.account, &query),
            ("GET", ["refunds", id]) => self.show_refund(draft, &arrival.account, id),
            _ => Err(Refusal(404, "path")),
        }
    }
}

impl Arrival {
    fn of(request: &Request) -> Self {
        let url = request.url().strip_prefix("sandbox://").unwrap_or_default();
        let (account, path) = url.split_once('/').unwrap_or((url, ""));
        let key = request
            .headers()
            .get(KEY_HEADER)
            .and_then(|key| key.to_str().ok());
        Self {
            account: unescape(account).unwrap_or_default(),
            method: request.method().to_string(),
            path: format!("/{path}"),
            key: key.map(str::to_owned),
            hash: request
                .wire_hash()
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .filter_map(|digit| char::from_digit(u32::from(digit), 16))
                .collect(),
            // On one line, whatever the sender's looks like: the file that may keep it has a line for each change.
            body: to_json(&serde_json::from_slice::<Value>(request.bytes()).unwrap_or_default()),
        }
    }

    /// The path's segments and the query's pairs.
    fn target(&self) -> (Vec<&str>, HashMap<&str, String>) {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.filter_map(|(name, value)| Some((name, unescape(value)?)));
        (path.split('/').skip(1).collect(), pairs.collect())
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        from_json(&self.body).map_err(|_| Refusal(400, "body"))
    }

    fn call(&self) -> Option<Call> {
        let (path, _) = self.target();
        match (self.method.as_str(), path.as_slice()) {
            ("POST", ["payments"]) => match self.read::<NewPayment>().ok()?.confirm {
                Confirm::Now => Some(Call::Authorize),
                Confirm::Later => Some(Call::Prepare),
            },
            ("GET", ["payments"]) => Some(Call::LookUp),
            ("GET", ["payments", _]) => Some(Call::Read),
            ("POST", ["payments", _, "confirm"]) => Some(Call::Execute),
            ("POST", ["payments", _, "complete"]) => Some(Call::Complete),
            ("POST", ["payments", _, "captures"]) => Some(Call::Capture),
            ("POST", ["payments", _, "increments"]) => Some(Call::Increment),
            ("POST", ["payments", _, "void"]) => Some(Call::Void),
            ("POST", ["payments", _, "cancel"]) => Some(Call::Cancel),
            ("POST", ["refunds"]) => Some(Call::Refund),
            ("GET", ["refunds"]) => Some(Call::LookUpRefund),
            ("GET", ["refunds", _]) => Some(Call::ReadRefund),
            _ => None,
        }
    }

    /// The same request, paid by this card if it pays at all.
    fn by_card(&self, magic: Magic) -> Self {
        let mut body: Value = self.read().unwrap_or_default();
        if let Some(method) = body.get_mut("method").filter(|method| !method.is_null()) {
            *method = json!({ "card": { "token": magic.token() } });
        }
        Self {
            body: to_json(&body),
            ..self.clone()
        }
    }

    /// The magic of a request that executes a payment.
    fn magic(&self) -> Option<Magic> {
        let method = match self.call()? {
            Call::Authorize => self.read::<NewPayment>().ok()?.method?,
            Call::Execute => self.read::<ConfirmPayment>().ok()?.method,
            _ => return None,
        };
        Magic::of(method.named()?)
    }
}

impl Answer {
    pub(crate) fn of(status: u16, body: &impl Serialize) -> Self {
        Self {
            status,
            body: to_json(body),
            cut_at: None,
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let mut body = Box::<str>::from(self.body).into_string().into_bytes();
        body.truncate(self.cut_at.unwrap_or(body.len()));
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Response::from_parts(status, headers, body.into())
    }

    fn cut(mut self) -> Self {
        self.cut_at = Some(self.body.get().len() / 2);
        self
    }

    /// Of a list, each object.
    fn altered(mut self) -> Self {
        let mut body: Value = from_json(&self.body).unwrap_or_default();
        let objects = match body.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => items.iter_mut().collect(),
            None => vec![&mut body],
        };
        for object in objects {
            for name in ["amount", "total"] {
                if let Some(minor) = object.get_mut(name).and_then(|amount| amount.get_mut("minor")) {
                    *minor = minor.as_i64().unwrap_or_default().saturating_add(1).into();
                }
            }
        }
        self.body = to_json(&body);
        self
    }
}

impl Refusal {
    pub(crate) fn answer(self) -> Answer {
        Answer::of(self.0, &json!({ "error": self.1 }))
    }
}

fn answered(answer: Answer) -> (Delivery, Fate) {
    let fate = Fate::Answered(answer.status);
    (Delivery::Answered(answer), fate)
}

/// The key that authenticates an account.
pub(crate) fn secret_key(account: &str) -> String {
    format!("sk_sandbox_{account}")
}

/// SplitMix64 (Steele, Lea, Flood 2014): another number for each `step` of a seed.
pub(crate) fn mix(seed: u64, step: u64) -> u64 {
    let state = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes a number as 13 characters.
pub(crate) fn base32(number: u64) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    (0..13)
        .rev()
        .map(|place| char::from(ALPHABET[(number >> (5 * place)) as usize & 31]))
        .collect()
}
