//! Authorizing a payment, in one call or with a handle first; completing, raising, voiding and cancelling it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::action::Action;
use crate::connector::outcome::Echo;
use crate::decline::Decline;
use crate::intent::{CaptureMethod, Challenge, Granted, IntentDetails, IntentMode, ThreeDs};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::secret::Volatile;

/// A processor's identifier for what an earlier step made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(String);

impl Handle {
    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Handle {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl From<&str> for Handle {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Asks for an authorization; with automatic capture, for the money.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authorize {
    /// Our reference at the processor: the operation's, the same on every send.
    pub reference: String,
    /// How much; 0 for setup and verify.
    pub amount: Money,
    /// How the payer pays.
    pub method: PaymentMethod,
    /// When the money is taken.
    pub capture: CaptureMethod,
    /// What it is to achieve.
    pub mode: IntentMode,
    /// Whether a challenge is wanted: asked for by the host, or needed since the issuer declined without one.
    pub challenge: Challenge,
    /// Where to send the payer back to, with our identifier filled in.
    pub return_url: Option<String>,
    /// What the payment is for and who pays.
    pub details: Arc<IntentDetails>,
}

impl Authorize {
    /// The least that an authorization has, as tests build one.
    pub fn new(
        reference: impl Into<String>,
        amount: Money,
        method: PaymentMethod,
        capture: CaptureMethod,
    ) -> Self {
        Self {
            reference: reference.into(),
            amount,
            method,
            capture,
            mode: IntentMode::Payment,
            challenge: Challenge::AsNeeded,
            return_url: None,
            details: Arc::default(),
        }
    }

    /// To achieve something else than a payment.
    #[must_use]
    pub fn mode(mut self, mode: IntentMode) -> Self {
        self.mode = mode;
        self
    }

    /// With a challenge.
    #[must_use]
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenge = challenge;
        self
    }

    /// With where to send the payer back to.
    #[must_use]
    pub fn return_url(mut self, url: impl Into<String>) -> Self {
        self.return_url = Some(url.into());
        self
    }

    /// With what the payment is for and who pays.
    #[must_use]
    pub fn details(mut self, details: Arc<IntentDetails>) -> Self {
        self.details = details;
        self
    }
}

/// What is known of a payment that a processor took on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Approval {
    /// The processor's identifier of the payment.
    pub handle: Handle,
    /// What the answer repeats.
    pub echo: Echo,
    /// What was granted for this payment.
    pub granted: Granted,
    /// The network's identifier, for later payments that the merchant initiates.
    pub network_transaction_id: Option<String>,
    /// The result of the authentication.
    pub three_ds: Option<ThreeDs>,
}

impl Approval {
    /// The least that an approval says.
    pub fn new(handle: impl Into<Handle>, echo: Echo) -> Self {
        Self {
            handle: handle.into(),
            echo,
            granted: Granted::nothing(),
            network_transaction_id: None,
            three_ds: None,
        }
    }

    /// With what was granted.
    #[must_use]
    pub fn granted(mut self, granted: Granted) -> Self {
        self.granted = granted;
        self
    }

    /// With the network's identifier.
    #[must_use]
    pub fn network_transaction_id(mut self, id: impl Into<String>) -> Self {
        self.network_transaction_id = Some(id.into());
        self
    }

    /// With the result of the authentication.
    #[must_use]
    pub fn three_ds(mut self, result: ThreeDs) -> Self {
        self.three_ds = Some(result);
        self
    }
}

/// What a processor says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorizeReport {
    /// The amount is held.
    Authorized(Approval),
    /// Less than the amount is held: this much.
    PartiallyAuthorized(Approval, Money),
    /// The amount is taken, not yet settled.
    Captured(Approval),
    /// The amount is taken and has arrived.
    Settled(Approval),
    /// The method is kept or checked: the end of setup and verify.
    Verified(Approval),
    /// The payer has to do something.
    ActionNeeded(Handle, Action, Echo),
    /// Accepted; the answer comes later.
    Pending(Handle, Echo),
    /// An authoritative no; a handle, where the processor made an object all the same.
    Declined(Decline),
    /// It was authorized once and is no more.
    Voided(Handle, Echo),
    /// The payment is made at the processor but was never confirmed. Only a read says so.
    Unexecuted(Handle),
}

