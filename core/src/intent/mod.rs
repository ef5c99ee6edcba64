//! Payment intents.

mod details;

pub use details::{
    Address, AmountDetails, CaptureMethod, Challenge, Exemption, Grant, Granted, IntentDetails, IntentMode,
    LiabilityShift, LineItem, Metadata, Mit, MitReason, Payer, Rest, Sca, ThreeDs,
};

use serde::{Deserialize, Serialize};

/// The state of a payment intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// Made, or back after a decline: waits for a method.
    Created,
    /// Waits for its day.
    Scheduled,
    /// The payer has to do something.
    RequiresAction,
    /// Asked; the answer is open. Never a failure by waiting.
    Processing,
    /// The money is held.
    Authorized,
    /// The money is taken, not settled.
    Captured,
    /// Paid.
    Succeeded,
    /// Authorized once, given back.
    Voided,
    /// Ended before anything was authorized.
    Cancelled,
    /// Declined for good.
    Failed,
}

impl IntentStatus {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Scheduled,
        Self::RequiresAction,
        Self::Processing,
        Self::Authorized,
        Self::Captured,
        Self::Succeeded,
        Self::Voided,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Scheduled => "scheduled",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Succeeded => "succeeded",
            Self::Voided => "voided",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for IntentStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
