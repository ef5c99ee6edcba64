//! Claims, and what waits.

use paymux_core::store::*;

use super::Inner;
use super::error::Failure;
use super::script::{NOW, Script};
use crate::columns::Columns;
use crate::time::injected_now;

pub(super) async fn claim_due(inner: &Inner, request: &ClaimRequest) -> Result<Vec<Claim>, Failure> {
    let now = injected_now(&inner.time);
    // A worker asks often and there is mostly nothing: that needs no write lock.
    let any = any_due(request.queue, now);
    if any
        .first(inner.connections.reader().await?.conn()?)
        .await?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let claim = claim(request, now);
    let rows = claim.all(inner.connections.writer().await?.conn()?).await?;
    let claimed = rows.iter().map(|row| Columns::of(row).claim(request.queue));
    let mut claimed = claimed.collect::<Result<Vec<_>, Failure>>()?;
    // SQLite returns changed rows in no particular order.
    claimed.sort_by_key(|(was_due, _)| *was_due);
    Ok(claimed.into_iter().map(|(_, claim)| claim).collect())
}

pub(super) async fn backlog(inner: &Inner, queue: Queue) -> Result<Backlog, Failure> {
    let mut reader = inner.connections.reader().await?;
    let mut backlog = Backlog::default();
    if let Some(row) = count_due(queue, injected_now(&inner.time))
        .first(reader.conn()?)
        .await?
    {
        let mut columns = Columns::of(&row);
        backlog.due = columns.number()?;
        backlog.oldest_due = columns.optional_time()?;
    }
    if let Some(row) = count_scheduled(queue).first(reader.conn()?).await? {
        backlog.scheduled = Columns::of(&row).number()?;
    }
    for row in count_attention().all(reader.conn()?).await? {
        let mut columns = Columns::of(&row);
        backlog.attention.push((columns.tenant()?, columns.number()?));
    }
    Ok(backlog)
}

pub(super) fn any_due(queue: Queue, now: Option<i64>) -> Script {
    let mut script = Script::new("SELECT 1 FROM paymux_jobs WHERE queue = ? AND due <= ");
    script.push(NOW).push(" LIMIT 1");
    script.text(queue.as_str()).bind(now);
    script
}

pub(super) fn claim(request: &ClaimRequest, now: Option<i64>) -> Script {
    let mut script = Script::new("UPDATE paymux_jobs SET epoch = epoch + 1, claimed_due = due, due = ");
    script.push(NOW).push(
        " + ? WHERE (tenant, queue, row_kind, row_id, child) IN (\
         SELECT tenant, queue, row_kind, row_id, child FROM paymux_jobs WHERE queue = ? AND due <= ",
    );
    script
        .push(NOW)
        .push(" ORDER BY due LIMIT ?) RETURNING claimed_due, tenant, row_kind, row_id, child, epoch, ")
        .push(NOW)
        .push(" - put_at");
    script
        .bind(now)
        .millis(request.lease)
        .text(request.queue.as_str());
    script.bind(now).bind(i64::from(request.limit)).bind(now);
    script
}

pub(super) fn count_due(queue: Queue, now: Option<i64>) -> Script {
    let mut script = Script::new("SELECT count(*), min(due) FROM paymux_jobs WHERE queue = ? AND due <= ");
    script.push(NOW);
    script.text(queue.as_str()).bind(now);
    script
}

pub(super) fn count_scheduled(queue: Queue) -> Script {
    let mut script = Script::new("SELECT count(*) FROM paymux_jobs WHERE queue = ?");
    script.text(queue.as_str());
    script
}

pub(super) fn count_attention() -> Script {
    Script::new("SELECT tenant, count(*) FROM paymux_rows WHERE attention <> 'none' GROUP BY tenant")
}
