//! What a batch writes, as one script.

use std::sync::Arc;
use std::time::Duration;

use paymux_core::Timestamp;
use paymux_core::store::*;

use super::gate::owner;
use super::script::Script;

/// At most this many rows in one statement: far below SQLite's limit on values.
const CHUNK: usize = 100;

/// When the commit is made, which due times are counted from.
#[derive(Clone, Copy)]
pub(super) enum Now {
    At(Timestamp),
    /// As the database has written it down with the commit, earlier in the same script.
    OfCommit(CommitId),
}

/// All that the batch writes.
pub(super) fn write(script: &mut Script, tenant: &Arc<str>, batch: &Batch, now: Now) {
    for rows in batch.puts.chunks(CHUNK) {
        put_rows(script, tenant, rows);
    }
    let kept: Vec<&Unique> = batch
        .uniques
        .iter()
        .filter_map(|write| match write {
            UniqueWrite::Insert(unique)
            | UniqueWrite::Renew { unique, .. }
            | UniqueWrite::Replace(unique) => Some(unique),
            UniqueWrite::Delete(_) => None,
        })
        .collect();
    for uniques in kept.chunks(CHUNK) {
        put_uniques(script, tenant, uniques);
    }
    for write in &batch.uniques {
        if let UniqueWrite::Delete(key) = write {
            script
                .push("DELETE FROM paymux_uniques WHERE owner = ? AND scope = ? AND name = ? AND tenant = ?");
            script
                .tenant(&owner(key, tenant))
                .text(key.scope.as_str())
                .text(&key.name);
            script.tenant(tenant).end();
        }
    }
    for events in batch.events.chunks(CHUNK) {
        put_events(script, tenant, events);
    }
    for job in &batch.jobs {
        write_job(script, tenant, job, now);
    }
}

fn put_rows(script: &mut Script, tenant: &Arc<str>, rows: &[Row]) {
    script.push(
        "INSERT INTO paymux_rows (tenant, kind, id, version, schema, status, customer, reference, parent_kind, \
         parent_id, attention, attention_since, created_at, updated_at, body) VALUES ",
    );
    script.list(rows, ", ", |script, row| {
        let Row {
            key,
            version,
            schema,
            index,
            body,
        } = row;
        script.push("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        script
            .tenant(tenant)
            .key(*key)
            .number(*version)
            .bind(i64::from(*schema));
        script
            .text(&index.status)
            .bind(index.customer.clone())
            .bind(index.reference.clone());
        script.bind(index.parent.map(|parent| parent.kind.as_str().to_owned()));
        script.bind(index.parent.map(|parent| parent.id.as_bytes().to_vec()));
        script.text(index.attention.as_str()).time(index.attention_since);
        script.time(Some(index.created_at)).time(Some(index.updated_at));
        script.bind(body.to_vec());
    });
    script.push(
        " ON CONFLICT (tenant, kind, id) DO UPDATE SET version = excluded.version, schema = excluded.schema, \
         status = excluded.status, customer = excluded.customer, reference = excluded.reference, \
         parent_kind = excluded.parent_kind, parent_id = excluded.parent_id, attention = excluded.attention, \
         attention_since = excluded.attention_since, created_at = excluded.created_at, \
         updated_at = excluded.updated_at, body = excluded.body",
    );
    script.end();
}

fn put_uniques(script: &mut Script, tenant: &Arc<str>, uniques: &[&Unique]) {
    script.push(
        "INSERT INTO paymux_uniques (owner, scope, name, tenant, target_kind, target_id, bytes, expires_at) VALUES ",
    );
    script.list(uniques, ", ", |script, unique| {
        let key = &unique.key;
        script.push("(?, ?, ?, ?, ?, ?, ?, ?)");
        script
            .tenant(&owner(key, tenant))
            .text(key.scope.as_str())
            .text(&key.name)
            .tenant(tenant);
        script.bind(unique.target.map(|target| target.kind.as_str().to_owned()));
        script.bind(unique.target.map(|target| target.id.as_bytes().to_vec()));
        script.bind(unique.bytes.to_vec()).time(unique.expires_at);
    });
    script.push(
        " ON CONFLICT (owner, scope, name) DO UPDATE SET target_kind = excluded.target_kind, \
         target_id = excluded.target_id, bytes = excluded.bytes, expires_at = excluded.expires_at",
    );
    script.end();
}

fn put_events(script: &mut Script, tenant: &Arc<str>, events: &[StoredEvent]) {
    script.push(
        "INSERT INTO paymux_events (tenant, row_kind, row_id, sequence, id, at, kind, schema, body) VALUES ",
    );
    script.list(events, ", ", |script, event| {
        script.push("(?, ?, ?, ?, ?, ?, ?, ?, ?)");
        script
            .tenant(tenant)
            .key(event.row)
            .number(event.sequence)
            .uuid(event.id);
        script
            .time(Some(event.at))
            .text(&event.kind)
            .bind(i64::from(event.schema));
        script.bind(event.body.to_vec());
    });
    script.end();
}

fn write_job(script: &mut Script, tenant: &Arc<str>, write: &JobWrite, now: Now) {
    const THIS: &str = " WHERE tenant = ? AND queue = ? AND row_kind = ? AND row_id = ? AND child = ?";
    let key = write.key();
    match write {
        JobWrite::Put { due: at, .. } => {
            script.push(
                "INSERT INTO paymux_jobs (epoch, due, put_at, tenant, queue, row_kind, row_id, child) VALUES (1, ",
            );
            due(script, tenant, *at, now);
            script.push(", ");
            due(script, tenant, Due::After(Duration::ZERO), now);
            script.push(", ?, ?, ?, ?, ?)").job(tenant, key).push(
                " ON CONFLICT (tenant, queue, row_kind, row_id, child) \
                 DO UPDATE SET due = excluded.due, put_at = excluded.put_at",
            );
        }
        JobWrite::Reschedule { due: at, .. } => {
            script.push("UPDATE paymux_jobs SET due = ");
            due(script, tenant, *at, now);
            script.push(THIS).job(tenant, key);
        }
        JobWrite::Done(_) => {
            script.push("DELETE FROM paymux_jobs").push(THIS).job(tenant, key);
        }
    }
    script.end();
}

fn due(script: &mut Script, tenant: &Arc<str>, due: Due, now: Now) {
    match (due, now) {
        (Due::At(time), _) => script.push("?").time(Some(time)),
        (Due::After(duration), Now::At(now)) => script.push("?").time(Some(now.after(duration))),
        (Due::After(duration), Now::OfCommit(id)) => script
            .push("(SELECT at FROM paymux_commits WHERE commit_id = ? AND tenant = ?) + ?")
            .uuid(id.0)
            .tenant(tenant)
            .millis(duration),
    };
}
