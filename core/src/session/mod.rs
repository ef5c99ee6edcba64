//! Checkout sessions: one order, one live payment, whatever the buyer's browser repeats.

mod machine;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use machine::{Command, SessionEvent, SessionHappened, apply, decide, observe};

use crate::error::{Error, Fault};
use crate::id::{PaymentIntentId, SessionId};
use crate::intent::{CaptureMethod, IntentDetails, IntentMode, Limits, Metadata, NewIntent, SESSION_LIFE};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Waits for the buyer.
    Pending,
    /// A payment is under way.
    Processing,
    /// Paid. Never make another one for the same order.
    Succeeded,
    /// Its payment failed; a later success still counts.
    Failed,
    /// Its time is up; a new one may be made.
    Expired,
    /// Cancelled.
    #[serde(alias = "canceled")]
    Cancelled,
}

impl SessionStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Processing,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The stable word for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a session expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryReason {
    /// Its time was up.
    TimeIsUp,
    /// Its payment's outcome stayed unknown: the money may have moved.
    OutcomeUnknown,
}

/// How the buyer meets the checkout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integration {
    /// On a page of the platform's.
    #[default]
    Hosted,
    /// In fields on the merchant's page.
    Embedded,
    /// In the merchant's own elements.
    Elements,
}

/// What submitting does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSubmit {
    /// Keeps the method. Not supported yet.
    Tokenize,
    /// Pays.
    #[default]
    Charge,
    /// Pays and keeps the method. Not supported yet.
    ChargeAndSave,
}

/// The whole state of a session, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) mode: IntentMode,
    pub(crate) amount: Money,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) details: Arc<IntentDetails>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) success_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cancel_url: Option<String>,
    pub(crate) integration: Integration,
    pub(crate) status: SessionStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<PaymentIntentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expired: Option<ExpiryReason>,
    /// Money came after the session had expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) late_payment: Option<Timestamp>,
    pub(crate) expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A session to make. Setters never fail; the verb that takes it reports every bad field at once.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct NewSession {
    pub(crate) intent: NewIntent,
    pub(crate) success_url: Option<String>,
    pub(crate) cancel_url: Option<String>,
    pub(crate) integration: Integration,
    pub(crate) on_submit: OnSubmit,
    pub(crate) expires_in_secs: u64,
}

impl NewSession {
    fn of(intent: NewIntent) -> Self {
        Self {
            intent,
            success_url: None,
            cancel_url: None,
            integration: Integration::Hosted,
            on_submit: OnSubmit::Charge,
            expires_in_secs: SESSION_LIFE.as_secs(),
        }
    }

    /// A session that pays `amount`.
    pub fn payment(amount: Money) -> Self {
        Self::of(NewIntent::payment(amount))
    }

    /// A session that keeps a method for later.
    pub fn setup(currency: Currency) -> Self {
        Self::of(NewIntent::setup(currency))
    }

    /// When the money is taken.
    pub fn capture(self, method: CaptureMethod) -> Self {
        self.with(|intent| intent.capture(method))
    }

    /// The host's own reference, as [`NewIntent::reference`].
    pub fn reference(self, merchant_reference: impl Into<String>) -> Self {
        self.with(|intent| intent.reference(merchant_reference))
    }

    /// Where the processor sends the buyer back to; `{payment}` stands for the payment's identifier.
    pub fn return_url(self, url: impl Into<String>) -> Self {
        self.with(|intent| intent.return_url(url))
    }

    /// Pairs of the host's own, as [`NewIntent::metadata`].
    pub fn metadata<K: Into<String>, V: Into<String>>(self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.with(|intent| intent.metadata(pairs))
    }

    /// Any other field of the payment.
    pub fn with(mut self, change: impl FnOnce(NewIntent) -> NewIntent) -> Self {
        self.intent = change(self.intent);
        self
    }

    /// Where the buyer goes once it is paid.
    pub fn success_url(mut self, url: impl Into<String>) -> Self {
        self.success_url = Some(url.into());
        self
    }

    /// Where the buyer goes to give up.
    pub fn cancel_url(mut self, url: impl Into<String>) -> Self {
        self.cancel_url = Some(url.into());
        self
    }

