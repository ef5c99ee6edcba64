//! Asking a processor how a payment stands.

use super::Operation;
use super::authorize::{AuthorizeReport, Handle};
use crate::connector::outcome::Echo;
use crate::money::Money;

/// Reads a payment by the processor's identifier.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Read {
    /// The payment.
    pub handle: Handle,
    /// How much was asked.
    pub amount: Money,
    /// Our reference of the operation that asked for it.
    pub reference: String,
}

impl Read {
    /// Reads the payment `handle`, which was asked for as `reference` over `amount`.
    pub fn new(handle: Handle, amount: Money, reference: impl Into<String>) -> Self {
        Self {
            handle,
            amount,
            reference: reference.into(),
        }
    }
}

/// Looks a payment up by our reference.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LookUp {
    /// Our reference of the operation that asked for it.
    pub reference: String,
    /// How much was asked.
    pub amount: Money,
    /// The page to look at: the first, or one that [`LookUpReport::Continue`] named.
    pub page: Option<String>,
}

impl LookUp {
    /// Looks for the payment that `reference` asked for over `amount`.
    pub fn new(reference: impl Into<String>, amount: Money) -> Self {
        Self {
            reference: reference.into(),
            amount,
            page: None,
        }
    }

    /// On this page.
    #[must_use]
    pub fn page(mut self, page: impl Into<String>) -> Self {
        self.page = Some(page.into());
        self
    }
}

/// How a payment stands: what a processor says of it, and its totals where it tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// What it says.
    pub report: AuthorizeReport,
    /// How much is or was held in all.
    pub authorized: Option<Money>,
    /// How much was taken in all; failures and refunds not subtracted.
    pub captured: Option<Money>,
    /// How much of what was taken failed in all: a capture that didn't go through after all.
    pub failed: Option<Money>,
    /// How much was given back in all.
    pub refunded: Option<Money>,
    /// How much the payer's bank took back in all.
    pub returned: Option<Money>,
}

impl From<AuthorizeReport> for Standing {
    fn from(report: AuthorizeReport) -> Self {
        Self {
            report,
            authorized: None,
            captured: None,
            failed: None,
            refunded: None,
            returned: None,
        }
    }
}

impl Standing {
    /// With how much is or was held in all.
    #[must_use]
    pub fn authorized(mut self, total: Money) -> Self {
        self.authorized = Some(total);
        self
    }

    /// With how much was taken in all.
    #[must_use]
    pub fn captured(mut self, total: Money) -> Self {
        self.captured = Some(total);
        self
    }

    /// With how much of what was taken failed in all.
    #[must_use]
    pub fn failed(mut self, total: Money) -> Self {
        self.failed = Some(total);
        self
    }

    /// With how much was given back in all.
    #[must_use]
    pub fn refunded(mut self, total: Money) -> Self {
        self.refunded = Some(total);
        self
    }

    /// With how much the payer's bank took back in all.
    #[must_use]
    pub fn returned(mut self, total: Money) -> Self {
        self.returned = Some(total);
        self
    }
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and moved on at once: a box would only cost"
)]
pub enum ReadReport {
    /// This.
    Found(Standing),
    /// Nothing: proof of nothing until the account's reads are settled.
    NotFound,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and moved on at once: a box would only cost"
)]
pub enum LookUpReport {
    /// This.
    Found(Standing),
    /// Nothing on this page; look at that one.
    Continue(String),
    /// Nothing: proof of nothing until the account's reads are settled.
    NotFound,
}

/// The merge compares what a read or a look-up repeats: the amount may rightly be what it was raised to.
impl Operation for Read {
    type Report = ReadReport;
    const STEP: &'static str = "read";

    fn sent(&self) -> Option<(Money, &str)> {
        None
    }

    fn echo(_: &ReadReport) -> Option<&Echo> {
        None
    }
}

impl Operation for LookUp {
    type Report = LookUpReport;
    const STEP: &'static str = "look-up";

    fn sent(&self) -> Option<(Money, &str)> {
        None
    }

    fn echo(_: &LookUpReport) -> Option<&Echo> {
        None
    }
}
