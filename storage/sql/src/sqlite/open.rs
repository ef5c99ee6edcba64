//! Opening a file, and saying what is wrong with it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use paymux_core::store::{StoreError, StoreErrorKind, StoreTime};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row as _, SqliteConnection};

use super::connections::Connections;
use super::error::{CANTOPEN, Failure, primary_code};
use super::{Inner, SqliteStore, schema};

/// Whether to make the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CreateFile {
    /// Make it if it isn't there.
    #[default]
    IfMissing,
    /// A missing file is an error: for a host that would rather stop than start with no payments.
    Never,
}

/// How to open an SQLite file.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("payments.db");
/// # drop(paymux_sql::SqliteStore::open(&path).await?);
/// use paymux_sql::{CreateFile, SqliteOptions};
///
/// let store = SqliteOptions::new(path).create(CreateFile::Never).readers(8).open().await?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open` is called"]
pub struct SqliteOptions {
    path: PathBuf,
    create: CreateFile,
    time: StoreTime,
    busy_timeout: Duration,
    readers: u16,
}

impl SqliteOptions {
    /// The file at `path`: made if it is missing, on the database's own clock, with a busy time-out of 5 seconds and 4
    /// connections for reading.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            create: CreateFile::default(),
            time: StoreTime::Own,
            busy_timeout: Duration::from_secs(5),
            readers: 4,
        }
    }

    /// Whether to make the file.
    pub fn create(mut self, create: CreateFile) -> Self {
        self.create = create;
        self
    }

    /// Where the store takes its time from.
    pub fn time(mut self, time: StoreTime) -> Self {
        self.time = time;
        self
    }

    /// How long to wait for a write lock that another process, or the host's own connection, holds.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections to read with, at least 1. Each is made when it is first needed.
    pub fn readers(mut self, readers: u16) -> Self {
        self.readers = readers;
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Missing,
                "the path of the SQLite file is empty: name a file",
            )
            .caused_by(error)
        })?;
        probe(&path, self.create)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .busy_timeout(self.busy_timeout)
            .synchronous(SqliteSynchronous::Full)
            // On macOS, flushing a file leaves it in the drive's own memory without this.
            .pragma("fullfsync", "ON")
            .statement_cache_capacity(256)
            // At trace, for whoever counts statements: the texts alone, since every value is bound.
            .log_statements(LevelFilter::Trace)
            .log_slow_statements(LevelFilter::Off, Duration::MAX);
        let writer = connect(&options, self.busy_timeout)
            .await
            .map_err(|failure| at(&path, failure))?;
        Ok(SqliteStore {
            inner: Arc::new(Inner {
                connections: Connections::new(options, writer, usize::from(self.readers)),
                time: self.time,
                path,
            }),
        })
    }
}

/// Looks at the file before SQLite does, which would say "unable to open database file" to all of this.
fn probe(path: &Path, create: CreateFile) -> Result<(), StoreError> {
    let shown = path.display();
    let error = |kind, message: String| Err(StoreError::new(kind, message));
    if path.is_dir() {
        return error(
            StoreErrorKind::Missing,
            format!("{shown} is a folder: name a file in it"),
        );
    }
    let folder = path.parent().unwrap_or(path);
    let mut file = std::fs::OpenOptions::new();
    file.write(true);
    match create {
        CreateFile::IfMissing => file.create(true).truncate(false),
        CreateFile::Never => &mut file,
    };
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(cause) => match cause.kind() {
            ErrorKind::NotFound if !folder.is_dir() => error(
                StoreErrorKind::Missing,
                format!("the folder {} isn't there: make it first", folder.display()),
            ),
            ErrorKind::NotFound => error(
                StoreErrorKind::Missing,
                format!(
                    "{shown} isn't there: give the path of the file, or let it be made with CreateFile::IfMissing"
                ),
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => error(
                StoreErrorKind::ReadOnly,
                format!(
                    "{shown} can't be written: give this process write permission on it and on its folder"
                ),
            ),
            _ => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{shown} can't be opened: look at the source of this error"),
            )
            .caused_by(cause)),
        },
    }
}

async fn connect(options: &SqliteConnectOptions, patience: Duration) -> Result<SqliteConnection, Failure> {
    let mut conn = options.connect().await.map_err(beside)?;
    write_ahead(&mut conn, patience).await?;
    schema::migrate(&mut conn).await?;
    Ok(conn)
}

/// Turns the write-ahead log on. SQLite's busy time-out doesn't cover that, so two processes that make the same file
/// at once are made to wait for each other here.
#[allow(
    clippy::disallowed_methods,
    reason = "SQLite's own busy time-out is in real time too"
)]
async fn write_ahead(conn: &mut SqliteConnection, patience: Duration) -> Result<(), Failure> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL")
            .fetch_one(&mut *conn)
            .await
        {
            Ok(row) => {
                let mode: String = row.try_get(0)?;
                if mode == "wal" {
                    return Ok(());
                }
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "SQLite can't keep a write-ahead log there: use a local disk, not a network's",
                )
                .into());
            }
            Err(error) => {
                let failure = beside(error);
                if failure.kind() != StoreErrorKind::Locked || waited >= patience {
                    return Err(failure);
                }
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
        }
    }
}

/// The file itself has been opened for writing before, so what can't be opened now is the log beside it.
fn beside(error: sqlx::Error) -> Failure {
    if primary_code(&error) == Some(CANTOPEN) {
        let message = "the folder can't be written, and SQLite keeps its log there: give this process write permission \
                       on the folder";
        StoreError::new(StoreErrorKind::ReadOnly, message)
            .caused_by(error)
            .into()
    } else {
        error.into()
    }
}

/// Puts the path before the message.
fn at(path: &Path, failure: Failure) -> StoreError {
    let error = StoreError::from(failure);
    StoreError::new(error.kind(), format!("{}: {error}", path.display())).caused_by(error)
}
