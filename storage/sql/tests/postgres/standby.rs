//! A primary whose commits wait for a standby, and what is left when it dies.

use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::{PostgresOptions, PostgresStore};

use crate::cluster::{Cluster, Server, free_port};
use crate::sample::Sample;

/// A store that knows both servers' addresses.
async fn store(one: &Server<'_>, other: &Server<'_>) -> PostgresStore {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    PostgresOptions::new(&format!("postgres://postgres@{hosts}/test"))
        .patience(Duration::from_secs(1))
        .open()
        .await
        .unwrap()
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
