//! Every request that the connector builds, against the parameters and words that Stripe's description allows, and
//! against what its documentation says of amounts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;

use fixture::*;
use paymux_core::connector::prelude::*;
use paymux_core::{Address, Exemption, IntentDetails, Mit, MitReason, RefundReason};
use serde_json::{Value, json};

/// The fields of a form, in order.
fn fields(form: &str) -> Vec<(String, String)> {
    form.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("name=value");
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).unwrap()
}

fn body(request: &Request) -> BTreeMap<String, String> {
    let all = fields(std::str::from_utf8(request.bytes()).unwrap());
    let count = all.len();
    let map: BTreeMap<_, _> = all.into_iter().collect();
    assert_eq!(map.len(), count, "a field stands twice");
    map
}

/// The endpoint's pattern, and the fields of body and query.
fn endpoint(request: &Request) -> (String, BTreeMap<String, String>) {
    let path = request
        .url()
        .strip_prefix("https://api.stripe.com")
        .expect("Stripe's own address");
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pattern = path.replace("/pi_1", "/{id}").replace("/re_1", "/{id}");
    let mut all = body(request);
    all.extend(fields(query));
    (format!("{} {pattern}", request.method()), all)
}

fn facts() -> Value {
    serde_json::from_str(include_str!("facts/openapi.json")).unwrap()
}

fn lists(facts: &Value, under: &str, key: &str, word: &str) -> bool {
    let list = facts[under][key]
        .as_array()
        .unwrap_or_else(|| panic!("{under}: nothing on {key}"));
    list.iter().any(|known| known == word)
}

/// Every field is a parameter of the endpoint, to any depth, and a word from a closed list is on it.
fn check(request: &Request) {
    let facts = facts();
    let (endpoint, fields) = endpoint(request);
    for (name, value) in &fields {
        let mut parts = name.split('[').map(|part| part.trim_end_matches(']'));
        let mut parent = parts.next().unwrap().to_owned();
        assert!(
            lists(&facts, "parameters", &endpoint, &parent),
            "{endpoint} has no `{parent}`"
        );
        for part in parts {
            // Metadata is the host's own, and an empty part is a place in a list.
            if parent != "metadata" && !part.is_empty() {
                if parent != "payment_method_options" {
                    assert!(lists(&facts, "nested", &parent, part), "{parent} has no `{part}`");
                }
                parent = format!("{parent}[{part}]");
            }
        }
        if facts["words"].get(name).is_some() {
            assert!(lists(&facts, "words", name, value), "{name}={value}");
        }
    }
}

/// A payment that asks for everything that can be asked for.
fn lavish() -> op::Authorize {
    let mut details = IntentDetails::default();
    details.merchant_reference = Some("order 7 & more".to_owned());
    details.statement_descriptor = Some("ORDER 7".to_owned());
    details.description = Some("Tea, 100 % Ceylon; café".to_owned());
    let mut shipping = Address::default();
    shipping.name = Some("A B".to_owned());
    shipping.line1 = Some("1 Street".to_owned());
    shipping.line2 = Some("Back".to_owned());
    shipping.city = Some("Town".to_owned());
    shipping.state = Some("ST".to_owned());
    shipping.postal_code = Some("1234".to_owned());
    shipping.country = Some("FR".to_owned());
    details.shipping = Some(shipping);
    details.payer.phone = Some("+33 1".to_owned());
    details.sca.exemption = Some(Exemption::Moto);
    details.mit = Some(Mit::new(MitReason::Recurring));
    op::Authorize::new(
        reference(1),
        eur(1000),
        PaymentMethod::Provider {
            kind: "stripe".to_owned(),
            data: json!({ "payment_method": "pm_1", "customer": "cus_1" }),
        },
        CaptureMethod::Manual,
    )
    .challenge(Challenge::Required)
    .return_url("https://shop.example/back?payment=pi_test_1")
    .details(Arc::new(details))
}

