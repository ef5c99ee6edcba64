//! The one merge of all news: a call's answer, a webhook, a read. It is total, and for each attempt and capture it
//! gives the same in every order and after any repetition: what is known only grows.

use super::event::{Happened, IntentEvent, apply};
use super::known::{Captures, plausible};
use super::state::{
    CaptureRecord, CompensationReason, CompensationStatus, Intent, Known, Mark, OpStage, OperationKind,
    OperationRecord, ReviewReason,
};
use super::status::{AttemptStatus, CaptureStatus, OperationStatus};
use crate::connector::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Contradiction, Doubt, NotExecuted, RefundReport,
    Standing,
};
use crate::id::{AttemptId, CaptureId, OperationId};
use crate::money::Money;
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

/// Whether a report is the answer to what was asked, or what a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Answer,
    Read,
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

/// What the news did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    Applied(Vec<IntentEvent>),
    /// Stale, or known already.
    Ignored,
    /// It contradicts what is known: the events record that.
    Contradiction(Vec<IntentEvent>),
}

impl Merged {
    pub(crate) fn into_events(self) -> Vec<IntentEvent> {
        match self {
            Self::Applied(events) | Self::Contradiction(events) => events,
            Self::Ignored => Vec::new(),
        }
    }
}

/// Merges news into what is known.
pub(crate) fn merge(state: &Intent, observation: &Observation) -> Merged {
    let mut merge = Merge {
        state: state.clone(),
        observation,
        events: Vec::new(),
        contradicted: false,
    };
    match &observation.news {
        News::Payment {
            attempt,
            standing,
            reading,
        } => merge.payment(*attempt, standing, *reading),
        News::Capture { operation, report } => merge.capture(*operation, report),
        News::Close { operation, report } => merge.close(*operation, report),
        News::Increment { operation, report } => merge.increment(*operation, report),
        News::CompensationRefund { operation, report } => merge.compensation_refund(*operation, report),
        News::NotExecuted { operation, proof } => merge.not_executed(*operation, proof),
        News::Doubt { operation, doubt } => merge.doubt(*operation, doubt),
    }
    match (merge.events.is_empty(), merge.contradicted) {
        (true, _) => Merged::Ignored,
        (false, true) => Merged::Contradiction(merge.events),
        (false, false) => Merged::Applied(merge.events),
    }
}

pub(super) struct Merge<'a> {
    pub(super) state: Intent,
    pub(super) observation: &'a Observation,
    events: Vec<IntentEvent>,
    contradicted: bool,
}

