//! The router port, what it is told and what it answers.

use std::fmt;

use crate::id::{AccountRef, SessionId};
use crate::intent::{CaptureMethod, IntentDetails, IntentMode, PlannedAccount};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Orders the accounts that a payment may go to. It has no clock, no I/O and no randomness: all it may know is in the
/// facts, so that a decision can be made again and explained.
pub trait Router: fmt::Debug + Send + Sync + 'static {
    /// The accounts to try, in order. Accounts that aren't candidates are ignored.
    fn route(&self, facts: &RouteFacts<'_>) -> Plan;
}

/// What a routing decision may depend on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RouteFacts<'a> {
    /// Whose payment it is.
    pub tenant: &'a Tenant,
    /// How much.
    pub amount: Money,
    /// How the payer pays.
    pub method: &'a PaymentMethod,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// What it is to achieve.
    pub mode: IntentMode,
    /// What it is for and who pays.
    pub details: &'a IntentDetails,
    /// The session that it pays.
    pub session: Option<SessionId>,
    /// When it is asked.
    pub at: Timestamp,
    /// How many attempts the payment has had.
    pub attempts: usize,
    /// The accounts that can take it, in the order of their registration.
    pub candidates: &'a [Candidate],
}

/// An account that can take a payment by its capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The account.
    pub account: AccountRef,
}

/// A routing decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) accounts: Vec<PlannedAccount>,
    pub(crate) blocked: Option<String>,
}

impl Plan {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The payment goes nowhere; the caller gets the reason.
    pub fn block(reason: impl Into<String>) -> Self {
        Self {
            accounts: Vec::new(),
            blocked: Some(reason.into()),
        }
    }

    /// Next this account, for this reason.
    #[must_use]
    pub fn then(mut self, account: AccountRef, reason: impl Into<String>) -> Self {
        self.accounts.push(PlannedAccount {
            account,
            reason: reason.into(),
        });
        self
    }

    /// The accounts, in order, each with its reason.
    pub fn accounts(&self) -> &[PlannedAccount] {
        &self.accounts
    }
}
