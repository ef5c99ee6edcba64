//! Typed identifiers: `{prefix}_{test|live}_{uuid v7 as 26 base32 characters}`.
//!
//! The prefix says what the identifier names, the mode keeps test data and live data apart at a glance, and the
//! UUID's leading time makes identifiers sort by their creation. The alphabet is Crockford's base32 in lower case.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Fault};
use crate::tenant::Mode;
use crate::text::from_text;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED: usize = 26;

/// Writes a UUID as 26 base32 characters, most significant first.
pub(crate) fn encode(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    let mut text = String::with_capacity(ENCODED);
    for place in (0..ENCODED).rev() {
        text.push(char::from(
            ALPHABET[usize::from((value >> (5 * place)) as u8 & 31)],
        ));
    }
    text
}

/// What each byte is worth, in either case; nothing, where it is no digit.
const DIGITS: [Option<u8>; 256] = {
    let mut digits = [None; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        let byte = ALPHABET[value];
        digits[byte as usize] = Some(value as u8);
        digits[byte.to_ascii_uppercase() as usize] = Some(value as u8);
        value += 1;
    }
    digits
};

/// Reads what [`encode`] wrote; upper case is read as well.
pub(crate) fn decode(text: &str) -> Option<Uuid> {
    if text.len() != ENCODED {
        return None;
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = DIGITS[usize::from(byte)]?;
        if value >> 123 != 0 {
            return None;
        }
        value = value << 5 | u128::from(digit);
    }
    Some(Uuid::from_u128(value))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { mode: Mode, uuid: Uuid }

        impl $name {
            /// What every identifier of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// An identifier from its parts, as a store keeps them.
            pub const fn from_uuid(mode: Mode, uuid: Uuid) -> Self { Self { mode, uuid } }

            /// Test or live.
            pub const fn mode(&self) -> Mode { self.mode }

            /// The identifier without its prefix and mode.
            pub const fn uuid(&self) -> Uuid { self.uuid }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}_{}", $prefix, self.mode, encode(self.uuid))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                parse($prefix, text).map(|(mode, uuid)| Self { mode, uuid })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer)
            }
        }
    )*};
}

fn parse(prefix: &'static str, text: &str) -> Result<(Mode, Uuid), Error> {
    let parts = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    let parsed = parts.and_then(|rest| {
        let (mode, uuid) = rest.split_once('_')?;
        Some((mode.parse::<Mode>().ok()?, decode(uuid)?))
    });
    parsed.ok_or_else(|| {
        Error::invalid(Fault::new(
            "id",
            format!("this is not an identifier of the kind `{prefix}_…`"),
            format!("pass it as paymux gave it: {prefix}_test_ or {prefix}_live_ and 26 characters"),
        ))
    })
}

ids! {
    /// Names a payment intent.
    PaymentIntentId = "pi";
    /// Names one attempt of an intent at one account of a processor.
    AttemptId = "att";
    /// Names one capture of an authorized amount.
    CaptureId = "cap";
    /// Names a refund.
    RefundId = "re";
    /// Names a checkout session.
    SessionId = "cs";
    /// Names an operation at a processor. It is the idempotency key and the reference that the processor sees.
    OperationId = "op";
    /// Names a stored event.
    EventId = "evt";
    /// Names an inbound webhook endpoint: which connector, and with which secrets.
    EndpointId = "whe";
    /// Names a customer of the host's.
    CustomerId = "cus";
    /// Names an inbound webhook notice.
    NoticeId = "ntc";
    /// Names a piece of evidence: what decided an outcome.
    EvidenceId = "evd";
}

impl OperationId {
    /// The processor's view of the operation: 26 characters, the same for every send.
    ///
    /// It is the base of each step's key and the reference that a look-up finds the payment by.
    pub fn reference(&self) -> String {
        encode(self.uuid)
    }

    /// Reads what [`OperationId::reference`] gave.
    pub fn from_reference(mode: Mode, reference: &str) -> Option<Self> {
        decode(reference).map(|uuid| Self { mode, uuid })
    }
}

