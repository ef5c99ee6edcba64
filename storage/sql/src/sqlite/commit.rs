//! Commits: one statement asks all that a batch needs to know, plain code decides, and one script writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use paymux_core::store::*;
use paymux_core::{Tenant, Timestamp};
use sqlx::{Connection as _, SqliteConnection};

use super::Inner;
use super::error::Failure;
use super::script::{Columns, NOW, Script, tenant_text};

/// At most this many rows, or questions, in one statement: far below SQLite's limits on values and columns.
const CHUNK: usize = 100;

/// What came of a batch inside a transaction.
enum Applied {
    Now(Receipt),
    Before(Receipt),
}

pub(super) async fn commit(inner: &Inner, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
    batch.check()?;
    let mut transaction = inner.connections.transaction().await.map_err(nothing_written)?;
    let conn = transaction.conn().map_err(nothing_written)?;
    match apply(inner, conn, "BEGIN IMMEDIATE; ", tenant, batch).await {
        Ok(Applied::Now(receipt)) => match transaction.commit().await {
            Ok(()) => Ok(receipt),
            Err(failure) if failure.kind() == StoreErrorKind::Locked => Err(nothing_written(failure)),
            Err(_) => Err(CommitError::Unknown(batch.commit_id)),
        },
        Ok(Applied::Before(receipt)) => {
            transaction.roll_back().await.map_err(nothing_written)?;
            Ok(receipt)
        }
        Err(refused @ (CommitError::Conflict(_) | CommitError::Fenced(_))) => {
            transaction.roll_back().await.map_err(nothing_written)?;
            Err(refused)
        }
        Err(failed @ (CommitError::NotCommitted(_) | CommitError::Unknown(_))) => Err(failed),
    }
}

pub(super) async fn commit_in(
    inner: &Inner,
    conn: &mut SqliteConnection,
    tenant: &Tenant,
    batch: &Batch,
) -> Result<Receipt, CommitError> {
    batch.check()?;
    if !conn.is_in_transaction() {
        return Err(CommitError::NotCommitted(StoreError::rejected(
            "the connection isn't in a transaction: open one with sqlx's begin_with(\"BEGIN IMMEDIATE\")",
        )));
    }
    let failed = |error: sqlx::Error| nothing_written(error.into());
    // sqlx makes this a savepoint, and takes it back if this future is dropped.
    let mut savepoint = conn.begin().await.map_err(failed)?;
    let applied = apply(inner, &mut savepoint, "", tenant, batch).await;
    match applied {
        Ok(Applied::Now(receipt) | Applied::Before(receipt)) => {
            savepoint.commit().await.map_err(failed)?;
            Ok(receipt)
        }
        Err(error) => {
            savepoint.rollback().await.map_err(failed)?;
            Err(error)
        }
    }
}

pub(super) async fn resolve(inner: &Inner, tenant: &Tenant, id: CommitId) -> Result<Resolved, Failure> {
    let tenant = tenant_text(tenant);
    let mut transaction = inner.connections.transaction().await?;
    let ask = gate("BEGIN IMMEDIATE; ", inner.injected_now(), &tenant, id, &[]);
    let answer = ask.first(transaction.conn()?).await?;
    let known = Known::read(&mut Columns::of(answer.as_ref().ok_or_else(no_answer)?))?;
    let resolved = match known.remembers(id) {
        Ok(()) => known.fate(id),
        Err(forgotten) => {
            transaction.roll_back().await?;
            return Err(forgotten.into());
        }
    };
    match resolved {
        Some(resolved) => {
            transaction.roll_back().await?;
            Ok(resolved)
        }
        None => {
            let mut fence =
                Script::new("INSERT INTO paymux_commits (commit_id, tenant, at) VALUES (?, ?, NULL)");
            fence.uuid(id.0).tenant(&tenant);
            fence.run(transaction.conn()?).await?;
            transaction.commit().await?;
            Ok(Resolved::Absent)
        }
    }
}

