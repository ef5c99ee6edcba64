//! A routing program: rules that were checked, and what they compile to.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::check;
use super::diagnostics::Diagnostics;
use super::document::{self, Draft};
use super::facts::Facts;
use super::index::Index;
use super::rule::{List, Placed, Route, Rule, Rules, Value, When};
use crate::hex::hex;
use crate::id::AccountRef;

/// A routing program: immutable, checked, compiled, and cheap to clone.
///
/// # As a document
///
/// TOML (with the feature `toml`) and JSON have the same keys:
///
/// | key | what it is |
/// |---|---|
/// | `version` | 1 |
/// | `name` | the program's name |
/// | `lists` | optional: names with arrays of values, which rules share |
/// | `rules` | optional: an array of rules, the first of which that matches decides |
/// | `otherwise` | the route of all other payments |
///
/// A rule has a `name`, a condition `when` (without one it always matches) and the keys of a route: one of `ordered`,
/// `best_success_rate`, `cheapest` and `healthiest_first`, each an array of targets; `split`, a table of targets with
/// their shares, and beside it `sticky_by`, `"intent"` (the default) or `"customer"`; or `block` with a reason. All but
/// `block` may have `then`, targets for after those. A target is a connector, `"stripe"`, or an account, `"stripe/eu"`.
///
/// A condition is a table of facts ([`FactName`](super::FactName)) with what they are tested for, all of which must hold;
/// `metadata.KEY` is a pair of the host's own. `all` and `any` take arrays of such tables, and `not` takes one.
///
/// | test | holds if the fact |
/// |---|---|
/// | a value | is that |
/// | an array of values, or `{ in = […] }` | is one of them |
/// | `{ in_list = "…" }` | is in the list of that name |
/// | `{ at_least = …, below = … }`, both or either | is a number or an amount in that range, whose end isn't in it |
/// | `{ starts_with = "…" }`, or an array of texts | begins with one of them |
/// | `{ present = true }`, or `false` | is known, or isn't |
///
/// Amounts are texts, `"30 EUR"`; times of the day too, `"08:30"`, UTC, and `"24:00"` as an end; other numbers are
/// integers. Currencies and countries are read in upper and lower case.
#[derive(Clone, Debug)]
pub struct Program(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    rules: Rules,
    index: Index,
    warnings: Diagnostics,
    metadata_keys: BTreeSet<String>,
    /// The TOML that it was read from, in which diagnostics are shown.
    text: Option<Arc<str>>,
    fingerprint: String,
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

    /// Reads a program from TOML.
    ///
    /// ```
    /// use paymux_core::routing::Program;
    ///
    /// let program = Program::from_toml(r#"
    /// version = 1
    /// name = "eu-cards"
    /// lists.not-served = ["KP", "IR"]
    /// otherwise = { ordered = ["stripe", "acme"] }
    ///
    /// [[rules]]
    /// name = "sanctions"
    /// when = { payer_country = { in_list = "not-served" } }
    /// block = "country_not_served"
    ///
    /// [[rules]]
    /// name = "small euro"
    /// when = { currency = "EUR", amount = { below = "30 EUR" } }
    /// split = { acme = 70, stripe = 30 }
    /// sticky_by = "customer"
    /// then = ["sandbox"]
    /// "#)?;
    /// assert_eq!(program, Program::from_json(&program.to_json())?);
    /// # Ok::<(), paymux_core::routing::Diagnostics>(())
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong with it, at once, by line and column.
    #[cfg(feature = "toml")]
    pub fn from_toml(toml: &str) -> Result<Self, Diagnostics> {
        let text: Arc<str> = toml.into();
        match document::from_toml(toml) {
            Ok(draft) => Self::checked(draft, Some(text)),
            Err(found) => Err(Diagnostics::new(found, Some(text))),
        }
    }

    /// Reads a program from JSON, which has the keys that the TOML has.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once, by pointers.
    pub fn from_json(json: &str) -> Result<Self, Diagnostics> {
        match document::from_json(json) {
            Ok(draft) => Self::checked(draft, None),
            Err(found) => Err(Diagnostics::new(found, None)),
        }
    }

    /// Reads what [`Program::to_json`] wrote, however long it is: a builder's program may be longer than a document.
    pub(crate) fn from_stored(json: &str) -> Result<Self, Diagnostics> {
        match document::from_stored(json) {
            Ok(draft) => Self::checked(draft, None),
            Err(found) => Err(Diagnostics::new(found, None)),
        }
    }

    /// Checks and compiles rules, from wherever they came.
    pub(crate) fn compile(rules: Rules) -> Result<Self, Diagnostics> {
        Self::checked(Draft::built(rules), None)
    }

    fn checked(mut draft: Draft, text: Option<Arc<str>>) -> Result<Self, Diagnostics> {
        let found = check::check(&mut draft);
        let found = Diagnostics::new(found, text.clone());
        if !found.is_taken() {
            return Err(found);
        }
        let digest = Sha256::digest(document::canonical(&draft.rules).as_bytes());
        Ok(Self(Arc::new(Compiled {
            index: Index::compile(&draft.rules),
            metadata_keys: draft.rules.metadata_keys(),
            rules: draft.rules,
            warnings: found,
            text,
            fingerprint: hex(&digest[..8]),
        })))
    }

    /// The program as JSON: programs that are equal give the same text, and [`Program::from_json`] reads it. That of a
    /// builder's program may be longer than [`MOST_BYTES`](super::MOST_BYTES), which it refuses.
    pub fn to_json(&self) -> String {
        document::canonical(&self.0.rules)
    }

    /// Names this very program: the first 16 hexadecimal digits of the SHA-256 of [`Program::to_json`].
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// What it routes to that isn't registered: a connector none of whose accounts is among these, or an account that
    /// isn't. Each is an error, with the nearest name that is.
    pub fn check_accounts(&self, accounts: &[AccountRef]) -> Diagnostics {
        let found = check::check_accounts(&self.0.rules, accounts);
        Diagnostics::new(found, self.0.text.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.rules.name.value
    }

    /// The keys of metadata that its rules ask about.
    pub fn metadata_keys(&self) -> impl Iterator<Item = &str> {
        self.0.metadata_keys.iter().map(String::as_str)
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

/// Two are equal if they say the same, wherever they were read from.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.0.rules == other.0.rules
    }
}

impl Eq for Program {}

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
