//! What the connector makes of Stripe's answers, as its documentation writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod fixture;

use std::sync::Arc;

use fixture::*;
use paymux_core::connector::prelude::*;
use paymux_core::connector::{Contradiction, NotExecuted, Outcome, outcome_of};
use paymux_core::{
    CardNetwork, DeclineAdvice, NetworkAdvice, NeverAgain, RefundReason, RetryInstruction, RetryRule, ThreeDs,
};
use serde_json::{Value, json};

/// docs.stripe.com/api/payment_intents/object, with what a status changes on top.
fn intent(status: &str, change: Value) -> Value {
    let mut body = json!({
        "id": "pi_1", "object": "payment_intent", "amount": 1000, "amount_capturable": 0,
        "amount_details": { "tip": {} }, "amount_received": 0, "canceled_at": null, "capture_method": "automatic",
        "client_secret": "pi_1_secret_canary", "confirmation_method": "automatic", "created": 1_700_000_000,
        "currency": "eur", "customer": null, "description": null, "last_payment_error": null,
        "latest_charge": null, "livemode": false, "metadata": { "paymux": reference(1), "order": "7" },
        "next_action": null, "payment_method": "pm_1", "payment_method_types": ["card"], "status": status,
    });
    merge(&mut body, change);
    body
}

fn charge(change: Value) -> Value {
    let mut body = json!({
        "id": "ch_1", "object": "charge", "amount": 1000, "amount_captured": 1000, "amount_refunded": 0,
        "captured": true, "currency": "eur", "payment_intent": "pi_1", "status": "succeeded",
        "payment_method_details": { "type": "card", "card": {
            "brand": "visa", "last4": "4242", "capture_before": null,
            "multicapture": { "status": "unavailable" }, "incremental_authorization": { "status": "unavailable" },
            "extended_authorization": { "status": "disabled" },
            "overcapture": { "maximum_amount_capturable": 1000, "status": "unavailable" },
            "network_transaction_id": null, "three_d_secure": null,
        } },
    });
    merge(&mut body, change);
    body
}

fn refunded(status: &str, change: Value) -> Value {
    let mut body = json!({
        "id": "re_1", "object": "refund", "amount": 400, "charge": "ch_1", "currency": "eur",
        "created": 1_700_000_000, "metadata": { "paymux": reference(6) }, "payment_intent": "pi_1",
        "reason": null, "status": status,
    });
    merge(&mut body, change);
    body
}

fn declined(code: &str, decline_code: Option<&str>) -> Value {
    let failed =
        json!({ "type": "card_error", "code": code, "decline_code": decline_code, "message": "No." });
    let intent = intent("requires_payment_method", json!({ "last_payment_error": failed }));
    let mut error = json!({ "type": "card_error", "code": code, "payment_intent": intent, "message": "No." });
    if let Some(word) = decline_code {
        error["decline_code"] = word.into();
    }
    json!({ "error": error })
}

