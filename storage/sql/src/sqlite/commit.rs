//! Commits.
//!
//! A batch is first written in one trip to the connection's thread: a script that begins the transaction, stops at
//! its second statement unless all holds that must hold, writes, and commits. If it stops there, the batch is tried
//! again in steps: one statement asks all that the batch needs to know, plain code decides, and so says why the batch
//! is refused. The host's own transactions are joined in these steps too.

use paymux_core::Tenant;
use paymux_core::store::*;
use sqlx::{Connection as _, SqliteConnection};

use super::Inner;
use super::connections::Transaction;
use super::error::Failure;
use super::gate::{Check, checks, gate, known, nothing_written};
use super::script::{NOW, Script, tenant_text};
use super::write::{Now, write};
use crate::checks::event_twice;
use crate::columns::Columns;
use crate::known::made_at;
use crate::time::injected_now;

/// At most this many questions in one statement: far below SQLite's limit on columns.
const CHUNK: usize = 100;

/// What came of a batch inside a transaction.
enum Applied {
    Now(Receipt),
    Before(Receipt),
}

pub(super) async fn commit(inner: &Inner, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
    batch.check()?;
    let checks = checks(batch);
    let mut transaction = inner.connections.transaction().await.map_err(nothing_written)?;
    if checks.len() <= CHUNK
        && let Some(committed) = at_once(inner, &mut transaction, tenant, batch, &checks).await
    {
        return committed;
    }
    let conn = transaction.conn().map_err(nothing_written)?;
    match apply(inner, conn, "BEGIN IMMEDIATE; ", tenant, batch).await {
        Ok(Applied::Now(receipt)) => match transaction.commit().await {
            Ok(()) => Ok(receipt),
            Err(failure) => Err(in_doubt(batch, failure)),
        },
        Ok(Applied::Before(receipt)) => {
            transaction.roll_back().await;
            Ok(receipt)
        }
        Err(refused @ (CommitError::Conflict(_) | CommitError::Fenced(_))) => {
            transaction.roll_back().await;
            Err(refused)
        }
        Err(failed @ (CommitError::NotCommitted(_) | CommitError::Unknown(_))) => Err(failed),
    }
}

/// Writes a batch in one trip. `None` if something doesn't hold: nothing is written, and no transaction is open.
async fn at_once(
    inner: &Inner,
    transaction: &mut Transaction<'_>,
    tenant: &Tenant,
    batch: &Batch,
    checks: &[Check<'_>],
) -> Option<Result<Receipt, CommitError>> {
    let script = script_at_once(injected_now(&inner.time), tenant, batch, checks);
    let statements = script.statements();
    let conn = match transaction.conn() {
        Ok(conn) => conn,
        Err(failure) => return Some(Err(nothing_written(failure))),
    };
    let progress = script.progress(conn).await;
    let receipt = progress.first.as_ref().map(|row| Columns::of(row).time());
    match (progress.stopped, receipt) {
        (None, Some(Ok(at))) if progress.done == statements => {
            transaction.ended();
            let commit_id = batch.commit_id;
            Some(Ok(Receipt { commit_id, at }))
        }
        (Some(failure), _) if progress.done + 1 < statements => {
            if !failure.is_refusal() {
                return Some(Err(nothing_written(failure)));
            }
            let undone = Script::new("ROLLBACK").run(transaction.conn().ok()?).await;
            undone.err().map(|failure| Err(nothing_written(failure)))
        }
        (Some(failure), _) => Some(Err(in_doubt(batch, failure))),
        // The connection's thread died, and may have committed before.
        (None, _) => Some(Err(CommitError::Unknown(batch.commit_id))),
    }
}

/// The row of the commit is the first that is written, and can't be unless all holds: an overflow stops the script.
pub(super) fn script_at_once(
    now: Option<i64>,
    tenant: &Tenant,
    batch: &Batch,
    checks: &[Check<'_>],
) -> Script {
    let tenant = tenant_text(tenant);
    let mut script = Script::new("BEGIN IMMEDIATE");
    script.end();
    script.push("INSERT INTO paymux_commits (commit_id, tenant, at) SELECT ?, ?, CASE WHEN ");
    script.uuid(batch.commit_id.0).tenant(&tenant);
    script.push("(SELECT commits_before FROM paymux_horizon WHERE one = 1) <= ?");
    script.time(Some(made_at(batch.commit_id)));
    for check in checks {
        check.require(script.push(" AND "), &tenant);
    }
    script
        .push(" THEN ")
        .push(NOW)
        .push(" ELSE abs(-9223372036854775807 - 1) END RETURNING at");
    script.bind(now).end();
    write(&mut script, &tenant, batch, Now::OfCommit(batch.commit_id));
    script.push("COMMIT");
    script
}

/// A `COMMIT` that failed: nothing is known, but that SQLite leaves everything undone if somebody else holds a lock.
fn in_doubt(batch: &Batch, failure: Failure) -> CommitError {
    if failure.kind() == StoreErrorKind::Locked {
        nothing_written(failure)
    } else {
        CommitError::Unknown(batch.commit_id)
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

/// In steps, inside a transaction that `begin` opens if it isn't open yet.
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
    let ask = gate(begin, injected_now(&inner.time), &tenant, batch.commit_id, first);
    let answer = ask.first(conn).await.map_err(nothing_written)?;
    let answer = answer.ok_or_else(no_answer).map_err(nothing_written)?;
    let mut columns = Columns::of(&answer);
    let (now, known) = known(&mut columns).map_err(nothing_written)?;
    let before = known.receipt(batch.commit_id);
    if let Some(receipt) = before.map_err(CommitError::NotCommitted)? {
        return Ok(Applied::Before(receipt));
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
    if let Some(row) = event_twice(batch) {
        return Err(CommitError::Conflict(Refusal::Event(row)));
    }

    let mut script = Script::default();
    write(&mut script, &tenant, batch, Now::At(now));
    script.push("INSERT INTO paymux_commits (commit_id, tenant, at) VALUES (?, ?, ?)");
    script.uuid(batch.commit_id.0).tenant(&tenant).time(Some(now));
    script.run(conn).await.map_err(nothing_written)?;
    Ok(Applied::Now(Receipt {
        commit_id: batch.commit_id,
        at: now,
    }))
}

pub(super) async fn resolve(inner: &Inner, tenant: &Tenant, id: CommitId) -> Result<Resolved, Failure> {
    let tenant = tenant_text(tenant);
    let mut transaction = inner.connections.transaction().await?;
    let ask = gate("BEGIN IMMEDIATE; ", injected_now(&inner.time), &tenant, id, &[]);
    let answer = ask.first(transaction.conn()?).await?;
    let (_, known) = known(&mut Columns::of(answer.as_ref().ok_or_else(no_answer)?))?;
    match known.fate(id).transpose() {
        Some(resolved) => {
            transaction.roll_back().await;
            Ok(resolved?)
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

fn no_answer() -> Failure {
    StoreError::corrupt("SQLite gave no row for a SELECT without FROM").into()
}
