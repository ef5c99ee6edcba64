//! A connector that offers everything, right by default, and wrong in one way at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by it"
)]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use paymux_core::connector::op::*;
use paymux_core::connector::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    // What is sent.
    FreshKeyEachTime,
    NoKey,
    KeyInBody,
    KeyInUrl,
    SendsASecondKey,
    FreshBodyEachTime,
    OtherBodyOnOtherInstances,
    CallsItselfPreparatory,
    KeyKnownForNoTime,
    HoldsCryptogramUnmarked,
    RefusesWithWhatCannotBeKept,
    MarksEverything,
    WholeUnitsOnly,
    AlwaysTwoDecimals,
    NoCurrency,
    CapturesTheSamePayment,
    LooksForAnyRefund,
    /// No fault: the other right way.
    LooksRefundsUpByReference,
    NoReference,
    IgnoresMethod,
    IgnoresCaptureMethod,
    EndsWithTheFirstCapture,
    OverflowsOnLargeAmounts,
    SendsByItself,
    // What is read.
    ServerErrorIsDecline,
    ServerErrorIsProof,
    EveryStatusIsAnAnswer,
    EchoesWhatWasAsked,
    PromisesNothingAndEchoesWhatWasAsked,
    EchoesNothing,
    ReadsAlwaysTwoDecimals,
    PanicsOnGarbage,
    CutIsSuccess,
    CutIsNothing,
    DeclineIsDoubt,
    DeclineIsUnmapped,
    RefusalIsDoubt,
    AnyBodyRefuses,
    NothingIsDoubt,
    SuccessWithoutAHandle,
    OtherAnswerOnOtherInstances,
    RepeatsTheBody,
    // Webhooks.
    TakesUnsigned,
    TakesAnySecret,
    TakesOldBodies,
    TakesOldWebhooks,
    KnowsOneSecret,
    NamesAnotherAccount,
    TakesAnyAccounts,
    TakesHalfASignature,
    TakesEmptySignatures,
    TakesAnEmptySecret,
    TellsOfAnotherPayment,
    DecodePanics,
    DecodesGarbage,
    RepliesServerError,
    // What is printed.
    PrintsItsKey,
}

/// How it authorizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    OneCall,
    HandleFirst,
}

pub(crate) const KEY: &str = "sk_acme_1f0e9d8c7b6a";

const WINDOW: Duration = Duration::from_secs(24 * 3600);
const STATUSES: StatusTable = StatusTable::new()
    .answers(&[200, 402])
    .refuses(&[422], "acme.example/docs/errors")
    .refusal_body(|answer| {
        answer
            .json::<Value>()
            .is_ok_and(|body| body["error"] == "bad request")
    });
const DECLINES: DeclineTable = DeclineTable::of(&[("51", DeclineCode::InsufficientFunds, DeclineKind::Soft)]);
const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "acme-signature",
    tolerance: Duration::from_secs(300),
};

static INSTANCES: AtomicU64 = AtomicU64::new(0);

struct Acme {
    fault: Fault,
    transport: Arc<dyn Transport>,
    calls: AtomicU64,
    instance: u64,
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.is(Fault::PrintsItsKey) { KEY } else { "…" };
        write!(f, "Acme({key})")
    }
}

pub(crate) fn account() -> AccountRef {
    AccountRef::new(ConnectorId::from_static("acme"), "main")
}

