//! Opening a database, and saying what is wrong with it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use paymux_core::store::{StoreError, StoreErrorKind, StoreTime};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::connections::{Connections, Host, Hosts};
use super::error::Failure;
use super::gate::asynchronous;
use super::{Inner, PostgresStore, schema};

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Statements {
    /// Prepared once on each connection, and then sent by name with their values.
    #[default]
    Prepared,
    /// As text with the values in it, in one message: nothing is kept on a connection. For a pooler that gives each
    /// transaction another of its connections, as PgBouncer's transaction mode does. It costs PostgreSQL the planning
    /// of each statement.
    Inline,
}

/// Which database speaks PostgreSQL's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Engine {
    /// PostgreSQL itself.
    #[default]
    Postgres,
    /// Another one: without advisory locks, `SKIP LOCKED` and `COLLATE "C"`. Migrations then wait for each other at a
    /// row, and workers for each other at the jobs that both want.
    Compatible,
}

/// How to open a PostgreSQL database.
///
/// ```no_run
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use paymux_sql::{PostgresOptions, Statements};
///
/// let store = PostgresOptions::new("postgres://shop@pgbouncer.internal:6432/shop")
///     .schema("payments")
///     .statements(Statements::Inline)
///     .open()
///     .await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is opened until `open` is called"]
pub struct PostgresOptions {
    connect: Result<Vec<PgConnectOptions>, Arc<sqlx::Error>>,
    schema: String,
    time: StoreTime,
    statements: Statements,
    engine: Engine,
    patience: Duration,
    max_connections: u32,
}

impl PostgresOptions {
    /// The database at a URL, `postgres://user:password@host:port/database`; what it leaves out is taken from libpq's
    /// variables (`PGHOST`, `PGPASSWORD` and others). Its tables are in the schema `public`, its time is the
    /// database's, its patience 10 seconds, and it has up to 10 connections.
    ///
    /// The URL may list several hosts, as libpq's may: `postgres://shop@one:5432,two:5432/shop`. One of them is the
    /// primary, which is found when the store is opened and again when it fails; the others are its standbys. What
    /// has to hold for that is on the page [`docs::postgres`](paymux_core::docs::postgres).
    pub fn new(url: &str) -> Self {
        let each = each_host(url);
        let connect = each.iter().map(|url| PgConnectOptions::from_str(url)).collect();
        let connect = Result::map_err(connect, Arc::new);
        Self {
            connect,
            ..Self::with(PgConnectOptions::new_without_pgpass())
        }
    }

    /// The database that sqlx's own options name: for a socket, or for TLS, which needs one of sqlx's TLS features.
    pub fn with(options: PgConnectOptions) -> Self {
        Self {
            connect: Ok(vec![options]),
            schema: "public".to_owned(),
            time: StoreTime::Own,
            statements: Statements::default(),
            engine: Engine::default(),
            patience: Duration::from_secs(10),
            max_connections: 10,
        }
    }

    /// The schema that holds paymux's tables: lower case letters, digits and underscores. It is made if it isn't
    /// there, and no search path needs to name it.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Where the store takes its time from.
    pub fn time(mut self, time: StoreTime) -> Self {
        self.time = time;
        self
    }

    /// How statements are sent.
    pub fn statements(mut self, statements: Statements) -> Self {
        self.statements = statements;
        self
    }

    /// Which database it is.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// How long to wait for a connection, then for a statement, and for another instance's migration: from 1 ms to 24
    /// days, since PostgreSQL counts no further. A commit that takes longer is
    /// [`Unknown`](paymux_core::store::CommitError::Unknown). A statement that PostgreSQL took back because of others
    /// is run again until this is over: with the last run it takes twice as long at most.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many connections to have at most, at least 1. Each is made when it is first needed.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Connects, brings the tables up to this release's, and checks that what is committed stays.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let connect = self.connect.map_err(|error| {
            let message =
                "the URL of PostgreSQL can't be read: give postgres://user:password@host:port/database";
            StoreError::new(StoreErrorKind::Missing, message).caused_by(error)
        })?;
        check_schema(&self.schema)?;
        check_patience(self.patience)?;
        let hosts: Vec<PgConnectOptions> = connect
            .into_iter()
            .map(|options| {
                // A pooler refuses what it doesn't know in a connection's first message.
                options
                    .extra_float_digits(None)
                    .statement_cache_capacity(256)
                    .disable_statement_logging()
            })
            .collect();
        let (primary, mut first) = primary(&hosts, self.statements, self.patience).await?;
        schema::migrate(&mut first, &self.schema, self.engine, self.patience).await?;
        // What is left to say goodbye to doesn't matter.
        let _ = first.close().await;
        let several = hosts.len() > 1;
        let pool = |options: &PgConnectOptions| {
            let pool = PgPoolOptions::new()
                .max_connections(self.max_connections)
                .acquire_timeout(self.patience)
                .test_before_acquire(false)
                .before_acquire(|conn, about| {
                    Box::pin(async move {
                        // One that has rested may be gone, and a commit on it would be in doubt.
                        if about.idle_for > RESTED {
                            conn.ping().await?;
                        }
                        Ok(true)
                    })
                });
            let pool = match several {
                // What was the primary may be a replica by now, whose rows lag.
                true => pool.after_connect(|conn, _| Box::pin(refuse_replica(conn))),
                false => pool,
            };
            pool.connect_lazy_with(options.clone())
        };
        let hosts = hosts
            .into_iter()
            .map(|options| Host {
                pool: pool(&options),
                resting: Arc::default(),
                options,
            })
            .collect();
        Ok(PostgresStore {
            inner: Arc::new(Inner {
                connections: Connections {
                    hosts: Hosts::new(hosts, primary),
                    schema: format!("\"{}\".", self.schema).into(),
                    statements: self.statements,
                    engine: self.engine,
                    patience: self.patience,
                },
                schema: self.schema,
                time: self.time,
            }),
        })
    }
}

