//! The tables, and how a file gets them.

use paymux_core::store::{StoreError, StoreErrorKind};
use sqlx::{Row as _, SqliteConnection};

use super::error::Failure;

/// One for each schema version, from 1 on. A released one is never changed.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001_initial.sql")];

/// Brings a file up to this release's schema; a file that is there already isn't written.
pub(super) async fn migrate(conn: &mut SqliteConnection) -> Result<(), Failure> {
    if version(conn).await? == MIGRATIONS.len() {
        return Ok(());
    }
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    let migrated = migrate_in(conn).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(&mut *conn).await;
    migrated?;
    ended?;
    Ok(())
}

/// Looks again, since another process may have been first.
async fn migrate_in(conn: &mut SqliteConnection) -> Result<(), Failure> {
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS paymux_schema (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
    )
    .execute(&mut *conn)
    .await?;
    let applied = version(conn).await?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        sqlx::raw_sql(*migration).execute(&mut *conn).await?;
        sqlx::query("INSERT INTO paymux_schema (version, applied_at) VALUES (?, unixepoch() * 1000)")
            .bind(index as i64 + 1)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The file's schema version; 0 before the first.
async fn version(conn: &mut SqliteConnection) -> Result<usize, Failure> {
    let known = MIGRATIONS.len();
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'paymux_schema'";
    if sqlx::query(table).fetch_optional(&mut *conn).await?.is_none() {
        return Ok(0);
    }
    let row = sqlx::query("SELECT ifnull(max(version), 0) FROM paymux_schema")
        .fetch_one(&mut *conn)
        .await?;
    let found: i64 = row.try_get(0)?;
    match usize::try_from(found) {
        Ok(version) if version <= known => Ok(version),
        Ok(_) | Err(_) => Err(StoreError::new(
            StoreErrorKind::NewerSchema,
            format!(
                "the file has schema version {found}, and this release of paymux-sql knows versions up to {known}: \
                 use the release that wrote it, or a newer one"
            ),
        )
        .into()),
    }
}
