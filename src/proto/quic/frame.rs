//! The frames of a packet (RFC 9000, section 19): those that carry bytes, or tell of them, are given; all others are
//! passed over by their form. A frame of an unknown kind has no length that could be read, so that the rest of its
//! packet is lost. Extensions that are common are known by their form.

use super::bytes::Bytes;

/// A frame that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Packets that have arrived.
    Ack(Ack<'a>),
    /// Bytes of the cryptographic handshake.
    Crypto { offset: u64, data: &'a [u8] },
    /// A stream ends before all of it was sent.
    Reset { id: u64, length: u64 },
    /// Bytes of a stream.
    Stream {
        id: u64,
        offset: u64,
        data: &'a [u8],
        /// They are the last.
        ends: bool,
    },
}

/// Ranges of packet numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack<'a> {
    largest: u64,
    first: u64,
    /// Pairs of a gap and a length.
    more: &'a [u8],
}

impl Ack<'_> {
    /// The ranges, from the highest down, both ends included.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut more = Bytes(self.more);
        let first = self.largest.checked_sub(self.first).map(|start| (start, self.largest));
        std::iter::successors(first, move |(above, _)| {
            let end = above.checked_sub(more.varint()?)?.checked_sub(2)?;
            Some((end.checked_sub(more.varint()?)?, end))
        })
    }
}

/// The frames of one packet.
pub(super) struct Frames<'a> {
    bytes: Bytes<'a>,
    /// The packet ends too soon: so may the data of its last frame.
    cut: bool,
}

impl<'a> Frames<'a> {
    /// Over the payload of an opened packet.
    pub(super) const fn new(payload: &'a [u8]) -> Self {
        Self {
            bytes: Bytes(payload),
            cut: false,
        }
    }

    /// Over what came of a payload.
    pub(super) const fn cut(payload: &'a [u8]) -> Self {
        Self {
            bytes: Bytes(payload),
            cut: true,
        }
    }

    /// Passes one frame over, or gives it: `Some(None)` is a frame without anything to say.
    fn one(&mut self) -> Option<Option<Frame<'a>>> {
        let Self { bytes, cut } = self;
        let kind = bytes.varint()?;
        match kind {
            // PADDING: a run of it in one step.
            0x00 => {
                let run = bytes.0.iter().take_while(|byte| **byte == 0).count();
                bytes.take(run)?;
            }
            // PING, HANDSHAKE_DONE, IMMEDIATE_ACK.
            0x01 | 0x1e | 0x1f => {}
            0x02 | 0x03 => return ack(bytes, kind == 0x03).map(|ack| Some(Frame::Ack(ack))),
            0x04 => {
                let id = bytes.varint()?;
                bytes.varint()?;
                let length = bytes.varint()?;
                return Some(Some(Frame::Reset { id, length }));
            }
            0x06 => {
                let offset = bytes.varint()?;
                let length = usize::try_from(bytes.varint()?).ok()?;
                let there = if *cut { length.min(bytes.0.len()) } else { length };
                let data = bytes.take(there)?;
                return Some(Some(Frame::Crypto { offset, data }));
            }
            0x08..=0x0f => return stream(bytes, kind).map(Some),
            // NEW_TOKEN.
            0x07 => _ = bytes.counted()?,
            // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
            0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => _ = bytes.varint()?,
            // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED.
            0x05 | 0x11 | 0x15 => {
                bytes.varint()?;
                bytes.varint()?;
            }
            // NEW_CONNECTION_ID: the id, and a token of 16 bytes.
            0x18 => {
                bytes.varint()?;
                bytes.varint()?;
                let length = bytes.byte()?;
                bytes.take(usize::from(length).saturating_add(16))?;
            }
            // PATH_CHALLENGE, PATH_RESPONSE.
            0x1a | 0x1b => _ = bytes.take(8)?,
            // CONNECTION_CLOSE, of the transport or of the application.
            0x1c | 0x1d => {
                bytes.varint()?;
                if kind == 0x1c {
                    bytes.varint()?;
                }
                bytes.counted()?;
            }
            // DATAGRAM (RFC 9221).
            0x30 => _ = bytes.take(bytes.0.len())?,
            0x31 => _ = bytes.counted()?,
            // ACK_FREQUENCY (draft-ietf-quic-ack-frequency).
            0xaf => {
                for _ in 0..4 {
                    bytes.varint()?;
                }
            }
            _ => return None,
        }
        Some(None)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        loop {
            if let Some(frame) = self.one()? {
                return Some(frame);
            }
        }
    }
}

