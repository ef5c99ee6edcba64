//! The tree as rules, as far as it can be read: a part at fault is told and left out, and the reading goes on.

use super::super::diagnostics::{Code, Diagnostic};
use super::super::nearest::nearest;
use super::super::rule::{
    Choice, Condition, List, Place, Placed, Route, Rule, Rules, StickyBy, Target, Value, When,
};
use super::{Draft, Entry, Form, Node, VERSION};

const PROGRAM_KEYS: [&str; 5] = ["version", "name", "lists", "rules", "otherwise"];
const ROUTE_KEYS: [&str; 8] = [
    "ordered",
    "split",
    "sticky_by",
    "best_success_rate",
    "cheapest",
    "healthiest_first",
    "block",
    "then",
];
const RULE_KEYS: [&str; 2] = ["name", "when"];
const STICKY: [(&str, StickyBy); 2] = [("intent", StickyBy::Intent), ("customer", StickyBy::Customer)];

/// Reads a program; `found` is what was wrong with its document.
pub(super) fn read(root: Node, found: Vec<Diagnostic>) -> Draft {
    let nothing = Rules {
        name: unnamed(&root.place),
        lists: Vec::new(),
        rules: Vec::new(),
        otherwise: unread_route(&root.place),
    };
    let mut reader = Reader {
        draft: Draft {
            found,
            ..Draft::built(nothing)
        },
    };
    reader.program(&root);
    reader.draft
}

pub(super) struct Reader {
    pub(super) draft: Draft,
}

/// Stands for a route that can't be read, which is told: the program is refused.
fn unread_route(place: &Place) -> Route {
    let reason = Placed {
        value: "unread".to_owned(),
        place: place.clone(),
    };
    Route {
        choice: Placed {
            value: Choice::Block(reason),
            place: place.clone(),
        },
        then: Vec::new(),
    }
}

/// Where a table begins: what it lacks is told there.
fn head(place: &Place) -> Place {
    match place {
        Place::Bytes(range) => Place::Bytes(range.start..range.end.min(range.start + 1)),
        Place::Built | Place::Pointer(_) => place.clone(),
    }
}

