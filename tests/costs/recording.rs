//! A store that keeps what was asked of it, in front of another.
#![allow(dead_code, reason = "the tests and the benches each use a part of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use paymux::store::{
    Batch, Claim, ClaimRequest, CommitError, CommitId, Query, Receipt, Resolved, Row, RowKey, StoreError,
    StoredEvent, Unique, UniqueKey,
};
use paymux::{Backlog, Queue, Retention, Store, Tenant};

#[derive(Debug)]
pub(crate) struct Recording<S> {
    inner: S,
    batches: Mutex<Vec<Batch>>,
    reads: AtomicUsize,
}

impl<S> Recording<S> {
    pub(crate) fn new(inner: S) -> Arc<Self> {
        Arc::new(Self {
            inner,
            batches: Mutex::default(),
            reads: AtomicUsize::new(0),
        })
    }

    /// What was committed, and how often something was read, since this was last asked.
    pub(crate) fn take(&self) -> (Vec<Batch>, usize) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        (
            std::mem::take(&mut batches),
            self.reads.swap(0, Ordering::Relaxed),
        )
    }

    fn read(&self) -> &S {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

#[async_trait]
impl<S: Store> Store for Recording<S> {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.read().load(tenant, keys).await
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.read().lookup(tenant, key).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.read().locate(key).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.read().find(tenant, query).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.read().events(tenant, row, from, limit).await
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        self.batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(batch.clone());
        self.inner.commit(tenant, batch).await
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.read().resolve(tenant, id).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.read().claim_due(request).await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.read().backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.inner.purge(retention, limit).await
    }
}
