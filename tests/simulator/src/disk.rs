//! The stores that worlds are kept in. Those in SQL run each call to its end within one poll, on the world's own time,
//! so that what the engine does follows from the seed on them too.

#[cfg(feature = "sql")]
mod sql;

use std::sync::Arc;

use paymux_core::Store;
use paymux_core::store::StoreTime;

use crate::Kept;

/// A new, empty store.
pub(crate) fn open(kept: Kept, time: StoreTime) -> Arc<dyn Store> {
    match kept {
        Kept::Memory => Arc::new(paymux_memory::MemoryStore::with_time(time)),
        #[cfg(feature = "sql")]
        Kept::Sqlite => sql::sqlite(time),
        #[cfg(feature = "sql")]
        Kept::Postgres => sql::postgres(time),
    }
}

/// Whether worlds can be kept in this store here: why not, where they can't.
///
/// # Errors
/// What is missing.
pub fn reachable(kept: Kept) -> Result<(), String> {
    match kept {
        Kept::Memory => Ok(()),
        #[cfg(feature = "sql")]
        Kept::Sqlite => Ok(()),
        #[cfg(feature = "sql")]
        Kept::Postgres => sql::postgres_answers(),
    }
}