pub(crate) fn connector(fault: Fault, shape: Shape, transport: Arc<dyn Transport>) -> Connector {
    let instance = INSTANCES.fetch_add(1, Ordering::SeqCst);
    let acme = Arc::new(Acme {
        fault,
        transport: transport.clone(),
        calls: AtomicU64::new(0),
        instance,
    });
    let window = if fault == Fault::KeyKnownForNoTime {
        Duration::ZERO
    } else {
        WINDOW
    };
    let key = Key::Header {
        window,
        replays_errors: ReplaysErrors::Never,
    };
    let (moves, prepares) = match fault {
        Fault::CallsItselfPreparatory => (Step::preparatory(key), Step::moves_money(key)),
        _ => (Step::moves_money(key), Step::preparatory(key)),
    };
    let limits = Capabilities::currencies([Currency::EUR, Currency::GBP, Currency::JPY, Currency::BHD])
        .amounts(1, i64::MAX)
        .partial_capture()
        .multicapture()
        .partial_refund()
        .echoes(match fault {
            Fault::PromisesNothingAndEchoesWhatWasAsked => Echoes::Nothing,
            _ => Echoes::AmountAndReference,
        });
    let authorize = match shape {
        Shape::OneCall => Authorization::OneCall(moves, acme.clone()),
        Shape::HandleFirst => Authorization::HandleFirst {
            prepare: (prepares, acme.clone()),
            execute: (moves, acme.clone()),
        },
    };
    Connector::builder(account(), limits, transport)
        .authorize(authorize)
        .complete(moves, acme.clone())
        .capture(moves, acme.clone())
        .increment(moves, acme.clone())
        .void(moves, acme.clone())
        .cancel(moves, acme.clone())
        .refund(moves, acme.clone())
        .read(acme.clone())
        .look_up(acme.clone())
        .read_refund(acme.clone())
        .look_up_refund(acme.clone())
        .webhooks(acme)
        .build()
}

