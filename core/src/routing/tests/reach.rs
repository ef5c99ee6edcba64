//! Rules that no payment reaches.

use proptest::prelude::*;

use super::random::rules;
use super::{codes, json_of, told};
use crate::routing::rule::Rules;
use crate::routing::{CardFacts, Facts, Program};
use crate::{MethodKind, money};

/// The codes that are told of rules with these conditions.
fn of(conditions: &[&str]) -> Vec<&'static str> {
    let rule =
        |(at, when): (usize, &&str)| format!(r#"{{"name": "{at}", "when": {when}, "ordered": ["acme"]}}"#);
    let rules: Vec<String> = conditions.iter().enumerate().map(rule).collect();
    let json = json_of(&rules.join(",")).replace(
        r#""name": "test""#,
        r#""name": "test", "lists": {"eu": ["FR", "DE"]}"#,
    );
    let found = told(&json);
    codes(&found)
        .into_iter()
        .filter(|code| *code != "unused_list")
        .collect()
}

#[test]
fn a_condition_that_contradicts_itself_is_told() {
    for impossible in [
        r#"{"all": [{"mcc": 1}, {"mcc": [2, 3]}]}"#,
        r#"{"all": [{"mcc": 1}, {"mcc": {"below": 1}}]}"#,
        r#"{"all": [{"mcc": {"at_least": 5}}, {"mcc": {"below": 5}}]}"#,
        r#"{"all": [{"amount": {"at_least": "5 EUR"}}, {"amount": {"below": "9 USD"}}]}"#,
        r#"{"all": [{"amount": {"at_least": "5 EUR"}}, {"amount": {"at_least": "9 USD"}}]}"#,
        r#"{"currency": "USD", "amount": {"below": "30 EUR"}}"#,
        r#"{"currency": ["USD", "GBP"], "amount": ["30 EUR", "9 JPY"]}"#,
        r#"{"mcc": 1, "not": {"mcc": [1, 2]}}"#,
        r#"{"payer_country": "US", "all": [{"payer_country": {"in_list": "eu"}}]}"#,
        r#"{"payer_country": "FR", "not": {"payer_country": {"in_list": "eu"}}}"#,
        r#"{"mit": "recurring", "not": {"mit": {"present": true}}}"#,
        r#"{"all": [{"bank": {"starts_with": "a"}}, {"bank": {"starts_with": ["b", "c"]}}]}"#,
        r#"{"all": [{"bank": {"starts_with": "a"}}, {"bank": "b"}]}"#,
        r#"{"bank": "ab", "not": {"bank": {"starts_with": "a"}}}"#,
        r#"{"not": {}}"#,
        r#"{"all": [{"mcc": 1}, {"mcc": 2}], "not": {"bank": "x"}}"#,
        r#"{"all": [{"mcc": {"below": 9}}, {"not": {"mcc": {"below": 9}}}]}"#,
    ] {
        assert_eq!(of(&[impossible]), ["impossible_rule"], "{impossible}");
    }
    for possible in [
        r#"{"all": [{"mcc": [1, 2]}, {"mcc": [2, 3]}]}"#,
        r#"{"all": [{"mcc": {"at_least": 4}}, {"mcc": {"below": 5}}]}"#,
        r#"{"currency": "EUR", "amount": {"below": "30 EUR"}}"#,
        r#"{"mcc": [1, 3], "not": {"mcc": [1, 2]}}"#,
        r#"{"payer_country": ["US", "FR"], "all": [{"payer_country": {"in_list": "eu"}}]}"#,
        r#"{"all": [{"bank": {"starts_with": "a"}}, {"bank": {"starts_with": "ab"}}]}"#,
        r#"{"any": [{"mcc": 1}, {"mcc": 2}]}"#,
        r#"{"not": {"any": [{"mcc": 1}, {"mcc": 2}]}}"#,
        r#"{"not": {"all": [{"mcc": 1}, {"mcc": 2}]}}"#,
    ] {
        assert_eq!(of(&[possible]), [""; 0], "{possible}");
    }
}

