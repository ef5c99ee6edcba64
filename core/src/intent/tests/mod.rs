//! The intent's machine against its tables, with states that real events made.

mod guards;
mod properties;
pub(crate) mod scene;
mod table;
