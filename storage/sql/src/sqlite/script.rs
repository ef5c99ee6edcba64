//! SQL text with its values, and how it is run.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use paymux_core::store::{JobKey, RowKey, StoreError};
use paymux_core::{Tenant, Timestamp};
#[cfg(test)]
use sqlx::Row as _;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Executor as _, SqliteConnection};
use uuid::Uuid;

use super::error::Failure;
use crate::time::millis;

/// One or more statements with the values of their `?`, in order.
///
/// SQLite's driver runs several statements as one prepared statement, and they come back from the connection's thread
/// in one go: a commit needs three such trips instead of one for each statement. The texts are built of the literals
/// in this crate alone, and values are always bound.
#[derive(Default)]
pub(super) struct Script {
    text: String,
    arguments: SqliteArguments,
    statements: usize,
    wrong: Option<StoreError>,
}

/// The milliseconds since 1970 by the database's clock, or by the bound one.
pub(super) const NOW: &str = "COALESCE(?, CAST(round(unixepoch('subsec') * 1000) AS INTEGER))";

impl Script {
    pub(super) fn new(text: &str) -> Self {
        let mut script = Self::default();
        script.push(text);
        script
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Ends a statement after which another follows.
    pub(super) fn end(&mut self) {
        self.push("; ");
        self.statements += 1;
    }

    /// What `push` says of each of `items`, with `between` in between.
    pub(super) fn list<T>(
        &mut self,
        items: &[T],
        between: &str,
        mut push: impl FnMut(&mut Self, &T),
    ) -> &mut Self {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(between);
            }
            push(self, item);
        }
        self
    }

    pub(super) fn bind<T>(&mut self, value: T) -> &mut Self
    where
        T: for<'q> sqlx::Encode<'q, Sqlite> + sqlx::Type<Sqlite>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.wrong
                .get_or_insert(StoreError::rejected("a value can't be bound").caused_by(error));
        }
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bind(value.to_owned())
    }

    pub(super) fn tenant(&mut self, tenant: &Arc<str>) -> &mut Self {
        self.bind(tenant.clone())
    }

    pub(super) fn uuid(&mut self, id: Uuid) -> &mut Self {
        self.bind(id.as_bytes().to_vec())
    }

    pub(super) fn key(&mut self, key: RowKey) -> &mut Self {
        self.text(key.kind.as_str()).uuid(key.id)
    }

    pub(super) fn job(&mut self, tenant: &Arc<str>, job: JobKey) -> &mut Self {
        self.tenant(tenant)
            .text(job.queue.as_str())
            .key(job.row)
            .uuid(job.child)
    }

    pub(super) fn millis(&mut self, duration: Duration) -> &mut Self {
        self.bind(millis(duration))
    }

    pub(super) fn time(&mut self, time: Option<Timestamp>) -> &mut Self {
        self.bind(time.map(Timestamp::as_millis))
    }

    /// SQLite's integers have a sign.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        let number = i64::try_from(number).unwrap_or_else(|_| {
            self.wrong.get_or_insert(StoreError::rejected(
                "a version, sequence or epoch is over 2^63 - 1",
            ));
            i64::MAX
        });
        self.bind(number)
    }

    /// How SQLite would run it; of several statements, the first.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a test fails by it")]
    pub(super) async fn plan(mut self, conn: &mut SqliteConnection) -> Vec<String> {
        self.text.insert_str(0, "EXPLAIN QUERY PLAN ");
        let steps = self.all(conn).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect()
    }

    fn query(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, Failure> {
        match self.wrong {
            Some(error) => Err(error.into()),
            None => Ok(sqlx::query_with(AssertSqlSafe(self.text), self.arguments)),
        }
    }

    /// Runs all of it. How many rows it changed.
    pub(super) async fn run(self, conn: &mut SqliteConnection) -> Result<u64, Failure> {
        Ok(self.query()?.execute(conn).await?.rows_affected())
    }

    /// Runs up to the first row that there is.
    pub(super) async fn first(self, conn: &mut SqliteConnection) -> Result<Option<SqliteRow>, Failure> {
        Ok(self.query()?.fetch_optional(conn).await?)
    }

    /// Runs all of it, and says how far it came. It has [`Script::statements`] statements.
    pub(super) async fn progress(self, conn: &mut SqliteConnection) -> Progress {
        let mut progress = Progress {
            done: 0,
            first: None,
            stopped: None,
        };
        let mut results = match self.query() {
            Ok(query) => conn.fetch_many(query),
            Err(failure) => {
                progress.stopped = Some(failure);
                return progress;
            }
        };
        while let Some(result) = poll_fn(|cx| Pin::new(&mut results).poll_next(cx)).await {
            match result {
                Ok(Either::Left(_)) => progress.done += 1,
                Ok(Either::Right(row)) => progress.first = progress.first.or(Some(row)),
                Err(error) => {
                    progress.stopped = Some(error.into());
                    break;
                }
            }
        }
        progress
    }

    /// How many statements it has, if the last one isn't ended.
    pub(super) fn statements(&self) -> usize {
        self.statements + 1
    }

    pub(super) async fn all(self, conn: &mut SqliteConnection) -> Result<Vec<SqliteRow>, Failure> {
        Ok(self.query()?.fetch_all(conn).await?)
    }
}

/// How far a script ran.
pub(super) struct Progress {
    /// How many of its statements it completed.
    pub(super) done: usize,
    /// The first row that one of them gave.
    pub(super) first: Option<SqliteRow>,
    /// What stopped it.
    pub(super) stopped: Option<Failure>,
}

pub(super) fn tenant_text(tenant: &Tenant) -> Arc<str> {
    tenant.to_string().into()
}
