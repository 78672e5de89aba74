//! When something was seen, and in which packet.
//!
//! Time is packet time: it comes from the capture and never from a clock, so that the same capture gives the same
//! report whenever it is replayed.

use std::fmt;

/// Packet time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest and the latest representable moments, neutral elements of `max` and `min`.
    pub const MIN: Self = Self(i64::MIN);
    /// See [`Timestamp::MIN`].
    pub const MAX: Self = Self(i64::MAX);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds and nanoseconds, saturating.
    pub const fn from_parts(seconds: i64, nanos: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Microseconds since the epoch, rounded down: what reports and stores keep.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Nanoseconds from `earlier` to here; 0 when `earlier` lies later.
    pub const fn since(self, earlier: Self) -> u64 {
        let span = self.0.saturating_sub(earlier.0);
        if span < 0 { 0 } else { span.unsigned_abs() }
    }

    /// Begin of the hour that it lies in.
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0.rem_euclid(3_600_000_000_000))
    }

    /// Here plus a span in nanoseconds, saturating.
    pub const fn plus_nanos(self, span: i64) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// RFC 3339 in UTC with six digits, as the report writes it: `2026-11-20T10:00:00.000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.micros();
        let (days, in_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
        let (year, month, day) = civil_from_days(days);
        let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{fraction:06}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

/// Days since the epoch to (year, month, day) of the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years from a year that starts in March, so that the leap day is the last of a year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// When, and which packet of which source (Wireshark's number, from 1). The order (time, source, packet) decides which
/// of two observations is the earlier one everywhere in the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Packet time.
    pub time: Timestamp,
    /// Index of the source in the order given on the command line, from 0.
    pub source: u16,
    /// Number of the packet within its source, from 1; 0 when live: there is no file to look it up in.
    pub packet: u64,
}

/// First and last moment of something, joined by min and max.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Earliest stamp.
    pub first: Stamp,
    /// Latest stamp.
    pub last: Stamp,
}

impl Span {
    /// A span of one moment.
    pub const fn at(at: Stamp) -> Self {
        Self { first: at, last: at }
    }

    /// Widens to include the other span.
    pub fn join(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc3339_in_utc() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_168_800_000_001_999, "2026-11-20T10:00:00.000001Z"),
            (4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), text);
        }
    }
}
