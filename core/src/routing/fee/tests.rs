use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::facts::CardFacts;
use super::*;
use crate::id::ConnectorId;
use crate::money;

const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

fn account(connector: &'static str, name: &str) -> AccountRef {
    AccountRef::new(ConnectorId::from_static(connector), name)
}

fn row(percent: &str) -> FeeRow {
    FeeRow::of("acme", percent.parse().unwrap())
}

fn fee(row: FeeRow, amount: Money) -> Option<String> {
    let table = FeeTable::new([row]).unwrap();
    let facts = Facts::of("tenant", amount, MethodKind::CardToken);
    let fee = table.expected(&facts, &account("acme", "main"), AT)?;
    assert_eq!(fee.currency(), amount.currency());
    Some(fee.to_string())
}

#[test]
fn a_fee_is_rounded_half_up_to_the_minor_unit() {
    for (percent, amount, expected) in [
        ("1.4", money!("49.99 EUR"), "0.70 EUR"), // 0.69986
        ("1.4", money!("0.35 EUR"), "0.00 EUR"),  // 0.0049
        ("2.5", money!("0.20 EUR"), "0.01 EUR"),  // 0.005
        ("2.5", money!("0.60 EUR"), "0.02 EUR"),  // 0.015
        ("1.5", money!("100 JPY"), "2 JPY"),      // 1.5
        ("1.4", money!("100 JPY"), "1 JPY"),
        ("2.9", money!("33 JPY"), "1 JPY"),         // 0.957
        ("1.25", money!("0.100 BHD"), "0.001 BHD"), // 0.00125
        ("1.5", money!("0.100 BHD"), "0.002 BHD"),  // 0.0015
        ("0.0001", money!("5000 EUR"), "0.01 EUR"), // 0.005
        ("0", money!("5000 EUR"), "0.00 EUR"),
        ("100", money!("12.34 EUR"), "12.34 EUR"),
        ("1", money!("0 EUR"), "0.00 EUR"),
    ] {
        assert_eq!(
            fee(row(percent), amount).as_deref(),
            Some(expected),
            "{percent} % of {amount}"
        );
    }
    let most = Money::from_minor(i64::MAX, Currency::EUR);
    assert_eq!(fee(row("100"), most), Some(most.to_string()));
    assert_eq!(
        fee(row("100").fixed(money!("0.01 EUR")), most),
        None,
        "no amount can say it"
    );
}

#[test]
fn a_fee_lies_between_its_minimum_and_its_cap() {
    let priced = || {
        row("1.4")
            .fixed(money!("0.25 EUR"))
            .least(money!("0.40 EUR"))
            .most(money!("5 EUR"))
    };
    for (amount, expected) in [
        (money!("1 EUR"), "0.40 EUR"),
        (money!("10.71 EUR"), "0.40 EUR"),
        (money!("12 EUR"), "0.42 EUR"),
        (money!("339 EUR"), "5.00 EUR"),
        (money!("10000 EUR"), "5.00 EUR"),
    ] {
        assert_eq!(fee(priced(), amount).as_deref(), Some(expected), "{amount}");
    }
    assert_eq!(
        fee(priced(), money!("12 USD")),
        None,
        "a row is of one currency's payments"
    );
    assert_eq!(
        fee(row("1.4"), money!("12 USD")).as_deref(),
        Some("0.17 USD"),
        "a percentage is of any"
    );
}

#[test]
fn the_first_row_that_fits_decides() {
    let row = |percent: &str| FeeRow::of("acme/main", percent.parse().unwrap());
    let table = FeeTable::new([
        row("1").via("visa").regions([Region::Domestic]),
        row("2").via("visa").regions([Region::Eea, Region::Domestic]),
        row("3").method(MethodKind::Wallet),
        row("4").via("ideal"),
        row("5").regions([Region::International]),
        FeeRow::of("acme", Percent::from_ppm(60_000)),
    ])
    .unwrap();
    assert_eq!(table.warnings(), []);
    let facts = |method, network, issuer: &str, merchant: &str| Facts {
        card: CardFacts {
            network,
            issuer_country: issuer.parse().ok(),
            ..CardFacts::default()
        },
        merchant_country: merchant.parse().ok(),
        payer_country: Some(Country::from_static("US")),
        ..Facts::of("tenant", money!("100 EUR"), method)
    };
    let card = MethodKind::CardToken;
    let ideal = Facts {
        scheme: Some("ideal"),
        ..facts(MethodKind::BankRedirect, None, "", "NL")
    };
    let cases = [
        (facts(card, Some("visa"), "FR", "FR"), "1.00 EUR"),
        (facts(card, Some("visa"), "NO", "FR"), "2.00 EUR"),
        (facts(card, Some("visa"), "GB", "FR"), "5.00 EUR"),
        (facts(card, Some("amex"), "FR", "FR"), "6.00 EUR"),
        (facts(card, Some("visa"), "FR", ""), "6.00 EUR"), // who knows
        (facts(card, None, "", "FR"), "5.00 EUR"),         // the payer is in the US
        (facts(MethodKind::Wallet, None, "FR", "FR"), "3.00 EUR"),
        (facts(MethodKind::Wallet, Some("visa"), "FR", "FR"), "1.00 EUR"),
        (ideal, "4.00 EUR"),
    ];
    for (facts, expected) in cases {
        let fee = table.expected(&facts, &account("acme", "main"), AT).unwrap();
        assert_eq!(fee.to_string(), expected, "{facts:?}");
        let other = table.expected(&facts, &account("acme", "other"), AT).unwrap();
        assert_eq!(other.to_string(), "6.00 EUR", "the connector's row");
        assert_eq!(table.expected(&facts, &account("bolt", "main"), AT), None);
    }
}

