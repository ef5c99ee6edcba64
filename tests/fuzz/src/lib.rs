//! Whatever a stranger, a processor or a broken disk may hand to paymux, as functions from bytes. A target panics where
//! a promise is broken; what the bytes are is its own to say.
//!
//! `fuzz_targets/` hands them to libFuzzer, `tests/run.rs` runs them on stable over `corpus/` and mutations of it.

mod actions;
mod answers;
mod input;
mod machines;
mod programs;
mod rows;
mod texts;
mod webhooks;

pub use actions::{actions, decided, hold};
pub use answers::{own_answers, sandbox_answers, stripe_answers};
pub use machines::{intent_machine, refund_machine, session_machine};
pub use programs::routing_program;
pub use rows::{cursor, stored_intent, stored_notice, stored_record, stored_refund, stored_session};
pub use texts::{currency, idempotency_header, ids, money, new_intent, time};
pub use webhooks::{inbound, sandbox_webhook, signature, stripe_webhook};

/// A target: its name, which is that of its file and of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("actions", actions),
    ("currency", currency),
    ("cursor", cursor),
    ("idempotency_header", idempotency_header),
    ("ids", ids),
    ("inbound", inbound),
    ("intent_machine", intent_machine),
    ("money", money),
    ("new_intent", new_intent),
    ("own_answers", own_answers),
    ("refund_machine", refund_machine),
    ("routing_program", routing_program),
    ("sandbox_answers", sandbox_answers),
    ("sandbox_webhook", sandbox_webhook),
    ("session_machine", session_machine),
    ("signature", signature),
    ("stored_intent", stored_intent),
    ("stored_notice", stored_notice),
    ("stored_record", stored_record),
    ("stored_refund", stored_refund),
    ("stored_session", stored_session),
    ("stripe_answers", stripe_answers),
    ("stripe_webhook", stripe_webhook),
    ("time", time),
];
