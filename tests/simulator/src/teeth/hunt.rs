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

/// Which worlds to run.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// With this bug planted.
    pub tooth: Option<Tooth>,
    /// From this seed on.
    pub from: u64,
    /// How many orders each has.
    pub orders: u32,
    /// Until there were so many payments.
    pub payments: u64,
}

impl Default for Hunt {
    fn default() -> Self {
        Self {
            tooth: None,
            from: 1,
            orders: 100,
            payments: 100_000,
        }
    }
}

impl Hunt {
    fn world(&self, seed: u64) -> Options {
        Options {
            payments: self.orders,
            tooth: self.tooth,
            ..Options::seed(seed)
        }
    }

    /// The first world in which something is violated that isn't without the bug.
    pub fn run(&self) -> Option<Found> {
        let (mut seed, mut payments) = (self.from, 0);
        while payments < self.payments {
            let outcome = run(&self.world(seed));
            payments += outcome.payments;
            let first = outcome.violations.into_iter().next();
            if let Some(violation) = first
                && (self.tooth.is_none() || self.holds_without(seed))
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
    pub fn holds_without(&self, seed: u64) -> bool {
        let world = Options {
            tooth: None,
            ..self.world(seed)
        };
        run(&world).violations.is_empty()
    }
}
