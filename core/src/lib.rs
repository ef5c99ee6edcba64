//! paymux's core: entities, state machines, ports and the engine. It does no I/O of its own, reads no clock and
//! spawns nothing: a store, connectors and a runtime are handed to it.

pub mod connector;
pub mod store;

mod action;
mod decline;
mod error;
mod id;
mod intent;
mod method;
mod money;
mod refund;
mod runtime;
mod secret;
mod session;
mod tenant;
mod time;

pub use action::{Action, ActionKind};
pub use connector::{Connector, Transport};
pub use decline::{Decline, DeclineAdvice, DeclineCode, DeclineKind, DeclineTable, unmapped_declines};
pub use error::{Error, ErrorKind, Fault, PublicError, Result, Retry};
pub use id::*;
pub use intent::*;
pub use method::{MethodKind, PaymentMethod};
pub use money::*;
pub use refund::{NewRefund, Refund, RefundReason, RefundStatus};
pub use runtime::*;
pub use secret::{Secret, Volatile};
pub use session::{CheckoutSession, ExpiryReason, Integration, NewSession, OnSubmit, SessionStatus};
pub use store::Store;
pub use tenant::{Mode, Tenant};
pub use time::Timestamp;

pub use bytes::Bytes;
