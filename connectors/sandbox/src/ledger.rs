//! What the processor's books show: entries, as inspectors read them.

use std::collections::BTreeMap;

use paymux_core::{
    CaptureMethod, Challenge, IntentMode, MitReason, Money, MoneyError, Rest, ThreeDs, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::magic::Magic;

/// Where a payment stands in the processor's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Made, not confirmed: nothing was asked of a bank.
    Created,
    /// The payer has to act.
    RequiresAction,
    /// The bank hasn't answered yet.
    Processing,
    /// Money is held; some of it may be captured already.
    Authorized,
    /// Money is taken, and nothing is held any more.
    Captured,
    /// What was taken has arrived.
    Settled,
    /// The method is kept or checked; no money was asked for.
    Verified,
    /// The bank said no.
    Declined,
    /// Held once, given back.
    Voided,
    /// Stopped before anything was held.
    Cancelled,
}

impl PaymentState {
    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Settled => "settled",
            Self::Verified => "verified",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A payment in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Payment {
    /// The account it belongs to.
    pub account: String,
    /// The processor's identifier.
    pub handle: String,
    /// The caller's reference: paymux sends the operation's.
    pub reference: String,
    /// The merchant's own reference, sent along.
    pub merchant_reference: Option<String>,
    /// The merchant's own pairs, sent along.
    pub metadata: BTreeMap<String, String>,
    /// What the payment method names: the card's token, the bank's scheme.
    pub token: Option<String>,
    /// What it is to achieve.
    pub mode: IntentMode,
    /// When the money is taken.
    pub capture: CaptureMethod,
    /// How much was asked.
    pub amount: Money,
    /// Where it stands.
    pub state: PaymentState,
    /// How much is or was held in all.
    pub authorized: Money,
    /// How much is taken in all, refunds not subtracted.
    pub captured: Money,
    /// How much was given back in all.
    pub refunded: Money,
    /// How much is on its way back.
    pub refund_pending: Money,
    /// How much the payer's bank took back in all.
    pub returned: Money,
    /// Its captures, oldest first.
    pub captures: Vec<CaptureEntry>,
    /// The processor's word for why it was declined.
    pub decline: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When what is held lapses.
    pub capture_before: Option<Timestamp>,
    /// The network's identifier.
    pub network_transaction_id: Option<String>,
    /// The result of the authentication.
    pub three_ds: Option<ThreeDs>,
    /// What the payer has to do.
    pub(crate) action: Option<ActionStep>,
    /// When the bank answers, while it is being processed.
    pub(crate) answer_due: Option<Timestamp>,
    /// Whether what isn't captured stays held.
    pub(crate) rest: Rest,
    pub(crate) challenge: Challenge,
    pub(crate) mit: Option<MitReason>,
    pub(crate) return_url: Option<String>,
}

impl Payment {
    /// How much is held and not captured.
    pub fn held(&self) -> Money {
        let zero = Money::zero(self.amount.currency());
        match self.state {
            PaymentState::Authorized => self.open().unwrap_or(zero),
            PaymentState::Created
            | PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Declined
            | PaymentState::Voided
            | PaymentState::Cancelled => zero,
        }
    }

    /// How much of what was accepted to be taken failed after all.
    pub(crate) fn failed(&self) -> Money {
        let failed = self
            .captures
            .iter()
            .filter(|capture| capture.state == CaptureState::Failed);
        let minor = failed.map(|capture| capture.amount.minor()).sum();
        Money::from_minor(minor, self.amount.currency())
    }

    /// How much of the payer's money the merchant has: captured, less refunded and returned.
    pub fn kept(&self) -> Money {
        let kept = self
            .captured
            .checked_sub(self.refunded)
            .and_then(|rest| rest.checked_sub(self.returned));
        kept.unwrap_or(Money::zero(self.amount.currency()))
    }

    /// Whether the payer is charged: money is held, being captured, or taken and not given back.
    pub fn is_live(&self) -> bool {
        let capturing = self
            .captures
            .iter()
            .any(|capture| capture.state == CaptureState::Pending);
        capturing || self.held().minor() > 0 || self.kept().minor() > 0
    }

    pub(crate) fn magic(&self) -> Magic {
        self.token
            .as_deref()
            .and_then(Magic::of)
            .unwrap_or(Magic::Approve)
    }

    /// Authorized, less what is captured or being captured.
    pub(crate) fn open(&self) -> Result<Money, MoneyError> {
        let mut open = self.authorized;
        for capture in &self.captures {
            match capture.state {
                CaptureState::Pending | CaptureState::Captured | CaptureState::Settled => {
                    open = open.checked_sub(capture.amount)?;
                }
                CaptureState::Failed | CaptureState::Voided => {}
            }
        }
        Ok(open)
    }