#[test]
fn a_row_is_valid_from_its_first_moment_to_before_its_last() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let year = at("2026-01-01T00:00:00Z");
    let next = at("2027-01-01T00:00:00Z");
    let table = FeeTable::new([
        row("1").valid_until(year),
        row("2").valid_from(year).valid_until(next),
    ])
    .unwrap();
    assert_eq!(table.warnings(), []);
    let facts = Facts::of("tenant", money!("100 EUR"), MethodKind::CardToken);
    for (when, expected) in [
        ("2025-12-31T23:59:59.999Z", Some("1.00 EUR")),
        ("2026-01-01T00:00:00Z", Some("2.00 EUR")),
        ("2026-12-31T23:59:59.999Z", Some("2.00 EUR")),
        ("2027-01-01T00:00:00Z", None),
    ] {
        let fee = table.expected(&facts, &account("acme", "main"), at(when));
        assert_eq!(fee.map(|fee| fee.to_string()).as_deref(), expected, "{when}");
    }
}

#[test]
fn the_cheapest_comes_first_and_the_unknown_last() {
    let table = FeeTable::new([
        FeeRow::of("acme/a", Percent::from_ppm(20_000)),
        FeeRow::of("acme/b", Percent::ZERO).fixed(money!("0.25 EUR")),
        FeeRow::of("acme/d", Percent::from_ppm(20_000)),
    ])
    .unwrap();
    let accounts = ["x", "a", "b", "y", "d"].map(|name| account("acme", name));
    let order = |amount| {
        let facts = Facts::of("tenant", amount, MethodKind::CardToken);
        let priced = table.cheapest(&facts, &accounts, AT);
        priced.iter().map(|one| one.place).collect::<Vec<_>>()
    };
    assert_eq!(order(money!("10 EUR")), [1, 4, 2, 0, 3]);
    assert_eq!(order(money!("100 EUR")), [2, 1, 4, 0, 3]);
    assert_eq!(
        order(money!("100 USD")),
        [1, 4, 0, 2, 3],
        "what is fixed in euros isn't known in dollars"
    );
}

#[test]
fn every_fault_is_told_at_once() {
    let at = Timestamp::from_secs;
    let error = FeeTable::new([
        row("1.4").fixed(money!("0.25 EUR")),
        row("100.0001"),
        row("1").fixed(money!("-0.01 EUR")),
        row("1").least(money!("5 EUR")).most(money!("4.99 EUR")),
        row("1").fixed(money!("5 EUR")).most(money!("500 JPY")),
        row("1").valid_from(at(9)).valid_until(at(9)),
        FeeRow::of("Acme!/x", Percent::ZERO).via(""),
        FeeRow::of("acme/", Percent::ZERO),
    ])
    .unwrap_err();
    let told: Vec<String> = error.faults().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "rows.1.percent: 100.0001 % is more than the amount itself (write 0 to 100)",
            "rows.2.fixed: -0.01 EUR is below zero (write zero or more)",
            "rows.3.most: the cap of 4.99 EUR is below the minimum of 5.00 EUR (let the cap be the minimum or more)",
            "rows.4.most: 500 JPY is in another currency than the row's EUR (keep a row to one currency, and write a \
             row for each)",
            "rows.5.valid_until: it ends at 1970-01-01T00:00:09.000Z, and begins at 1970-01-01T00:00:09.000Z (let it \
             end after it begins)",
            "rows.6.account: `Acme!/x` is neither a connector nor an account of one (write `stripe`, or `stripe/eu`)",
            "rows.6.via: it is empty (name a network, bank or scheme, or leave it out)",
            "rows.7.account: `acme/` is neither a connector nor an account of one (write `stripe`, or `stripe/eu`)",
        ]
    );
    assert!(FeeTable::new(vec![row("1"); 10_001]).is_err());
}

