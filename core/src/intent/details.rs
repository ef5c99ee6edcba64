//! What a payment is for and who pays: the part of an intent that no state machine decides on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{AccountRef, ConnectorId, CustomerId, PaymentIntentId};
use crate::money::Money;
use crate::routing::Country;
use crate::time::Timestamp;

/// Pairs of the host's own: at most 50, keys of at most 40 characters, values of at most 500.
pub type Metadata = BTreeMap<String, String>;

/// What a payment is for and who pays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IntentDetails {
    /// The host's own reference, which the processor sees. Never a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_reference: Option<String>,
    /// What the payer reads on the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<String>,
    /// What the payment is for, in the host's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The host's customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    /// Where a processor sends the payer back to; `{payment}` stands for our identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// How the amount is made up.
    #[serde(skip_serializing_if = "AmountDetails::is_empty")]
    pub amount_details: AmountDetails,
    /// Who pays.
    #[serde(skip_serializing_if = "Payer::is_empty")]
    pub payer: Payer,
    /// Where the bill goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing: Option<Address>,
    /// Where the goods go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Address>,
    /// What is asked about strong customer authentication.
    #[serde(skip_serializing_if = "Sca::is_default")]
    pub sca: Sca,
    /// That the payer isn't there, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mit: Option<Mit>,
    /// What is asked of where it goes.
    #[serde(skip_serializing_if = "RoutingDetails::is_empty")]
    pub routing: RoutingDetails,
    /// Pairs of the host's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Metadata,
}

/// What is asked of where a payment goes, and what routing may know of its merchant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RoutingDetails {
    /// Where the caller wants it to go: no rule is asked then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
    /// What will be asked of the account later on.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<Need>,
    /// Where the merchant is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merchant_country: Option<Country>,
    /// The merchant's category, ISO 18245: 0 to 9999.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcc: Option<u16>,
}

impl RoutingDetails {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a caller wants a payment to go. It has to be able to take it all the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// To a connector's accounts, in the order of their registration.
    Connector(ConnectorId),
    /// To this account alone.
    Account(AccountRef),
}

impl Through {
    /// Whether it is, or is among, what this names.
    pub fn names(&self, account: &AccountRef) -> bool {
        match self {
            Self::Connector(connector) => account.connector() == connector,
            Self::Account(one) => one == account,
        }
    }
}

impl From<ConnectorId> for Through {
    fn from(connector: ConnectorId) -> Self {
        Self::Connector(connector)
    }
}

impl From<AccountRef> for Through {
    fn from(account: AccountRef) -> Self {
        Self::Account(account)
    }
}

/// What a payment will need of its account later on: it goes to none that doesn't offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Need {
    /// Less than all is captured.
    PartialCapture,
    /// It is captured more than once.
    Multicapture,
    /// What is authorized is raised.
    Increment,
    /// An authorization is given back.
    Void,
    /// Money is given back.
    Refund,
    /// Less than all is given back.
    PartialRefund,
}

/// How an amount is made up. Its parts are shown to a processor that asks for them; they decide nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AmountDetails {
    /// What was bought.
    pub line_items: Vec<LineItem>,
    /// Tax in it.
    pub tax: Option<Money>,
    /// Shipping in it.
    pub shipping: Option<Money>,
    /// Tip in it.
    pub tip: Option<Money>,
    /// Surcharge in it.
    pub surcharge: Option<Money>,
}

impl AmountDetails {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One thing that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineItem {
    /// Its name.
    pub name: String,
    /// How many: 1 to 9,999.
    pub quantity: u32,
    /// The price of one.
    pub unit_amount: Money,
}

/// Who pays. Personal data: it is stored, sent to processors, and never logged.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Payer {
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// IP address.
    pub ip_address: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

impl Payer {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Personal data stays out of every log.
impl std::fmt::Debug for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payer(…)")
    }
}

