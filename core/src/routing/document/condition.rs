//! Conditions of a document: a table of facts with their tests, all of which have to hold.

use super::super::diagnostics::Code;
use super::super::facts::FactName;
use super::super::nearest::nearest;
use super::super::rule::{Comparison, Condition, Place, Placed, Test};
use super::reader::Reader;
use super::{Entry, Form, Node};

const TESTS: [&str; 6] = ["in", "in_list", "at_least", "below", "starts_with", "present"];
const NESTS: [&str; 3] = ["all", "any", "not"];

impl Reader {
    /// A table of one condition is that condition; of several, all of them; of none, always.
    pub(super) fn when(&mut self, node: &Node) -> Condition {
        let Form::Table(entries) = &node.form else {
            self.wrong_type(node, "a table", "`{ currency = \"EUR\" }`");
            return Condition::All(Vec::new());
        };
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            self.entry(entry, &mut all);
        }
        match all.pop() {
            Some(one) if all.is_empty() => one,
            Some(last) => {
                all.push(last);
                Condition::All(all)
            }
            None => Condition::All(all),
        }
    }

    fn entry(&mut self, entry: &Entry, all: &mut Vec<Condition>) {
        let key = entry.key.as_str();
        if let Some(fact) = FactName::ALL.iter().find(|fact| fact.as_str() == key) {
            all.extend(self.compared(fact.clone(), &entry.at, &entry.value));
            return;
        }
        match (key, &entry.value.form) {
            ("all", _) => all.extend(self.group(&entry.value).map(Condition::All)),
            ("any", _) => all.extend(self.group(&entry.value).map(Condition::Any)),
            ("not", _) => {
                let inner = self.when(&entry.value);
                all.push(Condition::Not(Box::new(inner)));
            }
            ("metadata", Form::Table(pairs)) => {
                for pair in pairs {
                    let fact = FactName::Metadata(pair.key.as_str().into());
                    all.extend(self.compared(fact, &pair.at, &pair.value));
                }
            }
            ("metadata", _) => {
                self.wrong_type(&entry.value, "a table of keys", "`metadata.channel = \"web\"`");
            }
            _fact_or_unknown => match key.strip_prefix("metadata.") {
                Some(key) => {
                    let fact = FactName::Metadata(key.into());
                    all.extend(self.compared(fact, &entry.at, &entry.value));
                }
                None => self.unknown_fact(entry),
            },
        }
    }

    fn unknown_fact(&mut self, entry: &Entry) {
        let facts = FactName::ALL.iter().map(FactName::as_str);
        let suggestion = match nearest(&entry.key, facts.chain(NESTS).chain(["metadata"])) {
            Some(near) => format!("write `{near}`"),
            None => "a pair of your own is `metadata.KEY`".to_owned(),
        };
        let message = format!("`{}` is no fact", entry.key);
        self.fault(Code::UnknownFact, &entry.at, message, suggestion);
        // What it was to be compared with is in use all the same.
        if let Form::Table(tests) = &entry.value.form {
            let lists = tests.iter().filter(|test| test.key == "in_list");
            for test in lists {
                if let Form::Text(name) = &test.value.form {
                    self.draft.mentioned.insert(name.clone());
                }
            }
        }
    }

    fn group(&mut self, node: &Node) -> Option<Vec<Condition>> {
        let items = self.array(node, "`[{ currency = \"EUR\" }, { mcc = 5411 }]`")?;
        if items.is_empty() {
            let suggestion = "put conditions into it, or leave it out";
            self.fault(
                Code::Empty,
                &node.place,
                "there is no condition in it",
                suggestion,
            );
            return None;
        }
        Some(items.iter().map(|item| self.when(item)).collect())
    }

    fn compared(&mut self, fact: FactName, at: &Place, node: &Node) -> Option<Condition> {
        let fact = Placed {
            value: fact,
            place: at.clone(),
        };
        let test = match &node.form {
            Form::Table(tests) => return self.tested(fact, tests, node),
            Form::Array(items) => {
                let values = self.values(items);
                if values.is_empty() && !items.is_empty() {
                    return None;
                }
                Test::In(values)
            }
            Form::Text(_) | Form::Integer(_) | Form::Flag(_) | Form::Other(_) => {
                Test::In(vec![self.value(node)?])
            }
        };
        Some(Condition::Test(Comparison { fact, test }))
    }

    fn tested(&mut self, fact: Placed<FactName>, tests: &[Entry], node: &Node) -> Option<Condition> {
        let mut known = tests.iter().filter(|test| TESTS.contains(&test.key.as_str()));
        for unknown in tests.iter().filter(|test| !TESTS.contains(&test.key.as_str())) {
            self.unknown_key(unknown, &TESTS);
        }
        let Some(first) = known.next() else {
            if tests.is_empty() {
                let suggestion = format!("the tests are {}", TESTS.join(", "));
                self.fault(
                    Code::Empty,
                    &node.place,
                    format!("`{fact}` is tested for nothing", fact = fact.value),
                    suggestion,
                );
            }
            return None;
        };
        if is_end(first) {
            return self.range(fact, first, known.collect());
        }
        if let Some(second) = known.next() {
            self.two_tests(second);
        }
        self.one_test(fact, first)
    }

    fn two_tests(&mut self, second: &Entry) {
        let message = format!("`{}` is a second test in one table", second.key);
        let suggestion = "put one of them into `all = [{ … }, { … }]`";
        self.fault(Code::TwoTests, &second.at, message, suggestion);
    }

    fn range(&mut self, fact: Placed<FactName>, first: &Entry, others: Vec<&Entry>) -> Option<Condition> {
        let (mut at_least, mut below) = (None, None);
        let mut read = true;
        for end in std::iter::once(first).chain(others) {
            if !is_end(end) {
                self.two_tests(end);
                continue;
            }
            let value = self.value(&end.value);
            read &= value.is_some();
            match end.key.as_str() {
                "at_least" => at_least = value,
                _below => below = value,
            }
        }
        let test = Test::Range { at_least, below };
        read.then_some(Condition::Test(Comparison { fact, test }))
    }

    fn one_test(&mut self, fact: Placed<FactName>, entry: &Entry) -> Option<Condition> {
        let node = &entry.value;
        let test = match entry.key.as_str() {
            "in" => {
                let items = self.array(node, "`[\"EUR\", \"USD\"]`")?;
                let values = self.values(items);
                if values.is_empty() && !items.is_empty() {
                    return None;
                }
                Test::In(values)
            }
            "in_list" => Test::InList(self.text(node, "the name of a list")?),
            "starts_with" => Test::StartsWith(self.beginnings(node)?),
            _present => {
                let Form::Flag(present) = node.form else {
                    self.wrong_type(node, "true or false", "true");
                    return None;
                };
                let known = Condition::Test(Comparison {
                    fact,
                    test: Test::Present,
                });
                return Some(match present {
                    true => known,
                    false => Condition::Not(Box::new(known)),
                });
            }
        };
        Some(Condition::Test(Comparison { fact, test }))
    }

    fn beginnings(&mut self, node: &Node) -> Option<Vec<Placed<String>>> {
        let example = "a text, in quotes: \"4\"";
        match &node.form {
            Form::Array(items) => {
                let texts: Vec<Placed<String>> =
                    items.iter().filter_map(|item| self.text(item, example)).collect();
                (items.is_empty() || !texts.is_empty()).then_some(texts)
            }
            Form::Table(_) | Form::Text(_) | Form::Integer(_) | Form::Flag(_) | Form::Other(_) => {
                self.text(node, example).map(|text| vec![text])
            }
        }
    }
}

fn is_end(test: &Entry) -> bool {
    ["at_least", "below"].contains(&test.key.as_str())
}
