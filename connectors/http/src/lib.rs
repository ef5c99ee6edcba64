//! paymux's HTTP transport, on reqwest.
