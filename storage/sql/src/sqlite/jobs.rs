//! Claims, and what waits.

use paymux_core::store::*;

use super::Inner;
use super::error::Failure;
use super::script::{Columns, NOW, Script};

pub(super) async fn claim_due(inner: &Inner, request: &ClaimRequest) -> Result<Vec<Claim>, Failure> {
    let now = inner.injected_now();
    // A worker asks often and there is mostly nothing: that needs no write lock.
    let mut any = Script::new("SELECT 1 FROM paymux_jobs WHERE queue = ? AND due <= ");
    any.push(NOW).push(" LIMIT 1");
    any.text(request.queue.as_str()).bind(now);
    if any
        .first(inner.connections.reader().await?.conn()?)
        .await?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let mut claimed: Vec<(i64, Claim)> = Vec::new();
    let mut claim = Script::new("UPDATE paymux_jobs SET epoch = epoch + 1, claimed_due = due, due = ");
    claim.push(NOW).push(
        " + ? WHERE (tenant, queue, row_kind, row_id, child) IN (\
         SELECT tenant, queue, row_kind, row_id, child FROM paymux_jobs WHERE queue = ? AND due <= ",
    );
    claim
        .push(NOW)
        .push(" ORDER BY due LIMIT ?) RETURNING claimed_due, tenant, row_kind, row_id, child, epoch");
    // A lease of over 100,000 years would not fit SQLite's integers.
    let lease_ms = i64::try_from(request.lease.as_millis())
        .unwrap_or(i64::MAX)
        .min(1 << 52);
    claim.bind(now).bind(lease_ms).text(request.queue.as_str());
    claim.bind(now).bind(i64::from(request.limit));
    for row in claim.all(inner.connections.writer().await?.conn()?).await? {
        let mut columns = Columns::of(&row);
        let was_due = columns.next()?;
        let tenant = columns.tenant()?;
        let job = JobKey {
            queue: request.queue,
            row: columns.key()?,
            child: columns.uuid()?,
        };
        let epoch = columns.number()?;
        claimed.push((was_due, Claim { tenant, job, epoch }));
    }
    // SQLite returns changed rows in no particular order.
    claimed.sort_by_key(|(was_due, _)| *was_due);
    Ok(claimed.into_iter().map(|(_, claim)| claim).collect())
}

pub(super) async fn backlog(inner: &Inner, queue: Queue) -> Result<Backlog, Failure> {
    let mut reader = inner.connections.reader().await?;
    let mut due = Script::new("SELECT count(*), min(due) FROM paymux_jobs WHERE queue = ? AND due <= ");
    due.push(NOW);
    due.text(queue.as_str()).bind(inner.injected_now());
    let mut backlog = Backlog::default();
    if let Some(row) = due.first(reader.conn()?).await? {
        let mut columns = Columns::of(&row);
        backlog.due = columns.number()?;
        backlog.oldest_due = columns.optional_time()?;
    }
    let mut scheduled = Script::new("SELECT count(*) FROM paymux_jobs WHERE queue = ?");
    scheduled.text(queue.as_str());
    if let Some(row) = scheduled.first(reader.conn()?).await? {
        backlog.scheduled = Columns::of(&row).number()?;
    }
    let attention =
        Script::new("SELECT tenant, count(*) FROM paymux_rows WHERE attention <> 'none' GROUP BY tenant");
    for row in attention.all(reader.conn()?).await? {
        let mut columns = Columns::of(&row);
        backlog.attention.push((columns.tenant()?, columns.number()?));
    }
    Ok(backlog)
}