async fn apply(
    inner: &Inner,
    conn: &mut SqliteConnection,
    begin: &str,
    tenant: &Tenant,
    batch: &Batch,
) -> Result<Applied, CommitError> {
    let tenant = tenant_text(tenant);
    let checks = checks(batch);
    let mut chunks = checks.chunks(CHUNK);

    let first = chunks.next().unwrap_or(&[]);
    let ask = gate(begin, inner.injected_now(), &tenant, batch.commit_id, first);
    let answer = ask.first(conn).await.map_err(nothing_written)?;
    let answer = answer.ok_or_else(no_answer).map_err(nothing_written)?;
    let mut columns = Columns::of(&answer);
    let known = Known::read(&mut columns).map_err(nothing_written)?;
    known
        .remembers(batch.commit_id)
        .map_err(CommitError::NotCommitted)?;
    match known.fate(batch.commit_id) {
        Some(Resolved::Committed(receipt)) => return Ok(Applied::Before(receipt)),
        Some(Resolved::Absent) => {
            return Err(CommitError::NotCommitted(StoreError::rejected(
                "this commit was declared absent: write the same batch under a fresh commit id",
            )));
        }
        None => {}
    }
    for check in first {
        check.holds(&mut columns, &tenant)?;
    }
    for chunk in chunks {
        let mut ask = Script::new("SELECT ");
        ask.list(chunk, ", ", |ask, check| check.ask(ask, &tenant));
        let answer = ask.first(conn).await.map_err(nothing_written)?;
        let answer = answer.ok_or_else(no_answer).map_err(nothing_written)?;
        let mut columns = Columns::of(&answer);
        for check in chunk {
            check.holds(&mut columns, &tenant)?;
        }
    }
    let mut sequences = BTreeSet::new();
    for event in &batch.events {
        if !sequences.insert((event.row, event.sequence)) {
            return Err(CommitError::Conflict(Refusal::Event(event.row)));
        }
    }

    write(&tenant, batch, known.now)
        .run(conn)
        .await
        .map_err(nothing_written)?;
    Ok(Applied::Now(Receipt {
        commit_id: batch.commit_id,
        at: known.now,
    }))
}

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

/// What [`gate`] asked of a commit.
struct Known {
    now: Timestamp,
    horizon: Timestamp,
    there: bool,
    at: Option<Timestamp>,
}

impl Known {
    fn read(columns: &mut Columns<'_>) -> Result<Self, Failure> {
        Ok(Self {
            now: columns.time()?,
            horizon: columns.time()?,
            there: columns.next::<i64>()? > 0,
            at: columns.optional_time()?,
        })
    }

    /// Refuses a commit id whose fate may have been purged: neither answer would be a promise. A version 7 UUID
    /// starts with its milliseconds (RFC 9562, section 5.7).
    fn remembers(&self, id: CommitId) -> Result<(), StoreError> {
        let made_at = Timestamp::from_millis((id.0.as_u128() >> 80) as i64);
        if made_at >= self.horizon {
            return Ok(());
        }
        Err(StoreError::rejected(format!(
            "commit {id:?} is older than {}, before which commits were purged: its fate is no longer known; read the \
             rows that it would have written",
            self.horizon
        )))
    }

    fn fate(&self, commit_id: CommitId) -> Option<Resolved> {
        match (self.there, self.at) {
            (true, Some(at)) => Some(Resolved::Committed(Receipt { commit_id, at })),
            (true, None) => Some(Resolved::Absent),
            (false, _) => None,
        }
    }
}

