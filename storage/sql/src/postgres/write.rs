//! What a batch writes, as common table expressions that depend on its gate.

use std::sync::Arc;

use paymux_core::Timestamp;
use paymux_core::store::*;

use super::gate::{Checks, owner};
use super::script::{Script, job_keys, row_keys, unique_names};
use crate::time::millis;

/// All that the batch writes if the gate is `ok`. Each thing stands at most once in a batch, so the order of the
/// writes doesn't matter; what two batches both write is written in the order of its keys, so that they seldom wait
/// for each other in a circle.
pub(super) fn write(script: &mut Script, tenant: &Arc<str>, batch: &Batch, checks: &Checks<'_>) {
    made_commit(script, tenant, batch.commit_id);
    put_rows(script, tenant, &batch.puts);
    keep_absent(script, tenant, checks);
    let (mut inserts, mut renewals) = (Vec::new(), Vec::new());
    let (mut replaces, mut deletes) = (Vec::new(), Vec::new());
    for write in &batch.uniques {
        match write {
            UniqueWrite::Insert(unique) => inserts.push(unique),
            UniqueWrite::Renew { unique, expired_by } => renewals.push((unique, *expired_by)),
            UniqueWrite::Replace(unique) => replaces.push(unique),
            UniqueWrite::Delete(key) => deletes.push(key),
        }
    }
    inserts.sort_unstable_by_key(|unique| &unique.key);
    replaces.sort_unstable_by_key(|unique| &unique.key);
    deletes.sort_unstable();
    put_uniques(script, tenant, "inserted_uniques", &inserts, "");
    let overwrite = " ON CONFLICT (owner, scope, name) DO UPDATE SET target_kind = excluded.target_kind, \
                     target_id = excluded.target_id, bytes = excluded.bytes, expires_at = excluded.expires_at \
                     WHERE u.tenant = excluded.tenant";
    put_uniques(script, tenant, "replaced_uniques", &replaces, overwrite);
    renew_uniques(script, tenant, renewals);
    delete_uniques(script, tenant, &deletes);
    put_events(script, tenant, &batch.events);
    write_jobs(script, tenant, &batch.jobs);
}

/// Divides by zero, and so takes everything back, unless each write that the gate let through was made: a row that
/// isn't at its version any more, or another tenant's unique, is one that came after the gate looked.
pub(super) fn all_or_nothing(script: &mut Script, batch: &Batch, checks: &Checks<'_>) {
    let (mut replaced, mut renewed) = (0, 0);
    for write in &batch.uniques {
        match write {
            UniqueWrite::Replace(_) => replaced += 1,
            UniqueWrite::Renew { .. } => renewed += 1,
            UniqueWrite::Insert(_) | UniqueWrite::Delete(_) => {}
        }
    }
    script.push(
        "1 / CASE WHEN NOT g.ok OR ((SELECT count(*) FROM made_commit) = 1 \
         AND (SELECT count(*) FROM made_rows) + (SELECT count(*) FROM changed_rows) = ",
    );
    script.number(Some(batch.puts.len() as i64));
    script.push(" AND (SELECT count(*) FROM absent_rows) = ");
    script.number(Some(checks.absent.len() as i64));
    script.push(" AND (SELECT count(*) FROM replaced_uniques) = ");
    script.number(Some(replaced));
    script.push(" AND (SELECT count(*) FROM renewed_uniques) = ");
    script.number(Some(renewed)).push(") THEN 1 ELSE 0 END");
}

fn made_commit(script: &mut Script, tenant: &Arc<str>, id: CommitId) {
    script.push(
        ", made_commit AS (INSERT INTO paymux_commits (commit_id, tenant, at) \
         SELECT ",
    );
    script.uuid(id.0).push(", ").text(tenant);
    script.push(", g.now FROM gate g WHERE g.ok RETURNING 1)");
}

