//! Commits whose answer was lost, and what becomes of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::{PostgresOptions, PostgresStore, Statements};

use crate::database::{Database, run};
use crate::proxy::{Fault, Proxy};
use crate::sample::{Sample, not_committed, unknown};
use crate::sqlx::{self, AssertSqlSafe, PgConnection};

/// A store behind a proxy, and one that reaches the server by itself.
struct Behind {
    proxy: Proxy,
    store: PostgresStore,
    direct: PostgresStore,
}

impl Behind {
    async fn new(database: &Database, statements: Statements) -> Self {
        let proxy = database.proxy().await;
        let schema = database.schema();
        let options = database.through(&proxy, &schema).statements(statements);
        let store = options.patience(Duration::from_millis(500)).open().await.unwrap();
        // Prepares the statement, so that a fault meets its run.
        let warm = Sample::new(1000);
        store.commit(&warm.tenant, &warm.batch).await.unwrap();
        Self {
            proxy,
            store,
            direct: database.options_in(&schema).open().await.unwrap(),
        }
    }

    /// A sample whose commit meets the fault, and so is in doubt.
    async fn doubtful(&self, fault: Fault) -> Sample {
        let sample = Sample::new(1);
        self.proxy.next(fault);
        let committed = self.store.commit(&sample.tenant, &sample.batch).await;
        assert_eq!(unknown(committed), sample.batch.commit_id);
        sample
    }
}

const BOTH: [Statements; 2] = [Statements::Prepared, Statements::Inline];

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_unknown_and_resolved_as_committed() {
    let Some(database) = Database::find().await else {
        return;
    };
    for statements in BOTH {
        let behind = Behind::new(&database, statements).await;
        let sample = behind.doubtful(Fault::LoseAnswer).await;
        let id = sample.batch.commit_id;
        let resolved = behind.store.resolve(&sample.tenant, id).await.unwrap();
        let Resolved::Committed(receipt) = resolved else {
            panic!("{resolved:?}")
        };
        assert!(sample.is_there(&behind.store).await);
        let again = behind.store.commit(&sample.tenant, &sample.batch).await.unwrap();
        assert_eq!(again, receipt);
    }
}

#[tokio::test]
async fn a_commit_that_was_lost_on_its_way_is_unknown_and_resolved_as_absent() {
    let Some(database) = Database::find().await else {
        return;
    };
    for statements in BOTH {
        let behind = Behind::new(&database, statements).await;
        let sample = behind.doubtful(Fault::LoseRequest).await;
        let id = sample.batch.commit_id;
        let resolved = behind.store.resolve(&sample.tenant, id).await.unwrap();
        assert_eq!(resolved, Resolved::Absent);
        assert!(!sample.is_there(&behind.store).await);
    }
}

#[tokio::test]
async fn a_commit_that_arrives_after_it_was_resolved_as_absent_writes_nothing() {
    let Some(database) = Database::find().await else {
        return;
    };
    for statements in BOTH {
        let behind = Behind::new(&database, statements).await;
        let sample = behind.doubtful(Fault::Hold).await;
        let id = sample.batch.commit_id;
        let resolved = behind.direct.resolve(&sample.tenant, id).await.unwrap();
        assert_eq!(resolved, Resolved::Absent);
        behind.proxy.release();
        // It is run now; what is sent after it waits for nothing.
        tokio::time::timeout(Duration::from_millis(300), std::future::pending::<()>())
            .await
            .unwrap_err();
        assert!(!sample.is_there(&behind.direct).await);
        let resolved = behind.direct.resolve(&sample.tenant, id).await.unwrap();
        assert_eq!(resolved, Resolved::Absent);
        let error = not_committed(behind.direct.commit(&sample.tenant, &sample.batch).await);
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
    }
}

#[tokio::test]
async fn a_held_commit_that_nobody_resolved_is_made_late() {
    let Some(database) = Database::find().await else {
        return;
    };
    let behind = Behind::new(&database, Statements::Prepared).await;
    let sample = behind.doubtful(Fault::Hold).await;
    behind.proxy.release();
    for _ in 0..500 {
        let row = behind.direct.load(&sample.tenant, &[sample.key]).await.unwrap();
        if row[0].is_some() {
            assert!(sample.is_there(&behind.direct).await);
            let id = sample.batch.commit_id;
            let resolved = behind.direct.resolve(&sample.tenant, id).await.unwrap();
            assert!(matches!(resolved, Resolved::Committed(_)));
            return;
        }
    }
    panic!("so the tests before this one show nothing");
}

/// A store with a sample, whose row a connection of the host's holds.
struct Held {
    store: PostgresStore,
    sample: Sample,
    schema: String,
    holder: PgConnection,
}

