//! Code that isn't paymux's may panic: at a stranger's bytes, in a new release of a connector. It stops nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::atomic::{AtomicU8, Ordering};

use paymux::connector::TransportError;
use paymux::connector::prelude::*;
use paymux::{Clock, Connectors, Endpoint, EndpointId, Mode, Received, TestClock, prelude::*};
use serde_json::json;
use support::*;

const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "acme-signature",
    tolerance: Duration::from_secs(300),
};

/// Where the connector panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum At {
    Nothing,
    Identify,
    Verify,
    Decode,
    Reply,
    Request,
    Report,
    Send,
    ReadRequest,
    /// Not in the connector, but in the host's source of them.
    Source,
}

#[derive(Debug)]
struct Acme {
    account: AccountRef,
    panics_at: AtomicU8,
}

impl Acme {
    fn panics_at(&self, at: At) {
        self.panics_at.store(at as u8, Ordering::SeqCst);
    }

    fn reach(&self, at: At) {
        assert_ne!(
            self.panics_at.load(Ordering::SeqCst),
            at as u8,
            "a bug of the connector's"
        );
    }
}

impl Exchange<op::Authorize> for Acme {
    fn request(&self, op: &op::Authorize, _: &StepKey) -> Result<Request, Unsendable> {
        self.reach(At::Request);
        Ok(Request::post("https://acme.example/charges").json(json!({ "minor": op.amount.minor() })))
    }
    fn report(&self, op: &op::Authorize, _: &Response) -> Result<AuthorizeReport, CallError> {
        self.reach(At::Report);
        let approval = Approval::new("ch_1", Echo::none().amount(op.amount));
        Ok(AuthorizeReport::Captured(approval))
    }
}

impl Exchange<op::LookUp> for Acme {
    fn request(&self, _: &op::LookUp, _: &StepKey) -> Result<Request, Unsendable> {
        self.reach(At::ReadRequest);
        Ok(Request::get("https://acme.example/charges"))
    }
    fn report(&self, _: &op::LookUp, _: &Response) -> Result<LookUpReport, CallError> {
        Ok(LookUpReport::NotFound)
    }
}

#[async_trait]
impl Transport for Acme {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        self.reach(At::Send);
        Ok(Response::new(200, json!({})))
    }
}

#[async_trait]
impl WebhookOps for Acme {
    fn identify(&self, _: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        self.reach(At::Identify);
        Ok(vec![self.account.clone()])
    }
    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        self.reach(At::Verify);
        SIGNATURE.verify(inbound, secrets, now)
    }
    fn decode(&self, _: &Verified) -> Result<Vec<Notice>, Malformed> {
        self.reach(At::Decode);
        Ok(vec![])
    }
    fn reply(&self) -> http::Response<Bytes> {
        self.reach(At::Reply);
        http::Response::new(Bytes::new())
    }
}

/// The host's source of accounts.
#[derive(Debug)]
struct Source {
    map: ConnectorMap,
    acme: Arc<Acme>,
}

#[async_trait]
impl Connectors for Source {
    async fn get(&self, of: &Tenant, account: &AccountRef) -> paymux::Result<Option<Arc<Connector>>> {
        if *account == self.acme.account {
            self.acme.reach(At::Source);
        }
        self.map.get(of, account).await
    }
    async fn accounts(&self, of: &Tenant) -> paymux::Result<Vec<Arc<Connector>>> {
        self.map.accounts(of).await
    }
    async fn endpoint(&self, endpoint: &EndpointId) -> paymux::Result<Option<Endpoint>> {
        Connectors::endpoint(&self.map, endpoint).await
    }
    async fn owner(&self, account: &AccountRef) -> paymux::Result<Option<Tenant>> {
        self.map.owner(account).await
    }
}

struct Shop {
    acme: Arc<Acme>,
    sandbox: paymux::sandbox::Sandbox,
    clock: TestClock,
    paymux: Orchestrator,
    payments: Payments,
}

impl Shop {
    async fn new() -> Self {
        let account = AccountRef::new(ConnectorId::from_static("acme"), "main");
        let acme = Arc::new(Acme {
            account: account.clone(),
            panics_at: AtomicU8::new(At::Nothing as u8),
        });
        let key = Key::Header {
            window: DAY,
            replays_errors: ReplaysErrors::Never,
        };
        let limits = Capabilities::currencies([Currency::EUR]);
        let connector = Connector::builder(account.clone(), limits, acme.clone())
            .authorize(Authorization::OneCall(Step::moves_money(key), acme.clone()))
            .look_up(acme.clone())
            .webhooks(acme.clone())
            .build();
        let (runtime, clock) = Runtime::test(7);
        let sandbox = paymux::sandbox::Sandbox::seeded(7).clock(Arc::new(clock.clone()));
        let endpoint = EndpointId::named(Mode::Test, "acme");
        let map = ConnectorMap::private()
            .only_for(tenant(), connector)
            .unwrap()
            .only_for(Tenant::test("other").unwrap(), sandbox.connector("main"))
            .unwrap()
            .endpoint(endpoint, account, [Secret::from("whsec")])
            .unwrap();
        let time = paymux::store::StoreTime::Injected(Arc::new(clock.clone()));
        let source = Source {
            map,
            acme: acme.clone(),
        };
        let paymux = Orchestrator::builder(MemoryStore::with_time(time), source, runtime)
            .build()
            .await
            .unwrap();
        Self {
            acme,
            sandbox,
            clock,
            payments: paymux.tenant(tenant()),
            paymux,
        }
    }

