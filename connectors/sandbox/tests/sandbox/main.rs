//! What the sandbox promises, checked through its connector and against its books.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by it"
)]

mod books;
mod faults;
mod file;
mod shapes;
mod support;
mod tokens;
mod verbs;
mod webhooks;
