//! What is wrong with a program: every fault at once, each with its place and a remedy.

use std::fmt;

use super::rule::Place;

/// What is wrong with a program, all of it. Only a program without errors is taken; warnings stay with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    pub(crate) all: Vec<Diagnostic>,
}

/// One thing that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(crate) severity: Severity,
    /// A stable word: `unknown_fact`.
    pub(crate) code: &'static str,
    /// In a builder: the rule or list that it stands in.
    pub(crate) within: Option<String>,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program is taken, and does what it says.
    Warning,
    /// The program is refused.
    Error,
}

impl Diagnostics {
    /// Whether a program with these is taken.
    pub fn is_taken(&self) -> bool {
        self.all.iter().all(|one| one.severity == Severity::Warning)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.iter().try_for_each(|one| writeln!(f, "{}", one.message))
    }
}

impl std::error::Error for Diagnostics {}
