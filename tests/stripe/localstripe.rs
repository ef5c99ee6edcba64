//! Against localstripe, a stateful fake of Stripe that others wrote. It runs where `tests/services/localstripe.sh` can
//! install it, or where `STRIPE_API_BASE` and `STRIPE_SECRET_KEY` name one that runs. Without it the tests say so and
//! pass, unless `PAYMUX_REQUIRE_SERVICES=1`.
//!
//! localstripe keeps no idempotency keys: what is repeated is tested against the stand-in.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use paymux::connector::{Request, Transport};
use paymux::prelude::*;
use paymux::stripe::Stripe;
use paymux::{
    ActionKind, AttemptStatus, DeclineCode, EndpointId, ErrorKind, IntentStatus, Mode, PaymentIntent,
    Received, ReturnPayload, Secret, VoidOutcome,
};
use serde_json::Value;

use crate::mailbox::Mailbox;
use crate::{http, key, policy, post, ten_euro};

struct Service {
    base: String,
    secret: String,
    /// It runs until its standard input ends, which is with this process.
    _until: Option<(Child, ChildStdin)>,
}

impl Service {
    async fn post(&self, path: &str, form: String) -> Value {
        let answer = post(&self.base, &self.secret, path, form).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().unwrap_or_default()
    }

    /// A payment method for a card number.
    async fn card(&self, number: &str) -> PaymentMethod {
        let form =
            format!("type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123");
        let made = self.post("/v1/payment_methods", form).await;
        PaymentMethod::card_token(made["id"].as_str().unwrap())
    }

    /// What its own books say of a payment.
    async fn payment(&self, intent: &PaymentIntent) -> Value {
        let handle = intent.attempts().last().unwrap().handle().unwrap().to_owned();
        let request = Request::get(format!("{}/v1/payment_intents/{handle}", self.base))
            .bearer(&Secret::from(self.secret.as_str()));
        http(Duration::from_secs(10))
            .send(request)
            .await
            .unwrap()
            .json()
            .unwrap()
    }

    /// Does what the payer's browser does with a client secret.
    async fn authenticate(&self, intent: &PaymentIntent, action: &NextAction, success: &str) {
        let shown = action.expose_to_payer().await.unwrap();
        let secret = shown["client_secret"].as_str().unwrap();
        let handle = intent.attempts().last().unwrap().handle().unwrap();
        let form = format!("client_secret={secret}&success={success}");
        self.post(&format!("/v1/payment_intents/{handle}/_authenticate"), form)
            .await;
    }
}

/// The service, started once, or nothing where it is missing and isn't required.
fn service() -> Option<&'static Service> {
    static SERVICE: OnceLock<Result<Service, String>> = OnceLock::new();
    let variables = || {
        (
            std::env::var("STRIPE_API_BASE"),
            std::env::var("STRIPE_SECRET_KEY"),
        )
    };
    let started = SERVICE.get_or_init(|| match variables() {
        (Ok(base), Ok(secret)) => Ok(Service {
            base,
            secret,
            _until: None,
        }),
        _unset => start(),
    });
    match started {
        Ok(service) => Some(service),
        Err(why) if std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() == Ok("1") => panic!("{why}"),
        Err(why) => {
            println!("skipped, without localstripe: {why}");
            None
        }
    }
}

fn start() -> Result<Service, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/localstripe.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let until = child.stdin.take().ok_or("no standard input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    let mut value = |name: &str| {
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let line = line.strip_prefix("export ").unwrap_or_default();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("no {name} from localstripe.sh"))
    };
    let (base, secret) = (value("STRIPE_API_BASE")?, value("STRIPE_SECRET_KEY")?);
    Ok(Service {
        base,
        secret,
        _until: Some((child, until)),
    })
}

