//! What a program means, in plain code: the first rule whose condition holds. The index has to say the same.

use super::facts::{FactKind, FactName, Facts};
use super::rule::{Comparison, Condition, MoneyValue, Rules, Test, Value};

impl Rules {
    /// The first rule whose condition holds; `None`: the default.
    #[cfg(test)]
    pub(crate) fn first(&self, facts: &Facts<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| self.holds(&rule.when.0, facts))
    }

    /// Whether a condition holds.
    pub(crate) fn holds(&self, condition: &Condition, facts: &Facts<'_>) -> bool {
        match condition {
            Condition::All(all) => all.iter().all(|one| self.holds(one, facts)),
            Condition::Any(any) => any.iter().any(|one| self.holds(one, facts)),
            Condition::Not(one) => !self.holds(one, facts),
            Condition::Test(comparison) => self.passes(comparison, facts),
        }
    }

    fn passes(&self, comparison: &Comparison, facts: &Facts<'_>) -> bool {
        let Some(known) = Known::of(&comparison.fact.value, facts) else {
            return false;
        };
        match &comparison.test {
            Test::In(values) => values.iter().any(|value| known.is(&value.value)),
            Test::InList(name) => {
                let list = self.lists.iter().find(|list| list.name == *name);
                list.is_some_and(|list| list.values.iter().any(|value| known.is(&value.value)))
            }
            Test::Range { at_least, below } => {
                at_least
                    .as_ref()
                    .is_none_or(|least| known.is_at_least(&least.value))
                    && below.as_ref().is_none_or(|most| known.is_below(&most.value))
            }
            Test::StartsWith(beginnings) => match known {
                Known::Text(text) => beginnings.iter().any(|one| text.starts_with(one.value.as_str())),
                Known::Number(_) | Known::Money(_) => false,
            },
            Test::Present => true,
        }
    }
}

/// What is known of a fact, in the form that values have.
#[derive(Clone, Copy)]
enum Known<'a> {
    Text(&'a str),
    Number(i64),
    Money(MoneyValue),
}

impl<'a> Known<'a> {
    fn of(fact: &FactName, facts: &'a Facts<'_>) -> Option<Self> {
        match fact.kind() {
            FactKind::Amount => Some(Self::Money(MoneyValue {
                currency: facts.amount.currency(),
                minor: facts.amount.minor(),
            })),
            FactKind::Number(..) => facts.number(fact).map(Self::Number),
            FactKind::Text => facts.text(fact).map(Self::Text),
            FactKind::Country => facts.country(fact).map(|country| Self::Text(country.as_str())),
            FactKind::Word(words) => {
                let place = usize::from(facts.code(fact)?);
                words.get(place).map(|word| Self::Text(word))
            }
        }
    }

    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(known), Value::Text(text)) => known == text,
            (Self::Number(known), Value::Number(number)) => known == *number,
            (Self::Money(known), Value::Money(money)) => known == *money,
            (Self::Text(_), Value::Number(_) | Value::Money(_))
            | (Self::Number(_), Value::Text(_) | Value::Money(_))
            | (Self::Money(_), Value::Text(_) | Value::Number(_)) => false,
        }
    }

    fn is_at_least(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number(known), Value::Number(least)) => known >= *least,
            (Self::Money(known), Value::Money(least)) => {
                known.currency == least.currency && known.minor >= least.minor
            }
            (Self::Text(_), _)
            | (Self::Number(_), Value::Text(_) | Value::Money(_))
            | (Self::Money(_), Value::Text(_) | Value::Number(_)) => false,
        }
    }

    fn is_below(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number(known), Value::Number(most)) => known < *most,
            (Self::Money(known), Value::Money(most)) => {
                known.currency == most.currency && known.minor < most.minor
            }
            (Self::Text(_), _)
            | (Self::Number(_), Value::Text(_) | Value::Money(_))
            | (Self::Money(_), Value::Text(_) | Value::Number(_)) => false,
        }
    }
}
