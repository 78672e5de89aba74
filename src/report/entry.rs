//! Rows by the names of their columns: for reports that are put together out of several answers.

use crate::model::stamp::Timestamp;
use crate::store::record::Record;
use crate::store::schema::Column;
use crate::store::{Rows, Value};

/// One row of an answer, whose texts are empty where there are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'r>(Record<'r>);

/// The rows of an answer.
pub(crate) fn entries(rows: &Rows) -> impl Iterator<Item = Entry<'_>> {
    rows.records().map(Entry)
}

/// Entries in some of their columns.
pub(crate) fn pick<'r>(columns: &'static [Column], entries: impl Iterator<Item = Entry<'r>>) -> Rows {
    let row = |entry: Entry<'r>| columns.iter().map(|column| entry.copy(column.name)).collect();
    Rows {
        columns,
        rows: entries.map(row).collect(),
    }
}

impl<'r> Entry<'r> {
    /// A copy of a cell.
    pub(crate) fn copy(&self, name: &str) -> Value {
        self.0.value(name).clone()
    }

    /// The text of a cell.
    pub(crate) fn text(&self, name: &str) -> &'r str {
        self.0.text(name).unwrap_or_default()
    }

    /// The number of a cell.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.0.value(name) {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The moment in a cell.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        self.0.time(name)
    }

    /// Whether a cell says yes.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.0.flag(name)
    }

    /// The texts of a cell.
    pub(crate) fn list(&self, name: &str) -> &'r [String] {
        self.0.list(name)
    }
}