impl Merge<'_> {
    pub(super) fn happen(&mut self, what: Happened) {
        let event = IntentEvent {
            at: self.observation.at,
            what,
        };
        if let Some(state) = apply(Some(self.state.clone()), &event) {
            self.state = state;
        }
        self.events.push(event);
    }

    pub(super) fn contradict(&mut self, reason: ReviewReason) {
        self.contradicted = true;
        if self.state.review.is_none() {
            self.happen(Happened::ReviewRaised(reason));
        }
    }

    /// Whether this news may close that operation.
    pub(super) fn may_close(&self, operation: &OperationRecord) -> bool {
        match (operation.status, self.observation.source) {
            (OperationStatus::Prepared, Source::Driver(driven)) => driven == operation.id,
            (OperationStatus::Prepared, Source::Outside) => false,
            (OperationStatus::Unknown | OperationStatus::Pending, _) => true,
            (
                OperationStatus::Done
                | OperationStatus::Declined
                | OperationStatus::NotExecuted
                | OperationStatus::Abandoned,
                _,
            ) => false,
        }
    }

    pub(super) fn close_operation(&mut self, id: OperationId, status: OperationStatus) {
        let current = self.state.operation(id).cloned();
        if let Some(operation) = current
            && self.may_close(&operation)
            && operation.status != status
        {
            self.happen(Happened::OperationClosed {
                operation: id,
                status,
            });
        }
    }

    pub(super) fn learn(&mut self, attempt: AttemptId, change: impl FnOnce(&mut Known)) {
        let Some(current) = self.state.attempt(attempt) else {
            return;
        };
        let mut known = current.known.clone();
        change(&mut known);
        if known != current.known {
            self.happen(Happened::AttemptLearnt {
                attempt,
                known: Box::new(known),
            });
        }
    }

    fn payment(&mut self, id: AttemptId, standing: &Standing, reading: Reading) {
        let Some(attempt) = self.state.attempt(id).cloned() else {
            return;
        };
        if !plausible(&attempt, &self.state, standing) {
            return self.contradict(ReviewReason::AmountMismatch);
        }
        let was_closed = attempt.known.closed.is_set() || attempt.known.voided.is_set();
        let captured_before = attempt.known.captured_minor;
        let at = self.observation.at;
        let of_ours = |capture: &CaptureRecord| capture.attempt == id && capture.operation.is_some();
        let captures = match self.state.captures.iter().any(of_ours) {
            true => Captures::Asked,
            false => Captures::NoneAsked,
        };
        self.learn(id, |known| known.join(standing, &attempt, captures, at));
        if was_closed
            && self
                .state
                .attempt(id)
                .is_some_and(|now| now.known.captured_minor > captured_before)
        {
            self.contradict(ReviewReason::Contradiction);
        }
        self.settle_operations(id, &standing.report, reading);
        self.settle_captures(id);
        self.settle_compensation(id);
        self.judge_success(id);
    }

    /// Closes what operations of the attempt the news shows as done, or as overtaken.
    fn settle_operations(&mut self, id: AttemptId, report: &AuthorizeReport, reading: Reading) {
        let operations: Vec<_> = self
            .state
            .operations
            .iter()
            .filter(|operation| operation.attempt == id)
            .cloned()
            .collect();
        for operation in operations {
            if !self.may_close(&operation) {
                continue;
            }
            let Some(attempt) = self.state.attempt(id) else {
                return;
            };
            let (status, known) = (attempt.status, attempt.known.clone());
            match operation.kind {
                OperationKind::Authorize | OperationKind::Complete => {
                    if let Some(done) = answered(report, operation.kind, reading) {
                        self.close_operation(operation.id, done);
                    }
                }
                OperationKind::Capture => self.settle_capture(&operation, &known, status),
                OperationKind::Increment => {
                    if known.authorized_minor >= operation.amount.minor() {
                        self.close_operation(operation.id, OperationStatus::Done);
                    }
                }
                OperationKind::Void | OperationKind::Cancel | OperationKind::CompensateVoid => {
                    let taken_before = self.state.lock(operation.id).map(|open| open.baseline);
                    if let Some(done) = closing(operation.kind, status, taken_before) {
                        self.finish_closing(&operation, done);
                    }
                }
                OperationKind::Release => {
                    if known.released.is_set() || known.closed.is_set() {
                        self.close_operation(operation.id, OperationStatus::Done);
                    }
                }
                OperationKind::CompensateRefund => {
                    if known.refunded_minor >= operation.amount.minor() {
                        self.close_operation(operation.id, OperationStatus::Done);
                    }
                }
                OperationKind::Refund => {}
            }
        }
    }

    /// A winner is decided once, in the order of commits; any other success goes back.
    fn judge_success(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempt(id) else {
            return;
        };
        if !attempt.status.holds_money() || attempt.compensation.is_some() {
            return;
        }
        let unpaid = self.state.winner.is_none() && attempt.closure != super::state::Closure::Abandoned;
        match (self.state.unwanted(attempt), self.observation.on_late_success) {
            (None, _) if self.state.winner.is_none() => self.happen(Happened::Won { attempt: id }),
            (None, _) => {}
            (Some(CompensationReason::LateSuccess), OnLateSuccess::AcceptIfUnpaid) if unpaid => {
                self.happen(Happened::Won { attempt: id });
            }
            // What a person gave up is always compensated.
            (Some(reason), OnLateSuccess::Ask) if attempt.closure == super::state::Closure::Abandoned => {
                self.happen(Happened::CompensationWanted { attempt: id, reason });
            }
            (Some(reason), OnLateSuccess::Reverse | OnLateSuccess::AcceptIfUnpaid) => {
                self.happen(Happened::CompensationWanted { attempt: id, reason });
            }
            (Some(reason), OnLateSuccess::Ask) => {
                self.happen(Happened::CompensationWanted { attempt: id, reason });
                self.happen(Happened::CompensationClosed {
                    attempt: id,
                    status: CompensationStatus::LeftToHost,
                });
                self.contradict(ReviewReason::LateSuccess);
            }
        }
    }

    /// A compensation is done when nothing of the attempt's money is left.
    fn settle_compensation(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempt(id) else {
            return;
        };
        let Some(compensation) = &attempt.compensation else {
            return;
        };
        let returned = attempt.known.captured_minor > 0
            && attempt.known.refunded_minor >= attempt.known.captured_minor - attempt.known.failed_minor;
        let gone = matches!(attempt.status, AttemptStatus::Voided | AttemptStatus::Failed) || returned;
        if gone && compensation.status != CompensationStatus::Done {
            self.happen(Happened::CompensationClosed {
                attempt: id,
                status: CompensationStatus::Done,
            });
        }
    }

    fn close(&mut self, operation: OperationId, report: &CloseReport) {
        let Some(record) = self.state.operation(operation).cloned() else {
            return;
        };
        if !self.may_close(&record) {
            return;
        }
        match report {
            CloseReport::Closed(..) => {
                let captured = self
                    .state
                    .attempt(record.attempt)
                    .map_or(0, |attempt| attempt.known.captured_minor);
                self.learn(record.attempt, |known| match record.kind {
                    OperationKind::Release => known.released = Mark::Set,
                    OperationKind::Void | OperationKind::CompensateVoid if captured > 0 => {
                        known.voided = Mark::Set
                    }
                    OperationKind::Void
                    | OperationKind::CompensateVoid
                    | OperationKind::Cancel
                    | OperationKind::Authorize
                    | OperationKind::Complete
                    | OperationKind::Capture
                    | OperationKind::Increment
                    | OperationKind::CompensateRefund
                    | OperationKind::Refund => known.closed = Mark::Set,
                });
                self.finish_closing(&record, OperationStatus::Done);
                self.settle_compensation(record.attempt);
            }
            CloseReport::Pending(..) if record.status == OperationStatus::Pending => {}
            CloseReport::Pending(..) => self.finish_closing(&record, OperationStatus::Pending),
            CloseReport::Refused(_) => self.finish_closing(&record, OperationStatus::Declined),
        }
    }

    fn finish_closing(&mut self, record: &OperationRecord, status: OperationStatus) {
        let ends = self.state.lock(record.id).and_then(|open| open.ends);
        self.close_operation(record.id, status);
        match (record.kind, status) {
            (OperationKind::Cancel, OperationStatus::Done) => {
                if let Some(how) = ends.filter(|_| self.state.winner.is_none() && self.state.ended.is_none())
                {
                    self.happen(Happened::Ended { how, decline: None });
                }
            }
            (OperationKind::CompensateVoid, OperationStatus::Declined) => {
                self.compensation_failed(record.attempt)
            }
            (OperationKind::CompensateVoid, OperationStatus::Pending) => {
                let status = CompensationStatus::Pending;
                self.happen(Happened::CompensationClosed {
                    attempt: record.attempt,
                    status,
                });
            }
            (
                OperationKind::Authorize
                | OperationKind::Complete
                | OperationKind::Capture
                | OperationKind::Increment
                | OperationKind::Void
                | OperationKind::Release
                | OperationKind::Cancel
                | OperationKind::CompensateVoid
                | OperationKind::CompensateRefund
                | OperationKind::Refund,
                OperationStatus::Prepared
                | OperationStatus::Unknown
                | OperationStatus::Pending
                | OperationStatus::Done
                | OperationStatus::Declined
                | OperationStatus::NotExecuted
                | OperationStatus::Abandoned,
            ) => {}
        }
    }

    fn compensation_failed(&mut self, attempt: AttemptId) {
        self.happen(Happened::CompensationClosed {
            attempt,
            status: CompensationStatus::Failed,
        });
        self.contradict(ReviewReason::CompensationFailed);
    }

    fn compensation_refund(&mut self, operation: OperationId, report: &RefundReport) {
        let Some(record) = self.state.operation(operation).cloned() else {
            return;
        };
        if !self.may_close(&record) {
            return;
        }
        match report {
            RefundReport::Refunded(..) => {
                let amount = record.amount.minor();
                self.learn(record.attempt, |known| {
                    known.refunded_minor = known.refunded_minor.max(amount)
                });
                self.close_operation(operation, OperationStatus::Done);
                self.settle_compensation(record.attempt);
            }
            RefundReport::Pending(..) | RefundReport::ActionNeeded(..)
                if record.status == OperationStatus::Pending => {}
            RefundReport::Pending(..) | RefundReport::ActionNeeded(..) => {
                self.close_operation(operation, OperationStatus::Pending);
                let status = CompensationStatus::Pending;
                self.happen(Happened::CompensationClosed {
                    attempt: record.attempt,
                    status,
                });
            }
            RefundReport::Failed(_) | RefundReport::Cancelled(..) => {
                self.close_operation(operation, OperationStatus::Declined);
                self.compensation_failed(record.attempt);
            }
        }
    }

    fn increment(&mut self, operation: OperationId, report: &AuthorizeReport) {
        let Some(record) = self.state.operation(operation).cloned() else {
            return;
        };
        match report {
            AuthorizeReport::Authorized(approval) => self.raised(&record, approval, record.amount),
            AuthorizeReport::PartiallyAuthorized(approval, part) => self.raised(&record, approval, *part),
            AuthorizeReport::Pending(..) | AuthorizeReport::ActionNeeded(..) => {
                self.close_operation(operation, OperationStatus::Pending);
            }
            AuthorizeReport::Declined(_) => self.close_operation(operation, OperationStatus::Declined),
            AuthorizeReport::Captured(_)
            | AuthorizeReport::Settled(_)
            | AuthorizeReport::Verified(_)
            | AuthorizeReport::Voided(..)
            | AuthorizeReport::Unexecuted(_) => self.contradict(ReviewReason::Contradiction),
        }
    }

    /// An increment is done, to this much in all.
    fn raised(&mut self, record: &OperationRecord, approval: &Approval, total: Money) {
        if total.currency() != record.amount.currency()
            || !(0..=record.amount.minor()).contains(&total.minor())
        {
            return self.contradict(ReviewReason::AmountMismatch);
        }
        self.learn(record.attempt, |known| {
            known.authorized_minor = known.authorized_minor.max(total.minor());
            known.approve(approval);
        });
        self.close_operation(record.id, OperationStatus::Done);
    }

    fn not_executed(&mut self, operation: OperationId, proof: &NotExecuted) {
        let Some(record) = self.state.operation(operation).cloned() else {
            return;
        };
        match record.kind {
            OperationKind::Authorize => {
                self.learn(record.attempt, |known| {
                    // One proof is kept whatever the order: the one that sorts first.
                    let first = |known: &NotExecuted| known.to_string() <= proof.to_string();
                    if !known.not_executed.as_ref().is_some_and(first) {
                        known.not_executed = Some(proof.clone());
                    }
                });
                if self.may_close(&record) {
                    self.happen(Happened::NotExecuted(proof.clone()));
                }
            }
            OperationKind::Capture => {
                if let Some(capture) = self.capture_of(operation) {
                    self.learn_capture(&capture, CaptureStatus::Declined, None);
                }
            }
            OperationKind::Complete
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid
            | OperationKind::CompensateRefund
            | OperationKind::Refund => {}
        }
        self.close_operation(operation, OperationStatus::NotExecuted);
    }

    fn doubt(&mut self, operation: OperationId, doubt: &Doubt) {
        let Some(open) = self.state.lock(operation) else {
            return;
        };
        let known = match &open.stage {
            OpStage::Prepared => false,
            OpStage::Unknown { doubt: known, .. } => {
                known.contradicts == Contradiction::Echo || doubt.contradicts == Contradiction::None
            }
        };
        if !known {
            let since = open.doubtful_since();
            self.happen(Happened::OperationUnknown {
                operation,
                since,
                doubt: doubt.clone(),
            });
        }
        if doubt.contradicts == Contradiction::Echo {
            self.contradict(ReviewReason::AmountMismatch);
        }
    }
}

