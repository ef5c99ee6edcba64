//! The connector over HTTP against the stand-in: what is lost, repeated, late or refused, and what money moved.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod fixture;
mod server;

use std::sync::Arc;
use std::time::Duration;

use fixture::reference;
use paymux_core::connector::prelude::*;
use paymux_core::connector::{NotExecuted, Outcome};
use paymux_core::{IntentDetails, Mit, MitReason};
use paymux_standin_stripe::{Authentication, Endpoint, Fault, Standin};
use paymux_stripe::Stripe;
use serde_json::Value;
use server::*;

const SECRET: &str = "sk_test_standin";

async fn standin() -> (Standin, Account) {
    let standin = Standin::start().await.unwrap();
    let account = Account::new(standin.base_url(), SECRET);
    (standin, account)
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn capture_of(number: u8, handle: &Handle, minor: i64, rest: Rest) -> op::Capture {
    op::Capture::new(reference(number), handle.clone(), eur(minor), rest)
}

fn is_unknown<R>(outcome: &Outcome<R>) -> bool {
    matches!(outcome, Outcome::Unknown(_))
}

fn is_refused<R>(outcome: &Outcome<R>) -> bool {
    matches!(outcome, Outcome::NotExecuted(NotExecuted::Refused(_)))
}

/// How many charges there are, and how much of them was taken and given back.
fn money(standin: &Standin) -> (usize, i64, i64) {
    let charges = standin.ledger().charges();
    let taken = charges.iter().map(|charge| charge.captured).sum();
    (
        charges.len(),
        taken,
        charges.iter().map(|charge| charge.refunded).sum(),
    )
}

#[tokio::test]
async fn a_payment_is_taken_refunded_and_read() {
    for method in ["pm_card_visa", "tok_mastercard"] {
        let (standin, account) = standin().await;
        let paid = ten_euro(1, method, CaptureMethod::Automatic);
        let (handle, report) = account.authorize(1, &paid).await;
        assert!(matches!(&report, AuthorizeReport::Settled(_)), "{report:?}");
        let refund = account.answered(2, &refund_of(2, &handle, 400)).await;
        assert!(matches!(refund, RefundReport::Refunded(..)), "{refund:?}");
        let standing = account.standing(&handle, &paid).await;
        assert_eq!(
            (standing.captured, standing.refunded),
            (Some(eur(1000)), Some(eur(400)))
        );
        assert!(
            is_refused(&account.ask(3, &refund_of(3, &handle, 601)).await),
            "more than is left"
        );
        account.answered(4, &refund_of(4, &handle, 600)).await;
        assert!(
            is_refused(&account.ask(5, &refund_of(5, &handle, 1)).await),
            "nothing is left"
        );
        assert_eq!(money(&standin), (1, 1000, 1000));
        let line = &standin.ledger().charges()[0];
        assert_eq!(
            (line.payment_intent.as_str(), line.reference.as_deref()),
            (handle.as_str(), Some(&*reference(1)))
        );
    }
}

#[tokio::test]
async fn an_authorization_is_captured_in_part_once() {
    let (standin, account) = standin().await;
    let held = ten_euro(1, "pm_card_visa", CaptureMethod::Manual);
    let (handle, report) = account.authorize(1, &held).await;
    let AuthorizeReport::Authorized(approval) = report else {
        panic!("{report:?}")
    };
    assert!(approval.granted.capture_before.is_some() && approval.network_transaction_id.is_some());
    assert!(is_refused(
        &account.ask(2, &capture_of(2, &handle, 1001, Rest::Release)).await
    ));
    let captured = account
        .answered(3, &capture_of(3, &handle, 600, Rest::Release))
        .await;
    assert_eq!(
        captured,
        CaptureReport::Settled(handle.clone(), Echo::none().amount(eur(600)))
    );
    assert!(is_refused(
        &account.ask(4, &capture_of(4, &handle, 400, Rest::Release)).await
    ));
    let standing = account.standing(&handle, &held).await;
    assert_eq!(
        (standing.authorized, standing.captured),
        (Some(eur(1000)), Some(eur(600)))
    );
    assert_eq!(money(&standin), (1, 600, 0));
    assert!(standin.ledger().charges()[0].released);
}

#[tokio::test]
async fn what_was_given_up_is_not_captured() {
    let (standin, account) = standin().await;
    let held = ten_euro(1, "pm_card_visa", CaptureMethod::Manual);
    let (handle, _) = account.authorize(1, &held).await;
    let void = op::Void::new(reference(2), handle.clone(), eur(1000));
    assert_eq!(
        account.answered(2, &void).await,
        CloseReport::Closed(handle.clone(), Echo::none())
    );
    assert!(is_refused(
        &account.ask(3, &capture_of(3, &handle, 1000, Rest::Release)).await
    ));
    assert!(
        is_refused(&account.ask(4, &void).await),
        "a second void, by another operation"
    );
    assert!(matches!(
        account.standing(&handle, &held).await.report,
        AuthorizeReport::Voided(..)
    ));
    assert_eq!(money(&standin), (1, 0, 0));
}

#[tokio::test]
async fn several_captures_and_increments_where_they_are_granted() {
    let standin = Standin::start().await.unwrap();
    let asking = Stripe::new(SECRET, "main")
        .request_multicapture()
        .request_incremental();
    let account = Account::of(asking, standin.base_url(), SECRET);
    let held = ten_euro(1, "pm_card_visa", CaptureMethod::Manual);
    let (handle, report) = account.authorize(1, &held).await;
    let AuthorizeReport::Authorized(approval) = report else {
        panic!("{report:?}")
    };
    let granted = Granted::nothing().multicapture().incremental();
    assert_eq!(
        (approval.granted.multicapture, approval.granted.incremental),
        (granted.multicapture, granted.incremental)
    );

    let raised = op::Increment::new(reference(2), handle.clone(), eur(500), eur(1500));
    let report = account.answered(2, &raised).await;
    assert!(matches!(report, AuthorizeReport::Authorized(_)), "{report:?}");
    for (number, minor, rest) in [
        (3, 200, Rest::Keep),
        (4, 300, Rest::Keep),
        (5, 100, Rest::Release),
    ] {
        let report = account
            .answered(number, &capture_of(number, &handle, minor, rest))
            .await;
        assert!(matches!(report, CaptureReport::Settled(..)), "{report:?}");
    }
    let standing = account.standing(&handle, &held).await;
    assert_eq!(
        (standing.authorized, standing.captured),
        (Some(eur(1500)), Some(eur(600)))
    );
    assert_eq!(money(&standin), (1, 600, 0));
}

#[tokio::test]
async fn each_test_card_is_declined_as_documented() {
    let (standin, account) = standin().await;
    for (at, (method, code, kind)) in [
        (
            "pm_card_visa_chargeDeclined",
            DeclineCode::GenericDecline,
            DeclineKind::Soft,
        ),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            DeclineCode::InsufficientFunds,
            DeclineKind::Soft,
        ),
        (
            "pm_card_visa_chargeDeclinedLostCard",
            DeclineCode::LostCard,
            DeclineKind::Hard,
        ),
        (
            "pm_card_visa_chargeDeclinedStolenCard",
            DeclineCode::StolenCard,
            DeclineKind::Hard,
        ),
        (
            "pm_card_chargeDeclinedExpiredCard",
            DeclineCode::ExpiredCard,
            DeclineKind::Hard,
        ),
        (
            "pm_card_chargeDeclinedIncorrectCvc",
            DeclineCode::IncorrectCvc,
            DeclineKind::Hard,
        ),
        (
            "tok_chargeDeclinedProcessingError",
            DeclineCode::ProcessingError,
            DeclineKind::Soft,
        ),
        ("pm_card_radarBlock", DeclineCode::Fraudulent, DeclineKind::Hard),
    ]
    .into_iter()
    .enumerate()
    {
        let number = u8::try_from(at).unwrap() + 1;
        let asked = ten_euro(number, method, CaptureMethod::Automatic);
        let (handle, report) = account.authorize(number, &asked).await;
        for report in [report, account.standing(&handle, &asked).await.report] {
            let AuthorizeReport::Declined(decline) = report else {
                panic!("{method}: {report:?}")
            };
            assert_eq!((decline.code(), decline.kind()), (code, kind), "{method}");
        }
    }
    assert_eq!(money(&standin), (0, 0, 0));
}