/// Without the password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("time", &self.time)
            .field("statements", &self.statements)
            .field("engine", &self.engine)
            .field("patience", &self.patience)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// After so long without use a connection is tried before it is used.
const RESTED: Duration = Duration::from_secs(1);

fn check_schema(schema: &str) -> Result<(), StoreError> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = schema.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if starts && schema.len() <= 63 && schema.bytes().all(known) {
        return Ok(());
    }
    Err(StoreError::rejected(format!(
        "`{schema}` can't be the schema: use lower case letters, digits and underscores, at most 63"
    )))
}

fn check_patience(patience: Duration) -> Result<(), StoreError> {
    const MOST: Duration = Duration::from_millis(i32::MAX as u64);
    if (Duration::from_millis(1)..=MOST).contains(&patience) {
        return Ok(());
    }
    Err(StoreError::rejected(format!(
        "{patience:?} can't be the patience: give 1 ms to {} days",
        MOST.as_secs() / 86_400
    )))
}

/// One URL for each host of a list, which sqlx doesn't read.
pub(super) fn each_host(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let (place, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, hosts) = place.split_at(place.rfind('@').map_or(0, |at| at + 1));
    let each = hosts.split(',');
    each.map(|host| format!("{scheme}://{login}{host}{path}"))
        .collect()
}

/// The first host that may be used, and a connection to it.
async fn primary(
    hosts: &[PgConnectOptions],
    statements: Statements,
    patience: Duration,
) -> Result<(usize, PgConnection), Failure> {
    let mut refused = Failure::too_slow();
    for (at, options) in hosts.iter().enumerate() {
        let patience = patience / hosts.len() as u32;
        match tokio::time::timeout(patience, first(options, statements)).await {
            Ok(Ok(conn)) => return Ok((at, conn)),
            Ok(Err(failure)) => refused = failure,
            Err(_) => refused = Failure::too_slow(),
        }
    }
    Err(refused)
}

async fn refuse_replica(conn: &mut PgConnection) -> sqlx::Result<()> {
    let row = sqlx::raw_sql("SELECT pg_is_in_recovery()")
        .fetch_one(conn)
        .await?;
    match row.try_get(0)? {
        true => Err(sqlx::Error::Configuration("it is a replica".into())),
        false => Ok(()),
    }
}

/// A connection that may be used.
pub(super) async fn first(
    options: &PgConnectOptions,
    statements: Statements,
) -> Result<PgConnection, Failure> {
    let mut conn = options.connect().await.map_err(Failure::unreachable)?;
    keeps_what_is_committed(&mut conn, statements).await?;
    Ok(conn)
}

async fn keeps_what_is_committed(conn: &mut PgConnection, statements: Statements) -> Result<(), Failure> {
    let settings = "SELECT pg_is_in_recovery(), current_setting('synchronous_commit'), \
                    current_setting('bytea_output')";
    let row = sqlx::raw_sql(settings).fetch_one(conn).await?;
    let (replica, durability, bytes): (bool, &str, &str) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if replica {
        return Err(StoreError::new(
            StoreErrorKind::ReadOnly,
            "that is a replica, which lags and takes no writes: give the address of the primary",
        )
        .into());
    }
    if durability == "off" {
        return Err(asynchronous().into());
    }
    if statements == Statements::Inline && bytes != "hex" {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "bytea_output isn't hex, which Statements::Inline needs: set it for this role and database",
        )
        .into());
    }
    Ok(())
}
