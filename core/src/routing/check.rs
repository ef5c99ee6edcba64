//! Whether rules are good: one check for documents and for the builder. It brings values into their one form, and tells
//! every fault at once.

use std::collections::{HashMap, HashSet};

use super::diagnostics::{Code, Diagnostic};
use super::document::{Draft, UNREAD};
use super::facts::{FactKind, FactName};
use super::nearest::nearest;
use super::reach;
use super::rule::{
    Choice, Comparison, Condition, List, MOST_LEVELS, MOST_RULES, Place, Placed, Route, Rules, Share, Target,
    Test, Value,
};
use super::values::{Fit, Role, beginning, fit};
use crate::id::{AccountRef, ConnectorId};

/// Judges a draft, and brings its values into their one form. What comes back is all that was found, here and when it was
/// read.
pub(super) fn check(draft: &mut Draft) -> Vec<Diagnostic> {
    let Draft {
        rules,
        found,
        broken,
        mentioned,
        faulty,
    } = draft;
    let uses = Uses::of(rules);
    let mut check = Check {
        found: std::mem::take(found),
        within: None,
        lists: rules.lists.iter().map(|list| list.name.value.clone()).collect(),
        faulty,
    };
    check.names(rules);
    for list in &mut rules.lists {
        check.within = Some(format!("the list `{}`", list.name.value));
        let before = check.found.len();
        check.list(list, &uses);
        if check.found.len() > before {
            check.faulty.insert(list.name.value.clone());
        }
    }
    if let Some(first) = rules.rules.get(MOST_RULES) {
        check.within = None;
        let message = format!("there are {} rules, and may be {MOST_RULES}", rules.rules.len());
        let suggestion = "put what they share into `lists`, or into conditions with `any`";
        check.tell(Code::TooManyRules, &first.name.place, message, suggestion);
    }
    for (at, rule) in rules.rules.iter_mut().take(MOST_RULES).enumerate() {
        check.within = Some(within_rule(&rule.name.value));
        let before = check.found.len();
        check.condition(&mut rule.when.0, &rule.name.place, 1);
        if check.found.len() > before {
            broken.insert(at);
        }
        check.route(&rule.route);
    }
    check.within = Some("`otherwise`".to_owned());
    check.route(&rules.otherwise);
    check.unused(rules, &uses, mentioned);
    let Check { mut found, .. } = check;
    reach::judge(rules, broken, faulty, &mut found);
    found
}

/// Judges the targets by what is registered: each must name one account or more.
pub(super) fn check_accounts(rules: &Rules, accounts: &[AccountRef]) -> Vec<Diagnostic> {
    let connectors: HashSet<&str> = accounts.iter().map(|one| one.connector().as_str()).collect();
    let names: HashSet<String> = accounts.iter().map(AccountRef::to_string).collect();
    let mut words: Vec<&str> = connectors.iter().copied().collect();
    words.extend(names.iter().map(String::as_str));
    words.sort_unstable();
    let is_there = |target: &Target| match &target.account {
        None => connectors.contains(target.connector.as_str()),
        Some(_) => names.contains(&target.to_string()),
    };
    let mut found = Vec::new();
    let mut judge = |route: &Route, within: &dyn Fn() -> String| {
        for target in targets(route).filter(|target| !is_there(&target.value)) {
            let name = target.value.to_string();
            let suggestion = match nearest(&name, words.iter().copied()) {
                Some(near) => format!("write \"{near}\""),
                None => "register an account of that name, or write another".to_owned(),
            };
            let message = format!("no registered account is `{name}`");
            found.push(
                Diagnostic::new(Code::UnknownAccount, target.place.clone(), message)
                    .suggest(suggestion)
                    .within(Some(within())),
            );
        }
    };
    for rule in &rules.rules {
        judge(&rule.route, &|| within_rule(&rule.name.value));
    }
    judge(&rules.otherwise, &|| "`otherwise`".to_owned());
    found
}

/// How many lists' names an unknown one is compared with.
const MOST_COMPARED: usize = 256;

/// Each target of a route, in order.
fn targets(route: &Route) -> impl Iterator<Item = &Placed<Target>> {
    let (plain, shares): (&[Placed<Target>], &[Share]) = match &route.choice.value {
        Choice::Ordered(targets)
        | Choice::BestSuccessRate(targets)
        | Choice::Cheapest(targets)
        | Choice::HealthiestFirst(targets) => (targets.as_slice(), [].as_slice()),
        Choice::Split { shares, .. } => ([].as_slice(), shares.as_slice()),
        Choice::Block(_) => ([].as_slice(), [].as_slice()),
    };
    let shares = shares.iter().map(|(target, _)| target);
    plain.iter().chain(shares).chain(&route.then)
}

