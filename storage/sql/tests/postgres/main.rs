//! The PostgreSQL store on a real server.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../cluster/mod.rs"]
mod cluster;
mod conformance;
#[path = "../database/mod.rs"]
mod database;
mod doubt;
mod host_transaction;
mod instances;
mod opening;
mod proxy;
#[path = "../sample/mod.rs"]
mod sample;
mod standby;
mod wire;

use paymux_sql::{PostgresOptions, sqlx};

use crate::database::Database;

impl Database {
    /// How to open a schema of the test's own.
    fn options(&self) -> PostgresOptions {
        self.options_in(&self.schema()).max_connections(6)
    }

    fn options_in(&self, schema: &str) -> PostgresOptions {
        PostgresOptions::new(self.url()).schema(schema)
    }
}
