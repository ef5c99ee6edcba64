//! The host's own rows and a payment's in one transaction, and what triggers of the host's do to a commit.

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::PostgresStore;

use crate::database::{Database, run};
use crate::sample::{Sample, drop_after, not_committed};
use crate::sqlx::{self, AssertSqlSafe, Connection, PgConnection, PgPool};

/// A store, a pool of the host's own on the same database, and the schema of both, with a table of orders.
async fn host(database: &Database) -> (PostgresStore, PgPool, String) {
    let schema = database.schema();
    let store = database.options_in(&schema).open().await.unwrap();
    let pool = PgPool::connect(database.url()).await.unwrap();
    database
        .run(&format!("CREATE TABLE \"{schema}\".orders (id TEXT PRIMARY KEY)"))
        .await;
    (store, pool, schema)
}

async fn order(conn: &mut PgConnection, schema: &str, id: &str) {
    run(
        conn,
        &format!("INSERT INTO \"{schema}\".orders (id) VALUES ('{id}')"),
    )
    .await;
}

async fn orders(pool: &PgPool, schema: &str) -> Vec<String> {
    let ids = AssertSqlSafe(format!("SELECT id FROM \"{schema}\".orders ORDER BY id"));
    sqlx::query_scalar(ids).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn an_order_and_its_payment_are_written_together_or_not_at_all() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    for (seed, commits) in [(1, false), (2, true)] {
        let sample = Sample::new(seed);
        let mut transaction = pool.begin().await.unwrap();
        order(&mut transaction, &schema, "o").await;
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
        assert_eq!(orders(&pool, &schema).await.len(), usize::from(commits));
    }
}

#[tokio::test]
async fn a_refusal_takes_back_the_batch_alone() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    let taken = Sample::new(1);
    store.commit(&taken.tenant, &taken.batch).await.unwrap();

    let mut transaction = pool.begin().await.unwrap();
    order(&mut transaction, &schema, "before").await;
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
    order(&mut transaction, &schema, "after").await;
    transaction.commit().await.unwrap();

    assert_eq!(orders(&pool, &schema).await, ["after", "before"]);
    assert!(good.is_there(&store).await);
    assert!(!refused.is_there(&store).await);
    assert!(!late.is_there(&store).await);
}

#[tokio::test]
async fn a_row_that_came_while_the_batch_waited_is_a_conflict_and_the_transaction_goes_on() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    let (first, second) = (Sample::new(1), Sample::new(2));
    let mut clash = second.clone();
    clash.batch.uniques = first.batch.uniques.clone();
    let mut ahead = pool.begin().await.unwrap();
    store.commit_in(&mut ahead, &first.planned()).await.unwrap();

    let mut behind = pool.begin().await.unwrap();
    order(&mut behind, &schema, "o").await;
    // It waits for the unique that the other transaction has written and not committed.
    let waiting = async { store.commit_in(&mut behind, &clash.planned()).await };
    let (refused, committed) = tokio::join!(waiting, async {
        tokio::task::yield_now().await;
        ahead.commit().await
    });
    committed.unwrap();
    let error = refused.unwrap_err();
    assert!(
        matches!(error, CommitError::Conflict(Refusal::Unique(_))),
        "{error:?}"
    );
    store.commit_in(&mut behind, &second.planned()).await.unwrap();
    behind.commit().await.unwrap();
    assert_eq!(orders(&pool, &schema).await, ["o"]);
    assert!(second.is_there(&store).await);
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_of_the_batch_in_the_hosts_transaction() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    let mut kept = 0;
    for polls in 0..200 {
        let (sample, next) = (Sample::new(2 * polls), Sample::new(2 * polls + 1));
        let mut transaction = pool.begin().await.unwrap();
        let plan = sample.planned();
        order(&mut transaction, &schema, &format!("o-{polls}")).await;
        let done = drop_after(polls, store.commit_in(&mut transaction, &plan)).await;
        let after = format!("INSERT INTO \"{schema}\".orders (id) VALUES ('p-{polls}')");
        let wrote = sqlx::raw_sql(AssertSqlSafe(after))
            .execute(&mut *transaction)
            .await;
        let went_on = wrote.is_ok() && store.commit_in(&mut transaction, &next.planned()).await.is_ok();
        // Dropped in its very last step it spoils the whole transaction, which then writes nothing.
        let ended = transaction.commit().await.is_ok() && went_on;
        let there = sample.is_there(&store).await;
        assert_eq!(next.is_there(&store).await, ended, "poll {polls}");
        let expected = kept + 2 * usize::from(ended);
        assert_eq!(orders(&pool, &schema).await.len(), expected, "poll {polls}");
        kept += 2 * usize::from(ended);
        if let Some(committed) = done {
            committed.unwrap();
            assert!(there && polls > 0 && kept > 4);
            return;
        }
        assert!(!there, "dropped at poll {polls}");
    }
    panic!("never done");
}

