//! Where packets come from: files, standard input, live interfaces.
//!
//! A [`Source`] lends one packet at a time out of its own buffer. It knows no protocol and decides nothing; what it
//! loses it counts.

mod buffer;
mod clock;
mod compressed;
mod file;
mod filter;
pub mod interfaces;
pub mod live;
mod merge;
mod pcap;
mod pcapng;
mod record;

pub use filter::combine_filter;
pub use merge::merge;

use std::fmt;

use crate::model::packet::RawPacket;

/// Opens a pcap or pcapng file, packed with gzip or zstd or not, or standard input (`-`). `index` is its place on the
/// command line and stands in every stamp. Standard input is waited for.
pub fn open_file(spec: &str, index: u16) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(file::CaptureFile::open(spec, index, None)?))
}

/// Like [`open_file`], but gives only what a BPF expression (pcap-filter(7)) lets through; packets keep their numbers.
pub fn open_file_filtered(spec: &str, index: u16, expression: &str) -> Result<Box<dyn Source>, SourceError> {
    let filter = filter::Filter::new(expression)?;
    Ok(Box::new(file::CaptureFile::open(spec, index, Some(filter))?))
}

/// A stream of raw packets.
pub trait Source: Send {
    /// The next packet, borrowed until the next call. Pull until [`Pull::End`], also after [`Pull::Failed`]: a file
    /// that failed has ended, an interface may come back ([`Source::revive`]), and a merge tells the failure of one of its sources and goes on with the others. After
    /// [`Pull::End`] every further call gives [`Pull::End`].
    fn pull(&mut self) -> Pull<'_>;

    /// File name as given, `-`, or the interface.
    fn name(&self) -> &str;

    /// Packets dropped by the kernel or the capture ring since the start; 0 for files.
    fn kernel_drops(&mut self) -> u64 {
        0
    }

    /// Tries to go on after [`Pull::Failed`]: an interface may be back. Until it is, pulling gives [`Pull::Idle`]. Whether it
    /// is.
    fn revive(&mut self) -> bool {
        false
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
    /// A piece of key log (NSS format) that the capture holds, ahead of the packets that it is for as a rule.
    Secrets(KeyLog<'a>),
    /// Nothing is there for now (live only).
    Idle,
    /// A packet that another handle of the same interface has given (live only).
    Passed,
    /// Nothing more will come.
    End,
    /// A source is damaged or gone; everything before was given. Of a merge the others go on.
    Failed(SourceError),
}

/// Text of a key log. `Debug` shows none of it.
#[derive(Clone, Copy)]
pub struct KeyLog<'a>(pub &'a [u8]);

impl fmt::Debug for KeyLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLog of {} bytes", self.0.len())
    }
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
    /// A BPF expression is wrong, or says nothing about a link type of the capture: exit code 2.
    #[error("BPF filter `{expression}`: {what}; write it as pcap-filter(7) says")]
    Filter {
        /// As given.
        expression: String,
        /// libpcap's words.
        what: String,
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
