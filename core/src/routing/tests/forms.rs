//! One program in three forms, and the one form that is written.

use proptest::prelude::*;

use super::random::rules;
use super::{codes, json_of, told};
use crate::id::{AccountRef, ConnectorId};
use crate::money::Currency;
use crate::routing::{
    Program, Route, StickyBy, amount, attempt, card_bin, card_network, currency, day_of_week, last_decline,
    mcc, metadata, mit, payer_country, time_of_day,
};
use crate::{DeclineCode, money, routing::Weekday};

fn built() -> Program {
    Program::builder("eu-cards")
        .list("not-served", ["KP", "IR"])
        .rule(
            "sanctions",
            payer_country().in_list("not-served"),
            Route::block("country_not_served"),
        )
        .rule(
            "small euro",
            currency().is(Currency::EUR).and(amount().below(money!("30 EUR"))),
            Route::split([("acme", 70), ("stripe", 30)], StickyBy::Customer).then(["sandbox"]),
        )
        .rule(
            "amex",
            card_network()
                .is_in(["amex"])
                .except(card_bin().starts_with("3737")),
            Route::best_success_rate(["stripe", "acme"]),
        )
        .otherwise(Route::ordered(["stripe", "acme"]))
        .unwrap()
}

const JSON: &str = r#"{"version":1,"name":"eu-cards","lists":{"not-served":["KP","IR"]},"rules":[{"name":"sanctions","when":{"payer_country":{"in_list":"not-served"}},"block":"country_not_served"},{"name":"small euro","when":{"currency":"EUR","amount":{"below":"30.00 EUR"}},"split":{"acme":70,"stripe":30},"sticky_by":"customer","then":["sandbox"]},{"name":"amex","when":{"card_network":"amex","not":{"card_bin":{"starts_with":"3737"}}},"best_success_rate":["stripe","acme"]}],"otherwise":{"ordered":["stripe","acme"]}}"#;

#[cfg(feature = "toml")]
#[test]
fn toml_json_and_the_builder_say_the_same() {
    let toml = r#"
version = 1
name = "eu-cards"
lists.not-served = ["KP", "IR"]
otherwise = { ordered = ["stripe", "acme"] }
rules = [
  { name = "sanctions", when = { payer_country = { in_list = "not-served" } }, block = "country_not_served" },
  { name = "small euro", when = { currency = "EUR", amount = { below = "30 EUR" } }, split = { acme = 70, stripe = 30 }, sticky_by = "customer", then = ["sandbox"] },
  { name = "amex", when = { card_network = ["amex"], not = { card_bin = { starts_with = "3737" } } }, best_success_rate = ["stripe", "acme"] } ]
"#;
    let of_toml = Program::from_toml(toml).unwrap();
    assert_eq!(of_toml, built());
    assert_eq!(of_toml, Program::from_json(JSON).unwrap());
    assert_eq!(of_toml.fingerprint(), built().fingerprint());
    assert!(of_toml.warnings().is_empty(), "{}", of_toml.warnings());
}

/// Stored decisions name their program by its fingerprint, so that neither may change by itself.
#[test]
fn a_program_is_written_in_one_form() {
    assert_eq!(built().to_json(), JSON);
    assert_eq!(built().fingerprint(), "a2eba18c0dfc0df4");
    let other = Program::builder("eu-cards")
        .otherwise(Route::ordered(["acme"]))
        .unwrap();
    assert_ne!(built().fingerprint(), other.fingerprint());
}

#[test]
fn every_kind_of_test_has_a_form_in_a_document() {
    let built = Program::builder("test")
        .list("groceries", ["5411", "5422"])
        .list("shifts", ["08:00", "09:30"])
        .rule(
            "night",
            time_of_day().at_least(22 * 60).or(time_of_day().within(0..360)),
            Route::cheapest(["acme"]),
        )
        .rule(
            "evening",
            time_of_day()
                .within(18 * 60..1_440)
                .and(time_of_day().in_list("shifts")),
            Route::cheapest(["acme"]),
        )
        .rule(
            "shops",
            mcc().in_list("groceries"),
            Route::healthiest_first(["acme"]),
        )
        .rule(
            "again",
            attempt()
                .at_least(2)
                .and(last_decline().is_in([DeclineCode::InsufficientFunds, DeclineCode::ExpiredCard])),
            Route::ordered(["acme"]),
        )
        .rule(
            "web",
            metadata("channel")
                .is("web")
                .and(metadata("a.b").is("c"))
                .and(mit().is_present().negated()),
            Route::ordered(["acme"]),
        )
        .rule(
            "weekend",
            day_of_week()
                .is_in([Weekday::Saturday, Weekday::Sunday])
                .and(payer_country().is(crate::routing::Country::from_static("fr"))),
            Route::ordered(["acme"]),
        )
        .otherwise(Route::ordered(["acme"]))
        .unwrap();
    let json = r#"{
        "version": 1, "name": "test",
        "lists": {"groceries": [5411, 5422], "shifts": ["08:00", "09:30"]},
        "rules": [
            {"name": "night", "when": {"any": [
                {"time_of_day": {"at_least": "22:00"}},
                {"time_of_day": {"at_least": "00:00", "below": "06:00"}}]}, "cheapest": ["acme"]},
            {"name": "evening", "when": {"all": [
                {"time_of_day": {"at_least": "18:00", "below": "24:00"}},
                {"time_of_day": {"in_list": "shifts"}}]}, "cheapest": ["acme"]},
            {"name": "shops", "when": {"mcc": {"in_list": "groceries"}}, "healthiest_first": ["acme"]},
            {"name": "again", "when": {
                "attempt": {"at_least": 2},
                "last_decline": {"in": ["insufficient_funds", "expired_card"]}}, "ordered": ["acme"]},
            {"name": "web", "when": {
                "metadata": {"channel": "web", "a.b": "c"}, "mit": {"present": false}}, "ordered": ["acme"]},
            {"name": "weekend", "when": {
                "day_of_week": ["saturday", "sunday"], "payer_country": "fr"}, "ordered": ["acme"]}],
        "otherwise": {"ordered": ["acme"]}}"#;
    assert_eq!(Program::from_json(json).unwrap(), built);
    assert_eq!(Program::from_json(&built.to_json()).unwrap(), built);
    let dotted = json.replace(
        r#""metadata": {"channel": "web", "a.b": "c"}"#,
        r#""metadata.channel": "web", "metadata.a.b": "c""#,
    );
    assert_eq!(Program::from_json(&dotted).unwrap(), built);
}

