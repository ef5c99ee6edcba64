//! JSON as a tree: places are pointers (RFC 6901). Values are read as they stand, so that a key that stands twice is
//! found, and a number with decimals is told like any other fault.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::diagnostics::{Code, Diagnostic};
use super::super::rule::Place;
use super::{Entry, Form, Node};

/// How deep a document is read: more than twice as deep as conditions may stand.
const MOST_DEEP: usize = 80;

/// So many keys are compared with each other faster than hashed.
const FEW: usize = 16;

/// The tree, and keys that stand twice; or why it isn't JSON, or too deep.
pub(super) fn parse(text: &str) -> Result<(Node, Vec<Diagnostic>), Vec<Diagnostic>> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| vec![syntax("", &error)])?;
    let mut parser = Parser { found: Vec::new() };
    let node = parser.node(root, String::new(), 0);
    let is_whole = |one: &Diagnostic| one.code() == Code::DuplicateKey.as_str();
    match parser.found.iter().all(is_whole) {
        true => Ok((node, parser.found)),
        false => Err(parser.found),
    }
}

fn syntax(pointer: &str, error: &serde_json::Error) -> Diagnostic {
    let place = Place::Pointer(pointer.to_owned());
    Diagnostic::new(Code::Syntax, place, format!("this isn't JSON: {error}"))
}

struct Parser {
    found: Vec<Diagnostic>,
}

impl Parser {
    fn node(&mut self, raw: &RawValue, pointer: String, deep: usize) -> Node {
        let form = match raw.get().as_bytes().first() {
            Some(b'{' | b'[') if deep == MOST_DEEP => {
                let place = Place::Pointer(pointer.clone());
                let message = format!("the document is deeper than {MOST_DEEP}");
                self.found.push(Diagnostic::new(Code::TooDeep, place, message));
                Form::Other("something too deep")
            }
            Some(b'{') => self.table(raw, &pointer, deep),
            Some(b'[') => self.array(raw, &pointer, deep),
            Some(b'"') => self.scalar(raw, &pointer, Form::Text),
            Some(b't' | b'f') => self.scalar(raw, &pointer, Form::Flag),
            Some(b'n') | None => Form::Other("null"),
            Some(_digit) => number(raw.get()),
        };
        Node {
            form,
            place: Place::Pointer(pointer),
        }
    }

    fn table(&mut self, raw: &RawValue, pointer: &str, deep: usize) -> Form {
        let entries: Entries<'_> = match serde_json::from_str(raw.get()) {
            Ok(entries) => entries,
            Err(error) => return self.unread(pointer, &error),
        };
        let mut read: Vec<Entry> = Vec::with_capacity(entries.0.len());
        let many = entries.0.len() > FEW;
        let mut keys = HashSet::new();
        for (key, value) in entries.0 {
            let is_new = match many {
                true => keys.insert(key.clone()),
                false => !read.iter().any(|entry| entry.key == key),
            };
            let at = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            if is_new {
                let value = self.node(value, at.clone(), deep + 1);
                let at = Place::Pointer(at);
                read.push(Entry { key, at, value });
            } else {
                let twice = Diagnostic::new(
                    Code::DuplicateKey,
                    Place::Pointer(at),
                    format!("`{key}` stands here twice"),
                );
                self.found.push(twice.suggest("keep one of them".to_owned()));
            }
        }
        Form::Table(read)
    }

    fn array(&mut self, raw: &RawValue, pointer: &str, deep: usize) -> Form {
        match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(items) => {
                let items = items.into_iter().enumerate();
                let nodes = items.map(|(at, item)| self.node(item, format!("{pointer}/{at}"), deep + 1));
                Form::Array(nodes.collect())
            }
            Err(error) => self.unread(pointer, &error),
        }
    }

    fn scalar<'r, T: Deserialize<'r>>(
        &mut self,
        raw: &'r RawValue,
        pointer: &str,
        form: impl Fn(T) -> Form,
    ) -> Form {
        match serde_json::from_str(raw.get()) {
            Ok(value) => form(value),
            Err(error) => self.unread(pointer, &error),
        }
    }

    /// What stands as JSON does, and holds half of a surrogate pair.
    fn unread(&mut self, pointer: &str, error: &serde_json::Error) -> Form {
        self.found.push(syntax(pointer, error));
        Form::Other("a broken text")
    }
}

fn number(digits: &str) -> Form {
    match digits.parse() {
        Ok(integer) => Form::Integer(integer),
        Err(_) if digits.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) => {
            Form::Other("an integer of more than 64 bits")
        }
        Err(_) => Form::Other("a number with decimals"),
    }
}

/// All entries of an object, in order, those of equal keys too.
struct Entries<'r>(Vec<(String, &'r RawValue)>);

impl<'r> Deserialize<'r> for Entries<'r> {
    fn deserialize<D: Deserializer<'r>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'r> Visitor<'r> for All {
            type Value = Entries<'r>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Entries<'r>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Entries(all))
            }
        }

        deserializer.deserialize_map(All)
    }
}
