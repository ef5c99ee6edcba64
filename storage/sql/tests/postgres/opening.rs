//! Opening a database: what is wrong is said, with its remedy.

use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::{StoreError, StoreErrorKind};
use paymux_sql::{Engine, PostgresOptions, PostgresStore, Statements};

use crate::database::Database;
use crate::sample::{Sample, not_committed};
use crate::sqlx::{self, AssertSqlSafe, PgConnection};

#[track_caller]
fn refused(opened: Result<PostgresStore, StoreError>, kind: StoreErrorKind, remedy: &str) {
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(remedy), "no `{remedy}` in: {error}");
}

/// The same server, with something in the URL replaced.
fn url(database: &Database, change: impl Fn(&mut String)) -> String {
    let mut url = database.url().to_owned();
    change(&mut url);
    url
}

#[tokio::test]
async fn what_cannot_be_read_or_reached_is_said() {
    refused(
        PostgresStore::open("not a url").await,
        StoreErrorKind::Missing,
        "postgres://user:password@host:port/database",
    );
    let closed = "postgres://postgres@127.0.0.1:1/test";
    refused(
        PostgresStore::open(closed).await,
        StoreErrorKind::Unavailable,
        "whether it runs",
    );
    let odd = PostgresOptions::new(closed).schema("a\"b").open().await;
    refused(odd, StoreErrorKind::Rejected, "lower case letters");
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let Some(database) = Database::find().await else {
        return;
    };
    let missing = url(&database, |url| url.push_str("_is_not_there"));
    refused(
        PostgresStore::open(&missing).await,
        StoreErrorKind::Missing,
        "no such database",
    );
}

#[tokio::test]
async fn a_password_is_never_shown() {
    let options = PostgresOptions::new("postgres://shop:hunter2@127.0.0.1:1/test");
    assert!(!format!("{options:?}").contains("hunter2"));
    let error = options.open().await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    let error = PostgresStore::open("postgres://shop:hunter2@[/test")
        .await
        .unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

/// A role of the test's own with a setting, which ends with it.
struct Role<'d> {
    database: &'d Database,
    name: String,
}

impl<'d> Role<'d> {
    async fn new(database: &'d Database, setting: &str) -> Self {
        let name = database.schema();
        database
            .run(&format!(
                "CREATE ROLE \"{name}\" LOGIN SUPERUSER; ALTER ROLE \"{name}\" SET {setting}"
            ))
            .await;
        Self { database, name }
    }

    fn options(&self) -> PostgresOptions {
        let (_, rest) = self.database.url().split_once('@').unwrap();
        PostgresOptions::new(&format!("postgres://{}@{rest}", self.name)).schema(self.database.schema())
    }

    async fn end(self) {
        let name = &self.name;
        self.database
            .run(&format!("DROP OWNED BY \"{name}\" CASCADE; DROP ROLE \"{name}\""))
            .await;
    }
}

#[tokio::test]
async fn what_would_not_keep_a_commit_is_refused() {
    let Some(database) = Database::find().await else {
        return;
    };
    let role = Role::new(&database, "synchronous_commit = off").await;
    refused(
        role.options().open().await,
        StoreErrorKind::Unavailable,
        "synchronous_commit is off",
    );
    role.end().await;
    let role = Role::new(&database, "default_transaction_read_only = on").await;
    refused(role.options().open().await, StoreErrorKind::ReadOnly, "primary");
    role.end().await;
    let role = Role::new(&database, "bytea_output = escape").await;
    role.options().open().await.unwrap();
    let inline = role.options().statements(Statements::Inline).open().await;
    refused(inline, StoreErrorKind::Unavailable, "bytea_output");
    role.end().await;
}