fn error(kind: &str, code: Option<&str>) -> Value {
    json!({ "error": { "type": kind, "code": code, "message": "canary" } })
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

fn paid() -> Value {
    intent(
        "succeeded",
        json!({ "amount_received": 1000, "latest_charge": charge(json!({})) }),
    )
}

fn echo(minor: i64) -> Echo {
    Echo::none().amount(eur(minor)).reference(reference(1))
}

fn is_unknown<R: std::fmt::Debug>(outcome: &Outcome<R>) -> bool {
    matches!(outcome, Outcome::Unknown(_))
}

fn contradicts<R: std::fmt::Debug>(outcome: &Outcome<R>) -> bool {
    matches!(outcome, Outcome::Unknown(doubt) if doubt.contradicts == Contradiction::Echo)
}

#[test]
fn a_made_payment_has_a_handle_and_is_not_confirmed() {
    let made = prepare().outcome(&connector(), 200, intent("requires_confirmation", json!({})));
    assert_eq!(
        made,
        Outcome::Answered(PrepareReport::Prepared("pi_1".into(), echo(1000)))
    );
    assert!(is_unknown(&prepare().outcome(&connector(), 200, paid())));
    let declined = prepare().outcome(&connector(), 402, declined("incorrect_number", None));
    let Outcome::Answered(PrepareReport::Declined(decline)) = declined else {
        panic!("{declined:?}")
    };
    assert_eq!(decline.code(), DeclineCode::IncorrectNumber);
}

#[test]
fn each_status_after_a_confirmation_is_one_report() {
    let report = |status, change| {
        let outcome = execute().outcome(&connector(), 200, intent(status, change));
        let Outcome::Answered(report) = outcome else {
            panic!("{status}: {outcome:?}")
        };
        report
    };
    assert_eq!(
        report("succeeded", json!({ "amount_received": 1000 })),
        AuthorizeReport::Settled(Approval::new("pi_1", echo(1000)))
    );
    assert_eq!(
        report("requires_capture", json!({ "amount_capturable": 1000 })),
        AuthorizeReport::Authorized(Approval::new("pi_1", echo(1000)))
    );
    assert_eq!(
        report("requires_capture", json!({ "amount_capturable": 600 })),
        AuthorizeReport::PartiallyAuthorized(Approval::new("pi_1", echo(600)), eur(600))
    );
    assert_eq!(
        report("processing", json!({})),
        AuthorizeReport::Pending("pi_1".into(), echo(1000))
    );
    assert_eq!(
        report("canceled", json!({})),
        AuthorizeReport::Voided("pi_1".into(), echo(1000))
    );
    let failed = json!({ "last_payment_error": { "type": "card_error", "code": "card_declined",
        "decline_code": "insufficient_funds" } });
    let AuthorizeReport::Declined(decline) = report("requires_payment_method", failed) else {
        panic!("declined")
    };
    assert_eq!(
        (decline.code(), decline.kind()),
        (DeclineCode::InsufficientFunds, DeclineKind::Soft)
    );
    for unexplained in ["requires_confirmation", "requires_payment_method"] {
        assert!(
            is_unknown(&execute().outcome(&connector(), 200, intent(unexplained, json!({})))),
            "{unexplained}"
        );
    }
}

#[test]
fn what_was_granted_stands_on_the_charge() {
    let charge = charge(json!({ "payment_method_details": { "card": {
        "capture_before": 1_700_600_000, "multicapture": { "status": "available" },
        "incremental_authorization": { "status": "available" },
        "overcapture": { "maximum_amount_capturable": 1200, "status": "available" },
        "network_transaction_id": "nti_1",
        "three_d_secure": { "electronic_commerce_indicator": "05", "transaction_id": "ds_1", "version": "2.2.0",
            "result": "authenticated" },
    } } }));
    let held = intent(
        "requires_capture",
        json!({ "amount_capturable": 1000, "latest_charge": charge }),
    );
    let mut secure = ThreeDs::default();
    secure.eci = Some("05".to_owned());
    secure.ds_trans_id = Some("ds_1".to_owned());
    secure.version = Some("2.2.0".to_owned());
    let granted = Granted::nothing()
        .multicapture()
        .incremental()
        .capturable_max(1200)
        .capture_before(Timestamp::from_secs(1_700_600_000));
    let approval = Approval::new("pi_1", echo(1000))
        .granted(granted)
        .network_transaction_id("nti_1")
        .three_ds(secure);
    let outcome = execute().outcome(&connector(), 200, held);
    assert_eq!(outcome, Outcome::Answered(AuthorizeReport::Authorized(approval)));
}

#[test]
fn detail_of_another_shape_takes_nothing_away_from_an_answer() {
    for odd in [
        json!("ch_1"),
        json!({ "payment_method_details": { "card": { "capture_before": "soon" } } }),
    ] {
        let body = intent(
            "succeeded",
            json!({ "amount_received": 1000, "latest_charge": odd }),
        );
        let expected = AuthorizeReport::Settled(Approval::new("pi_1", echo(1000)));
        assert_eq!(
            execute().outcome(&connector(), 200, body),
            Outcome::Answered(expected)
        );
    }
}

#[test]
fn what_the_payer_needs_is_secret_and_is_not_kept() {
    let acts = |next: Value| {
        let body = intent("requires_action", json!({ "next_action": next }));
        match execute().outcome(&connector(), 200, body) {
            Outcome::Answered(AuthorizeReport::ActionNeeded(handle, action, seen)) => {
                assert_eq!((handle.as_str(), seen), ("pi_1", echo(1000)));
                assert!(!format!("{action:?}").contains("canary"), "{action:?}");
                action
            }
            other => panic!("{other:?}"),
        }
    };
    let secret = |kind, name| Action::new(kind).with_secret(name, "any");
    let page =
        json!({ "type": "redirect_to_url", "redirect_to_url": { "url": "https://hooks.stripe.com/canary" } });
    assert_eq!(acts(page), secret(ActionKind::Redirect, "url"));
    let script = json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "three_d_secure_redirect" } });
    // A client secret lets its payer try again after a decline; an address or a code doesn't.
    let by_script = secret(ActionKind::ClientConfirm, "client_secret").open_after_decline();
    assert_eq!(acts(script), by_script);
    let voucher = json!({ "type": "boleto_display_details",
        "boleto_display_details": { "hosted_voucher_url": "https://payments.stripe.com/canary" } });
    assert_eq!(acts(voucher), secret(ActionKind::Voucher, "url"));
    let code = json!({ "type": "pix_display_qr_code", "pix_display_qr_code": { "data": "canary" } });
    assert_eq!(acts(code), secret(ActionKind::Qr, "data"));
    let wait = json!({ "type": "card_await_notification", "card_await_notification": {} });
    assert_eq!(acts(wait), Action::new(ActionKind::Wait));
    assert_eq!(acts(json!({ "type": "new_thing" })), by_script);
}

