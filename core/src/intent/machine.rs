//! What may be asked of an intent: every state and every command, and the guards behind each listed cell.
//!
#![doc = include_str!("table.md")]

use super::command::{Command, CommandKind};
use super::details::{Grant, Rest};
use super::event::{Happened, IntentEvent};
use super::state::{
    Attempt, CaptureRecord, Closure, CompensationReason, CompensationStatus, Ended, Intent, OpStage, OpenOp,
    OperationKind, PlanRecord, ReviewReason,
};
use super::status::{AttemptStatus, CaptureStatus, IntentStatus};
use crate::connector::VoidAfterCapture;
use crate::decline::{Decline, DeclineCode, DeclineKind};
use crate::error::{Error, ErrorKind, Fault};
use crate::id::{AttemptId, CaptureId, OperationId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Listed: the guards decide.
    Listed,
    /// Not listed: `InvalidTransition`, and nothing changes.
    Refused,
}

/// The table: every state and every command.
pub(crate) const fn cell(status: IntentStatus, command: CommandKind) -> Cell {
    use Cell::{Listed, Refused};
    use IntentStatus::*;
    match command {
        CommandKind::Update | CommandKind::Refuse | CommandKind::Hold => match status {
            Created | Scheduled => Listed,
            RequiresAction | Processing | Authorized | Captured | Succeeded | Voided | Cancelled | Failed => {
                Refused
            }
        },
        CommandKind::Confirm => match status {
            Created | RequiresAction => Listed,
            Scheduled | Processing | Authorized | Captured | Succeeded | Voided | Cancelled | Failed => {
                Refused
            }
        },
        CommandKind::Due => match status {
            Scheduled => Listed,
            Created | RequiresAction | Processing | Authorized | Captured | Succeeded | Voided
            | Cancelled | Failed => Refused,
        },
        CommandKind::Cascade => match status {
            Created | Processing => Listed,
            Scheduled | RequiresAction | Authorized | Captured | Succeeded | Voided | Cancelled | Failed => {
                Refused
            }
        },
        CommandKind::Complete => match status {
            RequiresAction => Listed,
            Created | Scheduled | Processing | Authorized | Captured | Succeeded | Voided | Cancelled
            | Failed => Refused,
        },
        CommandKind::Capture | CommandKind::Increment | CommandKind::Release => match status {
            Authorized => Listed,
            Created | Scheduled | RequiresAction | Processing | Captured | Succeeded | Voided | Cancelled
            | Failed => Refused,
        },
        CommandKind::Void => match status {
            Authorized | Captured => Listed,
            Created | Scheduled | RequiresAction | Processing | Succeeded | Voided | Cancelled | Failed => {
                Refused
            }
        },
        CommandKind::Cancel => match status {
            Created | Scheduled => Listed,
            RequiresAction | Processing | Authorized | Captured | Succeeded | Voided | Cancelled | Failed => {
                Refused
            }
        },
        CommandKind::CloseLive | CommandKind::Supersede => match status {
            RequiresAction | Processing => Listed,
            Created | Scheduled | Authorized | Captured | Succeeded | Voided | Cancelled | Failed => Refused,
        },
        CommandKind::ReserveRefund => match status {
            Authorized | Captured | Succeeded => Listed,
            Created | Scheduled | RequiresAction | Processing | Voided | Cancelled | Failed => Refused,
        },
        CommandKind::Abandon
        | CommandKind::ClearReview
        | CommandKind::Compensate
        | CommandKind::NoteReview => match status {
            Created | Scheduled | RequiresAction | Processing | Authorized | Captured | Succeeded
            | Voided | Cancelled | Failed => Listed,
        },
    }
}

/// Why a command was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Illegal {
    NotCreated,
    Exists,
    Transition {
        current: IntentStatus,
        command: CommandKind,
    },
    InProgress(OperationId),
    Outstanding {
        safe_after: Option<Timestamp>,
    },
    TooEarly(Timestamp),
    Fault {
        field: &'static str,
        problem: &'static str,
        remedy: &'static str,
    },
}