#[tokio::test]
async fn the_payer_goes_to_the_banks_page_and_comes_back() {
    for (outcome, status) in [("complete", "succeeded"), ("fail", "failed")] {
        let (standin, account) = standin().await;
        let asked = ten_euro(1, "pm_card_threeDSecure2Required", CaptureMethod::Automatic)
            .return_url("https://shop.example/back?payment=1");
        let (handle, report) = account.authorize(1, &asked).await;
        let AuthorizeReport::ActionNeeded(_, action, _) = report else {
            panic!("{report:?}")
        };
        assert_eq!(
            action,
            Action::new(ActionKind::Redirect).with_secret("url", "any")
        );
        assert_eq!(money(&standin), (0, 0, 0), "nothing before the payer acts");
        let intent: Value = account
            .get(&format!("/v1/payment_intents/{handle}"))
            .await
            .json()
            .unwrap();
        let page = intent["next_action"]["redirect_to_url"]["url"].as_str().unwrap();
        let page = page.strip_prefix(standin.base_url()).unwrap();
        let back = account.get(&format!("{page}?outcome={outcome}")).await;
        let expected =
            format!("https://shop.example/back?payment=1&payment_intent={handle}&redirect_status={status}");
        assert_eq!(back.headers()["location"], expected);
        match account.standing(&handle, &asked).await.report {
            AuthorizeReport::Settled(approval) if outcome == "complete" => {
                assert_eq!(approval.three_ds.unwrap().eci.as_deref(), Some("05"));
            }
            AuthorizeReport::Declined(decline) if outcome == "fail" => {
                assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
            }
            other => panic!("{outcome}: {other:?}"),
        }
        assert_eq!(money(&standin).0, usize::from(outcome == "complete"));
    }
}

