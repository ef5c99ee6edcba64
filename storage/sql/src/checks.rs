//! What must hold for a batch, as far as both databases are asked alike.

use std::collections::BTreeSet;

use paymux_core::Timestamp;
use paymux_core::store::*;

/// Nobody has it; or nobody but one of ours that has expired; or, to replace a global one, no other tenant has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Free {
    OfAnyone,
    ButExpired(Timestamp),
    OfOthers,
}

/// The names that must be free for the batch.
pub(crate) fn free(batch: &Batch) -> impl Iterator<Item = (&UniqueKey, Free)> {
    batch.uniques.iter().filter_map(|write| match write {
        UniqueWrite::Insert(unique) => Some((&unique.key, Free::OfAnyone)),
        UniqueWrite::Renew { unique, expired_by } => Some((&unique.key, Free::ButExpired(*expired_by))),
        UniqueWrite::Replace(unique) if unique.key.is_global() => Some((&unique.key, Free::OfOthers)),
        UniqueWrite::Replace(_) | UniqueWrite::Delete(_) => None,
    })
}

/// Whose event stands twice in the batch.
pub(crate) fn event_twice(batch: &Batch) -> Option<RowKey> {
    let mut sequences = BTreeSet::new();
    let mut events = batch.events.iter();
    let twice = events.find(|event| !sequences.insert((event.row, event.sequence)));
    twice.map(|event| event.row)
}
