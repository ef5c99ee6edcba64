#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

use super::{Currency, Money, MoneyError};
use crate::money;

const EUR: Currency = Currency::EUR;

fn read(text: &str) -> Result<Money, MoneyError> {
    text.parse()
}

#[test]
fn exponents_are_those_of_iso_4217() {
    let none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
    let three = "BHD IQD JOD KWD LYD OMR TND";
    let four = "CLF UYW";
    for currency in Currency::ALL {
        let listed = |codes: &str| codes.split(' ').any(|code| code == currency.code());
        let expected = match () {
            () if listed(none) => 0,
            () if listed(three) => 3,
            () if listed(four) => 4,
            () => 2,
        };
        assert_eq!(currency.exponent(), expected, "{currency}");
    }
    for (currency, exponent) in [
        (Currency::JPY, 0),
        (Currency::XAF, 0),
        (Currency::XOF, 0),
        (Currency::XPF, 0),
        (Currency::KMF, 0),
        (Currency::GBP, 2),
        (Currency::HUF, 2),
        (Currency::MGA, 2),
        (Currency::KWD, 3),
        (Currency::CLF, 4),
        (Currency::UYW, 4),
    ] {
        assert_eq!(currency.exponent(), exponent, "{currency}");
    }
}

#[test]
fn the_list_is_the_edition_it_says() {
    assert_eq!(Currency::ALL.len(), 165);
    let codes: BTreeSet<&str> = Currency::ALL.iter().map(|currency| currency.code()).collect();
    assert_eq!(codes.len(), 165);
    for code in "EUR MRU SLE STN VED VES XAD XCG ZMW ZWG BYN".split(' ') {
        assert!(codes.contains(code), "{code}");
    }
    for code in
        "ANG BGN BYR CUC HRK LTL MRO SLL STD VEF ZMK ZWL XAU XAG XPD XPT XDR XTS XXX XBA XSU XUA".split(' ')
    {
        assert!(!codes.contains(code), "{code}");
    }
}

#[test]
fn a_currency_reads_and_writes_its_code() {
    for &currency in Currency::ALL {
        let lower = currency.code().to_ascii_lowercase();
        assert_eq!(currency.code().parse(), Ok(currency));
        assert_eq!(lower.parse(), Ok(currency));
        assert_eq!(currency.to_string(), currency.code());
        assert_eq!(serde_json::to_value(currency).unwrap(), json!(currency.code()));
        assert_eq!(
            serde_json::from_value::<Currency>(json!(lower)).unwrap(),
            currency
        );
    }
    for code in ["", "EU", "EURO", " EUR", "EUR ", "E€", "BGN", "XXX", "€"] {
        assert_eq!(
            code.parse::<Currency>(),
            Err(MoneyError::UnknownCurrency { code: code.into() })
        );
        assert!(serde_json::from_value::<Currency>(json!(code)).is_err());
    }
    assert!(serde_json::from_value::<Currency>(json!(978)).is_err());
}

#[test]
fn the_lek_has_a_constant_beside_the_list() {
    assert_eq!("ALL".parse(), Ok(Currency::LEK));
    assert_eq!(Currency::LEK.code(), "ALL");
    assert_eq!(money!("1.50 ALL").currency(), Currency::LEK);
}

#[test]
fn currencies_are_ordered_by_code_and_match_as_patterns() {
    let codes = |currency: &Currency| currency.code();
    assert!(Currency::ALL.is_sorted() && Currency::ALL.is_sorted_by_key(codes));
    let places: Vec<u16> = Currency::ALL.iter().map(|currency| currency.place()).collect();
    assert_eq!(places, (0..165).collect::<Vec<u16>>());
    assert!(matches!(Currency::EUR, Currency::EUR));
    assert!(!matches!(Currency::EUR, Currency::GBP));
}

#[test]
fn amounts_are_written_with_the_decimals_of_their_currency() {
    for (text, minor, currency) in [
        ("49.99 EUR", 4999, EUR),
        ("0.00 EUR", 0, EUR),
        ("-0.05 EUR", -5, EUR),
        ("500 JPY", 500, Currency::JPY),
        ("-1 JPY", -1, Currency::JPY),
        ("1.500 BHD", 1500, Currency::BHD),
        ("0.0001 CLF", 1, Currency::CLF),
        ("92233720368547758.07 EUR", i64::MAX, EUR),
        ("-92233720368547758.08 EUR", i64::MIN, EUR),
        ("-9223372036854775808 JPY", i64::MIN, Currency::JPY),
    ] {
        let money = Money::from_minor(minor, currency);
        assert_eq!(money.to_string(), text);
        assert_eq!(read(text), Ok(money));
        assert_eq!(Money::literal(text), money);
    }
}

