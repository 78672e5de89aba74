//! Decoding of field sections (QPACK, RFC 9204) for a reader that may have missed some of what fills the table.
//!
//! The table of one direction is filled by the instructions of its encoder stream. A section names how many insertions
//! it needs, so that one that is ahead of them can wait ([`Decoder::needs`]). Once an instruction was lost nobody knows
//! how many there were: from then on no section waits, and what it takes from the table is an unknown field. Entries
//! are few and allocated one by one; sections are decoded where they lie.

use std::collections::VecDeque;

use super::fixed::STATIC;
use crate::proto::http::h2::hpack::{Field, integer, string};

/// Most bytes that are kept of a table, whatever capacity its encoder names.
const CAPACITY_MAX_BYTES: usize = 64 * 1024;
/// What an entry costs besides its text (section 3.2.1).
const ENTRY_BYTES: usize = 32;

/// Bytes of an integer that are worth waiting for: one that goes on is none.
const INTEGER_MAX_BYTES: usize = 7;
/// A compressed string is at most so many times as long as the text (30 bits for a character of eight).
const STRETCH_MAX: usize = 4;

/// Both tables of one direction.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Entries that had to make room: the absolute index of the oldest that is left (section 3.2.4).
    evicted: u64,
    size: usize,
    capacity: usize,
    /// Highest capacity that the receiver allows: `SETTINGS_QPACK_MAX_TABLE_CAPACITY`. `None` until it was seen.
    allowed: Option<u64>,
    /// An instruction was missed.
    lost: bool,
    /// Beginning of an instruction whose end has not come.
    carry: Vec<u8>,
    /// Bytes of that instruction in all, as far as its beginning tells. It is not looked at before.
    needed: usize,
}

#[derive(Debug)]
struct Entry {
    /// `None` when the name was not known.
    name: Option<Box<[u8]>>,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| name.len());
        name.saturating_add(self.value.len()).saturating_add(ENTRY_BYTES)
    }
}