impl Acme {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn count(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    fn post(&self, path: &str, key: &StepKey, mut body: Value) -> Result<Request, Unsendable> {
        let mut url = format!("https://acme.example{path}");
        match self.fault {
            Fault::KeyInBody => body["key"] = key.as_str().into(),
            Fault::KeyInUrl => url.push_str(&format!("?key={}", key.as_str())),
            Fault::FreshBodyEachTime => body["nonce"] = self.count().into(),
            Fault::OtherBodyOnOtherInstances => body["instance"] = self.instance.into(),
            Fault::SendsByItself => {
                let mut sending = self.transport.send(Request::get("https://acme.example/token"));
                let _ = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
            _ => {}
        }
        let fresh = format!("fresh-{}", self.count());
        let request = Request::post(url).bearer(&Secret::from(KEY)).json(body);
        let request = match self.fault {
            Fault::NoKey => request,
            Fault::FreshKeyEachTime => request.header("idempotency-key", &fresh),
            Fault::SendsASecondKey => {
                let request = request.header("idempotency-key", key.as_str());
                request.header("idempotency-key", "mine")
            }
            _ => request.header("idempotency-key", key.as_str()),
        };
        Ok(if self.is(Fault::MarksEverything) {
            request.volatile("everything")
        } else {
            request
        })
    }

    fn get(&self, path: &str) -> Result<Request, Unsendable> {
        Ok(Request::get(format!("https://acme.example{path}")).bearer(&Secret::from(KEY)))
    }

    fn minor(&self, amount: Money) -> i64 {
        match self.fault {
            Fault::WholeUnitsOnly => amount.minor() / 100,
            Fault::AlwaysTwoDecimals => match amount.currency().exponent() {
                0 => amount.minor().saturating_mul(100),
                _ => amount.minor(),
            },
            Fault::OverflowsOnLargeAmounts => amount.minor().checked_mul(10).expect("a sane amount"),
            _ => amount.minor(),
        }
    }

    fn charge(&self, op: &Authorize) -> Result<Value, Unsendable> {
        let method = match &op.method {
            PaymentMethod::CardToken { token, .. } => json!({ "card": token }),
            PaymentMethod::NetworkToken {
                token, cryptogram, ..
            } => {
                json!({ "network": token, "cryptogram": cryptogram.get().map(Secret::expose) })
            }
            PaymentMethod::Wallet { payload, .. } if self.is(Fault::RefusesWithWhatCannotBeKept) => {
                let said = payload.get().map(Secret::expose).unwrap_or_default();
                return Err(Unsendable::field("method", format!("Acme takes no {said}")));
            }
            _ if self.is(Fault::IgnoresMethod) => json!({ "card": "tok_default" }),
            _ => return Err(Unsendable::field("method", "Acme takes cards")),
        };
        let currency = if self.is(Fault::NoCurrency) {
            None
        } else {
            Some(op.amount.currency())
        };
        let reference = if self.is(Fault::NoReference) {
            None
        } else {
            Some(&op.reference)
        };
        let capture = match op.capture {
            CaptureMethod::Automatic => "now",
            CaptureMethod::Manual if self.is(Fault::IgnoresCaptureMethod) => "now",
            CaptureMethod::Manual => "later",
        };
        let minor = self.minor(op.amount);
        Ok(
            json!({ "minor": minor, "currency": currency, "reference": reference, "with": method, "capture": capture }),
        )
    }

    fn marked(&self, request: Request, method: &PaymentMethod) -> Request {
        match method.volatile_part() {
            Some(part) if !self.is(Fault::HoldsCryptogramUnmarked) => request.volatile(part),
            _ => request,
        }
    }

    fn found(&self, answer: &Response, asked: (Money, &str)) -> Result<Found, CallError> {
        let statuses = match self.fault {
            Fault::EveryStatusIsAnAnswer => return self.object(answer.json()?, asked),
            Fault::ServerErrorIsDecline if answer.status().is_server_error() => {
                return Ok(Found::Declined(DECLINES.map("51")));
            }
            Fault::ServerErrorIsProof if answer.status().is_server_error() => {
                return Err(STATUSES.error(&Response::new(422, json!({ "error": "bad request" }))));
            }
            Fault::AnyBodyRefuses => STATUSES.refusal_body(|_| true),
            Fault::RefusalIsDoubt => StatusTable::new().answers(&[200, 402]),
            _ => STATUSES,
        };
        match self.fault {
            Fault::PanicsOnGarbage => self.object(serde_json::from_slice(answer.bytes()).unwrap(), asked),
            Fault::RepeatsTheBody if answer.json::<Object>().is_err() => Err(CallError::unknown(
                String::from_utf8_lossy(answer.bytes()).into_owned(),
            )),
            Fault::CutIsSuccess if answer.status() == 200 && answer.json::<Object>().is_err() => Ok(
                Found::Taken("ch_1".into(), Echo::none().amount(asked.0).reference(asked.1)),
            ),
            _ => self.object(statuses.read(answer)?, asked),
        }
    }

    fn object(&self, object: Object, asked: (Money, &str)) -> Result<Found, CallError> {
        let amount = match (self.fault, object.currency.exponent()) {
            (Fault::ReadsAlwaysTwoDecimals, 0) => object.minor / 100,
            _ => object.minor,
        };
        let amount = Money::from_minor(amount, object.currency);
        let (amount, reference) = match self.fault {
            Fault::EchoesWhatWasAsked | Fault::PromisesNothingAndEchoesWhatWasAsked => asked,
            _ => (amount, object.reference.as_str()),
        };
        let echo = match self.fault {
            Fault::EchoesNothing => Echo::none(),
            _ => Echo::none().amount(amount).reference(reference),
        };
        let handle = match self.fault {
            Fault::SuccessWithoutAHandle => "".into(),
            Fault::OtherAnswerOnOtherInstances => format!("{}{}", object.id, self.instance).into(),
            _ => object.id.into(),
        };
        match object.state {
            State::Done => Ok(Found::Taken(handle, echo)),
            State::Declined { .. } if self.is(Fault::DeclineIsDoubt) => Err(CallError::unknown("declined")),
            State::Declined { .. } if self.is(Fault::DeclineIsUnmapped) => {
                Ok(Found::Declined(DECLINES.map("99")))
            }
            State::Declined { code } => Ok(Found::Declined(DECLINES.map(&code))),
        }
    }

    fn list(&self, answer: &Response, asked: (Money, &str)) -> Result<Option<Found>, CallError> {
        let mut all: Vec<Object> = match self.fault {
            Fault::CutIsNothing => serde_json::from_slice(answer.bytes()).unwrap_or_default(),
            Fault::PanicsOnGarbage => serde_json::from_slice(answer.bytes()).unwrap(),
            _ => STATUSES.read(answer)?,
        };
        all.pop().map(|object| self.object(object, asked)).transpose()
    }
}

enum Found {
    Taken(Handle, Echo),
    Declined(Decline),
}

#[derive(Deserialize)]
struct Object {
    id: String,
    minor: i64,
    currency: Currency,
    reference: String,
    #[serde(flatten)]
    state: State,
}

#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    Done,
    Declined { code: String },
}

pub(crate) fn object(state: &str, handle: &str, amount: Money, reference: &str) -> Value {
    json!({
        "id": handle, "minor": amount.minor(), "currency": amount.currency(), "reference": reference,
        "state": state, "code": "51",
    })
}

/// An operation that is posted: its path, its body, and what its report is.
macro_rules! posted {
    ($($op:ident($self:ident, $o:ident): $path:expr, $body:expr, $sent:expr, $taken:expr, $declined:expr;)*) => { $(
        impl Exchange<$op> for Acme {
            fn request(&$self, $o: &$op, key: &StepKey) -> Result<Request, Unsendable> {
                let request = $self.post(&$path, key, $body)?;
                Ok(match $o.volatile_part() {
                    Some(part) if !$self.is(Fault::HoldsCryptogramUnmarked) => request.volatile(part),
                    _ => request,
                })
            }

            fn report(&$self, $o: &$op, answer: &Response) -> Result<<$op as Operation>::Report, CallError> {
                Ok(match $self.found(answer, $sent)? {
                    Found::Taken(handle, echo) => $taken(handle, echo),
                    Found::Declined(decline) => $declined(decline),
                })
            }
        }
    )* };
}

use paymux_core::connector::Operation;

fn held(handle: Handle, echo: Echo) -> AuthorizeReport {
    AuthorizeReport::Authorized(Approval::new(handle, echo))
}

posted! {
    Prepare(self, op): "/payments", self.charge(&op.authorize)?,
        (op.authorize.amount, &op.authorize.reference), PrepareReport::Prepared, PrepareReport::Declined;
    Execute(self, op): format!("/payments/{}/execute", op.handle), self.charge(&op.authorize)?["with"].clone(),
        (op.authorize.amount, &op.authorize.reference), held, AuthorizeReport::Declined;
    Complete(self, op): format!("/payments/{}/complete", op.handle),
        json!({ "payload": op.payload.get().map(Secret::expose) }), (op.amount, &op.reference), held,
        AuthorizeReport::Declined;
    Capture(self, op):
        match self.fault {
            Fault::CapturesTheSamePayment => "/payments/ch_1/capture".to_owned(),
            _ => format!("/payments/{}/capture", op.original),
        },
        json!({
            "minor": self.minor(op.amount), "reference": op.reference,
            "last": op.rest == Rest::Release || self.is(Fault::EndsWithTheFirstCapture),
        }),
        (op.amount, &op.reference),
        CaptureReport::Captured, CaptureReport::Declined;
    Increment(self, op): format!("/payments/{}/increment", op.original),
        json!({ "minor": self.minor(op.total), "reference": op.reference }), (op.total, &op.reference), held,
        AuthorizeReport::Declined;
    Void(self, op): format!("/payments/{}/void", op.original), json!({ "reference": op.reference }),
        (op.amount, &op.reference), CloseReport::Closed, CloseReport::Refused;
    Cancel(self, op): format!("/payments/{}/cancel", op.original), json!({ "reference": op.reference }),
        (op.amount, &op.reference), CloseReport::Closed, CloseReport::Refused;
    Refund(self, op): "/refunds",
        json!({ "of": op.original, "minor": self.minor(op.amount), "reference": op.reference }),
        (op.amount, &op.reference), RefundReport::Refunded, RefundReport::Failed;
}

impl Exchange<Authorize> for Acme {
    fn request(&self, op: &Authorize, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.marked(self.post("/payments", key, self.charge(op)?)?, &op.method))
    }

