//! Columns on a terminal: widths that fit, cells that are cut, colour where it is wanted.
//!
//! Text arrives as it may be shown (`display`); widths are those of the terminal's cells (Unicode Standard Annex 11),
//! not of characters. What does not fit is cut with `…`, widest column first.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Paint};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::model::finding::Severity;

/// How a report is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Cells of a line.
    pub width: usize,
    /// Whether ANSI colours are wanted.
    pub color: bool,
}

/// Width where there is no terminal to ask.
pub const DEFAULT_WIDTH: usize = 110;

/// Lines are never laid out for less: below, a terminal wraps.
const MIN_WIDTH: usize = 40;

/// Columns are not cut below this.
const MIN_COLUMN: usize = 6;

const GAP: &str = "  ";

pub(crate) const BOLD: Paint = Paint::new().bold();
pub(crate) const DIM: Paint = Paint::new().dimmed();
pub(crate) const GOOD: Paint = AnsiColor::Green.on_default();
pub(crate) const PLAIN: Paint = Paint::new();
pub(crate) const WARN: Paint = AnsiColor::Yellow.on_default().bold();

/// Paint of a severity.
pub(crate) const fn severity(severity: Severity) -> Paint {
    match severity {
        Severity::Critical => AnsiColor::BrightRed.on_default().bold().invert(),
        Severity::High => AnsiColor::BrightRed.on_default().bold(),
        Severity::Info => DIM,
        Severity::Low => AnsiColor::Cyan.on_default(),
        Severity::Medium => WARN,
    }
}

impl Style {
    /// Cells of a line, within reason.
    pub(crate) fn columns(self) -> usize {
        self.width.max(MIN_WIDTH)
    }

    /// Text in a paint, when colours are wanted.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if self.color && paint != PLAIN {
            format!("{paint}{text}{paint:#}")
        } else {
            text.to_owned()
        }
    }
}

/// One cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// As it may be shown.
    pub(crate) text: String,
    /// Paint.
    pub(crate) paint: Paint,
    /// Numbers stand at the right.
    pub(crate) right: bool,
    /// May be cut before others are.
    pub(crate) soft: bool,
}

impl Cell {
    /// Something that must be read whole: an address, a word of ours.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: PLAIN,
            right: false,
            soft: false,
        }
    }

    /// Something that others chose, at any length.
    pub(crate) fn soft(text: impl Into<String>) -> Self {
        Self {
            soft: true,
            ..Self::new(text)
        }
    }

    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self {
            paint,
            ..Self::new(text)
        }
    }

    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self {
            right: true,
            ..Self::new(text)
        }
    }
}

/// Draws rows below their heads; columns in which no row says anything are left out.
pub(crate) fn grid(heads: &[&str], rows: &[Vec<Cell>], indent: usize, style: Style) -> String {
    let says = |at: usize| {
        rows.iter()
            .any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty()))
    };
    let shown: Vec<usize> = (0..heads.len()).filter(|at| says(*at)).collect();
    let natural = |at: usize| {
        let widest = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.text.width())
            .max();
        widest.unwrap_or(0).max(heads[at].width())
    };
    let gaps = GAP.len() * shown.len().saturating_sub(1) + indent;
    let may_cut = |at: &usize| rows.iter().any(|row| row.get(*at).is_some_and(|cell| cell.soft));
    let soft: Vec<bool> = shown.iter().map(may_cut).collect();
    let room = style.columns().saturating_sub(gaps);
    let widths = fit(shown.iter().map(|at| natural(*at)).collect(), &soft, room);
    let mut out = String::new();
    let head = |at: &usize| {
        let right = rows.first().and_then(|row| row.get(*at)).is_some_and(|cell| cell.right);
        Cell {
            right,
            ..Cell::painted(heads[*at].to_uppercase(), DIM)
        }
    };
    line(
        &mut out,
        &shown.iter().map(head).collect::<Vec<_>>(),
        &widths,
        indent,
        style,
    );
    for row in rows {
        let cells: Vec<Cell> = shown.iter().filter_map(|at| row.get(*at)).cloned().collect();
        line(&mut out, &cells, &widths, indent, style);
    }
    out
}

fn line(out: &mut String, cells: &[Cell], widths: &[usize], indent: usize, style: Style) {
    out.extend(std::iter::repeat_n(' ', indent));
    for (nth, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let text = cut(&cell.text, *width);
        let missing = width.saturating_sub(text.width());
        let (before, after) = if cell.right { (missing, 0) } else { (0, missing) };
        // Nothing trails the last cell, so that a line can be selected and compared.
        let after = if nth + 1 == cells.len() { 0 } else { after };
        let painted = style.paint(cell.paint, &text);
        let gap = if nth == 0 { "" } else { GAP };
        let _ = write!(out, "{gap}{:before$}{painted}{:after$}", "", "");
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// Takes from the widest column until all fit: from those that may be cut first, then from all, at last to nothing.
fn fit(mut widths: Vec<usize>, soft: &[bool], room: usize) -> Vec<usize> {
    for (all, least) in [
        (false, MIN_COLUMN * 2),
        (false, MIN_COLUMN),
        (true, MIN_COLUMN),
        (true, 1),
    ] {
        while widths.iter().sum::<usize>() > room {
            let may = widths
                .iter_mut()
                .zip(soft)
                .filter(|(_, soft)| all || **soft)
                .map(|(width, _)| width);
            match may.max() {
                Some(widest) if *widest > least => *widest -= 1,
                _ => break,
            }
        }
    }
    widths
}

/// The text in at most so many cells.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for char in text.chars() {
        used += char.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(char);
    }
    out.push('…');
    out
}

/// Words with `, ` between them, on as many lines as they need, each after `indent` spaces.
pub(crate) fn wrap(words: &[String], indent: usize, style: Style) -> String {
    let room = style.columns().saturating_sub(indent).max(MIN_COLUMN);
    let mut lines: Vec<String> = Vec::new();
    for (nth, word) in words.iter().enumerate() {
        let comma = if nth + 1 == words.len() { "" } else { "," };
        let word = format!("{}{comma}", cut(word, room.saturating_sub(comma.len())));
        match lines.last_mut() {
            Some(last) if last.width() + 1 + word.width() <= room => {
                last.push(' ');
                last.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines.iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{:indent$}{line}", "");
        out
    })
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the unit that a person would say.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scaled = count as f64;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && scaled < 99.95);
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// `1 server`, `2 servers`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_fit(cells in proptest::collection::vec(proptest::collection::vec("[a漢é\u{301} ]{0,60}", 4), 0..5),
                     width in 40_usize..140) {
            let style = Style { width, color: false };
            let rows: Vec<Vec<Cell>> = cells.iter().map(|row| row.iter().map(Cell::soft).collect()).collect();
            for line in grid(&["a", "b", "c", "d"], &rows, 2, style).lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
            let words: Vec<String> = cells.concat();
            for line in wrap(&words, 4, style).lines() {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }

    #[test]
    fn figures_are_read_at_a_glance() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1_000, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
        let units = [0, 999, 1_000, 123_456, 18_446_744_073_709_551_615].map(bytes);
        assert_eq!(units, ["0 B", "999 B", "1.0 kB", "123 kB", "18.4 EB"]);
    }
}
