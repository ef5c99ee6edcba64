//! What is posted to us: a signature proves who wrote a body, and nothing else does.

use http::{HeaderMap, HeaderName, HeaderValue};
use paymux_core::connector::{Authority, Connector, Inbound, TimestampedHmac, Verified};
use paymux_core::store::{Query, RowKind, Store};
use paymux_core::{Mode, Received, Secret, Tenant, Timestamp};
use std::time::Duration;

use crate::answers;
use crate::input::{head, now};
use crate::rows::{endpoint, shop, tenant};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const SECRET: &str = "whsec_x";

const SCHEME: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};

/// A header of that form over a body: it is genuine only with the signature of its own time and body, by one of the
/// secrets, inside the tolerance. The first line is the header, `$SIGNATURE` in it the genuine hexadecimal of its time.
pub fn signature(data: &[u8]) {
    let (value, body) = head(data);
    let secrets = [Secret::from("another"), Secret::from(SECRET)];
    let genuine = signed_at(value).map(|at| expected(body, at));
    let value = match &genuine {
        Some(hex) => value.replace("$SIGNATURE", hex),
        None => value.to_owned(),
    };
    let mut inbound = Inbound {
        headers: HeaderMap::new(),
        body: body.to_vec().into(),
    };
    assert!(SCHEME.verify(&inbound, &secrets, NOW).is_err(), "unsigned");
    let Ok(header) = HeaderValue::from_str(&value) else {
        return;
    };
    let name = HeaderName::from_static(SCHEME.header);
    inbound.headers.insert(name.clone(), header.clone());
    if SCHEME.verify(&inbound, &secrets, NOW).is_ok() {
        let at = signed_at(&value).expect("a time");
        assert!(at.since(NOW).max(NOW.since(at)) <= SCHEME.tolerance, "{value}");
        let hex = expected(body, at);
        // The time is signed as it is written, so that its other spellings aren't what was signed.
        assert!(value.to_ascii_lowercase().contains(&hex), "{value}");
        assert!(
            SCHEME.verify(&inbound, &secrets[..1], NOW).is_err(),
            "another secret"
        );
        let mut other = inbound.clone();
        other.body = [body, b" "].concat().into();
        assert!(SCHEME.verify(&other, &secrets, NOW).is_err(), "another body");
        inbound.headers.append(name, header);
        assert!(SCHEME.verify(&inbound, &secrets, NOW).is_err(), "two headers");
    }
}

/// The time that a header names first.
fn signed_at(value: &str) -> Option<Timestamp> {
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("t="))?;
    Some(Timestamp::from_secs(seconds.parse::<u32>().ok()?.into()))
}

fn expected(body: &[u8], at: Timestamp) -> String {
    let headers = SCHEME.sign(body, &Secret::from(SECRET), at);
    let value = headers[SCHEME.header].to_str().expect("ASCII");
    value.split_once("v1=").expect("a signature").1.to_owned()
}

/// A body as Stripe might post it: what it says is hints about a payment or a refund that it names, and it is taken with
/// its own signature alone.
pub fn stripe_webhook(data: &[u8]) {
    let connector = answers::stripe();
    genuine_alone(&connector, SCHEME, data);
    let webhooks = connector.slots().webhooks().expect("offered");
    let inbound = unsigned(data);
    let (identified, decoded) = (
        webhooks.identify(&inbound),
        webhooks.decode(&Verified::vouched(&inbound)),
    );
    // A string that isn't text (half of a pair) reads where nobody wants it; there is nothing to compare with.
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    for account in identified.into_iter().flatten() {
        assert_eq!(account.connector().as_str(), "stripe");
        assert!(account.account() == "main" || json["account"] == account.account());
    }
    let notices = decoded.unwrap_or_default();
    assert!(notices.len() <= 1);
    for notice in notices {
        assert_eq!(notice.authority(), &Authority::Hint, "Stripe's objects are read");
        let object = &json["data"]["object"];
        let about = notice.about().as_str();
        let named = [
            &object["id"],
            &object["payment_intent"],
            &object["payment_intent"]["id"],
        ];
        assert!(
            named.iter().any(|named| *named == about),
            "{about} isn't in the body"
        );
    }
}

