//! The commits of one payment, over and over, each time of another payment.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use paymux::prelude::*;
use paymux::sandbox::Sandbox;
use paymux::store::{
    Batch, CommitId, JobKey, JobWrite, Precondition, Row, RowKey, StoredEvent, Unique, UniqueKey, UniqueWrite,
};
use uuid::Uuid;

use super::recording::Recording;

/// What the engine commits when a payment is made, confirmed and approved.
pub(crate) struct Payment {
    batches: Vec<Batch>,
}

impl Payment {
    pub(crate) async fn recorded() -> Self {
        let store = Recording::new(MemoryStore::new());
        let connectors = ConnectorMap::shared([Sandbox::seeded(7).connector("main")]).unwrap();
        let builder = Orchestrator::builder(store.clone(), connectors, Runtime::tokio_without_spawn());
        let paymux = builder.build().await.unwrap();
        let payments = paymux.tenant(Tenant::test("acme").unwrap());
        let _building = store.take();
        let new = NewIntent::payment(money!("10 EUR")).reference("order-1042");
        let method = PaymentMethod::card_token("tok_approve");
        let key = payments.one_off_key();
        let paid = payments.create_and_confirm(&key, new, method).await.unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
        let batches = store.take().0;
        assert_eq!(batches.len(), 2);
        Self { batches }
    }

    /// The same rows of another payment: identifiers and names are new, bodies are as they were.
    pub(crate) fn again(&self) -> Vec<Batch> {
        let mut new = New::default();
        self.batches.iter().map(|batch| new.batch(batch)).collect()
    }
}

/// How many rows of each table it writes, and how many bytes.
impl fmt::Display for Payment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: fn(&Batch) -> usize| self.batches.iter().map(count).sum::<usize>();
        let bytes = of(|batch| batch.puts.iter().map(|row| row.body.len()).sum())
            + of(|batch| batch.events.iter().map(|event| event.body.len()).sum());
        write!(
            f,
            "{} commits that write {} rows, {} uniques, {} events and {} jobs; {bytes} bytes of bodies",
            self.batches.len(),
            of(|batch| batch.puts.len()),
            of(|batch| batch.uniques.len()),
            of(|batch| batch.events.len()),
            of(|batch| batch.jobs.len()),
        )
    }
}

/// What stands for each identifier and name of the payment that was recorded.
#[derive(Default)]
struct New {
    ids: BTreeMap<Uuid, Uuid>,
    names: BTreeMap<String, String>,
}

impl New {
    fn id(&mut self, id: Uuid) -> Uuid {
        match id.is_nil() {
            true => id,
            false => *self.ids.entry(id).or_insert_with(growing),
        }
    }

    fn row(&mut self, key: RowKey) -> RowKey {
        RowKey::new(key.kind, self.id(key.id))
    }

    fn job(&mut self, key: JobKey) -> JobKey {
        JobKey {
            row: self.row(key.row),
            child: self.id(key.child),
            ..key
        }
    }

    fn unique_key(&mut self, key: &UniqueKey) -> UniqueKey {
        let name = self.names.entry(key.name.clone());
        let name = name.or_insert_with(|| format!("{}/{}", key.name, growing()));
        UniqueKey::new(key.scope, name.clone())
    }

    fn unique(&mut self, unique: &Unique) -> Unique {
        Unique {
            key: self.unique_key(&unique.key),
            target: unique.target.map(|row| self.row(row)),
            ..unique.clone()
        }
    }

    fn unique_write(&mut self, write: &UniqueWrite) -> UniqueWrite {
        match write {
            UniqueWrite::Insert(unique) => UniqueWrite::Insert(self.unique(unique)),
            UniqueWrite::Renew { unique, expired_by } => UniqueWrite::Renew {
                unique: self.unique(unique),
                expired_by: *expired_by,
            },
            UniqueWrite::Replace(unique) => UniqueWrite::Replace(self.unique(unique)),
            UniqueWrite::Delete(key) => UniqueWrite::Delete(self.unique_key(key)),
        }
    }

    fn job_write(&mut self, write: &JobWrite) -> JobWrite {
        match *write {
            JobWrite::Put { key, due } => JobWrite::Put {
                key: self.job(key),
                due,
            },
            JobWrite::Reschedule { key, due } => JobWrite::Reschedule {
                key: self.job(key),
                due,
            },
            JobWrite::Done(key) => JobWrite::Done(self.job(key)),
        }
    }

    fn precondition(&mut self, precondition: Precondition) -> Precondition {
        match precondition {
            Precondition::Absent(key) => Precondition::Absent(self.row(key)),
            Precondition::Version(key, version) => Precondition::Version(self.row(key), version),
            Precondition::Epoch(key, epoch) => Precondition::Epoch(self.job(key), epoch),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Batch {
        let put = |new: &mut Self, row: &Row| Row {
            key: new.row(row.key),
            ..row.clone()
        };
        let event = |new: &mut Self, event: &StoredEvent| StoredEvent {
            id: new.id(event.id),
            row: new.row(event.row),
            ..event.clone()
        };
        Batch {
            commit_id: CommitId(self.id(batch.commit_id.0)),
            preconditions: batch
                .preconditions
                .iter()
                .map(|it| self.precondition(*it))
                .collect(),
            puts: batch.puts.iter().map(|row| put(self, row)).collect(),
            uniques: batch.uniques.iter().map(|it| self.unique_write(it)).collect(),
            events: batch.events.iter().map(|it| event(self, it)).collect(),
            jobs: batch.jobs.iter().map(|it| self.job_write(it)).collect(),
        }
    }
}

/// An identifier that grows with time, as ours do.
fn growing() -> Uuid {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
    uuid::Builder::from_unix_timestamp_millis(since.as_millis().try_into().unwrap(), &random).into_uuid()
}
