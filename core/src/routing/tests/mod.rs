//! Programs as documents: what is read, what is written, and what is told of those at fault.

mod codes;
mod faults;
mod forms;
mod limits;
mod random;
mod reach;

use super::{Diagnostics, Program};

/// The codes of all that is told, in order.
fn codes(found: &Diagnostics) -> Vec<&'static str> {
    found.iter().map(|one| one.code()).collect()
}

/// A JSON program of these rules, with the lists and routes that most tests need.
fn json_of(rules: &str) -> String {
    format!(r#"{{"version": 1, "name": "test", "rules": [{rules}], "otherwise": {{"ordered": ["acme"]}}}}"#)
}

/// What is told of a JSON program, whether it is taken or not.
fn told(json: &str) -> Diagnostics {
    match Program::from_json(json) {
        Ok(program) => program.warnings().clone(),
        Err(refused) => refused,
    }
}
