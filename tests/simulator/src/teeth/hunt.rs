//! Runs worlds until something is violated.

use serde::{Deserialize, Serialize};

use super::Tooth;
use crate::{Options, run};

/// Where a planted bug was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// In which world.
    pub seed: u64,
    /// After how many payments, that world's counted.
    pub payments: u64,
    /// By which invariant.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
}

impl Found {
    /// One line of JSON.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads that line.
    ///
    /// # Errors
    /// It is none.
    pub fn read(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| format!("`{line}`: {error}"))
    }
}

/// The first world, from that seed on, in which something is violated that isn't without the bug, within so many
/// payments.
pub fn hunt(tooth: Option<Tooth>, from: u64, at_most: u64) -> Option<Found> {
    let (mut seed, mut payments) = (from, 0);
    while payments < at_most {
        let options = Options {
            tooth,
            ..Options::seed(seed)
        };
        let outcome = run(&options);
        payments += outcome.payments;
        let first = outcome.violations.into_iter().next();
        if let Some(violation) = first
            && (tooth.is_none() || holds(seed))
        {
            return Some(Found {
                seed,
                payments,
                invariant: violation.invariant,
                what: violation.what,
            });
        }
        seed += 1;
    }
    None
}

/// Whether nothing is violated in the world of a seed, without any bug planted.
pub fn holds(seed: u64) -> bool {
    run(&Options::seed(seed)).violations.is_empty()
}