#[test]
fn every_request_keeps_to_the_description() {
    let all = stripe()
        .request_multicapture()
        .request_incremental()
        .connector(Arc::new(Silent));
    let token = op::Authorize::new(
        reference(1),
        eur(1000),
        PaymentMethod::card_token("tok_visa"),
        CaptureMethod::Automatic,
    );
    let requests = [
        prepare().request(&all),
        op::Prepare::new(lavish()).request(&all),
        op::Prepare::new(token).request(&all),
        execute().request(&all),
        op::Execute::new(lavish(), "pi_1".into()).request(&all),
        capture(400, Rest::Keep).request(&all),
        capture(400, Rest::Release).request(&all),
        increment().request(&all),
        void().request(&all),
        cancel().request(&all),
        refund(RefundReason::Fraudulent).request(&all),
        refund(RefundReason::DuplicateOrder).request(&all),
        refund(RefundReason::GoodsReturned).request(&all),
        refund(RefundReason::Other("lost".to_owned())).request(&all),
        read().request(&all),
        read_refund().request(&all),
        look_up_refund().request(&all),
    ];
    for request in requests {
        check(&request.expect("can be asked"));
    }
}

#[test]
#[should_panic(expected = "has no `amount`")]
fn a_parameter_that_the_description_lacks_is_seen() {
    let stray = Request::post("https://api.stripe.com/v1/payment_intents/pi_1/confirm")
        .body("application/x-www-form-urlencoded", "amount=1");
    check(&stray);
}

#[test]
fn the_least_payment_sends_the_least() {
    let (endpoint, fields) = endpoint(&prepare().request(&connector()).unwrap());
    assert_eq!(endpoint, "POST /v1/payment_intents");
    let expected = [
        ("amount", "1000".to_owned()),
        ("capture_method", "automatic".to_owned()),
        ("currency", "eur".to_owned()),
        ("metadata[paymux]", reference(1)),
        ("payment_method", "pm_card_visa".to_owned()),
        ("payment_method_types[]", "card".to_owned()),
    ];
    assert_eq!(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect::<Vec<_>>(),
        expected
    );
    let confirm = body(&execute().request(&connector()).unwrap());
    assert_eq!(
        confirm.into_iter().collect::<Vec<_>>(),
        [("expand[]".to_owned(), "latest_charge".to_owned())]
    );
}

#[test]
fn what_is_asked_for_is_sent() {
    let all = stripe()
        .request_multicapture()
        .request_incremental()
        .connector(Arc::new(Silent));
    let made = body(&op::Prepare::new(lavish()).request(&all).unwrap());
    for (name, value) in [
        ("capture_method", "manual"),
        ("customer", "cus_1"),
        ("description", "Tea, 100 % Ceylon; café"),
        ("metadata[order]", "order 7 & more"),
        ("payment_method", "pm_1"),
        ("payment_method_options[card][moto]", "true"),
        (
            "payment_method_options[card][request_incremental_authorization]",
            "if_available",
        ),
        (
            "payment_method_options[card][request_multicapture]",
            "if_available",
        ),
        (
            "payment_method_options[card][request_three_d_secure]",
            "challenge",
        ),
        ("shipping[address][postal_code]", "1234"),
        ("statement_descriptor_suffix", "ORDER 7"),
    ] {
        assert_eq!(made.get(name).map(String::as_str), Some(value), "{name}");
    }
    let confirmed = body(&op::Execute::new(lavish(), "pi_1".into()).request(&all).unwrap());
    assert_eq!(confirmed["off_session"], "true");
    assert_eq!(
        confirmed["return_url"],
        "https://shop.example/back?payment=pi_test_1"
    );
    assert_eq!(
        body(&capture(400, Rest::Keep).request(&all).unwrap())["final_capture"],
        "false"
    );
    assert!(!body(&capture(400, Rest::Release).request(&all).unwrap()).contains_key("final_capture"));
    assert_eq!(body(&increment().request(&all).unwrap())["amount"], "1500");
}

#[test]
fn headers_name_the_account_the_version_and_the_key() {
    let plain = prepare().request(&connector()).unwrap();
    assert_eq!(plain.headers()["stripe-version"], paymux_stripe::API_VERSION);
    assert_eq!(plain.headers()["authorization"], "Bearer sk_test_canary");
    assert_eq!(plain.headers()["idempotency-key"], key(1, "prepare").as_str());
    assert!(!plain.headers().contains_key("stripe-account"));
    assert_eq!(paymux_stripe::API_VERSION, facts()["version"]);
    let connected = stripe().connected_account("acct_1").connector(Arc::new(Silent));
    let connected_request = prepare().request(&connected).unwrap();
    assert_eq!(connected_request.headers()["stripe-account"], "acct_1");
    assert_eq!(connected_request.wire_hash(), plain.wire_hash());
    let reading = read().request(&connector()).unwrap();
    assert!(!reading.headers().contains_key("idempotency-key"));
    for printed in [format!("{connected:?}"), format!("{plain:?}")] {
        assert!(!printed.contains("canary"), "{printed}");
    }
}

