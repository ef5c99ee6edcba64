//! What the verbs return: what is now known about the money.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use crate::action::{Action, ActionKind, KeptAction, render};
use crate::connector::Handle;
use crate::decline::Decline;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{AccountRef, OperationId, PaymentIntentId, ProviderRef, RefundId};
use crate::intent::{OperationKind, PaymentIntent, ReviewReason};
use crate::money::Money;
use crate::refund::Refund;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// A verb's outcome, and whether it was this call's doing.
#[must_use]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply<O> {
    /// What is now known.
    pub outcome: O,
    /// Whether the same key had asked before.
    pub replay: Replay,
}

impl<O> Reply<O> {
    pub(crate) fn first(outcome: O) -> Self {
        Self {
            outcome,
            replay: Replay::First,
        }
    }

    pub(crate) fn replayed(outcome: O) -> Self {
        Self {
            outcome,
            replay: Replay::Replayed,
        }
    }

    pub(crate) fn map<P>(self, change: impl FnOnce(O) -> P) -> Reply<P> {
        Reply {
            outcome: change(self.outcome),
            replay: self.replay,
        }
    }
}

/// Whether a reply is the first to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is.
    First,
    /// The same key had asked before: this is what it got, or how it stands now.
    Replayed,
}

/// What is now known about a payment. Exhaustive on purpose: one more variant would be a new major version.
#[must_use]
#[derive(Clone, Debug)]
pub enum PaymentOutcome {
    /// Paid, as the account's `success_on` says: ship.
    Succeeded(PaymentIntent),
    /// Held until [`PaymentIntent::capture_before`]: capture or void.
    Authorized(PaymentIntent),
    /// Accepted; the answer, the settlement or a review comes later.
    Pending(PaymentIntent),
    /// The payer must act before [`NextAction::expires_at`].
    ActionRequired {
        /// The payment.
        intent: PaymentIntent,
        /// What the payer must do.
        action: NextAction,
    },
    /// An authoritative no; [`Decline::advice`] says what may follow. Where the payer's page may still try again with
    /// what it was given ([`Action::open_after_decline`](crate::Action::open_after_decline)), the payment
    /// requires action yet: confirming, cancelling or expiring it calls that back first.
    Declined {
        /// The payment.
        intent: PaymentIntent,
        /// Why.
        decline: Decline,
    },
    /// May have been charged: wait; never pay again.
    Unknown {
        /// The payment.
        intent: PaymentIntent,
        /// What isn't known.
        unknown: UnknownOutcome,
    },
}

impl PaymentOutcome {
    /// The payment.
    pub fn intent(&self) -> &PaymentIntent {
        match self {
            Self::Succeeded(intent)
            | Self::Authorized(intent)
            | Self::Pending(intent)
            | Self::ActionRequired { intent, .. }
            | Self::Declined { intent, .. }
            | Self::Unknown { intent, .. } => intent,
        }
    }

    /// The HTTP status that says the same: 200, 200, 202, 200, 402, 202.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Succeeded(_) | Self::Authorized(_) | Self::ActionRequired { .. } => StatusCode::OK,
            Self::Pending(_) | Self::Unknown { .. } => StatusCode::ACCEPTED,
            Self::Declined { .. } => StatusCode::PAYMENT_REQUIRED,
        }
    }
}

/// What is now known about a capture.
#[must_use]
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the rare variant is the large one, and a host reads it as it is"
)]
pub enum CaptureOutcome {
    /// Taken.
    Captured(PaymentIntent),
    /// Accepted; the answer comes later.
    Pending(PaymentIntent),
    /// An authoritative no: what was to be captured is available again.
    Declined(PaymentIntent),
    /// May have been taken: wait.
    Unknown {
        /// The payment.
        intent: PaymentIntent,
        /// What isn't known.
        unknown: UnknownOutcome,
    },
}

impl CaptureOutcome {
    /// The payment.
    pub fn intent(&self) -> &PaymentIntent {
        match self {
            Self::Captured(intent)
            | Self::Pending(intent)
            | Self::Declined(intent)
            | Self::Unknown { intent, .. } => intent,
        }
    }

