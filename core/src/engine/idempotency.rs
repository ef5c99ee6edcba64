//! The same key never moves money twice: keys, fingerprints, and what a key got.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Inner;
use super::aggregate::{Aggregate, Loaded, SCHEMA, decode_body, encode, known_form};
use super::commit::unreadable;
use super::policy::KeyLife;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::hex::hex;
use crate::intent::KeyUse;
use crate::store::{Row, RowKey, Scope, Unique, UniqueKey, UniqueWrite};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// The host's key of one request: 1 to 255 printable ASCII characters, at least one of them not a space. The same
/// key with the same request gives the same result; with another request it is an error.
///
/// A key is bound to its tenant, its verb and its request, by default for as long as what it made exists. For
/// [`Policy::body_ttl`](crate::Policy::body_ttl) a repetition gives the first result as it was stored; later it gives
/// the resource as it stands. **Where [`Policy::key_life`](crate::Policy::key_life) lets a key end, the same request
/// after that is a new one, and charges again.**
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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    fingerprint: String,
    stage: Stage,
    version: u64,
    /// The form of the row that follows.
    schema: u16,
    /// When the result was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_at: Option<Timestamp>,
}

/// When a result is kept, and until when its key is bound to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// What a key got before.
#[derive(Debug)]
pub(crate) enum Before<A> {
    /// Nothing, or something whose time is up.
    Nothing,
    /// Its result.
    Done(Kept<A>),
    /// It isn't done: this is what it is about.
    Underway(Stage, RowKey),
}

/// The result of a key.
#[derive(Debug)]
pub(crate) struct Kept<A> {
    /// As it was then.
    pub(crate) first: Loaded<A>,
    /// As a repetition shows it: as it was then, or as it stands.
    pub(crate) shown: Loaded<A>,
}

impl Claimed {
    /// The use of `key` for a verb with this request. Volatile and secret parts of the request don't serialize, and
    /// so aren't in the fingerprint.
    pub(crate) fn new(verb: &str, key: &IdempotencyKey, request: &impl Serialize) -> Result<Self> {
        let fingerprint = hex(&Sha256::digest(encode(request)?));
        Ok(Self {
            unique: UniqueKey::new(Scope::Idempotency, format!("{verb}/{}", key.as_str())),
            fingerprint,
        })
    }

    /// The record of the first write.
    pub(crate) fn started(&self, target: RowKey, at: Timestamp) -> Result<UniqueWrite> {
        Ok(UniqueWrite::Renew {
            unique: record(&self.key_use(), target, Written::InProgress)?,
            expired_by: at,
        })
    }

    /// The record of a verb that was done in its only write.
    pub(crate) fn done_at_once(&self, row: &Row, keeping: Keeping) -> Result<UniqueWrite> {
        Ok(UniqueWrite::Renew {
            unique: record(&self.key_use(), row.key, Written::Done(row, keeping))?,
            expired_by: keeping.at,
        })
    }

