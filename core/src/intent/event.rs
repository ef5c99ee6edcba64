//! What happened to an intent, and how it changes the state: the only place where it changes.

use serde::{Deserialize, Serialize};

use super::details::{CaptureMethod, IntentDetails, IntentMode, Rest};
use super::state::{
    Attempt, CaptureRecord, Closure, Compensation, CompensationReason, CompensationStatus, Ended, Intent,
    Known, OpStage, OpenOp, OperationRecord, PlanRecord, RefundShare, Review, ReviewReason, RiskAfter,
    StepRecord, Totals,
};
use super::status::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus};
use crate::connector::{Doubt, Handle, NotExecuted, SuccessOn};
use crate::decline::Decline;
use crate::id::{AttemptId, CaptureId, OperationId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// An event of an intent, and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntentEvent {
    pub(crate) at: Timestamp,
    pub(crate) what: Happened,
}

/// What may happen to an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Happened {
    Created(Box<Intent>),
    Updated(Box<IntentChange>),
    Planned(PlanRecord),
    AttemptOpened(Box<Attempt>),
    OperationOpened(Box<OpenOp>),
    CaptureReserved(CaptureRecord),
    StepRecorded {
        operation: OperationId,
        step: StepRecord,
        handle: Option<Handle>,
    },
    OperationUnknown {
        operation: OperationId,
        since: Timestamp,
        doubt: Doubt,
    },
    OperationClosed {
        operation: OperationId,
        status: OperationStatus,
    },
    AttemptLearnt {
        attempt: AttemptId,
        known: Box<Known>,
    },
    CaptureLearnt {
        capture: CaptureId,
        status: CaptureStatus,
        handle: Option<Handle>,
    },
    CaptureAdded(CaptureRecord),
    Won {
        attempt: AttemptId,
    },
    Ended {
        how: Ended,
        decline: Option<Decline>,
    },
    NotExecuted(NotExecuted),
    Superseded {
        attempt: AttemptId,
        by: String,
    },
    Abandoned {
        operation: OperationId,
        by: String,
    },
    CompensationWanted {
        attempt: AttemptId,
        reason: CompensationReason,
    },
    CompensationOpened {
        attempt: AttemptId,
        operation: Box<OpenOp>,
    },
    CompensationClosed {
        attempt: AttemptId,
        status: CompensationStatus,
    },
    /// The host's risk check wants to look at the authorization, or has.
    RiskAfter(RiskAfter),
    ReviewRaised(ReviewReason),
    ReviewCleared {
        by: String,
    },
    RefundReserved {
        refund: RefundId,
        amount: i64,
        captures: Vec<(CaptureId, i64)>,
    },
    RefundLearnt {
        refund: RefundId,
        share: RefundShare,
        given_back: Vec<(CaptureId, i64)>,
    },
}

/// What an update changes of an intent that hasn't been confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IntentChange {
    pub(crate) amount: Option<Money>,
    pub(crate) capture_method: Option<CaptureMethod>,
    pub(crate) details: Option<IntentDetails>,
}

impl IntentEvent {
    /// A stable word for what happened.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.what {
            Happened::Created(_) => "intent.created",
            Happened::Updated(_) => "intent.updated",
            Happened::Planned(_) => "intent.routed",
            Happened::AttemptOpened(_) => "attempt.opened",
            Happened::OperationOpened(_) => "operation.opened",
            Happened::CaptureReserved(_) => "capture.reserved",
            Happened::StepRecorded { .. } => "operation.step_recorded",
            Happened::OperationUnknown { .. } => "operation.unknown",
            Happened::OperationClosed { .. } => "operation.closed",
            Happened::AttemptLearnt { .. } => "attempt.learnt",
            Happened::CaptureLearnt { .. } => "capture.learnt",
            Happened::CaptureAdded(_) => "capture.added",
            Happened::Won { .. } => "attempt.won",
            Happened::Ended { .. } => "intent.ended",
            Happened::NotExecuted(_) => "attempt.not_executed",
            Happened::Superseded { .. } => "attempt.superseded",
            Happened::Abandoned { .. } => "operation.abandoned",
            Happened::CompensationWanted { .. } => "compensation.wanted",
            Happened::CompensationOpened { .. } => "compensation.opened",
            Happened::CompensationClosed { .. } => "compensation.closed",
            Happened::RiskAfter(_) => "intent.risk_after",
            Happened::ReviewRaised(_) => "review.raised",
            Happened::ReviewCleared { .. } => "review.cleared",
            Happened::RefundReserved { .. } => "refund.reserved",
            Happened::RefundLearnt { .. } => "refund.learnt",
        }
    }
}

