//! What is secret appears in no row, event, unique, log, error or Debug.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux::connector::{Inbound, Request, Response, TimestampedHmac, Transport, TransportError};
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::store::StoreTime;
use paymux::stripe::Stripe;
use paymux::{
    AccountRef, Bytes, Clock, ConnectorId, EndpointId, Error, Mode, ReturnPayload, Secret, Volatile,
    prelude::*,
};
use support::*;
use tracing::field::{Field, Visit};

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut log = self.0.lock().unwrap();
        log.push_str(span.metadata().name());
        span.record(&mut Line(&mut log));
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

const PAN: &str = "4111111111111111";
const CVV: &str = "canary-cvv-737";
const CRYPTOGRAM: &str = "canary-cryptogram";
const PAYLOAD: &str = "canary-return-payload";

#[tokio::test]
async fn canaries_appear_nowhere() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let mut said = String::new();
    let mut secrets: Vec<String> = [PAN, CVV, CRYPTOGRAM, PAYLOAD].map(str::to_owned).to_vec();
    let mut written = String::new();
    for shape in [Shape::default(), Shape::handle_first(), Shape::bare()] {
        let world = World::of(shape, &["main"]).await;
        secrets.push(world.sandbox.webhook_secret().expose().to_owned());
        let methods = || {
            [
                PaymentMethod::wallet("apple_pay", Volatile::new(format!("{PAN} {CVV}"))),
                PaymentMethod::network_token("tok_approve", Volatile::new(CRYPTOGRAM)),
            ]
        };
        for fault in [
            None,
            Some(FaultKind::DropAnswer),
            Some(FaultKind::Refuse(422)),
            Some(FaultKind::Truncate),
        ] {
            for method in methods() {
                if let Some(fault) = fault {
                    world.sandbox.faults().clear();
                    world.fault(Call::Authorize, fault);
                    world.fault(Call::Execute, fault);
                }
                let new = NewIntent::payment(money!("100 EUR")).reference("order");
                write!(said, "{method:?} {new:?}").unwrap();
                let reply = world
                    .payments
                    .create_and_confirm(&world.payments.one_off_key(), new, method)
                    .await;
                match reply {
                    Ok(reply) => write!(
                        said,
                        "{reply:?} {}",
                        serde_json::to_string(reply.outcome.intent()).unwrap()
                    ),
                    Err(error) => write!(said, "{error} {error:?} {:?}", error.public()),
                }
                .unwrap();
            }
        }
        world.sandbox.faults().clear();
        let outcome = world.pay("tok_fingerprint_then_challenge").await;
        let PaymentOutcome::ActionRequired { intent, action } = &outcome else {
            panic!("{outcome:?}")
        };
        let shown = action.expose_to_payer().await.unwrap();
        let secret = shown["client_secret"].as_str().unwrap().to_owned();
        assert!(secret.len() > 8, "{shown}");
        secrets.push(secret);
        write!(
            said,
            "{outcome:?} {:?}",
            world.payments.next_action(intent.id()).await
        )
        .unwrap();
        let payload = ReturnPayload::query(Some(format!("x={PAYLOAD}")));
        write!(
            said,
            "{payload:?} {:?}",
            world.payments.complete(intent.id(), payload.clone()).await
        )
        .unwrap();
        world.deliver().await;
        let post = world.sandbox.forge(format!("{{\"pan\":\"{PAN}\"}}"));
        write!(said, "{:?}", world.post(post).await).unwrap();
        world.pass(2 * HOUR).await;
        write!(
            said,
            "{:?} {:?} {:?}",
            world.paymux,
            world.payments,
            world.unknowns().await
        )
        .unwrap();
        written.push_str(&world.store.written());
    }
    write!(said, "{:?} {:?}", Secret::from(PAN), Volatile::new(PAN)).unwrap();
    drop(guard);
    let logged = log.0.lock().unwrap().clone();
    assert!(
        logged.contains("paymux.create_and_confirm"),
        "the log was captured"
    );
    assert!(written.contains("tok_approve"), "the rows were captured as text");
    nowhere(&secrets, &written, &logged, &said);
}

/// None of these words stands in what was written, logged or shown.
#[track_caller]
fn nowhere(secrets: &[String], written: &str, logged: &str, said: &str) {
    for secret in secrets {
        for (place, text) in [
            ("a row", written),
            ("the log", logged),
            ("Debug or an error", said),
        ] {
            if let Some((before, _)) = text.split_once(secret.as_str()) {
                let start = before.char_indices().rev().nth(60).map_or(0, |(at, _)| at);
                panic!("`{secret}` stands in {place}, after {:?}", &before[start..]);
            }
        }
    }
}

/// All that an error says, down to its last cause.
fn tell(said: &mut String, error: &Error) {
    write!(said, "{error} {error:?} {:?} ", error.public()).unwrap();
    said.push_str(&serde_json::to_string(&error.public()).unwrap());
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        write!(said, "{error} {error:?}").unwrap();
        cause = error.source();
    }
}

const API_KEY: &str = "sk_test_canary_4eC39HqLyjWDarjtT1zdp7dc";
const WEBHOOK_SECRET: &str = "whsec_canary_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: std::time::Duration::from_secs(300),
};

/// A processor that makes each payment, then answers everything with the same, and prints what it was asked.
struct Echoing {
    status: u16,
    body: String,
    asked: Arc<Mutex<String>>,
}

impl std::fmt::Debug for Echoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Echoing")
    }
}

