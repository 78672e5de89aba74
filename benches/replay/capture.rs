//! Capture files as they are written here: classic pcap, Ethernet, microseconds.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Where the packet times begin: in seconds since 1970.
const EPOCH: u64 = 1_795_168_800;

/// A capture file in the making.
pub(crate) struct Capture {
    out: BufWriter<File>,
    /// Captured bytes so far, without the headers of the file.
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self {
            out,
            bytes: 0,
            packets: 0,
        })
    }

    /// Appends a packet, seen so many microseconds after the first one.
    pub(crate) fn push(&mut self, after_us: u64, frame: &[u8]) -> io::Result<()> {
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(EPOCH + after_us / 1_000_000).unwrap_or(u32::MAX);
        for word in [seconds, (after_us % 1_000_000) as u32, len, len] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.bytes += u64::from(len);
        self.packets += 1;
        self.out.write_all(frame)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Moves both ends of an IPv4 packet in Ethernet to another network; checksums are not looked at by default.
pub(crate) fn shift(frame: &mut [u8], by: u8) {
    if !matches!(frame.get(12..14), Some([0x08, 0x00])) {
        return;
    }
    for place in [27, 31] {
        if let Some(octet) = frame.get_mut(place) {
            *octet = octet.wrapping_add(by);
        }
    }
}