#[test]
fn every_status_that_the_description_lists_is_read() {
    let facts: Value = serde_json::from_str(include_str!("facts/openapi.json")).unwrap();
    for status in facts["payment_intent.status"].as_array().unwrap() {
        let next = json!({ "next_action": { "type": "use_stripe_sdk" } });
        let found = read().outcome(&connector(), 200, intent(status.as_str().unwrap(), next));
        assert!(
            matches!(found, Outcome::Answered(ReadReport::Found(_))),
            "{status}: {found:?}"
        );
    }
    for status in facts["refund.status"].as_array().unwrap() {
        let found = read_refund().outcome(&connector(), 200, refunded(status.as_str().unwrap(), json!({})));
        assert!(!is_unknown(&found), "{status}: {found:?}");
    }
    for next in facts["next_action.type"].as_array().unwrap() {
        let body = intent("requires_action", json!({ "next_action": { "type": next } }));
        assert!(!is_unknown(&execute().outcome(&connector(), 200, body)), "{next}");
    }
}

#[test]
fn a_decline_is_an_answer() {
    for (code, decline_code, expected, kind) in [
        (
            "card_declined",
            Some("insufficient_funds"),
            DeclineCode::InsufficientFunds,
            DeclineKind::Soft,
        ),
        (
            "card_declined",
            Some("stolen_card"),
            DeclineCode::StolenCard,
            DeclineKind::Hard,
        ),
        (
            "card_declined",
            None,
            DeclineCode::GenericDecline,
            DeclineKind::Soft,
        ),
        ("expired_card", None, DeclineCode::ExpiredCard, DeclineKind::Hard),
        (
            "authentication_required",
            Some("authentication_required"),
            DeclineCode::AuthenticationRequired,
            DeclineKind::AuthenticationRequired,
        ),
        (
            "card_declined",
            Some("brand_new_reason"),
            DeclineCode::Unmapped,
            DeclineKind::Hard,
        ),
    ] {
        let outcome = execute().outcome(&connector(), 402, declined(code, decline_code));
        let Outcome::Answered(AuthorizeReport::Declined(decline)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            (decline.code(), decline.kind()),
            (expected, kind),
            "{code} {decline_code:?}"
        );
        assert_eq!(decline.network_code(), decline_code.or(Some(code)));
    }
}

