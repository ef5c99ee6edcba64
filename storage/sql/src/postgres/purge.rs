//! Deleting what is old.

use paymux_core::store::Retention;

use super::Inner;
use super::error::Failure;
use super::script::Script;
use crate::columns::Columns;
use crate::known::first_made_at;

/// The horizon moves first, in a statement of its own: an id that is gone is always one that is refused. Each delete
/// takes a part of the limit, so that none holds locks for long.
pub(super) async fn purge(inner: &Inner, retention: &Retention, limit: u32) -> Result<u64, Failure> {
    inner
        .connections
        .run(|script| move_horizon(script, retention))
        .await?;
    let mut deleted = 0;
    for delete in DELETES {
        let left = limit - deleted;
        if left == 0 {
            break;
        }
        let rows = inner
            .connections
            .run(|script| delete(script, retention, left))
            .await?;
        if let Some(row) = rows.first() {
            deleted += Columns::of(row).number::<u32>()?.min(left);
        }
    }
    Ok(u64::from(deleted))
}

fn move_horizon(script: &mut Script, retention: &Retention) {
    script
        .push("UPDATE paymux_horizon SET commits_before = ")
        .time(retention.commits_before);
    script
        .push(" WHERE one = 1 AND commits_before < ")
        .time(retention.commits_before);
}

/// A delete of one kind of thing, at most so many.
pub(super) type Delete = fn(&mut Script, &Retention, u32);

pub(super) const DELETES: [Delete; 4] = [events, evidence, commits, uniques];

fn events(script: &mut Script, retention: &Retention, limit: u32) {
    let old = |script: &mut Script| {
        script.push("at < ").time(retention.events_before);
    };
    delete(
        script,
        "paymux_events",
        "tenant, row_kind, row_id, sequence",
        old,
        "at",
        limit,
    );
}

fn evidence(script: &mut Script, retention: &Retention, limit: u32) {
    let old = |script: &mut Script| {
        script
            .push("kind = 'evidence' AND version > 0 AND created_at < ")
            .time(retention.evidence_before);
    };
    delete(
        script,
        "paymux_rows",
        "tenant, kind, id",
        old,
        "created_at",
        limit,
    );
}

fn commits(script: &mut Script, retention: &Retention, limit: u32) {
    let first = first_made_at(retention.commits_before);
    let old = |script: &mut Script| {
        script.push("commit_id < ").uuid(first);
    };
    delete(
        script,
        "paymux_commits",
        "commit_id, tenant",
        old,
        "commit_id",
        limit,
    );
}

fn uniques(script: &mut Script, retention: &Retention, limit: u32) {
    let old = |script: &mut Script| {
        script.push("expires_at < ").time(retention.uniques_before);
    };
    delete(
        script,
        "paymux_uniques",
        "owner, scope, name",
        old,
        "expires_at",
        limit,
    );
}

/// The oldest first, so that an index finds them.
fn delete(script: &mut Script, table: &str, key: &str, old: impl Fn(&mut Script), age: &str, limit: u32) {
    script
        .push("WITH deleted AS (DELETE FROM ")
        .push(table)
        .push(" WHERE (")
        .push(key);
    script
        .push(") IN (SELECT ")
        .push(key)
        .push(" FROM ")
        .push(table)
        .push(" WHERE ");
    old(script);
    script.push(" ORDER BY ").push(age).limit(limit).push(") AND ");
    // Again, since it may have been written anew while this waited for it.
    old(script);
    script.push(" RETURNING 1) SELECT count(*) FROM deleted");
}
