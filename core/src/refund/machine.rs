//! What may be asked of a refund, what news does to it, and how events change it.
//!
#![doc = include_str!("table.md")]

use serde::{Deserialize, Serialize};

use super::RefundStatus;
use super::state::{AllocationStatus, RefundState};
use crate::action::KeptAction;
use crate::connector::{Contradiction, Doubt, Handle, NotExecuted, RefundReport};
use crate::decline::Decline;
use crate::error::{Error, ErrorKind};
use crate::id::OperationId;
use crate::intent::{OpStage, OpenOp, Review, ReviewReason, StepRecord};
use crate::time::Timestamp;

/// An event of a refund, and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundEvent {
    pub(crate) at: Timestamp,
    pub(crate) what: RefundHappened,
}

/// What may happen to a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundHappened {
    Requested(Box<RefundState>),
    OperationOpened(Box<OpenOp>),
    StepRecorded {
        operation: OperationId,
        step: StepRecord,
    },
    OperationUnknown {
        operation: OperationId,
        since: Timestamp,
        doubt: Doubt,
    },
    OperationClosed {
        operation: OperationId,
    },
    AllocationLearnt {
        operation: OperationId,
        status: AllocationStatus,
        handle: Option<Handle>,
        action: Option<KeptAction>,
        decline: Option<Decline>,
        not_executed: Option<NotExecuted>,
    },
    Abandoned {
        operation: OperationId,
        by: String,
    },
    ReviewRaised(ReviewReason),
    ReviewCleared {
        by: String,
    },
}

impl RefundEvent {
    /// A stable word for what happened.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.what {
            RefundHappened::Requested(_) => "refund.requested",
            RefundHappened::OperationOpened(_) => "refund.operation_opened",
            RefundHappened::StepRecorded { .. } => "refund.step_recorded",
            RefundHappened::OperationUnknown { .. } => "refund.unknown",
            RefundHappened::OperationClosed { .. } => "refund.operation_closed",
            RefundHappened::AllocationLearnt { .. } => "refund.learnt",
            RefundHappened::Abandoned { .. } => "refund.abandoned",
            RefundHappened::ReviewRaised(_) => "refund.review_raised",
            RefundHappened::ReviewCleared { .. } => "refund.review_cleared",
        }
    }
}

/// Something that is asked of a refund.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Request(Box<RefundState>),
    Open(Box<OpenOp>),
    Abandon {
        operation: OperationId,
        by: String,
        not_before: Timestamp,
    },
    NoteReview(ReviewReason),
    ClearReview {
        by: String,
    },
}

/// Decides on a command.
pub(crate) fn decide(
    state: Option<&RefundState>,
    command: &Command,
    at: Timestamp,
) -> Result<Vec<RefundEvent>, Error> {
    let what = match (state, command) {
        (None, Command::Request(refund)) => RefundHappened::Requested(refund.clone()),
        (None, _) => return Err(Error::not_found("id", "refund")),
        (Some(state), Command::Request(_)) => return Err(Error::illegal(state.status.as_str(), "request")),
        (Some(state), Command::Open(open)) => match (&state.open_op, state.status) {
            (Some(open), _) => return Err(Error::in_progress(Some(open.id))),
            (None, RefundStatus::Requested) => RefundHappened::OperationOpened(open.clone()),
            (
                None,
                RefundStatus::RequiresAction
                | RefundStatus::Pending
                | RefundStatus::Succeeded
                | RefundStatus::PartiallySucceeded
                | RefundStatus::Failed
                | RefundStatus::Cancelled,
            ) => return Err(Error::illegal(state.status.as_str(), "open")),
        },
        (
            Some(state),
            Command::Abandon {
                operation,
                by,
                not_before,
            },
        ) => {
            let open = state.open_op.as_ref().filter(|open| open.id == *operation);
            match open.map(|open| &open.stage) {
                None => return Err(Error::illegal(state.status.as_str(), "abandon")),
                Some(OpStage::Prepared) => return Err(Error::in_progress(Some(*operation))),
                Some(OpStage::Unknown { .. }) if at < *not_before => {
                    let message = "the processor may still answer: wait until then";
                    return Err(Error::new(ErrorKind::TooEarly { after: *not_before }, message));
                }
                Some(OpStage::Unknown { .. }) => RefundHappened::Abandoned {
                    operation: *operation,
                    by: by.clone(),
                },
            }
        }
        (Some(_), Command::NoteReview(reason)) => RefundHappened::ReviewRaised(*reason),
        (Some(_), Command::ClearReview { by }) => RefundHappened::ReviewCleared { by: by.clone() },
    };
    Ok(vec![RefundEvent { at, what }])
}

/// News of a part of a refund.
#[derive(Clone, Debug)]
pub(crate) enum RefundNews {
    Report(RefundReport),
    NotExecuted(NotExecuted),
    Doubt(Doubt),
}