#[tokio::test]
async fn a_connection_that_became_asynchronous_later_commits_nothing() {
    let Some(database) = Database::find().await else {
        return;
    };
    let store = database.options().max_connections(1).open().await.unwrap();
    let mut conn = store.pool().acquire().await.unwrap();
    crate::database::run(&mut conn, "SET synchronous_commit = off").await;
    drop(conn);
    let sample = Sample::new(1);
    let error = not_committed(store.commit(&sample.tenant, &sample.batch).await);
    assert!(error.to_string().contains("synchronous_commit"), "{error}");
    let error = store
        .resolve(&sample.tenant, sample.batch.commit_id)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("synchronous_commit"), "{error}");
    let mut conn = store.pool().acquire().await.unwrap();
    crate::database::run(&mut conn, "SET synchronous_commit = on").await;
    drop(conn);
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
}

#[tokio::test]
async fn a_patience_that_postgresql_cannot_count_is_named() {
    let Some(database) = Database::find().await else {
        return;
    };
    for patience in [Duration::ZERO, Duration::MAX] {
        let opened = database.options().patience(patience).open().await;
        refused(opened, StoreErrorKind::Rejected, "can't be the patience");
    }
    let longest = Duration::from_millis(i32::MAX as u64);
    let _ = database.options().patience(longest).open().await.unwrap();
}

#[tokio::test]
async fn a_stricter_default_isolation_works() {
    let Some(database) = Database::find().await else {
        return;
    };
    for level in ["repeatable read", "serializable"] {
        let role = Role::new(&database, &format!("default_transaction_isolation = '{level}'")).await;
        let store = role.options().open().await.unwrap();
        let tasks: Vec<_> = (0..200)
            .map(|seed| {
                let (store, sample) = (store.clone(), Sample::new(seed));
                tokio::spawn(async move { store.commit(&sample.tenant, &sample.batch).await.unwrap() })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        store.pool().close().await;
        role.end().await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_named_unless_it_only_adds() {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    let options = database.options_in(&schema);
    let old = options.clone().open().await.unwrap();
    database
        .run(&format!(
            "ALTER TABLE \"{schema}\".paymux_rows ADD COLUMN more TEXT; \
             ALTER TABLE \"{schema}\".paymux_jobs ADD COLUMN more BIGINT NOT NULL DEFAULT 0; \
             INSERT INTO \"{schema}\".paymux_schema (version, readable_by, applied_at) VALUES (7, 1, 0)"
        ))
        .await;
    // One that runs goes on, and another one starts.
    let new = options.clone().open().await.unwrap();
    for (seed, store) in [(1, &old), (2, &new)] {
        let sample = Sample::new(seed);
        store.commit(&sample.tenant, &sample.batch).await.unwrap();
        assert!(sample.is_there(store).await);
    }
    database
        .run(&format!(
            "INSERT INTO \"{schema}\".paymux_schema (version, readable_by, applied_at) VALUES (8, 8, 0)"
        ))
        .await;
    let opened = options.clone().open().await;
    refused(opened, StoreErrorKind::NewerSchema, "schema version 8");
    refused(options.open().await, StoreErrorKind::NewerSchema, "up to 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_make_the_same_tables_at_once() {
    let Some(database) = Database::find().await else {
        return;
    };
    for engine in [Engine::Postgres, Engine::Compatible] {
        let options = PostgresOptions::new(database.url())
            .schema(database.schema())
            .engine(engine);
        let tasks: Vec<_> = (0..8)
            .map(|seed| {
                let options = options.clone();
                tokio::spawn(async move {
                    let store = options.open().await.unwrap();
                    let sample = Sample::new(seed);
                    store.commit(&sample.tenant, &sample.batch).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_migration_waits_for_another_of_the_same_schema() {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    let mut other: PgConnection = database.connect().await;
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock(1885436269, hashtext('{schema}'))");
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut other)
        .await
        .unwrap();
    let options = database.options_in(&schema);
    let opened = options.clone().patience(Duration::from_millis(300)).open().await;
    refused(opened, StoreErrorKind::Locked, "try again later");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    options.open().await.unwrap();
}

#[tokio::test]
async fn the_hosts_own_tables_may_be_there_first() {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    database
        .run(&format!(
            "CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".orders (id BIGINT PRIMARY KEY)"
        ))
        .await;
    for _ in 0..2 {
        database.options_in(&schema).open().await.unwrap();
    }
}