#[async_trait]
impl Transport for Echoing {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let form = String::from_utf8_lossy(request.bytes()).into_owned();
        let references = form.split('&').filter_map(|field| field.split_once('='));
        let reference = references
            .filter(|(name, _)| name.contains("[paymux]") || name.contains("%5Bpaymux%5D"))
            .map(|(_, value)| value)
            .next();
        let response = match reference {
            Some(reference) => Response::new(200, made(reference)),
            None => Response::from_parts(
                self.status.try_into().unwrap(),
                http::HeaderMap::new(),
                Bytes::from(self.body.clone()),
            ),
        };
        write!(self.asked.lock().unwrap(), "{request:?} {response:?}").unwrap();
        Ok(response)
    }
}

/// A payment that was made and not confirmed.
fn made(reference: &str) -> serde_json::Value {
    serde_json::json!({
        "id": "pi_1", "object": "payment_intent", "amount": 10_000, "amount_capturable": 0, "amount_received": 0,
        "currency": "eur", "status": "requires_confirmation", "capture_method": "automatic",
        "metadata": { "paymux": reference },
    })
}

/// Answers that repeat a card number, its code and our own keys wherever a processor could put them.
fn echoes() -> Vec<(u16, String)> {
    let message = format!("No such card: {PAN}, {CVV}; key {API_KEY}, {WEBHOOK_SECRET}");
    let error = |kind: &str, code: &str| {
        serde_json::json!({ "error": {
            "type": kind, "code": code, "decline_code": code, "message": message, "param": message,
        } })
        .to_string()
    };
    let intent = |status: &str, amount: serde_json::Value, reference: &str| {
        serde_json::json!({
            "id": "pi_1", "object": "payment_intent", "amount": amount, "amount_capturable": 0,
            "amount_received": 0, "currency": "eur", "status": status, "capture_method": "automatic",
            "description": message, "metadata": { "paymux": reference, "note": message },
            "last_payment_error": {
                "type": "card_error", "code": "card_declined", "decline_code": PAN, "message": message,
            },
        })
        .to_string()
    };
    let grouped = "4111-1111-1111-1111";
    vec![
        (402, error("card_error", "card_declined")),
        (402, error("card_error", PAN)),
        (402, error("card_error", grouped)),
        (402, error(PAN, PAN)),
        (400, error("invalid_request_error", PAN)),
        (401, error("authentication_error", PAN)),
        (404, error("invalid_request_error", PAN)),
        (429, error("rate_limit_error", PAN)),
        (500, error("api_error", PAN)),
        (200, message.clone()),
        (200, intent("requires_payment_method", 10_000.into(), PAN)),
        (200, intent("succeeded", PAN.into(), "order")),
        (200, intent(PAN, 10_000.into(), "order")),
    ]
}

#[tokio::test]
async fn what_a_processor_echoes_and_what_it_is_asked_with_appear_nowhere() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let (mut said, mut written) = (String::new(), String::new());
    for (status, body) in echoes() {
        let asked = Arc::<Mutex<String>>::default();
        let connector = Stripe::new(API_KEY, "main").connector(Arc::new(Echoing {
            status,
            body: body.clone(),
            asked: asked.clone(),
        }));
        write!(said, "{:?} {connector:?}", Stripe::new(API_KEY, "main")).unwrap();
        let endpoint = EndpointId::named(Mode::Test, "stripe");
        let account = AccountRef::new(ConnectorId::from_static("stripe"), "main");
        let secret = Secret::from(WEBHOOK_SECRET);
        let connectors = ConnectorMap::shared([connector])
            .unwrap()
            .endpoint(endpoint, account, [secret.clone()])
            .unwrap();
        write!(said, "{connectors:?} {secret:?}").unwrap();
        let (runtime, clock) = Runtime::test(7);
        let time = StoreTime::Injected(Arc::new(clock.clone()));
        let store = Recorder::over(MemoryStore::with_time(time));
        let paymux = Orchestrator::builder(store.clone(), connectors, runtime)
            .build()
            .await
            .unwrap();
        let payments = paymux.tenant(tenant());
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        match payments
            .create_and_confirm(&key("a"), new, card("pm_card_visa"))
            .await
        {
            Ok(reply) => {
                let intent = serde_json::to_string(reply.outcome.intent()).unwrap();
                write!(said, "{reply:?} {intent}").unwrap();
            }
            Err(error) => tell(&mut said, &error),
        }
        let event = format!(
            r#"{{"id":"evt_1","type":"payment_intent.succeeded","data":{{"object":{body}}},"note":"{PAN} {CVV}"}}"#
        );
        for body in [event, body] {
            let headers = SIGNATURE.sign(body.as_bytes(), &secret, clock.now());
            let inbound = Inbound {
                headers: headers.clone(),
                body: Bytes::from(body),
            };
            write!(said, "{inbound:?}").unwrap();
            let reply = paymux
                .handle_webhook(&endpoint, &headers, inbound.body.clone())
                .await;
            write!(said, "{reply:?}").unwrap();
            let forged = paymux
                .handle_webhook(&endpoint, &http::HeaderMap::new(), inbound.body)
                .await;
            write!(said, "{forged:?}").unwrap();
        }
        for _ in 0..6 {
            clock.advance(HOUR);
            match paymux.recover_due(20).await {
                Ok(progress) => write!(said, "{progress:?}").unwrap(),
                Err(error) => tell(&mut said, &error),
            }
        }
        write!(said, "{paymux:?} {payments:?} {}", asked.lock().unwrap()).unwrap();
        written.push_str(&store.written());
    }
    drop(guard);
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains("paymux.create_and_confirm") && written.contains("pm_card_visa"));
    assert!(
        written.contains("generic_decline") && said.contains("Accepted"),
        "answers and webhooks were read"
    );
    let secrets = [PAN, "4111-1111-1111-1111", CVV, API_KEY, WEBHOOK_SECRET].map(str::to_owned);
    nowhere(&secrets, &written, &logged, &said);
}