#[test]
fn amounts_are_counted_as_stripe_counts_them() {
    let sent = |minor, currency| {
        let mut op = authorize();
        op.amount = Money::from_minor(minor, currency);
        let request = op::Prepare::new(op).request(&connector())?;
        Ok::<_, Unsendable>(body(&request)["amount"].clone())
    };
    for (minor, currency, units) in [
        (1000, Currency::EUR, "1000"),
        (500, Currency::JPY, "500"),
        (5, Currency::ISK, "500"),
        (5, Currency::UGX, "500"),
        (1045, Currency::HUF, "1045"),
        (80_045, Currency::TWD, "80045"),
        (500, Currency::MGA, "5"),
        (5120, Currency::KWD, "5120"),
    ] {
        assert_eq!(sent(minor, currency).as_deref(), Ok(units), "{currency}");
    }
    for (minor, currency) in [
        (5123, Currency::KWD),
        (5125, Currency::BHD),
        (510, Currency::MGA),
        (i64::MAX, Currency::ISK),
        (0, Currency::EUR),
        (-1, Currency::EUR),
    ] {
        let refused = sent(minor, currency).expect_err("can't be represented");
        assert_eq!(refused.fault().field, "amount", "{minor} {currency}");
    }
}

#[test]
fn what_stripe_cannot_be_asked_is_not_sent() {
    let with = |change: &dyn Fn(&mut op::Authorize)| {
        let mut op = authorize();
        change(&mut op);
        op::Prepare::new(op)
            .request(&connector())
            .expect_err("not sendable")
            .fault()
            .field
            .to_string()
    };
    let details = |change: &dyn Fn(&mut IntentDetails)| {
        let mut details = IntentDetails::default();
        change(&mut details);
        with(&|op: &mut op::Authorize| op.details = Arc::new(details.clone()))
    };
    assert_eq!(with(&|op| op.mode = IntentMode::Setup), "mode");
    assert_eq!(
        with(&|op| op.method = PaymentMethod::card_token("4242424242424242")),
        "method"
    );
    assert_eq!(with(&|op| op.method = PaymentMethod::BankTransfer), "method");
    for descriptor in ["no star *", "much too long for a statement", "1234", "café"] {
        let field = details(&|details| details.statement_descriptor = Some(descriptor.to_owned()));
        assert_eq!(field, "statement_descriptor", "{descriptor}");
    }
    assert_eq!(
        details(&|details| details.sca.external_3ds = Some(Default::default())),
        "sca.external_3ds"
    );
    assert_eq!(
        capture(400, Rest::Keep)
            .request(&connector())
            .unwrap_err()
            .fault()
            .field,
        "rest"
    );
    let elsewhere = op::Void::new(reference(4), "pi_1/../../v1/payouts".into(), eur(1));
    assert_eq!(
        elsewhere.request(&connector()).unwrap_err().fault().field,
        "handle"
    );
}

#[test]
fn increments_are_offered_where_they_are_asked_for() {
    use paymux_core::connector::{Ability, Offer};
    assert_eq!(connector().offers(Ability::Increment), Offer::Refused);
    let asking = stripe().request_incremental().connector(Arc::new(Silent));
    assert_eq!(asking.offers(Ability::Increment), Offer::Offered);
    for absent in [Ability::Complete, Ability::LookUp] {
        assert_eq!(asking.offers(absent), Offer::Refused, "{absent:?}");
    }
}

#[test]
fn an_account_takes_the_currencies_that_were_chosen() {
    let admits = |connector: &Connector, currency| {
        let method = PaymentMethod::card_token("pm_1");
        let amount = Money::from_minor(1000, currency);
        connector
            .capabilities()
            .admit(amount, &method, CaptureMethod::Automatic)
            .is_ok()
    };
    assert!(admits(&connector(), Currency::EUR) && admits(&connector(), Currency::LEK));
    assert!(!admits(&connector(), Currency::IQD), "not one of Stripe's");
    let euro = stripe()
        .currencies([Currency::EUR, Currency::IQD])
        .connector(Arc::new(Silent));
    assert!(admits(&euro, Currency::EUR));
    assert!(!admits(&euro, Currency::USD) && !admits(&euro, Currency::IQD));
}