#[test]
fn amounts_are_read_leniently_only_where_nothing_is_lost() {
    for (text, expected) in [
        ("30 EUR", "30.00 EUR"),
        ("49.9 eur", "49.90 EUR"),
        ("+1 EUR", "1.00 EUR"),
        ("-0 EUR", "0.00 EUR"),
        ("007.50 EUR", "7.50 EUR"),
        (
            "00000000000000000000000000000000000000000000000001 EUR",
            "1.00 EUR",
        ),
    ] {
        assert_eq!(read(text).unwrap().to_string(), expected);
    }
    for text in [
        "",
        " ",
        "EUR",
        "49.99",
        "49.99EUR",
        " EUR",
        "49.99\tEUR",
        " 49.99 EUR",
        "- EUR",
        "+ EUR",
        "-+1 EUR",
        ". EUR",
        ".5 EUR",
        "5. EUR",
        "1.2.3 EUR",
        "49,99 EUR",
        "1,000.00 EUR",
        "1_000 EUR",
        "1e3 EUR",
        "0x1 EUR",
        "NaN EUR",
        "€5 EUR",
        "5€ EUR",
        "5- EUR",
        "٣ EUR",
        "-.5 EUR",
    ] {
        assert_eq!(read(text), Err(MoneyError::Malformed { text: text.into() }));
    }
    for (text, code) in [
        ("1 ", ""),
        ("1  EUR", " EUR"),
        ("1 EUR ", "EUR "),
        ("1 EURO", "EURO"),
        ("1 BGN", "BGN"),
        ("1 E R", "E R"),
    ] {
        assert_eq!(read(text), Err(MoneyError::UnknownCurrency { code: code.into() }));
    }
    for (text, currency) in [
        ("1.999 EUR", EUR),
        ("1.000 EUR", EUR),
        ("1.0 JPY", Currency::JPY),
        ("1.00000 CLF", Currency::CLF),
    ] {
        assert_eq!(read(text), Err(MoneyError::TooManyDecimals { currency }));
    }
    for text in [
        "92233720368547758.08 EUR",
        "-92233720368547758.09 EUR",
        "9223372036854775807 EUR",
        "170141183460469231731687303715884105729 EUR",
        "9999999999999999999999999999999999999999999999999999 EUR",
    ] {
        assert_eq!(read(text), Err(MoneyError::Overflow { currency: EUR }));
    }
}

#[test]
#[should_panic(expected = "more decimals")]
fn a_literal_with_too_many_decimals_panics() {
    let _ = Money::literal("1.999 EUR");
}

#[test]
fn decimals_convert_exactly_or_not_at_all() {
    let decimal = |text: &str| Decimal::from_str_exact(text).unwrap();
    for (text, minor) in [
        ("49.99", 4999),
        ("49.9900000", 4999),
        ("-0.05", -5),
        ("0.000", 0),
        ("-0", 0),
        ("3", 300),
    ] {
        assert_eq!(
            Money::from_decimal(decimal(text), EUR),
            Ok(Money::from_minor(minor, EUR))
        );
    }
    assert_eq!(
        Money::from_decimal(decimal("0.001"), EUR),
        Err(MoneyError::TooManyDecimals { currency: EUR })
    );
    assert_eq!(
        Money::from_decimal(decimal("0.5"), Currency::JPY),
        Err(MoneyError::TooManyDecimals {
            currency: Currency::JPY
        })
    );
    for major in [
        Decimal::MAX,
        Decimal::MIN,
        decimal("92233720368547758.08"),
        decimal("-92233720368547758.09"),
    ] {
        assert_eq!(
            Money::from_decimal(major, EUR),
            Err(MoneyError::Overflow { currency: EUR })
        );
    }
    assert_eq!(
        Money::from_minor(i64::MIN, EUR).to_decimal(),
        decimal("-92233720368547758.08")
    );
}

#[test]
fn two_currencies_do_not_mix() {
    let (left, right) = (money!("1 EUR"), money!("1 GBP"));
    let mismatch = MoneyError::CurrencyMismatch {
        left: EUR,
        right: Currency::GBP,
    };
    assert_eq!(left.checked_add(right), Err(mismatch.clone()));
    assert_eq!(left.checked_sub(right), Err(mismatch.clone()));
    assert_eq!(left.checked_cmp(right), Err(mismatch));
    assert_ne!(left, right);
}

