//! Bugs of a store: what a bad implementation of the port does. All instances share it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux_core::Tenant;
use paymux_core::store::*;

use super::Tooth;
use crate::rng::mix;
use crate::schedule::{Time, lock};

#[derive(Debug)]
pub(super) struct BadDisk {
    tooth: Tooth,
    inner: Arc<dyn Store>,
    time: Time,
    tenants: Vec<Tenant>,
    before: Mutex<HashMap<RowKey, Changes>>,
    committed: Mutex<HashSet<CommitId>>,
    /// The last event of each row.
    last: Mutex<HashMap<RowKey, u64>>,
}

/// What a row was before each of its last commits, and when that was.
type Changes = Vec<(u64, Option<Row>)>;

/// So far a replica lags at its worst.
const LAG_MS: u64 = 90_000;

impl BadDisk {
    pub(super) fn new(tooth: Tooth, inner: Arc<dyn Store>, time: Time, tenants: Vec<Tenant>) -> Self {
        Self {
            tooth,
            inner,
            time,
            tenants,
            before: Mutex::default(),
            committed: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// A row as the replica has it: now and then it is behind for some minutes.
    fn replicated(&self, key: RowKey, row: Option<Row>) -> Option<Row> {
        let now = self.time.now();
        let behind = mix(key.id.as_u64_pair().1, now / 600_000).is_multiple_of(4);
        let seen_at = match behind {
            true => now.saturating_sub(LAG_MS),
            false => now,
        };
        let before = lock(&self.before);
        let changes = before.get(&key).map_or(&[][..], Vec::as_slice);
        match changes.iter().find(|(at, _)| *at > seen_at) {
            Some((_, old)) => old.clone(),
            None => row,
        }
    }

    async fn keep_before(&self, tenant: &Tenant, batch: &Batch) {
        let keys: Vec<RowKey> = batch.puts.iter().map(|row| row.key).collect();
        let Ok(rows) = self.inner.load(tenant, &keys).await else {
            return;
        };
        let now = self.time.now();
        let mut before = lock(&self.before);
        for (key, row) in keys.into_iter().zip(rows) {
            let changes = before.entry(key).or_default();
            changes.retain(|(at, _)| at + LAG_MS > now);
            changes.push((now, row));
        }
    }

    /// Writes over whatever is there.
    async fn overwrite(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let mut forced = batch.clone();
        let keys: Vec<RowKey> = batch.puts.iter().map(|row| row.key).collect();
        let rows = self
            .inner
            .load(tenant, &keys)
            .await
            .map_err(CommitError::NotCommitted)?;
        let versions: HashMap<RowKey, u64> = rows
            .into_iter()
            .flatten()
            .map(|row| (row.key, row.version))
            .collect();
        for precondition in &mut forced.preconditions {
            if let Precondition::Version(key, version) = precondition {
                *version = versions.get(key).copied().unwrap_or(*version);
            }
        }
        for row in &mut forced.puts {
            row.version = versions.get(&row.key).map_or(row.version, |version| version + 1);
        }
        self.put_behind(&mut forced);
        self.append(tenant, &forced).await
    }

    /// The places of events are taken: they go behind the others.
    fn put_behind(&self, batch: &mut Batch) {
        let last = lock(&self.last);
        let mut moved: HashMap<RowKey, u64> = HashMap::new();
        for event in &mut batch.events {
            let by = moved.entry(event.row).or_insert_with(|| {
                let next = last.get(&event.row).map_or(0, |last| last + 1);
                next.saturating_sub(event.sequence)
            });
            event.sequence += *by;
        }
    }

    /// Commits, and remembers where each row's events end.
    async fn append(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let done = self.inner.commit(tenant, batch).await;
        if done.is_ok() {
            let mut last = lock(&self.last);
            for event in &batch.events {
                last.insert(event.row, event.sequence);
            }
        }
        done
    }
}

fn unfenced(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    batch
        .preconditions
        .retain(|precondition| !matches!(precondition, Precondition::Epoch(..)));
    batch
}

#[async_trait]
impl Store for BadDisk {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut rows = self.inner.load(tenant, keys).await?;
        for (key, row) in keys.iter().zip(&mut rows) {
            if self.tooth == Tooth::ReplicaRead {
                *row = self.replicated(*key, row.take());
            }
            if self.tooth == Tooth::TenantMissingInLoad {
                for other in &self.tenants {
                    if row.is_none() {
                        *row = self.inner.load(other, &[*key]).await?.pop().flatten();
                    }
                }
            }
        }
        Ok(rows)
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        let mut found = self.inner.lookup(tenant, key).await?;
        if self.tooth == Tooth::TenantMissingInLookup {
            for other in &self.tenants {
                if found.is_none() {
                    found = self.inner.lookup(other, key).await?;
                }
            }
        }
        Ok(found)
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
            Tooth::ReplicaRead => {
                self.keep_before(tenant, batch).await;
                self.inner.commit(tenant, batch).await
            }
            Tooth::LockWithoutFence | Tooth::LeaseWithoutEpoch => {
                self.inner.commit(tenant, &unfenced(batch)).await
            }
            Tooth::LostUpdate => match self.append(tenant, batch).await {
                Err(CommitError::Conflict(Refusal::Row(_) | Refusal::Event(_))) => {
                    self.overwrite(tenant, batch).await
                }
                done => done,
            },
            Tooth::AbsentWithoutFence => {
                let done = self.inner.commit(tenant, batch).await;
                if done.is_ok() {
                    lock(&self.committed).insert(batch.commit_id);
                }
                done
            }
            _ => self.inner.commit(tenant, batch).await,
        }
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        let known = lock(&self.committed).contains(&id);
        match self.tooth {
            Tooth::AbsentWithoutFence if !known => Ok(Resolved::Absent),
            _ => self.inner.resolve(tenant, id).await,
        }
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let mut claims = self.inner.claim_due(request).await?;
        if self.tooth == Tooth::LeaseWithoutEpoch {
            for claim in &mut claims {
                claim.epoch = 1;
            }
        }
        Ok(claims)
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.inner.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.inner.purge(retention, limit).await
    }
}
