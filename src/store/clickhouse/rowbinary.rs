//! Rows as ClickHouse reads them (format RowBinary): little-endian numbers, texts and lists behind their length (LEB128),
//! a byte before whatever may be null.
//!
//! Rows are encoded once and lie in the outbox as they are sent: a retry costs nothing. The client library would encode
//! them anew for every try.

use std::collections::BTreeMap;

use crate::model::stamp::Timestamp;

/// Appends the cells of rows, in the order of the table's columns.
#[derive(Debug)]
pub(super) struct Row<'a>(pub(super) &'a mut Vec<u8>);

impl Row<'_> {
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(value.into())
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn f64(&mut self, value: f64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A count; those beyond what the column can hold stay at the bound.
    pub(super) fn count(&mut self, value: u64) -> &mut Self {
        self.i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Nanoseconds, as a `DateTime64(9)` has them.
    pub(super) fn time(&mut self, value: Timestamp) -> &mut Self {
        self.i64(value.nanos())
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.length(value.len()).bytes(value.as_bytes())
    }

    pub(super) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => {
                self.u8(0);
                write(self, value);
            }
            None => {
                self.u8(1);
            }
        }
        self
    }

    pub(super) fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        self.maybe(value, |row, text| {
            row.text(text);
        })
    }

    pub(super) fn maybe_time(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.maybe(value, |row, time| {
            row.time(time);
        })
    }

    pub(super) fn list<I: ExactSizeIterator>(
        &mut self,
        items: I,
        mut write: impl FnMut(&mut Self, I::Item),
    ) -> &mut Self {
        self.length(items.len());
        items.for_each(|item| write(self, item));
        self
    }

    pub(super) fn texts(&mut self, items: &[String]) -> &mut Self {
        self.list(items.iter(), |row, item| {
            row.text(item);
        })
    }

    pub(super) fn counts(&mut self, items: &BTreeMap<String, u64>) -> &mut Self {
        self.list(items.iter(), |row, (name, count)| {
            row.text(name).count(*count);
        })
    }

    fn length(&mut self, length: usize) -> &mut Self {
        let mut left = length;
        while left >= 0x80 {
            self.0.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.u8(left as u8)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_nulls_are_as_the_format_has_them() {
        let mut out = Vec::new();
        let mut row = Row(&mut out);
        row.text("é")
            .maybe_text(None)
            .maybe_text(Some(""))
            .u16(0x0102)
            .bool(true);
        row.text(&"x".repeat(300));
        assert_eq!(out[..9], [2, 0xc3, 0xa9, 1, 0, 0, 2, 1, 1]);
        assert_eq!((out[9..11].to_vec(), out.len()), (vec![0xac, 0x02], 311));
    }
}
