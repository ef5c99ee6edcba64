//! The books: payments, their charges and their refunds.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::events::Event;
use crate::methods::Card;

/// An approved charge, as a test reads it. Amounts are in Stripe's units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeLine {
    /// The payment.
    pub payment_intent: String,
    /// Of its metadata, `paymux`.
    pub reference: Option<String>,
    /// The currency, in lower case.
    pub currency: String,
    /// How much was approved.
    pub amount: i64,
    /// How much of it was taken.
    pub captured: i64,
    /// How much was given back.
    pub refunded: i64,
    /// Whether what wasn't taken is given up.
    pub released: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) intents: BTreeMap<String, Intent>,
    pub(crate) charges: BTreeMap<String, Charge>,
    pub(crate) refunds: BTreeMap<String, Refund>,
    made: u64,
    /// What has happened and isn't posted yet.
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) account: Account,
    pub(crate) status: Status,
    pub(crate) amount: i64,
    pub(crate) capturable: i64,
    pub(crate) received: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: &'static str,
    pub(crate) client_secret: String,
    pub(crate) created: i64,
    pub(crate) customer: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) statement_descriptor_suffix: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) payment_method: Option<String>,
    pub(crate) card: Option<Card>,
    pub(crate) three_ds_requested: bool,
    pub(crate) multicapture: bool,
    pub(crate) incremental: bool,
    pub(crate) return_url: Option<String>,
    pub(crate) next_action: Option<Value>,
    pub(crate) last_payment_error: Option<Value>,
    pub(crate) latest_charge: Option<String>,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) cancellation_reason: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) intent: String,
    pub(crate) amount: i64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) created: i64,
    pub(crate) approved: bool,
    pub(crate) authenticated: bool,
    pub(crate) failure_code: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
}

impl RefundStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) account: Account,
    pub(crate) intent: String,
    pub(crate) charge: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) created: i64,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) reason: Option<String>,
    pub(crate) status: RefundStatus,
    pub(crate) failure_reason: Option<&'static str>,
}

/// Whose an object is: the key's own account, or one that is connected to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) key: String,
    pub(crate) connected: Option<String>,
}

impl Account {
    /// What its idempotency keys are kept under.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.key, self.connected.as_deref().unwrap_or_default())
    }
}

impl Book {
    /// A new identifier. They sort by their making.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_{:024}", self.made)
    }

    pub(crate) fn charge_lines(&self) -> Vec<ChargeLine> {
        let approved = self.charges.values().filter(|charge| charge.approved);
        let lines = approved.filter_map(|charge| {
            let intent = self.intents.get(&charge.intent)?;
            Some(ChargeLine {
                payment_intent: charge.intent.clone(),
                reference: intent.metadata.get("paymux").cloned(),
                currency: intent.currency.clone(),
                amount: charge.amount,
                captured: charge.captured,
                refunded: charge.refunded,
                released: intent.capturable == 0 && charge.captured < charge.amount,
            })
        });
        lines.collect()
    }
}