#[test]
fn signs() {
    assert!(Money::zero(EUR).is_zero() && !Money::zero(EUR).is_positive());
    assert!(money!("0.01 EUR").is_positive() && !money!("0.01 EUR").is_zero());
    assert!(!money!("-0.01 EUR").is_positive());
}

#[test]
fn remaining_units_go_to_the_largest_remainders_then_to_the_earlier_parts() {
    for (minor, weights, parts) in [
        (100, vec![1, 1, 1], vec![34, 33, 33]),
        (-100, vec![1, 1, 1], vec![-34, -33, -33]),
        (101, vec![1, 1, 1], vec![34, 34, 33]),
        (10, vec![70, 25, 5], vec![7, 3, 0]),    // 7, 2.5, 0.5: a tie
        (1, vec![1, 2, 3], vec![0, 0, 1]),       // 0.17, 0.33, 0.5
        (5, vec![0, 3, 0, 7], vec![0, 2, 0, 3]), // 1.5, 3.5: a tie
        (0, vec![3, 4], vec![0, 0]),
        (7, vec![0, 1], vec![0, 7]),
        (i64::MAX, vec![1, 1], vec![i64::MAX / 2 + 1, i64::MAX / 2]),
        (i64::MIN, vec![1, 1], vec![i64::MIN / 2, i64::MIN / 2]),
        (i64::MIN, vec![u32::MAX], vec![i64::MIN]),
    ] {
        let money = |minor| Money::from_minor(minor, EUR);
        let expected: Vec<Money> = parts.into_iter().map(money).collect();
        assert_eq!(
            money(minor).allocate(&weights),
            Ok(expected),
            "{minor} by {weights:?}"
        );
    }
    for weights in [&[][..], &[0], &[0, 0]] {
        assert_eq!(money!("1 EUR").allocate(weights), Err(MoneyError::NoWeight));
    }
}

#[test]
fn serde_is_strict() {
    assert_eq!(
        serde_json::to_string(&money!("49.99 EUR")).unwrap(),
        r#"{"minor":4999,"currency":"EUR"}"#
    );
    let read = |value| serde_json::from_value::<Money>(value);
    assert_eq!(
        read(json!({"currency": "eur", "minor": -5})).unwrap(),
        money!("-0.05 EUR")
    );
    for value in [
        json!({"minor": 4999}),
        json!({"currency": "EUR"}),
        json!({"minor": 4999, "currency": "EUR", "scale": 2}),
        json!({"minor": 4999.0, "currency": "EUR"}),
        json!({"minor": "4999", "currency": "EUR"}),
        json!({"minor": 9_223_372_036_854_775_808_u64, "currency": "EUR"}),
        json!({"minor": 4999, "currency": "BGN"}),
        json!("49.99 EUR"),
        json!(4999),
    ] {
        assert!(read(value.clone()).is_err(), "{value}");
    }
}

#[test]
fn errors_name_the_remedy() {
    for (error, message) in [
        (
            read("49,99 EUR").unwrap_err(),
            r#""49,99 EUR" is not an amount; write digits, a point before any decimals, one space and the currency's code, as in "49.99 EUR""#,
        ),
        (
            read("1 BGN").unwrap_err(),
            r#""BGN" is not an active ISO 4217 code with a minor unit; write one of Currency::ALL, such as "EUR""#,
        ),
        (
            read("0.1 JPY").unwrap_err(),
            "JPY has 0 decimals and the amount has more; round it first, by a rule of your own",
        ),
        (
            read("99999999999999999999 EUR").unwrap_err(),
            "the amount is out of range in EUR; keep it between -92233720368547758.08 EUR and 92233720368547758.07 EUR",
        ),
        (
            money!("1 EUR").checked_add(money!("1 GBP")).unwrap_err(),
            "EUR and GBP do not mix; convert one amount into the other's currency first",
        ),
        (
            money!("1 EUR").allocate(&[]).unwrap_err(),
            "no weight is above zero; give at least one part a weight of 1 or more",
        ),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_error_keeps_only_the_beginning_of_a_long_text() {
    let MoneyError::Malformed { text } = read(&"é".repeat(1_000)).unwrap_err() else {
        panic!("malformed")
    };
    assert_eq!(text, "é".repeat(32) + "…");
}

fn any_currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(Currency::ALL)
}

fn any_minor() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -1_000_000..1_000_000_i64,
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0)
    ]
}

fn any_money() -> impl Strategy<Value = Money> {
    (any_minor(), any_currency()).prop_map(|(minor, currency)| Money::from_minor(minor, currency))
}

