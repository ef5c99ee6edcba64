//! Where our side is kept, and how an engine is built over it: the same in a child and in its parent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use paymux::connector::Connector;
use paymux::http_transport::HttpTransport;
use paymux::prelude::*;
use paymux::store::{Store, StoreError};
use paymux::stripe::Stripe;
use paymux::{Policy, PostgresOptions, Statements};
use serde::{Deserialize, Serialize};

/// A store that outlives its processes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Kept {
    InSqlite,
    AtPostgres {
        url: String,
        schema: String,
    },
    BehindPgBouncer {
        url: String,
        schema: String,
    },
    /// The URL lists two hosts.
    AtPrimary {
        url: String,
        schema: String,
    },
}

impl Kept {
    pub(crate) async fn open(&self, folder: &Path) -> Result<Arc<dyn Store>, StoreError> {
        let at = |url: &str, schema: &str| {
            PostgresOptions::new(url)
                .schema(schema)
                .max_connections(6)
                .patience(Duration::from_secs(2))
        };
        Ok(match self {
            Self::InSqlite => Arc::new(SqliteStore::open(folder.join("payments.db")).await?),
            Self::AtPostgres { url, schema } | Self::AtPrimary { url, schema } => {
                Arc::new(at(url, schema).open().await?)
            }
            Self::BehindPgBouncer { url, schema } => {
                let inline = at(url, schema).statements(Statements::Inline);
                Arc::new(inline.open().await?)
            }
        })
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant::test("acme").unwrap()
}

const CALL: Duration = Duration::from_millis(500);

/// Two accounts at the processor, which another host's engine wouldn't tell from Stripe's own.
pub(crate) fn accounts(processor: &str) -> [Connector; 2] {
    ["main", "second"].map(|name| {
        let transport = HttpTransport::builder()
            .connect_timeout(CALL / 2)
            .total_timeout(CALL)
            .build();
        Stripe::new(format!("sk_test_{name}"), name)
            .base_url(processor)
            .connector(Arc::new(transport.unwrap()))
    })
}

pub(crate) async fn engine(store: Arc<dyn Store>, accounts: [Connector; 2]) -> paymux::Result<Orchestrator> {
    let connectors = ConnectorMap::shared(accounts)?;
    let policy = Policy::new()
        .call_timeout(CALL)
        .grace(Duration::from_secs(1))
        .recheck(Duration::from_millis(50))
        .idle(Duration::from_millis(20));
    Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn())
        .policy(policy)
        .build()
        .await
}
