//! What a worker was told whose lease was over. Its commit is refused, but what it says isn't: once everything is at
//! rest, it must be found with the payment or refund. Who died over it, or whose store failed it, is excused.

use std::sync::Arc;

use paymux_core::store::{Batch, Query, Row, RowKey, RowKind};
use paymux_core::{Store, Tenant};
use serde::Deserialize;

use crate::schedule::Handle;

/// What was refused with the commits of workers that others had taken over from.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    told: Vec<ToldLate>,
}

/// The evidence in one such commit.
#[derive(Debug)]
struct ToldLate {
    tenant: Tenant,
    /// The task that wrote it.
    task: usize,
    about: RowKey,
    kind: String,
    body: Vec<u8>,
    at_ms: u64,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) found: u64,
    pub(crate) lost: Vec<String>,
}

impl Refused {
    /// Sees a commit that came back as fenced.
    pub(crate) fn fenced(&mut self, task: usize, tenant: &Tenant, batch: &Batch, now: u64) {
        for row in evidence(batch).filter(|row| is_an_answer(row)) {
            let Some(about) = row.index.parent else { continue };
            self.told.push(ToldLate {
                tenant: tenant.clone(),
                task,
                about,
                kind: row.index.status.clone(),
                body: row.body.to_vec(),
                at_ms: now,
            });
        }
    }

    /// The store has failed a task: what it knew it may not have been able to write.
    pub(crate) fn failed(&mut self, task: usize, now: u64) {
        self.told
            .retain(|told| told.task != task || !told.is_written_at(now));
    }
}

/// Looks for all of it, now that everything is at rest.
pub(crate) async fn look_for(refused: Refused, disk: &Arc<dyn Store>, handle: &Handle) -> Kept {
    let mut kept = Kept::default();
    for told in refused.told {
        let query = Query {
            parent: Some(told.about),
            limit: u32::from(u16::MAX),
            ..Query::of(RowKind::Evidence)
        };
        let rows = disk.find(&told.tenant, &query).await;
        let rows = rows.expect("it is up when all is at rest");
        if rows.iter().any(|row| told.is_said_by(row)) {
            kept.found += 1;
        } else if !handle.died_at(told.task).is_some_and(|at| told.is_written_at(at)) {
            kept.lost.push(told.to_string());
        }
    }
    kept
}

impl ToldLate {
    /// Whether its worker may still be at it: it writes at once, unless it is paused.
    fn is_written_at(&self, now: u64) -> bool {
        now <= self.at_ms + WRITTEN_WITHIN_MS
    }

    fn is_said_by(&self, row: &Row) -> bool {
        let same = row.body[..] == self.body[..] || (learns(&row.body) && learns(&self.body));
        row.index.status == self.kind && same
    }
}

impl std::fmt::Display for ToldLate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        let (about, kind, at) = (self.about, &self.kind, self.at_ms);
        write!(
            f,
            "what a worker was told of {about:?} is lost, since it was overtaken at {at} ms: {kind} {body}"
        )
    }
}

/// Whether the processor has said what became of the operation. That one worker's send did nothing says nothing of what
/// the other one has sent, and a doubt is no answer.
fn is_an_answer(row: &Row) -> bool {
    match row.index.status.as_str() {
        "not_executed" => false,
        _ if row
            .index
            .parent
            .is_some_and(|about| about.kind == RowKind::Refund) =>
        {
            learns(&row.body)
        }
        _ => true,
    }
}

/// A worker is paused for less, and the store says sooner what became of a commit.
const WRITTEN_WITHIN_MS: u64 = 120_000;

/// Of a refund it is kept which changes the processor's word has made: which else there are is decided by what was known
/// before it.
fn learns(body: &[u8]) -> bool {
    let changes = serde_json::from_slice::<Changes>(body).unwrap_or_default();
    changes.said.iter().any(|change| change == "refund.learnt")
}

#[derive(Default, Deserialize)]
struct Changes {
    said: Vec<String>,
}

/// What a commit keeps as evidence.
pub(crate) fn evidence(batch: &Batch) -> impl Iterator<Item = &Row> {
    batch.puts.iter().filter(|row| row.key.kind == RowKind::Evidence)
}
