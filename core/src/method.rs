//! How a payer pays.

use serde::{Deserialize, Serialize};

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
    },
    /// A card, by a network token and its cryptogram.
    NetworkToken {
        /// The token's reference.
        token: String,
        /// The cryptogram, for one call.
        cryptogram: Volatile,
    },
    /// A wallet on the payer's device.
    Wallet {
        /// Which: `apple_pay`, `google_pay`.
        wallet: String,
        /// What the device signed, for one call.
        payload: Volatile,
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
    /// A card, by a processor's or a vault's token.
    pub fn card_token(token: impl Into<String>) -> Self {
        Self::CardToken { token: token.into() }
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
