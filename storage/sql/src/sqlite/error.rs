//! What SQLite's errors mean to the store's caller.

use paymux_core::store::{StoreError, StoreErrorKind};
use sqlx::sqlite::SqliteRow;

use crate::columns::DatabaseRow;

/// Why a statement failed: the store's own error, with what sqlx said as its source.
#[derive(Debug)]
pub(crate) struct Failure {
    error: StoreError,
    /// SQLite's primary result code, where it is SQLite that failed.
    code: Option<u32>,
}

impl Failure {
    pub(super) fn kind(&self) -> StoreErrorKind {
        self.error.kind()
    }

    /// Whether a script stopped itself, or met a constraint.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.code, Some(ERROR | CONSTRAINT))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, code: None }
    }
}

impl DatabaseRow for SqliteRow {
    type Failure = Failure;
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let (kind, message) = explain(&error);
        Self {
            code: primary_code(&error),
            error: StoreError::new(kind, message).caused_by(error),
        }
    }
}

/// By SQLite's primary result code, the low byte of the extended one (<https://www.sqlite.org/rescode.html>).
fn explain(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    match primary_code(error) {
        Some(BUSY | LOCKED) => (
            StoreErrorKind::Locked,
            "somebody else holds the SQLite file's write lock: end that transaction, or raise the busy time-out",
        ),
        Some(READONLY) => (
            StoreErrorKind::ReadOnly,
            "the SQLite file or its folder can't be written: give this process write permission on both",
        ),
        Some(CORRUPT | NOTADB) => (
            StoreErrorKind::Corrupt,
            "the file isn't an intact SQLite database: restore it from a backup, or give another path",
        ),
        Some(FULL) => (
            StoreErrorKind::Unavailable,
            "the disk with the SQLite file is full: make room",
        ),
        Some(IOERR | CANTOPEN) => (
            StoreErrorKind::Unavailable,
            "the SQLite file, or the -wal and -shm files beside it, can't be read or written: look at the disk and at \
             the permissions",
        ),
        Some(_) => (
            StoreErrorKind::Unavailable,
            "SQLite refused a statement: look at the source of this error",
        ),
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => (
                StoreErrorKind::Corrupt,
                "the SQLite file holds something that no release of paymux wrote: restore it from a backup",
            ),
            _ => (
                StoreErrorKind::Unavailable,
                "the connection to the SQLite file failed: look at the source of this error",
            ),
        },
    }
}

const ERROR: u32 = 1;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
pub(super) const CANTOPEN: u32 = 14;
const CONSTRAINT: u32 = 19;
const NOTADB: u32 = 26;

pub(super) fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