/// A 402 with what a network adds to the error (docs.stripe.com/api/errors).
fn declined_by_network(said: Value) -> Decline {
    let mut body = declined("card_declined", Some("insufficient_funds"));
    merge(&mut body["error"], said);
    let outcome = execute().outcome(&connector(), 402, body);
    let Outcome::Answered(AuthorizeReport::Declined(decline)) = outcome else {
        panic!("{outcome:?}")
    };
    decline
}

#[test]
fn what_the_network_says_of_a_decline_is_handed_on() {
    let mastercard =
        json!({ "id": "pm_1", "type": "card", "card": { "brand": "mastercard", "last4": "4444" } });
    let decline = declined_by_network(
        json!({ "payment_method": mastercard, "network_decline_code": "51",
        "network_advice_code": "03", "advice_code": "do_not_try_again" }),
    );
    let said = NetworkAdvice::of(CardNetwork::Mastercard)
        .response_code("51")
        .advice_code("03");
    assert_eq!(
        decline.network(),
        Some(&said.instruction(RetryInstruction::DoNotTryAgain))
    );
    assert_eq!(
        (decline.code(), decline.kind(), decline.advice()),
        (
            DeclineCode::InsufficientFunds,
            DeclineKind::Hard,
            DeclineAdvice::GiveUp
        )
    );

    let decline = declined_by_network(json!({ "payment_method": mastercard, "network_advice_code": "27" }));
    let after = Duration::from_secs(4 * 86_400);
    assert_eq!(decline.advice(), DeclineAdvice::TryLater { after });
    assert!(!decline.may_cascade());

    let decline = declined_by_network(json!({ "advice_code": "confirm_card_data" }));
    assert_eq!(
        (decline.kind(), decline.advice()),
        (DeclineKind::Hard, DeclineAdvice::TryAnotherMethod)
    );
    let decline = declined_by_network(json!({ "advice_code": "try_again_later" }));
    assert_eq!(
        decline.network().and_then(NetworkAdvice::instructs),
        Some(RetryInstruction::TryAgainLater)
    );
    assert!(decline.may_cascade());
}

/// None of it makes an answer unreadable, nor a decline of another charge's words.
#[test]
fn what_says_nothing_of_the_network_adds_nothing() {
    for said in [
        json!({}),
        json!({ "network_decline_code": null, "network_advice_code": null, "advice_code": null }),
        json!({ "advice_code": "ask_the_oracle" }),
        json!({ "advice_code": 7, "network_advice_code": [], "payment_method": "pm_1", "charge": {} }),
        json!({ "payment_method": { "card": { "brand": "visa" } } }),
    ] {
        let decline = declined_by_network(said.clone());
        assert_eq!(decline.network(), None, "{said}");
        assert!(decline.may_cascade(), "{said}");
    }
}

/// docs.stripe.com/api/charges/object, `outcome`
#[test]
fn a_read_takes_the_networks_words_from_the_declined_charge() {
    let failed = json!({ "type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
        "charge": "ch_1" });
    let outcome = json!({ "network_status": "declined_by_network", "type": "issuer_declined",
        "network_decline_code": "57", "network_advice_code": null, "advice_code": null });
    let read_with = |charge_id: &str| {
        let charge = charge(json!({ "id": charge_id, "outcome": outcome, "status": "failed",
            "payment_method_details": { "card": { "network": "visa" } } }));
        let body = intent(
            "requires_payment_method",
            json!({ "last_payment_error": failed, "latest_charge": charge }),
        );
        let outcome = execute().outcome(&connector(), 200, body);
        let Outcome::Answered(AuthorizeReport::Declined(decline)) = outcome else {
            panic!("{outcome:?}")
        };
        decline
    };
    let decline = read_with("ch_1");
    assert_eq!(
        decline.network(),
        Some(&NetworkAdvice::of(CardNetwork::Visa).response_code("57"))
    );
    assert_eq!(decline.retry_rule(), RetryRule::Never(NeverAgain::ThisPayment));
    assert_eq!(read_with("ch_2").network(), None, "of another charge");
}

