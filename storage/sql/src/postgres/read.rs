//! Reads: one statement each.

use std::collections::BTreeMap;

use paymux_core::Tenant;
use paymux_core::store::*;

use super::Inner;
use super::error::Failure;
use super::gate::owner;
use super::script::{Listed, Script, tenant_text};
use crate::columns::Columns;

const ROW: &str = "SELECT r.kind, r.id, r.version, r.schema, r.status, r.customer, r.reference, r.parent_kind, \
                   r.parent_id, r.attention, r.attention_since, r.created_at, r.updated_at, r.body FROM paymux_rows r ";

pub(super) async fn load(
    inner: &Inner,
    tenant: &Tenant,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // A key may be asked for twice.
    let mut asked = keys.to_vec();
    asked.sort_unstable();
    asked.dedup();
    let mut found = BTreeMap::new();
    for row in inner
        .connections
        .run(|script| rows(script, tenant, &asked))
        .await?
    {
        let row = Columns::of(&row).row()?;
        found.insert(row.key, row);
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

pub(super) fn rows(script: &mut Script, tenant: &Tenant, keys: &[RowKey]) {
    script.push("SELECT r.* FROM ");
    Listed::new(script, keys.len())
        .rows(["kind", "id"], keys.iter().map(|key| Some(*key)))
        .end();
    script.push(" AS a CROSS JOIN LATERAL (").push(ROW);
    script
        .push("WHERE r.version > 0 AND r.kind = a.kind AND r.id = a.id AND r.tenant = ")
        .text(&tenant_text(tenant));
    script.push(" OFFSET 0) AS r");
}

pub(super) async fn lookup(
    inner: &Inner,
    tenant: &Tenant,
    key: &UniqueKey,
) -> Result<Option<Unique>, Failure> {
    let found = inner
        .connections
        .run(|script| unique(script, tenant, key))
        .await?;
    let found = found.first();
    found.map(|row| Columns::of(row).unique(key)).transpose()
}

pub(super) fn unique(script: &mut Script, tenant: &Tenant, key: &UniqueKey) {
    let tenant = tenant_text(tenant);
    script.push("SELECT target_kind, target_id, bytes, expires_at FROM paymux_uniques WHERE owner = ");
    script
        .text(owner(key, &tenant))
        .push(" AND scope = ")
        .text(key.scope.as_str());
    script
        .push(" AND name = ")
        .text(&key.name)
        .push(" AND tenant = ")
        .text(&tenant);
}

pub(super) async fn locate(inner: &Inner, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, Failure> {
    if !key.is_global() {
        return Ok(None);
    }
    let found = inner.connections.run(|script| anyones(script, key)).await?;
    let found = found.first();
    found.map_or(Ok(None), |row| Columns::of(row).target())
}

pub(super) fn anyones(script: &mut Script, key: &UniqueKey) {
    script.push("SELECT tenant, target_kind, target_id FROM paymux_uniques WHERE owner = '' AND scope = ");
    script
        .text(key.scope.as_str())
        .push(" AND name = ")
        .text(&key.name);
}

pub(super) async fn find(inner: &Inner, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, Failure> {
    let rows = inner
        .connections
        .run(|script| matching(script, tenant, query))
        .await?;
    rows.iter().map(|row| Columns::of(row).row()).collect()
}

/// Only the filters that are given stand in the text, so that PostgreSQL sees which index serves them.
pub(super) fn matching(script: &mut Script, tenant: &Tenant, query: &Query) {
    script
        .push(ROW)
        .push("WHERE version > 0 AND tenant = ")
        .text(&tenant_text(tenant));
    script.push(" AND kind = ").text(query.kind.as_str());
    let statuses: Vec<&str> = query.statuses.iter().map(String::as_str).collect();
    one_of(script, "status", &statuses);
    if let Some(customer) = &query.customer {
        script.push(" AND customer = ").text(customer);
    }
    if let Some(reference) = &query.reference {
        script.push(" AND reference = ").text(reference);
    }
    if let Some(parent) = query.parent {
        script.push(" AND parent_kind = ").text(parent.kind.as_str());
        script.push(" AND parent_id = ").uuid(parent.id);
    }
    if !query.attention.is_empty() && !query.attention.contains(&Attention::None) {
        // Says that the partial index covers it.
        script.push(" AND attention <> 'none'");
    }
    let attention: Vec<&str> = query.attention.iter().map(|reason| reason.as_str()).collect();
    one_of(script, "attention", &attention);
    if let Some(from) = query.created_from {
        script.push(" AND created_at >= ").time(from);
    }
    if let Some(before) = query.created_before {
        script.push(" AND created_at < ").time(before);
    }
    let (beyond, order) = match query.order {
        Order::NewestFirst => (" AND id < ", " ORDER BY id DESC"),
        Order::OldestFirst => (" AND id > ", " ORDER BY id"),
    };
    if let Some(after) = query.after {
        script.push(beyond).uuid(after);
    }
    script.push(order).limit(query.limit);
}

/// A single word is compared by itself: an index then gives its rows in order.
fn one_of(script: &mut Script, column: &str, words: &[&str]) {
    match words {
        [] => {}
        [word] => {
            script.push(" AND ").push(column).push(" = ").text(word);
        }
        words => {
            script.push(" AND ").push(column).push(" = ANY(");
            script.texts(words.iter().map(|word| Some((*word).to_owned())).collect());
            script.push(")");
        }
    }
}

pub(super) async fn events(
    inner: &Inner,
    tenant: &Tenant,
    row: RowKey,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredEvent>, Failure> {
    let rows = inner
        .connections
        .run(|script| sequence(script, tenant, row, from, limit))
        .await?;
    rows.iter().map(|event| Columns::of(event).event(row)).collect()
}

pub(super) fn sequence(script: &mut Script, tenant: &Tenant, row: RowKey, from: u64, limit: u32) {
    script.push("SELECT id, sequence, at, kind, schema, body FROM paymux_events WHERE tenant = ");
    script
        .text(&tenant_text(tenant))
        .push(" AND row_kind = ")
        .text(row.kind.as_str());
    script.push(" AND row_id = ").uuid(row.id);
    script
        .push(" AND sequence >= ")
        .number(Some(i64::try_from(from).unwrap_or(i64::MAX)));
    script.push(" ORDER BY sequence").limit(limit);
}