fn put_rows(script: &mut Script, tenant: &Arc<str>, rows: &[Row]) {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_unstable_by_key(|row| row.key);
    let text = |text: &str| Some(text.to_owned());
    let index = |read: fn(&Index) -> Option<i64>| rows.iter().map(|row| read(&row.index)).collect();
    script.push(", puts AS (SELECT * FROM unnest(");
    row_keys(script, rows.iter().map(|row| row.key));
    let versions = rows.iter().map(|row| Some(script.signed(row.version))).collect();
    script.push(", ").numbers(versions).push(", ");
    script.numbers(rows.iter().map(|row| Some(i64::from(row.schema))).collect());
    script.push(", ");
    script.texts(rows.iter().map(|row| text(&row.index.status)).collect());
    script.push(", ");
    script.texts(rows.iter().map(|row| row.index.customer.clone()).collect());
    script.push(", ");
    script.texts(rows.iter().map(|row| row.index.reference.clone()).collect());
    script.push(", ");
    targets(script, rows.iter().map(|row| row.index.parent));
    script.push(", ");
    script.texts(
        rows.iter()
            .map(|row| text(row.index.attention.as_str()))
            .collect(),
    );
    script.push(", ");
    script.numbers(index(|index| {
        index.attention_since.map(|since| since.as_millis())
    }));
    script.push(", ");
    script.numbers(index(|index| Some(index.created_at.as_millis())));
    script.push(", ");
    script.numbers(index(|index| Some(index.updated_at.as_millis())));
    script.push(", ");
    script.bodies(rows.iter().map(|row| row.body.to_vec()).collect());
    script.push(
        ") AS p (kind, id, version, schema, status, customer, reference, parent_kind, parent_id, attention, \
         attention_since, created_at, updated_at, body)), \
         made_rows AS (INSERT INTO paymux_rows AS r (tenant, kind, id, version, schema, status, customer, reference, \
         parent_kind, parent_id, attention, attention_since, created_at, updated_at, body) SELECT ",
    );
    script.text(tenant);
    script.push(
        ", p.kind, p.id, p.version, p.schema, p.status, p.customer, p.reference, p.parent_kind, p.parent_id, \
         p.attention, p.attention_since, p.created_at, p.updated_at, p.body FROM gate g, puts p \
         WHERE g.ok AND p.version = 1 ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, \
         schema = excluded.schema, status = excluded.status, customer = excluded.customer, \
         reference = excluded.reference, parent_kind = excluded.parent_kind, parent_id = excluded.parent_id, \
         attention = excluded.attention, attention_since = excluded.attention_since, \
         created_at = excluded.created_at, updated_at = excluded.updated_at, body = excluded.body \
         WHERE r.version = 0 RETURNING 1), \
         changed_rows AS (UPDATE paymux_rows r SET version = p.version, schema = p.schema, status = p.status, \
         customer = p.customer, reference = p.reference, parent_kind = p.parent_kind, parent_id = p.parent_id, \
         attention = p.attention, attention_since = p.attention_since, created_at = p.created_at, \
         updated_at = p.updated_at, body = p.body FROM gate g, puts p WHERE g.ok AND p.version > 1 AND r.tenant = ",
    );
    script.text(tenant);
    script.push(" AND r.kind = p.kind AND r.id = p.id AND r.version = p.version - 1 RETURNING 1)");
}

/// A row that must be absent and isn't put can't be locked. So its place is taken by version 0, which is no row to
/// readers: whoever makes the row meanwhile waits for this commit, or is waited for.
fn keep_absent(script: &mut Script, tenant: &Arc<str>, checks: &Checks<'_>) {
    script.push(
        ", absent_rows AS (INSERT INTO paymux_rows AS r (tenant, kind, id, version, schema, status, attention, \
         created_at, updated_at, body) SELECT ",
    );
    script.text(tenant);
    script.push(", p.kind, p.id, 0, 0, '', 'none', g.now, g.now, '' FROM gate g, unnest(");
    row_keys(script, checks.absent.iter().copied());
    script.push(
        ") AS p (kind, id) WHERE g.ok \
         ON CONFLICT (tenant, kind, id) DO UPDATE SET version = 0 WHERE r.version = 0 RETURNING 1)",
    );
}

