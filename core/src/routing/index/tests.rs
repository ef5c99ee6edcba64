use std::collections::BTreeMap;
use std::ops::Range;

use super::*;
use crate::decline::DeclineCode;
use crate::intent::{CaptureMethod, IntentMode, Metadata, MitReason};
use crate::method::MethodKind;
use crate::money::{Currency, Money};
use crate::routing;
use crate::routing::facts::{CardType, FactKind, FactName, Weekday};
use crate::routing::rule::{List, MoneyValue, Route, Rule, Test, When};

/// Numbers that are the same for the same seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn some<T>(&mut self, counts: Range<usize>, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = counts.start + self.below(counts.len());
        (0..count).map(|_| one(self)).collect()
    }
}

const TEXTS: &[&str] = &[
    "",
    "4",
    "41",
    "411",
    "4111",
    "411111",
    "41111111",
    "411111112",
    "4111111199",
    "42",
    "5",
    "55",
    "visa",
    "é",
    "éa",
    "z\u{10ffff}",
    "4\0",
    "4\x001",
    "\u{7f}",
    "\u{7f}\u{80}",
];
const NUMBERS: &[i64] = &[0, 1, 2, 3, 5, 720, 1_439, 5_411, 9_999, -4, i64::MIN, i64::MAX];
const AMOUNTS: &[i64] = &[
    0,
    1,
    2,
    999,
    1_000,
    1_001,
    50_000,
    -7,
    i64::MAX - 1,
    i64::MAX,
    i64::MIN,
];
const CURRENCIES: &[Currency] = &[
    Currency::EUR,
    Currency::USD,
    Currency::JPY,
    Currency::ALL[0],
    Currency::ZWG,
];
const COUNTRIES: &[&str] = &["FR", "FI", "DE", "US", "AA", "ZZ"];
const LISTS: &[&str] = &["one", "two", "three", "nowhere"];

fn names() -> Vec<FactName> {
    let keys = ["segment", "channel"].map(|key| FactName::Metadata(key.into()));
    FactName::ALL.iter().cloned().chain(keys).collect()
}

fn value(draw: &mut Draw, kind: FactKind) -> Value {
    if draw.one_in(40) {
        return any_value(draw); // perhaps of another kind: nothing equals it
    }
    match kind {
        FactKind::Amount => Value::Money(MoneyValue {
            currency: *draw.of(CURRENCIES),
            minor: *draw.of(AMOUNTS),
        }),
        FactKind::Number(..) => Value::Number(*draw.of(NUMBERS)),
        FactKind::Word(words) => Value::Text((*draw.of(words)).to_owned()),
        FactKind::Country => Value::Text((*draw.of(COUNTRIES)).to_owned()),
        FactKind::Text => Value::Text((*draw.of(TEXTS)).to_owned()),
    }
}

fn any_value(draw: &mut Draw) -> Value {
    let kind = *draw.of(&[
        FactKind::Amount,
        FactKind::Number(0, 9),
        FactKind::Country,
        FactKind::Text,
        FactName::Method.kind(),
    ]);
    value(draw, kind)
}

fn test(draw: &mut Draw, kind: FactKind) -> Test {
    let bound = |draw: &mut Draw| (!draw.one_in(3)).then(|| Placed::built(value(draw, kind)));
    match draw.below(10) {
        0..4 => Test::In(draw.some(0..4, |draw| Placed::built(value(draw, kind)))),
        4 => Test::InList(Placed::built((*draw.of(LISTS)).to_owned())),
        5 => Test::Present,
        6 | 7 => Test::StartsWith(draw.some(0..3, |draw| Placed::built((*draw.of(TEXTS)).to_owned()))),
        _range => Test::Range {
            at_least: bound(draw),
            below: bound(draw),
        },
    }
}

fn comparison(draw: &mut Draw, names: &[FactName]) -> Condition {
    let name = draw.of(names);
    Condition::Test(Comparison {
        fact: Placed::built(name.clone()),
        test: test(draw, name.kind()),
    })
}

fn condition(draw: &mut Draw, names: &[FactName], levels: usize) -> Condition {
    if levels == 0 {
        return comparison(draw, names);
    }
    match draw.below(8) {
        0..3 => Condition::All(draw.some(0..5, |draw| condition(draw, names, levels - 1))),
        3..5 => Condition::Any(draw.some(0..5, |draw| condition(draw, names, levels - 1))),
        5 => Condition::Not(Box::new(condition(draw, names, levels - 1))),
        _test => comparison(draw, names),
    }
}