pub(super) fn within_rule(name: &str) -> String {
    format!("the rule `{name}`")
}

/// Which facts each list is compared with.
struct Uses(HashMap<String, Vec<FactName>>);

impl Uses {
    fn of(rules: &Rules) -> Self {
        let mut uses = Self(HashMap::new());
        for rule in &rules.rules {
            uses.take(&rule.when.0, 1);
        }
        uses
    }

    fn take(&mut self, condition: &Condition, level: usize) {
        match condition {
            Condition::All(_) | Condition::Any(_) | Condition::Not(_) if level > MOST_LEVELS => {}
            Condition::All(all) | Condition::Any(all) => {
                all.iter().for_each(|one| self.take(one, level + 1));
            }
            Condition::Not(one) => self.take(one, level + 1),
            Condition::Test(Comparison { fact, test }) => {
                if let Test::InList(name) = test {
                    self.note(&name.value, &fact.value);
                }
            }
        }
    }

    fn note(&mut self, list: &str, fact: &FactName) {
        // What fits a pair of metadata is the same for all its keys.
        let alike = |known: &FactName| match (known, fact) {
            (FactName::Metadata(_), FactName::Metadata(_)) => true,
            (known, fact) => known == fact,
        };
        match self.0.get_mut(list) {
            Some(facts) if facts.iter().any(alike) => {}
            Some(facts) => facts.push(fact.clone()),
            None => {
                self.0.insert(list.to_owned(), vec![fact.clone()]);
            }
        }
    }

    fn facts(&self, list: &str) -> &[FactName] {
        self.0.get(list).map_or(&[], Vec::as_slice)
    }
}

struct Check<'d> {
    found: Vec<Diagnostic>,
    within: Option<String>,
    lists: HashSet<String>,
    faulty: &'d mut HashSet<String>,
}

