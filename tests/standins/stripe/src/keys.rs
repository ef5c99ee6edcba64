//! Idempotency keys (docs.stripe.com/api/idempotent_requests): a key belongs to an account; the first result of a
//! request whose execution began is kept for 24 hours, errors included, and comes back to whoever sends the same
//! request again.

use std::collections::HashMap;

use crate::form::Form;
use crate::render::{Answer, error};

const WINDOW_SECS: i64 = 24 * 3600;

#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<(String, String), Kept>);

#[derive(Debug)]
struct Kept {
    path: String,
    fields: Vec<(String, String)>,
    at: i64,
    result: Option<Answer>,
}

/// What is to become of a request with a key.
pub(crate) enum Start {
    /// It is new, and its key is in use from now on.
    Go,
    /// It isn't: this is the answer.
    Known(Answer),
}

impl Keys {
    pub(crate) fn start(&mut self, account: &str, key: &str, path: &str, form: &Form, now: i64) -> Start {
        let slot = (account.to_owned(), key.to_owned());
        self.0
            .retain(|_, kept| kept.result.is_none() || now - kept.at < WINDOW_SECS);
        let Some(kept) = self.0.get(&slot) else {
            let fresh = Kept {
                path: path.to_owned(),
                fields: form.sorted(),
                at: now,
                result: None,
            };
            self.0.insert(slot, fresh);
            return Start::Go;
        };
        Start::Known(match &kept.result {
            _ if kept.path != path => error(
                400,
                "idempotency_error",
                None,
                "Keys for idempotent requests can only be used for the same endpoint they were first used for.",
            ),
            _ if kept.fields != form.sorted() => error(
                400,
                "idempotency_error",
                None,
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            ),
            None => error(
                409,
                "idempotency_error",
                Some("idempotency_key_in_use"),
                "There is currently another in-progress request using this key.",
            ),
            Some(result) => result.clone().replayed(),
        })
    }

    /// Keeps the result of a request whose execution began, and forgets the others.
    pub(crate) fn finish(&mut self, account: &str, key: &str, answer: &Answer) {
        let slot = (account.to_owned(), key.to_owned());
        if !answer.began {
            self.0.remove(&slot);
        } else if let Some(kept) = self.0.get_mut(&slot) {
            kept.result = Some(answer.clone());
        }
    }
}