#[tokio::test]
async fn a_challenge_can_be_wanted_and_may_end_in_a_decline() {
    let (standin, account) = standin().await;
    let plain = ten_euro(1, "pm_card_threeDSecureOptional", CaptureMethod::Automatic);
    let (_, report) = account.authorize(1, &plain).await;
    assert!(matches!(report, AuthorizeReport::Settled(_)), "{report:?}");
    let wanted =
        ten_euro(2, "pm_card_threeDSecureOptional", CaptureMethod::Automatic).challenge(Challenge::Required);
    let (_, report) = account.authorize(2, &wanted).await;
    assert!(matches!(report, AuthorizeReport::ActionNeeded(..)), "{report:?}");

    let poor = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds";
    let declined = ten_euro(3, poor, CaptureMethod::Automatic);
    let (handle, report) = account.authorize(3, &declined).await;
    assert!(matches!(report, AuthorizeReport::ActionNeeded(..)), "{report:?}");
    standin
        .authenticate(handle.as_str(), Authentication::Completed)
        .unwrap();
    let AuthorizeReport::Declined(decline) = account.standing(&handle, &declined).await.report else {
        panic!("declined")
    };
    assert_eq!(decline.code(), DeclineCode::InsufficientFunds);
    assert_eq!(money(&standin), (1, 1000, 0));
}