impl Check<'_> {
    fn tell(&mut self, code: Code, place: &Place, message: impl Into<String>, suggestion: impl Into<String>) {
        self.found.push(
            Diagnostic::new(code, place.clone(), message)
                .suggest(suggestion.into())
                .within(self.within.clone()),
        );
    }

    fn names(&mut self, rules: &Rules) {
        if rules.name.value.is_empty() {
            let suggestion = "name the program, as people will speak of it";
            self.tell(
                Code::Empty,
                &rules.name.place,
                "the program's name is empty",
                suggestion,
            );
        }
        let lists = rules.lists.iter().map(|list| &list.name);
        self.different(lists, "list", &[]);
        let names = rules.rules.iter().map(|rule| &rule.name);
        self.different(names, "rule", &["otherwise"]);
    }

    /// That names differ, from each other and from those that are `taken`.
    fn different<'n>(
        &mut self,
        names: impl Iterator<Item = &'n Placed<String>>,
        what: &str,
        taken: &[&'n str],
    ) {
        let mut seen: HashSet<&str> = taken.iter().copied().collect();
        for name in names.filter(|name| name.value != UNREAD) {
            self.within = Some(format!("the {what} `{}`", name.value));
            if name.value.is_empty() {
                let message = format!("the {what}'s name is empty");
                self.tell(Code::Empty, &name.place, message, "name it");
            } else if !seen.insert(&name.value) {
                let message = match taken.contains(&name.value.as_str()) {
                    true => format!("`{}` is what the default is called", name.value),
                    false => format!("another {what} before it is named `{}` too", name.value),
                };
                self.tell(Code::DuplicateName, &name.place, message, "give it another name");
            }
        }
        self.within = None;
    }

    fn list(&mut self, list: &mut List, uses: &Uses) {
        if list.values.is_empty() {
            let message = format!("the list `{}` is empty", list.name.value);
            self.tell(
                Code::Empty,
                &list.name.place,
                message,
                "put values into it, or leave it out",
            );
        }
        let facts = uses.facts(&list.name.value);
        for value in &mut list.values {
            self.listed(&list.name.value, value, facts);
        }
    }

    /// A value that fits all facts that its list is compared with, in one form for all.
    fn listed(&mut self, list: &str, value: &mut Placed<Value>, facts: &[FactName]) {
        let mut form: Option<(Value, &FactName)> = None;
        for fact in facts {
            let theirs = match fit(fact, value, Role::One) {
                Fit::Is => value.value.clone(),
                Fit::Becomes(other) => other,
                Fit::Not(misfit) => {
                    let message = format!("`{list}` is compared with `{fact}`: {}", misfit.message);
                    self.tell(Code::ListMismatch, &value.place, message, misfit.suggestion);
                    return;
                }
            };
            match &form {
                Some((first, other)) if *first != theirs => {
                    let message = format!(
                        "`{list}` is compared with `{other}` and with `{fact}`, to which this isn't the same"
                    );
                    let suggestion = "make a list for each of them";
                    self.tell(Code::ListMismatch, &value.place, message, suggestion);
                    return;
                }
                Some(_) => {}
                None => form = Some((theirs, fact)),
            }
        }
        if let Some((form, _)) = form {
            value.value = form;
        }
    }

    /// `place` is that of the rule's name, for what has none of its own.
    fn condition(&mut self, condition: &mut Condition, place: &Place, level: usize) {
        let nests = !matches!(condition, Condition::Test(_));
        if nests && level > MOST_LEVELS {
            let place = first_place(condition).unwrap_or(place).clone();
            let message = format!("conditions stand more than {MOST_LEVELS} levels deep in one another");
            let suggestion = "split the rule into several";
            self.tell(Code::TooDeep, &place, message, suggestion);
            return;
        }
        match condition {
            Condition::Any(none) if none.is_empty() => {
                let suggestion = "put a condition into it, or leave it out";
                self.tell(Code::Empty, place, "one of no conditions never holds", suggestion);
            }
            Condition::All(all) | Condition::Any(all) => {
                for one in all {
                    self.condition(one, place, level + 1);
                }
            }
            Condition::Not(one) => self.condition(one, place, level + 1),
            Condition::Test(comparison) => self.comparison(comparison),
        }
    }

    fn comparison(&mut self, comparison: &mut Comparison) {
        let fact = &comparison.fact;
        if matches!(&fact.value, FactName::Metadata(key) if key.is_empty()) {
            let suggestion = "name the pair: `metadata.channel`";
            self.tell(
                Code::Empty,
                &fact.place,
                "a pair of metadata has a key",
                suggestion,
            );
        }
        match &mut comparison.test {
            Test::In(values) => {
                if values.is_empty() {
                    self.nothing(&fact.place, "it is one of nothing");
                }
                for value in values {
                    self.value(&fact.value, value, Role::One);
                }
            }
            Test::InList(name) => self.list_name(name),
            Test::Range { at_least, below } => {
                if !matches!(fact.value.kind(), FactKind::Amount | FactKind::Number(..)) {
                    self.not_taken(fact, "a range", "compare it with values, or with a beginning");
                    return;
                }
                let ends = [(at_least, Role::One), (below, Role::End)];
                let mut fine = true;
                let [least, below] = ends.map(|(end, role)| {
                    let end = end.as_mut()?;
                    fine &= self.value(&fact.value, end, role);
                    Some(&*end)
                });
                if fine {
                    self.range(fact, least, below);
                }
            }
            Test::StartsWith(beginnings) => {
                if fact.value.kind() != FactKind::Text {
                    self.not_taken(fact, "a beginning", "compare it with values");
                    return;
                }
                if beginnings.is_empty() {
                    self.nothing(&fact.place, "it begins with one of nothing");
                }
                for text in beginnings {
                    if let Some(misfit) = beginning(&fact.value, &text.value) {
                        self.tell(misfit.code, &text.place, misfit.message, misfit.suggestion);
                    }
                }
            }
            Test::Present => {}
        }
    }

    fn nothing(&mut self, place: &Place, message: &str) {
        self.tell(Code::Empty, place, message, "write what to compare it with");
    }

    fn not_taken(&mut self, fact: &Placed<FactName>, test: &str, suggestion: &str) {
        let message = format!("`{}` isn't tested by {test}", fact.value);
        self.tell(Code::TestNotTaken, &fact.place, message, suggestion);
    }

    /// Brings a value into its one form; whether it has one.
    fn value(&mut self, fact: &FactName, value: &mut Placed<Value>, role: Role) -> bool {
        match fit(fact, value, role) {
            Fit::Is => true,
            Fit::Becomes(form) => {
                value.value = form;
                true
            }
            Fit::Not(misfit) => {
                self.tell(misfit.code, &value.place, misfit.message, misfit.suggestion);
                false
            }
        }
    }

    fn list_name(&mut self, name: &Placed<String>) {
        if self.lists.contains(&name.value) || self.faulty.contains(&name.value) {
            return;
        }
        let mut names: Vec<&str> = self.lists.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.truncate(MOST_COMPARED);
        let suggestion = match nearest(&name.value, names) {
            Some(near) => format!("write \"{near}\""),
            None => "put it into the program's lists".to_owned(),
        };
        let message = format!("there is no list `{}`", name.value);
        self.tell(Code::UnknownList, &name.place, message, suggestion);
    }

    fn range(
        &mut self,
        fact: &Placed<FactName>,
        least: Option<&Placed<Value>>,
        below: Option<&Placed<Value>>,
    ) {
        let (Some(least), Some(below)) = (least, below) else {
            if least.is_none() && below.is_none() {
                self.nothing(&fact.place, "a range has one end or two");
            }
            return;
        };
        if let (Value::Money(one), Value::Money(other)) = (&least.value, &below.value)
            && one.currency != other.currency
        {
            let message = format!(
                "the range begins in {} and ends in {}",
                one.currency, other.currency
            );
            let suggestion = "write both ends in one currency, and a rule for each";
            self.tell(Code::TwoCurrencies, &below.place, message, suggestion);
        } else if least.value >= below.value {
            let message = "the range is empty: it ends where it begins, or before";
            let suggestion = "`at_least` is in it, and `below` is its end, which isn't";
            self.tell(Code::EmptyRange, &below.place, message, suggestion);
        }
    }

    fn route(&mut self, route: &Route) {
        if let Choice::Block(reason) = &route.choice.value {
            if reason.value.is_empty() {
                let suggestion = "write one: \"country_not_served\"";
                self.tell(
                    Code::Empty,
                    &reason.place,
                    "the caller gets no reason",
                    suggestion,
                );
            }
            if let Some(first) = route.then.first() {
                let message = "nothing comes after `block`";
                self.tell(Code::MisplacedKey, &first.place, message, "leave `then` out");
            }
            return;
        }
        let chosen = targets(route).count() - route.then.len();
        if chosen == 0 {
            let suggestion = "name a connector or an account";
            self.tell(
                Code::Empty,
                &route.choice.place,
                "there is no target in it",
                suggestion,
            );
        }
        let mut seen = HashSet::new();
        for (at, target) in targets(route).enumerate() {
            self.target(&target.value, &target.place);
            if seen.insert(&target.value) {
                continue;
            }
            let message = format!("`{}` stands before it already", target.value);
            let code = match at < chosen {
                true => Code::DuplicateTarget,
                false => Code::RepeatedTarget,
            };
            self.tell(code, &target.place, message, "leave it out here");
        }
        if let Choice::Split { shares, .. } = &route.choice.value {
            self.shares(shares, &route.choice.place);
        }
    }

    fn target(&mut self, target: &Target, place: &Place) {
        let named = ConnectorId::new(target.connector.as_str()).is_ok();
        if !named || target.account.as_deref() == Some("") {
            let message = format!("{:?} is no connector and no account", target.to_string());
            let lower = target.connector.to_ascii_lowercase();
            let suggestion = match ConnectorId::new(lower.as_str()) {
                Ok(_) if !named => format!("write \"{lower}\""),
                Ok(_) | Err(_) => {
                    "a connector is 1 to 32 of a-z, 0-9, - and _; an account is \"stripe/eu\"".to_owned()
                }
            };
            self.tell(Code::MalformedTarget, place, message, suggestion);
        }
    }

    fn shares(&mut self, shares: &[(Placed<Target>, Placed<u32>)], place: &Place) {
        if shares.is_empty() {
            return;
        }
        if shares.iter().all(|(_, weight)| weight.value == 0) {
            let suggestion = "give one of them a share of 1 or more";
            self.tell(Code::ZeroShares, place, "all shares are zero", suggestion);
            return;
        }
        for (target, weight) in shares.iter().filter(|(_, weight)| weight.value == 0) {
            let message = format!(
                "`{}` is chosen by nothing, and comes after the others",
                target.value
            );
            let suggestion = "give it a share, or put it into `then`";
            self.tell(Code::ZeroShare, &weight.place, message, suggestion);
        }
    }

    fn unused(&mut self, rules: &Rules, uses: &Uses, mentioned: &HashSet<String>) {
        for list in &rules.lists {
            let name = &list.name;
            if uses.facts(&name.value).is_empty() && !mentioned.contains(&name.value) {
                self.within = Some(format!("the list `{name}`", name = name.value));
                let message = format!("no rule uses the list `{}`", name.value);
                self.tell(Code::UnusedList, &name.place, message, "leave it out");
            }
        }
    }
}

/// Where the first test of a condition stands.
fn first_place(mut condition: &Condition) -> Option<&Place> {
    loop {
        condition = match condition {
            Condition::All(all) | Condition::Any(all) => all.first()?,
            Condition::Not(one) => one,
            Condition::Test(comparison) => return Some(&comparison.fact.place),
        };
    }
}
