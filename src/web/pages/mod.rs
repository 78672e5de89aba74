//! One file for each page. A page asks the desk, and gives sections; `page` puts the frame around them.

pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod drift;
pub(crate) mod finding;
pub(crate) mod graph;
pub(crate) mod list;
pub(crate) mod overview;
pub(crate) mod sensors;
pub(crate) mod server;
pub(crate) mod session;

use crate::report::grid::{count, thousands};
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Section, Table};
use crate::report::html::words::Layout;
use crate::store::record::Record;
use crate::store::{Rows, Word};

/// Rows of a table on the page of one thing; the list has all.
const ROWS_MAX: usize = 50;

/// The rows of a word on the page of one thing; `None` without rows.
fn part(id: &'static str, title: &str, rows: &Rows, word: Word, without: &[&str]) -> Option<Section> {
    let records: Vec<Record<'_>> = rows.records().collect();
    chosen(id, title, &records, word, without)
}

/// As [`part`], of rows that were chosen.
fn chosen(id: &'static str, title: &str, records: &[Record<'_>], word: Word, without: &[&str]) -> Option<Section> {
    (!records.is_empty()).then(|| Section::new(id, title, &table(table_id(word), records, word, without)))
}

/// A table of at most [`ROWS_MAX`] rows that says how many there are.
fn table(id: &'static str, records: &[Record<'_>], word: Word, without: &[&str]) -> Table {
    let all = records.len();
    let caption = match all {
        all if all > ROWS_MAX => format!("{ROWS_MAX} of {} {}", thousands(all as u64), word.name()),
        all => how_many(all, word),
    };
    let shown = records.iter().take(ROWS_MAX).copied();
    Layout::of(word).table(id, caption, shown, Doors::Pages, without)
}

/// `1 server`, `2 servers`.
fn how_many(rows: usize, word: Word) -> String {
    let many = match word {
        Word::Drift => "changes",
        Word::Timeline => "events",
        word => word.name(),
    };
    count(rows as u64, many.trim_end_matches('s'), many)
}

const fn table_id(word: Word) -> &'static str {
    match word {
        Word::Captures => "captures-table",
        Word::Clients => "clients-table",
        Word::Drift => "drift-table",
        Word::Findings => "findings-table",
        Word::Lookups => "lookups-table",
        Word::Messages => "messages-table",
        Word::Servers => "servers-table",
        Word::Sessions => "sessions-table",
        Word::Timeline => "timeline-table",
        Word::Tools => "tools-table",
        Word::Usage => "usage-table",
    }
}
