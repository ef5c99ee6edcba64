//! What is kept, and what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};
use uuid::Uuid;

/// All tenants' data.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) tenants: BTreeMap<Tenant, Kept>,
    /// Whose each global unique is; the unique itself stands with its tenant.
    pub(crate) owners: BTreeMap<UniqueKey, Tenant>,
    /// Every job once more, in the order in which a queue is worked off.
    pub(crate) due: BTreeMap<Queue, BTreeSet<(Timestamp, Tenant, JobKey)>>,
    /// Commit ids of before this time may be forgotten.
    pub(crate) horizon: Option<Timestamp>,
}

/// One tenant's data: no other tenant's call ever gets hold of it.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) rows: BTreeMap<RowKey, Row>,
    pub(crate) uniques: BTreeMap<UniqueKey, Unique>,
    pub(crate) events: BTreeMap<(RowKey, u64), StoredEvent>,
    pub(crate) jobs: BTreeMap<JobKey, Job>,
    pub(crate) commits: BTreeMap<CommitId, Resolved>,
}

#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) due: Timestamp,
    pub(crate) epoch: u64,
    pub(crate) put_at: Timestamp,
}

impl State {
    pub(crate) fn of(&self, tenant: &Tenant) -> Option<&Kept> {
        self.tenants.get(tenant)
    }

    pub(crate) fn find(&self, tenant: &Tenant, query: &Query) -> Vec<Row> {
        let Some(kept) = self.of(tenant) else {
            return Vec::new();
        };
        let (mut low, mut high) = (
            Bound::Included(RowKey::new(query.kind, Uuid::nil())),
            Bound::Included(RowKey::new(query.kind, Uuid::max())),
        );
        if let Some(after) = query.after {
            let after = Bound::Excluded(RowKey::new(query.kind, after));
            match query.order {
                Order::OldestFirst => low = after,
                Order::NewestFirst => high = after,
            }
        }
        let rows = kept.rows.range((low, high)).map(|(_, row)| row);
        let matching = rows.filter(|row| query.matches(row));
        let limit = query.limit as usize;
        match query.order {
            Order::OldestFirst => matching.take(limit).cloned().collect(),
            Order::NewestFirst => matching.rev().take(limit).cloned().collect(),
        }
    }

    /// Oldest first, then by tenant and name.
    pub(crate) fn claim_due(&mut self, request: &ClaimRequest, now: Timestamp) -> Vec<Claim> {
        let Some(queue) = self.due.get_mut(&request.queue) else {
            return Vec::new();
        };
        let due = queue.iter().take_while(|(at, ..)| *at <= now);
        let due: Vec<_> = due.take(request.limit as usize).cloned().collect();
        let lease_end = now.after(request.lease);
        let mut claims = Vec::with_capacity(due.len());
        for (_, tenant, key) in due {
            if let Some(job) = self
                .tenants
                .get_mut(&tenant)
                .and_then(|kept| kept.jobs.get_mut(&key))
            {
                job.epoch += 1;
                let (epoch, age) = (job.epoch, now.since(job.put_at));
                let was = std::mem::replace(&mut job.due, lease_end);
                queue.remove(&(was, tenant.clone(), key));
                queue.insert((lease_end, tenant.clone(), key));
                claims.push(Claim {
                    tenant,
                    job: key,
                    epoch,
                    age,
                });
            }
        }
        claims
    }

    pub(crate) fn backlog(&self, queue: Queue, now: Timestamp) -> Backlog {
        let mut backlog = Backlog::default();
        if let Some(jobs) = self.due.get(&queue) {
            let mut due = jobs.iter().map(|(at, ..)| *at).take_while(|at| *at <= now);
            backlog.scheduled = jobs.len() as u64;
            backlog.oldest_due = due.next();
            backlog.due = due.count() as u64 + u64::from(backlog.oldest_due.is_some());
        }
        for (tenant, kept) in &self.tenants {
            let rows = kept.rows.values();
            let attention = rows.filter(|row| row.index.attention != Attention::None).count() as u64;
            if attention > 0 {
                backlog.attention.push((tenant.clone(), attention));
            }
        }
        backlog
    }

    pub(crate) fn purge(&mut self, retention: &Retention, limit: u32) -> u64 {
        self.horizon = self.horizon.max(Some(retention.commits_before));
        let mut left = limit as usize;
        for kept in self.tenants.values_mut() {
            drop_some(&mut kept.events, &mut left, |_, event| {
                event.at < retention.events_before
            });
            drop_some(&mut kept.rows, &mut left, |key, row| {
                key.kind == RowKind::Evidence && row.index.created_at < retention.evidence_before
            });
            drop_some(&mut kept.commits, &mut left, |id, _| {
                made_at(*id) < retention.commits_before
            });
            let owners = &mut self.owners;
            drop_some(&mut kept.uniques, &mut left, |key, unique| {
                let expired = unique.expires_at.is_some_and(|at| at < retention.uniques_before);
                if expired && key.is_global() {
                    owners.remove(key);
                }
                expired
            });
        }
        u64::from(limit) - left as u64
    }
}

/// When a commit id was made: a version 7 UUID starts with its milliseconds (RFC 9562, section 5.7).
pub(crate) fn made_at(id: CommitId) -> Timestamp {
    Timestamp::from_millis((id.0.as_u128() >> 80) as i64)
}

/// Removes what is `old`, at most as many as are `left`.
fn drop_some<K: Ord, V>(map: &mut BTreeMap<K, V>, left: &mut usize, mut old: impl FnMut(&K, &V) -> bool) {
    map.retain(|key, value| {
        let keep = *left == 0 || !old(key, value);
        if !keep {
            *left -= 1;
        }
        keep
    });
}
