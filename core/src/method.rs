//! How a payer pays.

use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::id::AccountRef;
use crate::routing::{CardType, Country};
use crate::secret::Volatile;

/// How the payer pays. It names what a processor keeps; a card's number or security code has no place here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentMethod {
    /// A card, by a processor's or a vault's token.
    CardToken {
        /// The token.
        token: String,
        /// The account that the token is good at. `None`: a vault's token, good at every account that takes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issued_by: Option<AccountRef>,
        /// What is known of the card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<Box<CardDetails>>,
    },
    /// A card, by a network token and its cryptogram.
    NetworkToken {
        /// The token's reference.
        token: String,
        /// The cryptogram, for one call.
        cryptogram: Volatile,
        /// What is known of the card.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<Box<CardDetails>>,
    },
    /// A wallet on the payer's device.
    Wallet {
        /// Which: `apple_pay`, `google_pay`.
        wallet: String,
        /// What the device signed, for one call.
        payload: Volatile,
        /// What is known of the card behind it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<Box<CardDetails>>,
    },
    /// The payer is sent to a bank or scheme.
    BankRedirect {
        /// Which: `ideal`, `bancontact`.
        scheme: String,
    },
    /// A payment initiated at the payer's bank.
    OpenBanking {
        /// The institution, as the processor names it.
        institution: String,
    },
    /// A direct debit.
    DirectDebit {
        /// The mandate, as the processor names it.
        mandate: String,
    },
    /// A voucher that the payer takes to a shop.
    Voucher {
        /// Which: `boleto`, `oxxo`.
        scheme: String,
    },
    /// A transfer that the payer makes.
    BankTransfer,
    /// Buy now, pay later.
    Bnpl {
        /// Which: `klarna`.
        provider: String,
    },
    /// What only one processor knows.
    Provider {
        /// Its word for it.
        kind: String,
        /// What it wants to know, as it wants it. It is stored: nothing secret belongs in it.
        data: serde_json::Value,
    },
}

impl PaymentMethod {
    /// A card, by a vault's token, or by one of the only processor that there is.
    pub fn card_token(token: impl Into<String>) -> Self {
        Self::CardToken {
            token: token.into(),
            issued_by: None,
            card: None,
        }
    }

    /// A card, by a token of this account's: the payment goes to no other.
    pub fn card_token_of(account: AccountRef, token: impl Into<String>) -> Self {
        Self::CardToken {
            token: token.into(),
            issued_by: Some(account),
            card: None,
        }
    }

    /// A card, by a network token and its cryptogram.
    pub fn network_token(token: impl Into<String>, cryptogram: Volatile) -> Self {
        Self::NetworkToken {
            token: token.into(),
            cryptogram,
            card: None,
        }
    }

    /// A wallet on the payer's device: `apple_pay`, and what the device signed.
    pub fn wallet(wallet: impl Into<String>, payload: Volatile) -> Self {
        Self::Wallet {
            wallet: wallet.into(),
            payload,
            card: None,
        }
    }

    /// With what is known of the card, for routing. Of a method without a card it says nothing.
    #[must_use]
    pub fn with_card(mut self, details: CardDetails) -> Self {
        match &mut self {
            Self::CardToken { card, .. } | Self::NetworkToken { card, .. } | Self::Wallet { card, .. } => {
                *card = Some(Box::new(details));
            }
            Self::BankRedirect { .. }
            | Self::OpenBanking { .. }
            | Self::DirectDebit { .. }
            | Self::Voucher { .. }
            | Self::BankTransfer
            | Self::Bnpl { .. }
            | Self::Provider { .. } => {}
        }
        self
    }

    /// What is known of its card.
    pub fn card(&self) -> Option<&CardDetails> {
        match self {
            Self::CardToken { card, .. } | Self::NetworkToken { card, .. } | Self::Wallet { card, .. } => {
                card.as_deref()
            }
            Self::BankRedirect { .. }
            | Self::OpenBanking { .. }
            | Self::DirectDebit { .. }
            | Self::Voucher { .. }
            | Self::BankTransfer
            | Self::Bnpl { .. }
            | Self::Provider { .. } => None,
        }
    }

    /// The one account that it is good at, where it is so.
    pub fn issued_by(&self) -> Option<&AccountRef> {
        match self {
            Self::CardToken { issued_by, .. } => issued_by.as_ref(),
            Self::NetworkToken { .. }
            | Self::Wallet { .. }
            | Self::BankRedirect { .. }
            | Self::OpenBanking { .. }
            | Self::DirectDebit { .. }
            | Self::Voucher { .. }
            | Self::BankTransfer
            | Self::Bnpl { .. }
            | Self::Provider { .. } => None,
        }
    }

    /// What it goes over, where that is known: the card's network, the bank, the scheme or the wallet.
    pub fn via(&self) -> Option<&str> {
        match self {
            Self::CardToken { .. } | Self::NetworkToken { .. } => self.card()?.network.as_deref(),
            Self::Wallet { wallet, .. } => {
                let network = self.card().and_then(|card| card.network.as_deref());
                Some(network.unwrap_or(wallet))
            }
            Self::OpenBanking { institution } => Some(institution),
            Self::BankRedirect { scheme } | Self::Voucher { scheme } => Some(scheme),
            Self::Bnpl { provider } => Some(provider),
            Self::Provider { kind, .. } => Some(kind),
            Self::DirectDebit { .. } | Self::BankTransfer => None,
        }
    }

