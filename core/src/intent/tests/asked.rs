//! What a host may ask for, at each limit and one beyond it, and how an update lays itself onto what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::scene::{AMOUNT, Scene, declined, eur, faulty_fields};
use crate::id::{AccountRef, ConnectorId, CustomerId};
use crate::intent::command::{Command, CommandKind};
use crate::intent::event::IntentChange;
use crate::intent::machine::Illegal;
use crate::intent::new::{Limits, check_url};
use crate::intent::{
    Address, AmountDetails, CaptureMethod, Challenge, Granted, IntentDetails, IntentMode, IntentStatus,
    IntentUpdate, LineItem, Need, NewIntent, Payer, RoutingDetails, Sca, Through,
};
use crate::money::{Currency, Money};
use crate::routing::Country;
use crate::tenant::Mode;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(10_000);
const CAP: i64 = 5_000;

/// The fields that are at fault, in their order.
fn faults(intent: &NewIntent) -> Vec<String> {
    let limits = Limits {
        mode: Mode::Test,
        cap_minor: CAP,
        now: NOW,
    };
    faulty_fields(intent.check(limits))
}

fn good() -> NewIntent {
    NewIntent::payment(eur(100))
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(0).after(Duration::from_secs(secs))
}

#[track_caller]
fn hold(cases: impl IntoIterator<Item = (NewIntent, &'static str)>) {
    for (intent, field) in cases {
        let expected: Vec<_> = (!field.is_empty())
            .then(|| field.to_owned())
            .into_iter()
            .collect();
        assert_eq!(faults(&intent), expected, "{intent:?}");
    }
}

#[test]
fn an_amount_is_of_at_least_one_unit_and_at_most_the_cap() {
    let amounts = [
        (0, "amount"),
        (-1, "amount"),
        (1, ""),
        (CAP, ""),
        (CAP + 1, "amount"),
    ];
    hold(amounts.map(|(minor, field)| (NewIntent::payment(eur(minor)), field)));
    for mode in [NewIntent::setup, NewIntent::verify] {
        let of = |minor| {
            let mut intent = mode(Currency::EUR);
            intent.amount = eur(minor);
            intent
        };
        hold([
            (mode(Currency::EUR), ""),
            (of(1), "amount"),
            (of(-1), "amount"),
            (of(CAP + 1), "amount"),
        ]);
    }
}

#[test]
fn a_day_and_an_end_are_in_the_future_and_in_their_order() {
    hold([
        (good().scheduled_for(at(10_001)), ""),
        (good().scheduled_for(NOW), "scheduled_for"),
        (good().scheduled_for(at(9_999)), "scheduled_for"),
        (good().expires_at(at(10_001)), ""),
        (good().expires_at(NOW), "expires_at"),
        (good().expires_at(at(9_999)), "expires_at"),
        (good().scheduled_for(at(20_000)).expires_at(at(20_001)), ""),
        (
            good().scheduled_for(at(20_000)).expires_at(at(20_000)),
            "expires_at",
        ),
        (
            good().scheduled_for(at(20_000)).expires_at(at(19_999)),
            "expires_at",
        ),
    ]);
    let both = good().scheduled_for(at(1)).description("").expires_at(at(2));
    assert_eq!(
        faults(&both),
        ["description", "scheduled_for", "expires_at"],
        "all faults at once"
    );
}

#[test]
fn a_text_has_its_limit_in_characters() {
    type Set = fn(NewIntent, String) -> NewIntent;
    let texts: [(&str, usize, Set); 3] = [
        ("merchant_reference", 64, |intent, text| intent.reference(text)),
        ("statement_descriptor", 22, |intent, text| {
            intent.statement_descriptor(text)
        }),
        ("description", 500, |intent, text| intent.description(text)),
    ];
    for (field, most, set) in texts {
        hold([
            (set(good(), "é".repeat(most)), ""),
            (set(good(), "é".repeat(most - 1)), ""),
            (set(good(), "é".repeat(most + 1)), field),
            (set(good(), String::new()), field),
            (set(good(), "a\nb".to_owned()), field),
        ]);
    }
}

#[test]
fn pairs_have_their_limits() {
    let many = |pairs: usize| good().metadata((0..pairs).map(|at| (format!("k{at}"), "v")));
    let pair = |key: String, value: String| good().metadata([(key, value)]);
    let (key, value) = (|| "k".to_owned(), || "v".to_owned());
    hold([
        (many(50), ""),
        (many(51), "metadata"),
        (pair("é".repeat(40), value()), ""),
        (pair("é".repeat(39), value()), ""),
        (pair("é".repeat(41), value()), "metadata"),
        (pair(String::new(), value()), "metadata"),
        (pair(key(), "é".repeat(500)), ""),
        (pair(key(), "é".repeat(499)), ""),
        (pair(key(), "é".repeat(501)), "metadata.k"),
    ]);
}

#[test]
fn an_item_has_a_quantity_and_a_price() {
    let item = |quantity, price| LineItem {
        name: "a book".to_owned(),
        quantity,
        unit_amount: eur(price),
    };
    let with = |line_items| {
        good().amount_details(AmountDetails {
            line_items,
            ..AmountDetails::default()
        })
    };
    let second = |quantity, price| with(vec![item(1, 1), item(quantity, price)]);
    hold([
        (second(1, 0), ""),
        (second(9_999, 5), ""),
        (second(0, 5), "line_items.1"),
        (second(10_000, 5), "line_items.1"),
        (second(1, -1), "line_items.1"),
        (with(vec![item(1, 1); 99]), ""),
        (with(vec![item(1, 1); 100]), ""),
        (with(vec![item(1, 1); 101]), "line_items"),
    ]);
}

#[test]
fn a_page_is_of_https_or_of_this_machine_in_test_mode() {
    let refused =
        |url: &str| [Mode::Test, Mode::Live].map(|mode| check_url("return_url", url, mode).is_some());
    for url in [
        "https://shop.example/back",
        "https://shop.example/{payment}/{session}",
    ] {
        assert_eq!(refused(url), [false, false], "{url}");
    }
    for url in [
        "http://localhost:80/back",
        "http://127.0.0.1/back",
        "http://[::1]:8080/",
    ] {
        assert_eq!(refused(url), [false, true], "{url}");
    }
    for url in [
        "",
        "/back",
        "http://shop.example/back",
        "javascript:alert(1)",
        "ftp://shop.example/",
    ] {
        assert_eq!(refused(url), [true, true], "{url}");
    }
    let long = |length: usize| format!("https://shop.example/{}", "a".repeat(length - 21));
    assert_eq!(
        [2_047, 2_048, 2_049].map(|length| refused(&long(length))[0]),
        [false, false, true]
    );
    hold([
        (good().return_url("http://shop.example"), "return_url"),
        (good().return_url(long(2_048)), ""),
    ]);
}

#[test]
fn what_routing_goes_by_is_what_it_says() {
    let from = |country: &str| {
        let mut payer = payer();
        payer.country = Some(country.to_owned());
        good().payer(payer)
    };
    hold([
        (good().mcc(0), ""),
        (good().mcc(9_999), ""),
        (good().mcc(10_000), "routing.mcc"),
        (from("fr"), ""),
        (from("France"), "payer.country"),
        (from(""), "payer.country"),
    ]);
    let account = |connector, name: &str| AccountRef::new(ConnectorId::from_static(connector), name);
    let connector = Through::from(ConnectorId::from_static("acme"));
    let one = Through::from(account("acme", "eu"));
    let named = |through: &Through| {
        [
            account("acme", "eu"),
            account("acme", "us"),
            account("bank", "eu"),
        ]
        .map(|at| through.names(&at))
    };
    assert_eq!(named(&connector), [true, true, false]);
    assert_eq!(named(&one), [true, false, false]);
}

fn customer() -> CustomerId {
    CustomerId::from_uuid(Mode::Test, Uuid::from_u128(6))
}

fn lives_in(city: &str) -> Address {
    Address {
        city: Some(city.to_owned()),
        ..Address::default()
    }
}

fn payer() -> Payer {
    Payer {
        name: Some("A. Payer".to_owned()),
        ..Payer::default()
    }
}

fn tip() -> AmountDetails {
    AmountDetails {
        tip: Some(eur(7)),
        ..AmountDetails::default()
    }
}

/// Every detail is another one than by default.
fn all() -> IntentDetails {
    IntentDetails {
        merchant_reference: Some("order-1".to_owned()),
        statement_descriptor: Some("SHOP".to_owned()),
        description: Some("a book".to_owned()),
        customer: Some(customer()),
        return_url: Some("https://shop.example/back".to_owned()),
        amount_details: tip(),
        payer: payer(),
        billing: Some(lives_in("Bonn")),
        shipping: Some(lives_in("Cologne")),
        sca: Sca {
            challenge: Challenge::Required,
            ..Sca::default()
        },
        mit: None,
        routing: RoutingDetails {
            through: Some(Through::Connector(ConnectorId::from_static("acme"))),
            needs: [Need::Refund].into(),
            merchant_country: Some(Country::from_static("DE")),
            mcc: Some(5_411),
        },
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }
}

#[test]
fn each_setter_sets_what_it_says_and_an_update_leaves_the_rest() {
    macro_rules! setters {
        ($($($field:ident).+ = $set:expr;)*) => {
            $({
                let set: fn(IntentUpdate) -> IntentUpdate = $set;
                let mut expected = IntentDetails::default();
                expected.$($field).+ = all().$($field).+;
                let change = set(IntentUpdate::new()).onto(&IntentDetails::default());
                assert_eq!(change.details, Some(expected));
                // Onto everything it sets nothing else, and what is set to nothing is taken away by nobody.
                let change = set(IntentUpdate::new()).onto(&all());
                assert_eq!((change.amount, change.capture_method), (None, None));
                assert_eq!(change.details, Some(all()));
            })*
            let update = IntentUpdate::new();
            $(
                let set: fn(IntentUpdate) -> IntentUpdate = $set;
                let update = set(update);
            )*
            assert_eq!(update.onto(&IntentDetails::default()).details, Some(all()));
        };
    }
    setters! {
        merchant_reference = |update| update.reference("order-1");
        statement_descriptor = |update| update.statement_descriptor("SHOP");
        description = |update| update.description("a book");
        customer = |update| update.customer(customer());
        return_url = |update| update.return_url("https://shop.example/back");
        amount_details = |update| update.amount_details(tip());
        payer = |update| update.payer(payer());
        billing = |update| update.billing(lives_in("Bonn"));
        shipping = |update| update.shipping(lives_in("Cologne"));
        sca = |update| update.challenge(Challenge::Required);
        routing.through = |update| update.through(ConnectorId::from_static("acme"));
        routing.needs = |update| update.needs([Need::Refund]);
        routing.merchant_country = |update| update.merchant_country(Country::from_static("DE"));
        routing.mcc = |update| update.mcc(5_411);
        metadata = |update| update.metadata([("a", "b")]);
    }
    let sca = all().sca;
    let change = IntentUpdate::new()
        .sca(sca.clone())
        .onto(&IntentDetails::default());
    assert_eq!(change.details.map(|details| details.sca), Some(sca));
    let change = IntentUpdate::new()
        .amount(eur(5))
        .capture(CaptureMethod::Manual)
        .onto(&all());
    let expected = IntentChange {
        amount: Some(eur(5)),
        capture_method: Some(CaptureMethod::Manual),
        details: Some(all()),
    };
    assert_eq!(change, expected);
}

#[test]
fn details_read_back_as_they_were_written_and_what_is_usual_isn_t_written() {
    let text = serde_json::to_string(&all()).unwrap();
    assert_eq!(serde_json::from_str::<IntentDetails>(&text).unwrap(), all());
    assert_eq!(serde_json::to_string(&IntentDetails::default()).unwrap(), "{}");
}

#[test]
fn personal_data_isn_t_printed() {
    let printed = format!("{:?}", all());
    assert!(
        printed.contains("Payer(…)") && printed.contains("Address(…)"),
        "{printed}"
    );
    for personal in ["A. Payer", "Bonn", "Cologne"] {
        assert!(!printed.contains(personal), "{printed}");
    }
}

#[test]
fn what_was_granted_says_so() {
    let lapses = Timestamp::from_secs(9_000);
    let granted = Granted::nothing().capturable_max(1_500).capture_before(lapses);
    assert_eq!(
        (granted.capturable_max, granted.capture_before),
        (Some(1_500), Some(lapses))
    );
    assert_eq!(
        Granted {
            capturable_max: None,
            capture_before: None,
            ..granted
        },
        Granted::nothing()
    );
}

#[test]
fn a_new_payment_waits_for_its_day() {
    let id = Scene::manual().state.id;
    let state = good()
        .capture(CaptureMethod::Manual)
        .expires_at(at(99))
        .into_state(id, NOW);
    assert_eq!(
        (state.status, state.mode, state.amount),
        (IntentStatus::Created, IntentMode::Payment, eur(100))
    );
    assert_eq!(
        (state.capture_method, state.expires_at),
        (CaptureMethod::Manual, Some(at(99)))
    );
    assert_eq!((state.created_at, state.updated_at), (NOW, NOW));
    let state = good().scheduled_for(at(99)).into_state(id, NOW);
    assert_eq!(
        (state.status, state.scheduled_for),
        (IntentStatus::Scheduled, Some(at(99)))
    );
}

/// The field at which an update of the amount is refused.
fn updated(scene: &Scene, amount: Money) -> Option<&'static str> {
    let change = IntentChange {
        amount: Some(amount),
        ..IntentChange::default()
    };
    match scene.clone().run(&Command::Update(Box::new(change))) {
        Ok(()) => None,
        Err(Illegal::Fault { field, .. }) => Some(field),
        Err(other) => panic!("no fault: {other:?}"),
    }
}

#[test]
fn a_session_s_payment_is_over_the_session_s_amount() {
    let mut scene = Scene::manual();
    assert_eq!(updated(&scene, eur(2_000)), None);
    scene.state.session = Some(crate::SessionId::from_uuid(Mode::Test, Uuid::from_u128(5)));
    assert_eq!(updated(&scene, eur(2_000)), Some("amount"));
    assert_eq!(updated(&scene, eur(AMOUNT)), None);
}

#[test]
fn an_amount_stays_while_a_superseded_attempt_can_be_paid() {
    for mut scene in [Scene::requires_action(), Scene::acted()] {
        let supersede = scene.command(CommandKind::Supersede);
        scene.run(&supersede).unwrap();
        assert_eq!(updated(&scene, eur(2_000)), Some("amount"));
        assert_eq!(updated(&scene, eur(AMOUNT)), None);
        scene.read(declined().into());
        assert_eq!(updated(&scene, eur(2_000)), None, "it can't be paid any more");
    }
    // What was given up isn't waited for: a success of it goes back.
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let mut scene = scene.doubted();
    let abandon = scene.abandon(scene.now);
    scene.run(&abandon).unwrap();
    assert_eq!(updated(&scene, eur(2_000)), None);
}