impl AuthorizeReport {
    /// The processor's identifier, where the report has one.
    pub fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Authorized(approval)
            | Self::PartiallyAuthorized(approval, _)
            | Self::Captured(approval)
            | Self::Settled(approval)
            | Self::Verified(approval) => Some(&approval.handle),
            Self::ActionNeeded(handle, ..)
            | Self::Pending(handle, _)
            | Self::Voided(handle, _)
            | Self::Unexecuted(handle) => Some(handle),
            Self::Declined(_) => None,
        }
    }

    pub(crate) fn echo(&self) -> Option<&Echo> {
        match self {
            Self::Authorized(approval)
            | Self::Captured(approval)
            | Self::Settled(approval)
            | Self::Verified(approval) => Some(&approval.echo),
            Self::ActionNeeded(_, _, echo) | Self::Pending(_, echo) | Self::Voided(_, echo) => Some(echo),
            // A part names its own amount, which the merge judges.
            Self::PartiallyAuthorized(..) | Self::Declined(_) | Self::Unexecuted(_) => None,
        }
    }

    /// What it repeats, a part's own amount included.
    pub(crate) fn repeats(&self) -> Option<&Echo> {
        match self {
            Self::Authorized(approval)
            | Self::PartiallyAuthorized(approval, _)
            | Self::Captured(approval)
            | Self::Settled(approval)
            | Self::Verified(approval) => Some(&approval.echo),
            Self::ActionNeeded(_, _, echo) | Self::Pending(_, echo) | Self::Voided(_, echo) => Some(echo),
            Self::Declined(_) | Self::Unexecuted(_) => None,
        }
    }

    pub(crate) fn echo_mut(&mut self) -> Option<&mut Echo> {
        match self {
            Self::Authorized(approval)
            | Self::PartiallyAuthorized(approval, _)
            | Self::Captured(approval)
            | Self::Settled(approval)
            | Self::Verified(approval) => Some(&mut approval.echo),
            Self::ActionNeeded(_, _, echo) | Self::Pending(_, echo) | Self::Voided(_, echo) => Some(echo),
            Self::Declined(_) | Self::Unexecuted(_) => None,
        }
    }
}

impl Operation for Authorize {
    type Report = AuthorizeReport;
    const STEP: &'static str = "authorize";

    fn volatile_part(&self) -> Option<&'static str> {
        self.method.volatile_part()
    }

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.amount, &self.reference))
    }

    fn echo(report: &AuthorizeReport) -> Option<&Echo> {
        report.echo()
    }
}

/// The first of two steps: makes the payment at the processor, moves nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepare {
    /// What will be asked.
    pub authorize: Authorize,
}

impl Prepare {
    /// Prepares this authorization.
    pub fn new(authorize: Authorize) -> Self {
        Self { authorize }
    }
}

/// What became of the first of two steps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareReport {
    /// The payment is made and waits for the second step.
    Prepared(Handle, Echo),
    /// A no before anything was asked of a bank.
    Declined(Decline),
}

impl Operation for Prepare {
    type Report = PrepareReport;
    const STEP: &'static str = "prepare";

    fn volatile_part(&self) -> Option<&'static str> {
        self.authorize.method.volatile_part()
    }

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.authorize.amount, &self.authorize.reference))
    }

    fn echo(report: &PrepareReport) -> Option<&Echo> {
        match report {
            PrepareReport::Prepared(_, echo) => Some(echo),
            PrepareReport::Declined(_) => None,
        }
    }
}

