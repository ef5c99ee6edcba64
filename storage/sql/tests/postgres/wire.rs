//! What goes over the wire.

use std::str::FromStr;

use paymux_core::Store;
use paymux_core::store::*;
use paymux_sql::sqlx::postgres::PgConnectOptions;
use paymux_sql::{PostgresOptions, Statements};

use crate::database::Database;
use crate::proxy::Proxy;
use crate::sample::Sample;

impl Database {
    pub(crate) async fn proxy(&self) -> Proxy {
        let options = PgConnectOptions::from_str(self.url()).unwrap();
        Proxy::before(options.get_host().to_owned(), options.get_port()).await
    }

    pub(crate) fn through(&self, proxy: &Proxy, schema: &str) -> PostgresOptions {
        let options = PgConnectOptions::from_str(self.url()).unwrap();
        let options = options.host("127.0.0.1").port(proxy.port());
        PostgresOptions::with(options).schema(schema).max_connections(1)
    }
}

#[tokio::test]
async fn a_batch_is_one_statement_and_one_round_trip() {
    let Some(database) = Database::find().await else {
        return;
    };
    let proxy = database.proxy().await;
    // Bind, Execute, Close and Sync are sent together; Query is a statement in one message.
    for (statements, once) in [(Statements::Prepared, "BECS"), (Statements::Inline, "Q")] {
        let schema = database.schema();
        let options = database.through(&proxy, &schema).statements(statements);
        let store = options.open().await.unwrap();
        let first = Sample::new(1);
        store.commit(&first.tenant, &first.batch).await.unwrap();
        // The pool checks a connection when it comes back, and the commit doesn't wait for that.
        let quiet = async || {
            while store.pool().num_idle() == 0 {
                tokio::task::yield_now().await;
            }
            proxy.sent();
        };
        let one_trip = |sent: String, what: &str| {
            let more = sent.strip_prefix(once);
            assert!(
                more.is_some_and(|more| more.is_empty() || more == "S"),
                "{statements:?}, {what}: {sent}"
            );
        };
        quiet().await;
        let second = Sample::new(2);
        store.commit(&second.tenant, &second.batch).await.unwrap();
        one_trip(proxy.sent(), "a batch");

        let mut many = Sample::new(3);
        for seed in 4..40 {
            let more = Sample::new(seed).batch;
            many.batch.preconditions.extend(more.preconditions);
            many.batch.puts.extend(more.puts);
            many.batch.uniques.extend(more.uniques);
            many.batch.events.extend(more.events);
            many.batch.jobs.extend(more.jobs);
        }
        quiet().await;
        store.commit(&many.tenant, &many.batch).await.unwrap();
        one_trip(proxy.sent(), "a large batch");

        quiet().await;
        let resolved = store.resolve(&many.tenant, many.batch.commit_id).await.unwrap();
        assert!(matches!(resolved, Resolved::Committed(_)));
        assert!(many.is_there(&store).await);
    }
}