fn rules_of(conditions: Vec<Condition>, lists: Vec<List>) -> Rules {
    let rule = |condition| Rule {
        name: Placed::built(String::new()),
        when: When(condition),
        route: Route::block("no"),
    };
    Rules {
        name: Placed::built("random".to_owned()),
        lists,
        rules: conditions.into_iter().map(rule).collect(),
        otherwise: Route::block("none"),
    }
}

/// Mostly rules that hold seldom, so that later ones are reached.
fn program(draw: &mut Draw, names: &[FactName], rules: Range<usize>) -> Rules {
    let lists = ["one", "two", "three", "one"].map(|name| List {
        name: Placed::built(name.to_owned()),
        values: draw.some(0..9, |draw| Placed::built(any_value(draw))),
    });
    let levels = draw.below(5);
    let conditions = draw.some(rules, |draw| {
        let mut all = draw.some(1..3, |draw| comparison(draw, names));
        all.push(condition(draw, names, levels));
        Condition::All(all)
    });
    rules_of(conditions, lists.into())
}

/// What a payment's facts borrow.
struct Payment {
    texts: Vec<Option<String>>,
    metadata: Metadata,
}

impl Payment {
    fn of(draw: &mut Draw) -> Self {
        let mut metadata = BTreeMap::new();
        let numbered = (0..KEPT).map(|number| format!("key{number}"));
        for key in ["segment", "channel", "other"]
            .map(str::to_owned)
            .into_iter()
            .chain(numbered)
        {
            if let Some(text) = text(draw) {
                metadata.insert(key, text);
            }
        }
        Self {
            texts: (0..8).map(|_| text(draw)).collect(),
            metadata,
        }
    }

    fn facts<'a>(&'a self, draw: &mut Draw) -> Facts<'a> {
        let amount = near(draw, AMOUNTS);
        let amount = Money::from_minor(amount, *draw.of(CURRENCIES));
        let tenant = self.texts[0].as_deref().unwrap_or("acme");
        let methods = [MethodKind::CardToken, MethodKind::Wallet, MethodKind::Provider];
        let mut facts = Facts::of(tenant, amount, *draw.of(&methods));
        facts.card.network = self.texts[1].as_deref();
        facts.card.bin = self.texts[2].as_deref();
        facts.card.funding = *draw.of(&[None, Some(CardType::Credit), Some(CardType::Prepaid)]);
        facts.card.issuer_country = country(draw);
        facts.wallet = self.texts[3].as_deref();
        facts.bank = self.texts[4].as_deref();
        facts.scheme = self.texts[5].as_deref();
        facts.payer_country = country(draw);
        facts.merchant_country = country(draw);
        facts.mcc = (!draw.one_in(5)).then(|| near(draw, NUMBERS) as u16);
        facts.capture = *draw.of(&[CaptureMethod::Automatic, CaptureMethod::Manual]);
        facts.mit = *draw.of(&[None, Some(MitReason::Recurring), Some(MitReason::Installment)]);
        facts.mode = *draw.of(&[IntentMode::Payment, IntentMode::Verify]);
        facts.customer = self.texts[6].as_deref();
        facts.session = self.texts[7].as_deref();
        facts.metadata = (!draw.one_in(5)).then_some(&self.metadata);
        facts.time_of_day = near(draw, NUMBERS) as u16;
        facts.day_of_week = *draw.of(&[Weekday::Monday, Weekday::Sunday]);
        facts.attempt = near(draw, NUMBERS) as u32;
        facts.last_decline = (!draw.one_in(3)).then(|| *draw.of(DeclineCode::ALL));
        facts
    }
}

/// One that a program may name, or near it.
fn near(draw: &mut Draw, numbers: &[i64]) -> i64 {
    let by = *draw.of(&[0, 0, 0, 1, -1]);
    draw.of(numbers).saturating_add(by)
}

fn text(draw: &mut Draw) -> Option<String> {
    let named = *draw.of(TEXTS);
    match draw.below(6) {
        0 => None,
        1 => Some(format!(
            "{named}{}",
            draw.of(&['1', 'z', '\0', '\u{7f}', '\u{80}'])
        )),
        _named => Some(named.to_owned()),
    }
}

fn country(draw: &mut Draw) -> Option<routing::Country> {
    (!draw.one_in(4)).then(|| draw.of(COUNTRIES).parse().unwrap())
}

/// How often an index was asked, and how.
#[derive(Debug, Default)]
struct Asked {
    pairs: usize,
    matched: usize,
    beyond_the_third: usize,
    perhaps: usize,
}

