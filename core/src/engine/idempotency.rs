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
    bound: Bound,
}

/// What a key is bound to when its verb begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    ToNothing,
    /// To what the verb goes on with, as it was read: whoever is faster changes that.
    ToItsOwn,
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
    /// Nothing was executed: the key goes on with the same resource.
    Again,
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
    Underway(Progress, RowKey),
    /// Nothing was executed for it: it goes on with this.
    Again(RowKey),
}

/// Of a key whose result isn't kept yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    InFlight,
    /// The outcome is unknown: the resource is given as it stands.
    Unknown,
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
            bound: Bound::ToNothing,
        })
    }

    /// The same, for a key that goes on with what it is bound to.
    pub(crate) fn again(self) -> Self {
        Self {
            bound: Bound::ToItsOwn,
            ..self
        }
    }

    /// The record of the first write.
    pub(crate) fn started(&self, target: RowKey, at: Timestamp) -> Result<UniqueWrite> {
        let unique = record(&self.key_use(), target, Written::InProgress)?;
        Ok(self.written(unique, at))
    }

    /// The record of a verb that was done in its only write.
    pub(crate) fn done_at_once(&self, row: &Row, keeping: Keeping) -> Result<UniqueWrite> {
        let unique = record(&self.key_use(), row.key, Written::Done(row, keeping))?;
        Ok(self.written(unique, keeping.at))
    }

    fn written(&self, unique: Unique, at: Timestamp) -> UniqueWrite {
        match self.bound {
            Bound::ToNothing => UniqueWrite::Renew {
                unique,
                expired_by: at,
            },
            // Its resource's version guards it.
            Bound::ToItsOwn => UniqueWrite::Replace(unique),
        }
    }

    /// What the operation carries, so that its outcome completes the record.
    pub(crate) fn key_use(&self) -> KeyUse {
        KeyUse {
            name: self.unique.name.clone(),
            fingerprint: self.fingerprint.clone(),
        }
    }
}

/// What a record is written with. Only what has ended has a time that ends: while the operation is open or its outcome
/// unknown, a key stays bound.
enum Written<'a> {
    InProgress,
    Open,
    Done(&'a Row, Keeping),
    Again(Keeping),
}

/// A record: its head as one line of JSON, then the row's body as it was.
fn record(used: &KeyUse, target: RowKey, written: Written<'_>) -> Result<Unique> {
    let (stage, kept, keeping) = match written {
        Written::InProgress => (Stage::InProgress, None, None),
        Written::Open => (Stage::Open, None, None),
        Written::Done(row, keeping) => (Stage::Done, Some(row), Some(keeping)),
        Written::Again(keeping) => (Stage::Again, None, Some(keeping)),
    };
    let head = Record {
        fingerprint: used.fingerprint.clone(),
        stage,
        version: kept.map_or(0, |row| row.version),
        schema: SCHEMA,
        kept_at: keeping.filter(|_| kept.is_some()).map(|keeping| keeping.at),
    };
    let body = kept.map_or(&[][..], |row| &row.body);
    let head = encode(&head)?;
    let mut bytes = Vec::with_capacity(head.len() + 1 + body.len());
    bytes.extend_from_slice(&head);
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    Ok(Unique {
        key: UniqueKey::new(Scope::Idempotency, &used.name),
        target: Some(target),
        bytes: bytes.into(),
        expires_at: keeping.and_then(|keeping| keeping.expires_at),
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
            Stage::InProgress => Ok(Before::Underway(Progress::InFlight, target)),
            Stage::Open => Ok(Before::Underway(Progress::Unknown, target)),
            Stage::Again => Ok(Before::Again(target)),
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
        Conclusion::Again(target, keeping) => {
            UniqueWrite::Replace(record(used, target, Written::Again(keeping))?)
        }
    })
}