    /// How the buyer meets the checkout.
    pub fn integration(mut self, integration: Integration) -> Self {
        self.integration = integration;
        self
    }

    /// What submitting does.
    pub fn on_submit(mut self, on_submit: OnSubmit) -> Self {
        self.on_submit = on_submit;
        self
    }

    /// For how long it lives: 300 to 3,600 seconds; 1,800 without this.
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.expires_in_secs = life.as_secs();
        self
    }

    /// The state that it starts in.
    pub(crate) fn into_state(self, id: SessionId, at: Timestamp) -> Session {
        let Self {
            intent,
            success_url,
            cancel_url,
            integration,
            on_submit: _,
            expires_in_secs,
        } = self;
        Session {
            id,
            mode: intent.mode,
            amount: intent.amount,
            capture_method: intent.capture_method,
            details: Arc::new(intent.details),
            success_url,
            cancel_url,
            integration,
            status: SessionStatus::Pending,
            intent: None,
            expired: None,
            late_payment: None,
            expires_at: at.after(Duration::from_secs(expires_in_secs)),
            created_at: at,
            updated_at: at,
        }
    }

    pub(crate) fn check(&self, limits: Limits) -> Result<(), Error> {
        let mut faults = match self.intent.check(limits) {
            Ok(()) => Vec::new(),
            Err(error) => error.faults().to_vec(),
        };
        let urls = [
            ("success_url", &self.success_url),
            ("cancel_url", &self.cancel_url),
        ];
        for (field, url) in urls {
            faults.extend(
                url.as_deref()
                    .and_then(|url| crate::intent::check_url(field, url, limits.mode)),
            );
        }
        if !(300..=3_600).contains(&self.expires_in_secs) {
            faults.push(Fault::new(
                "expires_in",
                "out of range",
                "use 300 to 3,600 seconds",
            ));
        }
        if self.intent.scheduled_for.is_some() || self.intent.expires_at.is_some() {
            let remedy = "leave scheduled_for and expires_at out: the session's own time holds";
            faults.push(Fault::new(
                "expires_at",
                "a session's payment is made while the buyer is there",
                remedy,
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_all(faults))
        }
    }
}

/// A checkout session as it stood when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutSession {
    pub(crate) state: Arc<Session>,
    pub(crate) version: u64,
}

impl CheckoutSession {
    /// Its identifier.
    pub fn id(&self) -> &SessionId {
        &self.state.id
    }

    /// Where it stands.
    pub fn status(&self) -> SessionStatus {
        self.state.status
    }

    /// How much is to be paid.
    pub fn amount(&self) -> Money {
        self.state.amount
    }

    /// The payment that it is on, once the buyer has submitted.
    pub fn intent(&self) -> Option<&PaymentIntentId> {
        self.state.intent.as_ref()
    }

    /// Why it expired, if it did.
    pub fn expired(&self) -> Option<ExpiryReason> {
        self.state.expired
    }

    /// When money came after it had expired, if it did.
    pub fn late_payment(&self) -> Option<Timestamp> {
        self.state.late_payment
    }

    /// When its time is up.
    pub fn expires_at(&self) -> Timestamp {
        self.state.expires_at
    }

    /// The host's pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.state.details.metadata
    }

    /// How often it was written.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// The public form.
impl Serialize for CheckoutSession {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Public<'a> {
            id: SessionId,
            status: SessionStatus,
            mode: IntentMode,
            amount: Money,
            integration: Integration,
            #[serde(skip_serializing_if = "Option::is_none")]
            intent: Option<PaymentIntentId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            success_url: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cancel_url: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'static str>,
            metadata: &'a Metadata,
            expires_at: Timestamp,
            created_at: Timestamp,
        }
        let state = &self.state;
        Public {
            id: state.id,
            status: state.status,
            mode: state.mode,
            amount: state.amount,
            integration: state.integration,
            intent: state.intent,
            success_url: state.success_url.as_deref(),
            cancel_url: state.cancel_url.as_deref(),
            error: state.expired.and_then(|reason| match reason {
                ExpiryReason::TimeIsUp => None,
                ExpiryReason::OutcomeUnknown => Some("payment_outcome_unknown"),
            }),
            metadata: &state.details.metadata,
            expires_at: state.expires_at,
            created_at: state.created_at,
        }
        .serialize(serializer)
    }
}
