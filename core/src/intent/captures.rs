//! What news makes of captures: which of them a total answers for, what was taken without being asked, what failed.

use super::details::{CaptureMethod, Rest};
use super::event::Happened;
use super::merge::Merge;
use super::state::{CaptureRecord, Intent, Known, Mark, OperationRecord};
use super::status::{AttemptStatus, CaptureStatus, OperationStatus};
use crate::connector::{CaptureReport, Handle};
use crate::id::{AttemptId, OperationId};

impl Merge<'_> {
    /// A capture that has no answer when the authorization is gone gets none.
    pub(super) fn settle_capture(
        &mut self,
        operation: &OperationRecord,
        known: &Known,
        status: AttemptStatus,
    ) {
        let gone = match status {
            AttemptStatus::Voided | AttemptStatus::Cancelled | AttemptStatus::Failed => true,
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::NotExecuted
            | AttemptStatus::Declined
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled => known.closed.is_set(),
        };
        self.attribute(operation.attempt);
        let open = self
            .capture_of(operation.id)
            .filter(|capture| capture.status == CaptureStatus::Pending);
        if let Some(capture) = open.filter(|_| gone) {
            self.learn_capture(&capture, CaptureStatus::Declined, None);
            self.close_operation(operation.id, OperationStatus::Declined);
        }
    }

    /// What is taken in all answers for what was asked only where it covers everything asked: a part of it could
    /// be any.
    fn attribute(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempt(id) else {
            return;
        };
        let total = attempt.known.captured_minor;
        let of_attempt = self.state.captures.iter().filter(|capture| capture.attempt == id);
        let recorded: i64 = of_attempt
            .clone()
            .filter(|capture| once_taken(capture.status))
            .map(|capture| capture.amount.minor())
            .sum();
        let asked: Vec<_> = of_attempt
            .filter(|capture| capture.status == CaptureStatus::Pending)
            .cloned()
            .collect();
        let open: i64 = asked.iter().map(|capture| capture.amount.minor()).sum();
        if total < recorded + open {
            return;
        }
        for capture in asked {
            self.learn_capture(&capture, CaptureStatus::Captured, None);
            if let Some(operation) = capture.operation {
                self.close_operation(operation, OperationStatus::Done);
            }
        }
    }

    /// What the processor had taken before this capture: what all earlier captures and those from outside are worth.
    pub(super) fn baseline(&self, operation: OperationId) -> i64 {
        match &self.state.open_op {
            Some(open) if open.id == operation => open.baseline,
            Some(_) | None => {
                let earlier = self
                    .state
                    .captures
                    .iter()
                    .filter(|capture| capture.operation != Some(operation));
                earlier
                    .filter(|capture| once_taken(capture.status))
                    .map(|capture| capture.amount.minor())
                    .sum()
            }
        }
    }

    pub(super) fn capture_of(&self, operation: OperationId) -> Option<CaptureRecord> {
        self.state
            .captures
            .iter()
            .find(|capture| capture.operation == Some(operation))
            .cloned()
    }

    pub(super) fn learn_capture(
        &mut self,
        capture: &CaptureRecord,
        status: CaptureStatus,
        handle: Option<Handle>,
    ) {
        if capture.status < status || (handle.is_some() && capture.handle.is_none()) {
            let status = capture.status.max(status);
            self.happen(Happened::CaptureLearnt {
                capture: capture.id,
                status,
                handle,
            });
        }
    }

    /// Brings the captures' records up to what is known to be taken, settled and failed.
    pub(super) fn settle_captures(&mut self, id: AttemptId) {
        self.attribute(id);
        let Some(attempt) = self.state.attempt(id).cloned() else {
            return;
        };
        let known = &attempt.known;
        let of_attempt = |state: &Intent| -> Vec<CaptureRecord> {
            state
                .captures
                .iter()
                .filter(|capture| capture.attempt == id)
                .cloned()
                .collect()
        };
        let captures = of_attempt(&self.state);
        let recorded: i64 = captures
            .iter()
            .filter(|capture| taken(capture.status))
            .map(|c| c.amount.minor())
            .sum();
        let asked = captures
            .iter()
            .any(|capture| capture.status == CaptureStatus::Pending);
        let missing = known.captured_minor - recorded - recorded_failed(&captures);
        if missing > 0 && !asked {
            let whole =
                known.captured_minor >= known.granted.capturable_max.unwrap_or(known.authorized_minor);
            let automatic = self.state.capture_method == CaptureMethod::Automatic;
            let record = CaptureRecord {
                id: self.observation.fresh_capture,
                attempt: id,
                amount: self.state.money(missing),
                rest: if whole || automatic {
                    Rest::Release
                } else {
                    Rest::Keep
                },
                status: CaptureStatus::Captured,
                handle: None,
                refunded: 0,
                operation: None,
            };
            self.happen(Happened::CaptureAdded(record));
        }
        let mut to_fail = known.failed_minor - recorded_failed(&of_attempt(&self.state));
        for capture in of_attempt(&self.state).iter().rev() {
            let may_fail =
                capture.status < CaptureStatus::Failed && capture.status != CaptureStatus::Declined;
            if may_fail && to_fail > 0 && capture.amount.minor() <= to_fail {
                to_fail -= capture.amount.minor();
                self.happen(Happened::CaptureLearnt {
                    capture: capture.id,
                    status: CaptureStatus::Failed,
                    handle: None,
                });
                if let Some(operation) = capture.operation {
                    self.close_operation(operation, OperationStatus::Declined);
                }
            }
        }
        if known.settled.is_set() {
            for capture in of_attempt(&self.state)
                .iter()
                .filter(|c| c.status == CaptureStatus::Captured)
            {
                self.learn_capture(capture, CaptureStatus::Settled, None);
            }
        }
    }

    pub(super) fn capture(&mut self, operation: OperationId, report: &CaptureReport) {
        let Some(record) = self.state.operation(operation).cloned() else {
            return;
        };
        let Some(capture) = self.capture_of(operation) else {
            return;
        };
        let (status, handle) = match report {
            CaptureReport::Captured(handle, _) => (CaptureStatus::Captured, Some(handle.clone())),
            CaptureReport::Settled(handle, _) => (CaptureStatus::Settled, Some(handle.clone())),
            CaptureReport::Pending(handle, _) => (CaptureStatus::Pending, Some(handle.clone())),
            CaptureReport::Declined(_) => (CaptureStatus::Declined, None),
        };
        let total = self.baseline(operation) + record.amount.minor();
        self.learn_capture(&capture, status, handle);
        match status {
            CaptureStatus::Captured | CaptureStatus::Settled => {
                self.learn(record.attempt, |known| {
                    known.captured_minor = known.captured_minor.max(total);
                    // Nothing stays held: the attempt is captured, as a read would say.
                    if capture.rest == Rest::Release || known.captured_minor >= known.authorized_minor {
                        known.captured = Mark::Set;
                    }
                });
                self.close_operation(operation, OperationStatus::Done);
            }
            CaptureStatus::Pending => self.close_operation(operation, OperationStatus::Pending),
            CaptureStatus::Declined | CaptureStatus::Failed => {
                self.close_operation(operation, OperationStatus::Declined);
            }
        }
        self.settle_captures(record.attempt);
    }
}

fn taken(status: CaptureStatus) -> bool {
    match status {
        CaptureStatus::Captured | CaptureStatus::Settled => true,
        CaptureStatus::Pending | CaptureStatus::Declined | CaptureStatus::Failed => false,
    }
}

/// Counts among what was taken in all, from which failures aren't subtracted.
fn once_taken(status: CaptureStatus) -> bool {
    taken(status) || status == CaptureStatus::Failed
}

/// What is recorded as taken once and failed later.
fn recorded_failed(captures: &[CaptureRecord]) -> i64 {
    let failed = captures
        .iter()
        .filter(|capture| capture.status == CaptureStatus::Failed);
    failed.map(|capture| capture.amount.minor()).sum()
}
