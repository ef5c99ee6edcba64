//! The tables, and how a database gets them while others use it.

use std::time::Duration;

use paymux_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{Failure, Fate};
use super::open::Engine;

/// A step from one schema version to the next. A released one is never changed.
struct Migration {
    sql: &'static str,
    /// The oldest schema version whose releases may go on using the database after this: its own, unless it only
    /// adds what they needn't know of.
    readable_by: i64,
}

/// One for each schema version, from 1 on.
const MIGRATIONS: &[Migration] = &[Migration {
    sql: include_str!("../../migrations/postgres/0001_initial.sql"),
    readable_by: 1,
}];

/// The first half of the advisory lock's name; the other is the schema's hash.
const LOCK: i32 = 0x7061_796d;

/// How often a migration is begun again that met another's.
const TRIES: u32 = 10;

/// Brings `schema` up to this release's version, in one transaction of the simple protocol: it can go through a
/// pooler, and a crash leaves all of it or none. What is there already isn't written.
pub(super) async fn migrate(
    conn: &mut PgConnection,
    schema: &str,
    engine: Engine,
    patience: Duration,
) -> Result<(), Failure> {
    if version(conn, schema).await?.is_some_and(is_known) {
        return Ok(());
    }
    let mut tries = 1;
    loop {
        run(conn, "BEGIN").await?;
        let migrated = migrate_in(conn, schema, engine, patience).await;
        let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = run(conn, end).await;
        match migrated.and(ended.map(drop)) {
            Err(failure) if failure.fate() == Fate::Again && tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

async fn migrate_in(
    conn: &mut PgConnection,
    schema: &str,
    engine: Engine,
    patience: Duration,
) -> Result<(), Failure> {
    run(
        conn,
        &format!("SET LOCAL lock_timeout = '{}ms'", patience.as_millis()),
    )
    .await?;
    if engine == Engine::Postgres {
        run(
            conn,
            &format!("SELECT pg_advisory_xact_lock({LOCK}, hashtext('{schema}'))"),
        )
        .await?;
    }
    let there = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = '{schema}'");
    if run(conn, &there).await?.is_empty() {
        run(conn, &format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await?;
    }
    run(conn, &format!("SET LOCAL search_path TO \"{schema}\"")).await?;
    run(
        conn,
        "CREATE TABLE IF NOT EXISTS paymux_schema \
         (version BIGINT PRIMARY KEY, readable_by BIGINT NOT NULL, applied_at BIGINT NOT NULL)",
    )
    .await?;
    if engine == Engine::Compatible {
        // Whoever writes this row first goes on; others wait for its transaction, and then find it.
        run(
            conn,
            "INSERT INTO paymux_schema (version, readable_by, applied_at) VALUES (0, 0, 0) ON CONFLICT DO NOTHING",
        )
        .await?;
        run(conn, "SELECT 1 FROM paymux_schema WHERE version = 0 FOR UPDATE").await?;
    }
    // Looks again, since another instance may have been first.
    let applied = version(conn, schema).await?.unwrap_or(0);
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let number = index as i64 + 1;
        if number <= applied {
            continue;
        }
        match engine {
            Engine::Postgres => run(conn, migration.sql).await?,
            Engine::Compatible => run(conn, &migration.sql.replace("COLLATE \"C\"", "")).await?,
        };
        let readable_by = migration.readable_by;
        run(
            conn,
            &format!(
                "INSERT INTO paymux_schema (version, readable_by, applied_at) VALUES ({number}, {readable_by}, \
                 CAST(floor(extract(epoch FROM statement_timestamp()) * 1000) AS BIGINT))"
            ),
        )
        .await?;
    }
    Ok(())
}

fn is_known(version: i64) -> bool {
    version >= MIGRATIONS.len() as i64
}

/// The schema version of the tables; none before the first.
async fn version(conn: &mut PgConnection, schema: &str) -> Result<Option<i64>, Failure> {
    let table = format!(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = 'paymux_schema'"
    );
    if run(conn, &table).await?.is_empty() {
        return Ok(None);
    }
    let last =
        format!("SELECT version, readable_by FROM \"{schema}\".paymux_schema ORDER BY version DESC LIMIT 1");
    let rows = run(conn, &last).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (found, readable_by): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let known = MIGRATIONS.len() as i64;
    if found <= known || readable_by <= known {
        return Ok(Some(found));
    }
    Err(StoreError::new(
        StoreErrorKind::NewerSchema,
        format!(
            "the tables have schema version {found}, which releases that know versions from {readable_by} on can use, \
             and this release of paymux-sql knows versions up to {known}: use the release that wrote it, or a newer one"
        ),
    )
    .into())
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>, Failure> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(conn)
        .await?)
}
