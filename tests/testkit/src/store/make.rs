//! Rows, uniques, events and jobs to write, and chance that follows from a seed.

use std::time::Duration;

use bytes::Bytes;
use paymux_core::Timestamp;
use paymux_core::store::*;
use uuid::Uuid;

/// The time at which rows are made: 2026-01-01T00:00:00Z. The store's own clock may say anything.
pub(super) const TIME: Timestamp = Timestamp::from_secs(1_767_225_600);
/// Long past by any clock.
pub(super) const PAST: Timestamp = Timestamp::from_secs(1_000_000);
/// Far ahead by any clock: 2200-01-01.
pub(super) const FUTURE: Timestamp = Timestamp::from_secs(7_258_118_400);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn intent(id: Uuid) -> RowKey {
    RowKey::new(RowKind::Intent, id)
}

pub(super) fn row(key: RowKey, version: u64) -> Row {
    Row {
        key,
        version,
        schema: 1,
        index: Index {
            status: "created".to_owned(),
            customer: None,
            reference: None,
            parent: None,
            attention: Attention::None,
            attention_since: None,
            created_at: TIME,
            updated_at: TIME.after(Duration::from_secs(version)),
        },
        body: Bytes::from(format!("body {version}")),
    }
}

/// Puts a row, with its precondition.
pub(super) fn put(batch: &mut Batch, row: Row) {
    batch.preconditions.push(match row.version {
        1 => Precondition::Absent(row.key),
        version => Precondition::Version(row.key, version - 1),
    });
    batch.puts.push(row);
}

pub(super) fn unique(scope: Scope, name: &str, target: Option<RowKey>) -> Unique {
    Unique {
        key: UniqueKey::new(scope, name),
        target,
        bytes: Bytes::from_static(b"first"),
        expires_at: None,
    }
}

pub(super) fn event(id: Uuid, row: RowKey, sequence: u64) -> StoredEvent {
    StoredEvent {
        id,
        row,
        sequence,
        at: TIME.after(Duration::from_secs(sequence)),
        kind: "intent.created".to_owned(),
        schema: 3,
        body: Bytes::from(format!("event {sequence}")),
    }
}

pub(super) fn job(queue: Queue, row: RowKey) -> JobKey {
    JobKey {
        queue,
        row,
        child: Uuid::nil(),
    }
}

pub(super) fn job_at(key: JobKey, due: Timestamp) -> JobWrite {
    JobWrite::Put {
        key,
        due: Due::At(due),
    }
}

/// Chance that follows from a seed: SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub(super) fn one_of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Half of the time.
    pub(super) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }
}
