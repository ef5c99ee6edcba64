//! core

mod money;

pub use money::*;
