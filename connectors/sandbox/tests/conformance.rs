//! The suite that every connector passes, for the sandbox's shapes, with the processor's answers written by hand.

use std::time::Duration;

use paymux_core::connector::prelude::*;
use paymux_sandbox::{Sandbox, Shape};
use paymux_testkit::{Case, ConnectorSuite, connector_conformance};
use serde_json::{Value, json};

const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "sandbox-signature",
    tolerance: Duration::from_secs(300),
};

fn money(amount: Money) -> Value {
    json!({ "minor": amount.minor(), "currency": amount.currency().code() })
}

fn payment(id: &str, state: &str, amount: Money, reference: &str) -> Value {
    let zero = money(Money::zero(amount.currency()));
    json!({
        "id": id, "reference": reference, "amount": money(amount), "state": state, "authorized": zero,
        "captured": zero, "failed": zero, "refunded": zero, "returned": zero, "multicapture": "refused",
        "incremental": "refused",
    })
}

/// All of it taken.
fn captured(id: &str, amount: Money, reference: &str) -> Value {
    let mut body = payment(id, "captured", amount, reference);
    body["authorized"] = money(amount);
    body["captured"] = money(amount);
    body
}

fn declined_payment(id: &str, amount: Money, reference: &str) -> Response {
    let mut body = payment(id, "declined", amount, reference);
    body["code"] = "insufficient_funds".into();
    Response::new(402, body)
}

/// A capture's, a close's or a refund's answer.
fn operation(id: &str, amount: Money, reference: &str) -> Value {
    json!({
        "id": id, "payment": "pay_1", "reference": reference, "amount": money(amount), "state": "done",
    })
}

fn declined_operation(id: &str, amount: Money, reference: &str, code: &str) -> Response {
    let mut body = operation(id, amount, reference);
    body["state"] = "failed".into();
    body["code"] = code.into();
    Response::new(402, body)
}

fn increment(op: &op::Increment, state: &str) -> Value {
    let mut held = payment(op.original.as_str(), "authorized", op.total, "the payment's own");
    held["authorized"] = money(op.total);
    json!({ "reference": op.reference, "total": money(op.total), "state": state, "payment": held })
}

fn list(items: &[Value]) -> Response {
    Response::new(200, json!({ "items": items }))
}

fn refused(status: u16, why: &str) -> Response {
    Response::new(status, json!({ "error": why }))
}

/// How the processor reads an amount.
fn amount_in(request: &Request, field: &str) -> Option<Money> {
    let body: Value = serde_json::from_slice(request.bytes()).ok()?;
    let currency = body[field]["currency"].as_str()?.parse().ok()?;
    Some(Money::from_minor(body[field]["minor"].as_i64()?, currency))
}

