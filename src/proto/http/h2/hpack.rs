//! Decoding of header blocks (RFC 7541) for a reader that may have missed some of them.
//!
//! Own code, because of that: the crates that decode HPACK on its own (`hpack`, abandoned with an advisory, and its
//! forks; `httlib-hpack`, untouched for years) fail a block, and all after it, at the first entry that they have not
//! seen inserted, and they allocate for every field. Here such an entry is an unknown field, the next one is read.
//! Fields are handed on borrowed. Section 4.2's bound on sizes is the encoder's to keep: it is not checked here.

use super::table::Table;
use crate::proto::http::huffman;

pub(in crate::proto::http) use super::table::Field;

/// Longest name that an indexed field may borrow from the table, in bytes.
const NAME_MAX_BYTES: usize = 256;

/// Longest integer (section 5.1): names, values and sizes are far below it.
const INTEGER_MAX: u64 = 1 << 31;

/// The decoder of one direction.
pub(super) struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A block that is not what its bytes should be, or that ends too soon: what comes after it may be read wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// A header block was missed: nothing is known of the table.
    pub(super) fn forget(&mut self) {
        self.table.forget();
    }

    /// Gives the fields of a block in order. A broken block gives those before the damage, and the table is forgotten.
    pub(super) fn decode(&mut self, block: &[u8], each: &mut dyn FnMut(Field<'_>)) -> Result<(), Broken> {
        let mut rest = block;
        while !rest.is_empty() {
            if self.field(&mut rest, each).is_none() {
                self.forget();
                return Err(Broken);
            }
        }
        Ok(())
    }

    /// One representation (section 6).
    fn field(&mut self, rest: &mut &[u8], each: &mut dyn FnMut(Field<'_>)) -> Option<()> {
        let first = *rest.first()?;
        if first & 0x80 != 0 {
            let index = integer(rest, 7)?;
            each(self.table.get(index)?);
            return Some(());
        }
        if first & 0xe0 == 0x20 {
            let size = integer(rest, 5)?;
            self.table.resize(size);
            return Some(());
        }
        let inserts = first & 0x40 != 0;
        let index = integer(rest, if inserts { 6 } else { 4 })?;
        self.name.clear();
        let known = if index == 0 {
            string(rest, 7, &mut self.name)?;
            true
        } else {
            // No field has so long a name: one byte of input must not copy thousands.
            let name = self.table.get(index)?.name.filter(|name| name.len() <= NAME_MAX_BYTES);
            self.name.extend_from_slice(name.unwrap_or_default());
            name.is_some()
        };
        self.value.clear();
        string(rest, 7, &mut self.value)?;
        let name = known.then_some(&self.name[..]);
        each(Field {
            name,
            value: Some(&self.value),
        });
        if inserts {
            self.table.insert(name, &self.value);
        }
        Some(())
    }
}

/// An integer with a prefix of so many bits (section 5.1).
pub(in crate::proto::http) fn integer(rest: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (first, mut tail) = rest.split_first()?;
    let mask = u8::MAX.wrapping_shr(8_u32.saturating_sub(prefix_bits));
    let mut value = u64::from(first & mask);
    if value == u64::from(mask) {
        let mut shift = 0_u32;
        loop {
            let (byte, behind) = tail.split_first()?;
            tail = behind;
            let part = u64::from(byte & 0x7f);
            // Some peers read zeros at the end, however many.
            if part > 0 {
                value = value.saturating_add(part.checked_shl(shift).filter(|_| shift <= 28)?);
            }
            shift = shift.saturating_add(7);
            if value > INTEGER_MAX {
                return None;
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    usize::try_from(value).ok()
}

/// A string (section 5.2), appended to `out`, whose length has a prefix of so many bits. The bit before them tells
/// whether it is compressed.
pub(in crate::proto::http) fn string(rest: &mut &[u8], prefix_bits: u32, out: &mut Vec<u8>) -> Option<()> {
    let compressed = *rest.first()? & 1_u8.wrapping_shl(prefix_bits) != 0;
    let len = integer(rest, prefix_bits)?;
    let (text, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    if compressed {
        return huffman::decode(text, out).then_some(());
    }
    out.extend_from_slice(text);
    Some(())
}

#[cfg(test)]
pub(super) mod tests;
