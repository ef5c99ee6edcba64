//! A whole connector, to a processor that doesn't exist, and the suite that says whether it keeps its contract.
//!
//! ```sh
//! cargo run --example custom_connector
//! ```
//!
//! AcmePay takes cards by token. It knows a key for a day, repeats the amount and our reference in every answer, and
//! posts signed webhooks. All that paymux has to know of that is below, with no I/O in it: how a request is built and
//! how an answer is read. What a connector can't get right by its types, [`connector_conformance`] checks.

use std::process::ExitCode;

use paymux::connector::prelude::*;
use paymux_testkit::{Case, connector_conformance};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug)]
struct AcmePay {
    base: String,
    secret: Secret,
    account: AccountRef,
}

/// A refusal of its own: a gateway's page at the same status proves nothing.
#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "error")]
    _error: String,
}

// What its documentation says. Every status that isn't named here is a doubt, and only `refuses` proves that nothing
// was executed.
const STATUSES: StatusTable = StatusTable::new()
    .answers(&[200, 201, 402])
    .refuses(&[400, 401, 422, 429], "acme.example/docs/errors")
    .refusal_body(|answer| answer.json::<Refused>().is_ok());
const KEY: Key = Key::Header {
    window: Duration::from_secs(24 * 3600),
    replays_errors: ReplaysErrors::Never,
};
const DECLINES: DeclineTable = DeclineTable::of(&[
    ("51", DeclineCode::InsufficientFunds, DeclineKind::Soft),
    ("05", DeclineCode::DoNotHonor, DeclineKind::Hard),
]);
const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "acme-signature",
    tolerance: Duration::from_secs(300),
};

impl AcmePay {
    /// All that Acme offers, each call with its effect and its key. A slot that isn't filled isn't offered.
    fn connector(self, transport: Arc<dyn Transport>) -> Connector {
        let limits = Capabilities::currencies([Currency::EUR, Currency::GBP, Currency::JPY])
            .methods([MethodKind::CardToken])
            .partial_capture()
            .partial_refund()
            .echoes(Echoes::AmountAndReference);
        let acme = Arc::new(self);
        Connector::builder(acme.account.clone(), limits, transport)
            .authorize(Authorization::OneCall(Step::moves_money(KEY), acme.clone()))
            .capture(Step::moves_money(KEY), acme.clone())
            .refund(Step::moves_money(KEY), acme.clone())
            .look_up(acme.clone())
            .webhooks(acme)
            .build()
    }

    fn post(&self, path: &str, key: &StepKey, body: Value) -> Request {
        let url = format!("{}{path}", self.base);
        Request::post(url)
            .bearer(&self.secret)
            .header("idempotency-key", key.as_str())
            .json(body)
    }
}

/// What Acme calls a charge. A state that isn't among these doesn't parse, and what doesn't parse is a doubt.
#[derive(Deserialize)]
struct Charge {
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
    Authorized,
    Captured,
    Refunded,
    Declined { code: String },
}

impl Charge {
    /// The echo is what the answer says, never what was asked: paymux compares the two.
    fn parts(self) -> (State, Handle, Echo) {
        let amount = Money::from_minor(self.minor, self.currency);
        (
            self.state,
            self.id.into(),
            Echo::none().amount(amount).reference(self.reference),
        )
    }

    fn payment(self) -> Result<AuthorizeReport, CallError> {
        match self.parts() {
            (State::Authorized, handle, echo) => Ok(AuthorizeReport::Authorized(Approval::new(handle, echo))),
            (State::Captured, handle, echo) => Ok(AuthorizeReport::Captured(Approval::new(handle, echo))),
            (State::Declined { code }, ..) => Ok(AuthorizeReport::Declined(DECLINES.map(&code))),
            (State::Refunded, ..) => Err(CallError::unknown("a payment that is refunded already")),
        }
    }
}

impl Exchange<op::Authorize> for AcmePay {
    fn request(&self, op: &op::Authorize, key: &StepKey) -> Result<Request, Unsendable> {
        let PaymentMethod::CardToken { token, .. } = &op.method else {
            return Err(Unsendable::field("method", "Acme takes cards by token"));
        };
        let capture = match op.capture {
            CaptureMethod::Automatic => "now",
            CaptureMethod::Manual => "later",
        };
        let (minor, currency) = (op.amount.minor(), op.amount.currency());
        let body = json!({
            "reference": op.reference, "minor": minor, "currency": currency, "card": token, "capture": capture,
        });
        Ok(self.post("/charges", key, body))
    }

    fn report(&self, _: &op::Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
        STATUSES.read::<Charge>(answer)?.payment()
    }
}

impl Exchange<op::Capture> for AcmePay {
    fn request(&self, op: &op::Capture, key: &StepKey) -> Result<Request, Unsendable> {
        let body = json!({ "minor": op.amount.minor(), "reference": op.reference });
        Ok(self.post(&format!("/charges/{}/capture", op.original), key, body))
    }