impl Reader {
    pub(super) fn fault(
        &mut self,
        code: Code,
        place: &Place,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        let fault = Diagnostic::new(code, place.clone(), message).suggest(suggestion.into());
        self.draft.found.push(fault);
    }

    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str, example: &str) {
        let message = format!("this is {}, and {wanted} belongs here", node.form.called());
        self.fault(Code::WrongType, &node.place, message, format!("write {example}"));
    }

    pub(super) fn unknown_key(&mut self, entry: &Entry, known: &[&str]) {
        let suggestion = match nearest(&entry.key, known.iter().copied()) {
            Some(near) => format!("write `{near}`"),
            None => format!("the keys here are {}", known.join(", ")),
        };
        let message = format!("`{}` is no key here", entry.key);
        self.fault(Code::UnknownKey, &entry.at, message, suggestion);
    }

    pub(super) fn text(&mut self, node: &Node, example: &str) -> Option<Placed<String>> {
        match &node.form {
            Form::Text(text) => Some(Placed {
                value: text.clone(),
                place: node.place.clone(),
            }),
            Form::Table(_) | Form::Array(_) | Form::Integer(_) | Form::Flag(_) | Form::Other(_) => {
                self.wrong_type(node, "a text", example);
                None
            }
        }
    }

    fn table<'n>(&mut self, node: &'n Node, example: &str) -> Option<&'n [Entry]> {
        match &node.form {
            Form::Table(entries) => Some(entries),
            Form::Array(_) | Form::Text(_) | Form::Integer(_) | Form::Flag(_) | Form::Other(_) => {
                self.wrong_type(node, "a table", example);
                None
            }
        }
    }

    pub(super) fn array<'n>(&mut self, node: &'n Node, example: &str) -> Option<&'n [Node]> {
        match &node.form {
            Form::Array(items) => Some(items),
            Form::Table(_) | Form::Text(_) | Form::Integer(_) | Form::Flag(_) | Form::Other(_) => {
                self.wrong_type(node, "an array", example);
                None
            }
        }
    }

    /// A value to compare with.
    pub(super) fn value(&mut self, node: &Node) -> Option<Placed<Value>> {
        let value = match &node.form {
            Form::Text(text) => Value::Text(text.clone()),
            Form::Integer(number) => Value::Number(*number),
            Form::Table(_) | Form::Array(_) | Form::Flag(_) | Form::Other(_) => {
                self.wrong_type(node, "a text or an integer", "a value to compare with");
                return None;
            }
        };
        Some(Placed {
            value,
            place: node.place.clone(),
        })
    }

    pub(super) fn values(&mut self, items: &[Node]) -> Vec<Placed<Value>> {
        items.iter().filter_map(|item| self.value(item)).collect()
    }

    fn missing(&mut self, place: &Place, key: &str, suggestion: &str) {
        let message = format!("`{key}` is missing");
        self.fault(Code::MissingKey, &head(place), message, suggestion);
    }

    fn program(&mut self, root: &Node) {
        let Some(entries) = self.table(root, "a table with `version`, `name`, `rules` and `otherwise`")
        else {
            return;
        };
        for entry in entries {
            match entry.key.as_str() {
                "version" => self.version(&entry.value),
                "name" => {
                    if let Some(name) = self.text(&entry.value, "the program's name") {
                        self.draft.rules.name = name;
                    }
                }
                "lists" => self.lists(&entry.value),
                "rules" => self.rules(&entry.value),
                "otherwise" => {
                    if let Some(route) = self.table(&entry.value, "`{ ordered = [\"acme\"] }`") {
                        self.draft.rules.otherwise = self.route(route, &entry.value.place, &[]);
                    }
                }
                _other => self.unknown_key(entry, &PROGRAM_KEYS),
            }
        }
        let lacks = |key: &str| !entries.iter().any(|entry| entry.key == key);
        if lacks("version") {
            self.missing(&root.place, "version", "write `version = 1`");
        }
        if lacks("name") {
            self.missing(&root.place, "name", "write `name = \"…\"`");
        }
        if lacks("otherwise") {
            self.missing(
                &root.place,
                "otherwise",
                "write `otherwise = { ordered = […] }`: where all other payments go",
            );
        }
    }

    fn version(&mut self, node: &Node) {
        match node.form {
            Form::Integer(VERSION) => {}
            Form::Integer(other) => {
                let message = format!("version {other} of programs isn't known");
                self.fault(Code::UnknownVersion, &node.place, message, "write 1");
            }
            Form::Table(_) | Form::Array(_) | Form::Text(_) | Form::Flag(_) | Form::Other(_) => {
                self.wrong_type(node, "an integer", "1");
            }
        }
    }

    fn lists(&mut self, node: &Node) {
        for entry in self.table(node, "names with their values").unwrap_or_default() {
            let Some(items) = self.array(&entry.value, "`[\"FR\", \"DE\"]`") else {
                self.draft.faulty.insert(entry.key.clone());
                continue;
            };
            let faults = self.draft.found.len();
            let values = self.values(items);
            if self.draft.found.len() > faults {
                self.draft.faulty.insert(entry.key.clone());
                if values.is_empty() {
                    continue;
                }
            }
            self.draft.rules.lists.push(List {
                name: Placed {
                    value: entry.key.clone(),
                    place: entry.at.clone(),
                },
                values,
            });
        }
    }

    fn rules(&mut self, node: &Node) {
        for item in self
            .array(node, "`[{ name = \"…\", when = { … }, ordered = […] }]`")
            .unwrap_or_default()
        {
            let Some(entries) = self.table(item, "`{ name = \"…\", ordered = […] }`") else {
                continue;
            };
            let faults = self.draft.found.len();
            let rule = self.rule(entries, &item.place);
            if self.draft.found.len() > faults {
                self.draft.broken.insert(self.draft.rules.rules.len());
            }
            self.draft.rules.rules.push(rule);
        }
    }

    fn rule(&mut self, entries: &[Entry], place: &Place) -> Rule {
        let mut name = None;
        let mut when = Condition::All(Vec::new());
        for entry in entries {
            match entry.key.as_str() {
                "name" => name = self.text(&entry.value, "the rule's name"),
                "when" => when = self.when(&entry.value),
                _other => {}
            }
        }
        if !entries.iter().any(|entry| entry.key == "name") {
            self.missing(place, "name", "write `name = \"…\"`");
        }
        Rule {
            name: name.unwrap_or_else(|| unnamed(place)),
            when: When(when),
            route: self.route(entries, place, &RULE_KEYS),
        }
    }

    /// Reads a route off the keys of a table, which may have `others` too.
    fn route(&mut self, entries: &[Entry], place: &Place, others: &[&str]) -> Route {
        let known: Vec<&str> = others.iter().chain(&ROUTE_KEYS).copied().collect();
        let mut choices: Vec<(&Entry, Option<Choice>)> = Vec::new();
        let mut sticky: Option<(&Entry, StickyBy)> = None;
        let mut then = Vec::new();
        for entry in entries {
            let key = entry.key.as_str();
            match key {
                "sticky_by" => sticky = Some((entry, self.sticky_by(&entry.value))),
                "then" => then = self.then(&entry.value),
                _choice if ROUTE_KEYS.contains(&key) => choices.push((entry, self.choice(entry))),
                _other if others.contains(&key) => {}
                _other => self.unknown_key(entry, &known),
            }
        }
        if let [_, (second, _), ..] = choices.as_slice() {
            let message = format!("`{}` is a second route", second.key);
            self.fault(Code::TwoRoutes, &second.at, message, "keep one of them");
        }
        let splits = choices.iter().any(|(entry, _)| entry.key == "split");
        if let Some((entry, _)) = sticky.filter(|_| !splits) {
            let message = "`sticky_by` means something beside `split` alone";
            self.fault(Code::MisplacedKey, &entry.at, message, "leave it out");
        }
        let Some((entry, choice)) = choices.into_iter().next() else {
            let suggestion = "write `ordered = […]`, or another route";
            self.fault(
                Code::NoRoute,
                &head(place),
                "no route says where its payments go",
                suggestion,
            );
            return unread_route(place);
        };
        let Some(mut choice) = choice else {
            return unread_route(place);
        };
        if let (Choice::Split { sticky_by, .. }, Some((_, by))) = (&mut choice, sticky) {
            *sticky_by = by;
        }
        Route {
            choice: Placed {
                value: choice,
                place: entry.at.clone(),
            },
            then,
        }
    }

    fn choice(&mut self, entry: &Entry) -> Option<Choice> {
        let node = &entry.value;
        Some(match entry.key.as_str() {
            "split" => Choice::Split {
                shares: self.shares(node)?,
                sticky_by: StickyBy::default(),
            },
            "block" => Choice::Block(self.text(node, "a reason: \"country_not_served\"")?),
            "best_success_rate" => Choice::BestSuccessRate(self.targets(node)?),
            "cheapest" => Choice::Cheapest(self.targets(node)?),
            "healthiest_first" => Choice::HealthiestFirst(self.targets(node)?),
            _ordered => Choice::Ordered(self.targets(node)?),
        })
    }

    /// `None`: nothing of it could be read, and that is told.
    fn targets(&mut self, node: &Node) -> Option<Vec<Placed<Target>>> {
        let items = self.array(node, "`[\"acme\", \"stripe/eu\"]`")?;
        let targets: Vec<Placed<Target>> = items.iter().filter_map(|item| self.target(item)).collect();
        (items.is_empty() || !targets.is_empty()).then_some(targets)
    }

    fn target(&mut self, node: &Node) -> Option<Placed<Target>> {
        self.text(node, "a connector or an account: \"stripe/eu\"")
            .map(|text| Placed {
                value: Target::of(&text.value),
                place: text.place,
            })
    }

    fn then(&mut self, node: &Node) -> Vec<Placed<Target>> {
        let targets = self.targets(node);
        if targets.as_ref().is_some_and(Vec::is_empty) {
            self.fault(
                Code::Empty,
                &node.place,
                "nothing comes after it here",
                "leave `then` out",
            );
        }
        targets.unwrap_or_default()
    }

    fn shares(&mut self, node: &Node) -> Option<Vec<(Placed<Target>, Placed<u32>)>> {
        let entries = self.table(node, "`{ acme = 70, \"stripe/eu\" = 30 }`")?;
        let shares: Vec<_> = entries.iter().filter_map(|entry| self.share(entry)).collect();
        (entries.is_empty() || !shares.is_empty()).then_some(shares)
    }

    fn share(&mut self, entry: &Entry) -> Option<(Placed<Target>, Placed<u32>)> {
        let target = Placed {
            value: Target::of(&entry.key),
            place: entry.at.clone(),
        };
        let node = &entry.value;
        let Form::Integer(number) = node.form else {
            self.wrong_type(node, "an integer", "a share: 70");
            return None;
        };
        let Ok(weight) = u32::try_from(number) else {
            let message = format!("{number} is no share");
            self.fault(
                Code::OutOfRange,
                &node.place,
                message,
                format!("write 0 to {}", u32::MAX),
            );
            return None;
        };
        let weight = Placed {
            value: weight,
            place: node.place.clone(),
        };
        Some((target, weight))
    }

    fn sticky_by(&mut self, node: &Node) -> StickyBy {
        let Some(text) = self.text(node, "\"customer\" or \"intent\"") else {
            return StickyBy::default();
        };
        match STICKY.iter().find(|(word, _)| *word == text.value) {
            Some((_, by)) => *by,
            None => {
                let message = format!("{:?} is nothing that a split sticks by", text.value);
                let suggestion = "write \"customer\" or \"intent\"";
                self.fault(Code::UnknownWord, &text.place, message, suggestion);
                StickyBy::default()
            }
        }
    }
}

/// Stands for a name that can't be read, which is told. No document's key or text has a line break alone.
fn unnamed(place: &Place) -> Placed<String> {
    Placed {
        value: UNREAD.to_owned(),
        place: place.clone(),
    }
}

/// What a name is that couldn't be read.
pub(in super::super) const UNREAD: &str = "\n";
