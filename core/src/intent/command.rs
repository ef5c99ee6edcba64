//! What may be asked of a payment intent.

use super::event::IntentChange;
use super::state::{Attempt, CaptureRecord, Ended, Intent, OpenOp, PlanRecord, ReviewReason};
use crate::connector::VoidAfterCapture;
use crate::id::{AttemptId, CaptureId, OperationId, RefundId};
use crate::time::Timestamp;

/// Something that is asked of an intent.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create(Box<Intent>),
    Update(Box<IntentChange>),
    /// The first attempt of a confirmation.
    Confirm {
        plan: PlanRecord,
        attempt: Box<Attempt>,
        operation: Box<OpenOp>,
    },
    /// The first attempt of a scheduled payment, now that it is due.
    Due {
        plan: PlanRecord,
        attempt: Box<Attempt>,
        operation: Box<OpenOp>,
    },
    /// A further attempt of the same confirmation, after a decline or a proof that nothing was executed.
    Cascade {
        plan: Option<PlanRecord>,
        attempt: Box<Attempt>,
        operation: Box<OpenOp>,
    },
    /// The host's risk check refuses.
    Refuse,
    /// The host's risk check holds.
    Hold,
    Complete(Box<OpenOp>),
    Capture {
        capture: CaptureRecord,
        operation: Box<OpenOp>,
    },
    Increment(Box<OpenOp>),
    Void {
        operation: Box<OpenOp>,
        after_capture: VoidAfterCapture,
    },
    Release(Box<OpenOp>),
    /// Before anything was asked of a processor.
    Cancel(Ended),
    /// Stops the live attempt at its processor.
    CloseLive(Box<OpenOp>),
    ReserveRefund {
        refund: RefundId,
        amount: i64,
        captures: Vec<(CaptureId, i64)>,
    },
    Supersede {
        attempt: AttemptId,
        by: String,
    },
    Abandon {
        operation: OperationId,
        by: String,
        not_before: Timestamp,
        expired: Option<Ended>,
    },
    ClearReview {
        by: String,
    },
    Compensate {
        attempt: AttemptId,
        operation: Box<OpenOp>,
    },
    NoteReview(ReviewReason),
}

/// The commands' names: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CommandKind {
    Update,
    Confirm,
    Due,
    Cascade,
    Refuse,
    Hold,
    Complete,
    Capture,
    Increment,
    Void,
    Release,
    Cancel,
    CloseLive,
    ReserveRefund,
    Supersede,
    Abandon,
    ClearReview,
    Compensate,
    NoteReview,
}

impl CommandKind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 19] = [
        Self::Update,
        Self::Confirm,
        Self::Due,
        Self::Cascade,
        Self::Refuse,
        Self::Hold,
        Self::Complete,
        Self::Capture,
        Self::Increment,
        Self::Void,
        Self::Release,
        Self::Cancel,
        Self::CloseLive,
        Self::ReserveRefund,
        Self::Supersede,
        Self::Abandon,
        Self::ClearReview,
        Self::Compensate,
        Self::NoteReview,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Confirm => "confirm",
            Self::Due => "due",
            Self::Cascade => "cascade",
            Self::Refuse => "refuse",
            Self::Hold => "hold",
            Self::Complete => "complete",
            Self::Capture => "capture",
            Self::Increment => "increment",
            Self::Void => "void",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::CloseLive => "close_live",
            Self::ReserveRefund => "refund",
            Self::Supersede => "supersede",
            Self::Abandon => "abandon",
            Self::ClearReview => "review",
            Self::Compensate => "compensate",
            Self::NoteReview => "note_review",
        }
    }
}
