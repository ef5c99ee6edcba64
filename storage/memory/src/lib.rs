//! paymux's reference store: everything in this process's memory, behind one mutex.
//!
//! It keeps every clause of [the store's contract](paymux_core::store) but one: **it is not durable**. What it holds
//! is gone when its last clone is dropped or the process ends, so no real money belongs in it. It is for tests,
//! examples and first steps, and the plain code that other stores are compared with.
//!
//! ```
//! use paymux_memory::MemoryStore;
//!
//! let store = MemoryStore::new();
//! let same = store.clone(); // not a copy: both see every commit
//! # drop((store, same));
//! ```

mod commit;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};

use crate::state::State;

/// A store in memory. Its clones are the same store.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    time: StoreTime,
}

impl MemoryStore {
    /// An empty store on this machine's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store on the clock that `time` names.
    pub fn with_time(time: StoreTime) -> Self {
        Self {
            state: Arc::default(),
            time,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a store's own clock is this machine's")]
    fn now(&self) -> Timestamp {
        match &self.time {
            StoreTime::Own => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::default().after(since)
            }
            StoreTime::Injected(clock) => clock.now(),
        }
    }

    /// Nothing is left half done by a panic: a commit is decided before its first write, so a poisoned lock is good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without what it holds.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let state = self.state();
        let kept = state.of(tenant);
        Ok(keys.iter().map(|key| kept?.rows.get(key).cloned()).collect())
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        let state = self.state();
        Ok(state.of(tenant).and_then(|kept| kept.uniques.get(key)).cloned())
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        let state = self.state();
        Ok(state.owners.get(key).and_then(|owner| {
            let unique = state.of(owner)?.uniques.get(key)?;
            Some((owner.clone(), unique.target?))
        }))
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        Ok(self.state().find(tenant, query))
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let state = self.state();
        let Some(kept) = state.of(tenant) else {
            return Ok(Vec::new());
        };
        let events = kept.events.range((row, from)..=(row, u64::MAX));
        Ok(events
            .take(limit as usize)
            .map(|(_, event)| event.clone())
            .collect())
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        batch.check()?;
        let now = self.now();
        self.state().commit(tenant, batch, now)
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.state().resolve(tenant, id)
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let now = self.now();
        Ok(self.state().claim_due(request, now))
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        let now = self.now();
        Ok(self.state().backlog(queue, now))
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        Ok(self.state().purge(retention, limit))
    }
}
