//! Which rules no payment reaches: those whose condition contradicts itself, and those whose payments an earlier rule
//! takes all. Both are found only where that is plain: what isn't warned of may still be so.

mod contradiction;
mod subsets;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use self::subsets::Subsets;
use super::check::within_rule;
use super::diagnostics::{Code, Diagnostic};
use super::rule::{Comparison, Condition, MOST_LEVELS, MOST_RULES, Placed, Rules, Test, Value};

/// Warns of rules that no payment reaches, but for those of `broken`, which aren't as they were written; from the lists
/// that are `faulty` nothing follows.
pub(super) fn judge(
    rules: &Rules,
    broken: &HashSet<usize>,
    faulty: &HashSet<String>,
    found: &mut Vec<Diagnostic>,
) {
    let lists = contradiction::Lists::of(rules, faulty);
    let mut numbers = Numbers::default();
    let mut conjunctions = Vec::new();
    let sound = rules
        .rules
        .iter()
        .take(MOST_RULES)
        .enumerate()
        .filter(|(at, _)| !broken.contains(at));
    for (at, rule) in sound {
        let mut literals = Vec::new();
        flatten(&rule.when.0, Sign::Holds, &mut literals);
        let mut set: Vec<u32> = literals.iter().map(|literal| numbers.of(literal)).collect();
        set.sort_unstable();
        set.dedup();
        let opposed = set
            .iter()
            .any(|number| number % 2 == 0 && set.binary_search(&(number + 1)).is_ok());
        match opposed
            .then(|| "one of its conditions and its opposite must hold".to_owned())
            .or_else(|| contradiction::of(&literals, &lists))
        {
            Some(why) => {
                let message = format!("no payment can match the rule `{}`: {why}", rule.name.value);
                let suggestion = "correct its condition, or leave the rule out";
                found.push(warning(Code::ImpossibleRule, &rule.name, message, suggestion));
            }
            None => conjunctions.push((at, set)),
        }
    }
    shadowed(rules, conjunctions, &numbers, found);
}

fn warning(code: Code, name: &Placed<String>, message: String, suggestion: &str) -> Diagnostic {
    Diagnostic::new(code, name.place.clone(), message)
        .suggest(suggestion.to_owned())
        .within(Some(within_rule(&name.value)))
}

/// A rule that asks for all that an earlier one asks for, and maybe more, is never reached.
fn shadowed(
    rules: &Rules,
    conjunctions: Vec<(usize, Vec<u32>)>,
    numbers: &Numbers,
    found: &mut Vec<Diagnostic>,
) {
    // What few rules ask for comes first, so that a search soon ends.
    let mut uses = vec![0u32; 2 * numbers.known.len()];
    for number in conjunctions.iter().flat_map(|(_, set)| set) {
        uses[*number as usize] += 1;
    }
    let mut earlier = Subsets::for_sets(conjunctions.len());
    for (at, mut set) in conjunctions {
        set.sort_unstable_by_key(|number| (uses[*number as usize], *number));
        match earlier.subset_of(&set) {
            Some(first) => {
                let rule = &rules.rules[at];
                let message = format!(
                    "the rule `{}` is never reached: `{}` before it takes all its payments",
                    rule.name.value, rules.rules[first].name.value
                );
                let suggestion = "move it before that one, or leave it out";
                found.push(warning(Code::ShadowedRule, &rule.name, message, suggestion));
            }
            None => earlier.insert(&set, at),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Holds,
    Fails,
}

impl Sign {
    fn turned(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
        }
    }
}

/// What must hold, or fail, for a conjunction to hold.
struct Literal<'r> {
    sign: Sign,
    what: What<'r>,
}

enum What<'r> {
    Condition(&'r Condition),
    /// One end of a range, which is two conditions.
    AtLeast(&'r Comparison, &'r Value),
    Below(&'r Comparison, &'r Value),
}

/// The literals of a condition, read as a conjunction: all of all, and none of any.
fn flatten<'r>(condition: &'r Condition, sign: Sign, out: &mut Vec<Literal<'r>>) {
    match (condition, sign) {
        (Condition::All(all), Sign::Holds) | (Condition::Any(all), Sign::Fails) => {
            all.iter().for_each(|one| flatten(one, sign, out));
        }
        (Condition::All(one) | Condition::Any(one), _) if one.len() == 1 => flatten(&one[0], sign, out),
        (Condition::Not(one), _) => flatten(one, sign.turned(), out),
        (Condition::Test(comparison), Sign::Holds) => match &comparison.test {
            Test::Range { at_least, below } => {
                let least = at_least.as_ref().map(|end| What::AtLeast(comparison, &end.value));
                let below = below.as_ref().map(|end| What::Below(comparison, &end.value));
                let ends = least.into_iter().chain(below);
                out.extend(ends.map(|what| Literal { sign, what }));
            }
            Test::In(_) | Test::InList(_) | Test::StartsWith(_) | Test::Present => {
                let what = What::Condition(condition);
                out.push(Literal { sign, what });
            }
        },
        (Condition::All(_), Sign::Fails)
        | (Condition::Any(_), Sign::Holds)
        | (Condition::Test(_), Sign::Fails) => {
            let what = What::Condition(condition);
            out.push(Literal { sign, what });
        }
    }
}