/// docs.stripe.com/declines/codes, docs.stripe.com/refunds#failed-refunds
#[test]
fn every_decline_code_of_stripes_lists_is_mapped() {
    let facts: Value = serde_json::from_str(include_str!("facts/docs.json")).unwrap();
    for code in facts["decline_code"].as_array().unwrap() {
        let code = code.as_str().unwrap();
        let outcome = execute().outcome(&connector(), 402, declined("card_declined", Some(code)));
        let Outcome::Answered(AuthorizeReport::Declined(decline)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_ne!(decline.code(), DeclineCode::Unmapped, "{code}");
    }
    for reason in facts["refund.failure_reason"].as_array().unwrap() {
        let failed = refunded("failed", json!({ "failure_reason": reason }));
        let outcome = read_refund().outcome(&connector(), 200, failed);
        let Outcome::Answered(RefundReadReport::Found(RefundReport::Failed(decline))) = outcome else {
            panic!("{reason}: {outcome:?}")
        };
        assert_ne!(decline.code(), DeclineCode::Unmapped, "{reason}");
    }
}

#[test]
fn a_refused_request_executed_nothing() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "invalid_request_error"),
        (403, "invalid_request_error"),
        (404, "invalid_request_error"),
        (429, "invalid_request_error"),
    ] {
        let outcome = execute().outcome(&connector(), status, error(kind, None));
        let Outcome::NotExecuted(NotExecuted::Refused(why)) = outcome else {
            panic!("{status}: {outcome:?}")
        };
        assert!(!why.contains("canary"), "no bytes of the answer: {why}");
    }
}

#[test]
fn all_else_is_a_doubt() {
    let doubts = [
        (400, error("idempotency_error", None)),
        (409, error("idempotency_error", Some("idempotency_key_in_use"))),
        (409, error("invalid_request_error", None)),
        (400, error("api_error", None)),
        (
            400,
            error("invalid_request_error", Some("payment_intent_unexpected_state")),
        ),
        (402, error("idempotency_error", None)),
        (402, json!({})),
        (400, json!({ "message": "not Stripe's" })),
        (403, json!("blocked by a firewall")),
        (404, json!({ "error": "Not found" })),
        (429, json!({})),
        (429, json!({ "error": { "message": "slow down" } })),
        (
            401,
            json!({ "error": "unauthorized", "error_description": "no token" }),
        ),
        (408, error("invalid_request_error", None)),
        (425, error("invalid_request_error", None)),
        (301, json!({})),
        (500, error("api_error", None)),
        (503, error("api_error", None)),
        (200, json!({})),
        (200, json!({ "id": "pi_1" })),
        (200, intent("gone_fishing", json!({}))),
        (200, intent("succeeded", json!({ "currency": "xxx" }))),
        (200, intent("succeeded", json!({ "metadata": null }))),
        (
            200,
            intent("succeeded", json!({ "metadata": { "paymux": null } })),
        ),
        (200, intent("succeeded", json!({ "id": "pi_2" }))),
        (201, paid()),
    ];
    for (status, body) in doubts {
        let outcome = execute().outcome(&connector(), status, body.clone());
        assert!(is_unknown(&outcome), "{status} {body}: {outcome:?}");
    }
}

#[test]
fn a_page_of_what_stands_between_proves_nothing() {
    for status in [400, 401, 403, 404, 429] {
        for body in ["<html><h1>Too many requests</h1></html>", "", "Unauthorized"] {
            let made = Response::new(status, json!({}));
            let answer = Response::from_parts(made.status(), made.headers().clone(), body.into());
            let connector = connector();
            let outcome = outcome_of(Asked::exchange(&connector), &execute(), &answer, Echoes::Nothing);
            assert!(is_unknown(&outcome), "{status} {body}: {outcome:?}");
        }
    }
}

