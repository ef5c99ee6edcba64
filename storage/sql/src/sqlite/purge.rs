//! Deleting what is old.

use paymux_core::store::Retention;

use super::Inner;
use super::error::Failure;
use super::script::Script;
use crate::known::first_made_at;

/// The horizon moves first, in the same transaction: an id that is gone is always one that is refused.
pub(super) async fn purge(inner: &Inner, retention: &Retention, limit: u32) -> Result<u64, Failure> {
    let mut transaction = inner.connections.transaction().await?;
    let before = retention.commits_before.as_millis();
    let mut horizon =
        Script::new("BEGIN IMMEDIATE; UPDATE paymux_horizon SET commits_before = ? WHERE commits_before < ?");
    horizon.bind(before).bind(before);
    horizon.run(transaction.conn()?).await?;

    let mut deleted = 0;
    for mut delete in deletes(retention) {
        delete.bind(i64::from(limit).saturating_sub_unsigned(deleted));
        deleted += delete.run(transaction.conn()?).await?;
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// One for each kind of thing; the limit is still to be bound.
pub(super) fn deletes(retention: &Retention) -> [Script; 4] {
    let mut events = Script::new(
        "DELETE FROM paymux_events WHERE rowid IN (SELECT rowid FROM paymux_events WHERE at < ? LIMIT ?)",
    );
    events.time(Some(retention.events_before));
    let mut evidence = Script::new(
        "DELETE FROM paymux_rows WHERE rowid IN (\
         SELECT rowid FROM paymux_rows WHERE kind = 'evidence' AND created_at < ? LIMIT ?)",
    );
    evidence.time(Some(retention.evidence_before));
    let mut commits = Script::new(
        "DELETE FROM paymux_commits WHERE (commit_id, tenant) IN (\
         SELECT commit_id, tenant FROM paymux_commits WHERE commit_id < ? LIMIT ?)",
    );
    commits.uuid(first_made_at(retention.commits_before));
    let mut uniques = Script::new(
        "DELETE FROM paymux_uniques WHERE rowid IN (\
         SELECT rowid FROM paymux_uniques WHERE expires_at < ? LIMIT ?)",
    );
    uniques.time(Some(retention.uniques_before));
    [events, evidence, commits, uniques]
}
