//! What a child's callers were told, line by line, each on the disk before the caller goes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use paymux::PaymentIntentId;
use serde::{Deserialize, Serialize};

/// What a caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// Its first request may be on its way.
    Begun,
    /// There is this payment.
    Made(PaymentIntentId),
    /// The money is held.
    Held,
    /// So much was taken.
    Captured(i64),
    /// So much was given back.
    Refunded(i64),
    /// What was held is given up.
    Voided,
    /// No.
    Declined,
    /// There is nothing more to ask for.
    Done,
}

#[derive(Debug)]
pub(crate) struct Log(File);

const NAME: &str = "acknowledged";

impl Log {
    pub(crate) fn open(folder: &Path) -> Self {
        let mut options = File::options();
        Self(options.append(true).create(true).open(folder.join(NAME)).unwrap())
    }

    pub(crate) fn note(&self, order: u64, fact: Fact) {
        let line = serde_json::to_string(&(order, fact)).unwrap();
        (&self.0).write_all(format!("{line}\n").as_bytes()).unwrap();
        self.0.sync_data().unwrap();
    }

    /// All that was noted, by order.
    pub(crate) fn read(folder: &Path) -> BTreeMap<u64, Vec<Fact>> {
        let text = std::fs::read_to_string(folder.join(NAME)).unwrap_or_default();
        let mut orders: BTreeMap<u64, Vec<Fact>> = BTreeMap::new();
        for line in text.lines() {
            let (order, fact) = serde_json::from_str(line).unwrap();
            orders.entry(order).or_default().push(fact);
        }
        orders
    }
}
