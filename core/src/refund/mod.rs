//! Refunds.

use serde::{Deserialize, Serialize};

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
