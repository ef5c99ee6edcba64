//! What the connector and the processor say to each other. Neither knows more of the other than this.

use paymux_core::Money;
use serde::{Deserialize, Serialize};

/// What is asked of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Act {
    Authorize,
    Prepare,
    Execute,
    Complete,
    Capture,
    Increment,
    Void,
    Cancel,
    Refund,
    Read,
    LookUp,
    ReadRefund,
    LookUpRefund,
}

impl Act {
    pub(crate) fn reads(self) -> bool {
        matches!(
            self,
            Self::Read | Self::LookUp | Self::ReadRefund | Self::LookUpRefund
        )
    }
}

/// A request's body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) act: Act,
    pub(crate) reference: String,
    pub(crate) of: Option<String>,
    pub(crate) amount: Option<Money>,
    pub(crate) order: Option<String>,
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) manual: bool,
    #[serde(default)]
    pub(crate) setup: bool,
    #[serde(default)]
    pub(crate) challenge: bool,
    #[serde(default)]
    pub(crate) keep: bool,
    /// What can't be kept: a cryptogram, what a payer brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum State {
    Created,
    Action,
    Processing,
    Authorized,
    Captured,
    Settled,
    Verified,
    Declined,
    Voided,
    Cancelled,
    /// A capture, a void, a refund: done.
    Done,
    /// Not done, and it won't be.
    Failed,
}

/// An answer's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) reference: Option<String>,
    pub(crate) amount: Money,
    pub(crate) state: State,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) failed: i64,
    pub(crate) refunded: i64,
    pub(crate) returned: i64,
    pub(crate) code: Option<String>,
    pub(crate) multicapture: bool,
    pub(crate) incremental: bool,
    pub(crate) until: Option<i64>,
}

/// What the processor posts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Posted {
    pub(crate) event: Option<String>,
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) reference: Option<String>,
    pub(crate) refund: bool,
    pub(crate) said: Option<Said>,
}

/// The processor knows a second send by this.
pub(crate) const KEY: &str = "sim-key";
/// Says which account it is.
pub(crate) const ACCOUNT: &str = "sim-account";
/// The signature of what the processor posts.
pub(crate) const SIGNATURE: &str = "sim-signature";
