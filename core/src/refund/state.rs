//! What is known of a refund.

use serde::{Deserialize, Serialize};

use super::{RefundReason, RefundStatus};
use crate::action::KeptAction;
use crate::connector::{Handle, NotExecuted};
use crate::decline::Decline;
use crate::id::{AccountRef, AttemptId, CaptureId, OperationId, PaymentIntentId, RefundId};
use crate::intent::{OpenOp, RefundShare, Review};
use crate::money::Money;
use crate::time::Timestamp;

/// The whole state of a refund, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundState {
    pub(crate) id: RefundId,
    pub(crate) intent: PaymentIntentId,
    pub(crate) attempt: AttemptId,
    pub(crate) account: AccountRef,
    pub(crate) amount: Money,
    pub(crate) reason: RefundReason,
    pub(crate) status: RefundStatus,
    pub(crate) allocations: Vec<Allocation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_op: Option<OpenOp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) review: Option<Review>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A part of a refund: one operation with a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allocation {
    /// The capture that it gives back, where the account refunds captures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureId>,
    /// What the processor knows the money by.
    pub(crate) original: Handle,
    pub(crate) amount: Money,
    pub(crate) operation: OperationId,
    pub(crate) status: AllocationStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<Handle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<KeptAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decline: Option<Decline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_executed: Option<NotExecuted>,
}

/// Where a part stands; news only ever moves it on in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AllocationStatus {
    /// Not asked yet, or asked and open.
    Waiting,
    /// The payer has to do something.
    RequiresAction,
    /// Accepted; the answer comes later.
    Pending,
    /// Stopped.
    #[serde(alias = "canceled")]
    Cancelled,
    /// Given back.
    Refunded,
    /// Not given back, or it came back.
    Failed,
}

impl RefundState {
    /// What the refund holds back or has given, for its intent's counters.
    pub(crate) fn share(&self) -> RefundShare {
        let mut share = RefundShare::default();
        for allocation in &self.allocations {
            let minor = allocation.amount.minor();
            match allocation.status {
                AllocationStatus::Waiting | AllocationStatus::RequiresAction | AllocationStatus::Pending => {
                    share.pending = share.pending.saturating_add(minor);
                }
                AllocationStatus::Refunded => share.refunded = share.refunded.saturating_add(minor),
                AllocationStatus::Cancelled | AllocationStatus::Failed => {
                    share.failures += u32::from(allocation.not_executed.is_none());
                }
            }
        }
        share
    }

    /// The part that an operation asks for.
    pub(crate) fn allocation(&self, operation: OperationId) -> Option<&Allocation> {
        self.allocations
            .iter()
            .find(|allocation| allocation.operation == operation)
    }

    /// Whether it is asked for in more than one operation.
    pub(crate) fn is_of_parts(&self) -> bool {
        self.allocations.len() > 1
    }

    /// The next part to ask for, once nothing is open.
    pub(crate) fn next_waiting(&self) -> Option<&Allocation> {
        match &self.open_op {
            Some(_) => None,
            None => self
                .allocations
                .iter()
                .find(|allocation| allocation.status == AllocationStatus::Waiting),
        }
    }

    pub(crate) fn derived_status(&self) -> RefundStatus {
        let any = |wanted| {
            self.allocations
                .iter()
                .any(|allocation| allocation.status == wanted)
        };
        if any(AllocationStatus::Waiting) {
            RefundStatus::Requested
        } else if any(AllocationStatus::RequiresAction) {
            RefundStatus::RequiresAction
        } else if any(AllocationStatus::Pending) {
            RefundStatus::Pending
        } else {
            let given = any(AllocationStatus::Refunded);
            match (
                given,
                any(AllocationStatus::Failed),
                any(AllocationStatus::Cancelled),
            ) {
                (true, false, false) => RefundStatus::Succeeded,
                (true, _, _) => RefundStatus::PartiallySucceeded,
                (false, true, _) => RefundStatus::Failed,
                (false, false, _) => RefundStatus::Cancelled,
            }
        }
    }
}