/// The state after `event`. Total: an event that speaks of what isn't there changes nothing but the time.
///
/// The first event of an intent is its creation; any other on nothing gives nothing.
pub(crate) fn apply(state: Option<Intent>, event: &IntentEvent) -> Option<Intent> {
    let mut state = match (state, &event.what) {
        (None, Happened::Created(intent)) => return Some((**intent).clone()),
        (None, _) => return None,
        (Some(state), _) => state,
    };
    state.advance(event);
    Some(state)
}

impl Intent {
    /// Takes it through `event`: what [`apply`] does where there is a state, in place.
    pub(crate) fn advance(&mut self, event: &IntentEvent) {
        self.updated_at = event.at;
        self.absorb(&event.what);
        self.recount();
        self.status = self.derived_status();
    }

    fn absorb(&mut self, what: &Happened) {
        match what {
            Happened::Created(_) => {}
            Happened::Updated(change) => self.change(change),
            Happened::Planned(plan) => self.plan = Some(plan.clone()),
            Happened::AttemptOpened(attempt) => {
                self.last_failure = None;
                self.scheduled_for = None;
                self.attempts.push((**attempt).clone());
            }
            Happened::OperationOpened(open) => {
                self.operations.push(record_of(open));
                self.open_op = Some((**open).clone());
            }
            Happened::CaptureReserved(capture) | Happened::CaptureAdded(capture) => {
                self.captures.push(capture.clone())
            }
            Happened::StepRecorded {
                operation,
                step,
                handle,
            } => self.record_step(*operation, step, handle.as_ref()),
            Happened::OperationUnknown {
                operation,
                since,
                doubt,
            } => {
                self.note_operation(*operation, OperationStatus::Unknown);
                if let Some(open) = self.lock_mut(*operation) {
                    open.stage = OpStage::Unknown {
                        since: *since,
                        doubt: doubt.clone(),
                    };
                }
            }
            Happened::OperationClosed { operation, status } => self.close_operation(*operation, *status),
            Happened::AttemptLearnt { attempt, known } => self.learn(*attempt, known),
            Happened::CaptureLearnt {
                capture,
                status,
                handle,
            } => {
                if let Some(record) = self.captures.iter_mut().find(|record| record.id == *capture) {
                    record.status = *status;
                    record.handle = handle.clone().or(record.handle.take());
                }
            }
            Happened::Won { attempt } => {
                self.winner = Some(*attempt);
                self.ended = None;
                self.last_decline = None;
            }
            Happened::Ended { how, decline } => {
                self.ended = Some(*how);
                if decline.is_some() {
                    self.last_decline = decline.clone();
                }
            }
            Happened::NotExecuted(proof) => self.last_failure = Some(proof.clone()),
            Happened::Superseded { attempt, .. } => self.close_attempt(*attempt, Closure::Superseded),
            Happened::Abandoned { operation, .. } => self.abandon(*operation),
            Happened::CompensationWanted { attempt, reason } => {
                let wanted = Compensation {
                    reason: *reason,
                    status: CompensationStatus::Wanted,
                    open_op: None,
                };
                self.with_attempt(*attempt, |attempt| attempt.compensation = Some(wanted));
            }
            Happened::CompensationOpened { attempt, operation } => {
                self.operations.push(record_of(operation));
                self.with_attempt(*attempt, |attempt| {
                    if let Some(compensation) = &mut attempt.compensation {
                        compensation.open_op = Some((**operation).clone());
                    }
                });
            }
            Happened::CompensationClosed { attempt, status } => self.with_attempt(*attempt, |attempt| {
                if let Some(compensation) = &mut attempt.compensation {
                    compensation.status = *status;
                }
            }),
            Happened::ReviewRaised(reason) => {
                let since = self.updated_at;
                self.review.get_or_insert(Review {
                    reason: *reason,
                    since,
                });
            }
            Happened::ReviewCleared { .. } => self.review = None,
            Happened::RiskAfter(wanted) => self.risk_after = *wanted,
            Happened::RefundReserved {
                refund,
                amount,
                captures,
            } => {
                self.refunds.entry(*refund).or_default().pending += amount;
                self.take_of_captures(captures, 1);
            }
            Happened::RefundLearnt {
                refund,
                share,
                given_back,
            } => {
                let at = self.updated_at;
                let known = self.refunds.entry(*refund).or_default();
                *known = RefundShare {
                    failures: share.failures.max(known.failures),
                    failed_at: match share.failures > known.failures {
                        true => Some(at),
                        false => known.failed_at,
                    },
                    ..*share
                };
                self.take_of_captures(given_back, -1);
            }
        }
    }