/// How an authorization or completion ends by this report, if it does.
fn answered(report: &AuthorizeReport, kind: OperationKind, reading: Reading) -> Option<OperationStatus> {
    match report {
        AuthorizeReport::Authorized(_)
        | AuthorizeReport::PartiallyAuthorized(..)
        | AuthorizeReport::Captured(_)
        | AuthorizeReport::Settled(_)
        | AuthorizeReport::Verified(_)
        | AuthorizeReport::Voided(..) => Some(OperationStatus::Done),
        AuthorizeReport::Pending(..) => Some(OperationStatus::Pending),
        AuthorizeReport::Declined(_) => Some(OperationStatus::Declined),
        // A read that still shows the action doesn't say that the completion wasn't received.
        AuthorizeReport::ActionNeeded(..) => match (kind, reading) {
            (OperationKind::Complete, Reading::Read) => None,
            (_, Reading::Answer | Reading::Read) => Some(OperationStatus::Done),
        },
        AuthorizeReport::Unexecuted(_) => None,
    }
}

/// How a void or cancel ends, seen from where the attempt stands. Money that was taken before a void of it says
/// nothing about the void; money that was taken instead of it does.
fn closing(kind: OperationKind, status: AttemptStatus, taken_before: Option<i64>) -> Option<OperationStatus> {
    match status {
        AttemptStatus::Voided | AttemptStatus::Cancelled | AttemptStatus::Failed => {
            Some(OperationStatus::Done)
        }
        AttemptStatus::Declined | AttemptStatus::NotExecuted => match kind {
            OperationKind::Cancel => Some(OperationStatus::Done),
            OperationKind::Authorize
            | OperationKind::Complete
            | OperationKind::Capture
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::CompensateVoid
            | OperationKind::CompensateRefund
            | OperationKind::Refund => None,
        },
        AttemptStatus::Captured | AttemptStatus::Settled => {
            (taken_before == Some(0)).then_some(OperationStatus::NotExecuted)
        }
        AttemptStatus::Authorized => match kind {
            OperationKind::Cancel => Some(OperationStatus::NotExecuted),
            OperationKind::Authorize
            | OperationKind::Complete
            | OperationKind::Capture
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::CompensateVoid
            | OperationKind::CompensateRefund
            | OperationKind::Refund => None,
        },
        AttemptStatus::Opened | AttemptStatus::Pending | AttemptStatus::RequiresAction => None,
    }
}