fn put_uniques(script: &mut Script, tenant: &Arc<str>, name: &str, uniques: &[&Unique], conflict: &str) {
    script.push(", ").push(name).push(
        " AS (INSERT INTO paymux_uniques AS u (owner, scope, name, tenant, target_kind, target_id, bytes, \
         expires_at) SELECT CASE WHEN p.global = 1 THEN '' ELSE ",
    );
    script.text(tenant).push(" END, p.scope, p.name, ").text(tenant);
    script.push(", p.target_kind, p.target_id, p.bytes, p.expires_at FROM gate g, unnest(");
    script.numbers(
        uniques
            .iter()
            .map(|unique| Some(i64::from(unique.key.is_global())))
            .collect(),
    );
    script.push(", ");
    unique_names(script, uniques.iter().map(|unique| &unique.key));
    script.push(", ");
    targets(script, uniques.iter().map(|unique| unique.target));
    script.push(", ");
    script.bodies(uniques.iter().map(|unique| unique.bytes.to_vec()).collect());
    script.push(", ");
    script.numbers(
        uniques
            .iter()
            .map(|unique| unique.expires_at.map(|at| at.as_millis()))
            .collect(),
    );
    script.push(") AS p (global, scope, name, target_kind, target_id, bytes, expires_at) WHERE g.ok");
    script.push(conflict).push(" RETURNING 1)");
}

/// Where one is there it must still be ours and expired when this overwrites it, not only when the gate looked.
fn renew_uniques(script: &mut Script, tenant: &Arc<str>, mut renewals: Vec<(&Unique, Timestamp)>) {
    renewals.sort_unstable_by_key(|(unique, _)| &unique.key);
    let uniques: Vec<&Unique> = renewals.iter().map(|(unique, _)| *unique).collect();
    script.push(", renewals AS (SELECT * FROM unnest(");
    unique_names(script, uniques.iter().map(|unique| &unique.key));
    script.push(", ");
    script.numbers(
        renewals
            .iter()
            .map(|(_, expired_by)| Some(expired_by.as_millis()))
            .collect(),
    );
    script.push(") AS x (scope, name, expired_by))");
    let overwrite = " ON CONFLICT (owner, scope, name) DO UPDATE SET target_kind = excluded.target_kind, \
                     target_id = excluded.target_id, bytes = excluded.bytes, expires_at = excluded.expires_at \
                     WHERE u.tenant = excluded.tenant AND u.expires_at <= (SELECT x.expired_by FROM renewals x \
                     WHERE x.scope = excluded.scope AND x.name = excluded.name)";
    put_uniques(script, tenant, "renewed_uniques", &uniques, overwrite);
}

fn delete_uniques(script: &mut Script, tenant: &Arc<str>, keys: &[&UniqueKey]) {
    script.push(", deleted_uniques AS (DELETE FROM paymux_uniques u USING gate g, unnest(");
    let owners = keys.iter().map(|key| owner(key, tenant));
    script.texts(owners.map(|owner| Some(owner.to_owned())).collect());
    script.push(", ");
    unique_names(script, keys.iter().copied());
    script.push(
        ") AS p (owner, scope, name) \
         WHERE g.ok AND u.owner = p.owner AND u.scope = p.scope AND u.name = p.name AND u.tenant = ",
    );
    script.text(tenant).push(")");
}

