use std::collections::BTreeMap;
use std::ops::Range;

use super::*;
use crate::decline::DeclineCode;
use crate::intent::{CaptureMethod, IntentMode, Metadata, MitReason};
use crate::method::MethodKind;
use crate::money::{Currency, Money};
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
        for key in ["segment", "channel", "other"] {
            if let Some(text) = text(draw) {
                metadata.insert(key.to_owned(), text);
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
        1 => Some(format!("{named}1")),
        2 => Some(format!("{named}z")),
        _named => Some(named.to_owned()),
    }
}

fn country(draw: &mut Draw) -> Option<crate::routing::facts::Country> {
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

/// Several blocks, and more facts than a decision keeps the rows of.
#[test]
fn large_programs_decide_as_the_interpreter() {
    let mut asked = Asked::default();
    let keys = (0..KEPT).map(|key| FactName::Metadata(format!("key{key}").into()));
    let all: Vec<FactName> = names().into_iter().chain(keys).collect();
    for seed in 0..12 {
        let draw = &mut Draw(seed);
        let rules = program(draw, &all, 600..2_000);
        asked.ask(draw, &rules, LIMITS, 100);
    }
    println!("{asked:?}");
    assert!(
        asked.matched > asked.pairs / 4 && asked.beyond_the_third > asked.matched / 2,
        "{asked:?}"
    );
}