/// How a verb ended.
#[derive(Debug)]
pub(crate) enum Conclusion<'a> {
    /// Nothing was executed: the same key may try again.
    Freed,
    /// Nothing was executed: the same key tries again with what it made.
    Again(RowKey, Keeping),
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
        index: crate::store::Index::of("", Timestamp::default()),
        body: Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::engine::aggregate::tests::reads_back;
    use crate::engine::{ConnectorMap, Orchestrator, Policy};
    use crate::intent::Intent;
    use crate::intent::tests::scene::Scene;
    use crate::runtime::Runtime;
    use crate::store::{
        Backlog, Batch, Claim, ClaimRequest, CommitError, CommitId, Query, Queue, Receipt, Resolved,
        Retention, Store, StoreError, StoredEvent,
    };

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
        let written = [
            Written::InProgress,
            Written::Open,
            Written::Done(&row, keeping),
            Written::Again(keeping),
        ];
        written
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
        for (unique, stage) in
            records()
                .iter()
                .zip([Stage::InProgress, Stage::Open, Stage::Done, Stage::Again])
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

    /// A record and the payment that it is about, as a store would hold them.
    #[derive(Debug)]
    struct Shelf {
        unique: Unique,
        row: Row,
    }

    #[async_trait]
    impl Store for Shelf {
        async fn load(&self, _: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
            let found = |key: &RowKey| (*key == self.row.key).then(|| self.row.clone());
            Ok(keys.iter().map(found).collect())
        }
        async fn lookup(&self, _: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
            Ok((*key == self.unique.key).then(|| self.unique.clone()))
        }
        async fn locate(&self, _: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
            Ok(None)
        }
        async fn find(&self, _: &Tenant, _: &Query) -> Result<Vec<Row>, StoreError> {
            Ok(Vec::new())
        }
        async fn events(
            &self,
            _: &Tenant,
            _: RowKey,
            _: u64,
            _: u32,
        ) -> Result<Vec<StoredEvent>, StoreError> {
            Ok(Vec::new())
        }
        async fn commit(&self, _: &Tenant, _: &Batch) -> Result<Receipt, CommitError> {
            Err(CommitError::NotCommitted(StoreError::rejected("it is only read")))
        }
        async fn resolve(&self, _: &Tenant, _: CommitId) -> Result<Resolved, StoreError> {
            Ok(Resolved::Absent)
        }
        async fn claim_due(&self, _: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
            Ok(Vec::new())
        }
        async fn backlog(&self, _: Queue) -> Result<Backlog, StoreError> {
            Ok(Backlog::default())
        }
        async fn purge(&self, _: &Retention, _: u32) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    fn claimed(request: &str) -> Claimed {
        Claimed::new("confirm", &IdempotencyKey::new("order-1").unwrap(), &request).unwrap()
    }

    fn of_version(version: u64) -> Row {
        let state = Scene::authorized().state;
        let loaded = Loaded {
            state,
            version,
            sequence: 7,
        };
        loaded.encode().unwrap()
    }

    const KEPT_AT: Timestamp = Timestamp::from_secs(1_000);

    /// An engine whose store holds this for the key, `secs` after a result was kept. A result is shown as it was for
    /// 100 seconds; the payment has been written once more since.
    async fn engine(written: Written<'_>, secs: u64) -> Arc<Inner> {
        let row = of_version(4);
        let unique = record(&claimed("a").key_use(), row.key, written).unwrap();
        let (runtime, clock) = Runtime::test(7);
        clock.jump_to(KEPT_AT.after(Duration::from_secs(secs)));
        let mut policy = Policy::new();
        policy.body_ttl = Duration::from_secs(100);
        let builder = Orchestrator::builder(Shelf { unique, row }, ConnectorMap::private(), runtime);
        builder.policy(policy).build().await.unwrap().inner
    }

    /// For how long a key is bound, in seconds.
    fn kept_for(life: Option<u64>) -> Keeping {
        Keeping {
            at: KEPT_AT,
            expires_at: life.map(|secs| KEPT_AT.after(Duration::from_secs(secs))),
        }
    }

    async fn before(engine: &Inner, request: &str) -> Result<Before<Intent>> {
        engine
            .before(&Tenant::test("acme").unwrap(), &claimed(request))
            .await
    }

    #[tokio::test]
    async fn a_result_is_shown_as_it_was_and_later_as_it_stands() {
        let row = of_version(3);
        for (secs, shown) in [(0, 3), (99, 3), (100, 4), (101, 4)] {
            let engine = engine(Written::Done(&row, kept_for(None)), secs).await;
            let Before::Done(kept) = before(&engine, "a").await.unwrap() else {
                panic!("it is done")
            };
            assert_eq!((kept.first.version, kept.shown.version), (3, shown), "{secs}");
            let error = before(&engine, "b").await.unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::IdempotencyMismatch);
        }
        let done = record(
            &claimed("a").key_use(),
            row.key,
            Written::Done(&row, kept_for(None)),
        )
        .unwrap();
        assert_eq!(read(&done).unwrap().2, row.body);
    }

    #[tokio::test]
    async fn what_isn_t_done_is_under_way_and_another_key_is_free() {
        for (written, progress) in [
            (Written::InProgress, Progress::InFlight),
            (Written::Open, Progress::Unknown),
        ] {
            let engine = engine(written, 9).await;
            let found = before(&engine, "a").await.unwrap();
            let expected = (progress, of_version(4).key);
            assert!(
                matches!(found, Before::Underway(progress, key) if (progress, key) == expected),
                "{found:?}"
            );
            let tenant = Tenant::test("acme").unwrap();
            assert!(engine.is_used(&tenant, &claimed("a").unique).await.unwrap());
            let other = Claimed::new("capture", &IdempotencyKey::new("order-1").unwrap(), &"a").unwrap();
            assert!(!engine.is_used(&tenant, &other.unique).await.unwrap());
            let found = engine.before::<Intent>(&tenant, &other).await.unwrap();
            assert!(matches!(found, Before::Nothing), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_key_of_which_nothing_was_executed_goes_on_with_what_it_made_until_its_time_is_up() {
        let of_it = of_version(4).key;
        for (secs, bound) in [(49, true), (50, false)] {
            let engine = engine(Written::Again(kept_for(Some(50))), secs).await;
            let found = before(&engine, "a").await.unwrap();
            let goes_on = matches!(found, Before::Again(key) if key == of_it);
            assert_eq!(goes_on, bound, "{secs}: {found:?}");
        }
        let target = of_version(3).key;
        let first = claimed("a").started(target, KEPT_AT).unwrap();
        assert!(matches!(first, UniqueWrite::Renew { .. }), "{first:?}");
        let again = claimed("a").again().started(target, KEPT_AT).unwrap();
        assert!(matches!(again, UniqueWrite::Replace(_)), "{again:?}");
    }

    #[tokio::test]
    async fn a_key_is_bound_until_its_time_is_up() {
        let (row, tenant) = (of_version(3), Tenant::test("acme").unwrap());
        for (secs, bound) in [(49, true), (50, false), (51, false)] {
            let engine = engine(Written::Done(&row, kept_for(Some(50))), secs).await;
            assert_eq!(
                engine.is_used(&tenant, &claimed("a").unique).await.unwrap(),
                bound
            );
            let found = before(&engine, "a").await.unwrap();
            assert_eq!(matches!(found, Before::Done(_)), bound, "{secs}: {found:?}");
        }
    }

    #[test]
    fn a_key_is_read_off_a_request_s_headers() {
        let with = |value: &[u8]| {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            HeaderMap::from_iter([(http::HeaderName::from_static(IdempotencyKey::HEADER), value)])
        };
        let key = |value: &[u8]| IdempotencyKey::from_headers(&with(value)).unwrap();
        assert_eq!(key(b"order-1").unwrap().as_str(), "order-1");
        assert_eq!(
            IdempotencyKey::require(&with(b"order-1")).unwrap().as_str(),
            "order-1"
        );
        assert_eq!(
            format!("{:?}", key(b"order-1").unwrap()),
            "IdempotencyKey(\"order-1\")"
        );
        for none in [with(b""), with(b"  "), HeaderMap::new()] {
            assert_eq!(IdempotencyKey::from_headers(&none).unwrap(), None);
            assert_eq!(
                IdempotencyKey::require(&none).unwrap_err().kind(),
                &ErrorKind::Invalid
            );
        }
        for bad in [&b"\xff"[..], b"a\tb", &[b'k'; 256]] {
            assert!(
                IdempotencyKey::from_headers(&with(bad)).is_err()
                    && IdempotencyKey::require(&with(bad)).is_err()
            );
        }
        for (key, holds) in [
            (" ", false),
            ("", false),
            (" ~", true),
            ("\u{7f}", false),
            ("\u{1f}", false),
        ] {
            assert_eq!(IdempotencyKey::new(key).is_ok(), holds, "{key:?}");
        }
        assert!(IdempotencyKey::new("k".repeat(255)).is_ok());
    }
}
