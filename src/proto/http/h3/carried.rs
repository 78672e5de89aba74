//! The framing of HTTP/2 (RFC 9113, RFC 7541), as far as HTTP/3 is written in it: plain, and never compressed.

use crate::model::chunk::Lane as Id;
use crate::proto::http::h2::hpack::Field;

/// Types, flags and length of frames of HTTP/2 (RFC 9113, section 6).
pub(super) const DATA_FRAME: u8 = 0;
pub(super) const HEADERS_FRAME: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const FRAME_HEAD_BYTES: usize = 9;
/// Longest payload, in bytes.
pub(super) const FRAME_MAX_BYTES: u64 = (1 << 24) - 1;
/// A field with a name and a value that are written out (RFC 7541, section 6.2.3).
const PLAIN_FIELD: u8 = 0x10;
/// A field out of a place of the table that is never filled here.
pub(super) const UNKNOWN_FIELD: u8 = 0x80 | 62;

/// The head of a frame.
pub(super) fn frame_head(length: u64, kind: u8, flags: u8, stream: u32) -> [u8; FRAME_HEAD_BYTES] {
    let [.., a, b, c] = length.min(FRAME_MAX_BYTES).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// The number that a request stream has in HTTP/2; `None` for any other stream, and beyond 2^31.
pub(super) fn number(id: Id) -> Option<u32> {
    let place = id.checked_div(4).filter(|_| id & 3 == 0)?;
    let number = place.checked_mul(2)?.checked_add(1)?;
    u32::try_from(number).ok().filter(|number| *number < 1 << 31)
}

/// Writes a field as a block of HTTP/2 has it.
pub(super) fn write(field: &Field<'_>, out: &mut Vec<u8>) {
    let (Some(name), Some(value)) = (field.name, field.value) else {
        out.push(UNKNOWN_FIELD);
        return;
    };
    out.push(PLAIN_FIELD);
    for text in [name, value] {
        // A length with a prefix of seven bits (RFC 7541, section 5.1), and no compression.
        match u8::try_from(text.len()) {
            Ok(length @ 0..0x7f) => out.push(length),
            _ => {
                out.push(0x7f);
                let mut left = text.len().saturating_sub(0x7f);
                while left >= 0x80 {
                    out.push(0x80 | (left & 0x7f) as u8);
                    left >>= 7;
                }
                out.push(left as u8);
            }
        }
        out.extend_from_slice(text);
    }
}
