//! What must never erode, read off the files themselves: the direction of dependencies, calls that nobody may make,
//! the same files in each connector, and pages that say what the manifests say.
//!
//! A rule is a function from files to breaches, and a breach names its file, its line and the rule. Each module ends
//! with tests that show its rules something that breaks them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod files;
mod manifests;
mod pages;
mod source;
