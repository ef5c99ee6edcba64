//! Reads: one statement each, on a connection that can't write.

use std::collections::BTreeMap;

use paymux_core::Tenant;
use paymux_core::store::*;

use super::Inner;
use super::error::Failure;
use super::gate::owner;
use super::script::{Script, tenant_text};
use crate::columns::Columns;

const ROW: &str = "SELECT kind, id, version, schema, status, customer, reference, parent_kind, parent_id, attention, \
                   attention_since, created_at, updated_at, body FROM paymux_rows WHERE tenant = ? AND ";

/// At most this many keys in one statement.
const CHUNK: usize = 500;

pub(super) async fn load(
    inner: &Inner,
    tenant: &Tenant,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>, Failure> {
    let mut reader = inner.connections.reader().await?;
    let mut found = BTreeMap::new();
    for keys in keys.chunks(CHUNK) {
        for row in rows(tenant, keys).all(reader.conn()?).await? {
            let row = Columns::of(&row).row()?;
            found.insert(row.key, row);
        }
    }
    // A key may be asked for twice.
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

pub(super) fn rows(tenant: &Tenant, keys: &[RowKey]) -> Script {
    let mut script = Script::new(ROW);
    script.tenant(&tenant_text(tenant));
    match keys {
        [key] => script.push("kind = ? AND id = ?").key(*key),
        _ => script
            .push("(kind, id) IN (VALUES ")
            .list(keys, ", ", |script, key| {
                script.push("(?, ?)").key(*key);
            })
            .push(")"),
    };
    script
}

pub(super) async fn lookup(
    inner: &Inner,
    tenant: &Tenant,
    key: &UniqueKey,
) -> Result<Option<Unique>, Failure> {
    let found = unique(tenant, key)
        .first(inner.connections.reader().await?.conn()?)
        .await?;
    found.map(|row| Columns::of(&row).unique(key)).transpose()
}

pub(super) fn unique(tenant: &Tenant, key: &UniqueKey) -> Script {
    let tenant = tenant_text(tenant);
    let mut script = Script::new(
        "SELECT target_kind, target_id, bytes, expires_at FROM paymux_uniques \
         WHERE owner = ? AND scope = ? AND name = ? AND tenant = ?",
    );
    script
        .tenant(&owner(key, &tenant))
        .text(key.scope.as_str())
        .text(&key.name);
    script.tenant(&tenant);
    script
}

pub(super) async fn locate(inner: &Inner, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, Failure> {
    if !key.is_global() {
        return Ok(None);
    }
    let found = anyones(key)
        .first(inner.connections.reader().await?.conn()?)
        .await?;
    found.map_or(Ok(None), |row| Columns::of(&row).target())
}

pub(super) fn anyones(key: &UniqueKey) -> Script {
    let mut script = Script::new(
        "SELECT tenant, target_kind, target_id FROM paymux_uniques WHERE owner = '' AND scope = ? AND name = ?",
    );
    script.text(key.scope.as_str()).text(&key.name);
    script
}

pub(super) async fn find(inner: &Inner, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, Failure> {
    let rows = matching(tenant, query)
        .all(inner.connections.reader().await?.conn()?)
        .await?;
    rows.iter().map(|row| Columns::of(row).row()).collect()
}

/// Only the filters that are given stand in the text, so that SQLite sees which index serves them.
pub(super) fn matching(tenant: &Tenant, query: &Query) -> Script {
    let mut script = Script::new(ROW);
    script.tenant(&tenant_text(tenant));
    script.push("kind = ?").text(query.kind.as_str());
    if !query.statuses.is_empty() {
        script
            .push(" AND status IN (")
            .list(&query.statuses, ", ", |script, status| {
                script.push("?").text(status);
            });
        script.push(")");
    }
    if let Some(customer) = &query.customer {
        script.push(" AND customer = ?").text(customer);
    }
    if let Some(reference) = &query.reference {
        script.push(" AND reference = ?").text(reference);
    }
    if let Some(parent) = query.parent {
        script.push(" AND parent_kind = ? AND parent_id = ?").key(parent);
    }
    if !query.attention.is_empty() {
        if !query.attention.contains(&Attention::None) {
            // Says that the partial index covers it.
            script.push(" AND attention <> 'none'");
        }
        script
            .push(" AND attention IN (")
            .list(&query.attention, ", ", |script, attention| {
                script.push("?").text(attention.as_str());
            });
        script.push(")");
    }
    if let Some(from) = query.created_from {
        script.push(" AND created_at >= ?").time(Some(from));
    }
    if let Some(before) = query.created_before {
        script.push(" AND created_at < ?").time(Some(before));
    }
    let (beyond, order) = match query.order {
        Order::NewestFirst => (" AND id < ?", " ORDER BY id DESC LIMIT ?"),
        Order::OldestFirst => (" AND id > ?", " ORDER BY id LIMIT ?"),
    };
    if let Some(after) = query.after {
        script.push(beyond).uuid(after);
    }
    script.push(order).bind(i64::from(query.limit));
    script
}

pub(super) async fn events(
    inner: &Inner,
    tenant: &Tenant,
    row: RowKey,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredEvent>, Failure> {
    let script = sequence(tenant, row, from, limit);
    let rows = script.all(inner.connections.reader().await?.conn()?).await?;
    rows.iter().map(|event| Columns::of(event).event(row)).collect()
}

pub(super) fn sequence(tenant: &Tenant, row: RowKey, from: u64, limit: u32) -> Script {
    let mut script = Script::new(
        "SELECT id, sequence, at, kind, schema, body FROM paymux_events \
         WHERE tenant = ? AND row_kind = ? AND row_id = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
    );
    script.tenant(&tenant_text(tenant)).key(row);
    script.number(from.min(i64::MAX as u64)).bind(i64::from(limit));
    script
}
