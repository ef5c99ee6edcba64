//! The words for where an intent and its children stand.

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
    #[serde(alias = "canceled")]
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

/// Where one attempt at one account stands. Derived from what is known of it, in whatever order that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Opened: the call is under way, or its outcome is unknown.
    Opened,
    /// Accepted; the answer comes later.
    Pending,
    /// The payer has to do something.
    RequiresAction,
    /// Proved not executed.
    NotExecuted,
    /// Declined.
    Declined,
    /// Closed before anything was authorized.
    #[serde(alias = "canceled")]
    Cancelled,
    /// The money is held.
    Authorized,
    /// The money is taken, not settled.
    Captured,
    /// The money is taken and has arrived; or a method was kept or checked.
    Settled,
    /// Authorized once, given back.
    Voided,
    /// Taken once, and all of it gone again: its capture failed, or the payer's bank took it back.
    Failed,
}

impl AttemptStatus {
    /// Whether the processor may still do something that we or the payer asked for.
    pub fn is_live(self) -> bool {
        match self {
            Self::Opened | Self::Pending | Self::RequiresAction => true,
            Self::NotExecuted
            | Self::Declined
            | Self::Cancelled
            | Self::Authorized
            | Self::Captured
            | Self::Settled
            | Self::Voided
            | Self::Failed => false,
        }
    }

    /// Whether money is held or taken.
    pub fn holds_money(self) -> bool {
        match self {
            Self::Authorized | Self::Captured | Self::Settled => true,
            Self::Opened
            | Self::Pending
            | Self::RequiresAction
            | Self::NotExecuted
            | Self::Declined
            | Self::Cancelled
            | Self::Voided
            | Self::Failed => false,
        }
    }

    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::NotExecuted => "not_executed",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Settled => "settled",
            Self::Voided => "voided",
            Self::Failed => "failed",
        }
    }
}

/// Where one capture stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureStatus {
    /// Asked; the answer is open.
    Pending,
    /// Declined at once, or proved not executed.
    Declined,
    /// Taken, not settled.
    Captured,
    /// Arrived.
    Settled,
    /// Taken once, and failed later.
    Failed,
}

/// Where one operation at a processor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// Written, and perhaps sent.
    Prepared,
    /// Its outcome is unknown.
    Unknown,
    /// Accepted; the answer comes later.
    Pending,
    /// Done.
    Done,
    /// An authoritative no.
    Declined,
    /// Proved not executed.
    NotExecuted,
    /// A person gave it up while its outcome was unknown.
    Abandoned,
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::intent::Ended;
    use crate::refund::{AllocationStatus, RefundStatus};
    use crate::session::SessionStatus;

    fn reads_both<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(cancelled: T) {
        let written = serde_json::to_string(&cancelled).unwrap();
        assert_eq!(written, "\"cancelled\"");
        for spelling in [written.as_str(), "\"canceled\""] {
            assert_eq!(serde_json::from_str::<T>(spelling).unwrap(), cancelled);
        }
    }

    #[test]
    fn cancelled_is_written_with_two_l_and_read_with_one_too() {
        reads_both(IntentStatus::Cancelled);
        reads_both(AttemptStatus::Cancelled);
        reads_both(SessionStatus::Cancelled);
        reads_both(RefundStatus::Cancelled);
        reads_both(AllocationStatus::Cancelled);
        reads_both(Ended::Cancelled);
    }
    #[test]
    fn an_attempts_word_is_what_is_written_of_it() {
        let all = [
            AttemptStatus::Opened,
            AttemptStatus::Pending,
            AttemptStatus::RequiresAction,
            AttemptStatus::NotExecuted,
            AttemptStatus::Declined,
            AttemptStatus::Cancelled,
            AttemptStatus::Authorized,
            AttemptStatus::Captured,
            AttemptStatus::Settled,
            AttemptStatus::Voided,
            AttemptStatus::Failed,
        ];
        for status in all {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
