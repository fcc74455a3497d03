//! Points in time as the artifacts write them: UTC, whole seconds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

/// A point in time, in whole seconds since the Unix epoch, never before it.
///
/// Written as `YYYY-MM-DDTHH:MM:SSZ`. [`Timestamp::parse`] reads what the
/// contract's common rules allow, which is a little more than it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last second of the year 9999, the greatest value that is written.
    pub const MAX: Self = Self(253_402_300_799);

    /// From seconds since the epoch, clamped to the years 1970–9999.
    pub fn from_epoch_seconds(seconds: i64) -> Self {
        Self(seconds.clamp(Self::EPOCH.0, Self::MAX.0))
    }

    /// Seconds since the Unix epoch.
    pub fn epoch_seconds(self) -> i64 {
        self.0
    }

    /// Whole seconds from `earlier` to `self`, 0 if `earlier` lies ahead.
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Reads a timestamp by the contract's common rules: outer blanks
    /// trimmed; a year of 1–4 digits and other fields of 1–2; month 1–12,
    /// day 1–31 (days past the month's end roll over), hour ≤ 23,
    /// minute ≤ 59, second ≤ 61; literal `T` and `Z`; not before the epoch.
    /// Anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
        let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
        if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 61 {
            return None;
        }
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let first = Date::from_calendar_date(i32::try_from(year).ok()?, month, 1).ok()?;
        let start = OffsetDateTime::new_in_offset(first, Time::MIDNIGHT, UtcOffset::UTC);
        let seconds = (day - 1) * 86_400 + hour * 3_600 + minute * 60 + second;
        let at = start
            .checked_add(Duration::seconds(seconds))?
            .unix_timestamp();
        (Self::EPOCH.0..=Self::MAX.0)
            .contains(&at)
            .then_some(Self(at))
    }
}

/// Splits `text` into three runs of 1 to `widest` digits.
fn fields(text: &str, separator: char, widest: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (value, width) in out.iter_mut().zip(widest) {
        let part = parts.next()?;
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        if part.is_empty() || part.len() > width || !digits {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In range by construction; the epoch stands in for the impossible.
        let at = OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        let month = u8::from(month);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{text:?} is not a UTC timestamp (YYYY-MM-DDTHH:MM:SSZ)"
            ))
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_be_read_and_what_it_means() {
        for (text, written) in [
            ("2031-05-02T08:00:04Z", "2031-05-02T08:00:04Z"),
            ("  2031-05-02T08:00:04Z\n", "2031-05-02T08:00:04Z"),
            ("2031-5-2T8:0:4Z", "2031-05-02T08:00:04Z"),
            ("2031-02-31T00:00:00Z", "2031-03-03T00:00:00Z"),
            ("2031-01-01T00:00:61Z", "2031-01-01T00:01:01Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            let parsed = Timestamp::parse(text).map(|t| t.to_string());
            assert_eq!(parsed.as_deref(), Some(written), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        for text in [
            "",
            "now",
            "2031-05-02",
            "2031-05-02T08:00:04",
            "2031-05-02 08:00:04Z",
            "2031-05-02T08:00:04.5Z",
            "2031-05-02T08:00:04+00:00",
            "2031-05-02t08:00:04z",
            "12031-05-02T08:00:04Z",
            "2031-13-02T08:00:04Z",
            "2031-00-02T08:00:04Z",
            "2031-05-32T08:00:04Z",
            "2031-05-00T08:00:04Z",
            "2031-05-02T24:00:00Z",
            "2031-05-02T08:60:00Z",
            "2031-05-02T08:00:62Z",
            "1969-12-31T23:59:59Z",
            "2031-05-02T08:00Z",
            "2031-05-02T08:00:04:00Z",
            "2031-005-02T08:00:04Z",
            "2031-05-02T08:00:+4Z",
            "99-1-1T0:0:0Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_later_moment_is_never_a_negative_lag() {
        let (early, late) = (
            Timestamp::from_epoch_seconds(10),
            Timestamp::from_epoch_seconds(15),
        );
        assert_eq!(late.seconds_since(early), 5);
        assert_eq!(early.seconds_since(late), 0);
    }

    proptest! {
        #[test]
        fn every_written_timestamp_reads_back(seconds in 0..=253_402_300_799i64) {
            let at = Timestamp::from_epoch_seconds(seconds);
            prop_assert_eq!(Timestamp::parse(&at.to_string()), Some(at));
        }
    }
}