impl From<Illegal> for Error {
    fn from(illegal: Illegal) -> Self {
        match illegal {
            Illegal::NotCreated => Self::not_found("id", "payment"),
            Illegal::Exists => Self::new(ErrorKind::Stale, "there is a payment of that identifier already"),
            Illegal::Transition { current, command } => Self::transition(current, command.as_str()),
            Illegal::InProgress(operation) => Self::in_progress(Some(operation)),
            Illegal::Outstanding { safe_after } => Self::new(
                ErrorKind::PayerActionOutstanding { safe_after },
                "the payer may still complete an earlier action, and it can't be called back",
            ),
            Illegal::TooEarly(after) => Self::new(
                ErrorKind::TooEarly { after },
                "the processor may still answer: wait until then",
            ),
            Illegal::Fault {
                field,
                problem,
                remedy,
            } => Self::invalid(Fault::new(field, problem, remedy)),
        }
    }
}

/// Decides on a command: the events that it causes, or why it can't be done.
pub(crate) fn decide(
    state: Option<&Intent>,
    command: &Command,
    at: Timestamp,
) -> Result<Vec<IntentEvent>, Illegal> {
    let happened = match (state, command) {
        (None, Command::Create(intent)) => vec![Happened::Created(intent.clone())],
        (Some(_), Command::Create(_)) => return Err(Illegal::Exists),
        (None, _) => return Err(Illegal::NotCreated),
        (Some(state), command) => state.decide(command, at)?,
    };
    Ok(happened
        .into_iter()
        .map(|what| IntentEvent { at, what })
        .collect())
}

impl Intent {
    fn decide(&self, command: &Command, at: Timestamp) -> Result<Vec<Happened>, Illegal> {
        match command {
            Command::Create(_) => Err(Illegal::Exists),
            Command::Update(change) => {
                self.listed(CommandKind::Update)?;
                if let Some(amount) = change.amount {
                    self.no_other_amount_than_its_session_s(amount)?;
                    self.no_other_amount_to_be_paid(amount)?;
                }
                Ok(vec![Happened::Updated(change.clone())])
            }
            Command::Confirm {
                plan,
                attempt,
                operation,
            } => {
                self.free(CommandKind::Confirm)?;
                self.no_live_attempt()?;
                Ok(opening(Some(plan), attempt, operation))
            }
            Command::Due {
                plan,
                attempt,
                operation,
            } => {
                self.free(CommandKind::Due)?;
                Ok(opening(Some(plan), attempt, operation))
            }
            Command::Cascade {
                plan,
                attempt,
                operation,
            } => {
                self.free(CommandKind::Cascade)?;
                self.no_live_attempt()?;
                Ok(opening(plan.as_ref(), attempt, operation))
            }
            Command::Refuse => {
                self.listed(CommandKind::Refuse)?;
                let decline = Decline::new(DeclineCode::RiskRefused, DeclineKind::Hard, None);
                Ok(vec![Happened::Ended {
                    how: Ended::Forbidden,
                    decline: Some(decline),
                }])
            }
            Command::Hold => {
                self.listed(CommandKind::Hold)?;
                Ok(vec![Happened::ReviewRaised(ReviewReason::RiskHold)])
            }
            Command::Complete(operation) => {
                self.free(CommandKind::Complete)?;
                Ok(vec![Happened::OperationOpened(operation.clone())])
            }
            Command::Capture { capture, operation } => {
                self.may_capture(capture)?;
                Ok(vec![
                    Happened::CaptureReserved(capture.clone()),
                    Happened::OperationOpened(operation.clone()),
                ])
            }
            Command::Increment(operation) => {
                self.settled_lock(CommandKind::Increment)?;
                self.may_increment()?;
                Ok(vec![Happened::OperationOpened(operation.clone())])
            }
            Command::Void {
                operation,
                after_capture,
            } => {
                self.settled_lock(CommandKind::Void)?;
                self.may_void(*after_capture)?;
                Ok(vec![Happened::OperationOpened(operation.clone())])
            }
            Command::Release(operation) => {
                self.settled_lock(CommandKind::Release)?;
                self.may_release()?;
                Ok(vec![Happened::OperationOpened(operation.clone())])
            }
            Command::Cancel(how) => {
                self.free(CommandKind::Cancel)?;
                Ok(vec![Happened::Ended {
                    how: *how,
                    decline: None,
                }])
            }
            Command::CloseLive(operation) => {
                self.free(CommandKind::CloseLive)?;
                self.no_pending(&[OperationKind::Cancel])?;
                Ok(vec![Happened::OperationOpened(operation.clone())])
            }
            Command::ReserveRefund {
                refund,
                amount,
                captures,
            } => self.reserve_refund(*refund, *amount, captures),
            Command::Supersede { attempt, by } => self.supersede(*attempt, by),
            Command::Abandon {
                operation,
                by,
                not_before,
                expired,
            } => self.abandon_operation(*operation, by, *not_before, *expired, at),
            Command::ClearReview { by } => {
                self.listed(CommandKind::ClearReview)?;
                Ok(vec![Happened::ReviewCleared { by: by.clone() }])
            }
            Command::Compensate { attempt, operation } => self.compensate(*attempt, operation),
            Command::NoteReview(reason) => {
                self.listed(CommandKind::NoteReview)?;
                Ok(vec![Happened::ReviewRaised(*reason)])
            }
        }
    }

