//! paymux's SQL stores.
//!
//! Feature `sqlite` gives [`SqliteStore`]: one file, no service, durable.
//!
//! [`sqlx`] is re-exported, since its connections stand in this crate's API: a new major version of it is a new
//! major version of this crate.

#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use sqlite::{CreateFile, SqliteOptions, SqliteStore};
#[cfg(feature = "sqlite")]
pub use sqlx;
