//! What the processor's books show: entries, as inspectors read them.

use std::collections::BTreeMap;

use paymux_core::{
    CaptureMethod, Challenge, Currency, IntentMode, MitReason, Money, MoneyError, Rest, ThreeDs, Timestamp,
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

/// The processor's books at one moment, for tests and for people. A caller of the processor never sees them.
#[derive(Clone, Debug, Default)]
pub struct LedgerView {
    payments: Vec<Payment>,
    refunds: Vec<RefundEntry>,
    sends: Vec<Sent>,
}

/// Sums over payments of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Held and not captured.
    pub held: Money,
    /// Taken in all.
    pub captured: Money,
    /// Given back in all.
    pub refunded: Money,
    /// Taken back by payers' banks in all.
    pub returned: Money,
}

impl LedgerView {
    pub(crate) fn new(payments: Vec<Payment>, refunds: Vec<RefundEntry>, sends: Vec<Sent>) -> Self {
        Self {
            payments,
            refunds,
            sends,
        }
    }

    /// Every payment of every account, oldest first.
    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    /// Every refund, oldest first.
    pub fn refunds(&self) -> &[RefundEntry] {
        &self.refunds
    }

    /// Everything that callers sent, oldest first.
    pub fn sends(&self) -> &[Sent] {
        &self.sends
    }

    /// The payment that the processor calls `handle`.
    pub fn payment(&self, handle: &str) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.handle == handle)
    }

    /// The refund that the processor calls `handle`.
    pub fn refund(&self, handle: &str) -> Option<&RefundEntry> {
        self.refunds.iter().find(|refund| refund.handle == handle)
    }

    /// The payments of one account.
    pub fn account<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Payment> {
        self.payments
            .iter()
            .filter(move |payment| payment.account == account)
    }

    /// The payments that were asked for as `reference`: the caller's own or the merchant's.
    pub fn charges(&self, reference: &str) -> Vec<&Payment> {
        let named = |payment: &&Payment| {
            payment.reference == reference || payment.merchant_reference.as_deref() == Some(reference)
        };
        self.payments.iter().filter(named).collect()
    }

    /// Those of [`LedgerView::charges`] by which the payer is charged now: money is held, being captured, or taken
    /// and not given back. More than one for one order is a double charge.
    pub fn live_charges(&self, reference: &str) -> Vec<&Payment> {
        let mut charges = self.charges(reference);
        charges.retain(|payment| payment.is_live());
        charges
    }

    /// The sums over all payments in `currency`.
    ///
    /// # Errors
    /// If a sum leaves 64-bit minor units.
    pub fn totals(&self, currency: Currency) -> Result<Totals, MoneyError> {
        let zero = Money::zero(currency);
        let mut totals = Totals {
            held: zero,
            captured: zero,
            refunded: zero,
            returned: zero,
        };
        for payment in self
            .payments
            .iter()
            .filter(|payment| payment.amount.currency() == currency)
        {
            totals.held = totals.held.checked_add(payment.held())?;
            totals.captured = totals.captured.checked_add(payment.captured)?;
            totals.refunded = totals.refunded.checked_add(payment.refunded)?;
            totals.returned = totals.returned.checked_add(payment.returned)?;
        }
        Ok(totals)
    }

    /// The payments as a table for people.
    pub fn render(&self) -> String {
        let head = [
            "account",
            "payment",
            "reference",
            "state",
            "asked",
            "held",
            "captured",
            "refunded",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for payment in &self.payments {
            let reference = payment.merchant_reference.as_ref().unwrap_or(&payment.reference);
            rows.push([
                payment.account.clone(),
                payment.handle.clone(),
                reference.clone(),
                payment.state.as_str().to_owned(),
                payment.amount.to_string(),
                payment.held().to_string(),
                payment.captured.to_string(),
                payment.refunded.to_string(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        let mut table = String::new();
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                if column < 4 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            table.push('\n');
        }
        table
    }
}
