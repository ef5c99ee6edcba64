//! Points in time, as rows and events keep them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Fault};
use crate::text::from_text;

/// 0000-01-01T00:00:00Z in milliseconds: RFC 3339 writes no time before.
const YEAR_ZERO: i64 = -62_167_219_200_000;

/// A point in time in UTC, to the millisecond. Written as RFC 3339, and outside of the years 0 to 9999 as
/// `253402300800000 ms`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// From seconds since 1970-01-01T00:00:00Z.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later; the far end of time where that overflows.
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This much earlier; the far end of time where that overflows.
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was, seen from here: zero where it isn't earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.max(YEAR_ZERO)) {
            Ok(time) if self.0 >= YEAR_ZERO => write!(f, "{time:.3}"),
            Ok(_) | Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A time beyond the calendar is written as its milliseconds.
        if let Some(millis) = text.strip_suffix(" ms").and_then(|millis| millis.parse().ok()) {
            return Ok(Self(millis));
        }
        // RFC 3339 has years of four digits and no sign.
        let unsigned = Some(text).filter(|text| !text.trim_start().starts_with(['-', '+']));
        unsigned
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map(|time| Self(time.as_millisecond()))
            .ok_or_else(|| {
                Error::invalid(Fault::new(
                    "time",
                    "not a point in time",
                    "write it as 2026-01-31T12:00:00Z",
                ))
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// Reads and writes a [`Duration`] as whole milliseconds, for `#[serde(with = …)]`.
pub(crate) mod duration_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_what_it_writes() {
        for millis in [
            0,
            1,
            1_700_000_000_123,
            -1,
            253_402_207_200_999,
            253_402_300_800_000,
            i64::MAX,
            i64::MIN,
            YEAR_ZERO,
            YEAR_ZERO - 1,
            -377_705_023_201_001,
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
        assert_eq!(
            Timestamp::from_millis(1_700_000_000_120).to_string(),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(
            Timestamp::from_millis(YEAR_ZERO).to_string(),
            "0000-01-01T00:00:00.000Z"
        );
        for text in [
            "-009999-01-02T01:59:58.999Z",
            "+002026-01-31T12:00:00Z",
            "",
            "now",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
