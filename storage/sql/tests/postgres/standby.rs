//! A primary whose commits wait for a standby, and what is left when it dies.

use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::{PostgresOptions, PostgresStore};

use crate::cluster::{Cluster, Server, free_port, tick};
use crate::sample::Sample;
use crate::sqlx;

/// A store that knows both servers' addresses.
async fn store(one: &Server<'_>, other: &Server<'_>) -> PostgresStore {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    PostgresOptions::new(&format!("postgres://postgres@{hosts}/test"))
        .patience(Duration::from_secs(1))
        .open()
        .await
        .unwrap()
}

/// Ends the backend whose commit waits for the standby.
async fn end_the_one_that_waits(primary: &Server<'_>) {
    let mut conn = primary.connect("test").await;
    for _ in 0..500 {
        let ended =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let ended: i64 = sqlx::query_scalar(ended).fetch_one(&mut conn).await.unwrap();
        if ended > 0 {
            return;
        }
        tick().await;
    }
    panic!("no commit waits for the standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_on_at_the_standby_that_was_promoted() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let primary = cluster.server("one").await;
    let standby = primary.standby("two", free_port(), "on").await;
    // The standby comes first in the list, and isn't taken for the primary.
    let store = self::store(&standby, &primary).await;
    let before = Sample::new(1);
    store.commit(&before.tenant, &before.batch).await.unwrap();

    primary.kill();
    standby.promote();
    let after = Sample::new(2);
    let mut committed = store.commit(&after.tenant, &after.batch).await;
    if let Err(CommitError::Unknown(id)) = committed {
        // Its connection was to the dead one.
        assert_eq!(store.resolve(&after.tenant, id).await.unwrap(), Resolved::Absent);
        let mut batch = after.batch.clone();
        batch.commit_id = Sample::new(3).batch.commit_id;
        committed = store.commit(&after.tenant, &batch).await;
    }
    committed.unwrap();
    assert!(before.is_there(&store).await && after.is_there(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_not_resolved_before_the_standby_has_it() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let primary = cluster.server("one").await;
    let standby = primary.standby("two", free_port(), "on").await;
    let store = self::store(&primary, &standby).await;
    let sample = Sample::new(1);
    let id = sample.batch.commit_id;
    standby.stop_at_once();
    let (committed, ()) = tokio::join!(
        store.commit(&sample.tenant, &sample.batch),
        end_the_one_that_waits(&primary)
    );
    assert!(matches!(committed, Err(CommitError::Unknown(_))), "{committed:?}");

    // The primary has it now, alone, and would be believed.
    let resolved = store.resolve(&sample.tenant, id).await;
    assert!(resolved.is_err(), "{resolved:?}");
    let again = store.commit(&sample.tenant, &sample.batch).await;
    assert!(matches!(again, Err(CommitError::Unknown(_))), "{again:?}");

    standby.start();
    let resolved = store.resolve(&sample.tenant, id).await.unwrap();
    assert!(matches!(resolved, Resolved::Committed(_)), "{resolved:?}");
    primary.kill();
    standby.promote();
    assert!(sample.is_there(&self::store(&primary, &standby).await).await);
}
