//! Conjunctions that can't hold: what their tests leave of a fact is nothing.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{Literal, Sign, What};
use crate::money::Currency;
use crate::routing::facts::FactName;
use crate::routing::rule::{Comparison, Condition, MoneyValue, Placed, Rules, Test, Value};

/// The program's lists, by their names.
pub(super) struct Lists<'r>(HashMap<&'r str, Values<'r>>);

impl<'r> Lists<'r> {
    /// Those that aren't `faulty`.
    pub(super) fn of(rules: &'r Rules, faulty: &HashSet<String>) -> Self {
        let lists = rules
            .lists
            .iter()
            .filter(|list| !faulty.contains(&list.name.value));
        Self(
            lists
                .map(|list| (list.name.value.as_str(), Values::of(&list.values)))
                .collect(),
        )
    }
}

/// Why these can't hold together, if that is plain.
pub(super) fn of<'r>(literals: &[Literal<'r>], lists: &Lists<'r>) -> Option<String> {
    if are_plainly_apart(literals) {
        return None;
    }
    let mut facts: Vec<(&FactName, Left<'_>)> = Vec::new();
    for literal in literals {
        let (fact, narrow) = match &literal.what {
            What::AtLeast(comparison, end) => (&comparison.fact.value, Narrow::AtLeast(end)),
            What::Below(comparison, end) => (&comparison.fact.value, Narrow::Below(end)),
            What::Condition(Condition::Test(comparison)) => {
                let fact = &comparison.fact.value;
                (fact, Narrow::Test(&comparison.test))
            }
            What::Condition(Condition::All(none)) if none.is_empty() => {
                return Some("its condition is the opposite of always".to_owned());
            }
            What::Condition(Condition::All(_) | Condition::Any(_) | Condition::Not(_)) => continue,
        };
        let place = facts.iter().position(|(known, _)| *known == fact);
        let place = place.unwrap_or_else(|| {
            facts.push((fact, Left::default()));
            facts.len() - 1
        });
        facts[place].1.take(literal.sign, narrow, lists);
    }
    if let Some((fact, _)) = facts.iter().find(|(_, left)| left.is_nothing()) {
        return Some(format!("no `{fact}` passes all its tests"));
    }
    let left = |name: &FactName| facts.iter().find(|(fact, _)| *fact == name).map(|(_, left)| left);
    let amounts = left(&FactName::Amount)?.currencies()?;
    let currencies = left(&FactName::Currency)?.fewest()?;
    let meets = |currency: &Value| match currency {
        Value::Text(code) => amounts.iter().any(|amount| amount.code() == code),
        Value::Number(_) | Value::Money(_) => false,
    };
    (!currencies.iter().any(meets)).then(|| "its amounts are in another currency than `currency`".to_owned())
}

/// Whether no fact is tested twice, as in most rules: then nothing can contradict anything.
fn are_plainly_apart(literals: &[Literal<'_>]) -> bool {
    let few = literals.len() <= FEW;
    few && literals.iter().enumerate().all(|(at, literal)| {
        let Some(one) = compared(literal) else {
            return false;
        };
        literals[..at].iter().filter_map(compared).all(|other| {
            // The two ends of one range were checked.
            std::ptr::eq(one, other) || !touch(&one.fact.value, &other.fact.value)
        })
    })
}

fn compared<'r>(literal: &Literal<'r>) -> Option<&'r Comparison> {
    match literal.what {
        What::AtLeast(comparison, _) | What::Below(comparison, _) => Some(comparison),
        What::Condition(Condition::Test(comparison)) => Some(comparison),
        What::Condition(Condition::All(_) | Condition::Any(_) | Condition::Not(_)) => None,
    }
}

fn touch(one: &FactName, other: &FactName) -> bool {
    one == other
        || matches!(
            (one, other),
            (FactName::Amount, FactName::Currency) | (FactName::Currency, FactName::Amount)
        )
}

/// So many literals are compared with each other.
const FEW: usize = 16;

/// More than this many are looked up by their hash, or not at all.
const MANY: usize = 64;