#[test]
fn another_amount_currency_or_reference_contradicts() {
    for change in [
        json!({ "amount": 999, "amount_received": 999 }),
        json!({ "amount_received": 999 }),
        json!({ "amount_received": 1000, "currency": "usd" }),
        json!({ "amount_received": 1000, "metadata": { "paymux": reference(9) } }),
    ] {
        let outcome = execute().outcome(&connector(), 200, intent("succeeded", change.clone()));
        assert!(contradicts(&outcome), "{change}: {outcome:?}");
    }
}

#[test]
fn a_capture_is_known_by_the_total() {
    let outcome = |op: op::Capture, connector: &Connector, status, received: i64| {
        op.outcome(
            connector,
            200,
            intent(status, json!({ "amount_received": received })),
        )
    };
    let settled = |echo| Outcome::Answered(CaptureReport::Settled("pi_1".into(), echo));
    let one = connector();
    assert_eq!(
        outcome(capture(400, Rest::Release), &one, "succeeded", 400),
        settled(Echo::none().amount(eur(400)))
    );
    assert!(contradicts(&outcome(
        capture(400, Rest::Release),
        &one,
        "succeeded",
        300
    )));
    assert!(contradicts(&outcome(
        capture(400, Rest::Release),
        &one,
        "succeeded",
        700
    )));
    assert!(is_unknown(&outcome(
        capture(400, Rest::Release),
        &one,
        "requires_capture",
        400
    )));
    let several = stripe().request_multicapture().connector(Arc::new(Silent));
    assert_eq!(
        outcome(capture(300, Rest::Keep), &several, "requires_capture", 700),
        settled(Echo::none())
    );
    assert!(contradicts(&outcome(
        capture(300, Rest::Keep),
        &several,
        "requires_capture",
        200
    )));
    let again = capture(400, Rest::Release).outcome(
        &one,
        400,
        error("invalid_request_error", Some("payment_intent_unexpected_state")),
    );
    assert!(
        matches!(again, Outcome::NotExecuted(_)),
        "this call captured nothing: {again:?}"
    );
}

#[test]
fn an_increment_repeats_the_total() {
    let all = stripe().request_incremental().connector(Arc::new(Silent));
    let raised = intent(
        "requires_capture",
        json!({ "amount": 1500, "amount_capturable": 1500 }),
    );
    let approval = Approval::new("pi_1", Echo::none().amount(eur(1500)));
    assert_eq!(
        increment().outcome(&all, 200, raised),
        Outcome::Answered(AuthorizeReport::Authorized(approval))
    );
    let same = intent("requires_capture", json!({ "amount_capturable": 1000 }));
    assert!(contradicts(&increment().outcome(&all, 200, same)));
    let no = increment().outcome(&all, 402, declined("card_declined", Some("insufficient_funds")));
    assert!(matches!(no, Outcome::Answered(AuthorizeReport::Declined(_))));
}

#[test]
fn a_cancel_is_closed_when_nothing_is_left() {
    let closed = Outcome::Answered(CloseReport::Closed("pi_1".into(), Echo::none()));
    assert_eq!(
        void().outcome(&connector(), 200, intent("canceled", json!({}))),
        closed
    );
    assert_eq!(
        cancel().outcome(&connector(), 200, intent("canceled", json!({}))),
        closed
    );
    let part = intent(
        "succeeded",
        json!({ "amount_received": 400, "amount_capturable": 0 }),
    );
    assert_eq!(void().outcome(&connector(), 200, part), closed);
    assert!(is_unknown(&void().outcome(
        &connector(),
        200,
        intent("processing", json!({}))
    )));
    let late = cancel().outcome(
        &connector(),
        400,
        error("invalid_request_error", Some("payment_intent_unexpected_state")),
    );
    assert!(matches!(late, Outcome::NotExecuted(_)), "{late:?}");
}

