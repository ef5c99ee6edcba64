//! Claims, and what waits.

use paymux_core::store::*;

use super::Inner;
use super::error::Failure;
use super::open::Engine;
use super::script::Script;
use crate::columns::Columns;
use crate::time::{injected_now, millis};

pub(super) async fn claim_due(inner: &Inner, request: &ClaimRequest) -> Result<Vec<Claim>, Failure> {
    let now = injected_now(&inner.time);
    let engine = inner.connections.engine;
    let rows = inner
        .connections
        .run(|script| claim(script, request, now, engine))
        .await?;
    let claimed = rows.iter().map(|row| Columns::of(row).claim(request.queue));
    let mut claimed = claimed.collect::<Result<Vec<_>, Failure>>()?;
    // PostgreSQL returns changed rows in no particular order.
    claimed.sort_by(|(due, claim), (other_due, other)| {
        (due, &claim.tenant, claim.job).cmp(&(other_due, &other.tenant, other.job))
    });
    Ok(claimed.into_iter().map(|(_, claim)| claim).collect())
}

pub(super) async fn backlog(inner: &Inner, queue: Queue) -> Result<Backlog, Failure> {
    let now = injected_now(&inner.time);
    let mut backlog = Backlog::default();
    if let Some(row) = inner
        .connections
        .run(|script| count_due(script, queue, now))
        .await?
        .first()
    {
        let mut columns = Columns::of(row);
        backlog.due = columns.number()?;
        backlog.oldest_due = columns.optional_time()?;
    }
    if let Some(row) = inner
        .connections
        .run(|script| count_scheduled(script, queue))
        .await?
        .first()
    {
        backlog.scheduled = Columns::of(row).number()?;
    }
    for row in inner.connections.run(count_attention).await? {
        let mut columns = Columns::of(&row);
        backlog.attention.push((columns.tenant()?, columns.number()?));
    }
    Ok(backlog)
}

/// A worker passes over what another one is taking; where the engine can't, it waits, and then finds it not due any
/// more.
pub(super) fn claim(script: &mut Script, request: &ClaimRequest, now: Option<i64>, engine: Engine) {
    script.push(
        "WITH due AS (SELECT tenant, queue, row_kind, row_id, child, due FROM paymux_jobs WHERE queue = ",
    );
    script.text(request.queue.as_str()).push(" AND due <= ").now(now);
    script.push(" ORDER BY due");
    if now.is_some() {
        // With injected time everything follows from the calls: also which of those that are due at once.
        script.push(", tenant, row_kind, row_id, child");
    }
    script.limit(request.limit);
    script.push(match engine {
        Engine::Postgres => " FOR UPDATE SKIP LOCKED",
        Engine::Compatible => " FOR UPDATE",
    });
    script
        .push(") UPDATE paymux_jobs j SET epoch = j.epoch + 1, due = ")
        .now(now);
    script.push(" + ").number(Some(millis(request.lease)));
    script.push(
        " FROM due d WHERE j.tenant = d.tenant AND j.queue = d.queue AND j.row_kind = d.row_kind \
         AND j.row_id = d.row_id AND j.child = d.child \
         RETURNING d.due, j.tenant, j.row_kind, j.row_id, j.child, j.epoch, ",
    );
    script.now(now).push(" - j.put_at");
}

pub(super) fn count_due(script: &mut Script, queue: Queue, now: Option<i64>) {
    script.push("SELECT count(*), min(due) FROM paymux_jobs WHERE queue = ");
    script.text(queue.as_str()).push(" AND due <= ").now(now);
}

pub(super) fn count_scheduled(script: &mut Script, queue: Queue) {
    script
        .push("SELECT count(*) FROM paymux_jobs WHERE queue = ")
        .text(queue.as_str());
}

pub(super) fn count_attention(script: &mut Script) {
    script.push("SELECT tenant, count(*) FROM paymux_rows WHERE attention <> 'none' GROUP BY tenant");
}