    /// The HTTP status that says the same: 200, 202, 402, 202.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Captured(_) => StatusCode::OK,
            Self::Pending(_) | Self::Unknown { .. } => StatusCode::ACCEPTED,
            Self::Declined(_) => StatusCode::PAYMENT_REQUIRED,
        }
    }
}

/// What is now known about a void, a release or a cancel.
#[must_use]
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the rare variant is the large one, and a host reads it as it is"
)]
pub enum VoidOutcome {
    /// Given up.
    Voided(PaymentIntent),
    /// Accepted; the answer comes later.
    Pending(PaymentIntent),
    /// An authoritative no: nothing has changed.
    Refused(PaymentIntent),
    /// May have been given up: wait.
    Unknown {
        /// The payment.
        intent: PaymentIntent,
        /// What isn't known.
        unknown: UnknownOutcome,
    },
}

impl VoidOutcome {
    /// The payment.
    pub fn intent(&self) -> &PaymentIntent {
        match self {
            Self::Voided(intent)
            | Self::Pending(intent)
            | Self::Refused(intent)
            | Self::Unknown { intent, .. } => intent,
        }
    }

    /// The HTTP status that says the same: 200, 202, 402, 202.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Voided(_) => StatusCode::OK,
            Self::Pending(_) | Self::Unknown { .. } => StatusCode::ACCEPTED,
            Self::Refused(_) => StatusCode::PAYMENT_REQUIRED,
        }
    }
}

/// What is now known about a refund.
#[must_use]
#[derive(Clone, Debug)]
pub enum RefundOutcome {
    /// Given back, or a part of it: [`Refund::status`] says which.
    Succeeded(Refund),
    /// Accepted; the answer comes later.
    Pending(Refund),
    /// The payer must act.
    ActionRequired(Refund),
    /// Not given back: the money is available again.
    Failed {
        /// The refund.
        refund: Refund,
        /// Why, where the processor said so.
        decline: Option<Decline>,
    },
    /// May have been given back: wait.
    Unknown {
        /// The refund.
        refund: Refund,
        /// What isn't known.
        unknown: UnknownOutcome,
    },
}

impl RefundOutcome {
    /// The refund.
    pub fn refund(&self) -> &Refund {
        match self {
            Self::Succeeded(refund)
            | Self::Pending(refund)
            | Self::ActionRequired(refund)
            | Self::Failed { refund, .. }
            | Self::Unknown { refund, .. } => refund,
        }
    }

    /// The HTTP status that says the same: 200, 202, 200, 402, 202.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::Succeeded(_) | Self::ActionRequired(_) => StatusCode::OK,
            Self::Pending(_) | Self::Unknown { .. } => StatusCode::ACCEPTED,
            Self::Failed { .. } => StatusCode::PAYMENT_REQUIRED,
        }
    }
}

/// How a payment was reversed: whichever fitted.
#[must_use]
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a host reads it as it is, and none is kept for long"
)]
pub enum ReverseOutcome {
    /// It was cancelled before anything was authorized.
    Cancelled(VoidOutcome),
    /// Its authorization was voided.
    Voided(VoidOutcome),
    /// What was captured was refunded.
    Refunded(RefundOutcome),
    /// Nothing of what was captured was left to refund: what was held besides was released.
    Released(VoidOutcome),
    /// A part was captured: what was held besides was released, and what was captured refunded, each for itself. An
    /// error of one says that this one moved nothing: the same key tries it again.
    PartlyTaken {
        /// What is now known about what was held.
        released: Result<VoidOutcome, Arc<Error>>,
        /// What is now known about what was captured.
        refunded: Result<RefundOutcome, Arc<Error>>,
    },
}

/// What a person settled, as it stands after.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// A payment.
    Payment(PaymentIntent),
    /// A refund.
    Refund(Refund),
}

