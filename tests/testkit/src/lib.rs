//! Conformance suites for paymux's ports: what a store or a connector must do, as tests that its author runs.
//!
//! * [`store_conformance`] takes a [`Store`](paymux_core::Store) through every clause of
//!   [its contract](paymux_core::store).
//! * [`connector_conformance`] takes a [`Connector`](paymux_core::Connector) through what its processor documents:
//!   keys, bytes, effects, echoes, amounts, webhooks, and answers that are lost, cut or wrong.
//!
//! A suite panics with the clause that is broken and what was seen instead. It needs no credentials and no network,
//! and takes a few seconds. [`TestClock`] and [`SeededIds`] are core's, for tests that need both.

mod connector;
mod store;

pub use connector::{Case, Clause, ConnectorSuite, Report, ScriptedTransport, connector_conformance};
pub use paymux_core::{IdSource, Runtime, SeededIds, TestClock};
pub use store::{Durability, Instances, StoreSuite, store_conformance};
