//! The one merge of all news: a call's answer, a webhook, a read. It is total, and for each attempt and capture it
//! gives the same in every order and after any repetition: what is known only grows. `observations.md` has a cell for
//! each situation and each kind of news.

use super::details::IntentMode;
use super::event::{Happened, IntentEvent};
use super::known::{Captures, plausible, speaks_of};
use super::news::{News, Observation, OnLateSuccess, Reading, Source};
use super::state::{
    CaptureRecord, CompensationReason, CompensationStatus, Intent, Known, Mark, OperationKind,
    OperationRecord, ReviewReason,
};
use super::status::{AttemptStatus, CaptureStatus, OperationStatus};
use crate::connector::{
    Approval, AuthorizeReport, CloseReport, Contradiction, Doubt, NotExecuted, RefundReport, Standing,
};
use crate::id::{AttemptId, OperationId};
use crate::money::Money;

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
        self.state.advance(&event);
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
            && (self.may_close(&operation) || outranks(status, operation.status))
            && operation.status != status
        {
            self.happen(Happened::OperationClosed {
                operation: id,
                status,
            });
            self.want_again(&operation, status);
        }
    }

    /// A compensation that was accepted and proved not done after all is still to be done.
    fn want_again(&mut self, operation: &OperationRecord, status: OperationStatus) {
        let compensation = self
            .state
            .attempt(operation.attempt)
            .and_then(|attempt| attempt.compensation.as_ref());
        let waits = compensation.is_some_and(|it| it.status == CompensationStatus::Pending);
        match operation.kind {
            OperationKind::CompensateVoid | OperationKind::CompensateRefund
                if waits && status == OperationStatus::NotExecuted =>
            {
                self.happen(Happened::CompensationClosed {
                    attempt: operation.attempt,
                    status: CompensationStatus::Wanted,
                });
            }
            OperationKind::Authorize
            | OperationKind::Complete
            | OperationKind::Capture
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid
            | OperationKind::CompensateRefund
            | OperationKind::Refund => {}
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
        // News of another payment, or of this one over another amount, says nothing of this one.
        if speaks_of(&attempt, &self.state, &standing.report).is_err()
            || !plausible(&attempt, &self.state, standing)
        {
            return self.contradict(ReviewReason::AmountMismatch);
        }
        // A check of a method moves no money: it can't be what became of a payment.
        if let (IntentMode::Payment, AuthorizeReport::Verified(_)) = (self.state.mode, &standing.report) {
            return self.contradict(ReviewReason::Contradiction);
        }
        let was_closed = attempt.known.closed.is_set() || attempt.known.voided.is_set();
        let captured_before = attempt.known.captured_minor;
        let failed_before = attempt.known.failed_minor;
        let at = self.observation.at;
        let of_ours = |capture: &CaptureRecord| capture.attempt == id && capture.operation.is_some();
        let captures = match self.state.captures.iter().any(of_ours) {
            true => Captures::Asked,
            false => Captures::NoneAsked,
        };
        self.learn(id, |known| known.join(standing, &attempt, captures, reading, at));
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
        // Which of the captures failed can't be told: a person has to look.
        if self.state.attempt(id).is_some_and(|now| {
            now.known.failed_minor > failed_before && self.state.unassigned_failures(now) > 0
        }) {
            self.contradict(ReviewReason::Contradiction);
        }
        self.judge_success(id);
        self.settle_compensation(id);
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
            // An attempt has one authorization, so that where it stands says what became of it, also to late news.
            let status = self.state.attempt(id).map(|attempt| attempt.status);
            let stands = status.filter(|_| operation.kind == OperationKind::Authorize);
            let stands = stands.and_then(ended);
            if self.may_close(&operation) {
                let said = answered(report, operation.kind, reading);
                let word = said.map(|said| stands.filter(|stands| outranks(*stands, said)).unwrap_or(said));
                self.settle_operation(&operation, word);
                continue;
            }
            if let Some(word) = stands {
                self.close_operation(operation.id, word);
            }
        }
    }

    /// Closes an operation that may be closed, if what is known shows it as done or as overtaken. `word`: how an
    /// authorization or completion ended.
    fn settle_operation(&mut self, operation: &OperationRecord, word: Option<OperationStatus>) {
        let Some(attempt) = self.state.attempt(operation.attempt) else {
            return;
        };
        let (status, known) = (attempt.status, attempt.known.clone());
        match operation.kind {
            OperationKind::Authorize | OperationKind::Complete => {
                if let Some(done) = word {
                    self.close_operation(operation.id, done);
                }
            }
            OperationKind::Capture => self.settle_capture(operation, &known, status),
            OperationKind::Increment => {
                if known.authorized_minor >= operation.amount.minor() {
                    self.close_operation(operation.id, OperationStatus::Done);
                }
            }
            OperationKind::Void | OperationKind::Cancel | OperationKind::CompensateVoid => {
                if let Some(done) = closing(operation.kind, status, operation.baseline) {
                    self.finish_closing(operation, done);
                }
            }
            OperationKind::Release => {
                if known.is_released() || known.closed.is_set() {
                    self.close_operation(operation.id, OperationStatus::Done);
                }
            }
            OperationKind::CompensateRefund => {
                // What went back before, in a dashboard, is no proof of this one.
                if known.refunded_minor >= operation.baseline + operation.amount.minor() {
                    self.close_operation(operation.id, OperationStatus::Done);
                }
            }
            OperationKind::Refund => {}
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
        let unpaid = self.state.winner.is_none()
            && attempt.closure != super::state::Closure::Abandoned
            && attempt.amount == self.state.amount;
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
        let given_back = attempt.known.captured_minor > 0 && attempt.known.unreturned() <= 0;
        let gone = matches!(attempt.status, AttemptStatus::Voided | AttemptStatus::Failed) || given_back;
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
                    OperationKind::Release => {
                        known.released = Mark::Set;
                        known.end_hold();
                    }
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
        self.close_operation(record.id, status);
        match (record.kind, status) {
            (OperationKind::Cancel, OperationStatus::Done) => {
                let unended = self.state.winner.is_none() && self.state.ended.is_none();
                if let Some(how) = record.ends.filter(|_| unended) {
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
                let total = record.baseline + record.amount.minor();
                self.learn(record.attempt, |known| {
                    known.refunded_minor = known.refunded_minor.max(total)
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

    /// Closes an operation whose call has no answer where news that came while the call was open says what became of
    /// it: nothing is in doubt then.
    fn answered_before(&mut self, id: OperationId) -> bool {
        let Some(operation) = self.state.operation(id).cloned() else {
            return false;
        };
        let Some(attempt) = self.state.attempt(operation.attempt) else {
            return false;
        };
        if !self.may_close(&operation) {
            return false;
        }
        let word = match operation.kind {
            OperationKind::Authorize => ended(attempt.status).or_else(|| waiting(attempt.status)),
            // What the payer had to do was known before it was asked: only how it ended answers it.
            OperationKind::Complete => ended(attempt.status),
            OperationKind::Capture
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid
            | OperationKind::CompensateRefund
            | OperationKind::Refund => None,
        };
        self.settle_operation(&operation, word);
        self.settle_compensation(operation.attempt);
        self.state.lock(id).is_none()
    }

    /// Whether such news is there, and only whoever drives the operation may close it.
    fn is_answered(&self, id: OperationId) -> bool {
        let observation = Observation {
            source: Source::Driver(id),
            ..self.observation.clone()
        };
        let mut driver = Merge {
            state: self.state.clone(),
            observation: &observation,
            events: Vec::new(),
            contradicted: false,
        };
        driver.answered_before(id)
    }

    fn doubt(&mut self, operation: OperationId, doubt: &Doubt) {
        let Some(open) = self.state.lock(operation) else {
            return;
        };
        let (since, adds) = (open.doubtful_since(), !open.knows(doubt));
        if doubt.contradicts == Contradiction::None
            && (self.answered_before(operation) || self.is_answered(operation))
        {
            return;
        }
        if adds {
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

/// Whether later news of an operation counts for more than the word that it was closed with: a person's giving up
/// yields to all that the processor says, a no to what was done.
fn outranks(news: OperationStatus, known: OperationStatus) -> bool {
    let rank = |status| match status {
        OperationStatus::Prepared | OperationStatus::Unknown | OperationStatus::Pending => None,
        OperationStatus::Abandoned => Some(0),
        OperationStatus::NotExecuted => Some(1),
        OperationStatus::Declined => Some(2),
        OperationStatus::Done => Some(3),
    };
    rank(known).is_some_and(|known| rank(news).is_some_and(|news| known < news))
}

/// What became of an authorization, by where its attempt stands.
fn ended(status: AttemptStatus) -> Option<OperationStatus> {
    match status {
        AttemptStatus::Authorized
        | AttemptStatus::Captured
        | AttemptStatus::Settled
        | AttemptStatus::Voided
        | AttemptStatus::Cancelled
        | AttemptStatus::Failed => Some(OperationStatus::Done),
        AttemptStatus::Declined => Some(OperationStatus::Declined),
        AttemptStatus::NotExecuted => Some(OperationStatus::NotExecuted),
        AttemptStatus::Opened | AttemptStatus::Pending | AttemptStatus::RequiresAction => None,
    }
}

/// What became of an authorization whose attempt waits.
fn waiting(status: AttemptStatus) -> Option<OperationStatus> {
    match status {
        AttemptStatus::Pending => Some(OperationStatus::Pending),
        AttemptStatus::RequiresAction => Some(OperationStatus::Done),
        AttemptStatus::Opened
        | AttemptStatus::NotExecuted
        | AttemptStatus::Declined
        | AttemptStatus::Cancelled
        | AttemptStatus::Authorized
        | AttemptStatus::Captured
        | AttemptStatus::Settled
        | AttemptStatus::Voided
        | AttemptStatus::Failed => None,
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
            (OperationKind::Complete, Reading::Read { .. } | Reading::Told) => None,
            (_, Reading::Answer | Reading::Read { .. } | Reading::Told) => Some(OperationStatus::Done),
        },
        AuthorizeReport::Unexecuted(_) => None,
    }
}

/// How a void or cancel ends, seen from where the attempt stands. Money that was taken before a void of it says
/// nothing about the void; money that was taken instead of it does.
fn closing(kind: OperationKind, status: AttemptStatus, taken_before: i64) -> Option<OperationStatus> {
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
            (taken_before == 0).then_some(OperationStatus::NotExecuted)
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
