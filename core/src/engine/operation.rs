//! Opens an operation on an authorized or live attempt: capture, increment, void, release, cancel, complete.

use std::sync::Arc;

use super::Inner;
use super::call::{Call, CannotCall};
use crate::connector::Connector;
use crate::id::{CaptureId, OperationId};
use crate::intent::{
    Attempt, CaptureRecord, CaptureStatus, Command, Ended, Intent, KeyUse, OpStage, OpenOp, OperationKind,
    Rest,
};
use crate::money::Money;
use crate::secret::Volatile;

/// What an operation is to be.
#[derive(Clone, Debug)]
pub(crate) struct OpRequest {
    pub(crate) kind: OperationKind,
    /// How much: for an increment, the new total.
    pub(crate) amount: Money,
    pub(crate) rest: Rest,
    pub(crate) used: Option<KeyUse>,
    /// How the intent ends once a cancel is done.
    pub(crate) ends: Option<Ended>,
}

impl Inner {
    /// Builds an operation's command and its first call. Nothing is written yet: what can't be built fails here.
    pub(crate) fn open_operation(
        &self,
        state: &Intent,
        attempt: &Attempt,
        connector: &Arc<Connector>,
        request: OpRequest,
    ) -> Result<(Command, OperationId, Call), CannotCall> {
        self.open_with(state, attempt, connector, request, &Volatile::default())
    }

    pub(crate) fn open_with(
        &self,
        state: &Intent,
        attempt: &Attempt,
        connector: &Arc<Connector>,
        request: OpRequest,
        payload: &Volatile,
    ) -> Result<(Command, OperationId, Call), CannotCall> {
        let mode = state.id.mode();
        let id = OperationId::from_uuid(mode, self.uuid());
        let capture = match request.kind {
            OperationKind::Capture => Some(CaptureId::from_uuid(mode, self.uuid())),
            _other => None,
        };
        let baseline = match request.kind {
            OperationKind::Increment => attempt.known.authorized_minor,
            OperationKind::CompensateRefund => attempt.known.refunded_minor,
            _other => attempt.known.captured_minor,
        };
        let open = OpenOp {
            id,
            kind: request.kind,
            account: attempt.account.clone(),
            attempt: attempt.id,
            capture,
            amount: request.amount,
            rest: request.rest,
            baseline,
            steps: Vec::new(),
            stage: OpStage::Prepared,
            idempotency: request.used,
            opened_at: self.runtime.clock.now(),
            ends: request.ends,
        };
        let call = Call::next(
            self.runtime.clock.elapsed(),
            connector,
            state,
            attempt,
            &open,
            payload,
        )
        .inspect_err(|cannot| self.note_cannot(connector.account(), cannot))?;
        let operation = Box::new(OpenOp {
            steps: vec![call.record.clone()],
            ..open
        });
        let command = match request.kind {
            OperationKind::Capture => Command::Capture {
                capture: CaptureRecord {
                    id: capture.unwrap_or_else(|| CaptureId::from_uuid(mode, id.uuid())),
                    attempt: attempt.id,
                    amount: request.amount,
                    rest: request.rest,
                    status: CaptureStatus::Pending,
                    handle: None,
                    refunded: 0,
                    operation: Some(id),
                },
                operation,
            },
            OperationKind::Increment => Command::Increment(operation),
            OperationKind::Void => Command::Void {
                operation,
                after_capture: connector.capabilities.void_after_capture,
            },
            OperationKind::Release => Command::Release(operation),
            OperationKind::Cancel => Command::CloseLive(operation),
            OperationKind::Complete => Command::Complete(operation),
            OperationKind::CompensateVoid | OperationKind::CompensateRefund => Command::Compensate {
                attempt: attempt.id,
                operation,
            },
            OperationKind::Authorize | OperationKind::Refund => {
                return Err(CannotCall::NotOffered("operation"));
            }
        };
        Ok((command, id, call))
    }
}
