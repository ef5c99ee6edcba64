//! The suite that every connector passes, with Stripe's answers as its documentation writes them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::time::Duration;

use paymux_core::connector::prelude::*;
use paymux_stripe::Stripe;
use paymux_testkit::{Case, Clause, ConnectorSuite, connector_conformance};
use serde_json::{Value, json};

const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};

/// Stripe's count of an amount (docs.stripe.com/currencies).
fn units(amount: Money) -> i64 {
    match amount.currency() {
        Currency::ISK | Currency::UGX => amount.minor() * 100,
        Currency::MGA => amount.minor() / 100,
        _ => amount.minor(),
    }
}

fn lower(currency: Currency) -> String {
    currency.code().to_ascii_lowercase()
}

fn intent(id: &str, status: &str, amount: Money, reference: &str) -> Value {
    json!({
        "id": id, "object": "payment_intent", "amount": units(amount), "amount_capturable": 0, "amount_received": 0,
        "capture_method": "automatic", "client_secret": format!("{id}_secret_1"), "created": 1_750_000_000,
        "currency": lower(amount.currency()), "last_payment_error": null, "latest_charge": null, "livemode": false,
        "metadata": { "paymux": reference }, "next_action": null, "payment_method": "pm_1", "status": status,
    })
}

/// All of it taken.
fn paid(id: &str, amount: Money, reference: &str) -> Value {
    let mut body = intent(id, "succeeded", amount, reference);
    body["amount_received"] = units(amount).into();
    body
}

fn refund(id: &str, amount: Money, reference: &str) -> Value {
    json!({
        "id": id, "object": "refund", "amount": units(amount), "charge": "ch_1", "created": 1_750_000_000,
        "currency": lower(amount.currency()), "metadata": { "paymux": reference }, "payment_intent": "pi_1",
        "reason": null, "status": "succeeded",
    })
}

fn declined() -> Response {
    let error =
        json!({ "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds" });
    Response::new(402, json!({ "error": error }))
}

fn refused(status: u16, code: &str) -> Response {
    Response::new(
        status,
        json!({ "error": { "type": "invalid_request_error", "code": code, "message": "No." } }),
    )
}

fn absent() -> Response {
    refused(404, "resource_missing")
}

