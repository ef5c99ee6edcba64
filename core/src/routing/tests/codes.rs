//! Each code of a diagnostic with programs that raise it.

use std::collections::BTreeSet;

use super::{codes, json_of, told};
use crate::routing::{Diagnostic, MOST_BYTES, MOST_LEVELS, MOST_RULES, Program, Severity};

/// A rule with this condition.
fn when(when: &str) -> String {
    json_of(&format!(
        r#"{{"name": "a", "when": {when}, "ordered": ["acme"]}}"#
    ))
}

/// A rule with this route.
fn route(route: &str) -> String {
    json_of(&format!(r#"{{"name": "a", "when": {{"mcc": 1}}, {route}}}"#))
}

/// A program with these lists, and a rule with this condition.
fn lists(lists: &str, when: &str) -> String {
    format!(
        r#"{{"version": 1, "name": "test", "lists": {lists},
            "rules": [{{"name": "a", "when": {when}, "ordered": ["acme"]}}], "otherwise": {{"ordered": ["acme"]}}}}"#
    )
}

fn two(first: &str, second: &str) -> String {
    let rule =
        |name: &str, when: &str| format!(r#"{{"name": "{name}", "when": {when}, "ordered": ["acme"]}}"#);
    json_of(&format!("{}, {}", rule("a", first), rule("b", second)))
}

fn many_rules() -> String {
    let rules =
        (0..=MOST_RULES).map(|at| format!(r#"{{"name":"{at}","when":{{"tenant":"{at}"}},"block":"x"}}"#));
    json_of(&rules.collect::<Vec<_>>().join(","))
}

/// A code, a program, where it is told, and a part of the suggestion.
fn faults() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let end = r#""otherwise": {"ordered": ["acme"]}"#;
    let deep = format!(
        "{}{{}}{}",
        r#"{"not":"#.repeat(MOST_LEVELS + 1),
        "}".repeat(MOST_LEVELS + 1)
    );
    vec![
        ("syntax", "{".to_owned(), "", ""),
        (
            "syntax",
            when(r#"{"tenant": "\ud800"}"#),
            "/rules/0/when/tenant",
            "",
        ),
        ("too_large", " ".repeat(MOST_BYTES + 1), "", "lists"),
        ("too_many_rules", many_rules(), "/rules/10000/name", "lists"),
        ("too_deep", when(&deep), "/rules/0/name", "split"),
        (
            "unknown_version",
            format!(r#"{{"version": 2, "name": "a", {end}}}"#),
            "/version",
            "write 1",
        ),
        (
            "missing_key",
            format!(r#"{{"name": "a", {end}}}"#),
            "",
            "version = 1",
        ),
        ("missing_key", format!(r#"{{"version": 1, {end}}}"#), "", "name ="),
        (
            "missing_key",
            r#"{"version": 1, "name": "a"}"#.to_owned(),
            "",
            "otherwise =",
        ),
        (
            "missing_key",
            json_of(r#"{"ordered": ["acme"]}"#),
            "/rules/0",
            "name =",
        ),
        (
            "unknown_key",
            format!(r#"{{"version": 1, "name": "a", "list": {{}}, {end}}}"#),
            "/list",
            "`lists`",
        ),
        (
            "unknown_key",
            route(r#""cheepest": ["a"], "ordered": ["a"]"#),
            "/rules/0/cheepest",
            "`cheapest`",
        ),
        (
            "unknown_key",
            when(r#"{"mcc": {"bellow": 3}}"#),
            "/rules/0/when/mcc/bellow",
            "`below`",
        ),
        (
            "duplicate_key",
            when(r#"{"mcc": 1, "mcc": 2}"#),
            "/rules/0/when/mcc",
            "keep one",
        ),
        (
            "misplaced_key",
            route(r#""ordered": ["a"], "sticky_by": "intent""#),
            "/rules/0/sticky_by",
            "leave it out",
        ),
        (
            "misplaced_key",
            route(r#""block": "a", "then": ["b"]"#),
            "/rules/0/then/0",
            "leave `then` out",
        ),
        ("wrong_type", json_of("1"), "/rules/0", "write `{ name"),
        ("wrong_type", when(r#"{"mcc": 1.5}"#), "/rules/0/when/mcc", ""),
        (
            "wrong_type",
            when(r#"{"mcc": 99999999999999999999}"#),
            "/rules/0/when/mcc",
            "",
        ),
        (
            "wrong_type",
            when(r#"{"mcc": "1"}"#),
            "/rules/0/when/mcc",
            "without quotes",
        ),
        (
            "wrong_type",
            when(r#"{"card_bin": 421234}"#),
            "/rules/0/when/card_bin",
            "\"421234\"",
        ),
        (
            "wrong_type",
            when(r#"{"amount": 30}"#),
            "/rules/0/when/amount",
            "\"30 EUR\"",
        ),
        (
            "wrong_type",
            when(r#"{"time_of_day": 30}"#),
            "/rules/0/when/time_of_day",
            "08:30",
        ),
        (
            "wrong_type",
            when(r#"{"currency": 1}"#),
            "/rules/0/when/currency",
            "text",
        ),
        (
            "wrong_type",
            when(r#"{"metadata": "web"}"#),
            "/rules/0/when/metadata",
            "metadata.channel",
        ),
        (
            "wrong_type",
            when(r#"{"mcc": {"present": 1}}"#),
            "/rules/0/when/mcc/present",
            "true",
        ),
        (
            "wrong_type",
            when(r#"{"bank": {"starts_with": 4}}"#),
            "/rules/0/when/bank/starts_with",
            "quotes",
        ),
        (
            "wrong_type",
            route(r#""split": {"a": "70"}"#),
            "/rules/0/split/a",
            "70",
        ),
        ("empty", when(r#"{"mcc": []}"#), "/rules/0/when/mcc", "compare"),
        ("empty", when(r#"{"mcc": {}}"#), "/rules/0/when/mcc", "in_list"),
        (
            "empty",
            when(r#"{"any": []}"#),
            "/rules/0/when/any",
            "leave it out",
        ),
        (
            "empty",
            when(r#"{"bank": {"starts_with": []}}"#),
            "/rules/0/when/bank",
            "compare",
        ),
        (
            "empty",
            when(r#"{"bank": {"starts_with": ""}}"#),
            "/rules/0/when/bank/starts_with",
            "present",
        ),
        (
            "empty",
            when(r#"{"metadata.": "a"}"#),
            "/rules/0/when/metadata.",
            "channel",
        ),
        (
            "empty",
            route(r#""ordered": []"#),
            "/rules/0/ordered",
            "name a connector",
        ),
        (
            "empty",
            route(r#""split": {}"#),
            "/rules/0/split",
            "name a connector",
        ),
        (
            "empty",
            route(r#""ordered": ["a"], "then": []"#),
            "/rules/0/then",
            "leave `then` out",
        ),
        (
            "empty",
            route(r#""block": """#),
            "/rules/0/block",
            "country_not_served",
        ),
        (
            "empty",
            lists(r#"{"x": []}"#, r#"{"mcc": {"in_list": "x"}}"#),
            "/lists/x",
            "leave it out",
        ),
        (
            "empty",
            json_of(r#"{"name": "", "ordered": ["a"]}"#),
            "/rules/0/name",
            "name it",
        ),
        (
            "empty",
            format!(r#"{{"version": 1, "name": "", {end}}}"#),
            "/name",
            "name the program",
        ),
        (
            "duplicate_name",
            json_of(r#"{"name": "otherwise", "when": {"mcc": 1}, "block": "x"}"#),
            "/rules/0/name",
            "",
        ),
        (
            "unknown_fact",
            when(r#"{"curency": "EUR"}"#),
            "/rules/0/when/curency",
            "`currency`",
        ),
        (
            "unknown_fact",
            when(r#"{"xyz": "EUR"}"#),
            "/rules/0/when/xyz",
            "metadata.KEY",
        ),
        (
            "two_tests",
            when(r#"{"mcc": {"in": [1], "below": 3}}"#),
            "/rules/0/when/mcc/below",
            "all",
        ),
        (
            "two_tests",
            when(r#"{"mcc": {"below": 3, "present": true}}"#),
            "/rules/0/when/mcc/present",
            "all",
        ),
        (
            "test_not_taken",
            when(r#"{"mcc": {"starts_with": "1"}}"#),
            "/rules/0/when/mcc",
            "values",
        ),
        (
            "test_not_taken",
            when(r#"{"currency": {"below": "EUR"}}"#),
            "/rules/0/when/currency",
            "values",
        ),
        (
            "unknown_word",
            when(r#"{"currency": "EURO"}"#),
            "/rules/0/when/currency",
            "\"EUR\"",
        ),
        (
            "unknown_word",
            when(r#"{"method": "card_tokn"}"#),
            "/rules/0/when/method",
            "\"card_token\"",
        ),
        (
            "unknown_word",
            when(r#"{"card_type": "gold"}"#),
            "/rules/0/when/card_type",
            "credit, debit, prepaid",
        ),
        (
            "unknown_word",
            when(r#"{"amount": "3 EURO"}"#),
            "/rules/0/when/amount",
            "\"EUR\"",
        ),
        (
            "unknown_word",
            route(r#""split": {"a": 1}, "sticky_by": "x""#),
            "/rules/0/sticky_by",
            "customer",
        ),
        (
            "malformed_amount",
            when(r#"{"amount": "30"}"#),
            "/rules/0/when/amount",
            "49.99 EUR",
        ),
        (
            "malformed_amount",
            when(r#"{"amount": "3.999 EUR"}"#),
            "/rules/0/when/amount",
            "round",
        ),
        (
            "malformed_country",
            when(r#"{"payer_country": "France"}"#),
            "/rules/0/when/payer_country",
            "FR",
        ),
        (
            "malformed_time",
            when(r#"{"time_of_day": "8:30"}"#),
            "/rules/0/when/time_of_day",
            "08:30",
        ),
        (
            "malformed_time",
            when(r#"{"time_of_day": "12:60"}"#),
            "/rules/0/when/time_of_day",
            "08:30",
        ),
        (
            "malformed_time",
            when(r#"{"time_of_day": {"at_least": "24:00"}}"#),
            "/rules/0/when/time_of_day/at_least",
            "",
        ),
        (
            "malformed_bin",
            when(r#"{"card_bin": "4212"}"#),
            "/rules/0/when/card_bin",
            "6 to 8 digits",
        ),
        (
            "malformed_bin",
            when(r#"{"card_bin": {"starts_with": "4x"}}"#),
            "/rules/0/when/card_bin/starts_with",
            "1 to 8",
        ),
        (
            "not_lower_case",
            when(r#"{"card_network": "Visa"}"#),
            "/rules/0/when/card_network",
            "\"visa\"",
        ),
        (
            "out_of_range",
            when(r#"{"mcc": 10000}"#),
            "/rules/0/when/mcc",
            "0 to 9999",
        ),
        (
            "out_of_range",
            when(r#"{"mcc": {"below": 10001}}"#),
            "/rules/0/when/mcc/below",
            "0 to 10000",
        ),
        (
            "out_of_range",
            when(r#"{"attempt": 0}"#),
            "/rules/0/when/attempt",
            "1 to 4294967295",
        ),
        (
            "out_of_range",
            route(r#""split": {"a": -1}"#),
            "/rules/0/split/a",
            "0 to 4294967295",
        ),
        (
            "empty_range",
            when(r#"{"mcc": {"at_least": 3, "below": 3}}"#),
            "/rules/0/when/mcc/below",
            "at_least",
        ),
        (
            "two_currencies",
            when(r#"{"amount": {"at_least": "3 EUR", "below": "9 USD"}}"#),
            "/rules/0/when/amount/below",
            "",
        ),
        (
            "unknown_list",
            when(r#"{"mcc": {"in_list": "x"}}"#),
            "/rules/0/when/mcc/in_list",
            "lists",
        ),
        (
            "list_mismatch",
            lists(
                r#"{"x": ["fr"]}"#,
                r#"{"payer_country": {"in_list": "x"}, "bank": {"in_list": "x"}}"#,
            ),
            "/lists/x/0",
            "a list for each",
        ),
        (
            "list_mismatch",
            lists(r#"{"x": ["fr", 1]}"#, r#"{"payer_country": {"in_list": "x"}}"#),
            "/lists/x/1",
            "",
        ),
        (
            "no_route",
            json_of(r#"{"name": "a", "when": {"mcc": 1}}"#),
            "/rules/0",
            "ordered",
        ),
        (
            "two_routes",
            route(r#""ordered": ["a"], "cheapest": ["b"]"#),
            "/rules/0/cheapest",
            "keep one",
        ),
        (
            "malformed_target",
            route(r#""ordered": ["Acme"]"#),
            "/rules/0/ordered/0",
            "\"acme\"",
        ),
        (
            "malformed_target",
            route(r#""ordered": ["acme/"]"#),
            "/rules/0/ordered/0",
            "stripe/eu",
        ),
        (
            "duplicate_target",
            route(r#""ordered": ["a", "a"]"#),
            "/rules/0/ordered/1",
            "leave it out",
        ),
        (
            "zero_shares",
            route(r#""split": {"a": 0, "b": 0}"#),
            "/rules/0/split",
            "1 or more",
        ),
        (
            "impossible_rule",
            when(r#"{"all": [{"mcc": 1}, {"mcc": 2}]}"#),
            "/rules/0/name",
            "leave the rule out",
        ),
        (
            "shadowed_rule",
            two("{}", r#"{"mcc": 2}"#),
            "/rules/1/name",
            "before that one",
        ),
        (
            "unused_list",
            lists(r#"{"x": ["fr"]}"#, r#"{"mcc": 1}"#),
            "/lists/x",
            "leave it out",
        ),
        (
            "repeated_target",
            route(r#""ordered": ["a", "b"], "then": ["a"]"#),
            "/rules/0/then/0",
            "leave it out",
        ),
        (
            "zero_share",
            route(r#""split": {"a": 0, "b": 1}"#),
            "/rules/0/split/a",
            "then",
        ),
    ]
}

#[test]
fn each_fault_is_told_alone_in_its_place_with_what_to_do() {
    for (code, json, pointer, suggestion) in faults() {
        let shown: String = json.chars().take(300).collect();
        let found = told(&json);
        assert_eq!(codes(&found), [code], "{shown}\n{found}");
        let one = found.iter().next().unwrap();
        assert_eq!(one.pointer(), Some(pointer), "{shown}");
        let told = one.suggestion().unwrap_or_default();
        assert!(told.contains(suggestion), "{code}: {told}");
        assert!(!one.message().is_empty());
        assert_eq!(found.is_taken(), one.severity() == Severity::Warning, "{shown}");
        assert_eq!(found.is_taken(), Program::from_json(&json).is_ok());
    }
}

#[test]
fn every_code_has_a_program_that_raises_it() {
    let mut raised: BTreeSet<&str> = faults().into_iter().map(|(code, ..)| code).collect();
    // Told of a program that is taken, by what is registered.
    let program = Program::from_json(&when(r#"{"mcc": 1}"#)).unwrap();
    raised.extend(codes(&program.check_accounts(&[])));
    let all: BTreeSet<&str> = Diagnostic::CODES.iter().copied().collect();
    assert_eq!(raised, all);
    assert_eq!(all.len(), Diagnostic::CODES.len(), "no code stands there twice");
}

/// Whoever writes a card number by mistake doesn't find it in a log.
#[test]
fn no_message_repeats_a_card_number() {
    let number = "4242424242424242";
    for test in [
        format!(r#""{number}""#),
        format!(r#"{{"starts_with": "{number}"}}"#),
    ] {
        let found = told(&when(&format!(r#"{{"card_bin": {test}}}"#)));
        assert_eq!(codes(&found), ["malformed_bin"]);
        assert!(!found.to_string().contains(number), "{found}");
    }
}
