//! Commits: one statement each, which PostgreSQL commits by itself.
//!
//! The statement's gate locks and checks all that the batch needs; each write selects from the gate. So there is one
//! round trip and no transaction that a caller could leave open. What the gate can't see, since others made it after
//! the statement began, is met by a primary key or by a count at the end: both take everything back, and the statement
//! is run again to say why.

use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use paymux_core::Tenant;
use paymux_core::store::*;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::Inner;
use super::error::{Failure, Fate};
use super::gate::{Checks, SEEN, Seen, gate, known};
use super::script::{Script, tenant_text};
use super::write::{all_or_nothing, write};
use crate::columns::Columns;
use crate::known::made_at;
use crate::time::injected_now;

/// How often a batch is tried again inside a host's transaction.
const TRIES: u32 = 3;

pub(super) async fn commit(inner: &Inner, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
    batch.check()?;
    let tenant = tenant_text(tenant);
    let checks = Checks::of(batch);
    let now = injected_now(&inner.time);
    let rows = inner
        .connections
        .run(|script| statement(script, now, &tenant, batch, &checks))
        .await;
    let failed = |failure: Failure| match failure.fate() {
        Fate::Again | Fate::Undone => CommitError::NotCommitted(failure.into()),
        Fate::InDoubt => CommitError::Unknown(batch.commit_id),
    };
    let seen = read(&rows.map_err(failed)?, &checks).map_err(failed)?;
    let receipt = judge(&seen, &tenant, batch, &checks)?;
    if seen.ok {
        return Ok(receipt);
    }
    // It was written before, and whether it stays is as doubtful as it was then.
    match resolve_as(inner, &tenant, batch.commit_id).await {
        Ok(Resolved::Committed(receipt)) => Ok(receipt),
        Ok(Resolved::Absent) | Err(_) => Err(CommitError::Unknown(batch.commit_id)),
    }
}

pub(super) async fn commit_in(
    inner: &Inner,
    conn: &mut PgConnection,
    tenant: &Tenant,
    batch: &Batch,
) -> Result<Receipt, CommitError> {
    batch.check()?;
    if !conn.is_in_transaction() {
        return Err(CommitError::NotCommitted(StoreError::rejected(
            "the connection isn't in a transaction: open one with sqlx's begin()",
        )));
    }
    let nothing = |failure: Failure| CommitError::NotCommitted(failure.into());
    let tenant = tenant_text(tenant);
    let checks = Checks::of(batch);
    let mut tries = 1;
    loop {
        let mut savepoint = savepoint(conn).await.map_err(|error| nothing(error.into()))?;
        let mut script = inner.connections.script();
        statement(&mut script, injected_now(&inner.time), &tenant, batch, &checks);
        let committed = match script
            .all(&mut savepoint)
            .await
            .and_then(|rows| read(&rows, &checks))
        {
            Ok(seen) => judge(&seen, &tenant, batch, &checks),
            Err(failure) if failure.fate() == Fate::Again && tries < TRIES => {
                savepoint
                    .rollback()
                    .await
                    .map_err(|error| nothing(error.into()))?;
                tries += 1;
                continue;
            }
            Err(failure) => Err(nothing(failure)),
        };
        let ended = match &committed {
            Ok(_) => savepoint.commit().await,
            Err(_) => savepoint.rollback().await,
        };
        return match (committed, ended) {
            (Ok(_), Err(error)) => Err(nothing(error.into())),
            (committed, _) => committed,
        };
    }
}

/// A savepoint, which sqlx takes back if it is dropped.
///
/// While it is being made sqlx would take back the host's whole transaction instead, and leave the host to write
/// outside of one. So a future that is dropped just then is forgotten: it leaves a savepoint with nothing in it.
async fn savepoint(conn: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut begin = ManuallyDrop::new(Box::pin(conn.begin()));
    let begun = poll_fn(|cx| begin.as_mut().poll(cx)).await;
    drop(ManuallyDrop::into_inner(begin));
    begun
}