#[test]
fn a_rule_that_an_earlier_one_leaves_nothing_is_told() {
    let shadowed: [&[&str]; 9] = [
        &["{}", r#"{"mcc": 1}"#],
        &[r#"{"mcc": [1, 2]}"#, r#"{"mcc": [2, 1]}"#],
        &[r#"{"mcc": 1}"#, r#"{"currency": "EUR", "mcc": 1}"#],
        &[
            r#"{"mcc": 1, "mode": "setup"}"#,
            r#"{"bank": "x", "mode": "setup", "currency": "EUR", "mcc": 1}"#,
        ],
        &[
            r#"{"mcc": {"below": 9}}"#,
            r#"{"mcc": {"at_least": 3, "below": 9}}"#,
        ],
        &[
            r#"{"not": {"any": [{"mcc": 1}, {"mcc": 2}]}}"#,
            r#"{"not": {"any": [{"mcc": 3}, {"mcc": 2}, {"mcc": 1}]}}"#,
        ],
        &[
            r#"{"any": [{"mcc": 1}, {"bank": "x"}]}"#,
            r#"{"currency": "EUR", "any": [{"bank": "x"}, {"mcc": 1}]}"#,
        ],
        &[r#"{"mcc": 1}"#, r#"{"not": {"not": {"mcc": 1}}}"#],
        &[r#"{"metadata.a": "1"}"#, r#"{"metadata": {"b": "1", "a": "1"}}"#],
    ];
    for rules in shadowed {
        assert_eq!(of(rules), ["shadowed_rule"], "{rules:?}");
    }
    let reached: [&[&str]; 5] = [
        &[r#"{"mcc": 1}"#, r#"{"mcc": 2}"#, "{}"],
        &[r#"{"currency": "EUR", "mcc": 1}"#, r#"{"mcc": 1}"#],
        &[r#"{"mcc": 1}"#, r#"{"not": {"mcc": 1}}"#],
        &[r#"{"metadata.a": "1"}"#, r#"{"metadata.b": "1"}"#],
        &[r#"{"all": [{"mcc": 1}, {"mcc": 2}]}"#, r#"{"mcc": 1}"#],
    ];
    for rules in reached {
        let codes: Vec<_> = of(rules)
            .into_iter()
            .filter(|code| *code != "impossible_rule")
            .collect();
        assert_eq!(codes, [""; 0], "{rules:?}");
    }
}

#[test]
fn nothing_follows_from_a_condition_that_could_not_be_read() {
    assert_eq!(of(&[r#"{"curency": "EUR"}"#, r#"{"mcc": 1}"#]), ["unknown_fact"]);
    assert_eq!(of(&[r#"{"currency": "ERU"}"#, r#"{"mcc": 1}"#]), ["unknown_word"]);
}

/// Facts that random rules speak of.
fn facts() -> impl Strategy<Value = Facts<'static>> {
    let network = prop::option::of(prop::sample::select(vec!["visa", "a", "b"]));
    let country = prop::option::of(prop::sample::select(vec!["FR", "DE", "US"]));
    (network, country, prop::option::of(0u16..5), 0u16..1_440).prop_map(|(network, country, mcc, at)| {
        let mut facts = Facts::of("a", money!("30 EUR"), MethodKind::CardToken);
        facts.card = CardFacts {
            network,
            ..CardFacts::default()
        };
        facts.payer_country = country.and_then(|country| country.parse().ok());
        facts.mcc = mcc;
        facts.time_of_day = at;
        facts
    })
}

/// Rules over few facts and values, so that they meet.
fn crowded() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        r#"{"mcc": 1}"#,
        r#"{"mcc": [1, 2]}"#,
        r#"{"mcc": {"below": 3}}"#,
        r#"{"mcc": {"at_least": 1, "below": 4}}"#,
        r#"{"mcc": {"present": false}}"#,
        r#"{"card_network": "visa"}"#,
        r#"{"card_network": {"starts_with": ["a", "v"]}}"#,
        r#"{"payer_country": {"in_list": "eu"}}"#,
        r#"{"payer_country": "US"}"#,
        r#"{"amount": {"below": "30 EUR"}}"#,
        r#"{"currency": "EUR"}"#,
        "{}",
    ]);
    let condition = leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|all| format!(r#"{{"all": [{}]}}"#, all.join(","))),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|any| format!(r#"{{"any": [{}]}}"#, any.join(","))),
            inner.prop_map(|one| format!(r#"{{"not": {one}}}"#)),
        ]
    });
    prop::collection::vec(condition, 1..8).prop_map(|conditions| {
        let rule =
            |(at, when): (usize, &String)| format!(r#"{{"name": "{at}", "when": {when}, "block": "x"}}"#);
        let rules: Vec<String> = conditions.iter().enumerate().map(rule).collect();
        json_of(&rules.join(",")).replace(
            r#""name": "test""#,
            r#""name": "test", "lists": {"eu": ["FR", "DE"]}"#,
        )
    })
}

fn unreached(program: &Program) -> Vec<usize> {
    let warned = ["impossible_rule", "shadowed_rule"];
    let found = program
        .warnings()
        .iter()
        .filter(|one| warned.contains(&one.code()));
    let place = |pointer: &str| pointer.split('/').nth(2).and_then(|at| at.parse().ok());
    found.filter_map(|one| place(one.pointer()?)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_payment_reaches_a_rule_of_which_that_is_told(
        json in crowded(),
        payments in prop::collection::vec(facts(), 50),
    ) {
        let program = Program::from_json(&json).unwrap();
        let unreached = unreached(&program);
        for facts in payments {
            let rule = program.decide(&facts).rule;
            prop_assert!(rule.is_none_or(|rule| !unreached.contains(&rule)), "{:?} {}", rule, json);
        }
    }

    /// Rules that stand there twice are never reached the second time.
    #[test]
    fn a_rule_that_is_repeated_is_told(rules in rules()) {
        let Ok(once) = Program::compile(rules.clone()) else { return Ok(()) };
        let mut twice: Rules = rules.clone();
        let again = rules.rules.into_iter().map(|mut rule| {
            rule.name.value.push_str(" again");
            rule
        });
        twice.rules.extend(again);
        let many = twice.rules.len() / 2;
        let told = |program: &Program| {
            codes(program.warnings())
                .into_iter()
                .filter(|code| ["impossible_rule", "shadowed_rule"].contains(code))
                .count()
        };
        let twice = Program::compile(twice).unwrap();
        prop_assert_eq!(told(&twice), told(&once) + many);
    }
}
