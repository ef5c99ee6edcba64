//! What was reached: a simulation that never got somewhere has shown nothing about it.

use std::collections::BTreeMap;

use paymux_core::store::RowKind;

use crate::faults::Fault;
use crate::schedule::Boundary;
use crate::wire::Act;

/// Counts of what was reached, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Coverage {
    pub(crate) fn note(&mut self, kind: &'static str, name: &str) {
        self.add(kind, name, 1);
    }

    fn add(&mut self, kind: &'static str, name: &str, times: u64) {
        let names = self.counts.entry(kind).or_default();
        match names.get_mut(name) {
            Some(count) => *count += times,
            None => {
                names.insert(name.to_owned(), times);
            }
        }
    }

    pub(crate) fn state(&mut self, kind: RowKind, state: &str) {
        self.note(kind_word(kind), state);
    }

    pub(crate) fn transition(&mut self, kind: RowKind, from: &str, to: &str) {
        if from != to {
            let word = match kind {
                RowKind::Refund => "refund turns",
                RowKind::Session => "session turns",
                _ => "payment turns",
            };
            self.note(word, &format!("{from} > {to}"));
        }
    }

    pub(crate) fn event(&mut self, kind: &str) {
        self.note("event", kind);
    }

    pub(crate) fn act(&mut self, act: Act) {
        self.note("call", &format!("{act:?}"));
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.note("fault", &format!("{fault:?}"));
    }

    pub(crate) fn dropped(&mut self, at: Boundary) {
        self.note("crash", at.as_str());
    }

    /// Adds another world's counts.
    pub fn merge(&mut self, other: &Self) {
        for (kind, names) in &other.counts {
            for (name, count) in names {
                self.add(kind, name, *count);
            }
        }
    }

    /// Everything that was reached, by kind.
    pub fn counts(&self) -> &BTreeMap<&'static str, BTreeMap<String, u64>> {
        &self.counts
    }

    /// What a run of many worlds must have reached and hasn't.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let mut want = |kind: &'static str, name: &str| {
            let reached = self
                .counts
                .get(kind)
                .is_some_and(|names| names.contains_key(name));
            if !reached {
                missing.push(format!("{kind}: {name}"));
            }
        };
        for fault in Fault::ALL {
            want("fault", &format!("{fault:?}"));
        }
        for boundary in Boundary::ALL {
            want("crash", boundary.as_str());
        }
        for (kind, names) in REQUIRED {
            for name in *names {
                want(kind, name);
            }
        }
        missing
    }
}

fn kind_word(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Refund => "refund",
        RowKind::Session => "session",
        RowKind::Intent
        | RowKind::Notice
        | RowKind::Evidence
        | RowKind::Program
        | RowKind::Health
        | RowKind::Card => "payment",
    }
}

/// What must be reached, beside every fault and every crash.
const REQUIRED: &[(&str, &[&str])] = &[
    (
        "payment",
        &[
            "created",
            "scheduled",
            "requires_action",
            "processing",
            "authorized",
            "captured",
            "succeeded",
            "voided",
            "cancelled",
            "failed",
        ],
    ),
    (
        "payment turns",
        &[
            "created > processing",
            "created > cancelled",
            "created > failed",
            "scheduled > processing",
            "scheduled > cancelled",
            "requires_action > processing",
            "requires_action > created",
            "requires_action > succeeded",
            "requires_action > authorized",
            "processing > created",
            "processing > requires_action",
            "processing > authorized",
            "processing > captured",
            "processing > succeeded",
            "processing > cancelled",
            "processing > failed",
            "authorized > captured",
            "authorized > succeeded",
            "authorized > voided",
            "captured > succeeded",
            "captured > voided",
            "captured > failed",
            "succeeded > failed",
            "succeeded > authorized",
        ],
    ),
    (
        "refund",
        &[
            "requested",
            "pending",
            "succeeded",
            "partially_succeeded",
            "failed",
        ],
    ),
    (
        "session",
        &[
            "pending",
            "processing",
            "succeeded",
            "failed",
            "expired",
            "cancelled",
        ],
    ),
    (
        "attempt",
        &[
            "not_executed",
            "declined",
            "cancelled",
            "authorized",
            "captured",
            "settled",
            "voided",
            "failed",
        ],
    ),
    ("compensation", &["Done", "LeftToHost"]),
    (
        "operation",
        &[
            "authorize",
            "complete",
            "capture",
            "increment",
            "void",
            "release",
            "cancel",
            "compensate_void",
            "compensate_refund",
        ],
    ),
    (
        "call",
        &[
            "Authorize",
            "Prepare",
            "Execute",
            "Complete",
            "Capture",
            "Increment",
            "Void",
            "Cancel",
            "Refund",
            "Read",
            "LookUp",
            "ReadRefund",
            "LookUpRefund",
        ],
    ),
    (
        "event",
        &[
            "intent.created",
            "intent.updated",
            "intent.routed",
            "attempt.opened",
            "operation.opened",
            "capture.reserved",
            "operation.step_recorded",
            "operation.unknown",
            "operation.closed",
            "attempt.learnt",
            "capture.learnt",
            "capture.added",
            "attempt.won",
            "intent.ended",
            "attempt.not_executed",
            "attempt.superseded",
            "operation.abandoned",
            "compensation.wanted",
            "compensation.opened",
            "compensation.closed",
            "intent.risk_after",
            "review.raised",
            "review.cleared",
            "refund.reserved",
            "refund.learnt",
        ],
    ),
    (
        "route",
        &[
            "caller",
            "router",
            "host's program",
            "stored program",
            "ordered",
            "split",
            "best success rate",
            "cheapest",
            "healthiest first",
            "blocked",
            "none",
        ],
    ),
    (
        "left out",
        &[
            "amount",
            "capture_method",
            "challenge",
            "currency",
            "it doesn't take payments that the merchant initiates",
            "method",
            "method.card.network",
            "needs",
            "payer.country",
        ],
    ),
    ("cascade", &["after a proof", "after a soft decline", "challenge"]),
    ("circuit", &["open", "all open, tried", "all open, refused"]),
    ("card", &["refused"]),
    ("programs", &["put", "activated", "rolled back"]),
    ("overtaken", &["what was said is kept"]),
    (
        "person",
        &[
            "settled: executed",
            "settled: not executed",
            "abandoned",
            "superseded",
            "reviewed",
        ],
    ),
];
