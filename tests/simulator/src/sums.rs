//! Whether each row is what its events add up to, from the first to the last.

use std::fmt::Debug;

use paymux_core::machines::{intent, refund, session};
use paymux_core::store::{Query, Row, RowKind, StoredEvent};
use paymux_core::{Store, Tenant};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The part of a row's body that events make.
#[derive(Deserialize)]
struct Body<S> {
    state: S,
}

/// The rows of a tenant that aren't the sum of their events: each with why.
pub(crate) async fn wrong(disk: &dyn Store, tenant: &Tenant) -> Vec<String> {
    let mut wrong = Vec::new();
    for kind in [RowKind::Intent, RowKind::Refund, RowKind::Session] {
        for row in rows(disk, tenant, kind).await {
            let events = events(disk, tenant, &row).await;
            let summed = match kind {
                RowKind::Intent => sum(&row, &events, intent::fold),
                RowKind::Refund => sum(&row, &events, refund::fold),
                RowKind::Session
                | RowKind::Notice
                | RowKind::Evidence
                | RowKind::Program
                | RowKind::Health
                | RowKind::Card => sum(&row, &events, session::fold),
            };
            wrong.extend(summed.err().map(|why| format!("{:?} {why}", row.key)));
        }
    }
    wrong
}

fn sum<S, E>(
    row: &Row,
    events: &[StoredEvent],
    fold: impl Fn(Option<S>, &[E]) -> Option<S>,
) -> Result<(), String>
where
    S: DeserializeOwned + PartialEq + Debug,
    E: DeserializeOwned,
{
    let kept: Body<S> =
        serde_json::from_slice(&row.body).map_err(|error| format!("can't be read: {error}"))?;
    let read = |event: &StoredEvent| serde_json::from_slice(&event.body);
    let read: Result<Vec<E>, _> = events.iter().map(read).collect();
    let events = read.map_err(|error| format!("has an event that can't be read: {error}"))?;
    match fold(None, &events) {
        Some(state) if state == kept.state => Ok(()),
        other => Err(format!(
            "is {:?}, and its {} events make {other:?}",
            kept.state,
            events.len()
        )),
    }
}

async fn rows(disk: &dyn Store, tenant: &Tenant, kind: RowKind) -> Vec<Row> {
    let query = Query {
        limit: u32::from(u16::MAX),
        ..Query::of(kind)
    };
    disk.find(tenant, &query)
        .await
        .expect("it is up when all is at rest")
}

async fn events(disk: &dyn Store, tenant: &Tenant, row: &Row) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    loop {
        let from = all.last().map_or(1, |event| event.sequence + 1);
        let page = disk.events(tenant, row.key, from, 1_000).await;
        let page = page.expect("it is up when all is at rest");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