/// Something whose outcome isn't known, or that a person has to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownOutcome {
    pub(crate) subject: SubjectId,
    pub(crate) version: u64,
    pub(crate) operation: Option<OperationId>,
    pub(crate) kind: Option<OperationKind>,
    pub(crate) account: Option<AccountRef>,
    pub(crate) at_risk: Money,
    pub(crate) since: Timestamp,
    pub(crate) review_at: Timestamp,
    pub(crate) review: Option<ReviewReason>,
    pub(crate) why: Option<String>,
    pub(crate) safe_step: SafeStep,
}

/// What an unknown outcome is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectId {
    /// A payment.
    Payment(PaymentIntentId),
    /// A refund.
    Refund(RefundId),
}

/// What may safely be done about an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SafeStep {
    /// Wait: paymux is still asking.
    Wait {
        /// After which a person may give up.
        until: Timestamp,
    },
    /// Look this up in the processor's dashboard, then settle it by hand.
    LookInDashboard(ProviderRef),
    /// Ask the processor for our reference, then settle it by hand.
    SettleByHand,
    /// Register the account again.
    RegisterAccount,
    /// Look at the payment, then clear the review.
    Review,
    /// Send the same request with the same key: the store doesn't say whether it took it. Nothing was sent yet; where it
    /// took it, it is sent by itself. A payment or refund that isn't found was not made.
    RepeatRequest,
}

impl UnknownOutcome {
    /// What it is of.
    pub fn subject(&self) -> SubjectId {
        self.subject
    }

    /// The operation, where it is one's outcome.
    pub fn operation(&self) -> Option<&OperationId> {
        self.operation.as_ref()
    }

    /// What the operation asked for.
    pub fn kind(&self) -> Option<OperationKind> {
        self.kind
    }

    /// The account that was asked.
    pub fn account(&self) -> Option<&AccountRef> {
        self.account.as_ref()
    }

    /// How much money may have moved.
    pub fn at_risk(&self) -> Money {
        self.at_risk
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// When a person may give up.
    pub fn review_at(&self) -> Timestamp {
        self.review_at
    }

    /// Why a person has to look, if so.
    pub fn review(&self) -> Option<ReviewReason> {
        self.review
    }

    /// Why it isn't known, in words.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// What may safely be done.
    pub fn safe_step(&self) -> &SafeStep {
        &self.safe_step
    }
}

/// What the payer must do next.
#[derive(Clone, Debug)]
pub struct NextAction {
    pub(crate) kept: KeptAction,
    pub(crate) fresh: Option<Action>,
    pub(crate) source: Option<ActionSource>,
}

/// Where an action can be read again.
#[derive(Clone, Debug)]
pub(crate) struct ActionSource {
    pub(crate) tenant: Tenant,
    pub(crate) account: AccountRef,
    pub(crate) engine: Arc<crate::engine::Inner>,
    pub(crate) handle: Handle,
    pub(crate) amount: Money,
    pub(crate) reference: String,
}

impl NextAction {
    /// What sort of thing it is.
    pub fn kind(&self) -> &ActionKind {
        &self.kept.kind
    }

    /// When it is too late.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.kept.expires_at
    }

    /// What the payer's page needs: `{"type": "redirect", "url": …}`. It may hold client secrets, which no row keeps:
    /// they are read from the processor again.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the account can't be asked again; [`ErrorKind::Stale`] where the action is
    /// over; [`ErrorKind::NotExecuted`] where the processor doesn't answer; [`ErrorKind::Connectors`] where the host
    /// can't give the account.
    pub async fn expose_to_payer(&self) -> Result<serde_json::Value> {
        if let Some(fresh) = &self.fresh {
            return Ok(fresh.expose());
        }
        if self.kept.secret_names.is_empty() {
            return Ok(render(self.kept.kind, self.kept.data.clone().into_iter()));
        }
        let source = self.source.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the account can't be asked for the action again: confirm anew",
            )
        })?;
        source
            .engine
            .read_action(source)
            .await
            .map(|action| action.expose())
    }
}

#[cfg(test)]
mod tests;
