//! paymux
pub use paymux_core::*;
