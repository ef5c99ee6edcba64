//! A PostgreSQL server for tests, and schemas of their own on it.
//!
//! The server is the one at `PAYMUX_POSTGRES_URL`, or on this machine. Where none answers a test says so and passes,
//! unless `PAYMUX_REQUIRE_SERVICES=1`.
#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::sqlx::postgres::PgConnectOptions;
use super::sqlx::{self, AssertSqlSafe, ConnectOptions, PgConnection};

/// A server; the schemas that a test took are dropped with this.
#[derive(Debug)]
pub(crate) struct Database {
    url: String,
    taken: Mutex<BTreeSet<String>>,
}

impl Database {
    /// The server, or nothing where it is missing and isn't required.
    pub(crate) async fn find() -> Option<Self> {
        Self::at("PAYMUX_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/test").await
    }

    /// The one that the variable names, or else the one at `otherwise`.
    pub(crate) async fn at(variable: &str, otherwise: &str) -> Option<Self> {
        let url = std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned());
        let tried = tokio::time::timeout(Duration::from_secs(5), connect(&url)).await;
        let why = match tried {
            Ok(Ok(_)) => {
                return Some(Self {
                    url,
                    taken: Mutex::default(),
                });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it doesn't answer".to_owned(),
        };
        if std::env::var("PAYMUX_REQUIRE_SERVICES").as_deref() == Ok("1") {
            panic!("no PostgreSQL at {variable}: {why}");
        }
        println!("skipped, without PostgreSQL at {variable}: {why}");
        None
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The name of a schema that nobody else has.
    pub(crate) fn schema(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.schema_of(&format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// The schema of that name among this process's.
    pub(crate) fn schema_of(&self, name: &str) -> String {
        let word = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
        let name: String = name.to_lowercase().chars().map(word).collect();
        let name = format!("paymux_test_{}_{name}", std::process::id());
        self.taken.lock().unwrap().insert(name.clone());
        name
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> PgConnection {
        connect(&self.url).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        run(&mut self.connect().await, sql).await;
    }
}

/// Without what a pooler doesn't know.
async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnectOptions::from_str(url)?
        .extra_float_digits(None)
        .connect()
        .await
}

pub(crate) async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        let url = self.url.clone();
        // In a thread of its own, since this may be dropped inside a runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut conn = connect(&url).await.unwrap();
                run(
                    &mut conn,
                    "SET lock_timeout = '20s'; SET client_min_messages = 'warning'",
                )
                .await;
                for schema in taken {
                    run(&mut conn, &format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE")).await;
                }
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("a test's schema wasn't dropped");
        }
    }
}