/// Something that must hold for the batch to be written; each asks for one column.
pub(super) enum Check<'b> {
    Row(RowKey, Option<u64>),
    Epoch(JobKey, u64),
    /// Nobody has it; or, to replace a global one, no other tenant has it.
    Free(&'b UniqueKey, Free),
    Event(RowKey, u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Free {
    OfAnyone,
    OfOthers,
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
    let uniques = batch.uniques.iter().filter_map(|write| match write {
        UniqueWrite::Insert(unique) => Some(Check::Free(&unique.key, Free::OfAnyone)),
        UniqueWrite::Replace(unique) if unique.key.is_global() => {
            Some(Check::Free(&unique.key, Free::OfOthers))
        }
        UniqueWrite::Replace(_) | UniqueWrite::Delete(_) => None,
    });
    let events = batch
        .events
        .iter()
        .map(|event| Check::Event(event.row, event.sequence));
    preconditions.chain(uniques).chain(events).collect()
}

impl Check<'_> {
    fn ask(&self, ask: &mut Script, tenant: &Arc<str>) {
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
            Self::Free(key, _) => {
                ask.push("(SELECT tenant FROM paymux_uniques WHERE owner = ? AND scope = ? AND name = ?)");
                ask.tenant(&owner(key, tenant))
                    .text(key.scope.as_str())
                    .text(&key.name);
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

    fn holds(&self, columns: &mut Columns<'_>, tenant: &Arc<str>) -> Result<(), CommitError> {
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

/// All that the batch writes, and that it is committed.
fn write(tenant: &Arc<str>, batch: &Batch, now: Timestamp) -> Script {
    let mut script = Script::default();
    for rows in batch.puts.chunks(CHUNK) {
        put_rows(&mut script, tenant, rows);
    }
    let kept: Vec<&Unique> = batch
        .uniques
        .iter()
        .filter_map(|write| match write {
            UniqueWrite::Insert(unique) | UniqueWrite::Replace(unique) => Some(unique),
            UniqueWrite::Delete(_) => None,
        })
        .collect();
    for uniques in kept.chunks(CHUNK) {
        put_uniques(&mut script, tenant, uniques);
    }
    for write in &batch.uniques {
        if let UniqueWrite::Delete(key) = write {
            script.push(
                "DELETE FROM paymux_uniques WHERE owner = ? AND scope = ? AND name = ? AND tenant = ?; ",
            );
            script
                .tenant(&owner(key, tenant))
                .text(key.scope.as_str())
                .text(&key.name);
            script.tenant(tenant);
        }
    }
    for events in batch.events.chunks(CHUNK) {
        put_events(&mut script, tenant, events);
    }
    for job in &batch.jobs {
        write_job(&mut script, tenant, job, now);
    }
    script.push("INSERT INTO paymux_commits (commit_id, tenant, at) VALUES (?, ?, ?)");
    script.uuid(batch.commit_id.0).tenant(tenant).time(Some(now));
    script
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
         updated_at = excluded.updated_at, body = excluded.body; ",
    );
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
         target_id = excluded.target_id, bytes = excluded.bytes, expires_at = excluded.expires_at; ",
    );
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
    script.push("; ");
}

fn write_job(script: &mut Script, tenant: &Arc<str>, write: &JobWrite, now: Timestamp) {
    let due = match write {
        JobWrite::Put { due, .. } => {
            script.push(
                "INSERT INTO paymux_jobs (due, epoch, tenant, queue, row_kind, row_id, child) \
                 VALUES (?, 1, ?, ?, ?, ?, ?) \
                 ON CONFLICT (tenant, queue, row_kind, row_id, child) DO UPDATE SET due = excluded.due; ",
            );
            Some(*due)
        }
        JobWrite::Reschedule { due, .. } => {
            script.push(
                "UPDATE paymux_jobs SET due = ? \
                 WHERE tenant = ? AND queue = ? AND row_kind = ? AND row_id = ? AND child = ?; ",
            );
            Some(*due)
        }
        JobWrite::Done(_) => {
            script.push(
                "DELETE FROM paymux_jobs \
                 WHERE tenant = ? AND queue = ? AND row_kind = ? AND row_id = ? AND child = ?; ",
            );
            None
        }
    };
    match due {
        Some(Due::After(duration)) => script.time(Some(now.after(duration))),
        Some(Due::At(time)) => script.time(Some(time)),
        None => script,
    };
    let key = write.key();
    script
        .tenant(tenant)
        .text(key.queue.as_str())
        .key(key.row)
        .uuid(key.child);
}

/// Whose the name is: the tenant's, or everyone's.
pub(super) fn owner(key: &UniqueKey, tenant: &Arc<str>) -> Arc<str> {
    if key.is_global() {
        "".into()
    } else {
        tenant.clone()
    }
}

fn nothing_written(failure: Failure) -> CommitError {
    CommitError::NotCommitted(failure.into())
}

fn no_answer() -> Failure {
    StoreError::corrupt("SQLite gave no row for a SELECT without FROM").into()
}