    async fn pay(&self) -> paymux::Result<PaymentOutcome> {
        let new = NewIntent::payment(money!("100 EUR"));
        let reply = self
            .payments
            .create_and_confirm(&key("k"), new, card("t"))
            .await?;
        Ok(reply.outcome)
    }

    async fn post(&self) -> paymux::WebhookReply {
        let body = Bytes::from_static(b"{}");
        let headers = SIGNATURE.sign(&body, &Secret::from("whsec"), self.clock.now());
        let endpoint = EndpointId::named(Mode::Test, "acme");
        self.paymux.handle_webhook(&endpoint, &headers, body).await
    }
}

#[tokio::test]
async fn a_webhook_at_which_the_connector_panics_is_refused() {
    let shop = Shop::new().await;
    for (count, at) in (1..).zip([At::Identify, At::Verify, At::Decode]) {
        shop.acme.panics_at(at);
        let reply = shop.post().await;
        assert_eq!(
            (reply.response.status().as_u16(), reply.received),
            (400, Received::Refused),
            "{at:?}"
        );
        assert_eq!(shop.paymux.panics(), count, "{at:?}");
    }
    shop.acme.panics_at(At::Reply);
    let reply = shop.post().await;
    assert_eq!(
        (reply.response.status().as_u16(), reply.received),
        (200, Received::Accepted { notices: 0 })
    );
}

#[tokio::test]
async fn an_answer_at_which_the_connector_panics_is_unknown() {
    for at in [At::Report, At::Send] {
        let shop = Shop::new().await;
        shop.acme.panics_at(at);
        let (intent, _) = unknown(shop.pay().await.unwrap());
        assert_eq!(shop.paymux.panics(), 1, "{at:?}");
        shop.acme.panics_at(At::Nothing);
        shop.clock.advance(HOUR);
        shop.paymux.recover_due(50).await.unwrap();
        let now = shop.payments.intent(intent.id()).await.unwrap();
        assert_eq!(now.status(), paymux::IntentStatus::Succeeded, "{at:?}");
    }
}

#[tokio::test]
async fn a_request_at_which_the_connector_panics_is_an_error_and_nothing_is_sent() {
    let shop = Shop::new().await;
    shop.acme.panics_at(At::Request);
    let error = shop.pay().await.unwrap_err();
    assert_eq!((error.code(), shop.paymux.panics()), ("invalid", 1), "{error}");
    shop.acme.panics_at(At::Nothing);
    let again = shop.pay().await.unwrap();
    assert!(matches!(again, PaymentOutcome::Succeeded(_)), "{again:?}");
}

#[tokio::test]
async fn a_connector_that_panics_stops_no_other_tenants_work() {
    for at in [At::Request, At::ReadRequest, At::Source] {
        let shop = Shop::new().await;
        shop.acme.panics_at(At::Report);
        let (mine, _) = unknown(shop.pay().await.unwrap());
        let other = shop.paymux.tenant(Tenant::test("other").unwrap());
        let new = NewIntent::payment(money!("100 EUR")).reference("order");
        let token = card("tok_charged_answer_lost");
        let reply = other.create_and_confirm(&key("k"), new, token).await.unwrap();
        let (theirs, _) = unknown(reply.outcome);
        shop.acme.panics_at(at);
        shop.clock.advance(HOUR);
        let progress = shop.paymux.recover_due(50).await.unwrap();
        assert_eq!(progress.claimed, 2, "{at:?}");
        let now = other.intent(theirs.id()).await.unwrap();
        assert_eq!(now.status(), paymux::IntentStatus::Succeeded, "{at:?}");
        assert_eq!(shop.sandbox.ledger().live_charges("order").len(), 1);
        assert!(shop.paymux.panics() > 1, "{at:?}");
        let mine = shop.payments.intent(mine.id()).await.unwrap();
        let sent_again = at == At::ReadRequest;
        assert_eq!(mine.unknown_operation().is_none(), sent_again, "{at:?}");
    }
}
