//! Whatever is asked of it, each store in SQL answers as the memory store does.
#![cfg(all(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod database;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Bytes, IdSource, SeededIds, Store, Tenant, TestClock, Timestamp};
use paymux_memory::MemoryStore;
use paymux_sql::{PostgresOptions, SqliteOptions, Statements, sqlx};
use tempfile::tempdir;
use uuid::Uuid;

use crate::database::Database;

/// How many random calls each seed makes.
const CALLS: u64 = 250;

#[tokio::test]
async fn sqlite_answers_as_memory_does() {
    for seed in 0..6 {
        let folder = tempdir().unwrap();
        let open = async |time| {
            let options = SqliteOptions::new(folder.path().join("payments.db"));
            options.time(time).open().await.unwrap()
        };
        answers_as_memory_does(seed, open).await;
    }
}

#[tokio::test]
async fn postgres_answers_as_memory_does() {
    let Some(database) = Database::find().await else {
        return;
    };
    for (seed, statements) in [
        (0, Statements::Prepared),
        (1, Statements::Prepared),
        (2, Statements::Prepared),
        (3, Statements::Prepared),
        (4, Statements::Inline),
        (5, Statements::Inline),
    ] {
        let open = async |time| {
            let options = PostgresOptions::new(database.url()).schema(database.schema());
            options.statements(statements).time(time).open().await.unwrap()
        };
        answers_as_memory_does(seed, open).await;
    }
}

async fn answers_as_memory_does<S: Store>(seed: u64, open: impl AsyncFn(StoreTime) -> S) {
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    let sql = open(time.clone()).await;
    let memory = MemoryStore::with_time(time);
    let mut calls = Calls::new(seed, clock);
    let (mut committed, mut refused) = (0, 0);
    for call in 0..CALLS {
        calls.look(&memory).await;
        let step = calls.next();
        let expected = step.make(&memory).await;
        let seen = step.make(&sql).await;
        assert_eq!(seen, expected, "seed {seed}, call {call}: {step:?}");
        committed += u32::from(expected.starts_with("Ok(Receipt"));
        refused += u32::from(expected.starts_with("Err("));
    }
    assert!(
        committed > 40 && refused > 20,
        "seed {seed} says little: {committed} and {refused}"
    );
    let (expected, seen) = (everything(&memory).await, everything(&sql).await);
    assert_eq!(seen, expected, "seed {seed}, at the end");
}

#[derive(Debug)]
enum Step {
    Commit(Tenant, Batch),
    Resolve(Tenant, CommitId),
    Claim(ClaimRequest),
    Purge(Retention),
    Find(Tenant, Query),
    Backlog(Queue),
    Locate(UniqueKey),
}

impl Step {
    async fn make(&self, store: &dyn Store) -> String {
        match self {
            Self::Commit(tenant, batch) => match store.commit(tenant, batch).await {
                // The messages are each store's own.
                Err(CommitError::NotCommitted(error)) => format!("{:?}", error.kind()),
                other => show(&other),
            },
            Self::Resolve(tenant, id) => {
                show(&store.resolve(tenant, *id).await.map_err(|error| error.kind()))
            }
            Self::Claim(request) => {
                let mut claims = store.claim_due(request).await.unwrap();
                // Jobs that are due at the same time come in any order.
                claims.sort_by(|a, b| (&a.tenant, a.job).cmp(&(&b.tenant, b.job)));
                show(&claims)
            }
            Self::Purge(retention) => {
                let mut purged = 0;
                loop {
                    match store.purge(retention, 3).await.unwrap() {
                        0 => return show(&purged),
                        more => purged += more,
                    }
                }
            }
            Self::Find(tenant, query) => show(&store.find(tenant, query).await.unwrap()),
            Self::Backlog(queue) => {
                let mut backlog = store.backlog(*queue).await.unwrap();
                backlog.attention.sort();
                show(&backlog)
            }
            Self::Locate(key) => show(&store.locate(key).await.unwrap()),
        }
    }
}

