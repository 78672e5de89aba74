//! Frame heads (RFC 6455, section 5.2) and masks (section 5.3). Pure.

/// Longest head, in bytes: two, eight of length, four of mask.
pub(super) const HEAD_MAX_BYTES: usize = 14;

const LAST: u8 = 0x80;
/// RSV1: with RFC 7692, section 6, the first frame of a compressed message.
const PACKED: u8 = 0x40;
/// RSV2 and RSV3: no extension in use has a meaning for them.
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;
/// Longest payload of a control frame (section 5.5).
const CONTROL_MAX_BYTES: u8 = 125;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The direction ends.
    Close,
    /// A message goes on.
    Continuation,
    /// A message begins. Text and binary are not told apart: both carry JSON.
    Message,
    /// Ping or pong.
    Sign,
}

/// A frame, and what is left of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// The last one of its message.
    pub(super) last: bool,
    /// Its message is compressed.
    pub(super) packed: bool,
    /// Mask of the next payload bytes.
    pub(super) mask: Option<[u8; 4]>,
    /// Payload bytes that have not come.
    pub(super) left: u64,
}

impl Frame {
    /// Whether its payload belongs to a message.
    pub(super) const fn is_data(&self) -> bool {
        matches!(self.kind, Kind::Continuation | Kind::Message)
    }
}

/// What bytes are as a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A head of so many bytes.
    Head(Frame, usize),
    /// None.
    Malformed,
    /// One that goes on.
    Partial,
}

/// Reads a head from the front of `bytes`. Whose frames are masked is not checked, and neither is the shortest form of a
/// length: what a lenient endpoint reads is read.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let &[first, second, ref rest @ ..] = bytes else {
        return Parsed::Partial;
    };
    let kind = match first & 0x0f {
        0 => Kind::Continuation,
        1 | 2 => Kind::Message,
        8 => Kind::Close,
        9 | 10 => Kind::Sign,
        _ => return Parsed::Malformed,
    };
    let (last, packed, short) = (first & LAST != 0, first & PACKED != 0, second & !MASKED);
    let control = matches!(kind, Kind::Close | Kind::Sign);
    if first & RESERVED != 0 || (packed && kind != Kind::Message) || (control && (!last || short > CONTROL_MAX_BYTES)) {
        return Parsed::Malformed;
    }
    let size = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(size) else {
        return Parsed::Partial;
    };
    let left = match size {
        0 => u64::from(short),
        _ => length.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if left >> 63 != 0 {
        return Parsed::Malformed;
    }
    let (mask, rest) = match second & MASKED {
        0 => (None, rest),
        _ => match rest.split_first_chunk() {
            Some((mask, rest)) => (Some(*mask), rest),
            None => return Parsed::Partial,
        },
    };
    let frame = Frame {
        kind,
        last,
        packed,
        mask,
        left,
    };
    Parsed::Head(frame, bytes.len().saturating_sub(rest.len()))
}

/// Appends `piece`, unmasked, to `out`, eight bytes at a time. The mask is then that of the byte behind the piece.
pub(super) fn unmask(piece: &[u8], mask: &mut [u8; 4], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(piece);
    let [a, b, c, d] = *mask;
    let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(piece.len() & 3);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    /// RFC 6455, section 5.7, and the edges of each length.
    #[test]
    fn heads() {
        let frame = |kind, last, packed, mask, left| Frame {
            kind,
            last,
            packed,
            mask,
            left,
        };
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        for (bytes, expect, len) in [
            (&b"\x81\x05Hello"[..], frame(Kind::Message, true, false, None, 5), 2),
            (
                b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                frame(Kind::Message, true, false, mask, 5),
                6,
            ),
            (b"\x01\x03Hel", frame(Kind::Message, false, false, None, 3), 2),
            (b"\x80\x02lo", frame(Kind::Continuation, true, false, None, 2), 2),
            (b"\x89\x05Hello", frame(Kind::Sign, true, false, None, 5), 2),
            (
                b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
                frame(Kind::Sign, true, false, mask, 5),
                6,
            ),
            (b"\x82\x7e\x01\x00", frame(Kind::Message, true, false, None, 256), 4),
            (
                b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
                frame(Kind::Message, true, false, None, 65_536),
                10,
            ),
            (b"\xc1\x07", frame(Kind::Message, true, true, None, 7), 2),
            (b"\x88\x00", frame(Kind::Close, true, false, None, 0), 2),
        ] {
            assert_eq!(parse(bytes), Parsed::Head(expect, len), "{bytes:?}");
            for end in 0..len {
                assert_eq!(parse(&bytes[..end]), Parsed::Partial, "{bytes:?} {end}");
            }
        }
    }

    #[test]
    fn what_is_no_head() {
        for bytes in [
            &b"\x83\x00"[..],
            b"\x8b\x00",
            b"\xa1\x00",
            b"\x91\x00",
            b"\xc0\x00",
            b"\xc9\x00",
            b"\x09\x00",
            b"\x89\x7e\x00\x7e",
            b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(parse(bytes), Parsed::Malformed, "{bytes:?}");
        }
    }

    #[test]
    fn masks_of_any_length_and_split() {
        let text: Vec<u8> = (0..=255).cycle().take(700).collect();
        let key = [1, 2, 77, 255];
        let masked: Vec<u8> = text
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        for size in [1, 2, 3, 4, 5, 7, 8, 9, 63, 700] {
            let (mut mask, mut out) = (key, Vec::new());
            masked.chunks(size).for_each(|piece| unmask(piece, &mut mask, &mut out));
            assert_eq!(out, text, "{size}");
        }
    }
}