fn put_events(script: &mut Script, tenant: &Arc<str>, events: &[StoredEvent]) {
    script.push(
        ", made_events AS (INSERT INTO paymux_events (tenant, row_kind, row_id, sequence, id, at, kind, schema, \
         body) SELECT ",
    );
    script.text(tenant).push(
        ", p.row_kind, p.row_id, p.sequence, p.id, p.at, p.kind, p.schema, p.body FROM gate g, unnest(",
    );
    row_keys(script, events.iter().map(|event| event.row));
    let sequences = events
        .iter()
        .map(|event| Some(script.signed(event.sequence)))
        .collect();
    script.push(", ").numbers(sequences).push(", ");
    script.uuids(events.iter().map(|event| Some(event.id)).collect());
    script.push(", ");
    script.numbers(events.iter().map(|event| Some(event.at.as_millis())).collect());
    script.push(", ");
    script.texts(events.iter().map(|event| Some(event.kind.clone())).collect());
    script.push(", ");
    script.numbers(events.iter().map(|event| Some(i64::from(event.schema))).collect());
    script.push(", ");
    script.bodies(events.iter().map(|event| event.body.to_vec()).collect());
    script.push(") AS p (row_kind, row_id, sequence, id, at, kind, schema, body) WHERE g.ok)");
}

fn write_jobs(script: &mut Script, tenant: &Arc<str>, writes: &[JobWrite]) {
    const NAMES: &str = " AND j.queue = p.queue AND j.row_kind = p.row_kind AND j.row_id = p.row_id \
                         AND j.child = p.child)";
    const DUE: &str = "COALESCE(p.at, g.now + p.after)";
    let mut writes: Vec<&JobWrite> = writes.iter().collect();
    writes.sort_unstable_by_key(|write| write.key());
    let (mut puts, mut moves, mut done) = (Vec::new(), Vec::new(), Vec::new());
    for write in writes {
        match write {
            JobWrite::Put { key, due } => puts.push((*key, *due)),
            JobWrite::Reschedule { key, due } => moves.push((*key, *due)),
            JobWrite::Done(key) => done.push(*key),
        }
    }
    script.push(
        ", put_jobs AS (INSERT INTO paymux_jobs AS j (tenant, queue, row_kind, row_id, child, epoch, put_at, due) SELECT ",
    );
    script.text(tenant);
    script
        .push(", p.queue, p.row_kind, p.row_id, p.child, 1, g.now, ")
        .push(DUE)
        .push(" FROM gate g, ");
    jobs_due(script, &puts);
    script.push(
        " WHERE g.ok ON CONFLICT (tenant, queue, row_kind, row_id, child) DO UPDATE SET due = excluded.due, put_at = excluded.put_at), \
         moved_jobs AS (UPDATE paymux_jobs j SET due = ",
    );
    script.push(DUE).push(" FROM gate g, ");
    jobs_due(script, &moves);
    script
        .push(" WHERE g.ok AND j.tenant = ")
        .text(tenant)
        .push(NAMES);
    script.push(", done_jobs AS (DELETE FROM paymux_jobs j USING gate g, unnest(");
    job_keys(script, &done);
    script.push(") AS p (queue, row_kind, row_id, child) WHERE g.ok AND j.tenant = ");
    script.text(tenant).push(NAMES);
}

fn jobs_due(script: &mut Script, jobs: &[(JobKey, Due)]) {
    let keys: Vec<JobKey> = jobs.iter().map(|(key, _)| *key).collect();
    script.push("unnest(");
    job_keys(script, &keys);
    let at = jobs.iter().map(|(_, due)| match due {
        Due::At(time) => Some(time.as_millis()),
        Due::After(_) => None,
    });
    let after = jobs.iter().map(|(_, due)| match due {
        Due::At(_) => None,
        Due::After(duration) => Some(millis(*duration)),
    });
    script
        .push(", ")
        .numbers(at.collect())
        .push(", ")
        .numbers(after.collect());
    script.push(") AS p (queue, row_kind, row_id, child, at, after)");
}

/// The columns that name a row or nothing, as arrays.
fn targets(script: &mut Script, targets: impl Iterator<Item = Option<RowKey>> + Clone) {
    let kinds = targets
        .clone()
        .map(|target| target.map(|key| key.kind.as_str().to_owned()));
    script.texts(kinds.collect());
    script.push(", ");
    script.uuids(targets.map(|target| target.map(|key| key.id)).collect());
}
