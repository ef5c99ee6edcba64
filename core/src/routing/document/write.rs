//! Rules as the one JSON document that says them: the same rules give the same bytes, and read back they are equal.

use std::collections::HashSet;
use std::fmt::Write;

use super::super::facts::FactName;
use super::super::rule::{
    Choice, Comparison, Condition, Placed, Route, Rules, StickyBy, Target, Test, Value,
};
use super::super::values::time_text;
use super::VERSION;
use crate::money::Money;

/// The document of rules that were checked.
pub(in super::super) fn canonical(rules: &Rules) -> String {
    let mut out = Writer(String::new());
    out.raw(&format!("{{\"version\":{VERSION},"));
    out.entry("name", |out| out.text(&rules.name.value));
    if !rules.lists.is_empty() {
        let times = lists_of_times(rules);
        out.raw(",");
        out.entry("lists", |out| {
            out.table(&rules.lists, |out, list| {
                let fact = match times.contains(list.name.value.as_str()) {
                    true => FactName::TimeOfDay,
                    false => FactName::Mcc,
                };
                out.entry(&list.name.value, |out| {
                    out.array(&list.values, |out, value| out.value(&fact, &value.value));
                });
            });
        });
    }
    out.raw(",");
    out.entry("rules", |out| {
        out.array(&rules.rules, |out, rule| {
            out.raw("{");
            out.entry("name", |out| out.text(&rule.name.value));
            if rule.when.0 != Condition::All(Vec::new()) {
                out.raw(",");
                out.entry("when", |out| out.when(&rule.when.0));
            }
            out.raw(",");
            out.route(&rule.route);
            out.raw("}");
        });
    });
    out.raw(",");
    out.entry("otherwise", |out| {
        out.raw("{");
        out.route(&rules.otherwise);
        out.raw("}");
    });
    out.raw("}");
    out.0
}

/// Lists whose numbers are times of the day.
fn lists_of_times(rules: &Rules) -> HashSet<&str> {
    fn take<'r>(condition: &'r Condition, found: &mut HashSet<&'r str>) {
        match condition {
            Condition::All(all) | Condition::Any(all) => all.iter().for_each(|one| take(one, found)),
            Condition::Not(one) => take(one, found),
            Condition::Test(Comparison { fact, test }) => {
                if let (FactName::TimeOfDay, Test::InList(name)) = (&fact.value, test) {
                    found.insert(&name.value);
                }
            }
        }
    }
    let mut found = HashSet::new();
    rules.rules.iter().for_each(|rule| take(&rule.when.0, &mut found));
    found
}

struct Writer(String);

impl Writer {
    fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn text(&mut self, text: &str) {
        // A text is always written: what fails is a type with a fallible form.
        self.0.push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn entry(&mut self, key: &str, value: impl FnOnce(&mut Self)) {
        self.text(key);
        self.raw(":");
        value(self);
    }

    fn array<T>(&mut self, items: &[T], each: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        self.parts(items, each);
        self.raw("]");
    }

    fn table<T>(&mut self, entries: &[T], each: impl FnMut(&mut Self, &T)) {
        self.raw("{");
        self.parts(entries, each);
        self.raw("}");
    }

    fn parts<T>(&mut self, parts: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.raw(",");
            }
            each(self, part);
        }
    }

    /// A condition as a table. All of several are its entries where their keys differ.
    fn when(&mut self, condition: &Condition) {
        match condition {
            Condition::All(all) if all.is_empty() => self.raw("{}"),
            Condition::All(all) if all.len() > 1 && keys_differ(all) => {
                self.table(all, |out, one| out.keyed(one));
            }
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) | Condition::Test(_) => {
                self.raw("{");
                self.keyed(condition);
                self.raw("}");
            }
        }
    }

    /// A condition as one entry of a table; always isn't one, and stands alone as the empty table.
    fn keyed(&mut self, condition: &Condition) {
        match condition {
            Condition::All(all) => self.entry("all", |out| out.array(all, |out, one| out.when(one))),
            Condition::Any(any) => self.entry("any", |out| out.array(any, |out, one| out.when(one))),
            Condition::Not(one) => self.entry("not", |out| out.when(one)),
            Condition::Test(Comparison { fact, test }) => {
                let key = fact.value.to_string();
                self.entry(&key, |out| out.test(&fact.value, test));
            }
        }
    }

    fn test(&mut self, fact: &FactName, test: &Test) {
        match test {
            Test::In(values) => match values.as_slice() {
                [one] => self.value(fact, &one.value),
                several => self.array(several, |out, value| out.value(fact, &value.value)),
            },
            Test::InList(name) => {
                self.raw("{");
                self.entry("in_list", |out| out.text(&name.value));
                self.raw("}");
            }
            Test::Range { at_least, below } => {
                let ends = [("at_least", at_least), ("below", below)];
                let ends: Vec<(&str, &Placed<Value>)> = ends
                    .iter()
                    .filter_map(|(key, end)| Some((*key, end.as_ref()?)))
                    .collect();
                self.table(&ends, |out, (key, end)| {
                    out.entry(key, |out| out.value(fact, &end.value));
                });
            }
            Test::StartsWith(beginnings) => {
                self.raw("{");
                self.entry("starts_with", |out| match beginnings.as_slice() {
                    [one] => out.text(&one.value),
                    several => out.array(several, |out, text| out.text(&text.value)),
                });
                self.raw("}");
            }
            Test::Present => self.raw("{\"present\":true}"),
        }
    }

    fn value(&mut self, fact: &FactName, value: &Value) {
        match value {
            Value::Text(text) => self.text(text),
            Value::Number(minutes) if *fact == FactName::TimeOfDay => self.text(&time_text(*minutes)),
            Value::Number(number) => {
                let _ = write!(self.0, "{number}");
            }
            Value::Money(money) => self.text(&Money::from_minor(money.minor, money.currency).to_string()),
        }
    }

    fn route(&mut self, route: &Route) {
        match &route.choice.value {
            Choice::Ordered(targets) => self.targets("ordered", targets),
            Choice::BestSuccessRate(targets) => self.targets("best_success_rate", targets),
            Choice::Cheapest(targets) => self.targets("cheapest", targets),
            Choice::HealthiestFirst(targets) => self.targets("healthiest_first", targets),
            Choice::Block(reason) => self.entry("block", |out| out.text(&reason.value)),
            Choice::Split { shares, sticky_by } => {
                self.entry("split", |out| {
                    out.table(shares, |out, (target, weight)| {
                        out.entry(&target.value.to_string(), |out| {
                            out.raw(&weight.value.to_string())
                        });
                    });
                });
                match sticky_by {
                    StickyBy::Intent => {}
                    StickyBy::Customer => self.raw(",\"sticky_by\":\"customer\""),
                }
            }
        }
        if !route.then.is_empty() {
            self.raw(",");
            self.targets("then", &route.then);
        }
    }

    fn targets(&mut self, key: &str, targets: &[Placed<Target>]) {
        self.entry(key, |out| {
            out.array(targets, |out, target| out.text(&target.value.to_string()));
        });
    }
}

/// Whether these can be the entries of one table.
fn keys_differ(all: &[Condition]) -> bool {
    let mut seen = HashSet::new();
    all.iter().all(|one| match one {
        // Always has no key, and stands alone.
        Condition::All(none) if none.is_empty() => false,
        Condition::All(_) => seen.insert("all".to_owned()),
        Condition::Any(_) => seen.insert("any".to_owned()),
        Condition::Not(_) => seen.insert("not".to_owned()),
        Condition::Test(comparison) => seen.insert(comparison.fact.value.to_string()),
    })
}
