//! What a host sets.

use paymux_core::connector::prelude::*;

/// The kind of processor, in account names: `stripe`.
pub const CONNECTOR: ConnectorId = ConnectorId::from_static("stripe");

/// The version of Stripe's API that this connector speaks; sent with every request, so that the account's own default
/// doesn't matter (docs.stripe.com/api/versioning).
pub const API_VERSION: &str = "2025-03-31.basil";

/// One account at Stripe.
#[derive(Clone, Debug)]
pub struct Stripe {
    pub(crate) secret: Secret,
    pub(crate) account: AccountRef,
    pub(crate) connected: Option<String>,
    pub(crate) base: String,
    pub(crate) version: String,
    pub(crate) currencies: Option<Vec<Currency>>,
    pub(crate) multicapture: Wanted,
    pub(crate) incremental: Wanted,
}

/// Whether a feature is asked for with each payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    No,
    IfAvailable,
}

impl Stripe {
    /// The account that the host calls `account_name`, by its secret key (`sk_…`, or a restricted `rk_…` with write
    /// access to PaymentIntents, and to Charges and Refunds). A key that begins with `sk_test_` or `rk_test_` serves
    /// tenants in test mode alone, one with `sk_live_` or `rk_live_` those in live mode.
    pub fn new(secret: impl Into<Secret>, account_name: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            account: AccountRef::new(CONNECTOR, account_name),
            connected: None,
            base: "https://api.stripe.com".to_owned(),
            version: API_VERSION.to_owned(),
            currencies: None,
            multicapture: Wanted::No,
            incremental: Wanted::No,
        }
    }

    /// Acts for a connected account (`acct_…`), with a platform's key: sent as `Stripe-Account`
    /// (docs.stripe.com/connect/authentication). Where several connected accounts share a webhook endpoint, each
    /// one's account name must be its `acct_…`.
    #[must_use]
    pub fn connected_account(mut self, account: impl Into<String>) -> Self {
        self.connected = Some(account.into());
        self
    }

    /// Another address than `https://api.stripe.com`, for tests. Without a path.
    #[must_use]
    pub fn base_url(mut self, base: impl Into<String>) -> Self {
        self.base = base.into().trim_end_matches('/').to_owned();
        self
    }

    /// Another version than [`API_VERSION`]. The connector's own tests hold for that one alone.
    #[must_use]
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Takes these currencies alone, of those that Stripe takes. Which ones an account may use depends on its country.
    #[must_use]
    pub fn currencies(mut self, currencies: impl IntoIterator<Item = Currency>) -> Self {
        self.currencies = Some(currencies.into_iter().collect());
        self
    }

    /// Asks for more than one capture of each manual authorization; whether it was granted stands on the attempt.
    /// Stripe gives it to some accounts only (docs.stripe.com/payments/multicapture).
    #[must_use]
    pub fn request_multicapture(mut self) -> Self {
        self.multicapture = Wanted::IfAvailable;
        self
    }

    /// Asks for authorizations that can be raised later, and offers to raise them; whether it was granted stands on
    /// the attempt (docs.stripe.com/payments/incremental-authorization).
    #[must_use]
    pub fn request_incremental(mut self) -> Self {
        self.incremental = Wanted::IfAvailable;
        self
    }
}