impl Asked {
    /// Holds what a program compiles to equal to the interpreter, over this many payments.
    fn ask(&mut self, draw: &mut Draw, rules: &Rules, limits: Limits, payments: usize) {
        let index = Index::within(rules, limits);
        let perhaps = index
            .clauses
            .iter()
            .any(|one| one.certainty == Certainty::Perhaps);
        for _ in 0..payments {
            let payment = Payment::of(draw);
            let facts = payment.facts(draw);
            let meant = rules.first(&facts);
            assert_eq!(index.first(rules, &facts), meant, "{facts:?}\n{rules:#?}");
            self.pairs += 1;
            self.matched += usize::from(meant.is_some());
            self.beyond_the_third += usize::from(meant > Some(2));
            self.perhaps += usize::from(perhaps);
        }
    }
}

#[test]
fn what_rules_compile_to_decides_as_the_interpreter() {
    let mut asked = Asked::default();
    let all = names();
    for seed in 0..2_500 {
        let draw = &mut Draw(seed);
        let names = draw.some(1..7, |draw| draw.of(&all).clone());
        let rules = program(draw, &names, 0..25);
        let limits = Limits {
            a_rule: *draw.of(&[1, 1, 2, 16]),
            in_all: *draw.of(&[4, 1_000]),
        };
        asked.ask(draw, &rules, limits, 40);
    }
    println!("{asked:?}");
    assert!(asked.pairs >= 100_000);
    assert!(
        asked.matched > asked.pairs / 4 && asked.beyond_the_third > asked.pairs / 10,
        "{asked:?}"
    );
    assert!(
        asked.perhaps > asked.pairs / 6 && asked.perhaps < asked.pairs * 3 / 4,
        "{asked:?}"
    );
}

/// Several blocks, and more facts than a decision keeps the rows of. Each rule is one customer's, so that a payment of a
/// customer's gets past all rules before theirs.
#[test]
fn large_programs_decide_as_the_interpreter() {
    let keys = (0..KEPT).map(|key| FactName::Metadata(format!("key{key}").into()));
    let all: Vec<FactName> = names().into_iter().chain(keys).collect();
    let (mut pairs, mut first_block, mut later_blocks) = (0, 0, 0);
    for seed in 0..12 {
        let draw = &mut Draw(seed);
        let mut rules = program(draw, &all, 1_200..2_400);
        let customers = rules.rules.len() / 4;
        for (number, rule) in rules.rules.iter_mut().enumerate() {
            let levels = draw.below(3);
            let owner = owned_by(&format!("customer {}", number % customers));
            let more = condition(draw, &all, levels);
            rule.when = When(Condition::All(vec![owner, more]));
        }
        let index = Index::compile(&rules);
        assert!(
            index.plans.len() > 1 && index.lookups.len() > KEPT,
            "{} {} of {}",
            index.plans.len(),
            index.lookups.len(),
            rules.rules.len()
        );
        for _ in 0..400 {
            let (payment, customer) = (Payment::of(draw), format!("customer {}", draw.below(customers)));
            let mut facts = payment.facts(draw);
            facts.customer = Some(&customer);
            let meant = rules.first(&facts);
            assert_eq!(index.first(&rules, &facts), meant, "{facts:?}");
            let block = |rule: usize| index.clauses.partition_point(|one| (one.rule as usize) < rule) / BLOCK;
            pairs += 1;
            first_block += usize::from(meant.is_some_and(|rule| block(rule) == 0));
            later_blocks += usize::from(meant.is_some_and(|rule| block(rule) > 0));
        }
    }
    let count = format!("of {pairs}: {first_block} in the first block, {later_blocks} in later ones");
    println!("{count}");
    assert!(first_block > pairs / 10 && later_blocks > pairs / 4, "{count}");
}

fn owned_by(customer: &str) -> Condition {
    Condition::Test(Comparison {
        fact: Placed::built(FactName::Customer),
        test: Test::In(vec![Placed::built(Value::Text(customer.to_owned()))]),
    })
}

#[test]
fn the_values_of_a_list_are_one_run_of_cells() {
    let list = |name: &str, parity: i64| List {
        name: Placed::built(name.to_owned()),
        values: (0..500)
            .map(|half| Placed::built(Value::Number(2 * half + parity)))
            .collect(),
    };
    let named = |name: &str| {
        Condition::Test(Comparison {
            fact: Placed::built(FactName::Mcc),
            test: Test::InList(Placed::built(name.to_owned())),
        })
    };
    let rules = rules_of(
        vec![named("even"), named("odd")],
        vec![list("even", 0), list("odd", 1)],
    );
    let (dimensions, _) = dimensions(&rules);
    for rule in &rules.rules {
        each_test(&rule.when.0, &mut |comparison| {
            assert_eq!(dimensions[0].passing(&comparison.test).runs().len(), 1);
        });
    }
}

