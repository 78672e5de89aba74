//! Names in wire form, lower case, that can be compared and put together without allocating; and as text.

use std::fmt::Write as _;

use domain::base::name::ParsedName;

/// Longest name with all its length octets (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 255;

/// A name in wire form: each label behind its length, the root last.
#[derive(Clone, Copy)]
pub(super) struct Wire {
    octets: [u8; NAME_MAX_BYTES],
    length: usize,
}

impl Wire {
    pub(super) fn of(name: &ParsedName<&[u8]>) -> Self {
        let mut wire = Self {
            octets: [0; NAME_MAX_BYTES],
            length: 0,
        };
        // A parsed name has at most 255 octets.
        wire.append(name);
        wire
    }

    /// Appends a whole name; `false` and unchanged when it does not fit.
    fn append(&mut self, name: &ParsedName<&[u8]>) -> bool {
        let mut end = self.length;
        for label in name.iter() {
            let bytes = label.as_slice();
            let start = end.saturating_add(1);
            end = start.saturating_add(bytes.len());
            let (Some(length), Ok(value)) = (self.octets.get_mut(start.saturating_sub(1)), u8::try_from(bytes.len()))
            else {
                return false;
            };
            *length = value;
            let Some(place) = self.octets.get_mut(start..end) else {
                return false;
            };
            place.copy_from_slice(bytes);
            place.make_ascii_lowercase();
        }
        self.length = end;
        true
    }

    /// Whether it is that name, in any letter case (RFC 4343).
    pub(super) fn is(&self, name: &ParsedName<&[u8]>) -> bool {
        self.is_from(0, name)
    }

    /// Whether what begins at an offset is that name.
    fn is_from(&self, start: usize, name: &ParsedName<&[u8]>) -> bool {
        let mut rest = self.octets.get(start..self.length).unwrap_or_default();
        for label in name.iter() {
            let bytes = label.as_slice();
            let Some((length, after)) = rest.split_first() else {
                return false;
            };
            let Some((mine, after)) = after.split_at_checked(bytes.len()) else {
                return false;
            };
            if usize::from(*length) != bytes.len() || !mine.eq_ignore_ascii_case(bytes) {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    /// Where that name begins within this one, which lies below it (RFC 6672, section 2.2: the owner itself does not).
    fn below(&self, name: &ParsedName<&[u8]>) -> Option<usize> {
        let mut start = 0_usize;
        loop {
            let length = self.octets.get(start).filter(|_| start < self.length)?;
            start = start.saturating_add(usize::from(*length)).saturating_add(1);
            if *length == 0 {
                return None;
            }
            if self.is_from(start, name) {
                return Some(start);
            }
        }
    }

    /// Puts `target` in the place of `owner` when this name lies below it and the result fits.
    pub(super) fn redirect(&mut self, owner: &ParsedName<&[u8]>, target: &ParsedName<&[u8]>) -> bool {
        let Some(start) = self.below(owner) else {
            return false;
        };
        let before = *self;
        self.length = start;
        let fits = self.append(target);
        if !fits {
            *self = before;
        }
        fits
    }
}

/// Lower case, without the final dot, escaped as in a zone file (RFC 1035, section 5.1; RFC 4343, section 2.1).
pub(super) fn write_name(out: &mut String, name: &ParsedName<&[u8]>) {
    out.clear();
    for label in name.iter().filter(|label| !label.is_root()) {
        if !out.is_empty() {
            out.push('.');
        }
        for byte in label.iter() {
            match byte {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' => {
                    out.push('\\');
                    out.push(char::from(byte));
                }
                b'!'..=b'~' => out.push(char::from(byte.to_ascii_lowercase())),
                _ => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\{byte:03}");
                }
            }
        }
    }
}