    /// How much may be refunded.
    pub(crate) fn refundable(&self) -> Result<Money, MoneyError> {
        self.captured
            .checked_sub(self.refunded)?
            .checked_sub(self.refund_pending)?
            .checked_sub(self.returned)
    }

    /// Sums its captures anew and takes the state that follows from them.
    pub(crate) fn recount(&mut self) -> Result<(), MoneyError> {
        let mut captured = Money::zero(self.amount.currency());
        let (mut pending, mut unsettled) = (false, false);
        for capture in &self.captures {
            match capture.state {
                CaptureState::Pending => pending = true,
                CaptureState::Captured => {
                    captured = captured.checked_add(capture.amount)?;
                    unsettled = true;
                }
                CaptureState::Settled => captured = captured.checked_add(capture.amount)?,
                CaptureState::Failed | CaptureState::Voided => {}
            }
        }
        self.captured = captured;
        let held = self.rest == Rest::Keep && self.open()?.minor() > 0;
        self.state = if pending || held {
            PaymentState::Authorized
        } else if captured.minor() == 0 {
            PaymentState::Voided
        } else if unsettled {
            PaymentState::Captured
        } else {
            PaymentState::Settled
        };
        Ok(())
    }

    /// When time alone changes it next.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let lapse = match self.state {
            PaymentState::Authorized => self.capture_before,
            PaymentState::RequiresAction => self.action.as_ref().map(|action| action.expires_at),
            PaymentState::Processing => self.answer_due,
            PaymentState::Created
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Declined
            | PaymentState::Voided
            | PaymentState::Cancelled => None,
        };
        self.captures
            .iter()
            .filter_map(CaptureEntry::due)
            .chain(lapse)
            .min()
    }
}

/// A capture in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaptureEntry {
    /// The processor's identifier.
    pub handle: String,
    /// The caller's reference; none where the money was taken with the authorization.
    pub reference: Option<String>,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: CaptureState,
    /// How much of it was given back or is on its way back.
    pub refunded: Money,
    /// What happens to the rest of the authorization.
    pub(crate) rest: Rest,
    /// When time settles or fails it.
    pub(crate) turns_at: Option<Timestamp>,
}

impl CaptureEntry {
    fn due(&self) -> Option<Timestamp> {
        match self.state {
            CaptureState::Pending | CaptureState::Captured => self.turns_at,
            CaptureState::Settled | CaptureState::Failed | CaptureState::Voided => None,
        }
    }
}

/// Where a capture stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureState {
    /// Accepted; the bank hasn't answered yet.
    Pending,
    /// Taken.
    Captured,
    /// Arrived.
    Settled,
    /// Refused by the bank.
    Failed,
    /// Given back by a void.
    Voided,
}

/// A refund in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefundEntry {
    /// The account it belongs to.
    pub account: String,
    /// The processor's identifier.
    pub handle: String,
    /// The caller's reference; none where it was made in the processor's dashboard.
    pub reference: Option<String>,
    /// The payment.
    pub payment: String,
    /// The capture, where it is of one.
    pub capture: Option<String>,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: RefundState,
    /// The processor's word for why it failed.
    pub decline: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When time completes or fails it.
    pub(crate) turns_at: Option<Timestamp>,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundState {
    /// Accepted; not given back yet.
    Pending,
    /// Given back.
    Succeeded,
    /// Not given back.
    Failed,
}

/// What the payer has to do, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActionStep {
    pub(crate) kind: StepKind,
    pub(crate) expires_at: Timestamp,
}

/// The sorts of [`ActionStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepKind {
    /// A bank's page, which executes the payment itself.
    Redirect,
    /// The browser is fingerprinted, then challenged.
    Fingerprint,
    /// The issuer's page; its result is handed over by `complete`, where that is offered.
    Challenge,
    /// A voucher to be paid in a shop.
    Voucher,
    /// A transfer to be made.
    Transfer,
}

/// Something that a caller sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// The account it was sent to.
    pub account: String,
    /// The method.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// SHA-256 over method, URL and body, in hex: equal on every send of a step.
    pub hash: String,
    /// When.
    pub at: Timestamp,
    /// How far it got.
    pub fate: Fate,
}

/// How far something got that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It never left.
    NotSent,
    /// It was lost on its way.
    Lost,
    /// It arrived, and the processor answered with this status; whether the answer arrived is another matter.
    Answered(u16),
    /// It arrived and is being worked on.
    Held,
}