/// Whether a rule takes each of these.
fn taken<'a>(when: When, facts: impl IntoIterator<Item = Facts<'a>>) -> Vec<bool> {
    let rules = rules_of(vec![when.0], Vec::new());
    let index = Index::compile(&rules);
    let decided = facts.into_iter().map(|facts| {
        let first = index.first(&rules, &facts);
        assert_eq!(first, rules.first(&facts));
        first.is_some()
    });
    decided.collect()
}

fn of_amount(minor: i64, currency: Currency) -> Facts<'static> {
    Facts::of("acme", Money::from_minor(minor, currency), MethodKind::CardToken)
}

#[test]
fn a_range_holds_from_its_start_up_to_its_end() {
    let euros = |minor| Money::from_minor(minor, Currency::EUR);
    let within = routing::amount().within(euros(1_000)..euros(2_000));
    let payments =
        [999, 1_000, 1_999, 2_000, i64::MIN, i64::MAX].map(|minor| of_amount(minor, Currency::EUR));
    assert_eq!(
        taken(within.clone(), payments),
        [false, true, true, false, false, false]
    );
    let others = [Currency::USD, Currency::ALL[0], Currency::ZWG].map(|currency| of_amount(1_000, currency));
    assert_eq!(taken(within.clone(), others), [false; 3]);
    assert_eq!(taken(within.negated(), others), [true; 3]);
    let most = routing::amount().is(euros(i64::MAX));
    let payments = [
        (i64::MAX, Currency::EUR),
        (i64::MAX - 1, Currency::EUR),
        (i64::MIN, Currency::GBP),
    ];
    assert_eq!(
        taken(most, payments.map(|(minor, currency)| of_amount(minor, currency))),
        [true, false, false]
    );
}

#[test]
fn a_number_beyond_its_kind_is_compared_too() {
    let mcc = |mcc| {
        let mut facts = of_amount(1, Currency::EUR);
        facts.mcc = mcc;
        facts
    };
    let many = (0..40).map(|place| place * 100).collect::<Vec<u16>>();
    let when = routing::mcc().is_in(many).or(routing::mcc().at_least(9_999));
    let payments = [
        Some(0),
        Some(1),
        Some(3_900),
        Some(9_998),
        Some(9_999),
        Some(10_000),
        Some(u16::MAX),
        None,
    ];
    assert_eq!(
        taken(when, payments.map(mcc)),
        [true, false, true, false, true, true, true, false]
    );
}

#[test]
fn a_beginning_holds_for_the_texts_that_have_it() {
    let bins = [
        "4", "41", "41111", "411111", "41111111", "411112", "42", "5", "", "41110",
    ];
    let payments = bins.map(|bin| {
        let mut facts = of_amount(1, Currency::EUR);
        facts.card.bin = Some(bin);
        facts
    });
    let when = routing::card_bin().starts_with_one_of(["41111", "5", "411112"]);
    let wanted = bins.map(|bin| bin.starts_with("41111") || bin.starts_with('5'));
    assert_eq!(taken(when.clone(), payments), wanted);
    let except = when.clone().except(routing::card_bin().starts_with("411112"));
    let wanted = bins.map(|bin| wanted[place(&bins, bin)] && bin != "411112");
    assert_eq!(taken(except, payments), wanted);
    assert_eq!(taken(routing::card_bin().starts_with(""), payments), [true; 10]);
    assert_eq!(
        taken(routing::card_bin().starts_with("4111111111"), payments),
        [false; 10]
    );
    assert_eq!(taken(when, [of_amount(1, Currency::EUR)]), [false]);
}

fn place(all: &[&str], one: &str) -> usize {
    all.iter().position(|other| *other == one).unwrap()
}

fn any_of(count: usize, when: impl FnMut(usize) -> When) -> When {
    (0..count).map(when).reduce(When::or).unwrap()
}

