//! A PaymentIntent that was declined isn't over: whoever has its client secret may confirm it with another card.

use std::cell::Cell;
use std::time::Duration;

use paymux::connector::TimestampedHmac;
use paymux::prelude::*;
use paymux::store::StoreTime;
use paymux::stripe::Stripe;
use paymux::{AttemptStatus, Bytes, Clock, DeclineCode, EndpointId, IntentStatus, Mode, Secret, TestClock};
use paymux_standin_stripe::{Authentication, Standin};

use super::{http, key, policy, post, ten_euro};

const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};
const API_KEY: &str = "sk_test_standin";

struct World {
    standin: Standin,
    paymux: Orchestrator,
    payments: Payments,
    clock: TestClock,
    events: Cell<u32>,
}

impl World {
    async fn new() -> Self {
        let standin = Standin::start().await.unwrap();
        let (runtime, clock) = Runtime::test(7);
        let connector = Stripe::new(API_KEY, "main")
            .base_url(standin.base_url())
            .connector(http(Duration::from_secs(5)));
        let account = connector.account().clone();
        let store = MemoryStore::with_time(StoreTime::Injected(runtime.clock().clone()));
        let secrets = [Secret::from("whsec_test")];
        let connectors = ConnectorMap::shared([connector])
            .unwrap()
            .endpoint(EndpointId::named(Mode::Test, "stripe"), account, secrets)
            .unwrap();
        let paymux = Orchestrator::builder(store, connectors, runtime)
            .policy(policy())
            .build()
            .await
            .unwrap();
        let payments = paymux.tenant(Tenant::test("acme").unwrap());
        Self {
            standin,
            paymux,
            payments,
            clock,
            events: Cell::new(0),
        }
    }

    /// A payment whose payer failed the challenge, as Stripe says; and its PaymentIntent.
    async fn challenge_failed(&self) -> (PaymentIntentId, String) {
        let method = PaymentMethod::card_token("pm_card_threeDSecure2Required");
        let new = ten_euro(CaptureMethod::Automatic);
        let reply = self.payments.create_and_confirm(&key("a"), new, method).await;
        let intent = reply.unwrap().outcome.intent().clone();
        assert_eq!(intent.status(), IntentStatus::RequiresAction);
        let attempt = intent.attempts().last().unwrap();
        let handle = attempt.handle().unwrap().to_owned();
        self.standin
            .authenticate(&handle, Authentication::Failed)
            .unwrap();
        self.tell("payment_intent.payment_failed", &handle).await;
        (*intent.id(), handle)
    }

    async fn tell(&self, kind: &str, handle: &str) {
        let event = self.events.replace(self.events.get() + 1);
        let object = format!(r#"{{"object":"payment_intent","id":"{handle}","metadata":{{}}}}"#);
        let body = Bytes::from(format!(
            r#"{{"id":"evt_{event}","object":"event","type":"{kind}","data":{{"object":{object}}}}}"#
        ));
        let headers = SIGNATURE.sign(&body, &Secret::from("whsec_test"), self.clock.now());
        let endpoint = EndpointId::named(Mode::Test, "stripe");
        let reply = self.paymux.handle_webhook(&endpoint, &headers, body).await;
        assert!(reply.response.status().is_success(), "{reply:?}");
    }

    /// The payer's page confirms with another card: the answer's status.
    async fn page_confirms(&self, handle: &str) -> u16 {
        let path = format!("/v1/payment_intents/{handle}/confirm");
        let form = "payment_method=pm_card_visa".to_owned();
        let answer = post(self.standin.base_url(), API_KEY, &path, form).await;
        answer.status().as_u16()
    }

    fn charged(&self) -> i64 {
        let charges = self.standin.ledger().charges();
        charges.iter().map(|it| it.captured - it.refunded).sum()
    }
}

#[tokio::test]
async fn what_a_page_pays_after_a_decline_is_seen_by_its_webhook_or_by_a_sync() {
    for by_webhook in [Some("payment_intent.succeeded"), None] {
        let world = World::new().await;
        let (id, handle) = world.challenge_failed().await;
        assert_eq!(world.page_confirms(&handle).await, 200);
        assert_eq!(world.charged(), 1_000);
        match by_webhook {
            Some(kind) => world.tell(kind, &handle).await,
            None => drop(world.payments.sync(&id).await.unwrap()),
        }
        let now = world.payments.intent(&id).await.unwrap();
        assert_eq!(now.totals().captured, 1_000, "{:?}", now.status());
    }
}

#[tokio::test]
async fn a_failed_challenge_leaves_the_payer_s_page_open_until_the_next_attempt_has_closed_it() {
    let world = World::new().await;
    let (id, handle) = world.challenge_failed().await;
    let waiting = world.payments.intent(&id).await.unwrap();
    assert_eq!(waiting.status(), IntentStatus::RequiresAction);
    let decline = waiting.last_decline().unwrap();
    assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
    let again = PaymentMethod::card_token("pm_card_visa");
    let reply = world.payments.confirm(&key("b"), &id, again).await.unwrap();
    assert!(matches!(reply.outcome, PaymentOutcome::Succeeded(_)), "{reply:?}");
    assert_eq!(world.page_confirms(&handle).await, 400);
    assert_eq!(world.charged(), 1_000);
    let now = world.payments.intent(&id).await.unwrap();
    assert_eq!(now.attempts()[0].status(), AttemptStatus::Declined);
}

#[tokio::test]
async fn a_page_that_pays_before_the_next_attempt_keeps_it_from_being_made() {
    let world = World::new().await;
    let (id, handle) = world.challenge_failed().await;
    assert_eq!(world.page_confirms(&handle).await, 200);
    let again = PaymentMethod::card_token("pm_card_visa");
    let refused = world.payments.confirm(&key("b"), &id, again).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_transition", "{refused}");
    assert_eq!(world.charged(), 1_000);
    let now = world.payments.intent(&id).await.unwrap();
    assert_eq!(now.totals().captured, 1_000, "{:?}", now.status());
}

#[tokio::test]
async fn a_method_that_can_t_be_sent_closes_no_page() {
    let world = World::new().await;
    let (id, handle) = world.challenge_failed().await;
    let strange = PaymentMethod::card_token("no-such-form");
    let refused = world.payments.confirm(&key("b"), &id, strange).await.unwrap_err();
    assert_eq!(refused.code(), "invalid", "{refused}");
    assert_eq!(world.page_confirms(&handle).await, 200);
}
