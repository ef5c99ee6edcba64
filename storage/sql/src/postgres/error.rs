//! What PostgreSQL's errors mean to the store's caller, and to a commit.

use paymux_core::store::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgDatabaseError, PgRow, PgSeverity};

use crate::columns::DatabaseRow;

/// Why a statement failed: the store's own error, with what sqlx said as its source.
#[derive(Debug)]
pub(crate) struct Failure {
    error: StoreError,
    fate: Fate,
}

/// What became of a statement that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing is written, and the same again may go well.
    Again,
    /// Nothing is written.
    Undone,
    /// It may be written or not.
    InDoubt,
}

impl Failure {
    pub(super) fn fate(&self) -> Fate {
        self.fate
    }

    /// No connection could be had, so nothing was sent.
    pub(super) fn unreachable(error: sqlx::Error) -> Self {
        Self {
            error: connecting(error),
            fate: Fate::Undone,
        }
    }

    /// The same, where it happened before a statement was sent.
    pub(super) fn before_anything_was_sent(self) -> Self {
        Self {
            fate: Fate::Undone,
            ..self
        }
    }

    /// Whether a primary that has become a replica explains it.
    pub(super) fn is_of_a_replica(&self) -> bool {
        self.error.kind() == StoreErrorKind::ReadOnly
    }

    /// A statement took too long, and nobody waits for it any more.
    pub(super) fn too_slow() -> Self {
        Self {
            error: StoreError::new(
                StoreErrorKind::Unavailable,
                "PostgreSQL took longer for a statement than the store's patience: look for locks that somebody holds",
            ),
            fate: Fate::InDoubt,
        }
    }
}

/// A value that can't be sent, or an answer that isn't what it must be: nothing is left in doubt.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            fate: Fate::Undone,
        }
    }
}

impl DatabaseRow for PgRow {
    type Failure = Failure;
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Of a statement that was sent.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let fate = fate(&error);
        let (kind, message) = explain(&error);
        Self {
            error: StoreError::new(kind, message).caused_by(error),
            fate,
        }
    }
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). The table is in the module's docs.
fn fate(error: &sqlx::Error) -> Fate {
    match error {
        sqlx::Error::Database(database) => {
            let severity = database
                .try_downcast_ref::<PgDatabaseError>()
                .map(PgDatabaseError::severity);
            let code = database.code().unwrap_or_default();
            if matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic)) {
                return Fate::InDoubt;
            }
            match (code.get(..2).unwrap_or_default(), &*code) {
                ("08" | "XX", _) | (_, "40003" | "57P01" | "57P02" | "57P03") => Fate::InDoubt,
                (_, "23505" | "40001" | "40P01" | DIVISION_BY_ZERO) => Fate::Again,
                _ => Fate::Undone,
            }
        }
        sqlx::Error::Encode(_) | sqlx::Error::Configuration(_) => Fate::Undone,
        // The connection is gone, or the answer can't be read: the statement may have been run.
        _ => Fate::InDoubt,
    }
}

/// How a commit stops itself when it meets what its gate couldn't see.
const DIVISION_BY_ZERO: &str = "22012";

fn explain(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    let code = error.as_database_error().and_then(|error| error.code());
    let Some(code) = code else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => (
                StoreErrorKind::Corrupt,
                "PostgreSQL holds something that no release of paymux wrote: restore it from a backup",
            ),
            sqlx::Error::Encode(_) => (StoreErrorKind::Rejected, "a value can't be sent to PostgreSQL"),
            _ => (
                StoreErrorKind::Unavailable,
                "the connection to PostgreSQL failed: look at the source of this error",
            ),
        };
    };
    match (code.get(..2).unwrap_or_default(), &*code) {
        (_, "25006") => (
            StoreErrorKind::ReadOnly,
            "PostgreSQL takes no writes there: give the address of the primary, not of a replica",
        ),
        (_, "42501") => (
            StoreErrorKind::ReadOnly,
            "the role may not do that: grant it all on the schema that holds paymux's tables",
        ),
        (_, "22021" | "22P05") => (
            StoreErrorKind::Rejected,
            "a text holds a character that PostgreSQL can't keep, such as NUL",
        ),
        (_, "54000" | "54001") => (
            StoreErrorKind::Rejected,
            "a value or a batch is larger than PostgreSQL takes: a name in an index has at most some 2000 bytes",
        ),
        (_, "26000" | "42P05") => (
            StoreErrorKind::Unavailable,
            "a pooler hands PostgreSQL's connections around: say PostgresOptions::statements(Statements::Inline)",
        ),
        ("40" | "55", _) | (_, "57014" | "23505" | DIVISION_BY_ZERO) => (
            StoreErrorKind::Locked,
            "others kept changing or locking the same rows in PostgreSQL: try again later",
        ),
        (_, "42P01" | "3F000") => (
            StoreErrorKind::Missing,
            "paymux's tables aren't in that schema: somebody has dropped or moved them",
        ),
        ("53", _) => (
            StoreErrorKind::Unavailable,
            "PostgreSQL is out of disk, memory or connections: make room",
        ),
        _ => (
            StoreErrorKind::Unavailable,
            "PostgreSQL refused a statement: look at the source of this error",
        ),
    }
}

fn connecting(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code());
    let (kind, message) = match (code.as_deref(), &error) {
        (Some("3D000"), _) => (
            StoreErrorKind::Missing,
            "there is no such database: make it, or give another name",
        ),
        (Some("28P01" | "28000"), _) => (
            StoreErrorKind::Unavailable,
            "PostgreSQL doesn't let this role in: look at its name and password, and at pg_hba.conf",
        ),
        (None, sqlx::Error::PoolTimedOut) => (
            StoreErrorKind::Unavailable,
            "no connection to PostgreSQL was free within the store's patience: allow more connections, or look at \
             whether it runs",
        ),
        (None, sqlx::Error::Tls(_)) => (
            StoreErrorKind::Unavailable,
            "TLS to PostgreSQL failed: turn a TLS feature of sqlx on, or look at the source of this error",
        ),
        _ => (
            StoreErrorKind::Unavailable,
            "PostgreSQL can't be reached: look at its address, and at whether it runs",
        ),
    };
    StoreError::new(kind, message).caused_by(error)
}
