//! What changed in a definition, as lines below its finding.

use std::fmt::Write as _;

use crate::model::finding::Finding;
use crate::report::display::terminal;
use crate::report::grid::{Style, cut};

/// Lines that are shown; every other format has all.
const MAX_LINES: usize = 8;

pub(super) fn write(out: &mut String, finding: &Finding, indent: usize, style: Style) {
    let Some(difference) = finding.detail.get("difference") else {
        return;
    };
    for line in difference.lines().take(MAX_LINES) {
        let _ = writeln!(out, "{:indent$}{}", "", cut(&terminal(line), style.columns() - indent));
    }
    if let Some(more) = difference
        .lines()
        .count()
        .checked_sub(MAX_LINES)
        .filter(|more| *more > 0)
    {
        let _ = writeln!(out, "{:indent$}and {more} more lines", "");
    }
}