    fn listed(&self, command: CommandKind) -> Result<(), Illegal> {
        match cell(self.status, command) {
            Cell::Listed => Ok(()),
            Cell::Refused => Err(Illegal::Transition {
                current: self.status,
                command,
            }),
        }
    }

    /// Listed, and no operation holds the lock.
    fn free(&self, command: CommandKind) -> Result<(), Illegal> {
        if let Some(open) = &self.open_op {
            return Err(Illegal::InProgress(open.id));
        }
        self.listed(command)
    }

    /// Free, and nothing is pending that would change what is held.
    fn settled_lock(&self, command: CommandKind) -> Result<(), Illegal> {
        self.free(command)?;
        self.no_pending(&[
            OperationKind::Void,
            OperationKind::Release,
            OperationKind::Cancel,
            OperationKind::Increment,
        ])
    }

    fn no_pending(&self, kinds: &[OperationKind]) -> Result<(), Illegal> {
        match self.pending_operation(kinds) {
            Some(pending) => Err(Illegal::InProgress(pending.id)),
            None => Ok(()),
        }
    }

    fn no_live_attempt(&self) -> Result<(), Illegal> {
        match self.live_attempt() {
            None => Ok(()),
            Some(live) => {
                let action = live
                    .known
                    .waiting
                    .as_ref()
                    .and_then(|waiting| waiting.action.as_ref());
                Err(Illegal::Outstanding {
                    safe_after: action.and_then(|action| action.expires_at),
                })
            }
        }
    }

