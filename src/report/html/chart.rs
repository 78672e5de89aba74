//! Charts: bars over time and shares of a whole. SVG without text in it, so that it may be stretched to any width;
//! labels are HTML around it, and every figure stands in a table below.

use askama::Template;

use crate::model::stamp::Timestamp;
use crate::report::grid::thousands;
use crate::report::html::parts::{Cell, Head, Piece, Table};
use crate::report::table::moment;

/// Bars of one chart.
const BARS_MAX: usize = 48;

/// Widths of a bar that people think in, in seconds: a minute to ten weeks.
const STEPS_SECONDS: [i64; 14] = [
    60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_419_200, 4_838_400, 6_048_000,
];

const NANOS: i64 = 1_000_000_000;

/// What is counted by time.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is called.
    pub name: &'static str,
    /// Class of its colour.
    pub class: &'static str,
    /// When it happened.
    pub moments: Vec<Timestamp>,
}

#[derive(Debug)]
struct Drawn {
    name: &'static str,
    class: &'static str,
    total: String,
}

#[derive(Debug)]
struct Bar {
    class: &'static str,
    x: String,
    y: String,
    height: String,
    label: String,
}

/// Bars over time, one on the other.
#[derive(Debug, Template)]
#[template(path = "bars.html", config = "src/report/html/askama.toml")]
pub struct Bars {
    id: &'static str,
    title: &'static str,
    summary: String,
    series: Vec<Drawn>,
    top: String,
    width: usize,
    bars: Vec<Bar>,
    from: String,
    to: String,
    table: Table,
}

impl Bars {
    /// Of the time from the first moment to the last; `None` where there is none.
    pub fn new(id: &'static str, title: &'static str, series: &[Series]) -> Option<Self> {
        let all = || series.iter().flat_map(|series| &series.moments);
        let (first, last) = (all().min()?.nanos(), all().max()?.nanos());
        let (start, step, width) = steps(first, last);
        let mut counts = vec![vec![0_u64; series.len()]; width];
        for (nth, series) in series.iter().enumerate() {
            for moment in &series.moments {
                let at = usize::try_from(moment.nanos().saturating_sub(start).div_euclid(step)).unwrap_or(0);
                if let Some(count) = counts.get_mut(at.min(width - 1)).and_then(|bucket| bucket.get_mut(nth)) {
                    *count += 1;
                }
            }
        }
        let top = counts.iter().map(|bucket| bucket.iter().sum::<u64>()).max()?.max(1);
        let label = |at: usize| {
            when(
                start.saturating_add(step.saturating_mul(i64::try_from(at).unwrap_or(0))),
                step,
            )
        };
        let mut bars = Vec::new();
        let mut rows = Vec::new();
        for (at, bucket) in counts.iter().enumerate() {
            let mut below = 0;
            for (count, series) in bucket.iter().zip(series).filter(|(count, _)| **count > 0) {
                below += count;
                bars.push(Bar {
                    class: series.class,
                    x: format!("{}.1", at),
                    y: format!("{:.2}", 100.0 - 100.0 * below as f64 / top as f64),
                    height: format!("{:.2}", 100.0 * *count as f64 / top as f64),
                    label: format!("{}: {} {}", label(at), thousands(*count), series.name),
                });
            }
            if below > 0 {
                let mut row = vec![Cell::text(Some(&label(at)))];
                row.extend(bucket.iter().map(|count| Cell::count(*count)));
                rows.push(row);
            }
        }
        let drawn: Vec<Drawn> = series
            .iter()
            .map(|series| Drawn {
                name: series.name,
                class: series.class,
                total: thousands(series.moments.len() as u64),
            })
            .collect();
        let totals: Vec<String> = drawn
            .iter()
            .map(|series| format!("{} {}", series.total, series.name))
            .collect();
        let mut heads = vec![Head::new("From")];
        heads.extend(series.iter().map(|series| Head::number(series.name)));
        Some(Self {
            id,
            title,
            summary: totals.join(", "),
            series: drawn,
            top: thousands(top),
            width,
            bars,
            from: label(0),
            to: label(width - 1),
            table: Table {
                id: match id {
                    "servers-over-time" => "servers-over-time-table",
                    _ => "findings-over-time-table",
                },
                caption: title.to_owned(),
                heads,
                rows,
                empty: "",
            },
        })
    }
}