    fn change(&mut self, change: &IntentChange) {
        if let Some(amount) = change.amount {
            self.amount = amount;
        }
        if let Some(capture_method) = change.capture_method {
            self.capture_method = capture_method;
        }
        if let Some(details) = &change.details {
            self.details = details.clone().into();
        }
    }

    fn with_attempt(&mut self, id: AttemptId, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempt_mut(id) {
            change(attempt);
        }
    }

    fn close_attempt(&mut self, id: AttemptId, closure: Closure) {
        self.with_attempt(id, |attempt| attempt.closure = closure);
    }

    fn lock_mut(&mut self, id: OperationId) -> Option<&mut OpenOp> {
        let compensations = self
            .attempts
            .iter_mut()
            .filter_map(|attempt| attempt.compensation.as_mut()?.open_op.as_mut());
        self.open_op
            .iter_mut()
            .chain(compensations)
            .find(|open| open.id == id)
    }

    fn note_operation(&mut self, id: OperationId, status: OperationStatus) {
        if let Some(operation) = self.operations.iter_mut().find(|operation| operation.id == id) {
            operation.status = status;
        }
    }

    fn record_step(&mut self, operation: OperationId, step: &StepRecord, handle: Option<&Handle>) {
        let Some(open) = self.lock_mut(operation) else {
            return;
        };
        let attempt = open.attempt;
        match open.steps.iter_mut().find(|known| known.step == step.step) {
            Some(known) => *known = step.clone(),
            None => open.steps.push(step.clone()),
        }
        if let Some(handle) = handle {
            self.with_attempt(attempt, |attempt| {
                attempt.known.handle.get_or_insert_with(|| handle.clone());
            });
        }
    }

    fn close_operation(&mut self, id: OperationId, status: OperationStatus) {
        self.note_operation(id, status);
        if self.open_op.as_ref().is_some_and(|open| open.id == id) {
            self.open_op = None;
        }
        for attempt in &mut self.attempts {
            if let Some(compensation) = &mut attempt.compensation
                && compensation.open_op.as_ref().is_some_and(|open| open.id == id)
            {
                compensation.open_op = None;
            }
        }
    }

