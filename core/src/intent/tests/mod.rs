//! The intent's machine against its tables, with states that real events made.

mod asked;
mod captures;
mod guards;
mod learnt;
mod observations;
pub(crate) mod page;
mod properties;
pub(crate) mod scene;
mod table;
mod view;