proptest! {
    #[test]
    fn allocated_parts_add_up_and_are_fair(
        money in any_money(),
        weights in vec(prop_oneof![any::<u32>(), 0..10_u32], 1..20),
    ) {
        let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
        prop_assume!(total > 0);
        let parts = money.allocate(&weights).unwrap();

        prop_assert_eq!(parts.len(), weights.len());
        prop_assert!(parts.iter().all(|part| part.currency() == money.currency()));
        let sum: i128 = parts.iter().map(|part| i128::from(part.minor())).sum();
        prop_assert_eq!(sum, i128::from(money.minor()));
        for (part, &weight) in parts.iter().zip(&weights) {
            let off = i128::from(part.minor()) * total - i128::from(money.minor()) * i128::from(weight);
            prop_assert!(off.abs() < total);
            prop_assert!(part.is_zero() || part.minor().signum() == money.minor().signum());
        }
        if let Some(minor) = money.minor().checked_neg() {
            let opposite = Money::from_minor(minor, money.currency()).allocate(&weights).unwrap();
            prop_assert!(parts.iter().zip(&opposite).all(|(a, b)| a.minor() == -b.minor()));
        }
    }

    #[test]
    fn decimals_round_trip_in_each_currency(minor in any_minor(), zeros in 0..5_u32) {
        for &currency in Currency::ALL {
            let money = Money::from_minor(minor, currency);
            let mut major = money.to_decimal();
            prop_assert_eq!(major.scale(), currency.exponent());
            prop_assert_eq!(major.mantissa(), i128::from(minor));
            major.rescale(currency.exponent() + zeros);
            prop_assert_eq!(Money::from_decimal(major, currency), Ok(money));
        }
    }

    #[test]
    fn text_round_trips(money in any_money()) {
        let text = money.to_string();
        prop_assert_eq!(read(&text), Ok(money));
        prop_assert_eq!(read(&text.to_ascii_lowercase()), Ok(money));
        prop_assert_eq!(Money::literal(&text), money);
        prop_assert_eq!(text, format!("{} {}", money.to_decimal(), money.currency()));
    }

    #[test]
    fn reading_never_panics_and_agrees_with_decimal(text in "[-+]?[0-9]{0,22}[.]?[0-9]{0,5} (EUR|JPY|BHD|CLF|eur|BGN)?") {
        if let Ok(money) = read(&text) {
            let (amount, _) = text.split_once(' ').unwrap();
            let major = Decimal::from_str_exact(amount).unwrap();
            prop_assert_eq!(Money::from_decimal(major, money.currency()), Ok(money));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = read(&text);
        let _ = text.parse::<Currency>();
    }

    #[test]
    fn json_round_trips(money in any_money()) {
        let text = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&text).unwrap(), money);
    }

    #[test]
    fn checked_operations_agree_with_wider_integers(a in any_minor(), b in any_minor(), currency in any_currency()) {
        let (left, right) = (Money::from_minor(a, currency), Money::from_minor(b, currency));
        let narrow = |wide: i128| match i64::try_from(wide) {
            Ok(minor) => Ok(Money::from_minor(minor, currency)),
            Err(_) => Err(MoneyError::Overflow { currency }),
        };
        prop_assert_eq!(left.checked_add(right), narrow(i128::from(a) + i128::from(b)));
        prop_assert_eq!(left.checked_sub(right), narrow(i128::from(a) - i128::from(b)));
        prop_assert_eq!(left.checked_cmp(right), Ok(a.cmp(&b)));
        prop_assert_eq!(left.checked_cmp(left), Ok(Ordering::Equal));
    }
}

#[test]
fn digits_past_the_least_amount_are_not_left_out() {
    for text in ["-9223372036854775808 JPY", "-92233720368547758.08 EUR"] {
        assert_eq!(text.parse::<Money>().map(Money::minor), Ok(i64::MIN), "{text}");
    }
    for text in [
        "-92233720368547758081 JPY",
        "-922337203685477580812.99 EUR",
        "-92233720368547758080.0 BHD",
    ] {
        assert!(
            matches!(text.parse::<Money>(), Err(MoneyError::Overflow { .. })),
            "{text}"
        );
    }
}

#[test]
fn a_currency_prints_its_code_and_says_what_it_expects() {
    assert_eq!(format!("{EUR:?} {EUR} {EUR:>5}"), "EUR EUR   EUR");
    let error = serde_json::from_str::<Currency>("978").unwrap_err().to_string();
    assert!(
        error.contains("an ISO 4217 currency code such as \"EUR\""),
        "{error}"
    );
}
