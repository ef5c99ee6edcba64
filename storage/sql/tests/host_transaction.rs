//! The host's own rows and a payment's in one transaction, and what triggers of the host's do to a commit.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod sample;

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::SqliteStore;
use paymux_sql::sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use paymux_sql::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use tempfile::{TempDir, tempdir};

use crate::sample::{Sample, drop_after, not_committed, unknown};

/// A store, and a pool of the host's own on the same file, with a table of orders.
async fn host() -> (TempDir, SqliteStore, SqlitePool) {
    let folder = tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("host.db")).await.unwrap();
    let pool = SqlitePoolOptions::new()
        .connect_with(store.connect_options())
        .await
        .unwrap();
    sqlx::query("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    (folder, store, pool)
}

async fn order(conn: &mut SqliteConnection, id: &str) {
    sqlx::query("INSERT INTO orders (id) VALUES (?)")
        .bind(id)
        .execute(conn)
        .await
        .unwrap();
}

async fn orders(pool: &SqlitePool) -> Vec<String> {
    let ids = sqlx::query_scalar("SELECT id FROM orders ORDER BY id");
    ids.fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn an_order_and_its_payment_are_written_together_or_not_at_all() {
    let (_folder, store, pool) = host().await;
    for (seed, commits) in [(1, false), (2, true)] {
        let sample = Sample::new(seed);
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        order(&mut transaction, "o").await;
        let receipt = store
            .commit_in(&mut transaction, &sample.planned())
            .await
            .unwrap();
        assert!(!sample.is_there(&store).await, "seen before the host's commit");
        if commits {
            transaction.commit().await.unwrap();
            let resolved = store.resolve(&sample.tenant, receipt.commit_id).await.unwrap();
            assert_eq!(resolved, Resolved::Committed(receipt));
        } else {
            transaction.rollback().await.unwrap();
        }
        assert_eq!(sample.is_there(&store).await, commits);
        assert_eq!(orders(&pool).await.len(), usize::from(commits));
    }
}

#[tokio::test]
async fn a_refusal_takes_back_the_batch_alone() {
    let (_folder, store, pool) = host().await;
    let taken = Sample::new(1);
    store.commit(&taken.tenant, &taken.batch).await.unwrap();

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    order(&mut transaction, "before").await;
    let mut refused = Sample::new(2);
    refused.batch.preconditions.push(Precondition::Absent(taken.key));
    match store.commit_in(&mut transaction, &refused.planned()).await {
        Err(CommitError::Conflict(Refusal::Row(key))) => assert_eq!(key, taken.key),
        other => panic!("{other:?}"),
    }
    let mut late = Sample::new(3);
    late.batch.uniques.push(taken.batch.uniques[0].clone());
    let error = store
        .commit_in(&mut transaction, &late.planned())
        .await
        .unwrap_err();
    assert!(
        matches!(error, CommitError::Conflict(Refusal::Unique(_))),
        "{error:?}"
    );
    let good = Sample::new(4);
    store.commit_in(&mut transaction, &good.planned()).await.unwrap();
    order(&mut transaction, "after").await;
    transaction.commit().await.unwrap();

    assert_eq!(orders(&pool).await, ["after", "before"]);
    assert!(good.is_there(&store).await);
    assert!(!refused.is_there(&store).await);
    assert!(!late.is_there(&store).await);
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_of_the_batch_in_the_hosts_transaction() {
    let (_folder, store, pool) = host().await;
    for polls in 0.. {
        let (sample, next) = (Sample::new(2 * polls), Sample::new(2 * polls + 1));
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let plan = sample.planned();
        let done = drop_after(polls, store.commit_in(&mut transaction, &plan)).await;
        store.commit_in(&mut transaction, &next.planned()).await.unwrap();
        transaction.commit().await.unwrap();
        assert!(next.is_there(&store).await);
        let there = sample.is_there(&store).await;
        if let Some(committed) = done {
            committed.unwrap();
            assert!(there && polls > 0);
            return;
        }
    }
}

#[tokio::test]
async fn without_a_transaction_it_is_refused() {
    let (_folder, store, pool) = host().await;
    let sample = Sample::new(1);
    let mut conn = pool.acquire().await.unwrap();
    let error = not_committed(store.commit_in(&mut conn, &sample.planned()).await);
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    assert!(!sample.is_there(&store).await);
}

#[tokio::test]
async fn a_transaction_that_read_too_early_is_told_so() {
    let (_folder, store, pool) = host().await;
    let (early, other) = (Sample::new(1), Sample::new(2));
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("SELECT * FROM orders")
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    store.commit(&other.tenant, &other.batch).await.unwrap();
    let error = not_committed(store.commit_in(&mut transaction, &early.planned()).await);
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
}

/// A connection of the host's own, to add a trigger with.
async fn with_trigger(store: &SqliteStore, sql: &'static str) -> SqliteConnection {
    let mut conn = store.connect_options().connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn
}

#[tokio::test]
async fn a_write_that_fails_midway_leaves_nothing() {
    let (_folder, store, _pool) = host().await;
    let mut conn = with_trigger(
        &store,
        "CREATE TRIGGER refuse BEFORE INSERT ON paymux_events BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    .await;
    let sample = Sample::new(1);
    let error = store.commit(&sample.tenant, &sample.batch).await.unwrap_err();
    assert!(matches!(error, CommitError::NotCommitted(_)), "{error:?}");
    assert!(!sample.is_there(&store).await);

    sqlx::raw_sql("DROP TRIGGER refuse")
        .execute(&mut conn)
        .await
        .unwrap();
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
    assert!(sample.is_there(&store).await);
}

#[tokio::test]
async fn a_failing_commit_is_unknown_until_it_is_resolved() {
    let (_folder, store, _pool) = host().await;
    // A deferred foreign key is checked by COMMIT itself.
    let mut conn = with_trigger(
        &store,
        "CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER orphan AFTER INSERT ON paymux_events BEGIN INSERT INTO children VALUES (1); END",
    )
    .await;
    let mut sample = Sample::new(1);
    let committed = store.commit(&sample.tenant, &sample.batch).await;
    assert_eq!(unknown(committed), sample.batch.commit_id);
    sqlx::raw_sql("DROP TRIGGER orphan")
        .execute(&mut conn)
        .await
        .unwrap();
    let resolved = store
        .resolve(&sample.tenant, sample.batch.commit_id)
        .await
        .unwrap();
    assert_eq!(resolved, Resolved::Absent);
    assert!(!sample.is_there(&store).await);
    store.commit(&sample.tenant, &sample.batch).await.unwrap_err();
    sample.batch.commit_id = Sample::new(2).batch.commit_id;
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
    assert!(sample.is_there(&store).await);
}

#[tokio::test]
async fn a_dropped_commit_holds_no_lock() {
    let (_folder, store, pool) = host().await;
    for polls in 0.. {
        let sample = Sample::new(polls);
        let done = drop_after(polls, store.commit(&sample.tenant, &sample.batch)).await;
        // The host's own writer gets the lock, although the store isn't called again.
        let mut conn = pool.acquire().await.unwrap();
        let transaction = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
        transaction.rollback().await.unwrap();
        if done.is_some() {
            assert!(polls > 0);
            return;
        }
    }
}

#[tokio::test]
async fn a_row_that_somebody_has_broken_is_corrupt() {
    let (_folder, store, pool) = host().await;
    let sample = Sample::new(1);
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
    for broken in [
        "parent_kind = 'intent', parent_id = NULL",
        "parent_kind = 'intent', parent_id = x'01'",
        "parent_kind = 'nothing', parent_id = id",
        "version = -1",
    ] {
        let sql = AssertSqlSafe(format!("UPDATE paymux_rows SET {broken}"));
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        let error = store.load(&sample.tenant, &[sample.key]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{broken}: {error}");
    }
}
