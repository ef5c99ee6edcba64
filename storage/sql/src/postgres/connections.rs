//! The pool, and statements that are run once or again.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgRow;

use super::error::{Failure, Fate};
use super::open::{Engine, Statements};
use super::script::Script;

pub(super) struct Connections {
    pub(super) pool: PgPool,
    /// Quoted, and with a dot.
    pub(super) schema: Arc<str>,
    pub(super) statements: Statements,
    pub(super) engine: Engine,
    /// How long a statement may take.
    pub(super) patience: Duration,
}

/// How often a statement is run that PostgreSQL took back.
const TRIES: u32 = 10;

impl Connections {
    pub(super) fn script(&self) -> Script {
        Script::new(&self.schema, self.statements)
    }

    /// Runs a statement, and again if it was taken back because of others: each time on a new view of the tables.
    #[allow(
        clippy::disallowed_methods,
        reason = "the database that others work on is in real time too"
    )]
    pub(super) async fn run(&self, build: impl Fn(&mut Script)) -> Result<Vec<PgRow>, Failure> {
        let mut tries = 1;
        loop {
            let mut script = self.script();
            build(&mut script);
            match self.once(script).await {
                Err(failure) if failure.fate() == Fate::Again && tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(u64::from(tries - 1))).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn once(&self, script: Script) -> Result<Vec<PgRow>, Failure> {
        let mut conn = self.pool.acquire().await.map_err(Failure::unreachable)?;
        let done = match tokio::time::timeout(self.patience, script.all(&mut conn)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::too_slow()),
        };
        if done
            .as_ref()
            .is_err_and(|failure| failure.fate() == Fate::InDoubt)
        {
            // Whatever state it is in, nothing is carried on with it.
            drop(conn.detach());
        }
        done
    }
}
