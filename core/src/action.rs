//! What the payer has to do next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::time::Timestamp;

/// What sort of thing the payer has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ActionKind {
    /// Open a page.
    Redirect,
    /// Post a form to a page.
    RedirectPost,
    /// Confirm in the processor's own script, with a client secret.
    ClientConfirm,
    /// Let the browser be fingerprinted for 3-D Secure.
    ThreeDsFingerprint,
    /// Scan a code.
    Qr,
    /// Take a voucher to a shop.
    Voucher,
    /// Make a transfer by these instructions.
    TransferInstructions,
    /// Confirm in an app.
    AwaitApp,
    /// Wait.
    Wait,
}

impl ActionKind {
    /// The stable word for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::RedirectPost => "redirect_post",
            Self::ClientConfirm => "client_confirm",
            Self::ThreeDsFingerprint => "three_ds_fingerprint",
            Self::Qr => "qr",
            Self::Voucher => "voucher",
            Self::TransferInstructions => "transfer_instructions",
            Self::AwaitApp => "await_app",
            Self::Wait => "wait",
        }
    }
}

/// What a connector says that the payer has to do: what may be kept, and what may not.
#[derive(Clone, Debug)]
pub struct Action {
    pub(crate) kept: KeptAction,
    pub(crate) secrets: Vec<(&'static str, Secret)>,
}

/// The part of an action that rows keep.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptAction {
    pub(crate) kind: ActionKind,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) data: BTreeMap<String, String>,
    /// Names of what the payer needs and no row keeps; read from the processor again when it is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secret_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "AfterDecline::is_end")]
    pub(crate) after_decline: AfterDecline,
}

/// Whether a payer whose payment was declined may try again with what the action gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterDecline {
    /// No: a decline ends it.
    #[default]
    Ended,
    /// Yes, until the payment is cancelled or paid.
    Open,
}

impl AfterDecline {
    fn is_end(&self) -> bool {
        *self == Self::Ended
    }
}

impl Action {
    /// An action of a kind.
    pub fn new(kind: ActionKind) -> Self {
        let kept = KeptAction {
            kind,
            data: BTreeMap::new(),
            secret_names: Vec::new(),
            expires_at: None,
            after_decline: AfterDecline::Ended,
        };
        Self {
            kept,
            secrets: Vec::new(),
        }
    }

    /// A page to open, whose address is no secret and is kept.
    pub fn redirect(url: impl Into<String>) -> Self {
        Self::new(ActionKind::Redirect).with("url", url)
    }

    /// With something that the payer needs and that may be kept.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.kept.data.insert(name.to_owned(), value.into());
        self
    }

    /// With something that the payer needs and that is never kept: a client secret, an address that holds one. It is
    /// read from the processor again when the host asks for it.
    #[must_use]
    pub fn with_secret(mut self, name: &'static str, value: impl Into<Secret>) -> Self {
        self.kept.secret_names.push(name.to_owned());
        self.secrets.push((name, value.into()));
        self
    }

    /// With the time after which the payer can't act any more.
    #[must_use]
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.kept.expires_at = Some(at);
        self
    }

    /// A decline doesn't end it: whoever has its secrets may try again, with another card even, until the payment is
    /// cancelled. A declined attempt then waits for its payer like one that was never declined: it is cancelled before
    /// another one is made, so that no two of them are paid.
    #[must_use]
    pub fn open_after_decline(mut self) -> Self {
        self.kept.after_decline = AfterDecline::Open;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ActionKind {
        self.kept.kind
    }

    /// What the payer's page gets, secrets included.
    pub(crate) fn expose(&self) -> serde_json::Value {
        let secrets = self
            .secrets
            .iter()
            .map(|(name, secret)| ((*name).to_owned(), secret.expose().to_owned()));
        render(self.kept.kind, self.kept.data.clone().into_iter().chain(secrets))
    }
}

pub(crate) fn render(kind: ActionKind, data: impl Iterator<Item = (String, String)>) -> serde_json::Value {
    let mut page = serde_json::Map::new();
    page.insert("type".to_owned(), kind.as_str().into());
    page.extend(data.map(|(name, value)| (name, value.into())));
    page.into()
}

/// Two actions are equal when what is kept of them is.
impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}

impl Eq for Action {}
