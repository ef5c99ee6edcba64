//! A batch of everything, what comes of its commit, and callers that go away.
#![allow(dead_code, reason = "each test program uses a part")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Bytes, IdSource, SeededIds, Store, Tenant, Timestamp};

/// A batch that makes one of everything, under names that follow from a seed.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) tenant: Tenant,
    pub(crate) key: RowKey,
    pub(crate) job: JobKey,
    pub(crate) batch: Batch,
}

impl Sample {
    pub(crate) fn new(seed: u32) -> Self {
        let time = Timestamp::from_secs(1_767_225_600);
        let ids = SeededIds::new(u64::from(seed) << 32);
        let key = RowKey::new(RowKind::Intent, ids.uuid(time));
        let job = JobKey {
            queue: Queue::Recovery,
            row: key,
            child: ids.uuid(time),
        };
        let mut batch = Batch::new(CommitId(ids.uuid(time)));
        batch.preconditions.push(Precondition::Absent(key));
        batch.puts.push(Row {
            key,
            version: 1,
            schema: 1,
            index: Index {
                status: "processing".to_owned(),
                customer: Some("cus_1".to_owned()),
                reference: Some(format!("order-{seed}")),
                parent: None,
                attention: Attention::None,
                attention_since: None,
                created_at: time,
                updated_at: time,
            },
            body: Bytes::from(vec![b'b'; 2000]),
        });
        for (scope, name) in [(Scope::Idempotency, "key"), (Scope::Reference, "reference")] {
            batch.uniques.push(UniqueWrite::Insert(Unique {
                key: UniqueKey::new(scope, format!("{name}-{seed}")),
                target: Some(key),
                bytes: Bytes::from_static(b"record"),
                expires_at: None,
            }));
        }
        for sequence in 1..=2 {
            batch.events.push(StoredEvent {
                id: ids.uuid(time),
                row: key,
                sequence,
                at: time,
                kind: "intent.created".to_owned(),
                schema: 1,
                body: Bytes::from_static(b"event"),
            });
        }
        batch.jobs.push(JobWrite::Put {
            key: job,
            due: Due::After(Duration::from_secs(30)),
        });
        Self {
            tenant: Tenant::test("acme").unwrap(),
            key,
            job,
            batch,
        }
    }

    /// The row's next version, under the commit id of another seed's sample.
    pub(crate) fn next(&self, seed: u32) -> Batch {
        let mut batch = Batch::new(Self::new(seed).batch.commit_id);
        batch.preconditions.push(Precondition::Version(self.key, 1));
        batch.puts.push(Row {
            version: 2,
            ..self.batch.puts[0].clone()
        });
        batch
    }

    pub(crate) fn planned(&self) -> Planned<()> {
        Planned::new(self.tenant.clone(), self.batch.clone(), ())
    }

    /// Whether all of it is there; a part of it fails the test.
    pub(crate) async fn is_there(&self, store: &dyn Store) -> bool {
        let row = store.load(&self.tenant, &[self.key]).await.unwrap()[0].is_some();
        let events = store.events(&self.tenant, self.key, 1, 10).await.unwrap().len();
        assert_eq!(events, if row { 2 } else { 0 });
        for unique in &self.batch.uniques {
            let there = store.lookup(&self.tenant, unique.key()).await.unwrap();
            let mine = there.is_some_and(|unique| unique.target == Some(self.key));
            assert!(!mine || row);
        }
        row
    }
}

/// The commit that is in doubt; fails if it isn't.
#[track_caller]
pub(crate) fn unknown(committed: Result<Receipt, CommitError>) -> CommitId {
    match committed {
        Err(CommitError::Unknown(id)) => id,
        other => panic!("{other:?}"),
    }
}

/// Why nothing was written; fails if something may have been, or another writer was first.
#[track_caller]
pub(crate) fn not_committed(committed: Result<Receipt, CommitError>) -> StoreError {
    match committed {
        Err(CommitError::NotCommitted(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Polls a future at most so often, and drops it then. `None` if it wasn't done.
pub(crate) async fn drop_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(move |cx| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
