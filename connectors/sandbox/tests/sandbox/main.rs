//! What the sandbox promises, checked through its connector and against its books.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;
mod verbs;
