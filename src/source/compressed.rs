//! Opens a file or standard input and takes gzip (RFC 1952) or zstd (RFC 8878) off it, by magic and never by name.
//!
//! Counts what is read on disk for a progress bar. Deliberately opens one layer of compression only, and no archives.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes asked of the file below a decompressor.
const PACKED_BLOCK_BYTES: usize = 128 * 1024;

/// How far a file was read.
#[derive(Clone, Debug, Default)]
pub(super) struct OnDisk {
    /// Bytes of the file; 0 for a pipe.
    pub(super) total: u64,
    read: Arc<AtomicU64>,
}

impl OnDisk {
    /// Bytes read so far and in all, where the end is known.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        (self.total > 0).then(|| (self.read.load(Ordering::Relaxed), self.total))
    }
}

/// Opens a path, or `-` for standard input.
pub(super) fn open(path: &str) -> io::Result<(Box<dyn Read + Send>, OnDisk)> {
    if path == "-" {
        let disk = OnDisk::default();
        return Ok((
            unpack(Counted {
                inner: io::stdin(),
                read: Arc::clone(&disk.read),
            })?,
            disk,
        ));
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    let total = if about.is_file() { about.len() } else { 0 };
    let disk = OnDisk {
        total,
        ..OnDisk::default()
    };
    Ok((
        unpack(Counted {
            inner: file,
            read: Arc::clone(&disk.read),
        })?,
        disk,
    ))
}

/// One atomic addition per `read()` of a block.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn unpack(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let whole = Cursor::new(magic.clone()).chain(input);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            let packed = BufReader::with_capacity(PACKED_BLOCK_BYTES, whole);
            Box::new(flate2::bufread::MultiGzDecoder::new(packed))
        }
        // A frame, or a skippable frame in front of one (RFC 8878, section 3.1).
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            let packed = BufReader::with_capacity(PACKED_BLOCK_BYTES, whole);
            Box::new(zstd::stream::read::Decoder::with_buffer(packed)?)
        }
        _ => Box::new(whole),
    })
}
