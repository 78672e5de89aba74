//! What both capture file formats share: one record as its reader found it, and the byte order of a file.

use std::ops::Range;

use crate::model::packet::LinkType;
use crate::model::stamp::Timestamp;

/// One numbered record of a capture file.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// A packet.
    Packet(Frame),
    /// A key log, and where its text lies in the buffer; not numbered.
    Secrets(Range<usize>),
    /// Wireshark gives it a number, but it is no packet of a link that we read.
    Skipped,
}

/// A packet, and where its bytes lie in the buffer.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) time: Timestamp,
    pub(super) link: LinkType,
    pub(super) place: Range<usize>,
    pub(super) wire_len: u32,
}

/// Byte order of the host that wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

impl Order {
    #[inline]
    pub(super) const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    #[inline]
    pub(super) const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    pub(super) const fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Big => i64::from_be_bytes(bytes),
            Self::Little => i64::from_le_bytes(bytes),
        }
    }

    /// The first `N` numbers of four bytes.
    #[inline]
    pub(super) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (word, four) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = self.u32(*four);
        }
        (bytes.len() >= N * 4).then_some(words)
    }
}