    fn abandon(&mut self, id: OperationId) {
        let authorizing = self
            .open_op
            .as_ref()
            .filter(|open| open.id == id)
            .and_then(|open| match open.kind {
                super::OperationKind::Authorize | super::OperationKind::Complete => Some(open.attempt),
                super::OperationKind::Capture
                | super::OperationKind::Increment
                | super::OperationKind::Void
                | super::OperationKind::Release
                | super::OperationKind::Cancel
                | super::OperationKind::CompensateVoid
                | super::OperationKind::CompensateRefund
                | super::OperationKind::Refund => None,
            });
        self.close_operation(id, OperationStatus::Abandoned);
        if let Some(attempt) = authorizing {
            self.close_attempt(attempt, Closure::Abandoned);
        }
    }

    fn learn(&mut self, id: AttemptId, known: &Known) {
        let Some(attempt) = self.attempt_mut(id) else {
            return;
        };
        attempt.known = known.clone();
        attempt.status = known.status();
        let news = match attempt.status {
            // One that waits after a decline has its payer try again.
            AttemptStatus::Declined | AttemptStatus::RequiresAction | AttemptStatus::Pending => {
                known.declined.clone()
            }
            AttemptStatus::Opened
            | AttemptStatus::NotExecuted
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Voided
            | AttemptStatus::Failed => None,
        };
        if news.is_some() && self.winner.is_none() {
            self.last_decline = news;
        }
    }

    fn take_of_captures(&mut self, parts: &[(CaptureId, i64)], sign: i64) {
        for (id, amount) in parts {
            if let Some(record) = self.captures.iter_mut().find(|record| record.id == *id) {
                record.refunded += sign * amount;
            }
        }
    }

    /// Counts the winner's money anew: a counter is never added to.
    fn recount(&mut self) {
        let Some(winner) = self.winner.and_then(|winner| self.attempt(winner)) else {
            return;
        };
        let known = &winner.known;
        let sum = |wanted: &[CaptureStatus]| -> i64 {
            let of_winner = self
                .captures
                .iter()
                .filter(|capture| capture.attempt == winner.id);
            of_winner
                .filter(|capture| wanted.contains(&capture.status))
                .map(|capture| capture.amount.minor())
                .sum()
        };
        let recorded = sum(&[CaptureStatus::Captured, CaptureStatus::Settled]);
        let captured = (recorded - self.unassigned_failures(winner)).max(0);
        let released = self.is_released(winner);
        let shares = self.refunds.values();
        let ours: i64 = shares.clone().map(|share| share.refunded).sum();
        self.totals = Totals {
            authorized: if released {
                captured
            } else {
                known.authorized_minor.max(captured)
            },
            capturable_max: if released {
                captured
            } else {
                known
                    .granted
                    .capturable_max
                    .unwrap_or(known.authorized_minor)
                    .max(captured)
            },
            captured,
            capture_pending: sum(&[CaptureStatus::Pending]),
            // Until a read of a later epoch says less, what was seen before a refund of ours failed counts.
            refunded: ours.max(known.refunded_minor),
            refund_pending: shares.map(|share| share.pending).sum(),
            returned: known.returned_minor,
            disputed: self.totals.disputed,
        };
    }

    /// Whether what was held and not taken is gone.
    fn is_released(&self, winner: &Attempt) -> bool {
        winner.known.is_released()
            || winner.known.closed.is_set()
            || winner.known.voided.is_set()
            || self.is_finally_captured(winner)
    }

    /// Whether a capture ended the hold. Where it isn't known which capture failed, the last one may be recorded as
    /// done although it didn't.
    pub(super) fn is_finally_captured(&self, attempt: &Attempt) -> bool {
        let is_final = |capture: &CaptureRecord| match (capture.status, capture.rest) {
            (CaptureStatus::Captured | CaptureStatus::Settled, Rest::Release) => true,
            (CaptureStatus::Captured | CaptureStatus::Settled, Rest::Keep)
            | (CaptureStatus::Pending | CaptureStatus::Declined | CaptureStatus::Failed, _) => false,
        };
        let mut captures = self.captures.iter();
        captures.any(|capture| capture.attempt == attempt.id && is_final(capture))
            && !attempt.known.held_again()
    }