/// A postal address. Personal data, as [`Payer`].
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Address {
    /// Name of who lives there.
    pub name: Option<String>,
    /// Street and number.
    pub line1: Option<String>,
    /// More of it.
    pub line2: Option<String>,
    /// Town.
    pub city: Option<String>,
    /// State or region.
    pub state: Option<String>,
    /// Post code.
    pub postal_code: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

/// What is asked about strong customer authentication (PSD2, SCA).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Sca {
    /// An exemption to ask for.
    pub exemption: Option<Exemption>,
    /// Whether a challenge is wanted.
    pub challenge: Challenge,
    /// The result of an authentication made elsewhere.
    pub external_3ds: Option<ThreeDs>,
}

impl Sca {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An exemption from strong customer authentication (RTS, articles 10 to 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exemption {
    /// A low value.
    LowValue,
    /// Transaction risk analysis.
    Tra,
    /// The payer trusts this merchant.
    Trusted,
    /// A corporate process.
    SecureCorporate,
    /// Initiated by the merchant.
    Mit,
    /// By mail or telephone.
    Moto,
}

/// Whether a challenge is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenge {
    /// As the issuer sees fit.
    #[default]
    AsNeeded,
    /// Always.
    Required,
}

/// The result of a 3-D Secure authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ThreeDs {
    /// Electronic commerce indicator.
    pub eci: Option<String>,
    /// Version of the protocol.
    pub version: Option<String>,
    /// The directory server's transaction identifier.
    pub ds_trans_id: Option<String>,
    /// Whether the liability has shifted to the issuer.
    pub liability_shift: Option<LiabilityShift>,
}

/// Whether the liability for fraud has shifted to the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiabilityShift {
    /// It has.
    Shifted,
    /// It hasn't.
    NotShifted,
}

/// A payment that the merchant initiates on the ground of an earlier agreement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mit {
    /// Why.
    pub reason: MitReason,
    /// The payment in which the payer agreed.
    #[serde(default)]
    pub original: Option<PaymentIntentId>,
    /// The network's identifier of that payment.
    #[serde(default)]
    pub network_transaction_id: Option<String>,
}

impl Mit {
    /// A payment that the merchant initiates.
    pub fn new(reason: MitReason) -> Self {
        Self {
            reason,
            original: None,
            network_transaction_id: None,
        }
    }

    /// On the ground of this payment of ours.
    #[must_use]
    pub fn original(mut self, original: PaymentIntentId) -> Self {
        self.original = Some(original);
        self
    }
}

/// Why a merchant initiates a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MitReason {
    /// A fixed amount at fixed intervals.
    Recurring,
    /// At the merchant's need.
    Unscheduled,
    /// A part of one purchase.
    Installment,
}

/// What a payment is to achieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentMode {
    /// Money.
    Payment,
    /// A method kept for later; the amount is 0.
    Setup,
    /// A method checked; the amount is 0.
    Verify,
}

/// When the money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMethod {
    /// With the authorization.
    Automatic,
    /// By a later capture.
    Manual,
}

/// What happens to an authorization's rest at a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It is released: this capture is final.
    Release,
    /// It stays, for another capture.
    Keep,
}

/// What a processor granted for one payment; what an account offers in general is only the upper bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Granted {
    /// More than one capture.
    pub multicapture: Grant,
    /// A later increment of the authorization.
    pub incremental: Grant,
    /// The most that may be captured, in minor units, where it isn't what was authorized.
    pub capturable_max: Option<i64>,
    /// When the authorization lapses.
    pub capture_before: Option<Timestamp>,
}

impl Granted {
    /// Nothing beyond one capture of what was authorized.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// With more than one capture.
    #[must_use]
    pub fn multicapture(mut self) -> Self {
        self.multicapture = Grant::Granted;
        self
    }

    /// With a later increment.
    #[must_use]
    pub fn incremental(mut self) -> Self {
        self.incremental = Grant::Granted;
        self
    }

    /// With another most that may be captured, in minor units.
    #[must_use]
    pub fn capturable_max(mut self, minor: i64) -> Self {
        self.capturable_max = Some(minor);
        self
    }

    /// With the time when the authorization lapses.
    #[must_use]
    pub fn capture_before(mut self, at: Timestamp) -> Self {
        self.capture_before = Some(at);
        self
    }
}

/// Whether something was granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// It wasn't.
    #[default]
    Refused,
    /// It was.
    Granted,
}

/// How long a checkout session lives, and how long an intent may wait, by default.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(1_800);