    fn report(&self, op: &Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
        Ok(match self.found(answer, (op.amount, &op.reference))? {
            Found::Taken(handle, echo) => held(handle, echo),
            Found::Declined(decline) => AuthorizeReport::Declined(decline),
        })
    }
}

impl Exchange<Read> for Acme {
    fn request(&self, op: &Read, _: &StepKey) -> Result<Request, Unsendable> {
        self.get(&format!("/payments/{}", op.handle))
    }

    fn report(&self, op: &Read, answer: &Response) -> Result<ReadReport, CallError> {
        if answer.status() == 404 {
            return match self.fault {
                Fault::NothingIsDoubt => Err(CallError::unknown("404")),
                _ => answer.json::<Missing>().map(|_| ReadReport::NotFound),
            };
        }
        Ok(ReadReport::Found(
            match self.found(answer, (op.amount, &op.reference))? {
                Found::Taken(handle, echo) => held(handle, echo).into(),
                Found::Declined(decline) => AuthorizeReport::Declined(decline).into(),
            },
        ))
    }
}

#[derive(Deserialize)]
struct Missing {
    #[serde(rename = "missing")]
    _missing: String,
}

impl Exchange<LookUp> for Acme {
    fn request(&self, op: &LookUp, _: &StepKey) -> Result<Request, Unsendable> {
        self.get(&format!("/payments?reference={}", op.reference))
    }