    /// Everything that is wrong with it.
    pub(crate) fn check(&self) -> Vec<Fault> {
        self.card().map(CardDetails::check).unwrap_or_default()
    }

    /// Its kind.
    pub fn kind(&self) -> MethodKind {
        match self {
            Self::CardToken { .. } => MethodKind::CardToken,
            Self::NetworkToken { .. } => MethodKind::NetworkToken,
            Self::Wallet { .. } => MethodKind::Wallet,
            Self::BankRedirect { .. } => MethodKind::BankRedirect,
            Self::OpenBanking { .. } => MethodKind::OpenBanking,
            Self::DirectDebit { .. } => MethodKind::DirectDebit,
            Self::Voucher { .. } => MethodKind::Voucher,
            Self::BankTransfer => MethodKind::BankTransfer,
            Self::Bnpl { .. } => MethodKind::Bnpl,
            Self::Provider { .. } => MethodKind::Provider,
        }
    }

    /// What of it can't be kept, if anything: a request with it is sent once.
    pub fn volatile_part(&self) -> Option<&'static str> {
        match self {
            Self::NetworkToken { .. } => Some("cryptogram"),
            Self::Wallet { .. } => Some("wallet payload"),
            Self::CardToken { .. }
            | Self::BankRedirect { .. }
            | Self::OpenBanking { .. }
            | Self::DirectDebit { .. }
            | Self::Voucher { .. }
            | Self::BankTransfer
            | Self::Bnpl { .. }
            | Self::Provider { .. } => None,
        }
    }
}

/// What is known of a card, for routing: nothing of it is sent to a processor. A card's number has no place here.
///
/// ```
/// use paymux_core::{CardDetails, PaymentMethod};
///
/// let visa = CardDetails::new().network("visa").bin("421234").fingerprint("fp_7");
/// let method = PaymentMethod::card_token("tok_1").with_card(visa);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) funding: Option<CardType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer_country: Option<Country>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
}

impl CardDetails {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its network, in lower case: `visa`, `mastercard`.
    #[must_use]
    pub fn network(mut self, network: impl Into<String>) -> Self {
        self.network = Some(network.into());
        self
    }

    /// How it is paid for.
    #[must_use]
    pub fn funding(mut self, funding: CardType) -> Self {
        self.funding = Some(funding);
        self
    }

    /// Its first 6 to 8 digits (ISO/IEC 7812-1, issuer identification number), and no more of them.
    #[must_use]
    pub fn bin(mut self, digits: impl Into<String>) -> Self {
        self.bin = Some(digits.into());
        self
    }

    /// Where its issuer is.
    #[must_use]
    pub fn issuer_country(mut self, country: Country) -> Self {
        self.issuer_country = Some(country);
        self
    }

    /// What is the same for the same card, whatever its token: at most 64 characters, of which fewer than 12 are digits
    /// in a row. The networks' limits on retries are counted by it.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.fingerprint = Some(fingerprint.into());
        self
    }

    fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let word = |text: &String| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            (1..=32).contains(&text.len()) && text.bytes().all(plain) && !may_be_card_number(text)
        };
        if self.network.as_ref().is_some_and(|network| !word(network)) {
            faults.push(Fault::new(
                "method.card.network",
                "not a network's name",
                "use 1 to 32 of a-z, 0-9 and _, as in `visa`",
            ));
        }
        let digits =
            |bin: &String| (6..=8).contains(&bin.len()) && bin.bytes().all(|byte| byte.is_ascii_digit());
        if self.bin.as_ref().is_some_and(|bin| !digits(bin)) {
            faults.push(Fault::new(
                "method.card.bin",
                "not the first digits of a card's number",
                "give 6 to 8 digits, and never the number",
            ));
        }
        let named = |text: &String| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
                && !may_be_card_number(text)
        };
        if self.fingerprint.as_ref().is_some_and(|print| !named(print)) {
            faults.push(Fault::new(
                "method.card.fingerprint",
                "not a fingerprint",
                "use 1 to 64 printable ASCII characters, and nothing that may be the card's number",
            ));
        }
        faults
    }
}

/// Card numbers have 12 to 19 digits (ISO/IEC 7812-1).
fn may_be_card_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit() && c != ' ' && c != '-')
        .any(|run| (12..=19).contains(&run.bytes().filter(u8::is_ascii_digit).count()))
}

/// The kinds of [`PaymentMethod`], for routing and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MethodKind {
    /// A card by token.
    CardToken,
    /// A card by network token.
    NetworkToken,
    /// A wallet.
    Wallet,
    /// A bank or scheme by redirect.
    BankRedirect,
    /// Open banking.
    OpenBanking,
    /// A direct debit.
    DirectDebit,
    /// A voucher.
    Voucher,
    /// A transfer by the payer.
    BankTransfer,
    /// Buy now, pay later.
    Bnpl,
    /// What only one processor knows.
    Provider,
}
