//! Times as both databases keep them: milliseconds since 1970.

use std::time::Duration;

use paymux_core::store::StoreTime;

/// What the injected clock says; `None` leaves it to the database.
pub(crate) fn injected_now(time: &StoreTime) -> Option<i64> {
    match time {
        StoreTime::Own => None,
        StoreTime::Injected(clock) => Some(clock.now().as_millis()),
    }
}

/// At most 100,000 years, so that a time and a duration together are no overflow.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .min(1 << 52)
}
