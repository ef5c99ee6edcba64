//! No crash charges twice, and none loses anything: each row of the crash table, and a process killed at random.
//! After each, a fresh engine over the same store recovers, and what it believes is compared with the processor's own
//! books. A future dropped at every await is in `crash_table.rs`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by it, and shares its world with crash_table.rs"
)]

#[path = "crash/boundary.rs"]
mod boundary;
#[path = "../storage/sql/tests/database/mod.rs"]
mod database;
#[path = "crash/kills.rs"]
mod kills;
#[path = "crash/story.rs"]
mod story;
#[path = "crash/table.rs"]
mod table;
#[path = "crash/world.rs"]
mod world;

use paymux::sqlx;
