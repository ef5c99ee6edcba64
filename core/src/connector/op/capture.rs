//! Taking money that was authorized.

use super::Operation;
use super::authorize::Handle;
use crate::connector::outcome::Echo;
use crate::decline::Decline;
use crate::intent::Rest;
use crate::money::Money;

/// Takes an authorized amount, or a part of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Capture {
    /// Our reference of this operation.
    pub reference: String,
    /// The payment.
    pub original: Handle,
    /// How much.
    pub amount: Money,
    /// What happens to the rest.
    pub rest: Rest,
}

impl Capture {
    /// Takes `amount` of the payment `original`.
    pub fn new(reference: impl Into<String>, original: Handle, amount: Money, rest: Rest) -> Self {
        Self {
            reference: reference.into(),
            original,
            amount,
            rest,
        }
    }
}

/// What became of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureReport {
    /// Taken, not yet settled. The handle is the capture's own, or the payment's where it has none.
    Captured(Handle, Echo),
    /// Taken and arrived.
    Settled(Handle, Echo),
    /// Accepted; the answer comes later.
    Pending(Handle, Echo),
    /// An authoritative no.
    Declined(Decline),
}

impl Operation for Capture {
    type Report = CaptureReport;
    const STEP: &'static str = "capture";

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.amount, &self.reference))
    }

    fn echo(report: &CaptureReport) -> Option<&Echo> {
        match report {
            CaptureReport::Captured(_, echo)
            | CaptureReport::Settled(_, echo)
            | CaptureReport::Pending(_, echo) => Some(echo),
            CaptureReport::Declined(_) => None,
        }
    }
}