#[test]
fn a_refund_is_one_of_five_things() {
    let report = |status, change| {
        let outcome =
            refund(RefundReason::RequestedByCustomer).outcome(&connector(), 200, refunded(status, change));
        let Outcome::Answered(report) = outcome else {
            panic!("{outcome:?}")
        };
        report
    };
    let echo = || Echo::none().amount(eur(400)).reference(reference(6));
    assert_eq!(
        report("succeeded", json!({})),
        RefundReport::Refunded("re_1".into(), echo())
    );
    assert_eq!(
        report("pending", json!({})),
        RefundReport::Pending("re_1".into(), echo())
    );
    assert_eq!(
        report("canceled", json!({})),
        RefundReport::Cancelled("re_1".into(), echo())
    );
    assert_eq!(
        report("requires_action", json!({})),
        RefundReport::ActionNeeded("re_1".into(), Action::new(ActionKind::Wait), echo())
    );
    let RefundReport::Failed(decline) = report("failed", json!({ "failure_reason": "lost_or_stolen_card" }))
    else {
        panic!("failed")
    };
    assert_eq!(decline.code(), DeclineCode::InvalidAccount);
    let unlike = refunded("succeeded", json!({ "amount": 401 }));
    assert!(contradicts(&refund(RefundReason::Dispute).outcome(
        &connector(),
        200,
        unlike
    )));
    let foreign = refunded("succeeded", json!({ "metadata": { "paymux": null } }));
    assert!(is_unknown(&refund(RefundReason::Dispute).outcome(
        &connector(),
        200,
        foreign
    )));
}

#[test]
fn a_read_tells_the_totals_that_it_knows() {
    let standing = |status, change| match read().outcome(&connector(), 200, intent(status, change)) {
        Outcome::Answered(ReadReport::Found(standing)) => standing,
        other => panic!("{other:?}"),
    };
    let whole = standing(
        "succeeded",
        json!({ "amount_received": 1000, "latest_charge": charge(json!({ "amount_refunded": 400 })) }),
    );
    assert_eq!(
        (whole.authorized, whole.captured, whole.refunded),
        (Some(eur(1000)), Some(eur(1000)), Some(eur(400)))
    );
    let released = charge(json!({ "amount_captured": 600, "amount_refunded": 400 }));
    let part = standing(
        "succeeded",
        json!({ "amount_received": 600, "latest_charge": released.clone() }),
    );
    assert_eq!(
        (part.captured, part.refunded),
        (Some(eur(600)), Some(eur(400))),
        "a release is no refund"
    );
    let earlier = stripe()
        .api_version("2025-02-24.acacia")
        .connector(Arc::new(Silent));
    let body = intent(
        "succeeded",
        json!({ "amount_received": 600, "latest_charge": released }),
    );
    let Outcome::Answered(ReadReport::Found(part)) = read().outcome(&earlier, 200, body) else {
        panic!("no payment")
    };
    assert_eq!(
        (part.captured, part.refunded),
        (Some(eur(600)), None),
        "until 2025-03-31.basil it was"
    );
    let rest = standing(
        "requires_capture",
        json!({ "amount_received": 300, "amount_capturable": 700 }),
    );
    assert_eq!(
        (rest.authorized, rest.captured),
        (Some(eur(1000)), Some(eur(300)))
    );
    assert!(matches!(rest.report, AuthorizeReport::Authorized(_)));
    for (status, error, code) in [
        (
            "requires_payment_method",
            "payment_intent_authentication_failure",
            DeclineCode::AuthenticationFailed,
        ),
        (
            "requires_payment_method",
            "card_declined",
            DeclineCode::GenericDecline,
        ),
    ] {
        let failed = json!({ "last_payment_error": { "type": "card_error", "code": error } });
        let AuthorizeReport::Declined(decline) = standing(status, failed).report else {
            panic!("{error}")
        };
        assert_eq!(decline.code(), code);
    }
    for unconfirmed in ["requires_confirmation", "requires_payment_method"] {
        assert_eq!(
            standing(unconfirmed, json!({})).report,
            AuthorizeReport::Unexecuted("pi_1".into())
        );
    }
}

