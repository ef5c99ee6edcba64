//! What the processor posts.

use std::time::Duration;

use http::HeaderMap;
use paymux_core::connector::{Authority, AuthorizeReport, Inbound, Notice, RefundReport};
use paymux_core::{Bytes, CaptureMethod, Clock, ProviderKind, Secret};
use paymux_sandbox::Shape;

use crate::support::{Caller, now};

/// What the connector makes of the webhooks that wait.
fn notices(caller: &Caller) -> Vec<Notice> {
    caller
        .sandbox
        .webhooks()
        .into_iter()
        .flat_map(|post| genuine(caller, post).unwrap())
        .collect()
}

fn genuine(caller: &Caller, (headers, body): (HeaderMap, Bytes)) -> Option<Vec<Notice>> {
    let webhooks = caller.connector.slots().webhooks().unwrap();
    let inbound = Inbound { headers, body };
    assert_eq!(
        webhooks.identify(&inbound),
        Ok(vec![caller.connector.account().clone()])
    );
    let secrets = [caller.sandbox.webhook_secret()];
    let verified = now(webhooks.verify(&inbound, &secrets, caller.clock.now())).ok()?;
    Some(webhooks.decode(&verified).unwrap())
}

#[test]
fn hints_name_the_object_and_come_once() {
    let caller = Caller::new(Shape::default());
    let (_, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    caller.refund(&handle, 1_000);
    let [payment, refund] = &notices(&caller)[..] else {
        panic!()
    };
    assert_eq!(
        (payment.about(), payment.kind(), payment.authority()),
        (&handle, ProviderKind::Payment, &Authority::Hint)
    );
    assert_eq!(refund.kind(), ProviderKind::Refund);
    assert_eq!(refund.about().as_str(), caller.ledger().refunds()[0].handle);
    assert!(caller.sandbox.webhooks().is_empty());
    caller.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(notices(&caller).len(), 1, "settled");
}

#[test]
fn authoritative_webhooks_are_the_news() {
    let caller = Caller::new(Shape::default().authoritative_webhooks());
    let (_, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    caller.refund(&handle, 1_000);
    caller
        .sandbox
        .dashboard_refund(handle.as_str(), crate::support::eur(500))
        .unwrap();
    let [payment, refund, dashboard] = &notices(&caller)[..] else {
        panic!()
    };
    let Authority::Payment(standing) = payment.authority() else {
        panic!()
    };
    assert!(matches!(standing.report, AuthorizeReport::Captured(_)));
    assert_eq!(
        standing.refunded,
        Some(crate::support::eur(0)),
        "as it stood then"
    );
    let Authority::Refund(report) = refund.authority() else {
        panic!()
    };
    assert!(matches!(**report, RefundReport::Refunded(..)));
    let Authority::Payment(standing) = dashboard.authority() else {
        panic!()
    };
    assert_eq!(standing.refunded, Some(crate::support::eur(1_500)));
}

#[test]
fn a_token_repeats_webhooks_and_another_turns_their_order() {
    let caller = Caller::new(Shape::default());
    caller.approved("tok_webhook_duplicate", CaptureMethod::Automatic);
    let [one, two] = &caller.sandbox.webhooks()[..] else {
        panic!()
    };
    assert_eq!(one.1, two.1);

    let (_, handle) = caller.approved("tok_webhook_reordered", CaptureMethod::Manual);
    caller.capture(&handle, 4_000, paymux_core::Rest::Keep);
    caller.void(&handle, 6_000);
    let kinds: Vec<String> = caller
        .sandbox
        .webhooks()
        .iter()
        .map(|(_, body)| {
            let event: serde_json::Value = serde_json::from_slice(body).unwrap();
            event["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        ["payment.voided", "payment.captured", "payment.authorized"]
    );
}

#[test]
fn a_forged_altered_or_old_webhook_is_not_genuine() {
    let caller = Caller::new(Shape::default());
    caller.approved("tok_approve", CaptureMethod::Automatic);
    let (headers, body) = caller.sandbox.webhooks().remove(0);
    assert!(genuine(&caller, caller.sandbox.forge(body.clone())).is_none());
    let altered = Bytes::from([&body[..], b" "].concat());
    assert!(genuine(&caller, (headers.clone(), altered)).is_none());
    assert!(genuine(&caller, (headers.clone(), body.clone())).is_some());
    caller.clock.advance(Duration::from_secs(301));
    assert!(genuine(&caller, (headers, body)).is_none());
    let other = paymux_sandbox::Sandbox::seeded(8).webhook_secret();
    assert_ne!(other.expose(), caller.sandbox.webhook_secret().expose());
    assert!(!format!("{:?}", Secret::from(other.expose())).contains("whsec"));
}
