//! Runs worlds until something is violated.

use serde::{Deserialize, Serialize};

use super::Tooth;
use crate::{Options, run};

/// Where a planted bug was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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

/// The first world, from seed 1 on, in which something is violated, within so many payments.
pub fn hunt(tooth: Option<Tooth>, at_most: u64) -> Option<Found> {
    let (mut seed, mut payments) = (1, 0);
    while payments < at_most {
        let options = Options {
            tooth,
            ..Options::seed(seed)
        };
        let outcome = run(&options);
        payments += outcome.payments;
        if let Some(violation) = outcome.violations.into_iter().next() {
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