#[test]
fn nothing_found_is_said_by_stripe_alone() {
    let missing = error("invalid_request_error", Some("resource_missing"));
    assert_eq!(
        read().outcome(&connector(), 404, missing.clone()),
        Outcome::Answered(ReadReport::NotFound)
    );
    assert_eq!(
        read_refund().outcome(&connector(), 404, missing),
        Outcome::Answered(RefundReadReport::NotFound)
    );
    assert!(
        is_unknown(&read().outcome(&connector(), 404, json!({}))),
        "a proxy's page"
    );
    assert!(is_unknown(&read().outcome(
        &connector(),
        200,
        intent("succeeded", json!({ "id": "pi_2" }))
    )));
    let another = refunded("succeeded", json!({ "id": "re_2" }));
    assert!(is_unknown(&read_refund().outcome(&connector(), 200, another)));
}

#[test]
fn a_refund_is_looked_up_among_its_payments_own() {
    let other = refunded(
        "succeeded",
        json!({ "id": "re_0", "metadata": { "paymux": reference(8) } }),
    );
    let dashboard = refunded(
        "succeeded",
        json!({ "id": "re_9", "metadata": { "paymux": null } }),
    );
    let found = |data: Value, more: bool| {
        let list = json!({ "object": "list", "url": "/v1/refunds", "has_more": more, "data": data });
        look_up_refund().outcome(&connector(), 200, list)
    };
    let ours = refunded("pending", json!({}));
    let echo = Echo::none().amount(eur(400)).reference(reference(6));
    let expected = RefundReadReport::Found(RefundReport::Pending("re_1".into(), echo));
    assert_eq!(
        found(json!([other, dashboard, ours]), false),
        Outcome::Answered(expected.clone())
    );
    assert_eq!(found(json!([ours]), true), Outcome::Answered(expected));
    assert_eq!(
        found(json!([other, dashboard]), false),
        Outcome::Answered(RefundReadReport::NotFound)
    );
    assert_eq!(
        found(json!([]), false),
        Outcome::Answered(RefundReadReport::NotFound)
    );
    assert!(is_unknown(&found(json!([other]), true)), "a page is full");
    assert!(
        is_unknown(&found(json!([ours, ours]), false)),
        "two of one reference"
    );
}

#[test]
fn amounts_come_back_as_they_went() {
    let body = intent(
        "succeeded",
        json!({ "amount": 500, "amount_received": 500, "currency": "isk" }),
    );
    let mut op = execute();
    op.authorize.amount = Money::from_minor(5, Currency::ISK);
    let settled = op.outcome(&connector(), 200, body.clone());
    assert!(
        matches!(settled, Outcome::Answered(AuthorizeReport::Settled(_))),
        "{settled:?}"
    );
    let mut odd = body;
    odd["amount"] = 501.into();
    assert!(
        is_unknown(&op.outcome(&connector(), 200, odd)),
        "a part of a króna"
    );
}

/// Something between may write its errors as lists, which fields without names would take for Stripe's.
#[test]
fn a_list_proves_nothing() {
    let (connector, op) = (connector(), capture(1000, Rest::Release));
    for body in [
        json!([["invalid_request_error", null, null]]),
        json!({ "error": ["invalid_request_error", null, null] }),
    ] {
        for status in [400, 402, 403, 404, 429] {
            let outcome = op.outcome(&connector, status, body.clone());
            assert!(
                matches!(outcome, Outcome::Unknown(_)),
                "{status} {body}: {outcome:?}"
            );
        }
    }
}

#[test]
fn another_refunds_failure_is_not_ours() {
    let connector = connector();
    let failed = |n| {
        let metadata = json!({ "paymux": reference(n) });
        json!({ "id": "re_1", "amount": 400, "currency": "eur", "status": "failed", "metadata": metadata })
    };
    let asked = refund(RefundReason::RequestedByCustomer);
    let ours = asked.outcome(&connector, 200, failed(6));
    assert!(
        matches!(ours, Outcome::Answered(RefundReport::Failed(_))),
        "{ours:?}"
    );
    let other = asked.outcome(&connector, 200, failed(7));
    assert!(matches!(other, Outcome::Unknown(_)), "{other:?}");
    let read = read_refund().outcome(&connector, 200, failed(7));
    assert!(matches!(read, Outcome::Unknown(_)), "{read:?}");
}
