//! Conformance suites for paymux's stores and connectors.
