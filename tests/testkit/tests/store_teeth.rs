//! The stores' suite finds what is wrong: stores with one fault each, and the clause that must name it.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paymux_core::store::*;
use paymux_core::{IdSource, SeededIds, Store, Tenant, Timestamp};
use paymux_memory::MemoryStore;
use paymux_testkit::{Durability, TestClock, store_conformance};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    LoadsBackwards,
    SkipsMissingRows,
    LosesTheParent,
    CommitsInParts,
    WritesEachCommitAgain,
    AcceptsAnything,
    ReplacesOnInsert,
    RenewsWhatLives,
    NeverRenews,
    LooksUpAnyonesUniques,
    IgnoresCase,
    CutsLongNames,
    TenantsOwnGlobals,
    EventsFromTheStart,
    EventsWithoutLimit,
    FindsOneMore,
    FindsInOneOrder,
    FindsFromTheStart,
    ClaimsBackwards,
    ClaimsWithoutLease,
    ClaimsWithoutLimit,
    IgnoresEpochs,
    PutsJobsAnew,
    DueAtOnce,
    NeverDueAgain,
    ForgetsAges,
    ForgetsAttention,
    NeverFences,
    ResolvesAnything,
    PurgesNothing,
    PurgesWithoutLimit,
    PurgesAll,
    ConflictsAreUnknown,
    ForgetsAtRestart,
}

const FAULTS: &[(Fault, &str)] = &[
    (
        Fault::LoadsBackwards,
        "rows are loaded in the order of their keys",
    ),
    (
        Fault::SkipsMissingRows,
        "rows are loaded in the order of their keys",
    ),
    (
        Fault::LosesTheParent,
        "rows are bytes, and come back as they were written",
    ),
    (Fault::CommitsInParts, "a batch is all or nothing"),
    (
        Fault::WritesEachCommitAgain,
        "committing a commit id that is committed changes nothing",
    ),
    (Fault::AcceptsAnything, "deciding is compare-and-set"),
    (Fault::ReplacesOnInsert, "a batch is all or nothing"),
    (Fault::RenewsWhatLives, "a unique that has expired may be renewed"),
    (Fault::NeverRenews, "a unique that has expired may be renewed"),
    (
        Fault::LooksUpAnyonesUniques,
        "a global unique is one over all tenants",
    ),
    (Fault::IgnoresCase, "a unique is there once"),
    (Fault::CutsLongNames, "a unique is there once"),
    (Fault::TenantsOwnGlobals, "a batch is all or nothing"),
    (Fault::EventsFromTheStart, "events come in sequence"),
    (Fault::EventsWithoutLimit, "events come in sequence"),
    (
        Fault::FindsOneMore,
        "`find` filters, orders and pages by the index",
    ),
    (
        Fault::FindsInOneOrder,
        "`find` filters, orders and pages by the index",
    ),
    (
        Fault::FindsFromTheStart,
        "`find` filters, orders and pages by the index",
    ),
    (
        Fault::ClaimsBackwards,
        "jobs are claimed when they are due, oldest first",
    ),
    (
        Fault::ClaimsWithoutLease,
        "jobs are claimed when they are due, oldest first",
    ),
    (
        Fault::ClaimsWithoutLimit,
        "jobs are claimed when they are due, oldest first",
    ),
    (Fault::IgnoresEpochs, "a batch is all or nothing"),
    (Fault::PutsJobsAnew, "only a claim raises a job's epoch"),
    (
        Fault::DueAtOnce,
        "jobs are claimed when they are due, oldest first",
    ),
    (Fault::NeverDueAgain, "a lease ends"),
    (
        Fault::ForgetsAges,
        "a job's age is counted from its put by the store's clock",
    ),
    (
        Fault::ForgetsAttention,
        "`backlog` counts what waits over all tenants",
    ),
    (
        Fault::NeverFences,
        "`resolve` says what became of a commit, and Absent is a promise",
    ),
    (Fault::ResolvesAnything, "a purged commit id is refused"),
    (
        Fault::PurgesNothing,
        "`purge` deletes what is old, and nothing else",
    ),
    (
        Fault::PurgesWithoutLimit,
        "`purge` deletes what is old, and nothing else",
    ),
    (Fault::PurgesAll, "`purge` deletes what is old, and nothing else"),
    (Fault::ConflictsAreUnknown, "deciding is compare-and-set"),
    (Fault::ForgetsAtRestart, "what was committed survives a restart"),
];

