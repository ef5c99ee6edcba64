//! An in-process payment processor for paymux, with a ledger of its own and seeded faults.

mod acts;
mod books;
mod config;
mod connector;
mod error;
mod fault;
mod ledger;
mod magic;
mod map;
mod processor;
mod shape;
mod transport;
mod webhook;
mod wire;

pub use acts::ActError;
pub use config::Sandbox;
pub use fault::{Call, FaultKind, Faults};
pub use ledger::{
    CaptureEntry, CaptureState, Fate, LedgerView, Payment, PaymentState, RefundEntry, RefundState, Sent,
    Totals,
};
pub use magic::Magic;
pub use shape::{Settlement, Shape};