#[cfg(feature = "toml")]
#[test]
fn shares_of_a_toml_program_keep_their_order() {
    let text = |shares: &str| format!("version = 1\nname = \"test\"\n[otherwise]\nsplit = {{ {shares} }}\n");
    let one = Program::from_toml(&text("zebra = 1_0, acme = 0x14, \"stripe/eu\" = 30")).unwrap();
    let other = Route::split([("zebra", 10), ("acme", 20), ("stripe/eu", 30)], StickyBy::Intent);
    assert_eq!(one, Program::builder("test").otherwise(other).unwrap());
    let turned = Program::from_toml(&text("acme = 20, zebra = 10, \"stripe/eu\" = 30")).unwrap();
    assert_ne!(one, turned);
}

/// The same faults in the document come at once, whatever kind of document it is.
#[cfg(feature = "toml")]
#[test]
fn a_key_that_stands_twice_hides_no_other_fault() {
    let toml = "version = 1\nname = \"a\"\nname = \"b\"\notherwise = { ordred = [\"acme\"] }\n";
    let refused = Program::from_toml(toml).unwrap_err();
    assert_eq!(codes(&refused), ["duplicate_key", "no_route", "unknown_key"]);
    assert_eq!(refused.iter().next().unwrap().line_column(), Some((3, 1)));
    let json = r#"{"version": 1, "name": "a", "name": "b", "otherwise": {"ordred": ["acme"]}}"#;
    let refused = told(json);
    assert_eq!(codes(&refused), ["duplicate_key", "no_route", "unknown_key"]);
}

#[cfg(feature = "toml")]
#[test]
fn columns_count_characters() {
    let toml = "version = 1\nname = \"é\"\notherwise = { \"żółw\" = 1, ordered = [\"acme\"] }";
    let refused = Program::from_toml(toml).unwrap_err();
    let places: Vec<_> = refused.iter().map(|one| one.line_column().unwrap()).collect();
    assert_eq!(codes(&refused)[0], "unknown_key", "{refused}");
    assert_eq!(places[0], (3, 15));
}

#[test]
fn what_is_not_registered_is_told_with_the_nearest_that_is() {
    let account =
        |connector: &str, account: &str| AccountRef::new(ConnectorId::new(connector).unwrap(), account);
    let json = json_of(
        r#"{"name": "a", "when": {"mcc": 1}, "split": {"stripe/ue": 1, "stripe": 2}, "then": ["acmee", "other"]}"#,
    );
    let program = Program::from_json(&json).unwrap();
    let accounts = [
        account("acme", "main"),
        account("stripe", "eu"),
        account("stripe", "us"),
    ];
    let found = program.check_accounts(&accounts);
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.pointer().unwrap(), one.code(), one.suggestion().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "/rules/0/split/stripe~1ue",
                "unknown_account",
                "write \"stripe/eu\""
            ),
            ("/rules/0/then/0", "unknown_account", "write \"acme\""),
            (
                "/rules/0/then/1",
                "unknown_account",
                "register an account of that name, or write another"
            ),
        ]
    );
    assert!(!found.is_taken());
    let all = [
        account("acmee", "a"),
        account("other", "b"),
        account("stripe", "ue"),
        account("acme", "a"),
    ];
    assert!(program.check_accounts(&all).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_written_reads_back_equal(rules in rules()) {
        if let Ok(program) = Program::compile(rules) {
            let json = program.to_json();
            let read = Program::from_json(&json);
            prop_assert_eq!(read.as_ref().map_err(ToString::to_string), Ok(&program), "{}", json);
            prop_assert_eq!(read.unwrap().to_json(), json);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in ".{0,200}") {
        let _ = told(&text).to_string();
        #[cfg(feature = "toml")]
        if let Err(refused) = Program::from_toml(&text) {
            let _ = refused.to_string();
        }
    }

    /// Texts that are nearly programs get further.
    #[test]
    fn no_damaged_program_makes_a_reader_panic(at in 0usize..JSON.len(), cut in 0usize..20, put in ".{0,4}") {
        let mut text = JSON.to_owned();
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        let _ = told(&text).to_string();
        #[cfg(feature = "toml")]
        {
            let mut text = include_str!("faults.toml").to_owned();
            let at = at % text.len();
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, &put);
            let _ = Program::from_toml(&text).map_err(|refused| refused.to_string());
        }
    }
}

#[test]
fn most_random_rules_are_taken() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let taken = (0..200)
        .filter(|_| Program::compile(rules().new_tree(&mut runner).unwrap().current()).is_ok())
        .count();
    assert!(taken > 150, "{taken}");
}
