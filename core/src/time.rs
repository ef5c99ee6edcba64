//! Points in time, as rows and events keep them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Fault};
use crate::text::from_text;

/// What RFC 3339 can write: from 0000-01-01T00:00:00Z to before 10000-01-01T00:00:00Z, in milliseconds.
const CALENDAR: Range<i64> = -62_167_219_200_000..253_402_300_800_000;

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
        let in_calendar = Some(self.0).filter(|millis| CALENDAR.contains(millis));
        match in_calendar.and_then(DateTime::from_timestamp_millis) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
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
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self(time.timestamp_millis())),
            Err(_) => Err(Error::invalid(Fault::new(
                "time",
                "not a point in time",
                "write it as 2026-01-31T12:00:00Z",
            ))),
        }
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
            i64::MAX,
            i64::MIN,
            CALENDAR.start,
            CALENDAR.start - 1,
            CALENDAR.end - 1,
            CALENDAR.end,
            -377_705_023_201_001,
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
        assert_eq!(
            Timestamp::from_millis(1_700_000_000_120).to_string(),
            "2023-11-14T22:13:20.120Z"
        );
        for (millis, text) in [
            (CALENDAR.start - 1, "-62167219200001 ms"),
            (CALENDAR.start, "0000-01-01T00:00:00.000Z"),
            (CALENDAR.end - 1, "9999-12-31T23:59:59.999Z"),
            (CALENDAR.end, "253402300800000 ms"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
        for (text, millis) in [
            ("2023-11-15T00:13:20.1239+02:00", 1_700_000_000_123),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("0000-01-01T00:00:00+01:00", CALENDAR.start - 3_600_000),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().as_millis(), millis, "{text}");
        }
        for text in [
            "-009999-01-02T01:59:58.999Z",
            "+002026-01-31T12:00:00Z",
            "",
            "now",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-30T12:00:00Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
