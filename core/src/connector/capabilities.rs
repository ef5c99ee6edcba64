//! The limits of an account: what it can take of what its slots offer. What isn't offered at all has no slot.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Echoes;
use super::transport::Unsendable;
use crate::intent::CaptureMethod;
use crate::method::{MethodKind, PaymentMethod};
use crate::money::{Currency, Money};
use crate::routing::Country;

/// The limits of an account: upper bounds; what was granted for one payment stands on its attempt.
///
/// A setter states that the account *can*: one that isn't called is a no.
#[derive(Clone, Debug)]
pub struct Capabilities {
    pub(crate) currencies: BTreeSet<Currency>,
    pub(crate) methods: Option<BTreeSet<MethodKind>>,
    pub(crate) networks: Option<BTreeSet<String>>,
    pub(crate) payer_countries: Option<BTreeSet<Country>>,
    pub(crate) three_d_secure: Offer,
    pub(crate) least_minor: Option<i64>,
    pub(crate) most_minor: Option<i64>,
    pub(crate) manual_capture: Offer,
    pub(crate) partial_capture: Offer,
    pub(crate) multicapture: Offer,
    pub(crate) partial_refund: Offer,
    pub(crate) refund_requires_settlement: Requirement,
    pub(crate) refund_per_capture: Requirement,
    pub(crate) release_with_capture: Offer,
    pub(crate) void_after_capture: VoidAfterCapture,
    pub(crate) setup: Offer,
    pub(crate) mit: Offer,
    pub(crate) partial_authorization: Offer,
    pub(crate) echoes: Echoes,
    pub(crate) success_on: SuccessOn,
    pub(crate) reads_settle_within: Option<Duration>,
}

/// Whether something is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// No.
    Refused,
    /// Yes.
    Offered,
}

impl Offer {
    /// Whether it is.
    pub(crate) fn is_offered(self) -> bool {
        matches!(self, Self::Offered)
    }
}

/// Whether something is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No.
    None,
    /// Yes.
    Required,
}

/// Whether a payment can be voided once it is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoidAfterCapture {
    /// No.
    No,
    /// Yes, until it settles.
    Yes,
}

/// What counts as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuccessOn {
    /// The processor took the payment on.
    Accepted,
    /// The money has settled.
    Settled,
}

impl Capabilities {
    /// An account that takes these currencies, any method, any amount, and of everything else the least.
    pub fn currencies(currencies: impl IntoIterator<Item = Currency>) -> Self {
        Self {
            currencies: currencies.into_iter().collect(),
            methods: None,
            networks: None,
            payer_countries: None,
            three_d_secure: Offer::Refused,
            least_minor: None,
            most_minor: None,
            manual_capture: Offer::Offered,
            partial_capture: Offer::Refused,
            multicapture: Offer::Refused,
            partial_refund: Offer::Refused,
            refund_requires_settlement: Requirement::None,
            refund_per_capture: Requirement::None,
            release_with_capture: Offer::Offered,
            void_after_capture: VoidAfterCapture::No,
            setup: Offer::Refused,
            mit: Offer::Refused,
            partial_authorization: Offer::Refused,
            echoes: Echoes::Nothing,
            success_on: SuccessOn::Accepted,
            reads_settle_within: None,
        }
    }

    /// Takes these kinds of methods alone.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = MethodKind>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// Takes cards of these networks alone, each in lower case: `visa`, `mastercard`. A card whose network isn't known
    /// is taken.
    #[must_use]
    pub fn networks<N: Into<String>>(mut self, networks: impl IntoIterator<Item = N>) -> Self {
        self.networks = Some(networks.into_iter().map(Into::into).collect());
        self
    }

    /// Takes payers in these countries alone. A payer whose country isn't known is taken.
    #[must_use]
    pub fn payer_countries(mut self, countries: impl IntoIterator<Item = Country>) -> Self {
        self.payer_countries = Some(countries.into_iter().collect());
        self
    }

    /// Lets a payer authenticate (3-D Secure): a payment for which a challenge is required goes to no other account.
    #[must_use]
    pub fn three_d_secure(mut self) -> Self {
        self.three_d_secure = Offer::Offered;
        self
    }

    /// Takes payments from `least` to `most` minor units.
    #[must_use]
    pub fn amounts(mut self, least_minor: i64, most_minor: i64) -> Self {
        self.least_minor = Some(least_minor);
        self.most_minor = Some(most_minor);
        self
    }

    /// Captures with the authorization alone: a payment with manual capture doesn't go here.
    #[must_use]
    pub fn automatic_capture_only(mut self) -> Self {
        self.manual_capture = Offer::Refused;
        self
    }