/// Merges news of the part that `operation` asked for. `driven`: the news comes from whoever holds the lease, so it
/// may clear a prepared lock.
pub(crate) fn merge(
    state: &RefundState,
    operation: OperationId,
    news: &RefundNews,
    driver: Option<OperationId>,
    at: Timestamp,
) -> Vec<RefundEvent> {
    let Some(allocation) = state.allocation(operation) else {
        return Vec::new();
    };
    let open = state.open_op.as_ref().filter(|open| open.id == operation);
    let prepared = open.is_some_and(|open| open.stage == OpStage::Prepared);
    let event = |what| RefundEvent { at, what };
    let mut events = Vec::new();
    if let RefundNews::Report(report) = news
        && let Some(echo) = report.echo()
        && echo.check(&[allocation.amount], &operation.reference()).is_err()
    {
        // News of another refund, or of this one over another amount, says nothing of this one.
        if state.review.is_none() {
            events.push(event(RefundHappened::ReviewRaised(ReviewReason::AmountMismatch)));
        }
        return events;
    }
    let learnt = |status, handle: Option<&Handle>| RefundHappened::AllocationLearnt {
        operation,
        status,
        handle: handle.cloned(),
        action: None,
        decline: None,
        not_executed: None,
    };
    let what = match news {
        RefundNews::Doubt(doubt) => {
            let Some(open) = open else { return events };
            // News that came while the call was open has answered it: whoever may, closes it.
            let answered =
                doubt.contradicts == Contradiction::None && allocation.status != AllocationStatus::Waiting;
            if answered {
                if !prepared || driver == Some(operation) {
                    events.push(event(RefundHappened::OperationClosed { operation }));
                }
                return events;
            }
            if !open.knows(doubt) {
                let since = open.doubtful_since();
                events.push(event(RefundHappened::OperationUnknown {
                    operation,
                    since,
                    doubt: doubt.clone(),
                }));
            }
            if doubt.contradicts == Contradiction::Echo && state.review.is_none() {
                events.push(event(RefundHappened::ReviewRaised(ReviewReason::AmountMismatch)));
            }
            return events;
        }
        RefundNews::NotExecuted(proof) => RefundHappened::AllocationLearnt {
            operation,
            status: AllocationStatus::Failed,
            handle: None,
            action: None,
            decline: None,
            not_executed: Some(proof.clone()),
        },
        RefundNews::Report(RefundReport::Refunded(handle, _)) => {
            learnt(AllocationStatus::Refunded, Some(handle))
        }
        RefundNews::Report(RefundReport::Pending(handle, _)) => {
            learnt(AllocationStatus::Pending, Some(handle))
        }
        RefundNews::Report(RefundReport::Cancelled(handle, _)) => {
            learnt(AllocationStatus::Cancelled, Some(handle))
        }
        RefundNews::Report(RefundReport::ActionNeeded(handle, action, _)) => {
            RefundHappened::AllocationLearnt {
                operation,
                status: AllocationStatus::RequiresAction,
                handle: Some(handle.clone()),
                action: Some(action.kept.clone()),
                decline: None,
                not_executed: None,
            }
        }
        RefundNews::Report(RefundReport::Failed(decline)) => RefundHappened::AllocationLearnt {
            operation,
            status: AllocationStatus::Failed,
            handle: None,
            action: None,
            decline: Some(decline.clone()),
            not_executed: None,
        },
    };
    if let RefundHappened::AllocationLearnt {
        status, not_executed, ..
    } = &what
        && rank(*status, not_executed.as_ref()) > rank(allocation.status, allocation.not_executed.as_ref())
    {
        events.push(event(what));
    }
    // Only who holds the lease clears a prepared lock.
    if open.is_some() && (!prepared || driver == Some(operation)) {
        events.push(event(RefundHappened::OperationClosed { operation }));
    }
    events
}

/// How much a part's status counts: a proof of ours that nothing was executed yields to what the processor says.
fn rank(status: AllocationStatus, not_executed: Option<&NotExecuted>) -> (AllocationStatus, u8) {
    match not_executed {
        Some(_) => (AllocationStatus::Pending, 1),
        None => (status, 0),
    }
}

/// The state after `event`.
pub(crate) fn apply(state: Option<RefundState>, event: &RefundEvent) -> Option<RefundState> {
    let mut state = match (state, &event.what) {
        (None, RefundHappened::Requested(refund)) => return Some((**refund).clone()),
        (None, _) => return None,
        (Some(state), _) => state,
    };
    state.updated_at = event.at;
    match &event.what {
        RefundHappened::Requested(_) => {}
        RefundHappened::OperationOpened(open) => state.open_op = Some((**open).clone()),
        RefundHappened::StepRecorded { operation, step } => {
            if let Some(open) = state.open_op.as_mut().filter(|open| open.id == *operation) {
                open.steps.push(step.clone());
            }
        }
        RefundHappened::OperationUnknown {
            operation,
            since,
            doubt,
        } => {
            if let Some(open) = state.open_op.as_mut().filter(|open| open.id == *operation) {
                open.stage = OpStage::Unknown {
                    since: *since,
                    doubt: doubt.clone(),
                };
            }
        }
        RefundHappened::OperationClosed { operation } | RefundHappened::Abandoned { operation, .. } => {
            state.open_op = state.open_op.take().filter(|open| open.id != *operation);
        }
        RefundHappened::AllocationLearnt {
            operation,
            status,
            handle,
            action,
            decline,
            not_executed,
        } => {
            let part = state
                .allocations
                .iter_mut()
                .find(|allocation| allocation.operation == *operation);
            if let Some(allocation) = part {
                allocation.status = *status;
                allocation.handle = handle.clone().or(allocation.handle.take());
                allocation.action.clone_from(action);
                allocation.decline = decline.clone().or(allocation.decline.take());
                allocation.not_executed.clone_from(not_executed);
            }
        }
        RefundHappened::ReviewRaised(reason) => {
            let since = event.at;
            state.review.get_or_insert(Review {
                reason: *reason,
                since,
            });
        }
        RefundHappened::ReviewCleared { .. } => state.review = None,
    }
    // A person who abandons a part leaves its amount reserved: the part is pending for ever, or until news comes.
    if let RefundHappened::Abandoned { operation, .. } = &event.what
        && let Some(part) = state
            .allocations
            .iter_mut()
            .find(|part| part.operation == *operation)
    {
        part.status = part.status.max(AllocationStatus::Pending);
    }
    state.status = state.derived_status();
    Some(state)
}
