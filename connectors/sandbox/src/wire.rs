//! The processor's JSON: what its API takes and gives, for both of its ends.

use std::collections::BTreeMap;

use paymux_core::{
    CaptureMethod, Challenge, Grant, IntentMode, MitReason, Money, RefundReason, Rest, ThreeDs, Timestamp,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::ledger::PaymentState;

/// `POST /payments`
#[derive(Serialize, Deserialize)]
pub(crate) struct NewPayment {
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) capture: CaptureMethod,
    pub(crate) mode: IntentMode,
    pub(crate) challenge: Challenge,
    pub(crate) confirm: Confirm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) statement_descriptor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mit: Option<MitReason>,
}

/// Whether a new payment is executed at once.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confirm {
    Now,
    Later,
}

/// How the payer pays. It may hold what must not be printed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    Card { token: String },
    NetworkToken { token: String, cryptogram: String },
    Wallet { wallet: String, payload: String },
    BankRedirect { scheme: String },
    OpenBanking { institution: String },
    DirectDebit { mandate: String },
    Voucher { scheme: String },
    BankTransfer,
    Bnpl { provider: String },
    Provider { kind: String, data: serde_json::Value },
}

impl Method {
    /// What it names: a magic token works in any method.
    pub(crate) fn named(&self) -> Option<&str> {
        match self {
            Self::Card { token } | Self::NetworkToken { token, .. } => Some(token),
            Self::Wallet { wallet, .. } => Some(wallet),
            Self::BankRedirect { scheme } | Self::Voucher { scheme } => Some(scheme),
            Self::OpenBanking { institution } => Some(institution),
            Self::DirectDebit { mandate } => Some(mandate),
            Self::BankTransfer => None,
            Self::Bnpl { provider } => Some(provider),
            Self::Provider { kind, .. } => Some(kind),
        }
    }
}

/// `POST /payments/{id}/confirm`
#[derive(Serialize, Deserialize)]
pub(crate) struct ConfirmPayment {
    pub(crate) method: Method,
    pub(crate) challenge: Challenge,
}

/// `POST /payments/{id}/complete`
#[derive(Serialize, Deserialize)]
pub(crate) struct CompletePayment {
    pub(crate) payload: String,
}

/// `POST /payments/{id}/captures`
#[derive(Serialize, Deserialize)]
pub(crate) struct NewCapture {
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) rest: Rest,
}

/// `POST /payments/{id}/increments`
#[derive(Serialize, Deserialize)]
pub(crate) struct NewIncrement {
    pub(crate) reference: String,
    pub(crate) by: Money,
    pub(crate) total: Money,
}

/// `POST /payments/{id}/void` and `POST /payments/{id}/cancel`
#[derive(Serialize, Deserialize)]
pub(crate) struct ClosePayment {
    pub(crate) reference: String,
    pub(crate) amount: Money,
}

/// `POST /refunds`
#[derive(Serialize, Deserialize)]
pub(crate) struct NewRefund {
    pub(crate) reference: String,
    /// A payment's or a capture's identifier.
    pub(crate) original: String,
    pub(crate) amount: Money,
    pub(crate) reason: RefundReason,
}

/// A payment, in every answer about one.
#[derive(Serialize, Deserialize)]
pub(crate) struct PaymentObject {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    pub(crate) amount: Money,
    pub(crate) state: PaymentState,
    pub(crate) authorized: Money,
    /// What is held, where the bank held less than was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<Money>,
    pub(crate) captured: Money,
    /// What a bank refused of what it had accepted to be taken.
    pub(crate) failed: Money,
    pub(crate) refunded: Money,
    pub(crate) returned: Money,
    pub(crate) multicapture: Grant,
    pub(crate) incremental: Grant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<ActionObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capture_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network_transaction_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) three_ds: Option<ThreeDs>,
}

/// What the payer has to do.
#[derive(Serialize, Deserialize)]
pub(crate) struct ActionObject {
    pub(crate) what: ActionWhat,
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ActionWhat {
    Redirect { url: String },
    Fingerprint { url: String, client_secret: String },
    Voucher { number: String },
    Transfer { account: String, text: String },
}

/// An answer to a capture, a void, a cancel, a refund: the operation's own amount and reference.
#[derive(Serialize, Deserialize)]
pub(crate) struct OperationObject {
    pub(crate) id: String,
    pub(crate) payment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    pub(crate) amount: Money,
    pub(crate) state: OperationState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationState {
    Done,
    Settled,
    Pending,
    Failed,
}

/// An answer to an increment.
#[derive(Serialize, Deserialize)]
pub(crate) struct IncrementObject {
    pub(crate) reference: String,
    pub(crate) total: Money,
    pub(crate) state: OperationState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    pub(crate) payment: PaymentObject,
}

/// A list.
#[derive(Serialize, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
}

/// What is posted to webhook endpoints.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) about: About,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<String>,
    /// The object as it stood, where the account's webhooks carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    Payment,
    Refund,
}

/// An object as it goes over the wire.
pub(crate) fn to_json(object: &impl Serialize) -> Box<RawValue> {
    to_raw_value(object).unwrap_or_default()
}

/// Reads what came over the wire.
pub(crate) fn from_json<T: DeserializeOwned>(json: &RawValue) -> serde_json::Result<T> {
    serde_json::from_slice(json.get().as_bytes())
}

/// Writes `text` so that it can stand in a URL's path or query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// Reads what [`escape`] wrote; none where it isn't such a text.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