    /// The status, read off what is known.
    fn derived_status(&self) -> IntentStatus {
        match self.winner.and_then(|winner| self.attempt(winner)) {
            Some(winner) => self.status_of_winner(winner),
            None => self.status_without_winner(),
        }
    }

    fn status_of_winner(&self, winner: &Attempt) -> IntentStatus {
        match winner.status {
            AttemptStatus::Voided => return IntentStatus::Voided,
            AttemptStatus::Failed => return IntentStatus::Failed,
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::NotExecuted
            | AttemptStatus::Declined
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled => {}
        }
        match self.mode {
            IntentMode::Setup | IntentMode::Verify => return IntentStatus::Succeeded,
            IntentMode::Payment => {}
        }
        let Totals {
            captured,
            capturable_max,
            returned,
            ..
        } = self.totals;
        if captured == 0 || captured < capturable_max {
            return IntentStatus::Authorized;
        }
        let open = |capture: &CaptureRecord| match capture.status {
            CaptureStatus::Captured | CaptureStatus::Pending => true,
            CaptureStatus::Settled | CaptureStatus::Declined | CaptureStatus::Failed => false,
        };
        let unsettled = self
            .captures
            .iter()
            .any(|capture| capture.attempt == winner.id && open(capture));
        match winner.success_on {
            SuccessOn::Accepted => IntentStatus::Succeeded,
            SuccessOn::Settled if !unsettled => IntentStatus::Succeeded,
            SuccessOn::Settled if returned >= captured => IntentStatus::Failed,
            SuccessOn::Settled => IntentStatus::Captured,
        }
    }

    fn status_without_winner(&self) -> IntentStatus {
        if let Some(how) = self.ended {
            return how.status();
        }
        match (
            self.live_attempt().map(|attempt| attempt.status),
            &self.open_op,
            self.scheduled_for,
        ) {
            (_, Some(_), _) => IntentStatus::Processing,
            (Some(AttemptStatus::RequiresAction), None, _) => IntentStatus::RequiresAction,
            (Some(_), None, _) => IntentStatus::Processing,
            (None, None, Some(_)) => IntentStatus::Scheduled,
            (None, None, None) => IntentStatus::Created,
        }
    }
}

impl Known {
    /// Where the attempt stands, by all that is known of it: success over decline, the end over success.
    pub(crate) fn status(&self) -> AttemptStatus {
        let again = self.held_again();
        let failed = if again { self.failed_minor } else { 0 };
        let closed = self.closed.is_set() && self.captured_minor <= failed;
        if !again
            && (self.captured.is_set() || self.closed.is_set() || self.released.is_set())
            && self.failed_minor > 0
            && self.failed_minor >= self.captured_minor
        {
            AttemptStatus::Failed
        } else if (self.voided.is_set() && self.captured_minor > 0) || (closed && self.authorized.is_set()) {
            AttemptStatus::Voided
        } else if self.settled.is_set() && !again {
            AttemptStatus::Settled
        } else if self.captured.is_set() && !again {
            AttemptStatus::Captured
        } else if self.authorized.is_set() {
            AttemptStatus::Authorized
        } else if self.declined.is_some() && (closed || !self.open_after_decline.is_set()) {
            AttemptStatus::Declined
        } else if closed {
            AttemptStatus::Cancelled
        } else if self.not_executed.is_some() {
            AttemptStatus::NotExecuted
        } else {
            match &self.waiting {
                None => AttemptStatus::Opened,
                Some(waiting) if waiting.action.is_some() => AttemptStatus::RequiresAction,
                Some(_) => AttemptStatus::Pending,
            }
        }
    }
}

fn record_of(open: &OpenOp) -> OperationRecord {
    OperationRecord {
        id: open.id,
        kind: open.kind,
        attempt: open.attempt,
        amount: open.amount,
        status: OperationStatus::Prepared,
        opened_at: open.opened_at,
        baseline: open.baseline,
        ends: open.ends,
    }
}