impl Held {
    async fn new(database: &Database, change: fn(PostgresOptions) -> PostgresOptions) -> Self {
        let schema = database.schema();
        let store = change(database.options_in(&schema)).open().await.unwrap();
        let sample = Sample::new(1);
        store.commit(&sample.tenant, &sample.batch).await.unwrap();
        let mut holder = database.connect().await;
        let hold = format!("BEGIN; SELECT 1 FROM \"{schema}\".paymux_rows FOR UPDATE");
        run(&mut holder, &hold).await;
        Self {
            store,
            sample,
            schema,
            holder,
        }
    }
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_unknown_and_fenced_while_it_still_waits() {
    let Some(database) = Database::find().await else {
        return;
    };
    let short = |options: PostgresOptions| options.patience(Duration::from_millis(400));
    let Held {
        store,
        sample,
        mut holder,
        ..
    } = Held::new(&database, short).await;
    let batch = sample.next(2);
    let committed = store.commit(&sample.tenant, &batch).await;
    assert_eq!(unknown(committed), batch.commit_id);
    let resolved = store.resolve(&sample.tenant, batch.commit_id).await.unwrap();
    assert_eq!(resolved, Resolved::Absent);
    run(&mut holder, "ROLLBACK").await;
    // The late statement has the row now, and finds its fence; the next writer comes after it.
    store.commit(&sample.tenant, &sample.next(3)).await.unwrap();
    let version = store.load(&sample.tenant, &[sample.key]).await.unwrap()[0]
        .as_ref()
        .unwrap()
        .version;
    assert_eq!(version, 2);
    let resolved = store.resolve(&sample.tenant, batch.commit_id).await.unwrap();
    assert_eq!(resolved, Resolved::Absent);
}

#[tokio::test]
async fn a_commit_whose_backend_is_shut_down_is_unknown() {
    let Some(database) = Database::find().await else {
        return;
    };
    let Held {
        store,
        sample,
        schema,
        mut holder,
    } = Held::new(&database, |options| options).await;
    let batch = sample.next(2);
    let committing = tokio::spawn({
        let (store, tenant, batch) = (store.clone(), sample.tenant.clone(), batch.clone());
        async move { store.commit(&tenant, &batch).await }
    });
    let terminate = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND query LIKE '%\"{schema}\"%' AND pid <> pg_backend_pid()"
    );
    let mut operator = database.connect().await;
    while sqlx::raw_sql(AssertSqlSafe(terminate.clone()))
        .fetch_all(&mut operator)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(unknown(committing.await.unwrap()), batch.commit_id);
    run(&mut holder, "ROLLBACK").await;
    let resolved = store.resolve(&sample.tenant, batch.commit_id).await.unwrap();
    assert_eq!(resolved, Resolved::Absent);
    store.commit(&sample.tenant, &sample.next(3)).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_is_cancelled_by_the_server_is_not_committed() {
    let Some(database) = Database::find().await else {
        return;
    };
    let Held {
        store,
        sample,
        mut holder,
        ..
    } = Held::new(&database, |options| options.max_connections(1)).await;
    for (setting, code) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        let mut conn = store.pool().acquire().await.unwrap();
        run(&mut conn, &format!("SET {setting} = '50ms'")).await;
        drop(conn);
        let error = not_committed(store.commit(&sample.tenant, &sample.next(2)).await);
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{code}: {error}");
    }
    run(&mut holder, "ROLLBACK").await;
    store.commit(&sample.tenant, &sample.next(2)).await.unwrap();
}

#[tokio::test]
async fn without_a_connection_nothing_is_in_doubt() {
    let Some(database) = Database::find().await else {
        return;
    };
    let store = database
        .options()
        .max_connections(1)
        .patience(Duration::from_millis(400));
    let store = store.open().await.unwrap();
    let busy = store.pool().acquire().await.unwrap();
    let sample = Sample::new(1);
    let error = not_committed(store.commit(&sample.tenant, &sample.batch).await);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    drop(busy);
    store.commit(&sample.tenant, &sample.batch).await.unwrap();
}

/// A trigger that raises an error of that SQLSTATE at each event, the first so many times.
async fn raises(database: &Database, schema: &str, code: &str, times: u32) {
    let sql = "SET search_path TO \"SCHEMA\"; CREATE SEQUENCE IF NOT EXISTS tries; SELECT setval('tries', 1, false);
        CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('\"SCHEMA\".tries') <= TIMES THEN RAISE EXCEPTION 'no' USING ERRCODE = 'SQLSTATE'; END IF;
            RETURN NEW; END $$;
        DROP TRIGGER IF EXISTS refuse ON paymux_commits;
        CREATE TRIGGER refuse BEFORE INSERT ON paymux_commits FOR EACH ROW WHEN (NEW.at IS NOT NULL)
            EXECUTE FUNCTION refuse()";
    let sql = sql.replace("SCHEMA", schema).replace("TIMES", &times.to_string());
    database.run(&sql.replace("SQLSTATE", code)).await;
}