    fn report(&self, op: &LookUp, answer: &Response) -> Result<LookUpReport, CallError> {
        Ok(match self.list(answer, (op.amount, &op.reference))? {
            None => LookUpReport::NotFound,
            Some(Found::Taken(handle, echo)) => LookUpReport::Found(held(handle, echo).into()),
            Some(Found::Declined(decline)) => LookUpReport::Found(AuthorizeReport::Declined(decline).into()),
        })
    }
}

impl Exchange<ReadRefund> for Acme {
    fn request(&self, op: &ReadRefund, _: &StepKey) -> Result<Request, Unsendable> {
        self.get(&format!("/refunds/{}", op.handle))
    }

    fn report(&self, op: &ReadRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        Ok(RefundReadReport::Found(
            match self.found(answer, (op.amount, &op.reference))? {
                Found::Taken(handle, echo) => RefundReport::Refunded(handle, echo),
                Found::Declined(decline) => RefundReport::Failed(decline),
            },
        ))
    }
}

impl Exchange<LookUpRefund> for Acme {
    fn request(&self, op: &LookUpRefund, _: &StepKey) -> Result<Request, Unsendable> {
        self.get(&match self.fault {
            Fault::LooksForAnyRefund => "/refunds".to_owned(),
            Fault::LooksRefundsUpByReference => format!("/refunds?reference={}", op.reference),
            _ => format!("/refunds?of={}", op.original),
        })
    }

    fn report(&self, op: &LookUpRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        Ok(match self.list(answer, (op.amount, &op.reference))? {
            None => RefundReadReport::NotFound,
            Some(Found::Taken(handle, echo)) => RefundReadReport::Found(RefundReport::Refunded(handle, echo)),
            Some(Found::Declined(decline)) => RefundReadReport::Found(RefundReport::Failed(decline)),
        })
    }
}

#[derive(Deserialize)]
struct Posted {
    event: String,
    payment: String,
    account: String,
}

