//! A routing program: rules that were checked, and what they compile to.

use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::facts::Facts;
use super::index::Index;
use super::rule::{List, Placed, Route, Rule, Rules, Value, When};

/// A routing program: immutable, checked, compiled, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Program(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    rules: Rules,
    index: Index,
    warnings: Diagnostics,
}

/// Where a program sends a payment.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'p> {
    /// The place of the rule that matched, from 0; `None`: the default.
    pub rule: Option<usize>,
    /// Its name; of the default, `otherwise`.
    pub name: &'p str,
    pub(crate) route: &'p Route,
}

impl Program {
    /// Starts to build a program; what is required ends it: [`ProgramBuilder::otherwise`].
    pub fn builder(name: &str) -> ProgramBuilder {
        ProgramBuilder {
            name: name.to_owned(),
            lists: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Checks and compiles rules, from wherever they came.
    pub(crate) fn compile(rules: Rules) -> Result<Self, Diagnostics> {
        Ok(Self(Arc::new(Compiled {
            index: Index::compile(&rules),
            rules,
            warnings: Diagnostics::default(),
        })))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.rules.name.value
    }

    /// What is odd about it, though it does what it says.
    pub fn warnings(&self) -> &Diagnostics {
        &self.0.warnings
    }

    /// Where it sends a payment. It allocates nothing.
    pub fn decide(&self, facts: &Facts<'_>) -> Matched<'_> {
        let rules = &self.0.rules;
        match self.0.index.first(rules, facts) {
            Some(place) => Matched {
                rule: Some(place),
                name: &rules.rules[place].name.value,
                route: &rules.rules[place].route,
            },
            None => Matched {
                rule: None,
                name: "otherwise",
                route: &rules.otherwise,
            },
        }
    }
}

/// Builds a [`Program`].
///
/// ```
/// use paymux_core::{Currency, money};
/// use paymux_core::routing::{Program, Route, StickyBy, amount, card_bin, card_network, currency, payer_country};
///
/// let program = Program::builder("eu-cards")
///     .list("not-served", ["KP", "IR"])
///     .rule("sanctions", payer_country().in_list("not-served"), Route::block("country_not_served"))
///     .rule(
///         "small euro",
///         currency().is(Currency::EUR).and(amount().below(money!("30 EUR"))),
///         Route::split([("acme", 70), ("stripe", 30)], StickyBy::Customer).then(["sandbox"]),
///     )
///     .rule(
///         "amex",
///         card_network().is_in(["amex"]).except(card_bin().starts_with("3737")),
///         Route::best_success_rate(["stripe", "acme"]),
///     )
///     .otherwise(Route::ordered(["stripe", "acme"]))?;
/// # Ok::<(), paymux_core::routing::Diagnostics>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a program ends with its default: otherwise"]
pub struct ProgramBuilder {
    name: String,
    lists: Vec<List>,
    rules: Vec<Rule>,
}

impl ProgramBuilder {
    /// Values under a name, for [`Fact::in_list`](super::Fact::in_list).
    pub fn list<V: Into<String>>(mut self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        let values = values
            .into_iter()
            .map(|value| Placed::built(Value::Text(value.into())));
        self.lists.push(List {
            name: Placed::built(name.to_owned()),
            values: values.collect(),
        });
        self
    }

    /// The next rule: the first whose condition holds decides.
    pub fn rule(mut self, name: &str, when: When, route: Route) -> Self {
        self.rules.push(Rule {
            name: Placed::built(name.to_owned()),
            when,
            route,
        });
        self
    }

    /// Where all other payments go, which ends the program.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn otherwise(self, route: Route) -> Result<Program, Diagnostics> {
        Program::compile(Rules {
            name: Placed::built(self.name),
            lists: self.lists,
            rules: self.rules,
            otherwise: route,
        })
    }
}