async fn tries(database: &Database, schema: &str) -> i64 {
    let last = AssertSqlSafe(format!("SELECT last_value FROM \"{schema}\".tries"));
    sqlx::query_scalar(last)
        .fetch_one(&mut database.connect().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn each_error_means_what_the_table_says() {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    let options = database.options_in(&schema).patience(Duration::from_secs(2));
    let store = options.open().await.unwrap();
    for (nth, code) in [
        "40003", "08006", "08007", "57P01", "57P02", "57P03", "XX000", "XX001",
    ]
    .iter()
    .enumerate()
    {
        raises(&database, &schema, code, 1000).await;
        let sample = Sample::new(nth as u32);
        match store.commit(&sample.tenant, &sample.batch).await {
            Err(CommitError::Unknown(id)) => assert_eq!(id, sample.batch.commit_id),
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(tries(&database, &schema).await, 1, "{code}");
        let resolved = store
            .resolve(&sample.tenant, sample.batch.commit_id)
            .await
            .unwrap();
        assert_eq!(resolved, Resolved::Absent, "{code}");
    }
    // After waits of 1 to 200 ms, for two seconds.
    const AGAIN: RangeInclusive<i64> = 10..=1999;
    let refused = [
        ("40001", StoreErrorKind::Locked, AGAIN),
        ("40P01", StoreErrorKind::Locked, AGAIN),
        ("57014", StoreErrorKind::Locked, 1..=1),
        ("55P03", StoreErrorKind::Locked, 1..=1),
        ("25006", StoreErrorKind::ReadOnly, 1..=1),
        ("42501", StoreErrorKind::ReadOnly, 1..=1),
        ("53100", StoreErrorKind::Unavailable, 1..=1),
        ("P0001", StoreErrorKind::Unavailable, 1..=1),
    ];
    for (nth, (code, kind, runs)) in refused.into_iter().enumerate() {
        raises(&database, &schema, code, 5000).await;
        let sample = Sample::new(100 + nth as u32);
        match store.commit(&sample.tenant, &sample.batch).await {
            Err(CommitError::NotCommitted(error)) => assert_eq!(error.kind(), kind, "{code}: {error}"),
            other => panic!("{code}: {other:?}"),
        }
        let tried = tries(&database, &schema).await;
        assert!(runs.contains(&tried), "{code}: tried {tried} times");
        assert!(!sample.is_there(&store).await, "{code}");
    }
    for (nth, code) in ["40001", "40P01", "23505"].iter().enumerate() {
        raises(&database, &schema, code, 3).await;
        let sample = Sample::new(200 + nth as u32);
        store.commit(&sample.tenant, &sample.batch).await.unwrap();
        assert_eq!(tries(&database, &schema).await, 4, "{code}");
        assert!(sample.is_there(&store).await, "{code}");
    }
}

#[tokio::test]
async fn a_slow_statement_that_is_taken_back_each_time_isn_t_run_for_ever() {
    let Some(database) = Database::find().await else {
        return;
    };
    let schema = database.schema();
    let options = database.options_in(&schema).patience(Duration::from_secs(2));
    let store = options.open().await.unwrap();
    raises(&database, &schema, "40001", 5000).await;
    let slow = format!(
        "CREATE FUNCTION \"{schema}\".slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.9); \
         RETURN NEW; END $$; CREATE TRIGGER a_slow BEFORE INSERT ON \"{schema}\".paymux_commits FOR EACH ROW \
         WHEN (NEW.at IS NOT NULL) EXECUTE FUNCTION \"{schema}\".slow()"
    );
    database.run(&slow).await;
    let sample = Sample::new(1);
    let error = not_committed(store.commit(&sample.tenant, &sample.batch).await);
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    let tried = tries(&database, &schema).await;
    assert!((1..=3).contains(&tried), "tried {tried} times");
}

#[tokio::test]
async fn text_that_postgresql_cannot_keep_is_refused() {
    let Some(database) = Database::find().await else {
        return;
    };
    for statements in BOTH {
        let store = database.options().statements(statements).open().await.unwrap();
        let mut sample = Sample::new(1);
        sample.batch.puts[0].index.customer = Some("a\0b".to_owned());
        let error = not_committed(store.commit(&sample.tenant, &sample.batch).await);
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        assert!(!sample.is_there(&store).await);
    }
}
