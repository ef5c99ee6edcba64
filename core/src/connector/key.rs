//! Steps of an operation: what each may do, and how a processor knows it again.

use std::fmt;
use std::time::Duration;

use crate::id::OperationId;

/// What a step of an operation may do, and how the processor knows a second send of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    effect: Effect,
    key: Key,
}

impl Step {
    /// A step that can move money: resent only with its key inside the key's window, and never from doubt without
    /// one.
    pub const fn moves_money(key: Key) -> Self {
        Self {
            effect: Effect::MovesMoney,
            key,
        }
    }

    /// A step that moves no money and hands the payer nothing: a lost answer may be asked for again.
    pub const fn preparatory(key: Key) -> Self {
        Self {
            effect: Effect::Preparatory,
            key,
        }
    }

    /// What it may do.
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// How a second send is known.
    pub const fn key(&self) -> Key {
        self.key
    }
}

/// What a step may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Moves no money and hands the payer nothing.
    Preparatory,
    /// Can move money, or hands the payer something to act on.
    MovesMoney,
}

/// How a processor knows a second send of the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It doesn't.
    None,
    /// By the key in a header.
    Header {
        /// For how long it remembers, by its documentation. We stop a margin earlier.
        window: Duration,
        /// Whether it replays a cached error for a key: then a second error is no evidence.
        replays_errors: ReplaysErrors,
    },
}

/// Whether a processor replays a cached error for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaysErrors {
    /// It does (Stripe keeps a 500): after one, read; don't resend.
    Yes,
    /// It keeps successes only.
    Never,
}

/// `K-<step>`: the idempotency key of one step. Only the engine makes one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StepKey(String);

impl StepKey {
    pub(crate) fn new(operation: OperationId, step: &str) -> Self {
        Self(format!("{}-{step}", operation.reference()))
    }

    /// A key as the engine would make it, for suites that drive a connector by hand.
    #[doc(hidden)]
    pub fn for_suite(operation: OperationId, step: &str) -> Self {
        Self::new(operation, step)
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
