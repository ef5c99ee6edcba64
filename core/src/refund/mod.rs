//! Refunds: captured money given back. A refund is an aggregate with a lock of its own; what it gives back is
//! reserved on its intent in the commit that writes it.

mod machine;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use machine::{Command, RefundEvent, RefundHappened, RefundNews, apply, decide, merge};
pub(crate) use state::{Allocation, AllocationStatus, RefundState};

use crate::decline::Decline;
use crate::id::{AccountRef, PaymentIntentId, RefundId};
use crate::money::Money;
use crate::time::Timestamp;

/// Why money is given back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefundReason {
    /// The order was placed twice.
    DuplicateOrder,
    /// The goods came back.
    GoodsReturned,
    /// The order was cancelled.
    OrderCancelled,
    /// The merchant has no stock.
    MerchantOutOfStock,
    /// The goods never arrived.
    GoodsNotReceived,
    /// The payment was confirmed too late.
    LateConfirmation,
    /// A dispute.
    Dispute,
    /// The customer asked.
    RequestedByCustomer,
    /// Fraud.
    Fraudulent,
    /// Another reason, in the host's words.
    Other(String),
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Asked for; the answer is open.
    Requested,
    /// The payer has to do something.
    RequiresAction,
    /// Accepted; the answer comes later.
    Pending,
    /// Given back.
    Succeeded,
    /// Some of it given back; the rest failed.
    PartiallySucceeded,
    /// Not given back: the money is available again.
    Failed,
    /// Stopped.
    #[serde(alias = "canceled")]
    Cancelled,
}

impl RefundStatus {
    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::RequiresAction => "requires_action",
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::PartiallySucceeded => "partially_succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What to give back.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct NewRefund {
    pub(crate) amount: Option<Money>,
    pub(crate) reason: RefundReason,
}

impl NewRefund {
    /// All that is available.
    pub fn available(reason: RefundReason) -> Self {
        Self { amount: None, reason }
    }

    /// This much.
    pub fn part(amount: Money, reason: RefundReason) -> Self {
        Self {
            amount: Some(amount),
            reason,
        }
    }
}

/// A refund as it stood when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub(crate) state: Arc<RefundState>,
    pub(crate) version: u64,
}

impl Refund {
    /// Its identifier.
    pub fn id(&self) -> &RefundId {
        &self.state.id
    }

    /// The payment that it gives back.
    pub fn intent(&self) -> &PaymentIntentId {
        &self.state.intent
    }

    /// Where it stands.
    pub fn status(&self) -> RefundStatus {
        self.state.status
    }

    /// How much was asked.
    pub fn amount(&self) -> Money {
        self.state.amount
    }

    /// How much was given back.
    pub fn refunded(&self) -> Money {
        Money::from_minor(self.state.share().refunded, self.state.amount.currency())
    }

    /// Why.
    pub fn reason(&self) -> &RefundReason {
        &self.state.reason
    }

    /// The account that it goes to: the one that captured.
    pub fn account(&self) -> &AccountRef {
        &self.state.account
    }

    /// The last no, if there was one.
    pub fn last_decline(&self) -> Option<&Decline> {
        self.state
            .allocations
            .iter()
            .rev()
            .find_map(|allocation| allocation.decline.as_ref())
    }

    /// When it was asked for.
    pub fn created_at(&self) -> Timestamp {
        self.state.created_at
    }

    /// How often it was written.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// The public form: no internals, no personal data.
impl Serialize for Refund {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Public<'a> {
            id: RefundId,
            intent: PaymentIntentId,
            status: RefundStatus,
            amount: Money,
            refunded: Money,
            reason: &'a RefundReason,
            #[serde(skip_serializing_if = "Option::is_none")]
            last_decline: Option<&'a Decline>,
            created_at: Timestamp,
            updated_at: Timestamp,
        }
        Public {
            id: self.state.id,
            intent: self.state.intent,
            status: self.state.status,
            amount: self.state.amount,
            refunded: self.refunded(),
            reason: &self.state.reason,
            last_decline: self.last_decline(),
            created_at: self.state.created_at,
            updated_at: self.state.updated_at,
        }
        .serialize(serializer)
    }
}