    /// What the operation carries, so that its outcome completes the record.
    pub(crate) fn key_use(&self) -> KeyUse {
        KeyUse {
            name: self.unique.name.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// What a record is written with. Only a result has a time that ends: while the operation is open or its outcome
/// unknown, a key stays bound.
enum Written<'a> {
    InProgress,
    Open,
    Done(&'a Row, Keeping),
}

/// A record: its head as one line of JSON, then the row's body as it was.
fn record(used: &KeyUse, target: RowKey, written: Written<'_>) -> Result<Unique> {
    let (stage, kept) = match written {
        Written::InProgress => (Stage::InProgress, None),
        Written::Open => (Stage::Open, None),
        Written::Done(row, keeping) => (Stage::Done, Some((row, keeping))),
    };
    let head = Record {
        fingerprint: used.fingerprint.clone(),
        stage,
        version: kept.map_or(0, |(row, _)| row.version),
        schema: SCHEMA,
        kept_at: kept.map(|(_, keeping)| keeping.at),
    };
    let body = kept.map_or(&[][..], |(row, _)| &row.body);
    let head = encode(&head)?;
    let mut bytes = Vec::with_capacity(head.len() + 1 + body.len());
    bytes.extend_from_slice(&head);
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    Ok(Unique {
        key: UniqueKey::new(Scope::Idempotency, &used.name),
        target: Some(target),
        bytes: bytes.into(),
        expires_at: kept.and_then(|(_, keeping)| keeping.expires_at),
    })
}

impl Inner {
    /// How a result of this time is kept.
    pub(crate) fn keeping(&self, at: Timestamp) -> Keeping {
        let expires_at = match self.policy.key_life {
            KeyLife::OfResource => None,
            KeyLife::For(life) => Some(at.after(life)),
        };
        Keeping { at, expires_at }
    }

    /// Whether a key is bound to something.
    pub(crate) async fn is_used(&self, tenant: &Tenant, unique: &UniqueKey) -> Result<bool> {
        Ok(self.bound(tenant, unique).await?.is_some())
    }

    /// A record whose time is up counts as none, purged or not: by the runtime's clock, as the engine decides it.
    async fn bound(&self, tenant: &Tenant, unique: &UniqueKey) -> Result<Option<Unique>> {
        let found = self.store.lookup(tenant, unique).await.map_err(unreadable)?;
        let now = self.runtime.clock.now();
        Ok(found.filter(|unique| !unique.has_expired(now)))
    }

    /// What a key got before.
    ///
    /// # Errors
    /// [`ErrorKind::IdempotencyMismatch`] where it was used with another request.
    pub(crate) async fn before<A: Aggregate>(&self, tenant: &Tenant, claimed: &Claimed) -> Result<Before<A>> {
        let Some(unique) = self.bound(tenant, &claimed.unique).await? else {
            return Ok(Before::Nothing);
        };
        let (target, head, body) = read(&unique)?;
        if head.fingerprint != claimed.fingerprint {
            let message = "this key was used before with another request: use a new key for a new request";
            return Err(Error::new(ErrorKind::IdempotencyMismatch, message));
        }
        match head.stage {
            Stage::Done => {
                let first: Loaded<A> = Loaded::decode(&row_of(target, &head, body))?;
                let now = self.runtime.clock.now();
                let as_it_was = head.kept_at.is_none_or(|at| now < at.after(self.policy.body_ttl));
                let shown = match as_it_was {
                    true => first.clone(),
                    false => self.reload(tenant, &first).await?,
                };
                Ok(Before::Done(Kept { first, shown }))
            }
            stage @ (Stage::InProgress | Stage::Open) => Ok(Before::Underway(stage, target)),
        }
    }
}

/// What a record is about, its head, and the row's body that follows it.
fn read(unique: &Unique) -> Result<(RowKey, Record, &[u8])> {
    let target = unique
        .target
        .ok_or_else(|| Error::new(ErrorKind::Store, "an idempotency record points at nothing"))?;
    let (head, body) = split(&unique.bytes);
    let head: Record = decode_body(head, target)?;
    known_form(target, head.schema)?;
    Ok((target, head, body))
}

/// Writes how a verb ended, for the commit of its outcome.
pub(crate) fn conclude(used: &KeyUse, conclusion: Conclusion<'_>) -> Result<UniqueWrite> {
    Ok(match conclusion {
        Conclusion::Freed => UniqueWrite::Delete(UniqueKey::new(Scope::Idempotency, &used.name)),
        Conclusion::Open(target) => UniqueWrite::Replace(record(used, target, Written::Open)?),
        Conclusion::Done(row, keeping) => {
            UniqueWrite::Replace(record(used, row.key, Written::Done(row, keeping))?)
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
    Done(&'a Row, Keeping),
}

fn split(bytes: &Bytes) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn row_of(key: RowKey, head: &Record, body: &[u8]) -> Row {
    Row {
        key,
        version: head.version,
        schema: head.schema,
        index: crate::store::Index {
            status: String::new(),
            customer: None,
            reference: None,
            parent: None,
            attention: crate::store::Attention::None,
            attention_since: None,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        },
        body: Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::aggregate::tests::reads_back;
    use crate::intent::Intent;
    use crate::intent::tests::scene::Scene;

    fn records() -> Vec<Unique> {
        let scene = Scene::authorized();
        let loaded = Loaded {
            state: scene.state,
            version: 3,
            sequence: 7,
        };
        let row = loaded.encode().unwrap();
        let used = KeyUse {
            name: "confirm/order-1".to_owned(),
            fingerprint: "2c26b46b68ffc68f".to_owned(),
        };
        let keeping = Keeping {
            at: Timestamp::from_secs(1_000),
            expires_at: None,
        };
        [Written::InProgress, Written::Open, Written::Done(&row, keeping)]
            .map(|written| record(&used, loaded.state.key(), written).unwrap())
            .into()
    }

    #[test]
    fn records_of_this_release_read_back() {
        let kept: Vec<String> = records()
            .iter()
            .map(|unique| String::from_utf8(unique.bytes.to_vec()).unwrap())
            .collect();
        reads_back("idempotency.json", &kept);
        for (unique, stage) in records()
            .iter()
            .zip([Stage::InProgress, Stage::Open, Stage::Done])
        {
            let (target, head, body) = read(unique).unwrap();
            assert_eq!((head.stage, head.schema), (stage, SCHEMA));
            if stage == Stage::Done {
                let loaded = Loaded::<Intent>::decode(&row_of(target, &head, body)).unwrap();
                assert_eq!((loaded.version, loaded.sequence), (3, 7));
            }
        }
    }

    #[test]
    fn a_record_of_a_newer_form_is_named() {
        for unique in records() {
            let text = String::from_utf8(unique.bytes.to_vec()).unwrap();
            let newer = text.replacen(
                &format!("\"schema\":{SCHEMA}"),
                &format!("\"schema\":{}", SCHEMA + 1),
                1,
            );
            assert_ne!(newer, text);
            let bytes = newer.into_bytes().into();
            let error = read(&Unique { bytes, ..unique }).unwrap_err();
            assert_eq!(error.code(), "store");
            assert!(
                error.to_string().contains(&format!("the form {}", SCHEMA + 1)),
                "{error}"
            );
        }
    }
}
