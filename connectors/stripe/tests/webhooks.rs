//! Webhooks as Stripe documents them: whose they are, whether they are genuine, what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod fixture;

use std::time::Duration;

use fixture::*;
use paymux_core::ProviderKind;
use paymux_core::connector::prelude::*;
use serde_json::{Value, json};

const SCHEME: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn event(kind: &str, object: Value) -> Value {
    json!({
        "id": "evt_1", "object": "event", "type": kind, "api_version": "2025-03-31.basil", "created": 1_700_000_000,
        "livemode": false, "pending_webhooks": 1, "request": { "id": null, "idempotency_key": null },
        "data": { "object": object },
    })
}

fn inbound(body: &Value, secret: &Secret) -> Inbound {
    let body = body.to_string();
    Inbound {
        headers: SCHEME.sign(body.as_bytes(), secret, NOW),
        body: body.into(),
    }
}

fn decoded(body: &Value) -> Vec<Notice> {
    let inbound = Inbound {
        headers: Default::default(),
        body: body.to_string().into(),
    };
    connector()
        .slots()
        .webhooks()
        .unwrap()
        .decode(&Verified::vouched(&inbound))
        .unwrap()
}

#[test]
fn each_event_is_a_hint_about_its_payment_or_refund() {
    let paymux = json!({ "paymux": reference(1), "order": "7" });
    let payment = |kind: &str| {
        Notice::hint("evt_1", "pi_1".into())
            .act(kind)
            .reference(reference(1))
    };
    for kind in [
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.processing",
        "payment_intent.requires_action",
    ] {
        let object = json!({ "id": "pi_1", "object": "payment_intent", "metadata": paymux });
        assert_eq!(decoded(&event(kind, object)), [payment(kind)]);
    }
    for kind in ["charge.refunded", "charge.captured", "charge.expired"] {
        let object =
            json!({ "id": "ch_1", "object": "charge", "payment_intent": "pi_1", "metadata": paymux });
        assert_eq!(decoded(&event(kind, object)), [payment(kind)]);
    }
    for kind in [
        "refund.created",
        "refund.updated",
        "refund.failed",
        "charge.refund.updated",
    ] {
        let object = json!({ "id": "re_1", "object": "refund", "payment_intent": "pi_1", "metadata": { "paymux": reference(6) } });
        let expected = Notice::hint("evt_1", "re_1".into())
            .act(kind)
            .about_refund()
            .reference(reference(6));
        assert_eq!(expected.kind(), ProviderKind::Refund);
        assert_eq!(decoded(&event(kind, object)), [expected]);
    }
    let dispute =
        json!({ "id": "du_1", "object": "dispute", "payment_intent": { "id": "pi_1" }, "metadata": {} });
    let expected = Notice::hint("evt_1", "pi_1".into()).act("charge.dispute.created");
    assert_eq!(decoded(&event("charge.dispute.created", dispute)), [expected]);
}

#[test]
fn what_is_about_no_payment_says_nothing() {
    for (kind, object) in [
        ("customer.created", json!({ "id": "cus_1", "object": "customer" })),
        ("payout.paid", json!({ "id": "po_1", "object": "payout" })),
        (
            "charge.succeeded",
            json!({ "id": "ch_1", "object": "charge", "payment_intent": null }),
        ),
        ("balance.available", json!({ "object": "balance" })),
    ] {
        assert_eq!(decoded(&event(kind, object)), [], "{kind}");
    }
}

#[test]
fn an_event_belongs_to_the_account_that_it_names() {
    let whose = |account: Option<&str>, connected: Option<&str>| {
        let mut body = event(
            "payment_intent.succeeded",
            json!({ "id": "pi_1", "object": "payment_intent" }),
        );
        if let Some(account) = account {
            body["account"] = account.into();
        }
        let config = match connected {
            Some(account) => stripe().connected_account(account),
            None => stripe(),
        };
        let connector = config.connector(Arc::new(Silent));
        let inbound = inbound(&body, &Secret::from("whsec"));
        let named = connector.slots().webhooks().unwrap().identify(&inbound).unwrap();
        named.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(whose(None, None), ["stripe/main"]);
    assert_eq!(whose(Some("acct_1"), Some("acct_1")), ["stripe/main"]);
    assert_eq!(whose(Some("acct_2"), Some("acct_1")), ["stripe/acct_2"]);
    assert_eq!(whose(Some("acct_2"), None), ["stripe/acct_2"]);
    assert_eq!(
        whose(None, Some("acct_1")),
        Vec::<String>::new(),
        "the platform's own"
    );
}

#[tokio::test]
async fn only_a_fresh_signature_by_a_live_secret_is_genuine() {
    let connector = connector();
    let webhooks = connector.slots().webhooks().unwrap();
    let secret = Secret::from("whsec_1");
    let body = event(
        "payment_intent.succeeded",
        json!({ "id": "pi_1", "object": "payment_intent" }),
    );
    let genuine = inbound(&body, &secret);
    let live = [Secret::from("whsec_0"), secret.clone()];
    assert!(webhooks.verify(&genuine, &live, NOW).await.is_ok());
    let late = NOW.after(Duration::from_secs(301));
    assert!(webhooks.verify(&genuine, &live, late).await.is_err(), "stale");
    assert!(
        webhooks.verify(&genuine, &live[..1], NOW).await.is_err(),
        "another secret"
    );
    let forged = Inbound {
        body: body.to_string().replace("pi_1", "pi_2").into(),
        ..genuine.clone()
    };
    assert!(
        webhooks.verify(&forged, &live, NOW).await.is_err(),
        "another body"
    );
    assert_eq!(webhooks.reply().status(), 200);
}

/// By Stripe's description of the scheme, apart from our own signing: HMAC-SHA256 of `1700000000.{}` with `whsec_x`.
#[tokio::test]
async fn a_signature_made_elsewhere_is_genuine() {
    let connector = connector();
    let mut headers = http::HeaderMap::new();
    headers.insert("stripe-signature", SIGNED_ELSEWHERE.parse().unwrap());
    let inbound = Inbound {
        headers,
        body: Bytes::from_static(b"{}"),
    };
    let webhooks = connector.slots().webhooks().unwrap();
    assert!(
        webhooks
            .verify(&inbound, &[Secret::from("whsec_x")], NOW)
            .await
            .is_ok()
    );
}

const SIGNED_ELSEWHERE: &str =
    "t=1700000000,v1=be8cb8325f2202445260a855532f967e30ad2a9394ce28da66ee02880ddcb661,v0=00";