/// A section that is not what its bytes should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Decoder {
    /// What the receiver allows.
    pub(super) fn allow(&mut self, capacity: u64) {
        self.allowed = Some(capacity);
    }

    /// Instructions were lost: what was inserted, and how much, is no longer known.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.carry.clear();
        self.lost = true;
    }

    /// Takes bytes of the encoder stream (section 4.3). An instruction is at most `max_bytes` long.
    pub(super) fn instruct(&mut self, bytes: &[u8], max_bytes: usize) {
        if self.lost {
            return;
        }
        let mut carry = std::mem::take(&mut self.carry);
        let mut rest = bytes;
        if !carry.is_empty() {
            carry.extend_from_slice(bytes);
            if carry.len() < self.needed {
                self.carry = carry;
                return;
            }
            rest = &carry;
        }
        while !rest.is_empty() {
            let Some(length) = self.length(rest).filter(|length| *length <= max_bytes) else {
                return self.forget();
            };
            if rest.len() < length {
                self.needed = length;
                self.carry = rest.to_vec();
                return;
            }
            if self.instruction(&mut rest) != Some(true) {
                return self.forget();
            }
        }
    }

    /// Bytes of an instruction, as many as its beginning tells: more than there are when it is not whole. `None` when it
    /// cannot make sense.
    fn length(&self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        let (index, strings) = match *bytes.first()? {
            0x80.. => (Some(6), &[7][..]),
            0x40.. => (None, &[5, 7][..]),
            _ => (Some(5), &[][..]),
        };
        let more = |rest: &[u8]| (rest.len() < INTEGER_MAX_BYTES).then(|| bytes.len().saturating_add(1));
        if let Some(prefix_bits) = index
            && integer(&mut rest, prefix_bits).is_none()
        {
            return more(rest);
        }
        for prefix_bits in strings {
            let compressed = rest
                .first()
                .is_some_and(|first| first & 1_u8.wrapping_shl(*prefix_bits) != 0);
            let Some(length) = integer(&mut rest, *prefix_bits) else {
                return more(rest);
            };
            let least = if compressed { length / STRETCH_MAX } else { length };
            if least > self.capacity {
                return None;
            }
            let Some((_, behind)) = rest.split_at_checked(length) else {
                let before = bytes.len().saturating_sub(rest.len());
                return Some(before.saturating_add(length));
            };
            rest = behind;
        }
        Some(bytes.len().saturating_sub(rest.len()))
    }

    /// One instruction: whether it makes sense; `None` when it is not whole.
    fn instruction(&mut self, rest: &mut &[u8]) -> Option<bool> {
        let first = *rest.first()?;
        let (name, value);
        if first & 0x80 != 0 {
            // Insert with a name that is known.
            let index = integer(rest, 6)?;
            name = if first & 0x40 != 0 {
                let Some((name, _)) = STATIC.get(index) else {
                    return Some(false);
                };
                Some(Box::from(name.as_bytes()))
            } else {
                self.newest(index).and_then(|entry| entry.name.clone())
            };
            value = owned(rest, 7)?;
        } else if first & 0x40 != 0 {
            // Insert with a name that is written out.
            name = Some(owned(rest, 5)?);
            value = owned(rest, 7)?;
        } else if first & 0x20 != 0 {
            let capacity = integer(rest, 5)?;
            if self.allowed.is_some_and(|allowed| capacity as u64 > allowed) {
                return Some(false);
            }
            self.capacity = capacity.min(CAPACITY_MAX_BYTES);
            self.evict(0);
            return Some(true);
        } else {
            let index = integer(rest, 5)?;
            let Some(entry) = self.newest(index) else {
                return Some(false);
            };
            (name, value) = (entry.name.clone(), entry.value.clone());
        }
        let entry = Entry { name, value };
        let size = entry.size();
        if size > self.capacity {
            return Some(false);
        }
        self.evict(size);
        self.size = self.size.saturating_add(size);
        self.entries.push_back(entry);
        Some(true)
    }

    /// Makes room for an entry of this size.
    fn evict(&mut self, size: usize) {
        while self.size.saturating_add(size) > self.capacity {
            let Some(entry) = self.entries.pop_front() else { return };
            self.size = self.size.saturating_sub(entry.size());
            self.evicted = self.evicted.saturating_add(1);
        }
    }

    /// By distance from the newest.
    fn newest(&self, distance: usize) -> Option<&Entry> {
        let index = self.entries.len().checked_sub(distance)?.checked_sub(1)?;
        self.entries.get(index)
    }

    fn inserted(&self) -> u64 {
        self.evicted.saturating_add(self.entries.len() as u64)
    }

    /// Whether a section refers to insertions that have not come yet.
    pub(super) fn needs(&self, section: &[u8]) -> bool {
        let mut rest = section;
        let required = integer(&mut rest, 8).map(|encoded| self.required(encoded as u64));
        !self.lost && required.is_some_and(|required| required > self.inserted())
    }

    /// The number of insertions that a section needs (section 4.5.1.1).
    fn required(&self, encoded: u64) -> u64 {
        let allowed = self.allowed.unwrap_or(self.capacity as u64);
        let most_entries = allowed.checked_div(ENTRY_BYTES as u64).unwrap_or(0);
        let full = most_entries.saturating_mul(2);
        let Some(encoded) = encoded.checked_sub(1).filter(|_| full > 0) else {
            return 0;
        };
        let most = self.inserted().saturating_add(most_entries);
        let wrapped = most.checked_div(full).unwrap_or(0).saturating_mul(full);
        let required = wrapped.saturating_add(encoded);
        if required > most {
            required.saturating_sub(full)
        } else {
            required
        }
    }

    /// Gives the fields of a section in order. A broken section gives those before the damage.
    pub(super) fn decode(&self, section: &[u8], each: &mut dyn FnMut(Field<'_>)) -> Result<(), Broken> {
        let mut rest = section;
        let base = self.base(&mut rest).ok_or(Broken)?;
        let (mut name, mut value) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            self.line(base, &mut rest, (&mut name, &mut value), each)
                .ok_or(Broken)?;
        }
        Ok(())
    }

    /// The prefix of a section (section 4.5.1).
    fn base(&self, rest: &mut &[u8]) -> Option<u64> {
        let required = self.required(integer(rest, 8)? as u64);
        let negative = *rest.first()? & 0x80 != 0;
        let delta = integer(rest, 7)? as u64;
        if negative {
            Some(required.wrapping_sub(delta).wrapping_sub(1))
        } else {
            Some(required.wrapping_add(delta))
        }
    }

    /// One field line (section 4.5).
    fn line(
        &self,
        base: u64,
        rest: &mut &[u8],
        (name, value): (&mut Vec<u8>, &mut Vec<u8>),
        each: &mut dyn FnMut(Field<'_>),
    ) -> Option<()> {
        let first = *rest.first()?;
        name.clear();
        value.clear();
        let before = |index: usize| base.wrapping_sub(index as u64).wrapping_sub(1);
        let behind = |index: usize| base.wrapping_add(index as u64);
        if first & 0x80 != 0 {
            let index = integer(rest, 6)?;
            each(self.field(first & 0x40 != 0, index, before(index))?);
            return Some(());
        }
        if first & 0xf0 == 0x10 {
            let index = integer(rest, 4)?;
            each(self.field(false, index, behind(index))?);
            return Some(());
        }
        let known = if first & 0xe0 == 0x20 {
            string(rest, 3, name)?;
            Some(&name[..])
        } else if first & 0x40 != 0 {
            let index = integer(rest, 4)?;
            self.field(first & 0x10 != 0, index, before(index))?.name
        } else {
            let index = integer(rest, 3)?;
            self.field(false, index, behind(index))?.name
        };
        string(rest, 7, value)?;
        each(Field {
            name: known,
            value: Some(value),
        });
        Some(())
    }

    /// An entry of the static table by its index, or of the dynamic one by its absolute index.
    fn field(&self, fixed: bool, index: usize, absolute: u64) -> Option<Field<'_>> {
        if fixed {
            let (name, value) = STATIC.get(index)?;
            return Some(Field {
                name: Some(name.as_bytes()),
                value: Some(value.as_bytes()),
            });
        }
        let place = absolute.checked_sub(self.evicted).filter(|_| !self.lost);
        let entry = place.and_then(|place| self.entries.get(usize::try_from(place).ok()?));
        Some(Field {
            name: entry.and_then(|entry| entry.name.as_deref()),
            value: entry.map(|entry| &*entry.value),
        })
    }
}

