//! The clause about what can be printed.

use std::fmt;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use paymux_core::connector::Request;

use super::ConnectorSuite;
use super::report::{Clause, Report};

/// What is shorter might stand anywhere.
const SHORTEST: usize = 6;

impl ConnectorSuite {
    /// Whether `shown` and the requests print nothing of what the requests authenticate themselves with.
    pub(super) fn silent(&self, shown: &dyn fmt::Debug, sent: &[Request], report: &mut Report) {
        let from_headers = sent.iter().flat_map(|request| {
            request
                .headers()
                .iter()
                .filter(|(name, value)| **name == AUTHORIZATION || value.is_sensitive())
        });
        let words = from_headers.filter_map(|(_, value)| word(value));
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).chain(words).collect();
        if secrets.is_empty() {
            report.not_asked(Clause::Silent, "no secret is known: name one with `.secret(…)`");
            return;
        }
        let printed = format!("{shown:?} {shown:#?} {sent:?} {sent:#?}");
        let found = secrets.iter().any(|secret| printed.contains(secret));
        report.note(
            Clause::Silent,
            match found {
                true => Err("its `Debug` shows a secret".into()),
                false => Ok(()),
            },
        );
    }
}

/// The secret part of `Bearer …` and the like.
fn word(value: &HeaderValue) -> Option<&str> {
    let word = value.to_str().ok()?.split_ascii_whitespace().last()?;
    (word.len() >= SHORTEST).then_some(word)
}
