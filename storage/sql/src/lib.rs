//! paymux's SQL stores.
//!
//! Feature `sqlite` gives [`SqliteStore`]: one file, no service, durable.
//!
//! Feature `postgres` gives [`PostgresStore`]: any number of processes on one PostgreSQL database.
//!
//! [`sqlx`] is re-exported, since its connections stand in this crate's API: a new major version of it is a new
//! major version of this crate.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod checks;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod known;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod time;

#[cfg(feature = "postgres")]
pub use postgres::{Engine, PostgresOptions, PostgresStore, Statements};
#[cfg(feature = "sqlite")]
pub use sqlite::{CreateFile, SqliteOptions, SqliteStore};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use sqlx;
