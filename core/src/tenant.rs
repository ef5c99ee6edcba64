//! Who a payment belongs to: a merchant of the platform's, in test or in live mode.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Fault};
use crate::text::from_text;

/// Test money or real money. The two never meet: the mode is part of the tenant and of every identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No real money moves.
    Test,
    /// Real money moves.
    Live,
}

impl Mode {
    /// The stable word for this mode.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "test" => Ok(Self::Test),
            "live" => Ok(Self::Live),
            _ => Err(Error::invalid(Fault::new(
                "mode",
                "not a mode",
                "write `test` or `live`",
            ))),
        }
    }
}

/// A merchant and a mode: the first argument of every store call, so that nothing crosses between two of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    merchant: Arc<str>,
    mode: Mode,
}

impl Tenant {
    /// A merchant in test mode. `merchant` is the host's own name for it: 1 to 64 printable ASCII characters
    /// without spaces or `/`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the name breaks that rule.
    pub fn test(merchant: &str) -> Result<Self, Error> {
        Self::new(merchant, Mode::Test)
    }

    /// A merchant in live mode; the name as in [`Tenant::test`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the name breaks that rule.
    pub fn live(merchant: &str) -> Result<Self, Error> {
        Self::new(merchant, Mode::Live)
    }

    /// A merchant in a mode; the name as in [`Tenant::test`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the name breaks that rule.
    pub fn new(merchant: &str, mode: Mode) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        if merchant.is_empty() || merchant.len() > 64 || !merchant.bytes().all(plain) {
            return Err(Error::invalid(Fault::new(
                "tenant",
                "not a merchant's name",
                "use 1 to 64 printable ASCII characters without spaces or `/`",
            )));
        }
        Ok(Self {
            merchant: merchant.into(),
            mode,
        })
    }

    /// What instances tell each other is nobody's payment: it is kept under a name that no merchant can have.
    pub(crate) fn instances() -> Self {
        Self {
            merchant: "all instances".into(),
            mode: Mode::Live,
        }
    }

    /// The host's name for the merchant.
    pub fn merchant(&self) -> &str {
        &self.merchant
    }

    /// Test or live.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
}

/// `{mode}/{merchant}`, as stores write it; [`Tenant`]'s `FromStr` reads it.
impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mode, self.merchant)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Tenant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mode, merchant) = text.split_once('/').unwrap_or(("", text));
        Self::new(merchant, mode.parse()?)
    }
}

impl Serialize for Tenant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