pub(crate) fn sign(body: &[u8], secret: &Secret, now: Timestamp) -> http::HeaderMap {
    SIGNATURE.sign(body, secret, now)
}

/// Whether the header is the first `least` bytes, or more, of what one of the secrets signs.
fn begins(inbound: &Inbound, secrets: &[Secret], now: Timestamp, least: usize) -> bool {
    let Some(value) = inbound.headers.get("acme-signature") else {
        return false;
    };
    let text = value.to_str().unwrap();
    let Some(at) = text.strip_prefix("t=").and_then(|rest| rest.split(',').next()) else {
        return false;
    };
    let at = Timestamp::from_secs(at.parse().unwrap_or(0));
    let mut whole = secrets.iter().map(|secret| sign(&inbound.body, secret, at));
    let is_late = at.since(now).max(now.since(at)) > SIGNATURE.tolerance;
    !is_late
        && text.len() >= least
        && whole.any(|whole| whole["acme-signature"].as_bytes().starts_with(value.as_bytes()))
}

fn signed_by_nobody(inbound: &Inbound, secrets: &[Secret]) -> bool {
    let empty = secrets.iter().any(|secret| secret.expose().is_empty());
    empty && inbound.headers.contains_key("acme-signature")
}

/// What signs the time alone.
pub(crate) fn sign_the_time(_: &[u8], secret: &Secret, now: Timestamp) -> http::HeaderMap {
    SIGNATURE.sign(b"", secret, now)
}

#[async_trait]
impl WebhookOps for Acme {
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        let posted = inbound.json::<Posted>()?;
        let account = match self.fault {
            Fault::NamesAnotherAccount => "other".to_owned(),
            Fault::TakesAnyAccounts => "main".to_owned(),
            _ => posted.account,
        };
        Ok(vec![AccountRef::new(ConnectorId::from_static("acme"), account)])
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        let vouched = Ok(Verified::vouched(inbound));
        match self.fault {
            Fault::TakesUnsigned if !inbound.headers.contains_key("acme-signature") => vouched,
            Fault::TakesAnySecret if inbound.headers.contains_key("acme-signature") => vouched,
            Fault::TakesOldBodies => {
                let without = Inbound {
                    headers: inbound.headers.clone(),
                    body: Bytes::new(),
                };
                SIGNATURE.verify(&without, secrets, now).and(vouched)
            }
            Fault::TakesOldWebhooks => {
                let patient = TimestampedHmac {
                    tolerance: Duration::from_secs(1 << 40),
                    ..SIGNATURE
                };
                patient.verify(inbound, secrets, now)
            }
            Fault::TakesHalfASignature if begins(inbound, secrets, now, 30) => vouched,
            Fault::TakesEmptySignatures if begins(inbound, secrets, now, 16) => vouched,
            Fault::TakesAnEmptySecret if signed_by_nobody(inbound, secrets) => vouched,
            Fault::KnowsOneSecret => SIGNATURE.verify(inbound, &secrets[..secrets.len().min(1)], now),
            _ => SIGNATURE.verify(inbound, secrets, now),
        }
    }

    fn decode(&self, notice: &Verified) -> Result<Vec<Notice>, Malformed> {
        let posted = match self.fault {
            Fault::DecodePanics => Ok(serde_json::from_slice::<Posted>(notice.body()).unwrap()),
            Fault::DecodesGarbage if notice.json::<Posted>().is_err() => return Ok(Vec::new()),
            _ => notice.json::<Posted>(),
        }?;
        let about = if self.is(Fault::TellsOfAnotherPayment) {
            "ch_other"
        } else {
            &posted.payment
        };
        Ok(vec![Notice::hint(posted.event, about.into())])
    }

    fn reply(&self) -> http::Response<Bytes> {
        let mut reply = http::Response::new(Bytes::new());
        if self.is(Fault::RepliesServerError) {
            *reply.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        }
        reply
    }
}
