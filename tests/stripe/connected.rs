//! A platform and a connected account behind one endpoint: what happened at one of them is asked there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paymux::connector::{Request, Response, TimestampedHmac, Transport, TransportError};
use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::stripe::Stripe;
use paymux::{Bytes, EndpointId, Mode, RefundStatus, Secret};
use paymux_standin_stripe::Standin;
use serde_json::{Value, json};

use crate::{http, key, policy, ten_euro};

const SECRET: &str = "sk_test_standin";
const WEBHOOK_SECRET: &str = "whsec_test";
const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};

/// Notes for which connected account each request speaks.
#[derive(Clone, Debug)]
struct Wire {
    http: Arc<HttpTransport>,
    spoke_for: Arc<Mutex<Vec<Option<String>>>>,
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let account = request.headers().get("stripe-account");
        let account = account.map(|value| value.to_str().unwrap().to_owned());
        self.spoke_for.lock().unwrap().push(account);
        self.http.send(request).await
    }
}

#[tokio::test]
async fn a_notice_of_a_connected_account_s_refund_is_read_at_that_account() {
    let standin = Standin::start().await.unwrap();
    let wire = Wire {
        http: http(Duration::from_secs(10)),
        spoke_for: Arc::default(),
    };
    let stripe = |name: &str| Stripe::new(SECRET, name).base_url(standin.base_url());
    let shop = stripe("acct_1").connected_account("acct_1");
    let platform = stripe("platform").connector(Arc::new(wire.clone()));
    let endpoint = EndpointId::named(Mode::Test, "stripe");
    let home = platform.account().clone();
    let connectors = ConnectorMap::shared([shop.connector(Arc::new(wire.clone())), platform])
        .unwrap()
        .endpoint(endpoint, home, [Secret::from(WEBHOOK_SECRET)])
        .unwrap();
    let runtime = Runtime::tokio();
    let paymux = Orchestrator::builder(MemoryStore::new(), connectors, runtime.clone())
        .policy(policy())
        .build()
        .await
        .unwrap();
    let payments = paymux.tenant(Tenant::test("acme").unwrap());

    let method = PaymentMethod::card_token("pm_card_pendingRefund");
    let paid = payments
        .create_and_confirm(&key("pay"), ten_euro(CaptureMethod::Automatic), method)
        .await
        .unwrap();
    let intent = paid.outcome.intent();
    assert_eq!(intent.attempts()[0].account().account(), "acct_1");
    let asked = NewRefund::available(RefundReason::OrderCancelled);
    let reply = payments.refund(&key("refund"), intent.id(), asked).await.unwrap();
    let RefundOutcome::Pending(refund) = reply.outcome else {
        panic!("{:?}", reply.outcome)
    };

    let payment = intent.attempts()[0].handle().unwrap();
    let list = format!("{}/v1/refunds?payment_intent={payment}", standin.base_url());
    let list = Request::get(list)
        .bearer(&Secret::from(SECRET))
        .header("stripe-account", "acct_1");
    let list: Value = wire.http.send(list).await.unwrap().json().unwrap();
    standin.settle_refunds();
    wire.spoke_for.lock().unwrap().clear();
    let event = json!({
        "id": "evt_1", "object": "event", "type": "refund.updated", "account": "acct_1",
        "data": { "object": { "id": list["data"][0]["id"], "object": "refund", "metadata": {} } },
    });
    let body = Bytes::from(event.to_string());
    let headers = SIGNATURE.sign(&body, &Secret::from(WEBHOOK_SECRET), runtime.clock().now());
    let reply = paymux.handle_webhook(&endpoint, &headers, body).await;
    assert_eq!(reply.response.status().as_u16(), 200);
    let spoke_for = wire.spoke_for.lock().unwrap().clone();
    assert!(!spoke_for.is_empty());
    assert!(
        spoke_for
            .iter()
            .all(|account| account.as_deref() == Some("acct_1")),
        "{spoke_for:?}"
    );
    let refund = payments.refund_by_id(refund.id()).await.unwrap();
    assert_eq!(refund.status(), RefundStatus::Succeeded);
}
