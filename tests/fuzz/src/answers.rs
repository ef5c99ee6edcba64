//! What processors answer. An answer that isn't in the processor's own documented form proves nothing, and is no success.
//!
//! The first line names the operation and the HTTP status; the rest is the body. What an outcome needs is read off the
//! body here a second time, from plain JSON.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use paymux_core::connector::prelude::*;
use paymux_core::connector::{Contradiction, Doubt, Outcome, Stage, outcome_of};
use paymux_core::{Mode, OperationId, RefundReason};
use paymux_sandbox::{Sandbox, Shape};
use paymux_stripe::Stripe;
use serde::Deserialize;
use serde_json::Value;

use crate::input::head;

const REFERENCE: &str = "00000000000000000000000001";

/// Sends nothing: targets build and read alone.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Transport for Silent {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        Err(TransportError::NotSent("a target that sends nothing"))
    }
}

pub(crate) fn stripe() -> Connector {
    Stripe::new("sk_test_1", "main")
        .request_incremental()
        .connector(Arc::new(Silent))
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn authorize() -> op::Authorize {
    op::Authorize::new(
        REFERENCE,
        eur(1_000),
        PaymentMethod::card_token("pm_1"),
        CaptureMethod::Manual,
    )
}

/// An answer, and what is plain to see in it.
struct Answer {
    status: u16,
    response: Response,
    json: Value,
}

impl Answer {
    /// The operation's name, and what came back.
    fn parse(data: &[u8]) -> (&str, Self) {
        let (words, body) = head(data);
        let (name, status) = words.split_once(' ').unwrap_or((words, "200"));
        let status = status
            .parse()
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::OK);
        let response = Response::from_parts(status, HeaderMap::new(), body.to_vec().into());
        let json = serde_json::from_slice(body).unwrap_or(Value::Null);
        (
            name,
            Self {
                status: status.as_u16(),
                response,
                json,
            },
        )
    }

    /// What is made of it. A panic of the parser's counts here, though the engine takes it for a doubt.
    fn read<O: op::Operation>(
        &self,
        exchange: &dyn Exchange<O>,
        op: &O,
        echoes: Echoes,
    ) -> Outcome<O::Report> {
        let request = exchange.request(op, &key(O::STEP));
        let again = exchange.request(op, &key(O::STEP));
        let (one, two) = (request.expect("it can be asked"), again.expect("it can be asked"));
        assert_eq!(one.wire_hash(), two.wire_hash(), "equal bytes on every send");
        let _read = exchange.report(op, &self.response);
        let outcome = outcome_of(exchange, op, &self.response, echoes);
        match &self.json {
            // A string that isn't text (half of a pair) reads where nobody wants it; there is nothing to compare with.
            Value::Null => Outcome::Unknown(Doubt {
                stage: Stage::Answered,
                why: "no plain JSON".into(),
                contradicts: Contradiction::None,
            }),
            _ => outcome,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.json.get(name)?.as_str()
    }
}

fn key(step: &str) -> StepKey {
    let operation = OperationId::from_reference(Mode::Test, REFERENCE).expect("a reference");
    StepKey::for_suite(operation, step)
}

/// Stripe's answers.
pub fn stripe_answers(data: &[u8]) {
    let (name, answer) = Answer::parse(data);
    let connector = stripe();
    let slots = connector.slots();
    let Some(Authorization::HandleFirst { prepare, execute }) = slots.authorize() else {
        panic!("Stripe's payments are made in two steps")
    };
    let read = |what| format!("{what} of {} {}", answer.status, answer.json);
    match name {
        "prepare" => {
            let op = op::Prepare::new(authorize());
            let outcome = answer.read(&*prepare.1, &op, Echoes::Nothing);
            if let Some(PrepareReport::Prepared(handle, _)) = stripe_said(&answer, outcome) {
                assert!(answer.is_ours(&["requires_confirmation"]), "{}", read("prepared"));
                assert_eq!(answer.text("id"), Some(handle.as_str()));
            }
        }
        "execute" => {
            let op = op::Execute::new(authorize(), "pi_1".into());
            let outcome = answer.read(&*execute.1, &op, Echoes::Nothing);
            if matches!(outcome, Outcome::NotExecuted(_)) {
                let code = &answer.json["error"]["code"];
                assert_ne!(
                    code, "payment_intent_unexpected_state",
                    "it may have been confirmed before"
                );
            }
            match stripe_said(&answer, outcome) {
                Some(AuthorizeReport::Settled(_)) => {
                    assert!(
                        answer.is_paid() && answer.is_stripes("pi_1", &["succeeded"]),
                        "{}",
                        read("settled")
                    );
                }
                Some(AuthorizeReport::Authorized(_)) => {
                    assert!(
                        answer.is_stripes("pi_1", &["requires_capture"]),
                        "{}",
                        read("authorized")
                    );
                }
                Some(AuthorizeReport::PartiallyAuthorized(_, part)) => {
                    assert!(
                        answer.is_stripes("pi_1", &["requires_capture"]),
                        "{}",
                        read("a part")
                    );
                    assert_eq!(answer.json["amount_capturable"], part.minor());
                }
                Some(
                    AuthorizeReport::Captured(_)
                    | AuthorizeReport::Verified(_)
                    | AuthorizeReport::Unexecuted(_),
                ) => {
                    panic!("{}", read("nothing that Stripe says"))
                }
                Some(AuthorizeReport::Declined(_)) if answer.status == 200 => {
                    assert!(
                        answer.is_stripes("pi_1", &["requires_payment_method"]),
                        "{}",
                        read("declined")
                    );
                    assert!(answer.json["last_payment_error"].is_object());
                }
                Some(_) | None => {}
            }
        }
        "capture" => {
            let (_, exchange) = slots.capture().expect("offered");
            let op = op::Capture::new(REFERENCE, "pi_1".into(), eur(1_000), Rest::Release);
            let outcome = answer.read(exchange, &op, Echoes::Nothing);
            if let Some(CaptureReport::Settled(..) | CaptureReport::Captured(..)) =
                stripe_said(&answer, outcome)
            {
                assert!(answer.is_stripes("pi_1", &["succeeded"]), "{}", read("captured"));
                let taken = &answer.json["amount_received"];
                assert!(taken.is_null() || *taken == 1_000, "{}", read("another amount"));
            }
        }
        "increment" => {
            let op = op::Increment::new(REFERENCE, "pi_1".into(), eur(500), eur(1_500));
            let outcome = answer.read(slots.increment().expect("offered").1, &op, Echoes::Nothing);
            match stripe_said(&answer, outcome) {
                Some(AuthorizeReport::Authorized(_)) => {
                    assert!(
                        answer.is_stripes("pi_1", &["requires_capture"]) && answer.json["amount"] == 1_500
                    );
                }
                Some(AuthorizeReport::Declined(_)) | None => {}
                Some(report) => panic!("{report:?}"),
            }
        }
        "void" | "cancel" => {
            let outcome = match name {
                "void" => {
                    let op = op::Void::new(REFERENCE, "pi_1".into(), eur(1_000));
                    answer.read(slots.void().expect("offered").1, &op, Echoes::Nothing)
                }
                _ => {
                    let op = op::Cancel::new(REFERENCE, "pi_1".into(), eur(1_000));
                    answer.read(slots.cancel().expect("offered").1, &op, Echoes::Nothing)
                }
            };
            if let Some(CloseReport::Closed(..)) = stripe_said(&answer, outcome) {
                assert!(
                    answer.is_stripes("pi_1", &["canceled", "succeeded"]),
                    "{}",
                    read("closed")
                );
            }
        }
        "refund" => {
            let reason = RefundReason::RequestedByCustomer;
            let op = op::Refund::new(REFERENCE, "pi_1".into(), eur(400), reason);
            let outcome = answer.read(slots.refund().expect("offered").1, &op, Echoes::Nothing);
            if let Some(RefundReport::Refunded(..)) = stripe_said(&answer, outcome) {
                assert!(
                    answer.is_ours(&["succeeded"]) && answer.json["amount"] == 400,
                    "{}",
                    read("refunded")
                );
            }
        }
        "read" => {
            let op = op::Read::new("pi_1".into(), eur(1_000), REFERENCE);
            let outcome = answer.read(slots.read().expect("offered"), &op, Echoes::Nothing);
            match stripe_said(&answer, outcome) {
                Some(ReadReport::Found(standing)) => {
                    assert!(
                        answer.status == 200 && answer.text("id") == Some("pi_1"),
                        "{}",
                        read("found")
                    );
                    if let AuthorizeReport::Settled(_) = standing.report {
                        assert_eq!(answer.text("status"), Some("succeeded"));
                    }
                }
                Some(ReadReport::NotFound) => assert!(answer.status == 404 && answer.is_stripes_error()),
                Some(report) => panic!("{report:?}"),
                None => {}
            }
        }
        "read_refund" => {
            let op = op::ReadRefund::new("re_1".into(), eur(400), REFERENCE);
            let outcome = answer.read(slots.read_refund().expect("offered"), &op, Echoes::Nothing);
            match stripe_said(&answer, outcome) {
                Some(RefundReadReport::Found(_)) => {
                    assert!(
                        answer.status == 200 && answer.text("id") == Some("re_1"),
                        "{}",
                        read("found")
                    );
                    assert_eq!(answer.json["metadata"]["paymux"], REFERENCE);
                }
                Some(RefundReadReport::NotFound) => {
                    assert!(answer.status == 404 && answer.is_stripes_error())
                }
                Some(report) => panic!("{report:?}"),
                None => {}
            }
        }
        _ => {
            let op = op::LookUpRefund::new(REFERENCE, "pi_1".into(), eur(400));
            let outcome = answer.read(slots.look_up_refund().expect("offered"), &op, Echoes::Nothing);
            let ours = |refund: &&Value| refund["metadata"]["paymux"] == REFERENCE;
            let count = answer.json["data"]
                .as_array()
                .map_or(0, |data| data.iter().filter(ours).count());
            match stripe_said(&answer, outcome) {
                Some(RefundReadReport::Found(_)) => assert!(answer.status == 200 && count == 1),
                Some(RefundReadReport::NotFound) => {
                    let whole = answer.status == 200 && answer.json["has_more"] == false;
                    assert!(count == 0 && (whole || answer.status == 404 && answer.is_stripes_error()));
                }
                Some(report) => panic!("{report:?}"),
                None => {}
            }
        }
    }
}

/// What Stripe said, if it said something: a proof of nothing done only by its own error, and a decline as well.
fn stripe_said<R: std::fmt::Debug>(answer: &Answer, outcome: Outcome<R>) -> Option<R> {
    match outcome {
        Outcome::Answered(report) => {
            let declined = answer.status == 402 && answer.is_stripes_error();
            let absent = answer.status == 404 && answer.is_stripes_error();
            assert!(
                answer.status == 200 || declined || absent,
                "{report:?} of {}",
                answer.status
            );
            Some(report)
        }
        Outcome::NotExecuted(proof) => {
            let listed = [400, 401, 403, 404, 429].contains(&answer.status);
            assert!(
                listed && answer.is_stripes_error(),
                "{proof} of {} {}",
                answer.status,
                answer.json
            );
            None
        }
        Outcome::Unknown(_) => None,
    }
}

impl Answer {
    /// Whether it is Stripe's error about the request itself.
    fn is_stripes_error(&self) -> bool {
        let kind = self.json["error"]["type"].as_str();
        kind.is_some_and(|kind| {
            [
                "invalid_request_error",
                "authentication_error",
                "rate_limit_error",
                "card_error",
            ]
            .contains(&kind)
        })
    }

    /// Whether it is that object of Stripe's, in one of those states.
    fn is_stripes(&self, id: &str, states: &[&str]) -> bool {
        let state = self.text("status");
        self.status == 200
            && self.text("id") == Some(id)
            && state.is_some_and(|state| states.contains(&state))
    }

    /// Whether it repeats our reference, the amount's currency, and is in one of those states.
    fn is_ours(&self, states: &[&str]) -> bool {
        let currency = self
            .text("currency")
            .is_some_and(|code| code.eq_ignore_ascii_case("eur"));
        let state = self.text("status").is_some_and(|state| states.contains(&state));
        self.status == 200 && state && currency && self.json["metadata"]["paymux"] == REFERENCE
    }

    /// Whether 10.00 EUR were received of a payment of ours.
    fn is_paid(&self) -> bool {
        let received = match &self.json["amount_received"] {
            Value::Null => &self.json["amount"],
            received => received,
        };
        *received == 1_000 && self.is_ours(&["succeeded"])
    }
}

/// The sandbox's answers.
pub fn sandbox_answers(data: &[u8]) {
    let (name, answer) = Answer::parse(data);
    let sandbox = Sandbox::seeded(7);
    let one_call = sandbox.connector("main");
    let handle_first = sandbox.clone().shape(Shape::handle_first()).connector("second");
    let (slots, both) = (one_call.slots(), Echoes::AmountAndReference);
    let original = || Handle::from("pay_1");
    match name {
        "authorize" => {
            let Some(Authorization::OneCall(_, exchange)) = slots.authorize() else {
                panic!("in one call")
            };
            paid(&answer, answer.read(&**exchange, &authorize(), both));
        }
        "prepare" => {
            let Some(Authorization::HandleFirst { prepare, .. }) = handle_first.slots().authorize() else {
                panic!("in two calls")
            };
            let outcome = answer.read(&*prepare.1, &op::Prepare::new(authorize()), both);
            if let Some(PrepareReport::Prepared(handle, _)) = sandbox_said(&answer, outcome) {
                assert!(answer.repeats(1_000) && answer.text("state") == Some("created"));
                assert_eq!(answer.text("id"), Some(handle.as_str()));
            }
        }
        "execute" => {
            let Some(Authorization::HandleFirst { execute, .. }) = handle_first.slots().authorize() else {
                panic!("in two calls")
            };
            paid(
                &answer,
                answer.read(&*execute.1, &op::Execute::new(authorize(), original()), both),
            );
        }
        "complete" => {
            let payload = Volatile::new("a=1");
            let op = op::Complete::new(REFERENCE, original(), eur(1_000), payload);
            paid(
                &answer,
                answer.read(slots.complete().expect("offered").1, &op, both),
            );
        }
        "capture" => {
            let op = op::Capture::new(REFERENCE, original(), eur(1_000), Rest::Release);
            let outcome = answer.read(slots.capture().expect("offered").1, &op, both);
            match sandbox_said(&answer, outcome) {
                Some(CaptureReport::Captured(..)) => assert!(answer.done("done", 1_000)),
                Some(CaptureReport::Settled(..)) => assert!(answer.done("settled", 1_000)),
                Some(CaptureReport::Pending(..)) => assert!(answer.done("pending", 1_000)),
                Some(CaptureReport::Declined(_)) => assert_eq!(answer.text("state"), Some("failed")),
                Some(report) => panic!("{report:?}"),
                None => {}
            }
        }
        "increment" => {
            let op = op::Increment::new(REFERENCE, original(), eur(500), eur(1_500));
            let outcome = answer.read(slots.increment().expect("offered").1, &op, both);
            if let Some(AuthorizeReport::Authorized(_)) = sandbox_said(&answer, outcome) {
                assert!(
                    answer.text("reference") == Some(REFERENCE) && answer.json["total"]["minor"] == 1_500
                );
                assert_eq!(answer.text("state"), Some("done"));
            }
        }
        "void" => {
            let op = op::Void::new(REFERENCE, original(), eur(1_000));
            let outcome = answer.read(slots.void().expect("offered").1, &op, both);
            if let Some(CloseReport::Closed(..)) = sandbox_said(&answer, outcome) {
                assert!(answer.done("done", 1_000));
            }
        }
        "cancel" => {
            let op = op::Cancel::new(REFERENCE, original(), eur(1_000));
            let outcome = answer.read(slots.cancel().expect("offered").1, &op, both);
            if let Some(CloseReport::Closed(..)) = sandbox_said(&answer, outcome) {
                assert!(answer.done("done", 1_000));
            }
        }
        "refund" => {
            let reason = RefundReason::RequestedByCustomer;
            let op = op::Refund::new(REFERENCE, original(), eur(400), reason);
            let outcome = answer.read(slots.refund().expect("offered").1, &op, both);
            if let Some(RefundReport::Refunded(..)) = sandbox_said(&answer, outcome) {
                assert!(answer.done("done", 400));
            }
        }
        "read" => {
            let op = op::Read::new(original(), eur(1_000), REFERENCE);
            let outcome = answer.read(slots.read().expect("offered"), &op, both);
            if let Some(ReadReport::NotFound) = sandbox_said(&answer, outcome) {
                assert!(answer.status == 404 && answer.json["error"] == "payment");
            }
        }
        "read_refund" => {
            let op = op::ReadRefund::new("ref_1".into(), eur(400), REFERENCE);
            let outcome = answer.read(slots.read_refund().expect("offered"), &op, both);
            if let Some(RefundReadReport::NotFound) = sandbox_said(&answer, outcome) {
                assert!(answer.status == 404 && answer.json["error"] == "refund");
            }
        }
        "look_up_refund" => {
            let op = op::LookUpRefund::new(REFERENCE, original(), eur(400));
            let outcome = answer.read(slots.look_up_refund().expect("offered"), &op, both);
            if let Some(RefundReadReport::NotFound) = sandbox_said(&answer, outcome) {
                assert!(answer.json["items"].as_array().is_some_and(Vec::is_empty));
            }
        }
        _ => {
            let op = op::LookUp::new(REFERENCE, eur(1_000));
            let outcome = answer.read(slots.look_up().expect("offered"), &op, both);
            if let Some(LookUpReport::NotFound) = sandbox_said(&answer, outcome) {
                assert!(answer.json["items"].as_array().is_some_and(Vec::is_empty));
            }
        }
    }
}

/// What the sandbox said of a payment that it was to execute.
fn paid(answer: &Answer, outcome: Outcome<AuthorizeReport>) {
    let state = answer.text("state").unwrap_or_default();
    match sandbox_said(answer, outcome) {
        Some(AuthorizeReport::Authorized(_)) => {
            assert!(answer.repeats(1_000) && state == "authorized" && answer.json["part"].is_null());
        }
        Some(AuthorizeReport::PartiallyAuthorized(_, part)) => {
            assert!(state == "authorized" && answer.json["part"]["minor"] == part.minor());
        }
        Some(AuthorizeReport::Captured(_)) => {
            assert!(answer.repeats(1_000) && ["captured", "declined"].contains(&state));
        }
        Some(AuthorizeReport::Settled(_)) => assert!(answer.repeats(1_000) && state == "settled"),
        Some(AuthorizeReport::Verified(_)) => assert!(answer.repeats(1_000) && state == "verified"),
        Some(AuthorizeReport::Declined(_)) => assert!(state == "declined" && answer.json["code"].is_string()),
        Some(AuthorizeReport::Unexecuted(_)) => panic!("it was to be executed"),
        Some(_) | None => {}
    }
}

/// What the sandbox said, if it said something: a proof of nothing done only by its own error.
fn sandbox_said<R: std::fmt::Debug>(answer: &Answer, outcome: Outcome<R>) -> Option<R> {
    match outcome {
        Outcome::Answered(report) => {
            let said = [200, 201, 402, 404].contains(&answer.status);
            assert!(said && answer.json.is_object(), "{report:?} of {}", answer.status);
            Some(report)
        }
        Outcome::NotExecuted(proof) => {
            let listed = [400, 401, 404, 422, 429].contains(&answer.status);
            let fields = answer.json.as_object().map_or(0, serde_json::Map::len);
            let own = fields == 1 && answer.json["error"].is_string();
            assert!(listed && own, "{proof} of {} {}", answer.status, answer.json);
            None
        }
        Outcome::Unknown(_) => None,
    }
}

impl Answer {
    /// Whether it repeats our reference and that amount.
    fn repeats(&self, minor: i64) -> bool {
        let amount = &self.json["amount"];
        let currency = amount["currency"]
            .as_str()
            .is_some_and(|code| code.eq_ignore_ascii_case("eur"));
        amount["minor"] == minor && currency && self.text("reference") == Some(REFERENCE)
    }

    fn done(&self, state: &str, minor: i64) -> bool {
        self.text("state") == Some(state) && self.repeats(minor)
    }
}

/// A connector of somebody's own, as the guide has it: a table of statuses, and a body that repeats what was sent.
#[derive(Debug)]
struct Acme;

const ACME: StatusTable = StatusTable::new()
    .answers(&[200])
    .refuses(&[400, 401, 422, 429], "acme's documentation")
    .refusal_body(|answer| {
        answer
            .json::<AcmeError>()
            .is_ok_and(|error| error.code.starts_with("acme_"))
    });

#[derive(Deserialize)]
struct AcmeError {
    code: String,
}

#[derive(Deserialize)]
struct AcmePayment {
    id: String,
    paid: AcmeState,
    amount: Option<Money>,
    reference: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum AcmeState {
    Yes,
    No,
    Later,
}

impl Exchange<op::Authorize> for Acme {
    fn request(&self, op: &op::Authorize, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(Request::post("https://acme.test/pay").json((&op.reference, op.amount, key.as_str())))
    }

    fn report(&self, _: &op::Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
        let AcmePayment {
            id,
            paid,
            amount,
            reference,
        } = ACME.read(answer)?;
        let mut echo = Echo::none();
        if let Some(amount) = amount {
            echo = echo.amount(amount);
        }
        if let Some(reference) = reference {
            echo = echo.reference(reference);
        }
        Ok(match paid {
            AcmeState::Yes => AuthorizeReport::Settled(Approval::new(id, echo)),
            AcmeState::No => {
                AuthorizeReport::Declined(Decline::new(DeclineCode::DoNotHonor, DeclineKind::Soft, None))
            }
            AcmeState::Later => AuthorizeReport::Pending(id.into(), echo),
        })
    }
}

/// The answers of a connector of somebody's own: with each promise of what is repeated, only what is there and as sent
/// is a success.
pub fn own_answers(data: &[u8]) {
    let (_, answer) = Answer::parse(data);
    for (echoes, amount, reference) in [
        (Echoes::Nothing, false, false),
        (Echoes::Amount, true, false),
        (Echoes::Reference, false, true),
        (Echoes::AmountAndReference, true, true),
    ] {
        match answer.read(&Acme, &authorize(), echoes) {
            Outcome::Answered(report) => {
                assert_eq!(answer.status, 200);
                if let AuthorizeReport::Settled(_) = report
                    && answer.json.is_object()
                {
                    let (said, named) = (&answer.json["amount"], &answer.json["reference"]);
                    assert!(
                        said["minor"] == 1_000 || said.is_null() && !amount,
                        "{echoes:?} {}",
                        answer.json
                    );
                    assert!(
                        *named == REFERENCE || named.is_null() && !reference,
                        "{echoes:?} {}",
                        answer.json
                    );
                    assert_eq!(answer.text("paid"), Some("yes"));
                }
            }
            Outcome::NotExecuted(_) => {
                assert!([400, 401, 422, 429].contains(&answer.status));
                let code = answer.json["code"].as_str().or_else(|| answer.json[0].as_str());
                assert!(
                    code.is_some_and(|code| code.starts_with("acme_")),
                    "{}",
                    answer.json
                );
            }
            Outcome::Unknown(_) => {}
        }
    }
}