/// Each combination of (card or wallet) and (euro or dollar) and … would be a clause.
#[test]
fn a_condition_of_too_many_clauses_is_asked_itself() {
    let pairs = |count: usize| {
        let pair = |key: usize| {
            let name = |side: &str| routing::metadata(&format!("{side}{key}")).is_present();
            name("left").or(name("right"))
        };
        (0..count).map(pair).reduce(When::and).unwrap()
    };
    for (count, clauses, certainty) in [(4, 16, Certainty::Holds), (5, 8, Certainty::Perhaps)] {
        let rules = rules_of(vec![pairs(count).0, pairs(1).0], Vec::new());
        let index = Index::compile(&rules);
        assert_eq!(index.clauses[0].certainty, certainty);
        assert!(
            index.clauses.len() <= clauses + 2 && index.clauses.len() > 2,
            "{}",
            index.clauses.len()
        );
        let metadata: Metadata = (0..count)
            .map(|key| (format!("right{key}"), String::new()))
            .collect();
        let mut missing = metadata.clone();
        missing.remove("right1");
        for (metadata, decided) in [(metadata, Some(0)), (missing, Some(1)), (Metadata::new(), None)] {
            let mut facts = of_amount(1, Currency::EUR);
            facts.metadata = Some(&metadata);
            assert_eq!(index.first(&rules, &facts), decided);
        }
    }
}

#[test]
fn alternatives_of_one_fact_are_one_clause() {
    let trades = |from: u16| any_of(50, |place| routing::mcc().is(from + place as u16));
    let same = |trade: u16| {
        routing::currency()
            .is(Currency::EUR)
            .and(routing::mcc().is(trade))
    };
    let rules = rules_of(
        vec![trades(0).0, trades(500).and(trades(520)).0, same(7).or(same(9)).0],
        Vec::new(),
    );
    let index = Index::compile(&rules);
    assert_eq!(index.clauses.len(), 3);
    assert!(
        index
            .clauses
            .iter()
            .all(|clause| clause.certainty == Certainty::Holds)
    );
}

#[test]
fn rules_after_one_for_every_payment_are_left_out() {
    let euro = routing::currency().is(Currency::EUR);
    let rules = rules_of(
        vec![euro.clone().0, When::always().0, euro.negated().0],
        Vec::new(),
    );
    assert_eq!(Index::compile(&rules).clauses.len(), 2);
}

/// Memory goes with what rules name: each value that is named changes a block or two where it begins and ends.
#[test]
fn ten_thousand_rules_take_little_memory() {
    const RULES: usize = 10_000;
    let rule = |place: usize| {
        let bins: Vec<String> = (0..3)
            .map(|bin| format!("{}", 400_000 + place * 3 + bin))
            .collect();
        let bins = routing::card_bin().starts_with_one_of(bins.iter().map(String::as_str));
        let trade = routing::mcc().is((place % 900) as u16);
        let minor = |units: usize| Money::from_minor((place + units) as i64, Currency::EUR);
        bins.and(trade)
            .and(routing::amount().within(minor(0)..minor(5_000)))
            .0
    };
    let index = Index::compile(&rules_of((0..RULES).map(rule).collect(), Vec::new()));
    let (edges, blocks) = (RULES * (3 + 1 + 1) * 2, RULES.div_ceil(BLOCK));
    assert!(
        index.blocks.len() <= edges + 3 * blocks,
        "{} blocks",
        index.blocks.len()
    );
    let cells = RULES * 3 + 900 + RULES * 2 + 10;
    assert!(index.rows.len() <= cells * blocks, "{} places", index.rows.len());
    let bytes = index.blocks.len() * size_of::<Block>() + index.rows.len() * size_of::<u32>();
    assert!(bytes < 8 << 20, "{bytes} bytes");
}

#[test]
fn a_list_costs_its_values_once() {
    const RULES: usize = 5_000;
    let values = (0..5_000).map(|value| Placed::built(Value::Text(format!("customer-{value}"))));
    let list = List {
        name: Placed::built("trusted".to_owned()),
        values: values.collect(),
    };
    let rule = |place: usize| {
        let trade = routing::mcc().is((place % 900) as u16);
        trade.and(routing::customer().in_list("trusted")).0
    };
    let rules = rules_of((0..RULES).map(rule).collect(), vec![list]);
    let index = Index::compile(&rules);
    let columns = RULES.div_ceil(BLOCK);
    assert!(
        index.rows.len() <= (900 * 2 + 10) * columns,
        "{} places",
        index.rows.len()
    );
    for (customer, decided) in [
        ("customer-4711", Some(7)),
        ("customer-", None),
        ("customer-5000", None),
    ] {
        let mut facts = of_amount(1, Currency::EUR);
        (facts.mcc, facts.customer) = (Some(7), Some(customer));
        assert_eq!(index.first(&rules, &facts), decided);
    }
}
