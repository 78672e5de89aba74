//! The frames of a packet (RFC 9000, section 19): those that carry bytes are given, all others are passed over by their
//! form. A frame of an unknown kind has no length that could be read, so that the rest of its packet is lost.

use super::bytes::Bytes;

/// A frame that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Bytes of the cryptographic handshake.
    Crypto { offset: u64, data: &'a [u8] },
}

/// The frames of one packet.
pub(super) struct Frames<'a>(Bytes<'a>);

impl<'a> Frames<'a> {
    /// Over the payload of an opened packet.
    pub(super) const fn new(payload: &'a [u8]) -> Self {
        Self(Bytes(payload))
    }

    /// Passes one frame over, or gives it: `Some(None)` is a frame without anything to say.
    fn one(&mut self) -> Option<Option<Frame<'a>>> {
        let bytes = &mut self.0;
        match bytes.varint()? {
            // PADDING: a run of it in one step.
            0x00 => {
                let run = bytes.0.iter().take_while(|byte| **byte == 0).count();
                bytes.take(run)?;
            }
            // PING, HANDSHAKE_DONE.
            0x01 | 0x1e => {}
            // ACK, with or without counts of ECN.
            kind @ (0x02 | 0x03) => {
                bytes.varint()?;
                bytes.varint()?;
                let ranges = bytes.varint()?;
                bytes.varint()?;
                for _ in 0..ranges {
                    bytes.varint()?;
                    bytes.varint()?;
                }
                if kind == 0x03 {
                    bytes.varint()?;
                    bytes.varint()?;
                    bytes.varint()?;
                }
            }
            0x06 => {
                let offset = bytes.varint()?;
                let data = bytes.counted()?;
                return Some(Some(Frame::Crypto { offset, data }));
            }
            // CONNECTION_CLOSE, of the transport or of the application.
            kind @ (0x1c | 0x1d) => {
                bytes.varint()?;
                if kind == 0x1c {
                    bytes.varint()?;
                }
                bytes.counted()?;
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
        assert_eq!(Frames::new(&server).collect::<Vec<_>>(), [answer]);
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
        assert_eq!(Frames::new(&around).collect::<Vec<_>>(), [hello, second]);
        for cut in 0..around.len() {
            assert!(Frames::new(&around[..cut]).count() <= 2);
        }
        assert_eq!(Frames::new(&[0x40, 0x01, 0x21, 6, 0, 0]).next(), None);
    }
}
