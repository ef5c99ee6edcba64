//! What is secret appears in no row, event, unique, log, error or Debug.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{ReturnPayload, Secret, Volatile, prelude::*};
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
                PaymentMethod::Wallet {
                    wallet: "apple_pay".to_owned(),
                    payload: Volatile::new(format!("{PAN} {CVV}")),
                },
                PaymentMethod::NetworkToken {
                    token: "tok_approve".to_owned(),
                    cryptogram: Volatile::new(CRYPTOGRAM),
                },
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
    for secret in secrets {
        for (place, text) in [
            ("a row", &written),
            ("the log", &logged),
            ("Debug or an error", &said),
        ] {
            assert!(!text.contains(&secret), "`{secret}` stands in {place}");
        }
    }
}
