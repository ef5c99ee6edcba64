//! What news makes of captures: which of them a total answers for, what was taken without being asked, what failed.

use super::details::{CaptureMethod, Rest};
use super::event::Happened;
use super::merge::Merge;
use super::state::{Attempt, CaptureRecord, Intent, Known, Mark, OperationRecord};
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
        let Some(capture) = self.capture_of(operation.id) else {
            return;
        };
        match capture.status {
            CaptureStatus::Pending if gone => {
                self.learn_capture(&capture, CaptureStatus::Declined, None);
                self.close_operation(operation.id, OperationStatus::Declined);
            }
            CaptureStatus::Pending => {}
            CaptureStatus::Captured | CaptureStatus::Settled => {
                self.close_operation(operation.id, OperationStatus::Done);
            }
            CaptureStatus::Declined | CaptureStatus::Failed => {
                self.close_operation(operation.id, OperationStatus::Declined);
            }
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

    /// What the processor had taken of the attempt before this capture: what all earlier captures and those from
    /// outside are worth.
    fn baseline(&self, operation: &OperationRecord) -> i64 {
        match &self.state.open_op {
            Some(open) if open.id == operation.id => open.baseline,
            Some(_) | None => {
                let earlier = self
                    .state
                    .captures
                    .iter()
                    .filter(|capture| capture.attempt == operation.attempt)
                    .filter(|capture| capture.operation != Some(operation.id));
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
        self.fail_captures(id);
        if known.settled.is_set() {
            for capture in of_attempt(&self.state)
                .iter()
                .filter(|c| c.status == CaptureStatus::Captured)
            {
                self.learn_capture(capture, CaptureStatus::Settled, None);
            }
        }
    }

    /// Which captures failed is known where the total that failed is the sum of these alone. Otherwise the total alone
    /// counts.
    fn fail_captures(&mut self, id: AttemptId) {
        let Some(attempt) = self.state.attempt(id) else {
            return;
        };
        let to_fail = self.state.unassigned_failures(attempt);
        let of_attempt = self.state.captures.iter().filter(|capture| capture.attempt == id);
        let may_fail: Vec<_> = of_attempt
            .filter(|capture| match capture.status {
                CaptureStatus::Pending | CaptureStatus::Captured | CaptureStatus::Settled => true,
                CaptureStatus::Declined | CaptureStatus::Failed => false,
            })
            .cloned()
            .collect();
        for capture in only_sum(&may_fail, to_fail) {
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
        let total = self.baseline(&record) + record.amount.minor();
        self.learn_capture(&capture, status, handle);
        let stands = self
            .capture_of(operation)
            .is_some_and(|capture| taken(capture.status));
        match status {
            CaptureStatus::Captured | CaptureStatus::Settled => {
                self.learn(record.attempt, |known| {
                    known.captured_minor = known.captured_minor.max(total);
                    // Nothing stays held: the attempt is captured, as a read would say.
                    if capture.rest == Rest::Release || known.captured_minor >= known.authorized_minor {
                        known.captured = Mark::Set;
                        if stands {
                            known.end_hold();
                        }
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

impl Intent {
    /// What failed of what was taken, of which no capture is known to be the one.
    pub(super) fn unassigned_failures(&self, attempt: &Attempt) -> i64 {
        let of_attempt = self
            .captures
            .iter()
            .filter(|capture| capture.attempt == attempt.id);
        let failed = of_attempt.filter(|capture| capture.status == CaptureStatus::Failed);
        let recorded: i64 = failed.map(|capture| capture.amount.minor()).sum();
        (attempt.known.failed_minor - recorded).max(0)
    }
}

/// Of more captures than these only all of them are told apart: their sums are too many to try.
const TOLD_APART: usize = 12;

/// The captures whose amounts make that sum, if there is one way alone.
fn only_sum(captures: &[CaptureRecord], sum: i64) -> Vec<&CaptureRecord> {
    let whole: i64 = captures.iter().map(|capture| capture.amount.minor()).sum();
    if sum <= 0 || sum > whole {
        return Vec::new();
    }
    if sum == whole {
        return captures.iter().collect();
    }
    if captures.len() > TOLD_APART {
        return Vec::new();
    }
    let choice = |chosen: u32| -> Vec<&CaptureRecord> {
        let numbered = captures.iter().zip(0u32..);
        numbered
            .filter(|(_, number)| chosen & (1 << number) != 0)
            .map(|(capture, _)| capture)
            .collect()
    };
    let mut ways = (1u32..1 << captures.len())
        .map(choice)
        .filter(|chosen| chosen.iter().map(|capture| capture.amount.minor()).sum::<i64>() == sum);
    match (ways.next(), ways.next()) {
        (Some(only), None) => only,
        (Some(_), Some(_)) | (None, _) => Vec::new(),
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
