//! Conformance suites for paymux's stores and connectors.

mod connector;
pub use connector::{Case, Clause, ConnectorSuite, Report, ScriptedTransport, connector_conformance};