/// What every shape is told.
fn suite(shape: Shape) -> ConnectorSuite {
    let sandbox = Sandbox::seeded(1).shape(shape);
    connector_conformance(move |transport| sandbox.connector("main").with_transport(|_| transport))
        .handle("pay_1")
        .secret("sk_sandbox_main")
        .when(Case::Accepted, |op: &op::Complete| {
            Response::new(200, captured(op.handle.as_str(), op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Complete| {
            declined_payment(op.handle.as_str(), op.amount, &op.reference)
        })
        .when(Case::Refused, |_: &op::Complete| refused(422, "payload"))
        .when(Case::Accepted, |op: &op::Capture| {
            Response::new(201, operation("cap_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Capture| {
            declined_operation("cap_1", op.amount, &op.reference, "do_not_honor")
        })
        .when(Case::Refused, |_: &op::Capture| refused(422, "amount"))
        .when(Case::Accepted, |op: &op::Increment| {
            Response::new(200, increment(op, "done"))
        })
        .when(Case::Declined, |op: &op::Increment| {
            let mut body = increment(op, "failed");
            body["code"] = "insufficient_funds".into();
            Response::new(402, body)
        })
        .when(Case::Refused, |_: &op::Increment| refused(422, "state"))
        .when(Case::Accepted, |op: &op::Void| {
            Response::new(200, operation("void_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Void| {
            declined_operation("void_1", op.amount, &op.reference, "not_permitted")
        })
        .when(Case::Refused, |_: &op::Void| refused(422, "state"))
        .when(Case::Accepted, |op: &op::Cancel| {
            Response::new(200, operation("void_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Cancel| {
            declined_operation("void_1", op.amount, &op.reference, "not_permitted")
        })
        .when(Case::Refused, |_: &op::Cancel| refused(422, "state"))
        .when(Case::Accepted, |op: &op::Refund| {
            Response::new(201, operation("re_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Refund| {
            declined_operation("re_1", op.amount, &op.reference, "account_closed")
        })
        .when(Case::Refused, |_: &op::Refund| refused(422, "amount"))
        .amount_in(|_: &op::Capture, request| amount_in(request, "amount"))
        .amount_in(|_: &op::Increment, request| amount_in(request, "total"))
        .amount_in(|_: &op::Void, request| amount_in(request, "amount"))
        .amount_in(|_: &op::Cancel, request| amount_in(request, "amount"))
        .amount_in(|_: &op::Refund, request| amount_in(request, "amount"))
        .signed_by(|body, secret, now| SIGNATURE.sign(body, secret, now))
}

/// What is posted, without the object.
fn hint(payment: &Handle) -> Value {
    json!({
        "event": "evt_1", "kind": "payment.captured", "account": "main", "about": "payment",
        "id": payment.as_str(), "reference": "ref_1",
    })
}

fn one_call(suite: ConnectorSuite) -> ConnectorSuite {
    suite
        .when(Case::Accepted, |op: &op::Authorize| {
            Response::new(201, captured("pay_1", op.amount, &op.reference))
        })
        .when(Case::Declined, |op: &op::Authorize| {
            declined_payment("pay_1", op.amount, &op.reference)
        })
        .when(Case::Refused, |_: &op::Authorize| refused(422, "currency"))
        .amount_in(|_: &op::Authorize, request| amount_in(request, "amount"))
}

fn two_calls(suite: ConnectorSuite) -> ConnectorSuite {
    suite
        .when(Case::Accepted, |op: &op::Prepare| {
            let asked = &op.authorize;
            Response::new(201, payment("pay_1", "created", asked.amount, &asked.reference))
        })
        .when(Case::Refused, |_: &op::Prepare| refused(422, "currency"))
        .amount_in(|_: &op::Prepare, request| amount_in(request, "amount"))
        .when(Case::Accepted, |op: &op::Execute| {
            let asked = &op.authorize;
            Response::new(200, captured(op.handle.as_str(), asked.amount, &asked.reference))
        })
        .when(Case::Declined, |op: &op::Execute| {
            declined_payment(op.handle.as_str(), op.authorize.amount, &op.authorize.reference)
        })
        .when(Case::Refused, |_: &op::Execute| refused(429, "slow_down"))
}

fn reads(suite: ConnectorSuite) -> ConnectorSuite {
    suite
        .when(Case::Accepted, |op: &op::Read| {
            Response::new(200, captured(op.handle.as_str(), op.amount, &op.reference))
        })
        .when(Case::Absent, |_: &op::Read| refused(404, "payment"))
        .when(Case::Accepted, |op: &op::LookUp| {
            list(&[captured("pay_1", op.amount, &op.reference)])
        })
        .when(Case::Absent, |_: &op::LookUp| list(&[]))
        .when(Case::Accepted, |op: &op::ReadRefund| {
            Response::new(200, operation(op.handle.as_str(), op.amount, &op.reference))
        })
        .when(Case::Absent, |_: &op::ReadRefund| refused(404, "refund"))
        .when(Case::Accepted, |op: &op::LookUpRefund| {
            list(&[operation("re_1", op.amount, &op.reference)])
        })
        .when(Case::Absent, |_: &op::LookUpRefund| list(&[]))
}

#[tokio::test]
async fn the_default_shape_keeps_the_contract() {
    let told = reads(one_call(suite(Shape::default())));
    told.notice(hint).run().await;
}

#[tokio::test]
async fn the_handle_first_shape_keeps_the_contract() {
    let told = reads(two_calls(suite(Shape::handle_first())));
    told.notice(hint).run().await;
}

#[tokio::test]
async fn the_bare_shape_keeps_the_contract() {
    let with_object = |about: &Handle| {
        let mut body = hint(about);
        let amount = Money::from_minor(12_50, Currency::EUR);
        body["object"] = captured(about.as_str(), amount, "ref_1");
        body
    };
    one_call(suite(Shape::bare())).notice(with_object).run().await;
}