#[test]
fn rows_that_others_hide_are_told() {
    let at = Timestamp::from_secs;
    let warned = |rows: Vec<FeeRow>| {
        let table = FeeTable::new(rows).unwrap();
        let fields = table.warnings().iter().map(|fault| fault.field.to_string());
        fields.collect::<Vec<_>>()
    };
    let visa = || row("1").via("visa");
    assert_eq!(warned(vec![row("1"), visa()]), ["rows.1.account"]);
    assert_eq!(warned(vec![visa(), row("1")]), [""; 0]);
    assert_eq!(warned(vec![visa(), row("1").via("amex")]), [""; 0]);
    assert_eq!(
        warned(vec![visa().valid_until(at(9)), visa().valid_from(at(8))]),
        ["rows.1.valid_from"]
    );
    assert_eq!(
        warned(vec![visa().valid_until(at(9)), visa().valid_from(at(9))]),
        [""; 0]
    );
    let euro = || row("1").fixed(money!("1 EUR"));
    assert_eq!(
        warned(vec![euro(), row("1").fixed(money!("1 USD")), row("1")]),
        [""; 0]
    );
    assert_eq!(warned(vec![row("1"), euro()]), ["rows.1.account"]);
    let eea = || row("1").regions([Region::Eea]);
    let both = || row("1").regions([Region::Eea, Region::Domestic]);
    assert_eq!(warned(vec![both(), eea()]), ["rows.1.account"]);
    assert_eq!(warned(vec![eea(), both(), row("1")]), [""; 0]);
    let account = |name| FeeRow::of(name, Percent::ZERO);
    assert_eq!(
        warned(vec![account("acme"), account("acme/x")]),
        ["rows.1.account"]
    );
    assert_eq!(
        warned(vec![
            account("acme/x"),
            account("acme/y"),
            account("bolt"),
            account("acme")
        ]),
        [""; 0]
    );
}

#[test]
fn a_table_reads_what_it_writes() {
    let document = json!({"rows": [
        {"account": "acme/eu", "method": "card_token", "via": "visa", "regions": ["domestic", "eea"],
         "percent": "1.4", "fixed": "0.25 EUR", "least": "0.30 EUR", "most": "20.00 EUR",
         "valid_from": "2026-01-01T00:00:00.000Z", "valid_until": "2027-01-01T00:00:00.000Z"},
        {"account": "acme", "percent": "2"},
    ]});
    let table: FeeTable = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(&table).unwrap(), document);
    let refused = |row: Value| {
        let read: Result<FeeTable, _> = serde_json::from_value(json!({"rows": [row]}));
        read.unwrap_err().to_string()
    };
    let told = refused(json!({"account": "acme", "percent": "101", "fixed": "-1 EUR"}));
    assert!(
        told.contains("rows.0.percent") && told.contains("rows.0.fixed"),
        "{told}"
    );
    assert!(refused(json!({"account": "acme", "percent": 1.4})).contains("a text"));
    assert!(refused(json!({"account": "acme", "percent": "1.4", "fixd": "1 EUR"})).contains("fixd"));
    assert!(refused(json!({"account": "acme"})).contains("percent"));
    for bad in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1,4",
        "1.00001",
        "1e2",
        "1.4 %",
        "99999999999",
    ] {
        assert!(bad.parse::<Percent>().is_err(), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_percentage_reads_what_it_writes(ppm in any::<u32>()) {
        let percent = Percent::from_ppm(ppm);
        prop_assert_eq!(percent.to_string().parse::<Percent>().unwrap(), percent);
    }

    #[test]
    fn a_fee_is_within_half_a_unit_and_rises_with_the_amount(
        minor in 0..1_000_000_000_000_i64, more in 0..1_000_000_i64, ppm in 0..=1_000_000_u32, fixed in 0..1_000_i64,
    ) {
        let row = FeeRow::of("acme", Percent::from_ppm(ppm)).fixed(Money::from_minor(fixed, Currency::JPY));
        let fee = |minor| row.fee(Money::from_minor(minor, Currency::JPY)).unwrap().minor();
        let exact = i128::from(minor) * i128::from(ppm);
        let off = i128::from(fee(minor) - fixed) * PPM - exact;
        prop_assert!(-PPM / 2 < off && off <= PPM / 2, "half goes up");
        prop_assert!(fee(minor) <= fee(minor + more));
        prop_assert!(fee(minor) <= minor + fixed);
    }
}