/// Start, width of a bar in nanoseconds, and number of bars: the smallest width that people think in.
fn steps(first: i64, last: i64) -> (i64, i64, usize) {
    let bars = |step: i64| (last.div_euclid(step) - first.div_euclid(step)).saturating_add(1);
    let fits = |step: &i64| usize::try_from(bars(*step)).is_ok_and(|bars| bars <= BARS_MAX);
    let year = 31_536_000 * NANOS;
    let step = STEPS_SECONDS
        .map(|seconds| seconds * NANOS)
        .into_iter()
        .find(fits)
        .unwrap_or(year);
    let width = usize::try_from(bars(step)).unwrap_or(1).clamp(1, 10 * BARS_MAX);
    // A single bar would fill the picture.
    (first.div_euclid(step).saturating_mul(step), step, width.max(12))
}

/// A moment as precise as a bar is wide.
fn when(nanos: i64, step: i64) -> String {
    let text = moment(Timestamp::from_nanos(nanos));
    let digits = if step >= 86_400 * NANOS { 10 } else { 16 };
    text.chars().take(digits).collect()
}

/// One part of a whole.
#[derive(Debug)]
struct Part {
    name: &'static str,
    count: String,
    percent: u64,
    bar: Piece,
}

/// How a whole is shared out.
#[derive(Debug, Template)]
#[template(path = "share.html", config = "src/report/html/askama.toml")]
pub struct Share {
    id: &'static str,
    title: &'static str,
    summary: String,
    parts: Vec<Part>,
}

impl Share {
    /// Of parts by name, class and count; those that are empty are left off.
    pub fn new(id: &'static str, title: &'static str, parts: &[(&'static str, &'static str, u64)]) -> Self {
        let whole: u64 = parts.iter().map(|(_, _, count)| count).sum();
        let counts: Vec<(&'static str, u64)> = parts.iter().map(|(_, class, count)| (*class, *count)).collect();
        let bars = pieces(&counts, whole);
        let parts: Vec<Part> = parts
            .iter()
            .zip(bars)
            .filter(|((_, _, count), _)| *count > 0)
            .map(|((name, _, count), bar)| Part {
                name,
                count: thousands(*count),
                percent: (count * 100 + whole / 2).checked_div(whole).unwrap_or(0),
                bar,
            })
            .collect();
        let told: Vec<String> = parts
            .iter()
            .map(|part| format!("{} {}", part.count, part.name))
            .collect();
        Self {
            id,
            title,
            summary: told.join(", "),
            parts,
        }
    }
}

/// Pieces of a bar that is 100 wide for so much.
pub fn pieces(counts: &[(&'static str, u64)], whole: u64) -> Vec<Piece> {
    let mut at = 0.0;
    let piece = |(class, count): &(&'static str, u64)| {
        let width = if whole == 0 {
            0.0
        } else {
            100.0 * *count as f64 / whole as f64
        };
        let piece = Piece {
            class,
            at: format!("{at:.2}"),
            width: format!("{width:.2}"),
        };
        at += width;
        piece
    };
    counts.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_people_think() {
        let hour = 3_600 * NANOS;
        for (span, step, most) in [
            (0, 60, 12),
            (hour, 300, 14),
            (24 * hour, 3_600, 26),
            (24 * 365 * hour, 1_209_600, 28),
        ] {
            let (start, width, bars) = steps(1_795_168_800 * NANOS + 7, 1_795_168_800 * NANOS + 7 + span);
            assert_eq!(width, step * NANOS, "{span}");
            assert!(bars <= most && start <= 1_795_168_800 * NANOS, "{bars}");
        }
        // The ends of time do not overflow.
        for (first, last) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
            assert!(steps(first, last).2 <= 10 * BARS_MAX);
        }
    }

    #[test]
    fn every_moment_is_in_a_bar() {
        let moments: Vec<Timestamp> = (0..500).map(|day| Timestamp::from_parts(day * 86_400, 0)).collect();
        let series = [Series {
            name: "new",
            class: "accent",
            moments,
        }];
        let bars = Bars::new("servers-over-time", "New", &series).unwrap();
        let in_table: u64 = bars
            .table
            .rows
            .iter()
            .map(|row| match &row[1] {
                Cell::Number(number) => number.replace(',', "").parse::<u64>().unwrap(),
                _ => 0,
            })
            .sum();
        assert_eq!(in_table, 500);
        assert!(Bars::new("servers-over-time", "New", &[]).is_none());
        assert!(bars.render().unwrap().contains("<rect"));
    }

    #[test]
    fn parts_make_a_whole() {
        let share = Share::new("x", "X", &[("a", "bad", 1), ("b", "good", 3), ("c", "soft", 0)]);
        assert_eq!(share.parts.iter().map(|part| part.percent).sum::<u64>(), 100);
        assert_eq!(share.parts.len(), 2);
        assert_eq!(pieces(&[("a", 0)], 0)[0].width, "0.00");
    }
}
