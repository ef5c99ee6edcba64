//! The smallest store that keeps paymux's contract, and the suite that says so.
//!
//! A store of your own keeps rows, uniques, events and jobs wherever you like. The contract is in
//! [`paymux::store`]; `paymux_testkit::store_conformance` tests each clause of it, also on a store that you write
//! over a database. This one keeps everything in one value behind one lock, and makes a batch all or nothing in the
//! plainest way there is: it writes into a copy, and keeps the copy if nothing was refused.
//!
//! ```text
//! cargo run --example custom_store
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use paymux::store::*;
use paymux::{Clock, Runtime, Tenant, Timestamp};
use paymux_testkit::{Durability, store_conformance};

#[tokio::main]
async fn main() {
    // A store that keeps files opens them in the folder that it is given, and says `SurvivesRestart`.
    store_conformance(async |_folder| MyStore::new())
        .durability(Durability::ProcessOnly)
        .run()
        .await;
    println!("MyStore keeps the contract");
}

struct MyStore {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

/// Everything by its tenant, so that tenants never meet.
#[derive(Clone, Default)]
struct State {
    rows: BTreeMap<(Tenant, RowKey), Row>,
    uniques: BTreeMap<(Tenant, UniqueKey), Unique>,
    events: BTreeMap<(Tenant, RowKey, u64), StoredEvent>,
    jobs: BTreeMap<(Tenant, JobKey), Job>,
    commits: BTreeMap<(Tenant, CommitId), Resolved>,
    /// What became of commits of before this time is no longer known.
    purged_before: Timestamp,
}

#[derive(Clone, Copy)]
struct Job {
    due: Timestamp,
    epoch: u64,
    put_at: Timestamp,
}

impl MyStore {
    fn new() -> Self {
        Self {
            state: Mutex::default(),
            clock: Arc::clone(Runtime::tokio().clock()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bodies are not for logs.
impl fmt::Debug for MyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MyStore")
    }
}

#[async_trait]
impl Store for MyStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let state = self.state();
        let rows = keys
            .iter()
            .map(|key| state.rows.get(&(tenant.clone(), *key)).cloned());
        Ok(rows.collect())
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        Ok(self.state().uniques.get(&(tenant.clone(), key.clone())).cloned())
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        let state = self.state();
        let Some(owner) = state.owner(key).filter(|_| key.is_global()) else {
            return Ok(None);
        };
        let unique = state.uniques.get(&(owner.clone(), key.clone()));
        Ok(unique.and_then(|unique| Some((owner.clone(), unique.target?))))
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        let state = self.state();
        // In the order of their identifiers, since all of them are of one kind.
        let mut rows: Vec<&Row> = state
            .rows
            .iter()
            .filter(|((owner, _), row)| owner == tenant && query.matches(row))
            .map(|(_, row)| row)
            .collect();
        match query.order {
            Order::OldestFirst => rows.retain(|row| query.after.is_none_or(|after| row.key.id > after)),
            Order::NewestFirst => {
                rows.retain(|row| query.after.is_none_or(|after| row.key.id < after));
                rows.reverse();
            }
        }
        Ok(rows.into_iter().take(query.limit as usize).cloned().collect())
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let state = self.state();
        let events = state
            .events
            .range((tenant.clone(), row, from)..=(tenant.clone(), row, u64::MAX));
        Ok(events
            .map(|(_, event)| event.clone())
            .take(limit as usize)
            .collect())
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        batch.check()?;
        let mut state = self.state();
        match state
            .known(tenant, batch.commit_id)
            .map_err(CommitError::NotCommitted)?
        {
            Some(Resolved::Committed(receipt)) => return Ok(receipt),
            Some(Resolved::Absent) => {
                let fenced = StoreError::rejected("this commit was declared absent: use a fresh commit id");
                return Err(CommitError::NotCommitted(fenced));
            }
            None => {}
        }
        let mut copy = state.clone();
        let receipt = copy.write(tenant, batch, self.clock.now())?;
        *state = copy;
        Ok(receipt)
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        let mut state = self.state();
        let known = state.known(tenant, id)?;
        // Absent is a promise: a late commit finds it here.
        let fate = known.unwrap_or(Resolved::Absent);
        state.commits.insert((tenant.clone(), id), fate);
        Ok(fate)
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut due: Vec<_> = state
            .jobs
            .iter_mut()
            .filter(|((_, key), job)| key.queue == request.queue && job.due <= now)
            .collect();
        due.sort_by_key(|(_, job)| job.due);
        let claims = due
            .into_iter()
            .take(request.limit as usize)
            .map(|((tenant, key), job)| {
                job.epoch += 1;
                job.due = now.after(request.lease);
                Claim {
                    tenant: tenant.clone(),
                    job: *key,
                    epoch: job.epoch,
                    age: now.since(job.put_at),
                }
            });
        Ok(claims.collect())
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        let now = self.clock.now();
        let state = self.state();
        let mut backlog = Backlog::default();
        for (_, job) in state.jobs.iter().filter(|((_, key), _)| key.queue == queue) {
            backlog.scheduled += 1;
            if job.due <= now {
                backlog.due += 1;
                backlog.oldest_due = Some(backlog.oldest_due.map_or(job.due, |oldest| oldest.min(job.due)));
            }
        }
        let mut attention: BTreeMap<&Tenant, u64> = BTreeMap::new();
        for ((tenant, _), row) in &state.rows {
            if row.index.attention != Attention::None {
                *attention.entry(tenant).or_default() += 1;
            }
        }
        let attention = attention.into_iter().map(|(tenant, rows)| (tenant.clone(), rows));
        backlog.attention = attention.collect();
        Ok(backlog)
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.state();
        let State {
            rows,
            uniques,
            events,
            commits,
            purged_before,
            ..
        } = &mut *state;
        *purged_before = (*purged_before).max(retention.commits_before);
        let mut purged = 0;
        let mut keep = |old: bool| {
            let purge = old && purged < u64::from(limit);
            purged += u64::from(purge);
            !purge
        };
        events.retain(|_, event| keep(event.at < retention.events_before));
        rows.retain(|(_, key), row| {
            keep(key.kind == RowKind::Evidence && row.index.created_at < retention.evidence_before)
        });
        commits.retain(|(_, id), _| keep(made_at(*id) < retention.commits_before));
        uniques.retain(|_, unique| keep(unique.expires_at.is_some_and(|at| at < retention.uniques_before)));
        Ok(purged)
    }
}

impl State {
    fn write(&mut self, tenant: &Tenant, batch: &Batch, now: Timestamp) -> Result<Receipt, CommitError> {
        for precondition in &batch.preconditions {
            self.require(tenant, precondition)?;
        }
        for row in &batch.puts {
            self.rows.insert((tenant.clone(), row.key), row.clone());
        }
        for write in &batch.uniques {
            self.write_unique(tenant, write)?;
        }
        for event in &batch.events {
            let place = (tenant.clone(), event.row, event.sequence);
            if self.events.insert(place, event.clone()).is_some() {
                return Err(CommitError::Conflict(Refusal::Event(event.row)));
            }
        }
        for write in &batch.jobs {
            self.write_job(tenant, write, now);
        }
        let commit_id = batch.commit_id;
        let receipt = Receipt { commit_id, at: now };
        let fate = Resolved::Committed(receipt);
        self.commits.insert((tenant.clone(), commit_id), fate);
        Ok(receipt)
    }

