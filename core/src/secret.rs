//! Values that must never be printed or stored.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A key, a webhook secret, a client secret: it has no `Serialize`, its `Debug` is redacted, and its memory is wiped
/// when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The only way to the text. Where this is called, the secret leaves: read such a line twice.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether there is nothing to keep secret, so that everybody has it.
    pub(crate) fn is_blank(&self) -> bool {
        self.expose().trim().is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A part of a request that can't be kept: a wallet's cryptogram, a card number, what the payer's browser brought
/// back. It lives for one call. Written to a row it is nothing, so a request that had it can't be built again, and
/// the step that sent it is never sent a second time.
#[derive(Clone, Default)]
pub struct Volatile(Option<Secret>);

impl Volatile {
    /// Holds `text` for one call.
    pub fn new(text: impl Into<Secret>) -> Self {
        Self(Some(text.into()))
    }

    /// What it holds, unless it was lost in a row.
    pub fn get(&self) -> Option<&Secret> {
        self.0.as_ref()
    }
}

impl fmt::Debug for Volatile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Volatile(…)"
        } else {
            "Volatile(gone)"
        })
    }
}

/// Two are equal whatever they hold: what isn't kept can't tell two states apart.
impl PartialEq for Volatile {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Volatile {}

impl std::hash::Hash for Volatile {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl serde::Serialize for Volatile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Volatile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(None))
    }
}