fn show(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// All that can be read, over the few names that are used.
async fn everything(store: &dyn Store) -> Vec<String> {
    let mut all = Vec::new();
    for tenant in tenants() {
        all.push(show(&store.load(&tenant, &keys()).await.unwrap()));
        for key in keys() {
            all.push(show(&store.events(&tenant, key, 0, 1000).await.unwrap()));
        }
        for key in uniques() {
            all.push(show(&store.lookup(&tenant, &key).await.unwrap()));
            all.push(show(&store.locate(&key).await.unwrap()));
        }
    }
    all
}

fn tenants() -> [Tenant; 2] {
    [Tenant::test("acme").unwrap(), Tenant::live("acme").unwrap()]
}

fn keys() -> Vec<RowKey> {
    let kinds = [RowKind::Intent, RowKind::Evidence];
    let keys = (0..6).map(|index| RowKey::new(kinds[index % 2], Uuid::from_u128(index as u128 / 2)));
    keys.collect()
}

fn uniques() -> Vec<UniqueKey> {
    let scopes = [Scope::Idempotency, Scope::Provider, Scope::Notice];
    let keys = (0..6).map(|index| UniqueKey::new(scopes[index % 3], format!("{}", index / 3)));
    keys.collect()
}

fn jobs() -> Vec<JobKey> {
    let queues = [Queue::Recovery, Queue::Sync];
    let keys = keys();
    let jobs = (0..6).map(|index| JobKey {
        queue: queues[index % 2],
        row: keys[index / 2],
        child: Uuid::nil(),
    });
    jobs.collect()
}

/// Random calls on few names, so that they meet.
struct Calls {
    chance: u64,
    clock: TestClock,
    ids: SeededIds,
    /// Each tenant's and row's version and last sequence, so that most commits are in order.
    last: Vec<(u64, u64)>,
    used: Vec<CommitId>,
}

impl Calls {
    fn new(seed: u64, clock: TestClock) -> Self {
        Self {
            chance: seed,
            clock,
            ids: SeededIds::new(seed),
            last: Vec::new(),
            used: Vec::new(),
        }
    }

    async fn look(&mut self, store: &dyn Store) {
        self.last.clear();
        for tenant in tenants() {
            let rows = store.load(&tenant, &keys()).await.unwrap();
            for (key, row) in keys().into_iter().zip(rows) {
                let events = store.events(&tenant, key, 0, 1000).await.unwrap();
                let sequence = events.last().map_or(0, |event| event.sequence);
                self.last.push((row.map_or(0, |row| row.version), sequence));
            }
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }

    fn now(&self) -> Timestamp {
        paymux_core::Clock::now(&self.clock)
    }

    /// Some time around now.
    fn time(&mut self) -> Timestamp {
        let offset = Duration::from_secs(self.below(40));
        self.now().before(Duration::from_secs(20)).after(offset)
    }

    fn next(&mut self) -> Step {
        let seconds = self.below(4);
        self.clock.advance(Duration::from_secs(seconds));
        let tenant = self.below(2) as usize;
        match self.below(20) {
            0..12 => self.commit(tenant),
            12 => Step::Resolve(tenants()[tenant].clone(), self.commit_id()),
            13..15 => Step::Claim(ClaimRequest {
                queue: self.one_of(&[Queue::Recovery, Queue::Sync]),
                limit: 100,
                lease: Duration::from_secs(self.below(10)),
            }),
            15 => Step::Purge(self.retention()),
            16..18 => Step::Find(tenants()[tenant].clone(), self.query()),
            18 => Step::Backlog(self.one_of(&[Queue::Recovery, Queue::Sync])),
            _ => Step::Locate(self.one_of(&uniques())),
        }
    }

    /// A new one, or one that was used.
    fn commit_id(&mut self) -> CommitId {
        if self.used.is_empty() || self.below(4) > 0 {
            let id = CommitId(self.ids.uuid(self.now()));
            self.used.push(id);
            id
        } else {
            let used = self.used.clone();
            self.one_of(&used)
        }
    }

    fn commit(&mut self, tenant: usize) -> Step {
        let mut batch = Batch::new(self.commit_id());
        for _ in 0..self.below(3) {
            let index = self.below(keys().len() as u64) as usize;
            let key = keys()[index];
            let (version, sequence) = self.last[tenant * keys().len() + index];
            let version = version + u64::from(self.below(12) == 0);
            batch.preconditions.push(match version {
                0 => Precondition::Absent(key),
                version => Precondition::Version(key, version),
            });
            if self.below(8) > 0 {
                batch.puts.push(self.row(key, version + 1));
            }
            if self.below(4) > 0 {
                batch.events.push(StoredEvent {
                    id: self.ids.uuid(self.now()),
                    row: key,
                    sequence: sequence + u64::from(self.below(8) > 0),
                    at: self.time(),
                    kind: "changed".to_owned(),
                    schema: 1,
                    body: Bytes::from_static(b"event"),
                });
            }
        }
        if self.below(8) == 0 {
            batch
                .preconditions
                .push(Precondition::Epoch(self.one_of(&jobs()), 1 + self.below(3)));
        }
        for _ in 0..self.below(3) {
            let unique = Unique {
                key: self.one_of(&uniques()),
                target: (self.below(4) > 0).then(|| self.one_of(&keys())),
                bytes: Bytes::from(vec![7; self.below(3) as usize]),
                expires_at: (self.below(2) > 0).then(|| self.time()),
            };
            batch.uniques.push(match self.below(4) {
                0 => UniqueWrite::Insert(unique),
                1 => UniqueWrite::Replace(unique),
                2 => UniqueWrite::Renew {
                    unique,
                    expired_by: self.time(),
                },
                _ => UniqueWrite::Delete(unique.key),
            });
        }
        for _ in 0..self.below(3) {
            let key = self.one_of(&jobs());
            let due = match self.below(2) {
                0 => Due::At(self.time()),
                _ => Due::After(Duration::from_secs(self.below(10))),
            };
            batch.jobs.push(match self.below(4) {
                0 | 1 => JobWrite::Put { key, due },
                2 => JobWrite::Reschedule { key, due },
                _ => JobWrite::Done(key),
            });
        }
        Step::Commit(tenants()[tenant].clone(), batch)
    }

    fn row(&mut self, key: RowKey, version: u64) -> Row {
        Row {
            key,
            version,
            schema: 1,
            index: Index {
                status: self.one_of(&["created", "done"]).to_owned(),
                customer: (self.below(2) > 0).then(|| "cus_1".to_owned()),
                reference: (self.below(2) > 0).then(|| "order".to_owned()),
                parent: (self.below(2) > 0).then(|| self.one_of(&keys())),
                attention: self.one_of(Attention::ALL),
                attention_since: (self.below(2) > 0).then(|| self.time()),
                created_at: self.time(),
                updated_at: self.time(),
            },
            body: Bytes::from(vec![1; self.below(50) as usize]),
        }
    }

    fn retention(&mut self) -> Retention {
        let mut before = || {
            let seconds = self.below(60);
            self.now().before(Duration::from_secs(20 + seconds))
        };
        Retention {
            events_before: before(),
            evidence_before: before(),
            commits_before: before(),
            uniques_before: before(),
        }
    }

    fn query(&mut self) -> Query {
        let mut query = Query::of(self.one_of(&[RowKind::Intent, RowKind::Evidence]));
        query.limit = self.one_of(&[1, 100]);
        query.order = self.one_of(&[Order::NewestFirst, Order::OldestFirst]);
        match self.below(6) {
            0 => query.statuses.push("done".to_owned()),
            1 => query.customer = Some("cus_1".to_owned()),
            2 => query.parent = Some(self.one_of(&keys())),
            3 => query.attention.push(self.one_of(Attention::ALL)),
            4 => query.created_from = Some(self.time()),
            _ => query.after = Some(self.one_of(&keys()).id),
        }
        query
    }
}
