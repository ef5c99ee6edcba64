//! Commits: everything is checked first, then everything is written, so that nothing is ever half done.

use std::collections::BTreeSet;

use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};

use crate::state::{Job, Kept, State, made_at};

impl State {
    pub(crate) fn commit(
        &mut self,
        tenant: &Tenant,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Receipt, CommitError> {
        self.remembered(batch.commit_id)
            .map_err(CommitError::NotCommitted)?;
        let Self {
            tenants, owners, due, ..
        } = self;
        let kept = tenants.entry(tenant.clone()).or_default();

        match kept.commits.get(&batch.commit_id) {
            Some(Resolved::Committed(receipt)) => return Ok(*receipt),
            Some(Resolved::Absent) => {
                return Err(CommitError::NotCommitted(StoreError::rejected(
                    "this commit was declared absent: write the same batch under a fresh commit id",
                )));
            }
            None => {}
        }
        for precondition in &batch.preconditions {
            kept.holds(precondition)?;
        }
        for write in &batch.uniques {
            let key = write.key();
            let foreign = owners.get(key).is_some_and(|owner| owner != tenant);
            let refused = match write {
                UniqueWrite::Insert(_) => foreign || kept.uniques.contains_key(key),
                UniqueWrite::Renew { expired_by, .. } => {
                    foreign
                        || kept
                            .uniques
                            .get(key)
                            .is_some_and(|there| !there.has_expired(*expired_by))
                }
                UniqueWrite::Replace(_) => foreign,
                UniqueWrite::Delete(_) => false,
            };
            if refused {
                return Err(CommitError::Conflict(Refusal::Unique(key.clone())));
            }
        }
        let mut sequences = BTreeSet::new();
        for event in &batch.events {
            let place = (event.row, event.sequence);
            if kept.events.contains_key(&place) || !sequences.insert(place) {
                return Err(CommitError::Conflict(Refusal::Event(event.row)));
            }
        }

        for row in &batch.puts {
            kept.rows.insert(row.key, row.clone());
        }
        for write in &batch.uniques {
            match write {
                UniqueWrite::Insert(unique)
                | UniqueWrite::Renew { unique, .. }
                | UniqueWrite::Replace(unique) => {
                    if unique.key.is_global() {
                        owners.insert(unique.key.clone(), tenant.clone());
                    }
                    kept.uniques.insert(unique.key.clone(), unique.clone());
                }
                UniqueWrite::Delete(key) => {
                    if kept.uniques.remove(key).is_some() {
                        owners.remove(key);
                    }
                }
            }
        }
        for event in &batch.events {
            kept.events.insert((event.row, event.sequence), event.clone());
        }
        for write in &batch.jobs {
            let key = write.key();
            let was = kept.jobs.get(&key).copied();
            let is = match (write, was) {
                (JobWrite::Put { due, .. }, was) => Some(Job {
                    due: at(*due, now),
                    epoch: was.map_or(1, |job| job.epoch),
                    put_at: now,
                }),
                (JobWrite::Reschedule { due, .. }, Some(was)) => Some(Job {
                    due: at(*due, now),
                    ..was
                }),
                (JobWrite::Reschedule { .. }, None) | (JobWrite::Done(_), _) => None,
            };
            let queue = due.entry(key.queue).or_default();
            if let Some(was) = was {
                kept.jobs.remove(&key);
                queue.remove(&(was.due, tenant.clone(), key));
            }
            if let Some(is) = is {
                kept.jobs.insert(key, is);
                queue.insert((is.due, tenant.clone(), key));
            }
        }
        let receipt = Receipt {
            commit_id: batch.commit_id,
            at: now,
        };
        kept.commits.insert(batch.commit_id, Resolved::Committed(receipt));
        Ok(receipt)
    }

    pub(crate) fn resolve(&mut self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.remembered(id)?;
        let kept = self.tenants.entry(tenant.clone()).or_default();
        Ok(*kept.commits.entry(id).or_insert(Resolved::Absent))
    }

    /// Refuses a commit id whose fate may have been purged: neither answer would be a promise.
    fn remembered(&self, id: CommitId) -> Result<(), StoreError> {
        match self.horizon {
            Some(horizon) if made_at(id) < horizon => Err(StoreError::rejected(format!(
                "commit {id:?} is older than {horizon}, before which commits were purged: its fate is no longer \
                 known; read the rows that it would have written"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl Kept {
    fn holds(&self, precondition: &Precondition) -> Result<(), CommitError> {
        match *precondition {
            Precondition::Absent(key) if self.rows.contains_key(&key) => {
                Err(CommitError::Conflict(Refusal::Row(key)))
            }
            Precondition::Version(key, version)
                if self.rows.get(&key).is_none_or(|row| row.version != version) =>
            {
                Err(CommitError::Conflict(Refusal::Row(key)))
            }
            Precondition::Epoch(key, epoch) if self.jobs.get(&key).is_none_or(|job| job.epoch != epoch) => {
                Err(CommitError::Fenced(key))
            }
            Precondition::Absent(_) | Precondition::Version(..) | Precondition::Epoch(..) => Ok(()),
        }
    }
}

fn at(due: Due, now: Timestamp) -> Timestamp {
    match due {
        Due::After(duration) => now.after(duration),
        Due::At(time) => time,
    }
}
