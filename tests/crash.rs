//! No crash charges twice, and none loses anything: each row of the crash table, a future dropped at every await, and
//! a process killed at random. After each, a fresh engine over the same store recovers, and what it believes is
//! compared with the processor's own books.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "crash/boundary.rs"]
mod boundary;
#[path = "crash/drops.rs"]
mod drops;
#[path = "crash/kills.rs"]
mod kills;
#[path = "crash/story.rs"]
mod story;
#[path = "crash/table.rs"]
mod table;
#[path = "crash/world.rs"]
mod world;
