//! The shapes that an account can have: what it offers, how it knows a second send, when its money settles.

use std::collections::BTreeSet;
use std::time::Duration;

use paymux_core::Currency;
use paymux_core::connector::{Ability, Key, Offer, ReplaysErrors, Requirement, SuccessOn, VoidAfterCapture};

/// What an account of the processor offers. [`Shape::default`] offers everything: one call, keys for 24 hours, reads,
/// look-ups, several captures, increments, voids until settlement, and a completion.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(crate) authorization: AuthorizationShape,
    pub(crate) key: Key,
    pub(crate) withheld: BTreeSet<Ability>,
    pub(crate) manual_capture: Offer,
    pub(crate) multicapture: Offer,
    pub(crate) three_d_secure: Offer,
    pub(crate) void_after_capture: VoidAfterCapture,
    pub(crate) refund_per_capture: Requirement,
    pub(crate) refund_requires_settlement: Requirement,
    pub(crate) settlement: Settlement,
    pub(crate) success_on: SuccessOn,
    pub(crate) reads_settle_within: Option<Duration>,
    pub(crate) currencies: BTreeSet<Currency>,
    pub(crate) webhooks: WebhookShape,
}

/// How an account authorizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationShape {
    OneCall,
    HandleFirst,
}

/// What an account's webhooks say: see `Authority` of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookShape {
    Hints,
    Authoritative,
}

/// When captured money arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// With the capture.
    AtOnce,
    /// So long after the capture.
    After(Duration),
    /// When [`Sandbox::settle`](crate::Sandbox::settle) says so.
    ByHand,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Shape {
    fn default() -> Self {
        let common = |currency: &Currency| matches!(currency.exponent(), 0 | 2 | 3);
        Self {
            authorization: AuthorizationShape::OneCall,
            key: Key::Header {
                window: DAY,
                replays_errors: ReplaysErrors::Never,
            },
            withheld: BTreeSet::new(),
            manual_capture: Offer::Offered,
            multicapture: Offer::Offered,
            three_d_secure: Offer::Offered,
            void_after_capture: VoidAfterCapture::Yes,
            refund_per_capture: Requirement::None,
            refund_requires_settlement: Requirement::None,
            settlement: Settlement::After(DAY * 2),
            success_on: SuccessOn::Accepted,
            reads_settle_within: Some(Duration::from_secs(60)),
            currencies: Currency::ALL.iter().copied().filter(common).collect(),
            webhooks: WebhookShape::Hints,
        }
    }
}

impl Shape {
    /// As the default, in two calls: the first makes the payment and gives its handle, the second executes it.
    pub fn handle_first() -> Self {
        Self {
            authorization: AuthorizationShape::HandleFirst,
            ..Self::default()
        }
    }

    /// The least that a processor has: no keys, no reads, no look-ups. Its webhooks are all that ever tells.
    pub fn bare() -> Self {
        let reads = [
            Ability::Read,
            Ability::LookUp,
            Ability::ReadRefund,
            Ability::LookUpRefund,
        ];
        Self {
            key: Key::None,
            withheld: reads.into(),
            reads_settle_within: None,
            webhooks: WebhookShape::Authoritative,
            ..Self::default()
        }
    }

    /// Without an ability: its slot stays empty. Without [`Ability::Complete`], what the payer does is done, and the
    /// return is only a reason to ask.
    #[must_use]
    pub fn without(mut self, ability: Ability) -> Self {
        self.withheld.insert(ability);
        self
    }

    /// Knows a second send so.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Captures with the authorization alone.
    #[must_use]
    pub fn automatic_capture_only(mut self) -> Self {
        self.manual_capture = Offer::Refused;
        self
    }

    /// Grants one capture of an authorization.
    #[must_use]
    pub fn single_capture(mut self) -> Self {
        self.multicapture = Offer::Refused;
        self
    }

    /// Doesn't say that it authenticates payers.
    #[must_use]
    pub fn no_three_d_secure(mut self) -> Self {
        self.three_d_secure = Offer::Refused;
        self
    }

    /// Voids what is held alone, nothing that is captured.
    #[must_use]
    pub fn no_void_after_capture(mut self) -> Self {
        self.void_after_capture = VoidAfterCapture::No;
        self
    }

    /// Refunds captures, not payments. A payment whose money was taken with the authorization has one capture, which
    /// the payment's handle names as well.
    #[must_use]
    pub fn refund_per_capture(mut self) -> Self {
        self.refund_per_capture = Requirement::Required;
        self
    }

    /// Refunds settled money alone.
    #[must_use]
    pub fn refund_requires_settlement(mut self) -> Self {
        self.refund_requires_settlement = Requirement::Required;
        self
    }

    /// When captured money arrives: after two days, if this isn't called.
    #[must_use]
    pub fn settles(mut self, settlement: Settlement) -> Self {
        self.settlement = settlement;
        self
    }

    /// What its connector counts as success: that the payment was taken on, if this isn't called.
    #[must_use]
    pub fn success_on(mut self, success_on: SuccessOn) -> Self {
        self.success_on = success_on;
        self
    }

    /// What its connector promises of reads: a minute, if this isn't called; `None` promises nothing. That reads lag
    /// in fact is [`Faults::stale_reads`](crate::Faults::stale_reads).
    #[must_use]
    pub fn reads_settle_within(mut self, quiet: Option<Duration>) -> Self {
        self.reads_settle_within = quiet;
        self
    }

    /// Takes these currencies alone: all with 0, 2 or 3 decimals, if this isn't called.
    #[must_use]
    pub fn currencies(mut self, currencies: impl IntoIterator<Item = Currency>) -> Self {
        self.currencies = currencies.into_iter().collect();
        self
    }

    /// Its webhooks carry the object as it stands and are the news.
    #[must_use]
    pub fn authoritative_webhooks(mut self) -> Self {
        self.webhooks = WebhookShape::Authoritative;
        self
    }

    pub(crate) fn offers(&self, ability: Ability) -> bool {
        !self.withheld.contains(&ability)
    }
}
