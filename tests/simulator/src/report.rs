//! What a run of many worlds says: progress while it goes on, and one line of JSON at its end.

use std::collections::BTreeMap;

use crate::{Coverage, Kept, Options, Outcome, Violation};

/// What many worlds came to.
#[derive(Debug, Default)]
pub struct Report {
    /// How many worlds.
    pub seeds: u64,
    /// How many orders, over all of them.
    pub payments: u64,
    /// How many faults, over all of them.
    pub faults: u64,
    /// How many polls, over all of them.
    pub polls: u64,
    /// What was violated, and in which world.
    pub violations: Vec<(u64, Violation)>,
    /// What was reached.
    pub coverage: Coverage,
    /// Worlds that were run twice, and went the same way both times.
    pub repeated: u64,
    /// All traces' hashes in one, whatever the order in which worlds ended.
    pub hash: u64,
}

impl Report {
    /// Adds a world.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.payments += outcome.payments;
        self.faults += outcome.faults.len() as u64;
        self.polls += outcome.polls;
        self.hash = self.hash.wrapping_add(outcome.hash);
        self.coverage.merge(&outcome.coverage);
        let all = outcome.violations.iter().cloned();
        self.violations
            .extend(all.map(|violation| (outcome.seed, violation)));
    }

    /// One line of JSON.
    pub fn json(&self, seconds: u64, missing: &[String]) -> String {
        let violations: Vec<_> = self
            .violations
            .iter()
            .map(|(seed, violation)| {
                serde_json::json!({ "seed": seed, "invariant": violation.invariant, "what": violation.what })
            })
            .collect();
        let reached: BTreeMap<_, _> = self.coverage.counts().iter().collect();
        serde_json::json!({
            "seeds": self.seeds,
            "payments": self.payments,
            "faults": self.faults,
            "violations": violations,
            "polls": self.polls,
            "repeated": self.repeated,
            "hash": format!("{:016x}", self.hash),
            "seconds": seconds,
            "missing": missing,
            "states_reached": reached,
        })
        .to_string()
    }
}

/// The command that runs a world again, with a trace.
pub fn command(options: &Options) -> String {
    let world = match &options.script {
        None => format!(
            "--seeds 1 --from {} --payments {}",
            options.seed, options.payments
        ),
        Some(script) => format!("--script {}", script.place()),
    };
    let mut command = format!("cargo run --release -p paymux-sim -- {world} --trace");
    match options.store {
        Kept::Memory => {}
        #[cfg(feature = "sql")]
        Kept::Sqlite => command += " --store sqlite",
        #[cfg(feature = "sql")]
        Kept::Postgres => command += " --store postgres",
    }
    let list = |names: Vec<String>| names.join(",");
    if let Some(only) = &options.only {
        command += &format!(" --orders {}", list(only.iter().map(u32::to_string).collect()));
    }
    if !options.without.is_empty() {
        let names = options.without.iter().map(ToString::to_string).collect();
        command += &format!(" --without {}", list(names));
    }
    if let Some(tooth) = options.tooth {
        command += &format!(" --tooth {tooth}");
    }
    command
}