    /// A session is paid by its payment, whose amount is the session's from the first submit on.
    fn no_other_amount_than_its_session_s(&self, amount: Money) -> Result<(), Illegal> {
        match self.session {
            Some(_) if amount != self.amount => Err(fault(
                "amount",
                "the payment's session is over another amount",
                "cancel the session and make another one over the new amount",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// A superseded attempt wins if its payer pays first: over what it asked for, which must stay the intent's amount
    /// until then.
    fn no_other_amount_to_be_paid(&self, amount: Money) -> Result<(), Illegal> {
        let payable = |attempt: &&Attempt| match attempt.status {
            AttemptStatus::Opened | AttemptStatus::Pending | AttemptStatus::RequiresAction => {
                attempt.closure == Closure::Superseded
            }
            AttemptStatus::NotExecuted
            | AttemptStatus::Declined
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Voided
            | AttemptStatus::Failed => false,
        };
        match self
            .attempts
            .iter()
            .filter(payable)
            .all(|attempt| attempt.amount == amount)
        {
            true => Ok(()),
            false => Err(fault(
                "amount",
                "a superseded attempt can still be paid, over another amount",
                "cancel this payment and create another one over the new amount",
            )),
        }
    }

    fn may_capture(&self, capture: &CaptureRecord) -> Result<(), Illegal> {
        self.settled_lock(CommandKind::Capture)?;
        let asked = capture.amount.minor();
        if asked <= 0 {
            return Err(fault(
                "amount",
                "a capture is of at least 1 minor unit",
                "capture more than nothing",
            ));
        }
        if asked > self.totals.capturable() {
            return Err(fault(
                "amount",
                "more than is left to capture",
                "capture at most what `totals().capturable()` says",
            ));
        }
        if self.has_final_capture() {
            return Err(fault(
                "amount",
                "a final capture is pending or done",
                "authorize a new payment for more",
            ));
        }
        let multicapture = self.current().map(|attempt| attempt.known.granted.multicapture);
        match (capture.rest, multicapture) {
            (Rest::Release, _) | (Rest::Keep, Some(Grant::Granted)) => Ok(()),
            (Rest::Keep, Some(Grant::Refused) | None) => Err(fault(
                "rest",
                "several captures weren't granted for this payment",
                "capture once, with Rest::Release",
            )),
        }
    }

    fn has_final_capture(&self) -> bool {
        let Some(current) = self.current() else {
            return false;
        };
        let is_asked = |capture: &CaptureRecord| match (capture.status, capture.rest) {
            (CaptureStatus::Pending, Rest::Release) => true,
            (CaptureStatus::Pending, Rest::Keep)
            | (
                CaptureStatus::Captured
                | CaptureStatus::Settled
                | CaptureStatus::Declined
                | CaptureStatus::Failed,
                _,
            ) => false,
        };
        let mut captures = self.captures.iter();
        captures.any(|capture| capture.attempt == current.id && is_asked(capture))
            || self.is_finally_captured(current)
    }

    fn may_increment(&self) -> Result<(), Illegal> {
        match self.current().map(|attempt| attempt.known.granted.incremental) {
            Some(Grant::Granted) => Ok(()),
            Some(Grant::Refused) | None => Err(fault(
                "increment",
                "an increment wasn't granted for this payment",
                "authorize a new payment for the difference",
            )),
        }
    }

    fn may_void(&self, after_capture: VoidAfterCapture) -> Result<(), Illegal> {
        let refused = Illegal::Transition {
            current: self.status,
            command: CommandKind::Void,
        };
        if self.totals.capture_pending > 0 {
            return Err(refused);
        }
        // A part is captured: the rest is released, and what is taken refunded.
        if self.status == IntentStatus::Authorized && self.totals.captured > 0 {
            return Err(refused);
        }
        match (self.totals.captured, after_capture) {
            (0, _) => Ok(()),
            (_, VoidAfterCapture::Yes) if self.totals.refund_pending == 0 && self.totals.refunded == 0 => {
                Ok(())
            }
            (_, VoidAfterCapture::Yes | VoidAfterCapture::No) => Err(refused),
        }
    }

    fn may_release(&self) -> Result<(), Illegal> {
        if self.totals.captured > 0 && self.totals.capture_pending == 0 {
            Ok(())
        } else {
            Err(Illegal::Transition {
                current: self.status,
                command: CommandKind::Release,
            })
        }
    }

    /// The guard of every refund: what is available is reserved in the same commit that writes the refund.
    fn reserve_refund(
        &self,
        refund: RefundId,
        amount: i64,
        captures: &[(CaptureId, i64)],
    ) -> Result<Vec<Happened>, Illegal> {
        self.listed(CommandKind::ReserveRefund)?;
        if let Some(open) = &self.open_op
            && open.kind == OperationKind::Void
            && self.totals.captured > 0
        {
            return Err(Illegal::InProgress(open.id));
        }
        // Accepted and not answered: the money may be on its way back already.
        self.no_pending(&[OperationKind::Void])?;
        if self.totals.captured == 0 {
            return Err(Illegal::Transition {
                current: self.status,
                command: CommandKind::ReserveRefund,
            });
        }
        if amount <= 0 {
            return Err(fault(
                "amount",
                "a refund is of at least 1 minor unit",
                "refund more than nothing",
            ));
        }
        if amount > self.totals.refundable() {
            return Err(fault(
                "amount",
                "more than is available for refund",
                "refund at most what `totals().refundable()` says",
            ));
        }
        Ok(vec![Happened::RefundReserved {
            refund,
            amount,
            captures: captures.to_vec(),
        }])
    }

    fn supersede(&self, attempt: AttemptId, by: &str) -> Result<Vec<Happened>, Illegal> {
        self.free(CommandKind::Supersede)?;
        let live = self.attempt(attempt).filter(|attempt| attempt.closure.is_open());
        let refused = Err(Illegal::Transition {
            current: self.status,
            command: CommandKind::Supersede,
        });
        match live.map(|attempt| (attempt.status, attempt.known.acted.is_set())) {
            Some((AttemptStatus::RequiresAction, _) | (AttemptStatus::Pending, true)) => {
                Ok(vec![Happened::Superseded {
                    attempt,
                    by: by.to_owned(),
                }])
            }
            Some(_) | None => refused,
        }
    }

    fn abandon_operation(
        &self,
        operation: OperationId,
        by: &str,
        not_before: Timestamp,
        expired: Option<Ended>,
        at: Timestamp,
    ) -> Result<Vec<Happened>, Illegal> {
        let refused = Illegal::Transition {
            current: self.status,
            command: CommandKind::Abandon,
        };
        let open = self
            .open_op
            .as_ref()
            .filter(|open| open.id == operation)
            .ok_or(refused)?;
        match &open.stage {
            OpStage::Prepared => return Err(Illegal::InProgress(open.id)),
            OpStage::Unknown { .. } if at < not_before => return Err(Illegal::TooEarly(not_before)),
            OpStage::Unknown { .. } => {}
        }
        let mut happened = vec![Happened::Abandoned {
            operation,
            by: by.to_owned(),
        }];
        let authorizing = matches!(open.kind, OperationKind::Authorize | OperationKind::Complete);
        if let (true, Some(how)) = (authorizing, expired) {
            happened.push(Happened::Ended { how, decline: None });
        }
        Ok(happened)
    }

    fn compensate(&self, attempt: AttemptId, operation: &OpenOp) -> Result<Vec<Happened>, Illegal> {
        let refused = Illegal::Transition {
            current: self.status,
            command: CommandKind::Compensate,
        };
        let compensation = self
            .attempt(attempt)
            .and_then(|attempt| attempt.compensation.as_ref())
            .ok_or(refused.clone())?;
        match (&compensation.open_op, compensation.status) {
            (Some(open), _) => Err(Illegal::InProgress(open.id)),
            (None, CompensationStatus::Wanted) => Ok(vec![Happened::CompensationOpened {
                attempt,
                operation: Box::new(operation.clone()),
            }]),
            (
                None,
                CompensationStatus::Pending
                | CompensationStatus::Done
                | CompensationStatus::Failed
                | CompensationStatus::LeftToHost,
            ) => Err(refused),
        }
    }

    /// Why a success of `attempt` would have to go back, if it would.
    pub(crate) fn unwanted(&self, attempt: &Attempt) -> Option<CompensationReason> {
        match (self.winner, self.ended, attempt.closure) {
            (Some(winner), _, _) if winner == attempt.id => None,
            (Some(_), _, _) => Some(CompensationReason::DuplicateCharge),
            (None, Some(_), _) | (None, None, Closure::Abandoned) => Some(CompensationReason::LateSuccess),
            // The amount was changed after its decline: what it asked for isn't what is to be paid.
            (None, None, Closure::Open | Closure::Superseded) if attempt.amount != self.amount => {
                Some(CompensationReason::LateSuccess)
            }
            (None, None, Closure::Open | Closure::Superseded) => None,
        }
    }
}

fn opening(plan: Option<&PlanRecord>, attempt: &Attempt, operation: &OpenOp) -> Vec<Happened> {
    let mut happened = Vec::with_capacity(3);
    happened.extend(plan.cloned().map(Happened::Planned));
    happened.push(Happened::AttemptOpened(Box::new(attempt.clone())));
    happened.push(Happened::OperationOpened(Box::new(operation.clone())));
    happened
}

fn fault(field: &'static str, problem: &'static str, remedy: &'static str) -> Illegal {
    Illegal::Fault {
        field,
        problem,
        remedy,
    }
}