/// The second of two steps: confirms what [`Prepare`] made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Execute {
    /// What is asked.
    pub authorize: Authorize,
    /// What the first step made.
    pub handle: Handle,
}

impl Execute {
    /// Executes this authorization, made before as `handle`.
    pub fn new(authorize: Authorize, handle: Handle) -> Self {
        Self { authorize, handle }
    }
}

impl Operation for Execute {
    type Report = AuthorizeReport;
    const STEP: &'static str = "execute";

    fn volatile_part(&self) -> Option<&'static str> {
        self.authorize.method.volatile_part()
    }

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.authorize.amount, &self.authorize.reference))
    }

    fn echo(report: &AuthorizeReport) -> Option<&Echo> {
        report.echo()
    }
}

/// Hands over what the payer brought back from an action.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Complete {
    /// Our reference of the payment.
    pub reference: String,
    /// The payment.
    pub handle: Handle,
    /// How much it is.
    pub amount: Money,
    /// What came back, for one call.
    pub payload: Volatile,
}

impl Complete {
    /// Completes the payment `handle`.
    pub fn new(reference: impl Into<String>, handle: Handle, amount: Money, payload: Volatile) -> Self {
        Self {
            reference: reference.into(),
            handle,
            amount,
            payload,
        }
    }
}

impl Operation for Complete {
    type Report = AuthorizeReport;
    const STEP: &'static str = "complete";

    fn volatile_part(&self) -> Option<&'static str> {
        Some("what the payer brought back")
    }

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.amount, &self.reference))
    }

    fn echo(report: &AuthorizeReport) -> Option<&Echo> {
        report.echo()
    }
}

/// What became of a void or a cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReport {
    /// Done.
    Closed(Handle, Echo),
    /// Accepted; the answer comes later.
    Pending(Handle, Echo),
    /// An authoritative no.
    Refused(Decline),
}

impl CloseReport {
    fn echo(&self) -> Option<&Echo> {
        match self {
            Self::Closed(_, echo) | Self::Pending(_, echo) => Some(echo),
            Self::Refused(_) => None,
        }
    }
}

macro_rules! closing {
    ($(#[$doc:meta])* $name:ident, $step:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $name {
            /// Our reference of this operation.
            pub reference: String,
            /// The payment.
            pub original: Handle,
            /// How much is given up.
            pub amount: Money,
        }

        impl $name {
            /// For the payment `original`; `amount` is what is given up.
            pub fn new(reference: impl Into<String>, original: Handle, amount: Money) -> Self {
                Self { reference: reference.into(), original, amount }
            }
        }

        impl Operation for $name {
            type Report = CloseReport;
            const STEP: &'static str = $step;

            fn sent(&self) -> Option<(Money, &str)> {
                Some((self.amount, &self.reference))
            }

            fn echo(report: &CloseReport) -> Option<&Echo> {
                report.echo()
            }
        }
    };
}

closing! {
    /// Gives an authorization back, whole or what is left of it.
    Void, "void"
}
closing! {
    /// Stops a payment that isn't authorized yet.
    Cancel, "cancel"
}

/// Raises an authorization.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Increment {
    /// Our reference of this operation.
    pub reference: String,
    /// The payment.
    pub original: Handle,
    /// By how much.
    pub by: Money,
    /// To how much in all; the answer repeats this.
    pub total: Money,
}

impl Increment {
    /// Raises the payment `original` by `by` to `total`.
    pub fn new(reference: impl Into<String>, original: Handle, by: Money, total: Money) -> Self {
        Self {
            reference: reference.into(),
            original,
            by,
            total,
        }
    }
}

impl Operation for Increment {
    type Report = AuthorizeReport;
    const STEP: &'static str = "increment";

    fn sent(&self) -> Option<(Money, &str)> {
        Some((self.total, &self.reference))
    }

    fn echo(report: &AuthorizeReport) -> Option<&Echo> {
        report.echo()
    }
}
