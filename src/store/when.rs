//! Moments as people write them: on the command line and in addresses of the web page.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::model::stamp::Timestamp;

/// RFC 3339, a date (midnight UTC), or a span before `now`: `90s`, `30m`, `24h`, `7d`, `2w`.
///
/// # Errors
/// What may be written instead.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let stamp = |at: OffsetDateTime| i64::try_from(at.unix_timestamp_nanos()).map(Timestamp::from_nanos).ok();
    let absolute = OffsetDateTime::parse(text, &Rfc3339).ok();
    let date = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let absolute = absolute
        .or_else(|| date().map(|date| date.midnight().assume_utc()))
        .and_then(stamp);
    absolute.or_else(|| before(text, now)).ok_or_else(|| {
        "write a date (2026-11-20), a time (2026-11-20T10:00:00Z) or a span before now (30m, 24h, 7d, 2w)".to_owned()
    })
}

fn before(text: &str, now: Timestamp) -> Option<Timestamp> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..)? {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let number: u32 = digits.parse().ok()?;
    let nanos = i64::from(number).saturating_mul(seconds).saturating_mul(1_000_000_000);
    Some(Timestamp::from_nanos(now.nanos().saturating_sub(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = Timestamp::from_nanos(fixture::START);
        for (text, expect) in [
            ("2026-11-20", Some("2026-11-20T00:00:00.000000Z")),
            ("2026-11-20T12:00:00+02:00", Some("2026-11-20T10:00:00.000000Z")),
            ("30m", Some("2026-11-20T09:30:00.000000Z")),
            ("24h", Some("2026-11-19T10:00:00.000000Z")),
            ("7d", Some("2026-11-13T10:00:00.000000Z")),
            ("2w", Some("2026-11-06T10:00:00.000000Z")),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("24 h", None),
            ("2026-13-01", None),
            ("yesterday", None),
        ] {
            assert_eq!(
                moment(text, now).ok().map(|time| time.to_string()).as_deref(),
                expect,
                "{text:?}"
            );
        }
    }
}
