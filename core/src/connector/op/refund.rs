//! Giving captured money back.

use super::Operation;
use super::authorize::Handle;
use crate::action::Action;
use crate::connector::outcome::Echo;
use crate::decline::Decline;
use crate::money::Money;
use crate::refund::RefundReason;

/// Gives money back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refund {
    /// Our reference of this operation.
    pub reference: String,
    /// The payment; its capture, where the account refunds captures.
    pub original: Handle,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
}

impl Refund {
    /// Gives `amount` of the payment `original` back.
    pub fn new(reference: impl Into<String>, original: Handle, amount: Money, reason: RefundReason) -> Self {
        Self {
            reference: reference.into(),
            original,
            amount,
            reason,
        }
    }
}

/// What a processor says of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefundReport {
    /// Given back.
    Refunded(Handle, Echo),
    /// Accepted; the answer comes later.
    Pending(Handle, Echo),
    /// The payer has to do something.
    ActionNeeded(Handle, Action, Echo),
    /// An authoritative no, at once or later.
    Failed(Decline),
    /// Stopped before it was paid out.
    Cancelled(Handle, Echo),
}

impl RefundReport {
    /// The processor's identifier, where the report has one.
    pub fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Refunded(handle, _)
            | Self::Pending(handle, _)
            | Self::ActionNeeded(handle, ..)
            | Self::Cancelled(handle, _) => Some(handle),
            Self::Failed(_) => None,
        }
    }

    pub(crate) fn echo(&self) -> Option<&Echo> {
        match self {
            Self::Refunded(_, echo)
            | Self::Pending(_, echo)
            | Self::ActionNeeded(_, _, echo)
            | Self::Cancelled(_, echo) => Some(echo),
            Self::Failed(_) => None,
        }
    }

    pub(crate) fn echo_mut(&mut self) -> Option<&mut Echo> {
        match self {
            Self::Refunded(_, echo)
            | Self::Pending(_, echo)
            | Self::ActionNeeded(_, _, echo)
            | Self::Cancelled(_, echo) => Some(echo),
            Self::Failed(_) => None,
        }
    }
}

impl Operation for Refund {
    type Report = RefundReport;
    const STEP: &'static str = "refund";

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.amount, &self.reference))
    }

    fn echo(report: &RefundReport) -> Option<&Echo> {
        report.echo()
    }
}

/// Reads a refund by the processor's identifier.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadRefund {
    /// The refund.
    pub handle: Handle,
    /// How much was asked.
    pub amount: Money,
    /// Our reference of the operation that asked for it.
    pub reference: String,
}

impl ReadRefund {
    /// Reads the refund `handle`, which was asked for as `reference` over `amount`.
    pub fn new(handle: Handle, amount: Money, reference: impl Into<String>) -> Self {
        Self {
            handle,
            amount,
            reference: reference.into(),
        }
    }
}

/// Looks a refund up by our reference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookUpRefund {
    /// Our reference of the operation that asked for it.
    pub reference: String,
    /// The payment that it was asked of.
    pub original: Handle,
    /// How much was asked.
    pub amount: Money,
}

impl LookUpRefund {
    /// Looks for the refund that `reference` asked for, of the payment `original` over `amount`.
    pub fn new(reference: impl Into<String>, original: Handle, amount: Money) -> Self {
        Self {
            reference: reference.into(),
            original,
            amount,
        }
    }
}

/// What a read or a look-up of a refund found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefundReadReport {
    /// This.
    Found(RefundReport),
    /// Nothing: proof of nothing until the account's reads are settled.
    NotFound,
}

impl RefundReadReport {
    fn echo(&self) -> Option<&Echo> {
        match self {
            Self::Found(report) => report.echo(),
            Self::NotFound => None,
        }
    }
}

macro_rules! refund_read {
    ($name:ident, $step:literal) => {
        impl Operation for $name {
            type Report = RefundReadReport;
            const STEP: &'static str = $step;

            fn sent(&self) -> Option<(Money, &str)> {
                Some((self.amount, &self.reference))
            }

            fn echo(report: &RefundReadReport) -> Option<&Echo> {
                report.echo()
            }
        }
    };
}
refund_read!(ReadRefund, "read-refund");
refund_read!(LookUpRefund, "look-up-refund");
