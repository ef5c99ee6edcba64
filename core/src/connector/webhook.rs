//! What a processor posts to us: whose it is, whether it is genuine, and what it says.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use sha2::Sha256;

use super::op::{Handle, RefundReport, Standing};
use crate::hex::hex;
use crate::id::{AccountRef, ProviderKind};
use crate::secret::Secret;
use crate::time::Timestamp;

/// Takes a processor's webhooks.
#[async_trait]
pub trait WebhookOps: fmt::Debug + Send + Sync + 'static {
    /// For which accounts the body may be, before anything in it is believed.
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed>;

    /// Whether it is genuine, by any of the live secrets. It may ask the processor.
    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature>;

    /// What it says: one notice or several.
    fn decode(&self, inbound: &Verified) -> Result<Vec<Notice>, Malformed>;

    /// What the processor wants to hear when its webhook was taken.
    fn reply(&self) -> http::Response<Bytes>;
}

/// A webhook as it came.
#[derive(Clone)]
pub struct Inbound {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Inbound {
    /// The body, read as JSON. Nothing in it is believed yet.
    ///
    /// # Errors
    /// A body that doesn't read so.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        serde_json::from_slice(&self.body).map_err(|_| Malformed)
    }
}

/// Shows the size alone.
impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A webhook that is genuine. Only a verification makes one.
#[derive(Clone, Debug)]
pub struct Verified(Inbound);

impl Verified {
    /// Says that `inbound` was verified by other means than [`TimestampedHmac`]: by a call to the processor, or by
    /// another signature. Whoever calls this vouches for it.
    pub fn vouched(inbound: &Inbound) -> Self {
        Self(inbound.clone())
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// A body that doesn't read so.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        self.0.json()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }
}

/// The webhook isn't genuine. There is no detail, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's signature is not valid")]
pub struct BadSignature;

/// The webhook doesn't read as documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's body doesn't read as documented")]
pub struct Malformed;

/// One thing that a webhook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub(crate) event: Option<String>,
    pub(crate) act: String,
    pub(crate) kind: ProviderKind,
    pub(crate) about: Handle,
    pub(crate) account: Option<AccountRef>,
    pub(crate) reference: Option<String>,
    pub(crate) authority: Authority,
}

/// How much a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authority {
    /// That something happened: the object is read again, and the read is the news.
    Hint,
    /// What happened to a payment, signed, where the processor has nothing to read.
    Payment(Box<Standing>),
    /// What happened to a refund, signed, where the processor has nothing to read.
    Refund(Box<RefundReport>),
}

impl Notice {
    /// A hint that something happened to the payment `about`. `event` is the processor's identifier of the event.
    pub fn hint(event: impl Into<String>, about: Handle) -> Self {
        Self {
            event: Some(event.into()),
            act: String::new(),
            kind: ProviderKind::Payment,
            about,
            account: None,
            reference: None,
            authority: Authority::Hint,
        }
    }

    /// A hint from a processor whose webhooks have no identifier: repeats of the same act on the same object are
    /// taken as one while it waits, never for ever.
    pub fn unnumbered(act: impl Into<String>, about: Handle) -> Self {
        Self {
            event: None,
            act: act.into(),
            ..Self::hint(String::new(), about)
        }
    }

    /// What happened, in the processor's word.
    #[must_use]
    pub fn act(mut self, act: impl Into<String>) -> Self {
        self.act = act.into();
        self
    }

    /// The notice is about a refund.
    #[must_use]
    pub fn about_refund(mut self) -> Self {
        self.kind = ProviderKind::Refund;
        self
    }

    /// The notice is for this account, where the body may hold several accounts' notices.
    #[must_use]
    pub fn account(mut self, account: AccountRef) -> Self {
        self.account = Some(account);
        self
    }

    /// Our reference, where the webhook repeats it: it finds an object whose handle we haven't learnt yet.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// The webhook is itself the news.
    #[must_use]
    pub fn authoritative(mut self, authority: Authority) -> Self {
        self.authority = authority;
        self
    }

    /// What the notice is about.
    pub fn about(&self) -> &Handle {
        &self.about
    }

