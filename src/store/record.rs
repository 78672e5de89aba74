//! Cells of an answer by the name of their column.

use std::collections::BTreeMap;

use crate::model::stamp::Timestamp;
use crate::store::schema::Column;
use crate::store::{Rows, Value};

/// One row of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    columns: &'static [Column],
    cells: &'a [Value],
}

impl Rows {
    /// The rows as records.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> + Clone {
        self.rows.iter().map(|cells| Record {
            columns: self.columns,
            cells,
        })
    }

    /// Place of a column.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

impl<'a> Record<'a> {
    /// The cell of a column; null where there is no such column.
    pub fn value(&self, name: &str) -> &'a Value {
        let at = self.columns.iter().position(|column| column.name == name);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Value::Null)
    }

    /// A text, where it is one.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).as_text()
    }

    /// A number; 0 where it is none.
    pub fn int(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    /// A count; 0 where it is none.
    pub fn count(&self, name: &str) -> u64 {
        u64::try_from(self.int(name)).unwrap_or(0)
    }

    /// Whether it is a yes.
    pub fn flag(&self, name: &str) -> bool {
        *self.value(name) == Value::Bool(true)
    }

    /// A moment.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        match self.value(name) {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Texts; none where it is no list.
    pub fn list(&self, name: &str) -> &'a [String] {
        match self.value(name) {
            Value::List(list) => list,
            _ => &[],
        }
    }

    /// Texts or numbers by name.
    pub fn map(&self, name: &str) -> Option<&'a BTreeMap<String, Value>> {
        match self.value(name) {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Its columns and its cells, each as long as the other.
    pub(crate) const fn parts(&self) -> (&'static [Column], &'a [Value]) {
        (self.columns, self.cells)
    }

    /// Every column with its cell.
    pub fn cells(&self) -> impl Iterator<Item = (&'static Column, &'a Value)> {
        self.columns.iter().zip(self.cells)
    }
}
