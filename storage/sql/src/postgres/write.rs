//! What a batch writes, as common table expressions that depend on its gate.

use std::sync::Arc;

use paymux_core::Timestamp;
use paymux_core::store::*;

use super::gate::{Checks, owner};
use super::script::{Listed, Script};
use crate::time::millis;

/// All that the batch writes if the gate is `ok`. Only what it writes stands in the text. Each thing stands at most once
/// in a batch, so the order of the writes doesn't matter; what two batches both write is written in the order of its
/// keys, so that they seldom wait for each other in a circle.
pub(super) fn write(script: &mut Script, tenant: &Arc<str>, batch: &Batch, checks: &Checks<'_>) {
    made_commit(script, tenant, batch.commit_id);
    put_rows(script, tenant, &places(batch, checks));
    let mut kept: Vec<Kept<'_>> = batch.uniques.iter().filter_map(kept).collect();
    kept.sort_unstable_by_key(|(unique, ..)| &unique.key);
    put_uniques(script, tenant, &kept);
    let deleted = batch.uniques.iter().filter_map(|write| match write {
        UniqueWrite::Delete(key) => Some(key),
        UniqueWrite::Insert(_) | UniqueWrite::Renew { .. } | UniqueWrite::Replace(_) => None,
    });
    let mut deleted: Vec<&UniqueKey> = deleted.collect();
    deleted.sort_unstable();
    delete_uniques(script, tenant, &deleted);
    put_events(script, tenant, &batch.events);
    write_jobs(script, tenant, &batch.jobs);
}

/// Divides by zero, and so takes everything back, unless each write that the gate let through was made: a row that
/// isn't at its version any more, or a unique that somebody has, is one that came after the gate looked.
pub(super) fn all_or_nothing(script: &mut Script, batch: &Batch, checks: &Checks<'_>) {
    script.push("1 / CASE WHEN NOT g.ok OR ((SELECT count(*) FROM made_commit) = 1");
    let rows = places(batch, checks).len();
    let uniques = batch.uniques.iter().filter_map(kept).count();
    for (made, expected) in [("made_rows", rows), ("made_uniques", uniques)] {
        if expected > 0 {
            script.push(" AND (SELECT count(*) FROM ").push(made).push(") = ");
            script.number(Some(expected as i64));
        }
    }
    script.push(") THEN 1 ELSE 0 END");
}

fn made_commit(script: &mut Script, tenant: &Arc<str>, id: CommitId) {
    script.push(
        ", made_commit AS (INSERT INTO paymux_commits (commit_id, tenant, at) \
         SELECT ",
    );
    script.uuid(id.0).push(", ").text(tenant);
    script.push(", g.now FROM gate g WHERE g.ok RETURNING 1)");
}

/// The place of a row, and the row that is put there. One that must be absent and isn't put can't be locked. So its
/// place is taken by version 0, which is no row to readers: whoever makes the row meanwhile waits for this commit, or
/// is waited for.
type Place<'b> = (RowKey, Option<&'b Row>);

fn places<'b>(batch: &'b Batch, checks: &Checks<'_>) -> Vec<Place<'b>> {
    let puts = batch.puts.iter().map(|row| (row.key, Some(row)));
    let absent = checks.absent.iter().map(|key| (*key, None));
    let mut places: Vec<Place<'b>> = puts.chain(absent).collect();
    places.sort_unstable_by_key(|(key, _)| *key);
    places
}

/// What is there must be the version before; the gate has seen to it that it is there. It isn't an `UPDATE`, whose
/// plan could be to read all that the tenant has.
fn put_rows(script: &mut Script, tenant: &Arc<str>, places: &[Place<'_>]) {
    if places.is_empty() {
        return;
    }
    script.push(
        ", made_rows AS (INSERT INTO paymux_rows AS r (tenant, kind, id, version, schema, status, customer, reference, \
         parent_kind, parent_id, attention, attention_since, created_at, updated_at, body) SELECT ",
    );
    script.text(tenant);
    script.push(
        ", p.kind, p.id, p.version, p.schema, p.status, p.customer, p.reference, p.parent_kind, p.parent_id, \
         p.attention, p.attention_since, COALESCE(p.created_at, g.now), COALESCE(p.updated_at, g.now), p.body \
         FROM gate g, ",
    );
    let index = || places.iter().map(|(_, row)| row.map(|row| &row.index));
    let word = |absent: &str, word: Option<&str>| Some(word.unwrap_or(absent).to_owned());
    let millis = |time: Option<Timestamp>| time.map(|time| time.as_millis());
    Listed::new(script, places.len())
        .rows(["kind", "id"], places.iter().map(|(key, _)| Some(*key)))
        .counts(
            "version",
            places
                .iter()
                .map(|(_, row)| Some(row.map_or(0, |row| row.version))),
        )
        .numbers(
            "schema",
            places
                .iter()
                .map(|(_, row)| Some(row.map_or(0, |row| row.schema.into()))),
        )
        .texts(
            "status",
            index().map(|index| word("", index.map(|index| &*index.status))),
        )
        .texts("customer", index().map(|index| index?.customer.clone()))
        .texts("reference", index().map(|index| index?.reference.clone()))
        .rows(["parent_kind", "parent_id"], index().map(|index| index?.parent))
        .texts(
            "attention",
            index().map(|index| {
                word(
                    Attention::None.as_str(),
                    index.map(|index| index.attention.as_str()),
                )
            }),
        )
        .numbers(
            "attention_since",
            index().map(|index| millis(index?.attention_since)),
        )
        .numbers("created_at", index().map(|index| millis(Some(index?.created_at))))
        .numbers("updated_at", index().map(|index| millis(Some(index?.updated_at))))
        .bodies(
            "body",
            places
                .iter()
                .map(|(_, row)| row.map_or_else(Vec::new, |row| row.body.to_vec())),
        )
        .end();
    script.push(
        " AS p WHERE g.ok \
         ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, \
         schema = excluded.schema, status = excluded.status, customer = excluded.customer, \
         reference = excluded.reference, parent_kind = excluded.parent_kind, parent_id = excluded.parent_id, \
         attention = excluded.attention, attention_since = excluded.attention_since, \
         created_at = excluded.created_at, updated_at = excluded.updated_at, body = excluded.body \
         WHERE r.version = GREATEST(excluded.version - 1, 0) RETURNING 1)",
    );
}

/// A unique, and which one it may overwrite.
type Kept<'b> = (&'b Unique, Overwrites);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overwrites {
    Nothing,
    Ours,
    OursIfExpired(Timestamp),
}

