//! A program as a document: TOML and JSON become one tree, and the tree becomes rules. Whether the rules are any good is
//! judged by the one check that a builder's rules pass too.

mod condition;
mod json;
mod reader;
#[cfg(feature = "toml")]
mod toml;
mod write;

use std::collections::HashSet;

pub(super) use reader::UNREAD;
pub(super) use write::canonical;

use super::diagnostics::{Code, Diagnostic};
use super::rule::{MOST_BYTES, Place, Rules};

/// The version of the form that is read and written.
const VERSION: i64 = 1;

/// Rules that were read, though some of them may be at fault.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) rules: Rules,
    /// What was found at fault so far.
    pub(super) found: Vec<Diagnostic>,
    /// The rules that aren't as they were written, by their places: nothing follows from their conditions.
    pub(super) broken: HashSet<usize>,
    /// Lists that are used in what couldn't be read.
    pub(super) mentioned: HashSet<String>,
    /// Lists that are there, and at fault: nothing follows from their values.
    pub(super) faulty: HashSet<String>,
}

impl Draft {
    /// Of rules that weren't read from a document.
    pub(super) fn built(rules: Rules) -> Self {
        Self {
            rules,
            found: Vec::new(),
            broken: HashSet::new(),
            mentioned: HashSet::new(),
            faulty: HashSet::new(),
        }
    }
}

/// Reads a TOML document as far as it can be read.
#[cfg(feature = "toml")]
pub(super) fn from_toml(text: &str) -> Result<Draft, Vec<Diagnostic>> {
    limited(text, Place::Bytes(0..0))?;
    let (root, found) = toml::parse(text)?;
    Ok(reader::read(root, found))
}

/// Reads a JSON document as far as it can be read.
pub(super) fn from_json(text: &str) -> Result<Draft, Vec<Diagnostic>> {
    limited(text, Place::Pointer(String::new()))?;
    from_stored(text)
}

/// Reads JSON of any length.
pub(super) fn from_stored(text: &str) -> Result<Draft, Vec<Diagnostic>> {
    let (root, found) = json::parse(text)?;
    Ok(reader::read(root, found))
}

fn limited(text: &str, place: Place) -> Result<(), Vec<Diagnostic>> {
    match text.len() > MOST_BYTES {
        false => Ok(()),
        true => {
            let message = format!("the document has {} bytes, and may have {MOST_BYTES}", text.len());
            let suggestion = "name values that rules share in `lists`".to_owned();
            Err(vec![
                Diagnostic::new(Code::TooLarge, place, message).suggest(suggestion),
            ])
        }
    }
}

/// A part of a document, whichever form it has.
#[derive(Debug)]
struct Node {
    form: Form,
    place: Place,
}

#[derive(Debug)]
enum Form {
    Table(Vec<Entry>),
    Array(Vec<Node>),
    Text(String),
    Integer(i64),
    Flag(bool),
    /// What no program has, by what it is called: a number with decimals, a date, null.
    Other(&'static str),
}

/// A key with its value.
#[derive(Debug)]
struct Entry {
    key: String,
    at: Place,
    value: Node,
}

impl Form {
    /// As messages call it.
    fn called(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::Array(_) => "an array",
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Flag(_) => "true or false",
            Self::Other(called) => called,
        }
    }
}