#[test]
fn each_fault_is_found_and_its_clause_is_named() {
    let mut missed = Vec::new();
    for (fault, clause) in FAULTS {
        let said = run(*fault).unwrap_or_default();
        if !said.contains(&format!("clause: {clause}\n")) {
            missed.push((fault, said));
        }
    }
    assert!(
        missed.is_empty(),
        "not found, or under another clause: {missed:#?}"
    );
}

#[test]
fn a_store_without_a_fault_passes() {
    assert_eq!(run(Fault::None), None);
}

/// What the suite says of a store with this fault.
fn run(fault: Fault) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let clock = TestClock::new();
    let time = StoreTime::Injected(Arc::new(clock.clone()));
    let suite = store_conformance(async |_| Faulty {
        store: MemoryStore::with_time(time.clone()),
        fault,
        ids: SeededIds::new(0x7ee7),
    })
    .clock(clock);
    let suite = match fault {
        Fault::ForgetsAtRestart => suite.durability(Durability::SurvivesRestart),
        _ => suite,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(suite.run())));
    outcome.err().map(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => "something else than a message".to_owned(),
    })
}

/// A memory store that does one thing wrong.
#[derive(Debug)]
struct Faulty {
    store: MemoryStore,
    fault: Fault,
    ids: SeededIds,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn fresh(&self) -> Uuid {
        self.ids.uuid(Timestamp::from_secs(1_767_225_600))
    }

    fn batch(&self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        match self.fault {
            Fault::LosesTheParent => batch.puts.iter_mut().for_each(|row| row.index.parent = None),
            Fault::WritesEachCommitAgain => batch.commit_id = CommitId(self.fresh()),
            Fault::ReplacesOnInsert => {
                for write in &mut batch.uniques {
                    if let UniqueWrite::Insert(unique) = write {
                        *write = UniqueWrite::Replace(unique.clone());
                    }
                }
            }
            Fault::RenewsWhatLives | Fault::NeverRenews => {
                for write in &mut batch.uniques {
                    if let UniqueWrite::Renew { unique, .. } = write {
                        let unique = unique.clone();
                        *write = match self.fault {
                            Fault::NeverRenews => UniqueWrite::Insert(unique),
                            _other => UniqueWrite::Replace(unique),
                        };
                    }
                }
            }
            Fault::CutsLongNames => {
                for write in &mut batch.uniques {
                    if let UniqueWrite::Insert(unique) = write {
                        unique.key = cut(&unique.key);
                    }
                }
            }
            Fault::IgnoresEpochs => batch
                .preconditions
                .retain(|precondition| !matches!(precondition, Precondition::Epoch(..))),
            Fault::DueAtOnce => {
                for job in &mut batch.jobs {
                    if let JobWrite::Put { due, .. } = job
                        && matches!(due, Due::After(_))
                    {
                        *due = Due::After(Duration::ZERO);
                    }
                }
            }
            _ => {}
        }
        batch
    }
}

/// A name as a column of 255 characters keeps it.
fn cut(key: &UniqueKey) -> UniqueKey {
    UniqueKey::new(key.scope, key.name.chars().take(255).collect::<String>())
}

