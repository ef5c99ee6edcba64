//! One commit: what several aggregates go through together, written once, and its fate found out.

use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::Inner;
use super::aggregate::{Aggregate, Loaded, SCHEMA, encode};
use super::write::pointer;
use crate::error::{Error, ErrorKind, Result};
use crate::id::ProviderRef;
use crate::store::Index;
use crate::store::{
    Batch, CommitError, CommitId, Due, JobKey, JobWrite, Precondition, Refusal, Resolved, Row, RowKey,
    RowKind, Scope, StoreError, StoredEvent, UniqueKey, UniqueWrite,
};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// What will be written together.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) batch: Batch,
    pub(crate) at: Timestamp,
    /// The processor's identifiers that are there already, and stay where they point.
    taken: Vec<UniqueKey>,
}

/// Why a commit isn't done.
#[derive(Debug)]
pub(crate) enum CommitFailure {
    /// Something has changed meanwhile: nothing was written.
    Conflict(Refusal),
    /// Another worker drives the operation now: nothing was written.
    Fenced,
    /// Nothing was written.
    NotCommitted(StoreError),
    /// It isn't known whether it was written, and the store doesn't say.
    InDoubt,
    /// The commit couldn't even be made.
    Broken(Error),
}

impl From<CommitFailure> for Error {
    fn from(failure: CommitFailure) -> Self {
        match failure {
            CommitFailure::Conflict(_) | CommitFailure::Fenced => Self::new(
                ErrorKind::Stale,
                "it has changed meanwhile: read it again and decide anew",
            ),
            CommitFailure::NotCommitted(source) => {
                Self::new(ErrorKind::Store, "the store couldn't write: nothing was sent").with_source(source)
            }
            CommitFailure::InDoubt => Self::new(
                ErrorKind::Store,
                "the store doesn't say whether it wrote: ask again with the same key",
            ),
            CommitFailure::Broken(error) => error,
        }
    }
}

impl Work {
    pub(crate) fn of(batch: Batch, at: Timestamp) -> Self {
        Self {
            batch,
            at,
            taken: Vec::new(),
        }
    }

    /// Takes an aggregate through its events. `None` where there is none to take, nor an event that makes one.
    pub(crate) fn change<A: Aggregate>(
        &mut self,
        before: Option<&Loaded<A>>,
        events: &[A::Event],
        ids: &Inner,
    ) -> Result<Option<Loaded<A>>> {
        let mut state = before.map(|loaded| loaded.state.clone());
        let mut sequence = before.map_or(0, |loaded| loaded.sequence);
        for event in events {
            state = A::apply(state, event);
            let Some(state) = &state else { return Ok(None) };
            sequence += 1;
            self.batch.events.push(StoredEvent {
                id: ids.uuid(),
                row: state.key(),
                sequence,
                at: A::event_at(event),
                kind: A::event_kind(event).to_owned(),
                schema: SCHEMA,
                body: encode(event)?,
            });
        }
        let Some(state) = state else { return Ok(None) };
        let version = before.map_or(0, |loaded| loaded.version);
        let after = Loaded {
            state,
            version: version + 1,
            sequence,
        };
        let key = after.state.key();
        // A second change in one commit goes on from the first: one row, one version.
        let row = after.encode()?;
        match self.batch.puts.iter_mut().find(|row| row.key == key) {
            Some(written) => {
                let version = written.version;
                *written = Row { version, ..row };
                Ok(Some(Loaded { version, ..after }))
            }
            None => {
                self.batch.preconditions.push(match version {
                    0 => Precondition::Absent(key),
                    version => Precondition::Version(key, version),
                });
                self.batch.puts.push(row);
                Ok(Some(after))
            }
        }
    }

    /// The row of an aggregate as this commit writes it, or as it stands.
    pub(crate) fn row<A: Aggregate>(&self, after: &Loaded<A>) -> Result<Row> {
        let key = after.state.key();
        match self.batch.puts.iter().find(|row| row.key == key) {
            Some(written) => Ok(written.clone()),
            None => after.encode(),
        }
    }

    pub(crate) fn unique(&mut self, write: UniqueWrite) {
        self.batch.uniques.retain(|earlier| earlier.key() != write.key());
        self.batch.uniques.push(write);
    }

    /// Points an identifier of the processor's at a row: it is that row's alone.
    pub(crate) fn claim(&mut self, reference: &ProviderRef, target: RowKey) {
        let key = UniqueKey::provider(reference);
        if !self.taken.contains(&key) {
            self.unique(UniqueWrite::Insert(pointer(key, target)));
        }
    }

    /// Leaves an identifier where it points.
    pub(crate) fn leave(&mut self, key: UniqueKey) {
        self.taken.push(key);
    }

    pub(crate) fn job(&mut self, write: JobWrite) {
        self.batch.jobs.retain(|earlier| earlier.key() != write.key());
        self.batch.jobs.push(write);
    }

