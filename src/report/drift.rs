//! Changed definitions as text differences, place by place.

use std::fmt::Write as _;

use crate::mcp::difference;
use crate::report::display::terminal;
use crate::report::entry::{Entry, entries};
use crate::report::grid::{BOLD, DIM, GOOD, Style, WARN, cut};
use crate::report::table::moment;
use crate::store::Rows;

/// Lines of one change that are shown; the other formats have both definitions whole.
const LINES_MAX: usize = 40;

/// The rows of `report drift` for a terminal.
pub fn table(rows: &Rows, style: Style) -> String {
    if rows.rows.is_empty() {
        return "nothing found\n".to_owned();
    }
    let mut out = String::new();
    for (nth, drift) in entries(rows).enumerate() {
        if nth > 0 {
            out.push('\n');
        }
        let head = format!(
            "{}  {}  tool {}",
            time(&drift),
            drift.text("server"),
            terminal(drift.text("tool"))
        );
        let _ = writeln!(out, "{}", style.paint(BOLD, &cut(&head, style.columns())));
        changes(&mut out, &drift, style);
    }
    out
}

fn time(drift: &Entry<'_>) -> String {
    drift.time("time").map(moment).unwrap_or_default()
}

fn changes(out: &mut String, drift: &Entry<'_>, style: Style) {
    let read = |name| serde_json::from_str(drift.text(name)).ok();
    let (Some(before), Some(after)) = (read("from_definition"), read("to_definition")) else {
        out.push_str("  its definition is not kept whole; the hashes differ\n");
        return;
    };
    let difference = difference::of(&before, &after);
    let mut lines = difference.lines();
    for line in lines.by_ref().take(LINES_MAX) {
        let paint = match line.as_bytes().first() {
            Some(b'@') => DIM,
            Some(b'+') => GOOD,
            _ => WARN,
        };
        let shown = cut(&terminal(line), style.columns().saturating_sub(2));
        let _ = writeln!(out, "  {}", style.paint(paint, &shown));
    }
    let more = lines.count();
    if more > 0 {
        let _ = writeln!(out, "  and {more} more lines; `--format json` has both definitions");
    }
}
