//! Bugs between the engine and what it believes to be its store. Each instance has a wrapper of its own, which dies
//! with it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};
use uuid::Uuid;

use super::Tooth;
use crate::fenced::evidence;
use crate::schedule::lock;

#[derive(Debug)]
pub(super) struct BadStore {
    tooth: Tooth,
    inner: Arc<dyn Store>,
    /// The transaction that stays open during a call, by the row that it is about.
    open: Mutex<HashMap<RowKey, Batch>>,
    /// Rows whose last commit met a conflict.
    conflicts: Mutex<HashSet<RowKey>>,
    /// What commits said that were fenced off, and about which row.
    overtaken: Mutex<HashSet<(Option<RowKey>, Bytes)>>,
}

impl BadStore {
    pub(super) fn new(tooth: Tooth, inner: Arc<dyn Store>) -> Self {
        Self {
            tooth,
            inner,
            open: Mutex::default(),
            conflicts: Mutex::default(),
            overtaken: Mutex::default(),
        }
    }

    /// A worker that is fenced off gives up, with all that it was told.
    async fn give_up_when_fenced(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let said = || evidence(batch).map(|row| (row.index.parent, row.body.clone()));
        let again = {
            let mut overtaken = lock(&self.overtaken);
            let again: Vec<_> = said().filter(|said| overtaken.remove(said)).collect();
            !again.is_empty()
        };
        if again {
            let why = "another worker has taken over";
            return Err(CommitError::NotCommitted(StoreError::new(
                StoreErrorKind::Unavailable,
                why,
            )));
        }
        let result = self.inner.commit(tenant, batch).await;
        if let Err(CommitError::Fenced(_)) = result {
            lock(&self.overtaken).extend(said());
        }
        result
    }

    /// A first write isn't committed before the next write of its row is.
    async fn hold_open(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        for row in &batch.puts {
            let held = lock(&self.open).remove(&row.key);
            if let Some(held) = held {
                self.inner.commit(tenant, &held).await?;
            }
        }
        let opens = |event: &StoredEvent| event.kind.ends_with("operation.opened");
        let row = batch
            .events
            .iter()
            .find(|event| opens(event))
            .map(|event| event.row);
        match row {
            Some(row) => {
                lock(&self.open).insert(row, batch.clone());
                Ok(Receipt {
                    commit_id: batch.commit_id,
                    at: Timestamp::default(),
                })
            }
            None => self.inner.commit(tenant, batch).await,
        }
    }

    async fn in_two(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let (mut state, mut jobs) = (batch.clone(), Batch::new(batch.commit_id));
        if batch.puts.is_empty() {
            return self.inner.commit(tenant, batch).await;
        }
        jobs.jobs = std::mem::take(&mut state.jobs);
        jobs.commit_id = CommitId(Uuid::from_u128(batch.commit_id.0.as_u128() ^ 1));
        let receipt = self.inner.commit(tenant, &state).await?;
        if !jobs.jobs.is_empty() {
            let _ = self.inner.commit(tenant, &jobs).await;
        }
        Ok(receipt)
    }

    /// What is decided anew is written, but who wrote the events believes that they are written already.
    async fn without_events(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut batch = batch.clone();
        {
            let conflicts = lock(&self.conflicts);
            batch.events.retain(|event| !conflicts.contains(&event.row));
        }
        let result = self.inner.commit(tenant, &batch).await;
        let mut conflicts = lock(&self.conflicts);
        match &result {
            Err(CommitError::Conflict(_)) => conflicts.extend(batch.puts.iter().map(|row| row.key)),
            Ok(_) | Err(_) => batch.puts.iter().for_each(|row| {
                conflicts.remove(&row.key);
            }),
        }
        result
    }
}

/// A record of an unknown outcome is deleted instead.
fn free_keys(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    let unknown = |event: &StoredEvent| event.kind.ends_with("operation.unknown");
    if batch.events.iter().any(unknown) {
        for write in &mut batch.uniques {
            if let UniqueWrite::Replace(unique) = write
                && unique.key.scope == Scope::Idempotency
            {
                *write = UniqueWrite::Delete(unique.key.clone());
            }
        }
    }
    batch
}

/// A record is written whether or not there is one.
fn overwrite_keys(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    for write in &mut batch.uniques {
        if let UniqueWrite::Renew { unique, .. } = write {
            *write = UniqueWrite::Replace(unique.clone());
        }
    }
    batch
}

#[async_trait]
impl Store for BadStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut rows = self.inner.load(tenant, keys).await?;
        // A transaction sees its own writes.
        let open = lock(&self.open);
        for (key, row) in keys.iter().zip(&mut rows) {
            let held = open.values().flat_map(|batch| &batch.puts);
            if let Some(own) = held.into_iter().find(|own| own.key == *key) {
                *row = Some(own.clone());
            }
        }
        Ok(rows)
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.inner.lookup(tenant, key).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.inner.locate(key).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.inner.find(tenant, query).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.events(tenant, row, from, limit).await
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        match self.tooth {
            Tooth::CallInTransaction => self.hold_open(tenant, batch).await,
            Tooth::TwoWrites => self.in_two(tenant, batch).await,
            Tooth::UnknownTakenForDone => match self.inner.commit(tenant, batch).await {
                Err(CommitError::Unknown(commit_id)) => Ok(Receipt {
                    commit_id,
                    at: Timestamp::default(),
                }),
                known => known,
            },
            Tooth::EvidenceDroppedOnFenced => self.give_up_when_fenced(tenant, batch).await,
            Tooth::EventLostOnConflict => self.without_events(tenant, batch).await,
            Tooth::KeyFreedOnError => self.inner.commit(tenant, &free_keys(batch)).await,
            Tooth::KeyOnlyChecked => self.inner.commit(tenant, &overwrite_keys(batch)).await,
            _ => self.inner.commit(tenant, batch).await,
        }
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.inner.resolve(tenant, id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let mut request = request.clone();
        if self.tooth == Tooth::JobGoneWhenClaimed {
            request.lease = Duration::from_secs(10 * 365 * 24 * 3_600);
        }
        self.inner.claim_due(&request).await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.inner.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.inner.purge(retention, limit).await
    }
}