    pub(crate) fn put_job(&mut self, key: JobKey, due: Due) {
        self.job(JobWrite::Put { key, due });
    }

    /// Only the holder of this lease may write this.
    pub(crate) fn epoch(&mut self, job: JobKey, epoch: u64) {
        self.batch.preconditions.push(Precondition::Epoch(job, epoch));
    }

    /// Keeps what decided an outcome, longer than events are kept.
    pub(crate) fn evidence(
        &mut self,
        about: RowKey,
        kind: &str,
        what: &serde_json::Value,
        ids: &Inner,
    ) -> Result<()> {
        let key = RowKey::new(RowKind::Evidence, ids.uuid());
        self.batch.preconditions.push(Precondition::Absent(key));
        self.batch.puts.push(Row {
            key,
            version: 1,
            schema: SCHEMA,
            index: Index {
                parent: Some(about),
                ..Index::of(kind, self.at)
            },
            body: encode(what)?,
        });
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.puts.is_empty()
            && self.batch.events.is_empty()
            && self.batch.jobs.is_empty()
            && self.batch.uniques.is_empty()
    }
}

/// Whose an identifier of the processor's is that a commit couldn't claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Itself,
    Another,
}

impl Inner {
    /// An empty commit.
    pub(crate) fn work(&self) -> Work {
        let at = self.runtime.clock.now();
        Work::of(Batch::new(CommitId(self.runtime.ids.uuid(at))), at)
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.runtime.ids.uuid(self.runtime.clock.now())
    }

    /// Commits, and finds out what became of a commit whose fate the store couldn't tell: absent means that the same
    /// contents are committed under a fresh id.
    pub(crate) async fn commit(&self, tenant: &Tenant, mut work: Work) -> Result<(), CommitFailure> {
        for _ in 0..COMMIT_TRIES {
            match self.store.commit(tenant, &work.batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(refusal)) => return Err(CommitFailure::Conflict(refusal)),
                Err(CommitError::Fenced(job)) => {
                    self.overtaken.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(?job, "another worker has taken over");
                    return Err(CommitFailure::Fenced);
                }
                Err(CommitError::NotCommitted(source)) => return Err(CommitFailure::NotCommitted(source)),
                Err(CommitError::Unknown(id)) => match self.fate_of(tenant, id).await {
                    Some(Resolved::Committed(_)) => return Ok(()),
                    Some(Resolved::Absent) => work.batch.commit_id = CommitId(self.uuid()),
                    None => return Err(CommitFailure::InDoubt),
                },
            }
        }
        Err(CommitFailure::InDoubt)
    }

    /// Whose identifier kept a commit of `row` from being written, if it was one: another commit's failure is given
    /// back.
    pub(crate) async fn holder(
        &self,
        tenant: &Tenant,
        row: RowKey,
        failure: CommitFailure,
    ) -> Result<(UniqueKey, Holder), CommitFailure> {
        let key = match failure {
            CommitFailure::Conflict(Refusal::Unique(key)) if key.scope == Scope::Provider => key,
            CommitFailure::Conflict(_)
            | CommitFailure::Fenced
            | CommitFailure::NotCommitted(_)
            | CommitFailure::InDoubt
            | CommitFailure::Broken(_) => return Err(failure),
        };
        match self.store.locate(&key).await.map_err(unreadable)? {
            Some((theirs, held)) if theirs == *tenant && held == row => Ok((key, Holder::Itself)),
            Some(_) => {
                tracing::error!(%tenant, ?row, ?key, "an identifier of the processor's is another one's already");
                Ok((key, Holder::Another))
            }
            None => Err(CommitFailure::Conflict(Refusal::Unique(key))),
        }
    }

    async fn fate_of(&self, tenant: &Tenant, id: CommitId) -> Option<Resolved> {
        for attempt in 0..RESOLVE_TRIES {
            match self.store.resolve(tenant, id).await {
                Ok(resolved) => return Some(resolved),
                Err(error) => tracing::warn!(commit = ?id, %error, "the store can't resolve a commit yet"),
            }
            self.runtime.clock.sleep(RESOLVE_PAUSE * 2u32.pow(attempt)).await;
        }
        None
    }

    pub(crate) async fn load<A: Aggregate>(&self, tenant: &Tenant, id: Uuid) -> Result<Option<Loaded<A>>> {
        let key = RowKey::new(A::KIND, id);
        let rows = self.store.load(tenant, &[key]).await.map_err(unreadable)?;
        rows.into_iter()
            .next()
            .flatten()
            .map(|row| Loaded::decode(&row))
            .transpose()
    }
}

pub(crate) fn unreadable(source: StoreError) -> Error {
    Error::new(ErrorKind::Store, "the store couldn't be read").with_source(source)
}

const COMMIT_TRIES: u32 = 5;
const RESOLVE_TRIES: u32 = 4;
const RESOLVE_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
