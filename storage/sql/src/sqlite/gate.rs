//! What must hold for a batch: asked in SQL, decided in plain code.

use std::sync::Arc;

use paymux_core::Timestamp;
use paymux_core::store::*;
use sqlx::sqlite::SqliteRow;

use super::error::Failure;
use super::script::{NOW, Script};
use crate::checks::{Free, free};
use crate::columns::Columns;
use crate::known::Known;

/// The first question of a batch: the time, what is known of the commit, and the first checks.
pub(super) fn gate(
    begin: &str,
    now: Option<i64>,
    tenant: &Arc<str>,
    id: CommitId,
    checks: &[Check<'_>],
) -> Script {
    let mut ask = Script::new(begin);
    ask.push("SELECT ").push(NOW).push(
        ", (SELECT commits_before FROM paymux_horizon WHERE one = 1), \
         (SELECT count(*) FROM paymux_commits WHERE commit_id = ? AND tenant = ?), \
         (SELECT at FROM paymux_commits WHERE commit_id = ? AND tenant = ?)",
    );
    ask.bind(now);
    ask.uuid(id.0).tenant(tenant).uuid(id.0).tenant(tenant);
    for check in checks {
        check.ask(ask.push(", "), tenant);
    }
    ask
}

/// The time, and what is known of the commit that [`gate`] asked for.
pub(super) fn known(columns: &mut Columns<'_, SqliteRow>) -> Result<(Timestamp, Known), Failure> {
    let now = columns.time()?;
    let known = Known {
        horizon: columns.time()?,
        there: columns.next::<i64>()? > 0,
        at: columns.optional_time()?,
    };
    Ok((now, known))
}

/// Something that must hold for the batch to be written; each asks for one column.
pub(super) enum Check<'b> {
    Row(RowKey, Option<u64>),
    Epoch(JobKey, u64),
    Free(&'b UniqueKey, Free),
    Event(RowKey, u64),
}

pub(super) fn checks(batch: &Batch) -> Vec<Check<'_>> {
    let preconditions = batch
        .preconditions
        .iter()
        .map(|precondition| match *precondition {
            Precondition::Absent(key) => Check::Row(key, None),
            Precondition::Version(key, version) => Check::Row(key, Some(version)),
            Precondition::Epoch(job, epoch) => Check::Epoch(job, epoch),
        });
    let uniques = free(batch).map(|(key, free)| Check::Free(key, free));
    let events = batch
        .events
        .iter()
        .map(|event| Check::Event(event.row, event.sequence));
    preconditions.chain(uniques).chain(events).collect()
}

impl Check<'_> {
    pub(super) fn ask(&self, ask: &mut Script, tenant: &Arc<str>) {
        match *self {
            Self::Row(key, _) => {
                ask.push("(SELECT version FROM paymux_rows WHERE tenant = ? AND kind = ? AND id = ?)");
                ask.tenant(tenant).key(key);
            }
            Self::Epoch(job, _) => {
                ask.push(
                    "(SELECT epoch FROM paymux_jobs \
                     WHERE tenant = ? AND queue = ? AND row_kind = ? AND row_id = ? AND child = ?)",
                );
                ask.tenant(tenant)
                    .text(job.queue.as_str())
                    .key(job.row)
                    .uuid(job.child);
            }
            Self::Free(key, free) => {
                ask.push("(SELECT tenant FROM paymux_uniques WHERE owner = ? AND scope = ? AND name = ?");
                ask.tenant(&owner(key, tenant))
                    .text(key.scope.as_str())
                    .text(&key.name);
                if let Free::ButExpired(expired_by) = free {
                    ask.push(" AND (tenant <> ? OR expires_at IS NULL OR expires_at > ?)")
                        .tenant(tenant)
                        .time(Some(expired_by));
                }
                ask.push(")");
            }
            Self::Event(row, sequence) => {
                ask.push(
                    "(SELECT 1 FROM paymux_events \
                     WHERE tenant = ? AND row_kind = ? AND row_id = ? AND sequence = ?)",
                );
                ask.tenant(tenant).key(row).number(sequence);
            }
        }
    }

    /// That it holds, as SQL: the question and its only right answer.
    pub(super) fn require(&self, script: &mut Script, tenant: &Arc<str>) {
        match *self {
            Self::Row(_, version) => {
                self.ask(script, tenant);
                script.push(" IS ?");
                match version {
                    Some(version) => script.number(version),
                    None => script.bind(None::<i64>),
                };
            }
            Self::Epoch(_, epoch) => {
                self.ask(script, tenant);
                script.push(" IS ?").number(epoch);
            }
            Self::Free(_, Free::OfAnyone | Free::ButExpired(_)) | Self::Event(..) => {
                self.ask(script, tenant);
                script.push(" IS NULL");
            }
            Self::Free(_, Free::OfOthers) => {
                script.push("ifnull(");
                self.ask(script, tenant);
                script.push(" = ?, 1)").tenant(tenant);
            }
        }
    }

    pub(super) fn holds(
        &self,
        columns: &mut Columns<'_, SqliteRow>,
        tenant: &Arc<str>,
    ) -> Result<(), CommitError> {
        let (holds, refusal) = match *self {
            Self::Row(key, version) => {
                let found: Option<i64> = columns.next().map_err(nothing_written)?;
                let found = found.map(|version| version as u64);
                (found == version, CommitError::Conflict(Refusal::Row(key)))
            }
            Self::Epoch(job, epoch) => {
                let found: Option<i64> = columns.next().map_err(nothing_written)?;
                (found == i64::try_from(epoch).ok(), CommitError::Fenced(job))
            }
            Self::Free(key, free) => {
                let found: Option<&str> = columns.next().map_err(nothing_written)?;
                let holds = match found {
                    None => true,
                    Some(owner) => free == Free::OfOthers && owner == &**tenant,
                };
                (holds, CommitError::Conflict(Refusal::Unique(key.clone())))
            }
            Self::Event(row, _) => {
                let found: Option<i64> = columns.next().map_err(nothing_written)?;
                (found.is_none(), CommitError::Conflict(Refusal::Event(row)))
            }
        };
        if holds { Ok(()) } else { Err(refusal) }
    }
}

/// Whose the name is: the tenant's, or everyone's.
pub(super) fn owner(key: &UniqueKey, tenant: &Arc<str>) -> Arc<str> {
    if key.is_global() {
        "".into()
    } else {
        tenant.clone()
    }
}

pub(super) fn nothing_written(failure: Failure) -> CommitError {
    CommitError::NotCommitted(failure.into())
}