#[tokio::test]
async fn without_the_payer_authentication_is_a_decline_of_its_own_kind() {
    let (_standin, account) = standin().await;
    let mut details = IntentDetails::default();
    details.mit = Some(Mit::new(MitReason::Unscheduled));
    let details = Arc::new(details);
    let asked =
        ten_euro(1, "pm_card_authenticationRequired", CaptureMethod::Automatic).details(details.clone());
    let (_, report) = account.authorize(1, &asked).await;
    let AuthorizeReport::Declined(decline) = report else {
        panic!("{report:?}")
    };
    assert_eq!(decline.kind(), DeclineKind::AuthenticationRequired);
    let method = "pm_card_authenticationRequiredSetupForOffSession";
    let set_up = ten_euro(2, method, CaptureMethod::Automatic).details(details);
    assert!(matches!(
        account.authorize(2, &set_up).await.1,
        AuthorizeReport::Settled(_)
    ));
}

#[tokio::test]
async fn a_lost_creation_is_asked_for_again_with_its_key() {
    for fault in [Fault::DropRequest, Fault::DropAnswer, Fault::Twice] {
        let (standin, account) = standin().await;
        let prepare = op::Prepare::new(ten_euro(1, "pm_card_visa", CaptureMethod::Automatic));
        standin.faults().next(Endpoint::Create, fault);
        let first = account.ask(1, &prepare).await;
        assert_eq!(is_unknown(&first), fault != Fault::Twice, "{first:?}");
        assert!(matches!(
            account.answered(1, &prepare).await,
            PrepareReport::Prepared(..)
        ));
        assert_eq!(standin.ledger().payments(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_lost_confirmation_is_read_by_its_handle_and_never_charged_twice() {
    for (fault, executed) in [(Fault::DropRequest, false), (Fault::DropAnswer, true)] {
        let (standin, account) = standin().await;
        let asked = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
        let handle = account.prepare(1, &asked).await;
        let execute = op::Execute::new(asked.clone(), handle.clone());
        standin.faults().next(Endpoint::Confirm, fault);
        assert!(is_unknown(&account.ask(1, &execute).await));
        let standing = account.standing(&handle, &asked).await.report;
        assert_eq!(
            matches!(standing, AuthorizeReport::Settled(_)),
            executed,
            "{standing:?}"
        );
        assert_eq!(standing == AuthorizeReport::Unexecuted(handle), !executed);
        assert!(
            matches!(account.answered(1, &execute).await, AuthorizeReport::Settled(_)),
            "the same key"
        );
        assert_eq!(money(&standin), (1, 1000, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_servers_error_stays_with_its_key_and_is_settled_by_a_read() {
    for (fault, executed) in [(Fault::ErrorBefore, false), (Fault::ErrorAfter, true)] {
        let (standin, account) = standin().await;
        let asked = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
        let handle = account.prepare(1, &asked).await;
        let execute = op::Execute::new(asked.clone(), handle.clone());
        standin.faults().next(Endpoint::Confirm, fault);
        assert!(is_unknown(&account.ask(1, &execute).await));
        assert!(
            is_unknown(&account.ask(1, &execute).await),
            "the key keeps the 500"
        );
        let standing = account.standing(&handle, &asked).await.report;
        assert_eq!(
            matches!(standing, AuthorizeReport::Settled(_)),
            executed,
            "{standing:?}"
        );
        assert_eq!(money(&standin).0, usize::from(executed), "{fault:?}");
    }
}

#[tokio::test]
async fn a_confirmation_by_another_key_is_a_doubt_once_it_went_through() {
    let (standin, account) = standin().await;
    let asked = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
    let (handle, _) = account.authorize(1, &asked).await;
    let again = account.ask(2, &op::Execute::new(asked, handle)).await;
    assert!(
        is_unknown(&again),
        "it would be a proof for another processor: {again:?}"
    );
    assert_eq!(money(&standin), (1, 1000, 0));
}

#[tokio::test]
async fn while_a_key_is_in_use_a_second_send_is_a_doubt() {
    let (standin, account) = standin().await;
    let asked = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
    let handle = account.prepare(1, &asked).await;
    let execute = op::Execute::new(asked, handle);
    standin
        .faults()
        .next(Endpoint::Confirm, Fault::Delay(Duration::from_millis(500)));
    let (one, other) = tokio::join!(account.ask(1, &execute), account.ask(1, &execute));
    let doubts = [is_unknown(&one), is_unknown(&other)];
    assert!(doubts[0] != doubts[1], "{one:?} {other:?}");
    assert_eq!(money(&standin), (1, 1000, 0));
}

#[tokio::test]
async fn a_key_with_other_parameters_is_a_doubt_and_after_a_day_is_forgotten() {
    let (standin, account) = standin().await;
    let first = op::Prepare::new(ten_euro(1, "pm_card_visa", CaptureMethod::Automatic));
    let other = op::Prepare::new(ten_euro(1, "pm_card_mastercard", CaptureMethod::Automatic));
    account.answered(1, &first).await;
    assert!(is_unknown(&account.ask(1, &other).await));
    assert_eq!(standin.ledger().payments(), 1);
    standin.advance(Duration::from_secs(24 * 3600 - 60));
    account.answered(1, &first).await;
    assert_eq!(standin.ledger().payments(), 1, "still known");
    standin.advance(Duration::from_secs(60));
    account.answered(1, &first).await;
    assert_eq!(standin.ledger().payments(), 2, "forgotten");
}

#[tokio::test]
async fn a_limited_or_unknown_caller_executes_nothing() {
    let (standin, account) = standin().await;
    let prepare = op::Prepare::new(ten_euro(1, "pm_card_visa", CaptureMethod::Automatic));
    standin.faults().next(Endpoint::Create, Fault::RateLimit);
    assert!(is_refused(&account.ask(1, &prepare).await));
    let stranger = Account::new(standin.base_url(), "pk_test_public");
    assert!(is_refused(&stranger.ask(1, &prepare).await));
    let unknown = op::Prepare::new(ten_euro(2, "pm_card_nobodys", CaptureMethod::Automatic));
    assert!(is_refused(&account.ask(2, &unknown).await));
    assert_eq!(standin.ledger().payments(), 0);
    let stray = account
        .raw("/v1/payment_intents", "amount=1000&currency=eur&colour=red")
        .await;
    assert_eq!(stray.status(), 400);
    let stray: Value = stray.json().unwrap();
    assert_eq!(
        (&stray["error"]["code"], &stray["error"]["param"]),
        (&"parameter_unknown".into(), &"colour".into())
    );
    account.answered(1, &prepare).await;
    assert_eq!(
        standin.ledger().payments(),
        1,
        "a refused request kept nothing of its key"
    );
}

#[tokio::test]
async fn a_lost_refund_is_found_among_the_payments_own() {
    for (fault, found) in [(Fault::DropAnswer, true), (Fault::DropRequest, false)] {
        let (standin, account) = standin().await;
        let (handle, _) = account
            .authorize(1, &ten_euro(1, "pm_card_visa", CaptureMethod::Automatic))
            .await;
        account.answered(2, &refund_of(2, &handle, 100)).await;
        let refund = refund_of(3, &handle, 300);
        standin.faults().next(Endpoint::Refund, fault);
        assert!(is_unknown(&account.ask(3, &refund).await));
        let ours = op::LookUpRefund::new(reference(3), handle.clone(), eur(300));
        let seen = account.answered(0, &ours).await;
        assert_eq!(
            matches!(seen, RefundReadReport::Found(RefundReport::Refunded(..))),
            found,
            "{seen:?}"
        );
        account.answered(3, &refund).await;
        assert_eq!(money(&standin), (1, 1000, 400), "{fault:?}");
    }
}

#[tokio::test]
async fn a_refund_may_settle_or_fail_later() {
    let (standin, account) = standin().await;
    for (number, method, at_once_pending) in [
        (1, "pm_card_pendingRefund", true),
        (3, "pm_card_refundFail", false),
    ] {
        let (handle, _) = account
            .authorize(number, &ten_euro(number, method, CaptureMethod::Automatic))
            .await;
        let refund = refund_of(number + 1, &handle, 300);
        let report = account.answered(number + 1, &refund).await;
        assert_eq!(
            matches!(report, RefundReport::Pending(..)),
            at_once_pending,
            "{report:?}"
        );
        standin.settle_refunds();
        let read = op::ReadRefund::new(
            report.handle().unwrap().clone(),
            refund.amount,
            refund.reference.clone(),
        );
        match account.answered(0, &read).await {
            RefundReadReport::Found(RefundReport::Refunded(..)) => assert!(at_once_pending),
            RefundReadReport::Found(RefundReport::Failed(decline)) => {
                assert_eq!(
                    (decline.code(), at_once_pending),
                    (DeclineCode::ExpiredCard, false)
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(money(&standin), (2, 2000, 300));
}

#[tokio::test]
async fn connected_accounts_are_kept_apart() {
    let (standin, platform) = standin().await;
    let of = |name: &str| {
        Account::of(
            Stripe::new(SECRET, "shop").connected_account(name),
            standin.base_url(),
            SECRET,
        )
    };
    let (one, other) = (of("acct_1"), of("acct_2"));
    let paid = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
    let (handle, _) = one.authorize(1, &paid).await;
    for stranger in [&platform, &other] {
        let read = op::Read::new(handle.clone(), paid.amount, paid.reference.clone());
        assert_eq!(stranger.answered(0, &read).await, ReadReport::NotFound);
        assert!(is_refused(&stranger.ask(2, &refund_of(2, &handle, 100)).await));
    }
    let (second, _) = other.authorize(1, &paid).await;
    assert_ne!(handle, second, "one key at two accounts is two keys");
    assert_eq!(money(&standin), (2, 2000, 0));
}

#[tokio::test]
async fn webhooks_are_signed_and_come_until_they_are_taken() {
    let standin = Standin::start().await.unwrap();
    let connected = Stripe::new(SECRET, "shop").connected_account("acct_1");
    let account = Account::of(connected, standin.base_url(), SECRET);
    let mailbox = Mailbox::open().await;
    standin.add_webhook(&mailbox.url, "whsec_test");
    let paid = ten_euro(1, "pm_card_visa", CaptureMethod::Automatic);
    let handle = account.prepare(1, &paid).await;
    let webhooks = account.connector.slots().webhooks().unwrap();
    let refused = mailbox.next(500).await;
    let inbound = mailbox.next(200).await;
    assert_eq!(refused.body, inbound.body, "the same event again");
    assert_eq!(
        webhooks.identify(&inbound).unwrap(),
        [account.connector.account().clone()]
    );
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
    let expected = Notice::hint(event["id"].as_str().unwrap(), handle.clone())
        .act("payment_intent.created")
        .reference(reference(1));
    assert_eq!(webhooks.decode(&verified).unwrap(), [expected]);

    account.answered(1, &op::Execute::new(paid, handle.clone())).await;
    let refund = account.answered(2, &refund_of(2, &handle, 300)).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let verified = webhooks
            .verify(&mailbox.next(200).await, &[Secret::from("whsec_test")], now())
            .await
            .unwrap();
        let event: Value = verified.json().unwrap();
        let notices = webhooks.decode(&verified).unwrap();
        let about = notices[0].about().clone();
        assert_eq!(
            about,
            if event["type"] == "refund.created" {
                refund.handle().unwrap().clone()
            } else {
                handle.clone()
            }
        );
        seen.push(event["type"].as_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(
        seen,
        ["charge.refunded", "payment_intent.succeeded", "refund.created"]
    );
}

#[tokio::test]
async fn another_process_can_set_faults_too() {
    let (_standin, account) = standin().await;
    let set = account
        .raw("/_faults", "endpoint=create&fault=drop_request&times=2")
        .await;
    assert_eq!(set.status(), 200);
    let prepare = op::Prepare::new(ten_euro(1, "pm_card_visa", CaptureMethod::Automatic));
    assert!(is_unknown(&account.ask(1, &prepare).await));
    assert!(is_unknown(&account.ask(1, &prepare).await));
    account.answered(1, &prepare).await;
    assert_eq!(
        account
            .raw("/_faults", "endpoint=create&fault=fire")
            .await
            .status(),
        400
    );
}