/// A number for each literal: even where it must hold, and the next one where the same must fail.
#[derive(Default)]
struct Numbers {
    known: HashMap<String, u32>,
    text: String,
}

impl Numbers {
    fn of(&mut self, literal: &Literal<'_>) -> u32 {
        self.text.clear();
        write_literal(&literal.what, &mut self.text);
        let number = match self.known.get(&self.text) {
            Some(number) => *number,
            None => {
                let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX / 2);
                self.known.insert(self.text.clone(), next);
                next
            }
        };
        2 * number + u32::from(literal.sign == Sign::Fails)
    }
}

fn write_literal(what: &What<'_>, out: &mut String) {
    match what {
        What::Condition(condition) => write_condition(condition, out, 1),
        What::AtLeast(comparison, end) => write_end(comparison, ">", end, out),
        What::Below(comparison, end) => write_end(comparison, "<", end, out),
    }
}

fn write_end(comparison: &Comparison, which: &str, end: &Value, out: &mut String) {
    write_fact(comparison, out);
    out.push_str(which);
    write_value(end, out);
}

/// One text for conditions that are the same but for the order of their parts.
fn write_condition(condition: &Condition, out: &mut String, level: usize) {
    match condition {
        // What is deeper was refused.
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) if level > MOST_LEVELS => {}
        Condition::All(parts) => write_parts("all", parts, out, level),
        Condition::Any(parts) => write_parts("any", parts, out, level),
        Condition::Not(one) => {
            out.push('!');
            write_condition(one, out, level + 1);
        }
        Condition::Test(comparison) => {
            write_fact(comparison, out);
            write_test(&comparison.test, out);
        }
    }
}

fn write_parts(word: &str, parts: &[Condition], out: &mut String, level: usize) {
    let mut texts: Vec<String> = parts
        .iter()
        .map(|part| {
            let mut text = String::new();
            write_condition(part, &mut text, level + 1);
            text
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    out.push_str(word);
    write_sorted(&texts, out);
}

fn write_sorted(texts: &[String], out: &mut String) {
    out.push('(');
    for text in texts {
        out.push_str(text);
        out.push(';');
    }
    out.push(')');
}

/// The key of a pair may be any text, so that its length comes first.
fn write_fact(comparison: &Comparison, out: &mut String) {
    let fact = &comparison.fact.value;
    out.push_str(fact.as_str());
    if let super::facts::FactName::Metadata(key) = fact {
        write_text(key, out);
    }
}

fn write_test(test: &Test, out: &mut String) {
    match test {
        Test::In(values) => {
            out.push('=');
            if let [one] = values.as_slice() {
                write_value(&one.value, out);
                return;
            }
            let mut values: Vec<&Value> = values.iter().map(|value| &value.value).collect();
            values.sort_unstable();
            values.dedup();
            values.into_iter().for_each(|value| write_value(value, out));
        }
        Test::InList(name) => {
            out.push('@');
            write_text(&name.value, out);
        }
        Test::Range { at_least, below } => {
            for (which, end) in [('>', at_least), ('<', below)] {
                if let Some(end) = end {
                    out.push(which);
                    write_value(&end.value, out);
                }
            }
        }
        Test::StartsWith(beginnings) => {
            out.push('^');
            let mut texts: Vec<&str> = beginnings.iter().map(|one| one.value.as_str()).collect();
            texts.sort_unstable();
            texts.dedup();
            texts.into_iter().for_each(|text| write_text(text, out));
        }
        Test::Present => out.push('?'),
    }
}

fn write_text(text: &str, out: &mut String) {
    let _ = write!(out, "{}:{text}", text.len());
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Text(text) => {
            out.push('t');
            write_text(text, out);
        }
        Value::Number(number) => {
            let _ = write!(out, "n{number};");
        }
        Value::Money(money) => {
            let _ = write!(out, "m{}{};", money.currency.code(), money.minor);
        }
    }
}
