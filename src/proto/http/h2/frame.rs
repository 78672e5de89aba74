//! Frame heads (RFC 9113, sections 4.1 and 6): nine bytes before every payload.
//!
//! Two standards: [`Head::is_possible`] is what a peer would go on with, [`Head::is_usual`] what a sender really sends.
//! The second is for telling HTTP/2 from anything else.

/// What a client sends first (section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame head.
pub(super) const HEAD_BYTES: usize = 9;
/// Longest payload that is accepted of a frame whose type is not known, in bytes: what everyone may send (section 4.2).
const UNKNOWN_MAX_BYTES: u32 = 16_384;

/// Frame types (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Continuation,
    Data,
    GoAway,
    Headers,
    Ping,
    Priority,
    PushPromise,
    RstStream,
    Settings,
    /// Not known: passed over (section 4.1).
    Unknown,
    WindowUpdate,
}

/// Flags (section 6); which of them mean something depends on the type.
mod flag {
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Of the payload, in bytes.
    pub(super) len: u32,
    pub(super) kind: Kind,
    flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
    reserved: bool,
}

impl Head {
    pub(super) fn parse(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes;
        Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind: match kind {
                0 => Kind::Data,
                1 => Kind::Headers,
                2 => Kind::Priority,
                3 => Kind::RstStream,
                4 => Kind::Settings,
                5 => Kind::PushPromise,
                6 => Kind::Ping,
                7 => Kind::GoAway,
                8 => Kind::WindowUpdate,
                9 => Kind::Continuation,
                _ => Kind::Unknown,
            },
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
            reserved: d & 0x80 != 0,
        }
    }

    /// The head at the front of `bytes`, when it is whole.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(Self::parse)
    }

    pub(super) fn is_ack(&self) -> bool {
        self.flags & flag::ACK != 0
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.flags & flag::END_HEADERS != 0
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.flags & flag::END_STREAM != 0
    }

    pub(super) fn is_padded(&self) -> bool {
        self.flags & flag::PADDED != 0
    }

    /// Whether a peer would go on: anything else is a connection error, and the end of the connection.
    pub(super) fn is_possible(&self) -> bool {
        match self.kind {
            Kind::Continuation | Kind::Data | Kind::Headers | Kind::PushPromise => self.stream != 0,
            Kind::GoAway => self.stream == 0 && self.len >= 8,
            Kind::Ping => self.stream == 0 && self.len == 8,
            Kind::Priority => self.stream != 0 && self.len <= UNKNOWN_MAX_BYTES,
            Kind::RstStream => self.stream != 0 && self.len == 4,
            Kind::Settings => self.stream == 0 && self.len.is_multiple_of(6) && self.len <= UNKNOWN_MAX_BYTES,
            Kind::Unknown => self.len <= UNKNOWN_MAX_BYTES,
            Kind::WindowUpdate => self.len == 4,
        }
    }

    /// Whether it is such as senders send: nothing reserved is set, and no frame is longer than everyone may send.
    pub(super) fn is_usual(&self) -> bool {
        let flags = match self.kind {
            Kind::Continuation => flag::END_HEADERS,
            Kind::Data => flag::END_STREAM | flag::PADDED,
            Kind::Headers => flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            Kind::Ping | Kind::Settings => flag::ACK,
            Kind::PushPromise => flag::END_HEADERS | flag::PADDED,
            Kind::GoAway | Kind::Priority | Kind::RstStream | Kind::Unknown | Kind::WindowUpdate => 0,
        };
        let len = match self.kind {
            Kind::Priority => self.len == 5,
            Kind::Settings => !self.is_ack() || self.len == 0,
            Kind::Unknown => false,
            _ => self.len <= UNKNOWN_MAX_BYTES,
        };
        self.is_possible() && self.flags & !flags == 0 && !self.reserved && len
    }

    /// The part of a payload that is a header block fragment (sections 6.2, 6.6 and 6.10): without padding, priority
    /// and promised stream. `payload` may lack its end, when that is lost. `None` when there is no room for them.
    pub(super) fn fragment<'p>(&self, payload: &'p [u8]) -> Option<&'p [u8]> {
        if self.kind == Kind::Continuation {
            return Some(payload);
        }
        let (padding, rest) = if self.is_padded() {
            let (padding, rest) = payload.split_first()?;
            (usize::from(*padding), rest)
        } else {
            (0, payload)
        };
        let fixed = match self.kind {
            Kind::Headers if self.flags & flag::PRIORITY != 0 => 5,
            Kind::PushPromise => 4,
            _ => 0,
        };
        let lost = usize::try_from(self.len).ok()?.checked_sub(payload.len())?;
        let end = rest.len().checked_sub(padding.saturating_sub(lost))?;
        rest.get(fixed..end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    fn head(kind: u8, flags: u8, stream: u32, len: u32) -> Head {
        let [_, a, b, c] = len.to_be_bytes();
        let [d, e, f, g] = stream.to_be_bytes();
        Head::parse(&[a, b, c, kind, flags, d, e, f, g])
    }

    #[test]
    fn what_is_possible_and_what_is_usual() {
        // (type, flags, stream, length, possible, usual)
        for (kind, flags, stream, len, possible, usual) in [
            (0, 0x9, 1, 16_384, true, true),
            (0, 0, 1, 16_777_215, true, false),
            (0, 0, 0, 5, false, false),
            (0, 0x2, 1, 5, true, false),
            (1, 0x2d, 1, 5, true, true),
            (1, 0, 0x8000_0001, 5, true, false),
            (2, 0, 3, 5, true, true),
            (2, 0, 3, 6, true, false),
            (3, 0, 3, 4, true, true),
            (3, 0, 3, 5, false, false),
            (4, 0, 0, 12, true, true),
            (4, 1, 0, 6, true, false),
            (4, 0, 0, 7, false, false),
            (4, 0, 1, 6, false, false),
            (6, 1, 0, 8, true, true),
            (6, 0, 0, 9, false, false),
            (7, 0, 0, 8, true, true),
            (7, 0, 0, 7, false, false),
            (8, 0, 0, 4, true, true),
            (8, 0, 0, 5, false, false),
            (9, 4, 1, 5, true, true),
            (16, 0, 0, 5, true, false),
            (16, 0, 0, 16_385, false, false),
        ] {
            let head = head(kind, flags, stream, len);
            assert_eq!((head.is_possible(), head.is_usual()), (possible, usual), "{head:?}");
        }
        assert!(Head::first(PREFACE).is_some_and(|head| !head.is_possible()));
    }

    #[test]
    fn fragments() {
        for (kind, flags, payload, expect) in [
            (1, 0x4, &b"abc"[..], Some(&b"abc"[..])),
            (1, 0x8, b"\x02abc\0\0", Some(b"abc")),
            (1, 0x28, b"\x01ppppwabc\0", Some(b"abc")),
            (1, 0x20, b"ppppw", Some(b"")),
            (1, 0x20, b"pppp", None),
            (1, 0x8, b"\x04abc", None),
            (1, 0x8, b"", None),
            (5, 0x4, b"ssssabc", Some(b"abc")),
            (9, 0xff, b"abc", Some(b"abc")),
        ] {
            let head = head(kind, flags, 1, payload.len() as u32);
            assert_eq!(head.fragment(payload), expect, "{head:?} {payload:?}");
        }
        // The padding of a payload whose end is lost may be lost with it.
        assert_eq!(head(1, 0x8, 1, 10).fragment(b"\x02abc"), Some(&b"abc"[..]));
    }
}
