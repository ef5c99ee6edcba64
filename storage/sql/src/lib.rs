//! paymux's SQL stores.
