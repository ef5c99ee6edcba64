//! Everything that is wrong with a program comes at once, as a report that is kept as a file. `PAYMUX_WRITE_GOLDEN=1`
//! writes the files anew.

use std::path::PathBuf;

use super::codes;
use crate::error::{Error, ErrorKind};
use crate::money;
use crate::routing::{Program, Route, StickyBy, amount, card_network, merchant_country, payer_country};

/// Holds a report to its file.
fn reads_as(name: &str, report: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/routing/tests")
        .join(name);
    if std::env::var_os("PAYMUX_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, report).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(kept, report, "{name}");
}

#[cfg(feature = "toml")]
#[test]
fn ten_faults_of_a_toml_program_are_told_at_once_each_with_its_place() {
    let text = include_str!("faults.toml");
    let refused = Program::from_toml(text).unwrap_err();
    let different: std::collections::HashSet<_> = codes(&refused).into_iter().collect();
    assert_eq!((refused.len(), different.len()), (10, 10), "{refused}");
    let mut places = Vec::new();
    for fault in &refused {
        let (line, column) = fault.line_column().unwrap();
        assert!(line > 0 && column > 0 && line <= text.lines().count());
        assert_eq!(fault.pointer(), None);
        places.push((line, column));
    }
    assert!(places.is_sorted());
    reads_as("faults_toml.txt", &refused.to_string());
}

/// Some programs are written by programs, in one line.
#[cfg(feature = "toml")]
#[test]
fn of_a_long_line_the_part_at_fault_is_shown() {
    let rules = "{ name = 'é', block = 'x' }, ".repeat(2_000);
    let text = format!("version = 1\nname = 'a'\notherwise = {{ block = 'x' }}\nrules = [{rules}]\n");
    let refused = Program::from_toml(&text).unwrap_err();
    assert_eq!(
        refused.len(),
        2 * 1_999,
        "each but the first has the first one's name, and isn't reached"
    );
    let report = refused.to_string();
    assert!(report.lines().all(|line| line.chars().count() < 400));
    let (line, column) = refused.iter().last().unwrap().line_column().unwrap();
    assert_eq!((line, column), (4, 9 + 29 * 1_999 + 10));
    assert!(
        report.contains(&format!(" --> program:{line}:{column}\n")),
        "{}",
        &report[report.len() - 900..]
    );
}

#[test]
fn the_same_faults_of_a_json_program_are_told_by_pointers() {
    let text = include_str!("faults.json");
    let refused = Program::from_json(text).unwrap_err();
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    for fault in &refused {
        let pointer = fault.pointer().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        assert_eq!(fault.line_column(), None);
    }
    reads_as("faults_json.txt", &refused.to_string());
    #[cfg(feature = "toml")]
    {
        let of_toml = Program::from_toml(include_str!("faults.toml")).unwrap_err();
        let sorted = |found| {
            let mut codes = codes(found);
            codes.sort_unstable();
            codes
        };
        assert_eq!(sorted(&refused), sorted(&of_toml));
    }
}

#[test]
fn the_faults_that_a_builder_can_have_are_told_by_the_names_of_rules() {
    let refused = Program::builder("")
        .list("not-served", ["KP", "IR", "Iran"])
        .list("none", [""; 0])
        .rule(
            "no country",
            payer_country().in_list("not-serfed"),
            Route::block(""),
        )
        .rule(
            "small",
            amount().within(money!("30 EUR")..money!("3 USD")),
            Route::split([("acme", 0), ("stripe/eu", 0)], StickyBy::Customer),
        )
        .rule(
            "small",
            merchant_country()
                .in_list("not-served")
                .and(card_network().is("Visa")),
            Route::ordered(["acme", "Stripe", "acme"]),
        )
        .rule(
            "otherwise",
            amount().within(money!("30 EUR")..money!("3 EUR")),
            Route::block("later").then(["acme"]),
        )
        .otherwise(Route::cheapest([""; 0]))
        .unwrap_err();
    assert!(
        refused
            .iter()
            .all(|one| one.pointer().is_none() && one.line_column().is_none())
    );
    reads_as("faults_built.txt", &refused.to_string());
}

#[test]
fn as_an_error_of_paymux_each_is_a_fault_of_its_place() {
    let refused = Program::from_json(include_str!("faults.json")).unwrap_err();
    let many = refused.len();
    let error = Error::from(refused);
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    assert_eq!(error.faults().len(), many);
    let fault = &error.faults()[1];
    assert_eq!(fault.field, "/lists/not-served/2");
    assert!(
        fault.problem.contains("Iran") && fault.remedy.contains("FR"),
        "{fault}"
    );
    assert!(std::error::Error::source(&error).is_some());
}
