//! What is known of a commit by its id.

use paymux_core::Timestamp;
use paymux_core::store::*;
use uuid::Uuid;

/// What a database has of a commit.
pub(crate) struct Known {
    /// Commits of before this time may have been purged.
    pub(crate) horizon: Timestamp,
    pub(crate) there: bool,
    /// When it was made; none if it was declared absent.
    pub(crate) at: Option<Timestamp>,
}

impl Known {
    /// What became of it, if anything did. Refuses an id whose fate may have been purged: neither answer would be a
    /// promise.
    pub(crate) fn fate(&self, commit_id: CommitId) -> Result<Option<Resolved>, StoreError> {
        if made_at(commit_id) < self.horizon {
            return Err(StoreError::rejected(format!(
                "commit {commit_id:?} is older than {}, before which commits were purged: its fate is no longer \
                 known; read the rows that it would have written",
                self.horizon
            )));
        }
        Ok(match (self.there, self.at) {
            (true, Some(at)) => Some(Resolved::Committed(Receipt { commit_id, at })),
            (true, None) => Some(Resolved::Absent),
            (false, _) => None,
        })
    }

    /// The receipt if it was written before. Refuses an id under which nothing may be written any more.
    pub(crate) fn receipt(&self, commit_id: CommitId) -> Result<Option<Receipt>, StoreError> {
        match self.fate(commit_id)? {
            Some(Resolved::Committed(receipt)) => Ok(Some(receipt)),
            Some(Resolved::Absent) => Err(StoreError::rejected(
                "this commit was declared absent: write the same batch under a fresh commit id",
            )),
            None => Ok(None),
        }
    }
}

/// When a commit id was made: a version 7 UUID starts with its milliseconds (RFC 9562, section 5.7).
pub(crate) fn made_at(id: CommitId) -> Timestamp {
    Timestamp::from_millis((id.0.as_u128() >> 80) as i64)
}

/// The lowest commit id that is made at a time; the milliseconds have 48 bits.
pub(crate) fn first_made_at(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.as_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(millis << 80)
}