pub(super) fn statement(
    script: &mut Script,
    now: Option<i64>,
    tenant: &Arc<str>,
    batch: &Batch,
    checks: &Checks<'_>,
) {
    script.push("WITH ");
    gate(script, now, tenant, batch.commit_id, checks);
    write(script, tenant, batch, checks);
    script.push(" SELECT ").push(SEEN).push(", ");
    all_or_nothing(script, batch, checks);
    script.push(" FROM gate g");
}

fn read(rows: &[PgRow], checks: &Checks<'_>) -> Result<Seen, Failure> {
    Seen::read(&mut Columns::of(rows.first().ok_or_else(no_horizon)?), checks)
}

fn judge(seen: &Seen, tenant: &Arc<str>, batch: &Batch, checks: &Checks<'_>) -> Result<Receipt, CommitError> {
    let commit_id = batch.commit_id;
    if seen.ok {
        return Ok(Receipt {
            commit_id,
            at: seen.now,
        });
    }
    match seen.commit.receipt(commit_id) {
        Ok(Some(receipt)) => Ok(receipt),
        Err(refused) => Err(CommitError::NotCommitted(refused)),
        Ok(None) => Err(seen.refusal(checks, tenant).unwrap_or_else(|| {
            CommitError::NotCommitted(StoreError::corrupt(
                "PostgreSQL refused a batch of which all held",
            ))
        })),
    }
}

/// Looks, and fences in the same statement. A commit that is under way holds its id's place in the primary key: the
/// fence waits for it, and if it went well this looks again.
///
/// What it finds it writes again, as it is. A commit whose backend was ended while it waited for a standby is on the
/// primary alone: the write waits for the standby as that commit did, and comes after it.
pub(super) async fn resolve(inner: &Inner, tenant: &Tenant, id: CommitId) -> Result<Resolved, Failure> {
    resolve_as(inner, &tenant_text(tenant), id).await
}

async fn resolve_as(inner: &Inner, tenant: &Arc<str>, id: CommitId) -> Result<Resolved, Failure> {
    const TRIES: u32 = 10;
    for _ in 0..TRIES {
        let rows = inner.connections.run(|script| fence(script, tenant, id)).await?;
        let mut columns = Columns::of(rows.first().ok_or_else(no_horizon)?);
        let known = known(&mut columns)?;
        let fenced: i64 = columns.next()?;
        if let Some(resolved) = known.fate(id)? {
            return Ok(resolved);
        }
        if fenced > 0 {
            return Ok(Resolved::Absent);
        }
    }
    Err(StoreError::new(
        StoreErrorKind::Locked,
        "others kept writing that commit's row in PostgreSQL: try again later",
    )
    .into())
}

pub(super) fn fence(script: &mut Script, tenant: &Arc<str>, id: CommitId) {
    script.push("WITH known AS (UPDATE paymux_commits SET at = at WHERE commit_id = ");
    script.uuid(id.0).push(" AND tenant = ").text(tenant);
    script.push(" RETURNING at), fenced AS (INSERT INTO paymux_commits (commit_id, tenant, at) SELECT ");
    script.uuid(id.0).push(", ").text(tenant);
    script.push(
        ", NULL FROM paymux_horizon h WHERE h.one = 1 AND current_setting('synchronous_commit') <> 'off' \
         AND NOT EXISTS (SELECT 1 FROM known) AND h.commits_before <= ",
    );
    script.time(made_at(id)).push(
        " ON CONFLICT (commit_id, tenant) DO NOTHING RETURNING 1) \
         SELECT h.commits_before, current_setting('synchronous_commit'), (SELECT count(*) FROM known), \
         (SELECT at FROM known), (SELECT count(*) FROM fenced) FROM paymux_horizon h WHERE h.one = 1",
    );
}

fn no_horizon() -> Failure {
    StoreError::corrupt("the row of paymux_horizon is missing: restore PostgreSQL from a backup").into()
}
