//! Moments and spans as people write them.

use crate::model::stamp::Timestamp;
use crate::report::change::Range;
use crate::store::when;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// A time argument, relative to the clock.
///
/// # Errors
/// With what to write, when it is none.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    moment_at(text, crate::cli::setup::now())
}

/// A span of time, relative to the clock: `A..B`, either side left out being the begin of time or now; a day; or a span
/// before now such as `7d`, which reaches to now.
///
/// # Errors
/// With what to write, when it is none.
pub(super) fn range(text: &str) -> Result<Range, String> {
    range_at(text, crate::cli::setup::now())
}

fn range_at(text: &str, now: Timestamp) -> Result<Range, String> {
    let (begin, end) = match text.split_once("..") {
        Some((begin, end)) => {
            let side = |text: &str, open| {
                if text.is_empty() {
                    Ok(open)
                } else {
                    moment_at(text, now)
                }
            };
            (side(begin, Timestamp::MIN)?, side(end, now)?)
        }
        None => match day(text) {
            Some(day) => (day, day.plus_nanos(DAY_NANOS)),
            None => (moment_at(text, now)?, now),
        },
    };
    if begin < end {
        Ok((begin, end))
    } else {
        Err(
            "the span ends before it begins; write the earlier moment first: 14d..7d, 2026-11-01..2026-11-08"
                .to_owned(),
        )
    }
}

/// As [`when::moment`], and `now`.
fn moment_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        Ok(now)
    } else {
        when::moment(text, now)
    }
}

/// Begin of a day in UTC.
fn day(text: &str) -> Option<Timestamp> {
    let only_a_date = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    when::moment(text, Timestamp::MIN).ok().filter(|_| only_a_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let now = Timestamp::from_nanos(fixture::START);
        for (text, expect) in [
            ("14d..7d", Some(("2026-11-06T10", "2026-11-13T10"))),
            ("7d..", Some(("2026-11-13T10", "2026-11-20T10"))),
            ("7d", Some(("2026-11-13T10", "2026-11-20T10"))),
            ("2026-11-18", Some(("2026-11-18T00", "2026-11-19T00"))),
            (
                "2026-11-18..2026-11-19T06:00:00Z",
                Some(("2026-11-18T00", "2026-11-19T06")),
            ),
            ("7d..14d", None),
            ("now..now", None),
            ("a..b", None),
            ("", None),
        ] {
            let hour = |time: Timestamp| time.to_string()[..13].to_owned();
            let read = range_at(text, now).ok().map(|(begin, end)| (hour(begin), hour(end)));
            let read = read.as_ref().map(|(begin, end)| (begin.as_str(), end.as_str()));
            assert_eq!(read, expect, "{text:?}");
        }
    }
}