    fn require(&self, tenant: &Tenant, precondition: &Precondition) -> Result<(), CommitError> {
        let version = |key| self.rows.get(&(tenant.clone(), key)).map(|row| row.version);
        let (holds, refusal) = match *precondition {
            Precondition::Absent(key) => (version(key).is_none(), CommitError::Conflict(Refusal::Row(key))),
            Precondition::Version(key, expected) => (
                version(key) == Some(expected),
                CommitError::Conflict(Refusal::Row(key)),
            ),
            Precondition::Epoch(key, expected) => {
                let job = self.jobs.get(&(tenant.clone(), key));
                (
                    job.is_some_and(|job| job.epoch == expected),
                    CommitError::Fenced(key),
                )
            }
        };
        if holds { Ok(()) } else { Err(refusal) }
    }

    fn write_unique(&mut self, tenant: &Tenant, write: &UniqueWrite) -> Result<(), CommitError> {
        let key = write.key();
        let place = (tenant.clone(), key.clone());
        let others = key.is_global() && self.owner(key).is_some_and(|owner| owner != tenant);
        let refused = match write {
            UniqueWrite::Insert(_) => others || self.uniques.contains_key(&place),
            UniqueWrite::Renew { expired_by, .. } => {
                others
                    || self
                        .uniques
                        .get(&place)
                        .is_some_and(|there| !there.has_expired(*expired_by))
            }
            UniqueWrite::Replace(_) => others,
            UniqueWrite::Delete(_) => false,
        };
        if refused {
            return Err(CommitError::Conflict(Refusal::Unique(key.clone())));
        }
        match write {
            UniqueWrite::Insert(unique)
            | UniqueWrite::Renew { unique, .. }
            | UniqueWrite::Replace(unique) => {
                self.uniques.insert(place, unique.clone());
            }
            UniqueWrite::Delete(_) => {
                self.uniques.remove(&place);
            }
        }
        Ok(())
    }

    /// Whose a global unique is.
    fn owner(&self, key: &UniqueKey) -> Option<&Tenant> {
        let mut owners = self.uniques.keys().filter(|(_, name)| name == key);
        owners.next().map(|(owner, _)| owner)
    }

    fn write_job(&mut self, tenant: &Tenant, write: &JobWrite, now: Timestamp) {
        let at = |due| match due {
            Due::After(wait) => now.after(wait),
            Due::At(time) => time,
        };
        let place = (tenant.clone(), write.key());
        match *write {
            JobWrite::Put { due, .. } => {
                // Only a claim raises the epoch.
                let epoch = self.jobs.get(&place).map_or(1, |job| job.epoch);
                let job = Job {
                    due: at(due),
                    epoch,
                    put_at: now,
                };
                self.jobs.insert(place, job);
            }
            JobWrite::Reschedule { due, .. } => {
                if let Some(job) = self.jobs.get_mut(&place) {
                    job.due = at(due);
                }
            }
            JobWrite::Done(_) => {
                self.jobs.remove(&place);
            }
        }
    }

    fn known(&self, tenant: &Tenant, id: CommitId) -> Result<Option<Resolved>, StoreError> {
        if made_at(id) < self.purged_before {
            return Err(StoreError::rejected(
                "this commit id is too old: its fate was purged",
            ));
        }
        Ok(self.commits.get(&(tenant.clone(), id)).copied())
    }
}

/// A commit id is a version 7 UUID: it starts with its milliseconds.
fn made_at(id: CommitId) -> Timestamp {
    Timestamp::from_millis((id.0.as_u128() >> 80) as i64)
}