    /// Captures less than was authorized.
    #[must_use]
    pub fn partial_capture(mut self) -> Self {
        self.partial_capture = Offer::Offered;
        self
    }

    /// May grant more than one capture of an authorization.
    #[must_use]
    pub fn multicapture(mut self) -> Self {
        self.multicapture = Offer::Offered;
        self
    }

    /// A capture can't give the rest back: `release` needs a void of its own.
    #[must_use]
    pub fn keeps_rest_after_capture(mut self) -> Self {
        self.release_with_capture = Offer::Refused;
        self
    }

    /// Refunds less than was captured.
    #[must_use]
    pub fn partial_refund(mut self) -> Self {
        self.partial_refund = Offer::Offered;
        self
    }

    /// Refunds settled money alone.
    #[must_use]
    pub fn refund_requires_settlement(mut self) -> Self {
        self.refund_requires_settlement = Requirement::Required;
        self
    }

    /// Refunds captures, not payments: each capture has a handle of its own.
    #[must_use]
    pub fn refund_per_capture(mut self) -> Self {
        self.refund_per_capture = Requirement::Required;
        self
    }

    /// Voids a captured payment until it settles.
    #[must_use]
    pub fn void_after_capture(mut self) -> Self {
        self.void_after_capture = VoidAfterCapture::Yes;
        self
    }

    /// Keeps or checks a method without a payment.
    #[must_use]
    pub fn setup(mut self) -> Self {
        self.setup = Offer::Offered;
        self
    }

    /// Takes payments that the merchant initiates.
    #[must_use]
    pub fn mit(mut self) -> Self {
        self.mit = Offer::Offered;
        self
    }

    /// May authorize less than was asked.
    #[must_use]
    pub fn partial_authorization(mut self) -> Self {
        self.partial_authorization = Offer::Offered;
        self
    }

    /// What every answer repeats.
    #[must_use]
    pub fn echoes(mut self, echoes: Echoes) -> Self {
        self.echoes = echoes;
        self
    }

    /// What counts as success; without this, that the processor took the payment on.
    #[must_use]
    pub fn success_on(mut self, success_on: SuccessOn) -> Self {
        self.success_on = success_on;
        self
    }

    /// So long after a call every read and look-up shows its effect, by the processor's documentation. Only after
    /// that does "not found" prove anything; without this it never does.
    #[must_use]
    pub fn reads_settle_within(mut self, quiet: Duration) -> Self {
        self.reads_settle_within = Some(quiet);
        self
    }

    /// What every answer repeats, as [`Capabilities::echoes`] promised.
    pub fn promised_echoes(&self) -> Echoes {
        self.echoes
    }

    /// Whether a capture has to say what becomes of the rest: several may be granted, and the last gives it back.
    pub fn rest_with_capture(&self) -> Requirement {
        match (self.multicapture, self.release_with_capture) {
            (Offer::Offered, Offer::Offered) => Requirement::Required,
            (Offer::Refused, _) | (Offer::Offered, Offer::Refused) => Requirement::None,
        }
    }

    /// Whether the account takes such a payment.
    ///
    /// # Errors
    /// Names the first field that it can't take.
    pub fn admit(
        &self,
        amount: Money,
        method: &PaymentMethod,
        capture: CaptureMethod,
    ) -> Result<(), Unsendable> {
        let minor = amount.minor();
        if !self.currencies.contains(&amount.currency()) {
            return Err(Unsendable::field(
                "currency",
                format!("{} isn't taken", amount.currency()),
            ));
        }
        if self
            .methods
            .as_ref()
            .is_some_and(|methods| !methods.contains(&method.kind()))
        {
            return Err(Unsendable::field(
                "method",
                format!("{:?} isn't taken", method.kind()),
            ));
        }
        if minor != 0 && (self.least_minor.is_some_and(|least| minor < least)) {
            return Err(Unsendable::field("amount", "less than the account takes"));
        }
        if self.most_minor.is_some_and(|most| minor > most) {
            return Err(Unsendable::field("amount", "more than the account takes"));
        }
        if minor == 0 && !self.setup.is_offered() {
            return Err(Unsendable::field(
                "mode",
                "methods aren't kept or checked without a payment",
            ));
        }
        match (capture, self.manual_capture) {
            (CaptureMethod::Manual, Offer::Refused) => Err(Unsendable::field(
                "capture_method",
                "manual capture isn't offered",
            )),
            (CaptureMethod::Manual, Offer::Offered) | (CaptureMethod::Automatic, _) => Ok(()),
        }
    }
}