impl EndpointId {
    /// The endpoint that the host calls `name`: the same name always gives the same identifier (a version 8 UUID
    /// over its SHA-256), so that a host needs to write none down.
    pub fn named(mode: Mode, name: &str) -> Self {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(format!("paymux endpoint {name}").as_bytes());
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self {
            mode,
            uuid: uuid::Builder::from_custom_bytes(bytes).into_uuid(),
        }
    }
}

/// The name of a kind of processor: `stripe`, `sandbox`. Lower-case letters, digits, `-` and `_`, at most 32.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectorId(Cow<'static, str>);

impl ConnectorId {
    /// A name known when the connector is compiled; a bad one doesn't compile in a `const`.
    ///
    /// # Panics
    /// If the name breaks the rule of [`ConnectorId`].
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            valid_name(name, 32),
            "a connector's name is 1 to 32 of a-z, 0-9, - and _"
        );
        Self(Cow::Borrowed(name))
    }

    /// A name read at run time.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the name breaks the rule.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        if valid_name(&name, 32) {
            Ok(Self(Cow::Owned(name)))
        } else {
            Err(Error::invalid(Fault::new(
                "connector",
                "not a connector's name",
                "use 1 to 32 of a-z, 0-9, - and _",
            )))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConnectorId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One account at a processor. Captures, voids, refunds and webhooks go to the account that authorized.
///
/// Account names are the host's own and are per mode: an account serves test tenants or live ones, never both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountRef {
    connector: ConnectorId,
    account: String,
}

impl AccountRef {
    /// The account that the host calls `account` at `connector`.
    pub fn new(connector: ConnectorId, account: impl Into<String>) -> Self {
        Self {
            connector,
            account: account.into(),
        }
    }

    /// The kind of processor.
    pub fn connector(&self) -> &ConnectorId {
        &self.connector
    }

    /// The host's name of the account.
    pub fn account(&self) -> &str {
        &self.account
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connector, self.account)
    }
}

/// A processor's own identifier of something, beside ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderRef {
    /// Where the identifier is valid.
    pub account: AccountRef,
    /// What it names.
    pub kind: ProviderKind,
    /// The identifier, as the processor writes it.
    pub id: String,
}

/// What a processor's identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// A payment: what authorized and what is captured.
    Payment,
    /// A capture with an identifier of its own.
    Capture,
    /// A refund.
    Refund,
}

impl ProviderKind {
    /// The stable word for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Capture => "capture",
            Self::Refund => "refund",
        }
    }
}

const fn valid_name(name: &str, most: usize) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > most {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_what_it_writes() {
        for value in [0, 1, u128::MAX, 0x0190_1234_5678_7abc_8def_0123_4567_89ab] {
            let id = PaymentIntentId::from_uuid(Mode::Live, Uuid::from_u128(value));
            let text = id.to_string();
            assert_eq!(text.len(), "pi_live_".len() + 26);
            assert_eq!(text.parse::<PaymentIntentId>().unwrap(), id);
            assert_eq!(
                serde_json::from_str::<PaymentIntentId>(&serde_json::to_string(&id).unwrap()).unwrap(),
                id
            );
        }
    }

    #[test]
    fn what_is_not_an_identifier_is_refused() {
        let good = PaymentIntentId::from_uuid(Mode::Test, Uuid::from_u128(7)).to_string();
        for bad in [
            "",
            "pi",
            "pi_test_",
            "pi_other_00000000000000000000000007",
            &good.replace("pi_", "re_"),
            &good[..20],
        ] {
            assert!(bad.parse::<PaymentIntentId>().is_err(), "{bad}");
        }
        assert!(
            "pi_test_zzzzzzzzzzzzzzzzzzzzzzzzzz"
                .parse::<PaymentIntentId>()
                .is_err(),
            "over 128 bits"
        );
    }

    #[test]
    fn a_named_endpoint_is_always_the_same() {
        assert_eq!(
            EndpointId::named(Mode::Test, "stripe"),
            EndpointId::named(Mode::Test, "stripe")
        );
        assert_ne!(
            EndpointId::named(Mode::Test, "stripe"),
            EndpointId::named(Mode::Test, "other")
        );
    }
}