/// A string that is kept.
fn owned(rest: &mut &[u8], prefix_bits: u32) -> Option<Box<[u8]>> {
    let mut text = Vec::new();
    string(rest, prefix_bits, &mut text)?;
    Some(text.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    /// What the peers of RFC 9204, appendix B, have agreed on.
    fn decoder() -> Decoder {
        let mut decoder = Decoder::default();
        decoder.allow(220);
        decoder
    }

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn fields(decoder: &Decoder, section: &[u8]) -> (String, Result<(), Broken>) {
        let mut out = String::new();
        let text = |part: Option<&[u8]>| String::from_utf8_lossy(part.unwrap_or(b"?")).into_owned();
        let result = decoder.decode(section, &mut |field| {
            out += &format!("{}={} ", text(field.name), text(field.value));
        });
        (out, result)
    }

    /// RFC 9204, appendix B.
    #[test]
    fn decodes_the_published_sections() {
        let mut decoder = decoder();
        let first = hex("0000 510b 2f69 6e64 6578 2e68 746d 6c");
        assert_eq!(fields(&decoder, &first), (":path=/index.html ".into(), Ok(())));
        let second = hex("0381 10 11");
        assert!(decoder.needs(&second));
        let inserts = hex("3fbd01 c00f 7777 772e 6578 616d 706c 652e 636f 6d c10c 2f73 616d 706c 652f 7061 7468");
        for byte in &inserts {
            assert!(decoder.needs(&second));
            decoder.instruct(&[*byte], 1_000);
        }
        assert!(!decoder.needs(&second));
        let expected = ":authority=www.example.com :path=/sample/path ";
        assert_eq!(fields(&decoder, &second), (expected.into(), Ok(())));
        decoder.instruct(
            &hex("4a63 7573 746f 6d2d 6b65 790c 6375 7374 6f6d 2d76 616c 7565 02"),
            1_000,
        );
        let third = hex("0500 80 c1 81");
        let expected = ":authority=www.example.com :path=/ custom-key=custom-value ";
        assert_eq!(fields(&decoder, &third), (expected.into(), Ok(())));
        decoder.instruct(&hex("810d 6375 7374 6f6d 2d76 616c 7565 32"), 1_000);
        assert_eq!((decoder.inserted(), decoder.evicted, decoder.size), (5, 1, 215));
        // What the first section of all referred to has made room.
        assert_eq!(fields(&decoder, &second).0, "?=? :path=/sample/path ");
    }

    #[test]
    fn what_was_lost_is_unknown_and_nobody_waits_for_it() {
        let mut decoder = decoder();
        decoder.instruct(&hex("3fbd01 c00f 7777"), 1_000);
        decoder.forget();
        decoder.instruct(&hex("c00f 7777"), 1_000);
        let section = hex("0381 10 51 012f");
        assert!(!decoder.needs(&section));
        assert_eq!(fields(&decoder, &section), ("?=? :path=/ ".into(), Ok(())));
        let mut endless = self::decoder();
        endless.instruct(&[&[0x3f, 0xbd, 0x01, 0x4a][..], &[0x41; 200]].concat(), 100);
        assert!(!endless.lost, "whole instructions have no bound");
        // A capacity that is not allowed, a string that no table holds, an integer and a string beyond the bound.
        for (bytes, max_bytes) in [
            ("3fbe01", 99),
            ("3fbd01 5fc201", 999),
            ("7fffffffff07", 5),
            ("3fbd01 5f9f00", 9),
        ] {
            let mut hostile = self::decoder();
            hostile.instruct(&hex(bytes), max_bytes);
            assert!(hostile.lost, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_tell_the_same(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x40_u8..0x44, 0xc0_u8..0xc4, 0_u8..4], 0..80),
            size in 1_usize..9,
        ) {
            let (mut whole, mut parts) = (decoder(), decoder());
            for decoder in [&mut whole, &mut parts] {
                decoder.instruct(&[0x3f, 0xbd, 0x01], 64);
            }
            whole.instruct(&bytes, 64);
            bytes.chunks(size).for_each(|bytes| parts.instruct(bytes, 64));
            prop_assert_eq!((whole.lost, whole.inserted(), whole.size), (parts.lost, parts.inserted(), parts.size));
        }

        #[test]
        fn hostile_bytes_do_no_harm(
            instructions in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            section in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut decoder = decoder();
            for bytes in &instructions {
                decoder.instruct(bytes, 64);
                prop_assert!(decoder.size <= decoder.capacity.max(CAPACITY_MAX_BYTES));
                prop_assert_eq!(decoder.size, decoder.entries.iter().map(Entry::size).sum::<usize>());
                let _ = decoder.needs(&section);
                let _ = fields(&decoder, &section);
            }
        }
    }
}
