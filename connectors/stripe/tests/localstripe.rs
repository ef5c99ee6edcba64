//! The connector over HTTP against localstripe, a stateful fake of Stripe that others wrote. It runs where
//! `tests/services/localstripe.sh` can install it, or where `STRIPE_API_BASE` and `STRIPE_SECRET_KEY` name one that
//! runs. Without it the tests say so and pass, unless `PAYMUX_REQUIRE_SERVICES=1`.
//!
//! localstripe refuses parameters that it doesn't know and keeps no idempotency keys.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod fixture;
mod server;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use paymux_core::connector::prelude::*;
use paymux_core::connector::{NotExecuted, Outcome};
use serde_json::Value;
use server::*;

struct Service {
    base: String,
    secret: String,
    /// It runs until its standard input ends, which is with this process.
    _until: Option<(Child, ChildStdin)>,
}

/// The service, started once, or why there is none.
fn service() -> &'static Result<Service, String> {
    static SERVICE: OnceLock<Result<Service, String>> = OnceLock::new();
    SERVICE.get_or_init(|| {
        match (
            std::env::var("STRIPE_API_BASE"),
            std::env::var("STRIPE_SECRET_KEY"),
        ) {
            (Ok(base), Ok(secret)) => Ok(Service {
                base,
                secret,
                _until: None,
            }),
            _ => start(),
        }
    })
}

fn start() -> Result<Service, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/services/localstripe.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let until = child.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
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

/// The account to test with, or nothing where the service is missing and isn't required.
fn account() -> Option<Account> {
    match service() {
        Ok(service) => Some(Account::new(&service.base, &service.secret)),
        Err(why) if std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() == Ok("1") => panic!("{why}"),
        Err(why) => {
            println!("skipped, without localstripe: {why}");
            None
        }
    }
}

