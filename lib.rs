#![doc = include_str!("README.md")]

pub use paymux_core::*;

#[cfg(feature = "sandbox")]
#[doc(inline)]
pub use paymux_sandbox as sandbox;

#[cfg(feature = "stripe")]
#[doc(inline)]
pub use paymux_stripe as stripe;

#[cfg(feature = "reqwest")]
#[doc(inline)]
pub use paymux_http as http_transport;

#[cfg(feature = "memory")]
pub use paymux_memory::MemoryStore;

#[cfg(feature = "sqlite")]
pub use paymux_sql::{CreateFile, SqliteOptions, SqliteStore};

#[cfg(feature = "postgres")]
pub use paymux_sql::{Engine, PostgresOptions, PostgresStore, Statements};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use paymux_sql::sqlx;

/// What a host imports.
pub mod prelude {
    pub use paymux_core::{
        Actor, CaptureAmount, CaptureMethod, CaptureOutcome, ConnectorMap, Currency, Evidence,
        IdempotencyKey, Money, NewIntent, NewRefund, NextAction, Orchestrator, PaymentIntentId,
        PaymentMethod, PaymentOutcome, Payments, RefundOutcome, RefundReason, Replay, Reply, Rest, Runtime,
        Tenant, Verdict, money,
    };

    #[cfg(feature = "memory")]
    pub use paymux_memory::MemoryStore;

    #[cfg(feature = "postgres")]
    pub use paymux_sql::PostgresStore;
    #[cfg(feature = "sqlite")]
    pub use paymux_sql::SqliteStore;
}
