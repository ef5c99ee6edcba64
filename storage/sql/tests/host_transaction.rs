//! The host's own rows and a payment's, in one transaction; and what triggers of the host's can do to a commit.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