#[async_trait]
impl Store for Faulty {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut rows = self.store.load(tenant, keys).await?;
        if self.has(Fault::LoadsBackwards) {
            rows.reverse();
        }
        if self.has(Fault::SkipsMissingRows) && rows.len() > 1 {
            rows.retain(Option::is_some);
        }
        Ok(rows)
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        let found = self.store.lookup(tenant, key).await?;
        match self.fault {
            Fault::LooksUpAnyonesUniques if found.is_none() => {
                self.store.lookup(&Tenant::test("acme").unwrap(), key).await
            }
            Fault::IgnoresCase => {
                let lower = UniqueKey::new(key.scope, key.name.to_lowercase());
                Ok(self.store.lookup(tenant, &lower).await?.or(found))
            }
            Fault::CutsLongNames => {
                let found = self.store.lookup(tenant, &cut(key)).await?;
                let key = key.clone();
                Ok(found.map(|unique| Unique { key, ..unique }))
            }
            _ => Ok(found),
        }
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.store.locate(key).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        let mut query = query.clone();
        match self.fault {
            Fault::FindsOneMore => query.limit += 1,
            Fault::FindsInOneOrder => query.order = Order::NewestFirst,
            Fault::FindsFromTheStart => query.after = None,
            _ => {}
        }
        self.store.find(tenant, &query).await
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let from = if self.has(Fault::EventsFromTheStart) {
            0
        } else {
            from
        };
        let limit = if self.has(Fault::EventsWithoutLimit) {
            u32::MAX
        } else {
            limit
        };
        self.store.events(tenant, row, from, limit).await
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let commit_id = batch.commit_id;
        let mut batch = self.batch(batch);
        if self.has(Fault::AcceptsAnything) {
            for row in &batch.puts {
                let there = self.store.load(tenant, &[row.key]).await.unwrap().pop().flatten();
                let (Some(there), true) = (there, row.version == 1) else {
                    continue;
                };
                batch.preconditions = vec![Precondition::Version(there.key, there.version)];
                batch.puts[0].version = there.version + 1;
                break;
            }
        }
        if self.has(Fault::CommitsInParts) {
            let mut jobs = Batch::new(CommitId(self.fresh()));
            jobs.jobs = std::mem::take(&mut batch.jobs);
            self.store.commit(tenant, &jobs).await?;
        }
        if self.has(Fault::TenantsOwnGlobals) {
            // Another tenant's name gets out of the way.
            for write in &batch.uniques {
                if let Some((owner, _)) = self.store.locate(write.key()).await.unwrap()
                    && owner != *tenant
                {
                    let mut free = Batch::new(CommitId(self.fresh()));
                    free.uniques.push(UniqueWrite::Delete(write.key().clone()));
                    self.store.commit(&owner, &free).await?;
                }
            }
        }
        if self.has(Fault::PutsJobsAnew) {
            let mut done = Batch::new(CommitId(self.fresh()));
            done.jobs = batch.jobs.iter().map(|job| JobWrite::Done(job.key())).collect();
            let puts = batch.jobs.iter().all(|job| matches!(job, JobWrite::Put { .. }));
            if puts && batch.preconditions.is_empty() {
                self.store.commit(tenant, &done).await?;
            }
        }
        match self.store.commit(tenant, &batch).await {
            Err(CommitError::Conflict(_)) if self.has(Fault::ConflictsAreUnknown) => {
                Err(CommitError::Unknown(batch.commit_id))
            }
            Ok(receipt) => Ok(Receipt { commit_id, ..receipt }),
            refused => refused,
        }
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        if self.has(Fault::NeverFences) {
            return Ok(Resolved::Absent);
        }
        match self.store.resolve(tenant, id).await {
            Err(_) if self.has(Fault::ResolvesAnything) => Ok(Resolved::Absent),
            resolved => resolved,
        }
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let mut request = request.clone();
        match self.fault {
            Fault::ClaimsWithoutLease => request.lease = Duration::ZERO,
            Fault::ClaimsWithoutLimit => request.limit = u32::MAX,
            Fault::NeverDueAgain => request.lease = Duration::from_secs(1 << 40),
            _ => {}
        }
        let mut claims = self.store.claim_due(&request).await?;
        if self.has(Fault::ClaimsBackwards) {
            claims.reverse();
        }
        if self.has(Fault::ForgetsAges) {
            claims.iter_mut().for_each(|claim| claim.age = Duration::ZERO);
        }
        Ok(claims)
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        let mut backlog = self.store.backlog(queue).await?;
        if self.has(Fault::ForgetsAttention) {
            backlog.attention.clear();
        }
        Ok(backlog)
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        match self.fault {
            Fault::PurgesNothing => Ok(0),
            Fault::PurgesWithoutLimit => self.store.purge(retention, u32::MAX).await,
            Fault::PurgesAll => {
                let before = retention.events_before.max(retention.evidence_before);
                let before = before.after(Duration::from_secs(1));
                let all = Retention {
                    events_before: before,
                    evidence_before: before,
                    uniques_before: before,
                    ..*retention
                };
                self.store.purge(&all, limit).await
            }
            _ => self.store.purge(retention, limit).await,
        }
    }
}
