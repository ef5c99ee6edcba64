//! Random programs, most of which are good.

use proptest::prelude::*;

use crate::money::{Currency, Money};
use crate::routing::facts::{FactKind, FactName};
use crate::routing::rule::{
    Comparison, Condition, List, MoneyValue, Placed, Route, Rule, Rules, StickyBy, Test, Value, When,
};

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let rule = (".{1,8}", condition(), route());
    (".{1,12}", prop::collection::vec(rule, 0..8), route()).prop_map(|(name, rules, otherwise)| Rules {
        name: Placed::built(name),
        lists: lists(),
        rules: rules
            .into_iter()
            .enumerate()
            .map(|(at, (name, when, route))| Rule {
                name: Placed::built(format!("{at} {name}")),
                when: When(when),
                route,
            })
            .collect(),
        otherwise,
    })
}

/// One for each kind of fact.
fn lists() -> Vec<List> {
    let lists: [(&str, &[&str]); 5] = [
        ("amounts", &["30 EUR", "500 jpy"]),
        ("numbers", &["1", "1200"]),
        ("times", &["08:00", "23:59"]),
        ("countries", &["FR", "de"]),
        ("texts \"…\"", &["a", "ÄÖ"]),
    ];
    let values = |texts: &[&str]| {
        let values = texts.iter().map(|text| Value::Text((*text).to_owned()));
        values.map(Placed::built).collect()
    };
    lists
        .iter()
        .map(|(name, texts)| List {
            name: Placed::built((*name).to_owned()),
            values: values(texts),
        })
        .collect()
}

fn list_for(fact: &FactName) -> Option<&'static str> {
    match (fact, fact.kind()) {
        (FactName::Amount, _) => Some("amounts"),
        (FactName::TimeOfDay, _) => Some("times"),
        (FactName::CardBin | FactName::CardNetwork, _) | (_, FactKind::Word(_)) => None,
        (_, FactKind::Country) => Some("countries"),
        (_, FactKind::Text) => Some("texts \"…\""),
        (_, FactKind::Number(..) | FactKind::Amount) => Some("numbers"),
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        8 => comparison().prop_map(Condition::Test),
        1 => Just(Condition::All(Vec::new())),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Any),
            inner.prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

fn fact() -> impl Strategy<Value = FactName> {
    let key = prop::sample::select(vec!["a", "a.b", "in", "\"", "ä/~"]);
    prop_oneof![
        8 => prop::sample::select(FactName::ALL),
        2 => key.prop_map(|key| FactName::Metadata(key.into())),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    fact().prop_flat_map(|fact| {
        let values = prop::collection::vec(value(&fact), 1..4)
            .prop_map(|values| Test::In(values.into_iter().map(Placed::built).collect()));
        let mut tests = vec![values.boxed(), Just(Test::Present).boxed()];
        if let Some(list) = list_for(&fact) {
            tests.push(Just(Test::InList(Placed::built(list.to_owned()))).boxed());
        }
        match fact.kind() {
            FactKind::Amount | FactKind::Number(..) => tests.push(range(&fact).boxed()),
            FactKind::Text if fact == FactName::CardBin => tests.push(beginnings("[0-9]{1,8}").boxed()),
            FactKind::Text => tests.push(beginnings("[a-z0-9é\"]{1,6}").boxed()),
            FactKind::Word(_) | FactKind::Country => {}
        }
        prop::strategy::Union::new(tests).prop_map(move |test| Comparison {
            fact: Placed::built(fact.clone()),
            test,
        })
    })
}

fn beginnings(pattern: &'static str) -> impl Strategy<Value = Test> {
    prop::collection::vec(pattern, 1..3)
        .prop_map(|texts| Test::StartsWith(texts.into_iter().map(Placed::built).collect()))
}

fn range(fact: &FactName) -> impl Strategy<Value = Test> + use<> {
    (value(fact), value(fact), 0..3).prop_map(|(one, other, ends)| {
        let (least, below) = if one < other { (one, other) } else { (other, one) };
        let one_currency = match (&least, &below) {
            (Value::Money(one), Value::Money(other)) => one.currency == other.currency,
            _other => true,
        };
        let both = ends == 0 && least != below && one_currency;
        Test::Range {
            at_least: (both || ends == 1).then(|| Placed::built(least)),
            below: (both || ends != 1).then(|| Placed::built(below)),
        }
    })
}

fn value(fact: &FactName) -> BoxedStrategy<Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    match fact.kind() {
        FactKind::Amount => {
            let currency = prop::sample::select(vec![Currency::EUR, Currency::JPY, Currency::BHD]);
            let minor = prop_oneof![0i64..10_000, any::<i64>()];
            (currency, minor)
                .prop_map(|(currency, minor)| {
                    // As read, so that nothing is compared but what documents can say.
                    let money: Money = Money::from_minor(minor, currency).to_string().parse().unwrap();
                    Value::Money(MoneyValue {
                        currency: money.currency(),
                        minor: money.minor(),
                    })
                })
                .boxed()
        }
        FactKind::Number(least, most) => (least..=most).prop_map(Value::Number).boxed(),
        FactKind::Word(words) => prop::sample::select(words).prop_map(text).boxed(),
        FactKind::Country => "[A-Z]{2}".prop_map(Value::Text).boxed(),
        FactKind::Text if *fact == FactName::CardBin => "[0-9]{6,8}".prop_map(Value::Text).boxed(),
        FactKind::Text if *fact == FactName::CardNetwork => "[a-z_]{1,8}".prop_map(Value::Text).boxed(),
        FactKind::Text => "\\PC{0,6}".prop_map(Value::Text).boxed(),
    }
}

fn route() -> impl Strategy<Value = Route> {
    let targets = || {
        let all = vec!["acme", "acme/main", "stripe", "stripe/eu \"west\"/1", "sandbox"];
        prop::sample::subsequence(all, 1..4).prop_shuffle()
    };
    let sticky = prop::sample::select(vec![StickyBy::Intent, StickyBy::Customer]);
    let split = (targets(), prop::collection::vec(1u32..100, 5), sticky)
        .prop_map(|(targets, weights, by)| Route::split(targets.into_iter().zip(weights), by));
    let choice = prop_oneof![
        targets().prop_map(Route::ordered),
        targets().prop_map(Route::best_success_rate),
        targets().prop_map(Route::cheapest),
        targets().prop_map(Route::healthiest_first),
        split,
    ];
    let routed = (choice, prop::option::of(targets())).prop_map(|(route, then)| match then {
        Some(then) => route.then(then),
        None => route,
    });
    prop_oneof![8 => routed, 1 => ".{1,12}".prop_map(|reason| Route::block(&reason))]
}