fn kept(write: &UniqueWrite) -> Option<Kept<'_>> {
    match write {
        UniqueWrite::Insert(unique) => Some((unique, Overwrites::Nothing)),
        UniqueWrite::Replace(unique) => Some((unique, Overwrites::Ours)),
        UniqueWrite::Renew { unique, expired_by } => Some((unique, Overwrites::OursIfExpired(*expired_by))),
        UniqueWrite::Delete(_) => None,
    }
}

/// Where one is there it must be ours, and expired if that is asked for, when this overwrites it and not only when the
/// gate looked.
fn put_uniques(script: &mut Script, tenant: &Arc<str>, kept: &[Kept<'_>]) {
    if kept.is_empty() {
        return;
    }
    let uniques = || kept.iter().map(|(unique, _)| *unique);
    let ours = |overwrites: &Overwrites| Some(i64::from(*overwrites == Overwrites::Ours));
    let expired_by = |overwrites: &Overwrites| match overwrites {
        Overwrites::OursIfExpired(by) => Some(by.as_millis()),
        Overwrites::Nothing | Overwrites::Ours => None,
    };
    script.push(", kept AS ");
    Listed::new(script, kept.len())
        .uniques(uniques().map(|unique| &unique.key))
        .texts(
            "owner",
            uniques().map(|unique| Some(owner(&unique.key, tenant).to_owned())),
        )
        .numbers("ours", kept.iter().map(|(_, overwrites)| ours(overwrites)))
        .numbers(
            "expired_by",
            kept.iter().map(|(_, overwrites)| expired_by(overwrites)),
        )
        .rows(
            ["target_kind", "target_id"],
            uniques().map(|unique| unique.target),
        )
        .bodies("bytes", uniques().map(|unique| unique.bytes.to_vec()))
        .numbers(
            "expires_at",
            uniques().map(|unique| unique.expires_at.map(|at| at.as_millis())),
        )
        .end();
    script.push(
        ", \
         made_uniques AS (INSERT INTO paymux_uniques AS u (owner, scope, name, tenant, target_kind, target_id, bytes, \
         expires_at) SELECT p.owner, p.scope, p.name, ",
    );
    script.text(tenant);
    script.push(
        ", p.target_kind, p.target_id, p.bytes, p.expires_at FROM gate g, kept p WHERE g.ok \
         ON CONFLICT (owner, scope, name) DO UPDATE SET target_kind = excluded.target_kind, \
         target_id = excluded.target_id, bytes = excluded.bytes, expires_at = excluded.expires_at \
         WHERE u.tenant = excluded.tenant AND (SELECT k.ours = 1 OR u.expires_at <= k.expired_by FROM kept k \
         WHERE k.scope = excluded.scope AND k.name = excluded.name) RETURNING 1)",
    );
}

fn delete_uniques(script: &mut Script, tenant: &Arc<str>, keys: &[&UniqueKey]) {
    script.push(match keys {
        [] => return,
        [..] => ", deleted_uniques AS (DELETE FROM paymux_uniques u USING gate g",
    });
    let owner_of = |key| owner(key, tenant);
    match keys {
        // By itself, so that no plan reads more than this one.
        [key] => {
            script.push(" WHERE u.owner = ").text(owner_of(key));
            script.push(" AND u.scope = ").text(key.scope.as_str());
            script.push(" AND u.name = ").text(&key.name);
        }
        keys => {
            script.push(", ");
            Listed::new(script, keys.len())
                .uniques(keys.iter().copied())
                .texts("owner", keys.iter().map(|key| Some(owner_of(key).to_owned())))
                .end();
            script.push(" AS p WHERE u.owner = p.owner AND u.scope = p.scope AND u.name = p.name");
        }
    }
    script.push(" AND g.ok AND u.tenant = ").text(tenant).push(")");
}

fn put_events(script: &mut Script, tenant: &Arc<str>, events: &[StoredEvent]) {
    if events.is_empty() {
        return;
    }
    script.push(
        ", made_events AS (INSERT INTO paymux_events (tenant, row_kind, row_id, sequence, id, at, kind, schema, \
         body) SELECT ",
    );
    script
        .text(tenant)
        .push(", p.row_kind, p.row_id, p.sequence, p.id, p.at, p.kind, p.schema, p.body FROM gate g, ");
    Listed::new(script, events.len())
        .rows(["row_kind", "row_id"], events.iter().map(|event| Some(event.row)))
        .counts("sequence", events.iter().map(|event| Some(event.sequence)))
        .uuids("id", events.iter().map(|event| Some(event.id)))
        .numbers("at", events.iter().map(|event| Some(event.at.as_millis())))
        .texts("kind", events.iter().map(|event| Some(event.kind.clone())))
        .numbers("schema", events.iter().map(|event| Some(i64::from(event.schema))))
        .bodies("body", events.iter().map(|event| event.body.to_vec()))
        .end();
    script.push(" AS p WHERE g.ok)");
}

fn write_jobs(script: &mut Script, tenant: &Arc<str>, writes: &[JobWrite]) {
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
    put_jobs(script, tenant, &puts);
    move_jobs(script, tenant, &moves);
    end_jobs(script, tenant, &done);
}

fn put_jobs(script: &mut Script, tenant: &Arc<str>, jobs: &[(JobKey, Due)]) {
    if jobs.is_empty() {
        return;
    }
    script.push(
        ", put_jobs AS (INSERT INTO paymux_jobs AS j (tenant, queue, row_kind, row_id, child, epoch, put_at, due) SELECT ",
    );
    script.text(tenant);
    script.push(
        ", p.queue, p.row_kind, p.row_id, p.child, 1, g.now, COALESCE(p.at, g.now + p.after) FROM gate g, ",
    );
    jobs_due(script, jobs);
    script.push(
        " WHERE g.ok ON CONFLICT (tenant, queue, row_kind, row_id, child) \
         DO UPDATE SET due = excluded.due, put_at = excluded.put_at)",
    );
}

/// One job is named by itself, so that no plan reads more than this one; so it is in [`end_jobs`].
fn move_jobs(script: &mut Script, tenant: &Arc<str>, jobs: &[(JobKey, Due)]) {
    script.push(match jobs {
        [] => return,
        [..] => ", moved_jobs AS (UPDATE paymux_jobs j SET due = ",
    });
    match jobs {
        [(key, due)] => {
            let (at, after) = at_or_after(*due);
            script
                .push("COALESCE(")
                .number(at)
                .push(", g.now + ")
                .number(after);
            script.push(") FROM gate g WHERE ");
            this_job(script, *key);
        }
        jobs => {
            script.push("COALESCE(p.at, g.now + p.after) FROM gate g, ");
            jobs_due(script, jobs);
            script.push(" WHERE ").push(EACH_JOB);
        }
    }
    script.push(" AND g.ok AND j.tenant = ").text(tenant).push(")");
}

fn end_jobs(script: &mut Script, tenant: &Arc<str>, jobs: &[JobKey]) {
    script.push(match jobs {
        [] => return,
        [..] => ", done_jobs AS (DELETE FROM paymux_jobs j USING gate g",
    });
    match jobs {
        [key] => {
            script.push(" WHERE ");
            this_job(script, *key);
        }
        jobs => {
            script.push(", ");
            Listed::new(script, jobs.len()).jobs(jobs.iter().copied()).end();
            script.push(" AS p WHERE ").push(EACH_JOB);
        }
    }
    script.push(" AND g.ok AND j.tenant = ").text(tenant).push(")");
}

const EACH_JOB: &str =
    "j.queue = p.queue AND j.row_kind = p.row_kind AND j.row_id = p.row_id AND j.child = p.child";

fn this_job(script: &mut Script, key: JobKey) {
    script.push("j.queue = ").text(key.queue.as_str());
    script.push(" AND j.row_kind = ").text(key.row.kind.as_str());
    script.push(" AND j.row_id = ").uuid(key.row.id);
    script.push(" AND j.child = ").uuid(key.child);
}

fn jobs_due(script: &mut Script, jobs: &[(JobKey, Due)]) {
    Listed::new(script, jobs.len())
        .jobs(jobs.iter().map(|(key, _)| *key))
        .numbers("at", jobs.iter().map(|(_, due)| at_or_after(*due).0))
        .numbers("after", jobs.iter().map(|(_, due)| at_or_after(*due).1))
        .end();
    script.push(" AS p");
}

fn at_or_after(due: Due) -> (Option<i64>, Option<i64>) {
    match due {
        Due::At(time) => (Some(time.as_millis()), None),
        Due::After(duration) => (None, Some(millis(duration))),
    }
}