/// How Stripe reads the amount of a form, in the currency that was meant.
fn amount_in(request: &Request, field: &str, currency: Currency) -> Option<Money> {
    let form = std::str::from_utf8(request.bytes()).ok()?;
    let value = |name: &str| {
        form.split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    if value("currency").is_some_and(|sent| sent != lower(currency)) {
        return None;
    }
    let units: i64 = value(field)?.parse().ok()?;
    Some(match currency {
        Currency::ISK | Currency::UGX => Money::from_minor(units / 100, currency),
        Currency::MGA => Money::from_minor(units * 100, currency),
        _ => Money::from_minor(units, currency),
    })
}

#[tokio::test]
async fn stripe_keeps_the_contract() {
    let stripe = Stripe::new("sk_test_canary", "main").request_incremental();
    suite(stripe).notice(event).run().await;
}

#[tokio::test]
async fn a_connected_account_keeps_the_contract() {
    let stripe = Stripe::new("sk_test_canary", "acct_1")
        .connected_account("acct_1")
        .request_incremental();
    let of_account = |payment: &Handle| {
        let mut event = event(payment);
        event["account"] = "acct_1".into();
        event
    };
    let report = suite(stripe).notice(of_account).run().await;
    assert_eq!(report.checks_of("webhooks", Clause::Foreign), 1, "{report}");
}

fn event(payment: &Handle) -> Value {
    json!({ "id": "evt_1", "object": "event", "type": "payment_intent.succeeded",
        "data": { "object": { "id": payment.as_str(), "object": "payment_intent" } } })
}

fn suite(stripe: Stripe) -> ConnectorSuite {
    connector_conformance(move |transport| stripe.clone().connector(transport))
        .method(PaymentMethod::card_token("pm_card_visa"))
        .handle("pi_1")
        .secret("sk_test_canary")
        .when(Case::Accepted, |op: &op::Prepare| {
            let asked = &op.authorize;
            Response::new(
                200,
                intent("pi_1", "requires_confirmation", asked.amount, &asked.reference),
            )
        })
        .when(Case::Declined, |_: &op::Prepare| declined())
        .when(Case::Refused, |_: &op::Prepare| refused(400, "parameter_unknown"))
        .when(Case::Accepted, |op: &op::Execute| {
            Response::new(
                200,
                paid(op.handle.as_str(), op.authorize.amount, &op.authorize.reference),
            )
        })
        .when(Case::Declined, |_: &op::Execute| declined())
        .when(Case::Refused, |_: &op::Execute| refused(429, "rate_limit"))
        .when(Case::Accepted, |op: &op::Capture| {
            Response::new(200, paid(op.original.as_str(), op.amount, "the payment's own"))
        })
        .when(Case::Declined, |_: &op::Capture| declined())
        .when(Case::Refused, |_: &op::Capture| {
            refused(400, "payment_intent_unexpected_state")
        })
        .when(Case::Accepted, |op: &op::Increment| {
            let mut body = intent(
                op.original.as_str(),
                "requires_capture",
                op.total,
                "the payment's own",
            );
            body["amount_capturable"] = body["amount"].clone();
            Response::new(200, body)
        })
        .when(Case::Declined, |_: &op::Increment| declined())
        .when(Case::Refused, |_: &op::Increment| {
            refused(400, "payment_intent_unexpected_state")
        })
        .when(Case::Accepted, |op: &op::Void| {
            Response::new(
                200,
                intent(op.original.as_str(), "canceled", op.amount, "the payment's own"),
            )
        })
        .when(Case::Refused, |_: &op::Void| {
            refused(400, "payment_intent_unexpected_state")
        })
        .when(Case::Accepted, |op: &op::Cancel| {
            Response::new(
                200,
                intent(op.original.as_str(), "canceled", op.amount, "the payment's own"),
            )
        })
        .when(Case::Refused, |_: &op::Cancel| refused(403, "permission"))
        .when(Case::Accepted, |op: &op::Refund| {
            Response::new(200, refund("re_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Refund| {
            let mut body = refund("re_1", op.amount, &op.reference);
            body["status"] = "failed".into();
            body["failure_reason"] = "expired_or_canceled_card".into();
            Response::new(200, body)
        })
        .when(Case::Refused, |_: &op::Refund| {
            refused(400, "charge_already_refunded")
        })
        .when(Case::Accepted, |op: &op::Read| {
            Response::new(200, paid(op.handle.as_str(), op.amount, &op.reference))
        })
        .when(Case::Absent, |_: &op::Read| absent())
        .when(Case::Accepted, |op: &op::ReadRefund| {
            Response::new(200, refund(op.handle.as_str(), op.amount, &op.reference))
        })
        .when(Case::Absent, |_: &op::ReadRefund| absent())
        .when(Case::Accepted, |op: &op::LookUpRefund| {
            let found = refund("re_1", op.amount, &op.reference);
            Response::new(
                200,
                json!({ "object": "list", "has_more": false, "data": [found] }),
            )
        })
        .when(Case::Absent, |_: &op::LookUpRefund| {
            Response::new(200, json!({ "object": "list", "has_more": false, "data": [] }))
        })
        .amount_in(|op: &op::Prepare, request| amount_in(request, "amount", op.authorize.amount.currency()))
        .amount_in(|op: &op::Capture, request| amount_in(request, "amount_to_capture", op.amount.currency()))
        .amount_in(|op: &op::Increment, request| amount_in(request, "amount", op.total.currency()))
        .amount_in(|op: &op::Refund, request| amount_in(request, "amount", op.amount.currency()))
        .signed_by(|body, secret, now| SIGNATURE.sign(body, secret, now))
}