/// Values, of which there may be many.
#[derive(Clone)]
enum Values<'r> {
    Few(&'r [Placed<Value>]),
    Many(Rc<HashSet<&'r Value>>),
}

impl<'r> Values<'r> {
    fn of(values: &'r [Placed<Value>]) -> Self {
        match values.len() > MANY {
            false => Self::Few(values),
            true => Self::Many(Rc::new(values.iter().map(|value| &value.value).collect())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Few(values) => values.len(),
            Self::Many(values) => values.len(),
        }
    }

    fn contains(&self, value: &Value) -> bool {
        match self {
            Self::Few(values) => values.iter().any(|one| one.value == *value),
            Self::Many(values) => values.contains(value),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'r Value> {
        let (few, many): (&[Placed<Value>], _) = match self {
            Self::Few(values) => (values, None),
            Self::Many(values) => (&[], Some(values.iter().copied())),
        };
        few.iter()
            .map(|value| &value.value)
            .chain(many.into_iter().flatten())
    }
}

/// What a literal leaves of a fact.
#[derive(Clone, Copy)]
enum Narrow<'r> {
    AtLeast(&'r Value),
    Below(&'r Value),
    Test(&'r Test),
}

/// What the tests so far leave of a fact.
#[derive(Default)]
struct Left<'r> {
    /// Some test asks for a known fact.
    known: bool,
    /// Some test asks for a fact that isn't known.
    unknown: bool,
    /// It is one of each of these.
    one_of: Vec<Values<'r>>,
    at_least: Vec<&'r Value>,
    below: Vec<&'r Value>,
    beginnings: Vec<&'r [Placed<String>]>,
    none_of: Vec<Values<'r>>,
    begins_otherwise: Vec<&'r [Placed<String>]>,
}

impl<'r> Left<'r> {
    fn take(&mut self, sign: Sign, narrow: Narrow<'r>, lists: &Lists<'r>) {
        self.known |= sign == Sign::Holds;
        match (narrow, sign) {
            (Narrow::AtLeast(end), _) => self.at_least.push(end),
            (Narrow::Below(end), _) => self.below.push(end),
            (Narrow::Test(Test::In(values)), _) => self.values(sign, Values::of(values)),
            (Narrow::Test(Test::InList(name)), _) => {
                if let Some(values) = lists.0.get(name.value.as_str()) {
                    self.values(sign, values.clone());
                }
            }
            (Narrow::Test(Test::StartsWith(beginnings)), Sign::Holds) => self.beginnings.push(beginnings),
            (Narrow::Test(Test::StartsWith(beginnings)), Sign::Fails) => {
                self.begins_otherwise.push(beginnings);
            }
            (Narrow::Test(Test::Present), Sign::Fails) => self.unknown = true,
            (Narrow::Test(Test::Present | Test::Range { .. }), _) => {}
        }
    }

    fn values(&mut self, sign: Sign, values: Values<'r>) {
        match sign {
            Sign::Holds => self.one_of.push(values),
            Sign::Fails => self.none_of.push(values),
        }
    }

    /// Of the sets that it is one of, the smallest.
    fn fewest(&self) -> Option<&Values<'r>> {
        self.one_of.iter().min_by_key(|values| values.len())
    }

    fn is_nothing(&self) -> bool {
        if self.known && self.unknown {
            return true;
        }
        if let Some(values) = self.fewest() {
            return !values.iter().any(|value| self.passes(value));
        }
        let crosses = |least: &Value| self.below.iter().any(|below| !meet(least, below));
        let apart = |ends: &[&Value]| ends.windows(2).any(|two| !same_currency(two[0], two[1]));
        self.at_least.iter().any(|least| crosses(least))
            || apart(&self.at_least)
            || apart(&self.below)
            || self.beginnings.windows(2).any(|two| !begin_alike(two[0], two[1]))
    }

    fn passes(&self, value: &Value) -> bool {
        self.at_least
            .iter()
            .all(|least| same_currency(least, value) && value >= *least)
            && self
                .below
                .iter()
                .all(|below| same_currency(below, value) && value < *below)
            && self.beginnings.iter().all(|beginnings| begins(value, beginnings))
            && self.one_of.iter().all(|values| values.contains(value))
            && !self.none_of.iter().any(|values| values.contains(value))
            && !self
                .begins_otherwise
                .iter()
                .any(|beginnings| beginnings.len() <= MANY && begins(value, beginnings))
    }

    /// Those that an amount can be in; `None`: any.
    fn currencies(&self) -> Option<Vec<Currency>> {
        let ends = self.at_least.iter().chain(&self.below).copied();
        let one_of = self.fewest().into_iter().flat_map(Values::iter);
        let found: Vec<Currency> = ends
            .chain(one_of)
            .filter_map(|value| match value {
                Value::Money(MoneyValue { currency, .. }) => Some(*currency),
                Value::Text(_) | Value::Number(_) => None,
            })
            .collect();
        (!found.is_empty()).then_some(found)
    }
}

fn meet(least: &Value, below: &Value) -> bool {
    same_currency(least, below) && least < below
}

/// Whether two can be compared.
fn same_currency(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Money(one), Value::Money(other)) => one.currency == other.currency,
        (Value::Money(_) | Value::Text(_) | Value::Number(_), _) => true,
    }
}

fn begins(value: &Value, beginnings: &[Placed<String>]) -> bool {
    match value {
        // Of very many, no warning follows.
        _many if beginnings.len() > MANY => true,
        Value::Text(text) => beginnings.iter().any(|one| text.starts_with(&one.value)),
        Value::Number(_) | Value::Money(_) => false,
    }
}

fn begin_alike(one: &[Placed<String>], other: &[Placed<String>]) -> bool {
    one.len() * other.len() > MANY * MANY
        || one.iter().any(|one| {
            other
                .iter()
                .any(|other| one.value.starts_with(&other.value) || other.value.starts_with(&one.value))
        })
}
