//! TOML as a tree: places are ranges of bytes.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::diagnostics::{Code, Diagnostic};
use super::super::rule::Place;
use super::{Entry, Form, Node};

/// What isn't TOML in so many places isn't meant to be.
const MOST_ERRORS: usize = 100;

/// The tree, and keys that stand twice; or all that isn't TOML.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let found: Vec<Diagnostic> = errors.iter().take(MOST_ERRORS).map(diagnostic).collect();
    if found.iter().any(|one| one.code() != Code::DuplicateKey.as_str()) {
        return Err(found);
    }
    let node = Node {
        form: table(root.into_inner()),
        place: Place::Bytes(0..0),
    };
    Ok((node, found))
}

fn diagnostic(error: &toml::de::Error) -> Diagnostic {
    let place = Place::Bytes(error.span().unwrap_or(0..0));
    match error.message() {
        "duplicate key" => Diagnostic::new(Code::DuplicateKey, place, "this key stands here twice")
            .suggest("keep one of them".to_owned()),
        message => Diagnostic::new(Code::Syntax, place, format!("this isn't TOML: {message}")),
    }
}

/// The parser sorts by key; the document's order says which of two targets comes first.
fn table(table: DeTable<'_>) -> Form {
    let mut entries: Vec<Entry> = table
        .into_iter()
        .map(|(key, value)| Entry {
            at: Place::Bytes(key.span()),
            key: key.into_inner().into_owned(),
            value: node(value),
        })
        .collect();
    entries.sort_by(|one, other| one.at.cmp_in_document(&other.at));
    Form::Table(entries)
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let place = Place::Bytes(value.span());
    let form = match value.into_inner() {
        DeValue::String(text) => Form::Text(text.into_owned()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(integer) => Form::Integer(integer),
            Err(_) => Form::Other("an integer of more than 64 bits"),
        },
        DeValue::Float(_) => Form::Other("a number with decimals"),
        DeValue::Boolean(flag) => Form::Flag(flag),
        DeValue::Datetime(_) => Form::Other("a date or time of TOML's"),
        DeValue::Array(items) => Form::Array(items.into_iter().map(node).collect()),
        DeValue::Table(inner) => table(inner),
    };
    Node { form, place }
}
