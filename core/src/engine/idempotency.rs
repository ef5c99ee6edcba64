//! The same key never moves money twice: keys, fingerprints, and what a key got.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Inner;
use super::aggregate::{Aggregate, Loaded, decode_body, encode};
use super::commit::unreadable;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::intent::KeyUse;
use crate::store::{Row, RowKey, Scope, Unique, UniqueKey, UniqueWrite};
use crate::tenant::Tenant;

/// The host's key of one request: 1 to 255 printable ASCII characters, at least one of them not a space. The same
/// key with the same request gives the same result; with another request it is an error.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The HTTP header that carries a key.
    pub const HEADER: &'static str = "idempotency-key";

    /// Reads a key.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where it is blank, too long, or not printable ASCII.
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        let problem = if key.trim_matches(' ').is_empty() {
            "it is blank"
        } else if key.len() > 255 {
            "it is over 255 characters"
        } else if !key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
            "it isn't printable ASCII"
        } else {
            return Ok(Self(key));
        };
        let remedy = "use 1 to 255 printable ASCII characters, such as your order's number";
        Err(Error::invalid(Fault::new("idempotency_key", problem, remedy)))
    }

    /// The key of a request's headers; a blank one counts as none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where there is a key that can't be one.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>> {
        let Some(value) = headers.get(Self::HEADER) else {
            return Ok(None);
        };
        match value.to_str() {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Self::new(text).map(Some),
            Err(_) => Self::new("\u{0}").map(Some),
        }
    }

    /// The key of a request's headers, which must be there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where there is none, or one that can't be one.
    pub fn require(headers: &HeaderMap) -> Result<Self> {
        Self::from_headers(headers)?.ok_or_else(|| {
            let remedy = "send the header Idempotency-Key, the same for every repetition of a request";
            Error::invalid(Fault::new("idempotency_key", "it is missing", remedy))
        })
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({:?})", self.0)
    }
}

/// A verb's use of a key: where its record is, and what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) unique: UniqueKey,
    pub(crate) fingerprint: String,
}

/// What a key's record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The first write is done; the outcome isn't written.
    InProgress,
    /// The outcome was unknown: the resource is given as it stands.
    Open,
    /// The result is kept, byte for byte.
    Done,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    fingerprint: String,
    stage: Stage,
    version: u64,
}

/// What a key got before.
#[derive(Debug)]
pub(crate) enum Before<A> {
    /// Nothing.
    Nothing,
    /// Its result, as it was then.
    Done(Loaded<A>),
    /// It isn't done: this is what it is about.
    Underway(Stage, RowKey),
}

impl Claimed {
    /// The use of `key` for a verb with this request. Volatile and secret parts of the request don't serialize, and
    /// so aren't in the fingerprint.
    pub(crate) fn new(verb: &str, key: &IdempotencyKey, request: &impl Serialize) -> Result<Self> {
        let fingerprint = Sha256::digest(encode(request)?);
        let fingerprint = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            unique: UniqueKey::new(Scope::Idempotency, format!("{verb}/{}", key.as_str())),
            fingerprint,
        })
    }

    /// The record of the first write.
    pub(crate) fn started(&self, target: RowKey) -> Result<UniqueWrite> {
        Ok(UniqueWrite::Insert(self.unique(
            target,
            Stage::InProgress,
            None,
        )?))
    }

    /// The record of a verb that was done in its only write.
    pub(crate) fn done_at_once(&self, row: &Row) -> Result<UniqueWrite> {
        Ok(UniqueWrite::Insert(self.unique(
            row.key,
            Stage::Done,
            Some(row),
        )?))
    }

    /// What the operation carries, so that its outcome completes the record.
    pub(crate) fn key_use(&self) -> KeyUse {
        KeyUse {
            name: self.unique.name.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    fn unique(&self, target: RowKey, stage: Stage, row: Option<&Row>) -> Result<Unique> {
        record(&self.unique.name, &self.fingerprint, target, stage, row)
    }
}

/// A record: its head as one line of JSON, then the row's body as it was.
fn record(name: &str, fingerprint: &str, target: RowKey, stage: Stage, row: Option<&Row>) -> Result<Unique> {
    let head = Record {
        fingerprint: fingerprint.to_owned(),
        stage,
        version: row.map_or(0, |row| row.version),
    };
    let mut bytes = encode(&head)?.to_vec();
    bytes.push(b'\n');
    bytes.extend_from_slice(row.map_or(&[][..], |row| &row.body));
    Ok(Unique {
        key: UniqueKey::new(Scope::Idempotency, name),
        target: Some(target),
        bytes: bytes.into(),
        expires_at: None,
    })
}

impl Inner {
    /// What a key got before.
    ///
    /// # Errors
    /// [`ErrorKind::IdempotencyMismatch`] where it was used with another request.
    pub(crate) async fn before<A: Aggregate>(&self, tenant: &Tenant, claimed: &Claimed) -> Result<Before<A>> {
        let found = self
            .store
            .lookup(tenant, &claimed.unique)
            .await
            .map_err(unreadable)?;
        let Some(unique) = found else {
            return Ok(Before::Nothing);
        };
        let target = unique
            .target
            .ok_or_else(|| Error::new(ErrorKind::Store, "an idempotency record points at nothing"))?;
        let (head, body) = split(&unique.bytes);
        let head: Record = decode_body(head, target)?;
        if head.fingerprint != claimed.fingerprint {
            let message = "this key was used before with another request: use a new key for a new request";
            return Err(Error::new(ErrorKind::IdempotencyMismatch, message));
        }
        match head.stage {
            Stage::Done => {
                let loaded = row_of(target, head.version, body);
                Ok(Before::Done(Loaded::decode(&loaded)?))
            }
            stage @ (Stage::InProgress | Stage::Open) => Ok(Before::Underway(stage, target)),
        }
    }
}

/// Writes how a verb ended, for the commit of its outcome.
pub(crate) fn conclude(used: &KeyUse, conclusion: Conclusion<'_>) -> Result<UniqueWrite> {
    let KeyUse { name, fingerprint } = used;
    Ok(match conclusion {
        Conclusion::Freed => UniqueWrite::Delete(UniqueKey::new(Scope::Idempotency, name)),
        Conclusion::Open(target) => {
            UniqueWrite::Replace(record(name, fingerprint, target, Stage::Open, None)?)
        }
        Conclusion::Done(row) => {
            UniqueWrite::Replace(record(name, fingerprint, row.key, Stage::Done, Some(row))?)
        }
    })
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) enum Conclusion<'a> {
    /// Nothing was executed: the same key may try again.
    Freed,
    /// The outcome is unknown.
    Open(RowKey),
    /// With this result.
    Done(&'a Row),
}

fn split(bytes: &Bytes) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn row_of(key: RowKey, version: u64, body: &[u8]) -> Row {
    Row {
        key,
        version,
        schema: super::aggregate::SCHEMA,
        index: crate::store::Index {
            status: String::new(),
            customer: None,
            reference: None,
            parent: None,
            attention: crate::store::Attention::None,
            attention_since: None,
            created_at: crate::time::Timestamp::default(),
            updated_at: crate::time::Timestamp::default(),
        },
        body: Bytes::copy_from_slice(body),
    }
}
