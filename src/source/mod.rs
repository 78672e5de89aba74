//! Where packets come from: files, standard input, live interfaces.
//!
//! A [`Source`] lends one packet at a time out of its own buffer. It knows no protocol and decides nothing; what it
//! loses it counts.

use crate::model::packet::RawPacket;

/// A stream of raw packets.
pub trait Source: Send {
    /// The next packet, borrowed until the next call. After [`Pull::End`] or [`Pull::Failed`] every further call gives
    /// [`Pull::End`].
    fn pull(&mut self) -> Pull<'_>;

    /// File name as given, `-`, or the interface.
    fn name(&self) -> &str;

    /// Packets dropped by the kernel or the capture ring since the start; 0 for files.
    fn kernel_drops(&mut self) -> u64 {
        0
    }

    /// Bytes consumed so far and in all, of the file as it lies on disk, for a progress bar; `None` when unknown.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }
}

/// What [`Source::pull`] gives.
#[derive(Debug)]
pub enum Pull<'a> {
    /// A packet.
    Packet(RawPacket<'a>),
    /// Nothing arrived within the read time-out (live only).
    Idle,
    /// Nothing more will come.
    End,
    /// The source is damaged or gone; everything before was given.
    Failed(SourceError),
}

/// Why a source cannot be opened or goes on no further. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Cannot be opened or is no capture at all: exit code 3.
    #[error("{name}: {what}; {cure}")]
    Unreadable {
        /// As given.
        name: String,
        /// What is wrong.
        what: String,
        /// What to do.
        cure: String,
    },
    /// A capture file is damaged or cut; everything before was processed: exit code 4.
    #[error("{name}: damaged after packet {packets} (byte {offset}): {what}; everything before it was processed")]
    Damaged {
        /// As given.
        name: String,
        /// Packets that were read before the damage.
        packets: u64,
        /// Offset in the uncompressed file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}
