//! News of a payment intent: what it says, and where it comes from.

use crate::connector::{
    AuthorizeReport, CaptureReport, CloseReport, Doubt, NotExecuted, RefundReport, Standing,
};
use crate::id::{AttemptId, CaptureId, OperationId};
use crate::time::Timestamp;

/// News of an intent.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) at: Timestamp,
    pub(crate) source: Source,
    pub(crate) news: News,
    pub(crate) on_late_success: OnLateSuccess,
    /// For a capture that we didn't ask for.
    pub(crate) fresh_capture: CaptureId,
}

/// Where news comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The answer of this operation's own call, or its lease holder's reading: it may clear a prepared lock.
    Driver(OperationId),
    /// A webhook, a sync, a person: it clears the lock of an operation whose outcome is unknown.
    Outside,
}

/// What the news says.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Payment {
        attempt: AttemptId,
        standing: Box<Standing>,
        reading: Reading,
    },
    Capture {
        operation: OperationId,
        report: CaptureReport,
    },
    Close {
        operation: OperationId,
        report: CloseReport,
    },
    Increment {
        operation: OperationId,
        report: AuthorizeReport,
    },
    CompensationRefund {
        operation: OperationId,
        report: RefundReport,
    },
    NotExecuted {
        operation: OperationId,
        proof: NotExecuted,
    },
    Doubt {
        operation: OperationId,
        doubt: Doubt,
    },
}

/// Whether a report is the answer to what was asked, what a read saw, or what a notice told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Answer,
    Read {
        /// In which epoch the read was asked for: [`Intent::refund_epoch`].
        refund_epoch: u32,
    },
    Told,
}

impl Reading {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "Answer",
            Self::Read { .. } => "Read",
            Self::Told => "Told",
        }
    }
}

/// What becomes of money that arrives when no intent wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnLateSuccess {
    /// It goes back.
    #[default]
    Reverse,
    /// The intent takes it after all, unless it is paid or was abandoned; else it goes back.
    AcceptIfUnpaid,
    /// A person decides.
    Ask,
}