/// A payment method for a card number.
async fn card(account: &Account, number: &str) -> String {
    let form =
        format!("type=card&card[number]={number}&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123");
    let made: Value = account.raw("/v1/payment_methods", &form).await.json().unwrap();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_automatic_capture_settles_and_is_refunded_in_parts() {
    let Some(account) = account() else { return };
    let paid = ten_euro(number(), "pm_card_visa", CaptureMethod::Automatic);
    let (handle, report) = account.authorize(number(), &paid).await;
    assert!(matches!(report, AuthorizeReport::Settled(_)), "{report:?}");
    assert!(matches!(
        account.standing(&handle, &paid).await.report,
        AuthorizeReport::Settled(_)
    ));

    let (first, second) = (number(), number());
    let report = account.answered(first, &refund_of(first, &handle, 300)).await;
    assert!(matches!(report, RefundReport::Refunded(..)), "{report:?}");
    let refund = refund_of(second, &handle, 700);
    let report = account.answered(second, &refund).await;
    let by_handle = op::ReadRefund::new(
        report.handle().unwrap().clone(),
        refund.amount,
        refund.reference.clone(),
    );
    assert_eq!(
        account.answered(0, &by_handle).await,
        RefundReadReport::Found(report.clone())
    );
    let ours = op::LookUpRefund::new(refund.reference, handle.clone(), refund.amount);
    assert_eq!(account.answered(0, &ours).await, RefundReadReport::Found(report));
    let nobodys = op::LookUpRefund::new(fixture::reference(number()), handle, refund.amount);
    assert_eq!(account.answered(0, &nobodys).await, RefundReadReport::NotFound);
}

#[tokio::test]
async fn a_manual_capture_takes_the_whole_or_a_part() {
    let Some(account) = account() else { return };
    for minor in [1000, 600] {
        let held = ten_euro(number(), "pm_card_visa", CaptureMethod::Manual);
        let (handle, report) = account.authorize(number(), &held).await;
        assert!(matches!(report, AuthorizeReport::Authorized(_)), "{report:?}");
        let amount = Money::from_minor(minor, Currency::EUR);
        let capture = op::Capture::new(
            fixture::reference(number()),
            handle.clone(),
            amount,
            Rest::Release,
        );
        let report = account.answered(number(), &capture).await;
        assert!(matches!(report, CaptureReport::Settled(..)), "{report:?}");
        assert!(matches!(
            account.standing(&handle, &held).await.report,
            AuthorizeReport::Settled(_)
        ));
        let again = account.ask(number(), &capture).await;
        assert!(
            matches!(again, Outcome::NotExecuted(NotExecuted::Refused(_))),
            "{again:?}"
        );
    }
}

#[tokio::test]
async fn what_is_held_or_unconfirmed_can_be_given_up() {
    let Some(account) = account() else { return };
    let held = ten_euro(number(), "pm_card_visa", CaptureMethod::Manual);
    let (handle, _) = account.authorize(number(), &held).await;
    let void = op::Void::new(fixture::reference(number()), handle.clone(), held.amount);
    assert_eq!(
        account.answered(number(), &void).await,
        CloseReport::Closed(handle.clone(), Echo::none())
    );
    assert!(matches!(
        account.standing(&handle, &held).await.report,
        AuthorizeReport::Voided(..)
    ));

    let made = ten_euro(number(), "pm_card_visa", CaptureMethod::Automatic);
    let handle = account.prepare(number(), &made).await;
    assert_eq!(
        account.standing(&handle, &made).await.report,
        AuthorizeReport::Unexecuted(handle.clone())
    );
    let cancel = op::Cancel::new(fixture::reference(number()), handle.clone(), made.amount);
    assert_eq!(
        account.answered(number(), &cancel).await,
        CloseReport::Closed(handle.clone(), Echo::none())
    );
    let late = account.ask(number(), &op::Execute::new(made, handle)).await;
    assert!(
        matches!(late, Outcome::NotExecuted(NotExecuted::Refused(_))),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_declined_card_is_an_answer() {
    let Some(account) = account() else { return };
    let method = card(&account, "4000000000000341").await;
    let refused = ten_euro(number(), &method, CaptureMethod::Automatic);
    let (handle, report) = account.authorize(number(), &refused).await;
    for report in [report, account.standing(&handle, &refused).await.report] {
        let AuthorizeReport::Declined(decline) = report else {
            panic!("{report:?}")
        };
        assert_eq!(
            (decline.code(), decline.kind()),
            (DeclineCode::GenericDecline, DeclineKind::Soft)
        );
    }
    let refund = account.ask(number(), &refund_of(number(), &handle, 1)).await;
    assert!(matches!(refund, Outcome::NotExecuted(_)), "{refund:?}");
}

#[tokio::test]
async fn a_payer_authenticates_or_fails_to() {
    let Some(account) = account() else { return };
    for (success, capture) in [
        ("true", CaptureMethod::Automatic),
        ("true", CaptureMethod::Manual),
        ("false", CaptureMethod::Automatic),
    ] {
        let method = card(&account, "4000002500003155").await;
        let asked = ten_euro(number(), &method, capture);
        let (handle, report) = account.authorize(number(), &asked).await;
        let AuthorizeReport::ActionNeeded(_, action, _) = report else {
            panic!("{report:?}")
        };
        let by_script = Action::new(ActionKind::ClientConfirm).with_secret("client_secret", "any");
        assert_eq!(action, by_script.open_after_decline());
        let path = format!("/v1/payment_intents/{handle}");
        let intent: Value = account.get(&path).await.json().unwrap();
        let secret = intent["client_secret"].as_str().unwrap();
        let form = format!("client_secret={secret}&success={success}");
        assert_eq!(
            account
                .raw(&format!("{path}/_authenticate"), &form)
                .await
                .status(),
            200
        );
        let report = account.standing(&handle, &asked).await.report;
        match (success, capture) {
            ("true", CaptureMethod::Automatic) => {
                assert!(matches!(report, AuthorizeReport::Settled(_)), "{report:?}")
            }
            ("true", CaptureMethod::Manual) => {
                assert!(matches!(report, AuthorizeReport::Authorized(_)), "{report:?}")
            }
            _ => {
                let AuthorizeReport::Declined(decline) = report else {
                    panic!("{report:?}")
                };
                assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
            }
        }
    }
}

#[tokio::test]
async fn what_is_unknown_there_is_refused_or_not_found() {
    let Some(account) = account() else { return };
    let unknown = ten_euro(number(), "pm_nobodys", CaptureMethod::Automatic);
    let outcome = account.ask(number(), &op::Prepare::new(unknown.clone())).await;
    assert!(
        matches!(outcome, Outcome::NotExecuted(NotExecuted::Refused(_))),
        "{outcome:?}"
    );
    let read = op::Read::new("pi_nobodys".into(), unknown.amount, unknown.reference);
    assert_eq!(account.answered(0, &read).await, ReadReport::NotFound);
}

#[tokio::test]
async fn its_webhooks_are_genuine_and_name_the_payment() {
    let Some(account) = account() else { return };
    let mailbox = Mailbox::open().await;
    let form = format!("url={}&secret=whsec_test", mailbox.url);
    assert_eq!(account.raw("/_config/webhooks/paymux", &form).await.status(), 200);
    let paid = ten_euro(number(), "pm_card_visa", CaptureMethod::Automatic);
    let (handle, _) = account.authorize(number(), &paid).await;
    let webhooks = account.connector.slots().webhooks().unwrap();
    let expected = |event: &str| {
        Notice::hint(event, handle.clone())
            .act("payment_intent.succeeded")
            .reference(paid.reference.clone())
    };
    // The other tests' payments post here too.
    loop {
        let inbound = mailbox.next(200).await;
        assert!(
            webhooks
                .verify(&inbound, &[Secret::from("whsec_other")], now())
                .await
                .is_err()
        );
        let verified = webhooks
            .verify(&inbound, &[Secret::from("whsec_test")], now())
            .await
            .expect("genuine");
        let event: Value = inbound.json().unwrap();
        if event["data"]["object"]["id"] == handle.as_str() {
            assert_eq!(
                webhooks.identify(&inbound).unwrap(),
                [account.connector.account().clone()]
            );
            assert_eq!(
                webhooks.decode(&verified).unwrap(),
                [expected(event["id"].as_str().unwrap())]
            );
            break;
        }
    }
}