/// A body as the sandbox might post it.
pub fn sandbox_webhook(data: &[u8]) {
    let shop = shop();
    let connector = shop.sandbox.connector("main");
    let scheme = TimestampedHmac {
        header: "sandbox-signature",
        ..SCHEME
    };
    genuine_alone(&connector, scheme, data);
    let webhooks = connector.slots().webhooks().expect("offered");
    let inbound = unsigned(data);
    let identified = webhooks.identify(&inbound);
    let decoded = webhooks.decode(&Verified::vouched(&inbound));
    assert!(decoded.is_err() || identified.is_ok(), "what reads is somebody's");
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    for notice in decoded.into_iter().flatten() {
        assert_eq!(event["id"], notice.about().as_str());
        let hint = event.get("object").is_none_or(serde_json::Value::is_null);
        assert_eq!(
            hint,
            *notice.authority() == Authority::Hint,
            "only an object is news"
        );
    }
}

/// Whatever the body: its own signature makes it genuine, and no other does.
fn genuine_alone(connector: &Connector, scheme: TimestampedHmac, body: &[u8]) {
    let webhooks = connector.slots().webhooks().expect("offered");
    let secrets = [Secret::from(SECRET)];
    let signed = |by: &[u8], secret: &str, at| Inbound {
        headers: scheme.sign(by, &Secret::from(secret), at),
        body: body.to_vec().into(),
    };
    let verify = |inbound: &Inbound| now(webhooks.verify(inbound, &secrets, NOW)).is_ok();
    assert!(verify(&signed(body, SECRET, NOW)));
    assert!(!verify(&unsigned(body)), "unsigned");
    assert!(!verify(&signed(body, "whsec_y", NOW)), "another secret");
    assert!(
        !verify(&signed(&[body, b"\n"].concat(), SECRET, NOW)),
        "another body"
    );
    assert!(
        !verify(&signed(body, SECRET, NOW.before(Duration::from_secs(301)))),
        "stale"
    );
}

fn unsigned(body: &[u8]) -> Inbound {
    Inbound {
        headers: HeaderMap::new(),
        body: body.to_vec().into(),
    }
}

/// A body at the door, first forged, then signed: a forged one changes nothing and stores nothing, and a signed one
/// moves no money.
pub fn inbound(data: &[u8]) {
    let shop = shop();
    let post = |headers: &HeaderMap, body: &[u8]| {
        now(shop
            .orchestrator
            .handle_webhook(&endpoint(), headers, body.to_vec().into()))
    };
    let (forged, body) = shop.sandbox.forge(data.to_vec());
    for headers in [forged, HeaderMap::new()] {
        let reply = post(&headers, &body);
        assert!(reply.received == Received::Refused && reply.response.status().is_client_error());
    }
    let kept = || {
        let query = Query::of(RowKind::Notice);
        let parked = Tenant::new("~parked", Mode::Test).expect("a name");
        let count = |tenant| now(shop.store.find(tenant, &query)).expect("a store").len();
        count(&tenant()) + count(&parked)
    };
    assert_eq!(kept(), 0);
    let clock: &dyn paymux_core::Clock = &shop.clock;
    let scheme = TimestampedHmac {
        header: "sandbox-signature",
        ..SCHEME
    };
    let headers = scheme.sign(data, &shop.sandbox.webhook_secret(), clock.now());
    let first = post(&headers, data);
    match first.received {
        Received::Accepted { notices } => assert!(notices == 1 && first.response.status().is_success()),
        Received::Refused => assert!(first.response.status().is_client_error()),
        Received::TryLater => panic!("the store is there, so that sending it again wouldn't help"),
    }
    let before = kept();
    let again = post(&headers, data);
    assert_eq!(again.received, first.received);
    assert_eq!(kept(), before, "the same again is stored once");
    shop.clock.advance(Duration::from_secs(600));
    let _progress = now(shop.orchestrator.recover_due(10));
    assert!(shop.sandbox.ledger().payments().is_empty());
}