    /// What sort of object it is about.
    pub fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// How much it says.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// A signature of the form `t=SECONDS,v1=HEX` in one header, over `{t}.{body}`, by HMAC-SHA256, as Stripe documents
/// it (stripe.com/docs/webhooks#verify-manually).
#[derive(Clone, Copy, Debug)]
pub struct TimestampedHmac {
    /// The header, in lower case.
    pub header: &'static str,
    /// How far the time may be off, into the past and into the future.
    pub tolerance: Duration,
}

impl TimestampedHmac {
    /// Whether `inbound` was signed by one of `secrets`, not long ago and not in the future. Signatures are compared
    /// in constant time, and every secret is tried.
    ///
    /// # Errors
    /// [`BadSignature`], without saying why.
    pub fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        let mut values = inbound.headers.get_all(self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(BadSignature);
        };
        let value = value.to_str().map_err(|_| BadSignature)?;
        let mut at = None;
        let mut signatures = Vec::new();
        for part in value.split(',') {
            match part.trim().split_once('=') {
                Some(("t", seconds)) if at.is_none() => at = Some(seconds),
                Some(("t", _)) => return Err(BadSignature),
                Some(("v1", hex)) => signatures.extend(unhex(hex)),
                Some(_) | None => {}
            }
        }
        let at = at.ok_or(BadSignature)?;
        let signed_at = Timestamp::from_secs(at.parse::<u32>().map_err(|_| BadSignature)?.into());
        let mut genuine = subtle::Choice::from(0);
        // Anybody can sign with an empty secret.
        for secret in secrets.iter().filter(|secret| !secret.is_blank()) {
            let expected = sign(secret, at, &inbound.body).ok_or(BadSignature)?;
            for signature in &signatures {
                genuine |= subtle::ConstantTimeEq::ct_eq(&expected[..], &signature[..]);
            }
        }
        let off = signed_at.since(now).max(now.since(signed_at));
        if bool::from(genuine) && off <= self.tolerance {
            Ok(Verified(inbound.clone()))
        } else {
            Err(BadSignature)
        }
    }

    /// The headers that a sender would send: for tests, and for whoever sends webhooks of this form.
    pub fn sign(&self, body: &[u8], secret: &Secret, now: Timestamp) -> HeaderMap {
        let at = now.as_secs().to_string();
        let signature = sign(secret, &at, body)
            .map(|signature| hex(&signature))
            .unwrap_or_default();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&format!("t={at},v1={signature}")) {
            headers.insert(HeaderName::from_static(self.header), value);
        }
        headers
    }
}

fn sign(secret: &Secret, at: &str, body: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac.finalize().into_bytes().into())
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    if digits.len() == 64 {
        bytes.try_into().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEME: TimestampedHmac = TimestampedHmac {
        header: "acme-signature",
        tolerance: Duration::from_secs(300),
    };

    fn inbound(headers: HeaderMap, body: &'static [u8]) -> Inbound {
        Inbound {
            headers,
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn only_what_was_signed_lately_with_a_live_secret_is_genuine() {
        let (old, new, other) = (Secret::from("old"), Secret::from("new"), Secret::from("other"));
        let now = Timestamp::from_secs(1_700_000_000);
        let signed = |at| SCHEME.sign(b"{}", &old, at);
        let live = [new.clone(), old.clone()];
        assert!(SCHEME.verify(&inbound(signed(now), b"{}"), &live, now).is_ok());
        assert!(
            SCHEME.verify(&inbound(signed(now), b"{ }"), &live, now).is_err(),
            "another body"
        );
        assert!(
            SCHEME
                .verify(&inbound(signed(now), b"{}"), &[other], now)
                .is_err(),
            "another secret"
        );
        assert!(
            SCHEME.verify(&inbound(signed(now), b"{}"), &[], now).is_err(),
            "no secret"
        );
        let empty = Secret::from("");
        let keyless = SCHEME.sign(b"{}", &empty, now);
        assert!(
            SCHEME
                .verify(&inbound(keyless, b"{}"), &[empty, old.clone()], now)
                .is_err(),
            "an empty secret"
        );
        let edge = Duration::from_secs(300);
        let past = Duration::from_secs(301);
        assert!(
            SCHEME
                .verify(&inbound(signed(now.before(edge)), b"{}"), &live, now)
                .is_ok()
        );
        assert!(
            SCHEME
                .verify(&inbound(signed(now.before(past)), b"{}"), &live, now)
                .is_err(),
            "stale"
        );
        assert!(
            SCHEME
                .verify(&inbound(signed(now.after(past)), b"{}"), &live, now)
                .is_err(),
            "from the future"
        );
        assert!(
            SCHEME
                .verify(&inbound(HeaderMap::new(), b"{}"), &live, now)
                .is_err(),
            "unsigned"
        );
    }

    #[test]
    fn several_signatures_in_one_header_are_each_tried() {
        let now = Timestamp::from_secs(1_700_000_000);
        let good = SCHEME.sign(b"{}", &Secret::from("good"), now);
        let good = good["acme-signature"]
            .to_str()
            .unwrap()
            .split_once(",")
            .unwrap()
            .1
            .to_owned();
        let value = format!("t={},v1={},{good}", now.as_secs(), "0".repeat(64));
        let mut headers = HeaderMap::new();
        headers.insert("acme-signature", value.parse().unwrap());
        assert!(
            SCHEME
                .verify(&inbound(headers, b"{}"), &[Secret::from("good")], now)
                .is_ok()
        );
    }
}