/// Acknowledgements (section 19.3), with counts of ECN or without.
fn ack<'a>(bytes: &mut Bytes<'a>, counts: bool) -> Option<Ack<'a>> {
    let largest = bytes.varint()?;
    bytes.varint()?;
    let ranges = bytes.varint()?;
    let first = bytes.varint()?;
    let start = bytes.0;
    for _ in 0..ranges {
        bytes.varint()?;
        bytes.varint()?;
    }
    let length = start.len().checked_sub(bytes.0.len())?;
    if counts {
        for _ in 0..3 {
            bytes.varint()?;
        }
    }
    let more = start.get(..length)?;
    Some(Ack { largest, first, more })
}

/// STREAM (section 19.8): the low bits say which fields are there.
fn stream<'a>(bytes: &mut Bytes<'a>, kind: u64) -> Option<Frame<'a>> {
    let id = bytes.varint()?;
    let offset = if kind & 4 != 0 { bytes.varint()? } else { 0 };
    let data = if kind & 2 != 0 {
        bytes.counted()?
    } else {
        bytes.take(bytes.0.len())?
    };
    let ends = kind & 1 != 0;
    Some(Frame::Stream { id, offset, data, ends })
}
#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::super::vectors::{self, hex};
    use super::*;

    #[test]
    fn finds_crypto_among_others() {
        let payload = hex(vectors::CLIENT_PAYLOAD);
        let hello = Frame::Crypto {
            offset: 0,
            data: &payload[4..],
        };
        assert_eq!(Frames::new(&payload).collect::<Vec<_>>(), [hello]);
        let server = hex(vectors::SERVER_PAYLOAD);
        let answer = Frame::Crypto {
            offset: 0,
            data: &server[9..],
        };
        let ack = Frame::Ack(Ack {
            largest: 0,
            first: 0,
            more: &[],
        });
        assert_eq!(Frames::new(&server).collect::<Vec<_>>(), [ack, answer]);
        let around = [
            &[0, 0, 1, 3, 9, 1, 1, 2, 0, 1, 1, 2, 3, 1][..],
            &payload,
            &[0x1c, 1, 6, 2, b'n', b'o', 0, 0],
            &[0x06, 0x43, 0xe8, 2, 7, 8],
        ]
        .concat();
        let second = Frame::Crypto {
            offset: 1000,
            data: &[7, 8],
        };
        let given: Vec<Frame<'_>> = Frames::new(&around).collect();
        let Frame::Ack(ack) = given[0] else {
            panic!("no acknowledgement");
        };
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [(7, 9), (4, 5)]);
        assert_eq!(given[1..], [hello, second]);
        for cut in 0..around.len() {
            assert!(Frames::new(&around[..cut]).count() <= 3);
        }
        assert_eq!(Frames::new(&[0x40, 0x01, 0x21, 6, 0, 0]).next(), None);
    }

    #[test]
    fn passes_over_what_carries_nothing() {
        let others = [
            &[0x05, 4, 1][..],
            &[0x07, 3, 9, 9, 9],
            &[0x10, 0x44, 0],
            &[0x11, 4, 9, 0x12, 3, 0x13, 3, 0x14, 9, 0x15, 4, 9, 0x16, 3, 0x17, 3],
            &[0x18, 1, 0, 4, 1, 2, 3, 4],
            &[7; 16],
            &[0x19, 0, 0x1a],
            &[8; 8],
            &[0x1b],
            &[8; 8],
            &[0x1e, 0x31, 2, 1, 2, 0x40, 0xaf, 1, 2, 3, 4],
            &[0x04, 8, 1, 0x40, 77],
            &[0x0b, 4, 3, b'a', b'b', b'c', 0x0e, 8, 0x41, 0, 1, b'd'],
            &[0x08, 12, b'e', b'f'],
        ]
        .concat();
        let stream = |id, offset, data, ends| Frame::Stream { id, offset, data, ends };
        let expected = [
            Frame::Reset { id: 8, length: 77 },
            stream(4, 0, &b"abc"[..], true),
            stream(8, 256, b"d", false),
            stream(12, 0, b"ef", false),
        ];
        assert_eq!(Frames::new(&others).collect::<Vec<_>>(), expected);
    }
}