/// README's lines, one after the other in a shell, with what asks for the variables in place of the example.
#[test]
fn readmes_lines_tell_the_next_program_where_it_is() {
    if let Err(why) = start() {
        assert!(
            std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() != Ok("1"),
            "{why}"
        );
        return println!("skipped, without localstripe: {why}");
    }
    // A target folder of its own, so that it stops no other's service; what is installed is that of the tests.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let own = tempfile::tempdir().unwrap();
    std::fs::create_dir(own.path().join("services")).unwrap();
    let home = own.path().join("services/localstripe");
    std::fs::create_dir(&home).unwrap();
    for entry in std::fs::read_dir(root.join(target).join("services/localstripe")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("venv-") {
            symlink(entry.path(), home.join(entry.file_name())).unwrap();
        }
    }
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let shown = "cargo run --example stripe\n";
    let (before, after) = readme.split_once(shown).expect("the example's line");
    let first = before.lines().last().unwrap();
    let last = after.lines().next().unwrap();
    let asks = "sh -c 'echo \"$STRIPE_API_BASE $STRIPE_SECRET_KEY\"'";
    for shell in ["sh", "bash"] {
        let ran = Command::new(shell)
            .args(["-c", &format!("{first}\n{asks}\n{last}")])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", own.path())
            .env_remove("STRIPE_API_BASE")
            .env_remove("STRIPE_SECRET_KEY")
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let address = said.strip_suffix(" sk_test_localstripe\n");
        assert!(
            ran.status.success() && address.is_some_and(|at| at.starts_with("http://127.0.0.1:")),
            "{shell}: {said:?} {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert!(!home.join("pid").exists(), "{last} stops it");
    }
}

const WEBHOOK_SECRET: &str = "whsec_test";

fn endpoint() -> EndpointId {
    EndpointId::named(Mode::Test, "stripe")
}

async fn host(service: &Service) -> (Orchestrator, Payments) {
    let connector = Stripe::new(service.secret.as_str(), "main")
        .base_url(&service.base)
        .connector(http(Duration::from_secs(10)));
    let account = connector.account().clone();
    let connectors = ConnectorMap::shared([connector])
        .unwrap()
        .endpoint(endpoint(), account, [Secret::from(WEBHOOK_SECRET)])
        .unwrap();
    let paymux = Orchestrator::builder(MemoryStore::new(), connectors, Runtime::tokio())
        .policy(policy())
        .build()
        .await
        .unwrap();
    let payments = paymux.tenant(Tenant::test("acme").unwrap());
    (paymux, payments)
}

fn visa() -> PaymentMethod {
    PaymentMethod::card_token("pm_card_visa")
}

#[tokio::test]
async fn an_automatic_capture_is_paid_replayed_and_refunded_in_parts() {
    let Some(service) = service() else { return };
    let (_paymux, payments) = host(service).await;
    let same = key("pay");
    let pay = || payments.create_and_confirm(&same, ten_euro(CaptureMethod::Automatic), visa());
    let paid = pay().await.unwrap();
    let PaymentOutcome::Succeeded(intent) = paid.outcome else {
        panic!("{:?}", paid.outcome)
    };
    let again = pay().await.unwrap();
    assert_eq!(
        (again.replay, again.outcome.intent()),
        (Replay::Replayed, &intent)
    );

    for (name, part, refunded) in [("one", money!("3 EUR"), 300), ("two", money!("7 EUR"), 1_000)] {
        // localstripe knows no parameter `reason`: this one sends none.
        let new = NewRefund::part(part, RefundReason::Dispute);
        let reply = payments.refund(&key(name), intent.id(), new).await.unwrap();
        assert!(
            matches!(reply.outcome, RefundOutcome::Succeeded(_)),
            "{:?}",
            reply.outcome
        );
        assert_eq!(
            payments.intent(intent.id()).await.unwrap().totals().refunded,
            refunded
        );
    }
    let more = NewRefund::part(money!("0.01 EUR"), RefundReason::RequestedByCustomer);
    let error = payments
        .refund(&key("three"), intent.id(), more)
        .await
        .unwrap_err();
    assert_eq!(error.faults()[0].field, "amount");
    let intent = payments.sync(intent.id()).await.unwrap();
    assert_eq!(
        (intent.totals().captured, intent.totals().refunded),
        (1_000, 1_000)
    );
    assert_eq!(service.payment(&intent).await["status"], "succeeded");
}

#[tokio::test]
async fn a_manual_capture_takes_the_whole_or_a_part() {
    let Some(service) = service() else { return };
    let (_paymux, payments) = host(service).await;
    let part = CaptureAmount::Part(money!("6 EUR"), Rest::Release);
    for (name, amount, captured) in [("whole", CaptureAmount::Remaining, 1_000), ("part", part, 600)] {
        let held = payments
            .create_and_confirm(&key(name), ten_euro(CaptureMethod::Manual), visa())
            .await
            .unwrap();
        let PaymentOutcome::Authorized(intent) = held.outcome else {
            panic!("{:?}", held.outcome)
        };
        assert_eq!(service.payment(&intent).await["status"], "requires_capture");
        let taken = payments
            .capture(&key(&format!("{name}-capture")), intent.id(), amount)
            .await
            .unwrap();
        let CaptureOutcome::Captured(intent) = taken.outcome else {
            panic!("{:?}", taken.outcome)
        };
        assert_eq!(intent.status(), IntentStatus::Succeeded);
        assert_eq!(
            (intent.totals().captured, intent.totals().capturable()),
            (captured, 0)
        );
        assert_eq!(service.payment(&intent).await["status"], "succeeded");
        let again = payments
            .capture(
                &key(&format!("{name}-again")),
                intent.id(),
                CaptureAmount::Remaining,
            )
            .await
            .unwrap_err();
        assert!(
            matches!(again.kind(), ErrorKind::InvalidTransition { .. }),
            "{again:?}"
        );
    }
}

#[tokio::test]
async fn what_is_held_or_waits_for_the_payer_is_given_up() {
    let Some(service) = service() else { return };
    let (_paymux, payments) = host(service).await;
    let held = payments
        .create_and_confirm(&key("held"), ten_euro(CaptureMethod::Manual), visa())
        .await
        .unwrap();
    let voided = payments
        .void(&key("void"), held.outcome.intent().id())
        .await
        .unwrap();
    let VoidOutcome::Voided(intent) = voided.outcome else {
        panic!("{:?}", voided.outcome)
    };
    assert_eq!(intent.status(), IntentStatus::Voided);
    assert_eq!(service.payment(&intent).await["status"], "canceled");

    let asked = service.card("4000002500003155").await;
    let waits = payments
        .create_and_confirm(&key("waits"), ten_euro(CaptureMethod::Automatic), asked)
        .await
        .unwrap();
    let cancelled = payments
        .cancel(&key("cancel"), waits.outcome.intent().id())
        .await
        .unwrap();
    let VoidOutcome::Voided(intent) = cancelled.outcome else {
        panic!("{:?}", cancelled.outcome)
    };
    assert_eq!(intent.status(), IntentStatus::Cancelled);
    assert_eq!(service.payment(&intent).await["status"], "canceled");
}

#[tokio::test]
async fn a_declined_card_leaves_the_payment_open_for_another() {
    let Some(service) = service() else { return };
    let (_paymux, payments) = host(service).await;
    let bad = service.card("4000000000000341").await;
    let refused = payments
        .create_and_confirm(&key("bad"), ten_euro(CaptureMethod::Automatic), bad)
        .await
        .unwrap();
    let PaymentOutcome::Declined { intent, decline } = refused.outcome else {
        panic!("{:?}", refused.outcome)
    };
    assert_eq!(decline.code(), DeclineCode::GenericDecline);
    assert_eq!(
        (intent.status(), intent.totals().authorized),
        (IntentStatus::Created, 0)
    );
    let paid = payments.confirm(&key("good"), intent.id(), visa()).await.unwrap();
    let PaymentOutcome::Succeeded(intent) = paid.outcome else {
        panic!("{:?}", paid.outcome)
    };
    let statuses: Vec<_> = intent.attempts().iter().map(|attempt| attempt.status()).collect();
    assert_eq!(statuses, [AttemptStatus::Declined, AttemptStatus::Settled]);
}

#[tokio::test]
async fn a_payer_authenticates_or_fails_to() {
    let Some(service) = service() else { return };
    let (_paymux, payments) = host(service).await;
    for (success, capture) in [
        ("true", CaptureMethod::Automatic),
        ("true", CaptureMethod::Manual),
        ("false", CaptureMethod::Automatic),
    ] {
        let card = service.card("4000002500003155").await;
        let asked = payments
            .create_and_confirm(&key(&format!("{success}-{capture:?}")), ten_euro(capture), card)
            .await
            .unwrap();
        let PaymentOutcome::ActionRequired { intent, action } = asked.outcome else {
            panic!("{:?}", asked.outcome)
        };
        assert_eq!(*action.kind(), ActionKind::ClientConfirm);
        // A page that the payer loads again later gets the secret from Stripe: no row has it.
        let later = payments.next_action(intent.id()).await.unwrap();
        assert_eq!(
            later.expose_to_payer().await.unwrap(),
            action.expose_to_payer().await.unwrap()
        );
        service.authenticate(&intent, &later, success).await;
        let outcome = payments
            .complete(intent.id(), ReturnPayload::none())
            .await
            .unwrap();
        match (success, capture, outcome) {
            ("true", CaptureMethod::Automatic, PaymentOutcome::Succeeded(intent)) => {
                assert_eq!(intent.totals().captured, 1_000);
            }
            ("true", CaptureMethod::Manual, PaymentOutcome::Authorized(intent)) => {
                assert_eq!(intent.totals().capturable(), 1_000);
            }
            ("false", CaptureMethod::Automatic, PaymentOutcome::Declined { decline, .. }) => {
                assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
            }
            (_, _, other) => panic!("{success} {capture:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_webhook_tells_of_a_payer_who_never_came_back() {
    let Some(service) = service() else { return };
    let (paymux, payments) = host(service).await;
    let mailbox = Mailbox::open().await;
    let form = format!("url={}&secret={WEBHOOK_SECRET}", mailbox.url);
    service.post("/_config/webhooks/paymux", form).await;
    let card = service.card("4000002500003155").await;
    let asked = payments
        .create_and_confirm(&key("pay"), ten_euro(CaptureMethod::Automatic), card)
        .await
        .unwrap();
    let PaymentOutcome::ActionRequired { intent, action } = asked.outcome else {
        panic!("{:?}", asked.outcome)
    };
    service.authenticate(&intent, &action, "true").await;

    // The other tests' payments post here too.
    let handle = intent.attempts()[0].handle().unwrap().to_owned();
    let told = async {
        loop {
            let posted = mailbox.next().await;
            let mut forged = posted.headers.clone();
            forged.insert("stripe-signature", "t=1,v1=00".parse().unwrap());
            let refused = paymux
                .handle_webhook(&endpoint(), &forged, posted.body.clone())
                .await;
            assert_eq!(
                (refused.received, refused.response.status().as_u16()),
                (Received::Refused, 401)
            );
            let reply = paymux
                .handle_webhook(&endpoint(), &posted.headers, posted.body.clone())
                .await;
            assert!(matches!(reply.received, Received::Accepted { .. }), "{reply:?}");
            let event: Value = serde_json::from_slice(&posted.body).unwrap();
            posted.answer(reply.response.status().as_u16()).await;
            let ours = event["data"]["object"]["id"] == handle.as_str();
            if ours && event["type"] == "payment_intent.succeeded" {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told)
        .await
        .expect("a webhook comes");
    let intent = payments.intent(intent.id()).await.unwrap();
    assert_eq!(
        (intent.status(), intent.totals().captured),
        (IntentStatus::Succeeded, 1_000)
    );
}