#[tokio::test]
async fn without_a_transaction_it_is_refused() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, _schema) = host(&database).await;
    let sample = Sample::new(1);
    let mut conn = pool.acquire().await.unwrap();
    let error = not_committed(store.commit_in(&mut conn, &sample.planned()).await);
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    assert!(error.to_string().contains("begin()"), "{error}");
    assert!(!sample.is_there(&store).await);
}

#[tokio::test]
async fn a_stricter_transaction_that_read_too_early_is_told_so() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    let sample = Sample::new(1);
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
    let mut transaction = pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    order(&mut transaction, &schema, "o").await;
    store.commit(&sample.tenant, &sample.next(2)).await.unwrap();
    let late = Planned::new(sample.tenant.clone(), sample.next(3), ());
    let error = not_committed(store.commit_in(&mut transaction, &late).await);
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_write_that_fails_midway_leaves_nothing() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, _pool, schema) = host(&database).await;
    database
        .run(&format!(
            "ALTER TABLE \"{schema}\".paymux_events ADD CONSTRAINT refuse CHECK (kind <> 'intent.created')"
        ))
        .await;
    let sample = Sample::new(1);
    let error = store.commit(&sample.tenant, &sample.batch).await.unwrap_err();
    assert!(matches!(error, CommitError::NotCommitted(_)), "{error:?}");
    assert!(!sample.is_there(&store).await);
    let resolved = store
        .resolve(&sample.tenant, Sample::new(2).batch.commit_id)
        .await
        .unwrap();
    assert_eq!(resolved, Resolved::Absent);

    database
        .run(&format!(
            "ALTER TABLE \"{schema}\".paymux_events DROP CONSTRAINT refuse"
        ))
        .await;
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
    assert!(sample.is_there(&store).await);
}

#[tokio::test]
async fn a_dropped_commit_is_done_as_a_whole_or_not_at_all_and_holds_no_lock() {
    let Some(database) = Database::find().await else {
        return;
    };
    let (store, pool, schema) = host(&database).await;
    for polls in 0..200 {
        let sample = Sample::new(polls);
        let done = drop_after(polls, store.commit(&sample.tenant, &sample.batch)).await;
        let mut conn = pool.acquire().await.unwrap();
        let mut transaction = conn.begin().await.unwrap();
        run(
            &mut transaction,
            &format!("SET LOCAL lock_timeout = '5s'; LOCK TABLE \"{schema}\".paymux_rows IN EXCLUSIVE MODE"),
        )
        .await;
        transaction.rollback().await.unwrap();
        let resolved = store
            .resolve(&sample.tenant, sample.batch.commit_id)
            .await
            .unwrap();
        assert_eq!(
            sample.is_there(&store).await,
            matches!(resolved, Resolved::Committed(_))
        );
        if done.is_some() {
            assert!(polls > 0);
            return;
        }
    }
    panic!("never done");
}