    fn report(&self, _: &op::Capture, answer: &Response) -> Result<CaptureReport, CallError> {
        match STATUSES.read::<Charge>(answer)?.parts() {
            (State::Captured, handle, echo) => Ok(CaptureReport::Captured(handle, echo)),
            (State::Declined { code }, ..) => Ok(CaptureReport::Declined(DECLINES.map(&code))),
            (State::Authorized | State::Refunded, ..) => Err(CallError::unknown("not a capture's state")),
        }
    }
}

impl Exchange<op::Refund> for AcmePay {
    fn request(&self, op: &op::Refund, key: &StepKey) -> Result<Request, Unsendable> {
        let body = json!({ "charge": op.original, "minor": op.amount.minor(), "reference": op.reference });
        Ok(self.post("/refunds", key, body))
    }

    fn report(&self, _: &op::Refund, answer: &Response) -> Result<RefundReport, CallError> {
        match STATUSES.read::<Charge>(answer)?.parts() {
            (State::Refunded, handle, echo) => Ok(RefundReport::Refunded(handle, echo)),
            (State::Declined { code }, ..) => Ok(RefundReport::Failed(DECLINES.map(&code))),
            (State::Authorized | State::Captured, ..) => Err(CallError::unknown("not a refund's state")),
        }
    }
}

impl Exchange<op::LookUp> for AcmePay {
    fn request(&self, op: &op::LookUp, _: &StepKey) -> Result<Request, Unsendable> {
        let url = format!("{}/charges?reference={}", self.base, op.reference);
        Ok(Request::get(url).bearer(&self.secret))
    }

    fn report(&self, _: &op::LookUp, answer: &Response) -> Result<LookUpReport, CallError> {
        let mut found: Vec<Charge> = STATUSES.read(answer)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Ok(LookUpReport::NotFound),
            (Some(charge), true) => Ok(LookUpReport::Found(charge.payment()?.into())),
            (Some(_), false) => Err(CallError::unknown("two charges with one reference")),
        }
    }
}

/// What Acme posts. It is a hint: the charge is read again, and the read is the news.
#[derive(Deserialize)]
struct Posted {
    event: String,
    charge: String,
}

#[async_trait]
impl WebhookOps for AcmePay {
    fn identify(&self, _: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        Ok(vec![self.account.clone()])
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        SIGNATURE.verify(inbound, secrets, now)
    }

    fn decode(&self, notice: &Verified) -> Result<Vec<Notice>, Malformed> {
        let Posted { event, charge } = notice.json()?;
        Ok(vec![Notice::hint(event, charge.into())])
    }

    fn reply(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}

/// The suite needs no network and no credentials: what the processor would answer comes from its documentation.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let report = connector_conformance(acme)
        .when(Case::Accepted, |op: &op::Authorize| {
            answer(201, "authorized", op.amount, &op.reference)
        })
        .when(Case::Declined, |op: &op::Authorize| {
            answer(402, "declined", op.amount, &op.reference)
        })
        .when(Case::Refused, |_: &op::Authorize| {
            Response::new(422, json!({ "error": "no such card" }))
        })
        .when(Case::Accepted, |op: &op::Capture| {
            answer(200, "captured", op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Refund| {
            answer(201, "refunded", op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::LookUp| {
            Response::new(200, json!([charge("captured", op.amount, &op.reference)]))
        })
        .when(Case::Absent, |_: &op::LookUp| Response::new(200, json!([])))
        .amount_in(|_: &op::Authorize, sent| {
            let body: Value = serde_json::from_slice(sent.bytes()).ok()?;
            let currency = body["currency"].as_str()?.parse().ok()?;
            Some(Money::from_minor(body["minor"].as_i64()?, currency))
        })
        .signed_by(|body, secret, now| SIGNATURE.sign(body, secret, now))
        .notice(|charge| json!({ "event": "evt_1", "charge": charge.as_str() }))
        .examine()
        .await;
    println!("{report}");
    if report.is_kept() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn acme(transport: Arc<dyn Transport>) -> Connector {
    let acme = AcmePay {
        base: "https://api.acme.example".into(),
        secret: Secret::from("sk_test_not_a_real_key"),
        account: AccountRef::new(ConnectorId::from_static("acme"), "main"),
    };
    acme.connector(transport)
}

fn charge(state: &str, amount: Money, reference: &str) -> Value {
    json!({
        "id": "ch_1", "state": state, "code": "51",
        "minor": amount.minor(), "currency": amount.currency(), "reference": reference,
    })
}

fn answer(status: u16, state: &str, amount: Money, reference: &str) -> Response {
    Response::new(status, charge(state, amount, reference))
}
