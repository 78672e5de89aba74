//! One recycled block of a capture file: `read()` fills it, records are lent out of it.
//!
//! A record that does not fit behind the last one is carried to the front with `copy_within`; only a record larger than
//! the block makes it grow, and never beyond [`MAX_RECORD_BYTES`]. Nothing is allocated per packet. Measured faster than
//! libpcap and than a mapped file, and it works on pipes and behind a decompressor. Knows no file format.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

/// Bytes asked of one `read()`: fits into the second-level cache together with what the packets are worked on with.
const BLOCK_BYTES: usize = 256 * 1024;

/// Longest record (packet or pcapng block) that is taken for real; whoever claims more is damaged.
pub(super) const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// Why a file goes on no further.
#[derive(Debug)]
pub(super) struct Broken {
    /// Offset of the record in the uncompressed file.
    pub(super) offset: u64,
    /// For the operator.
    pub(super) what: String,
}

/// The window into the file.
pub(super) struct Buffer {
    input: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// First byte that was not consumed.
    start: usize,
    /// Behind the last byte that was read.
    end: usize,
    /// Offset of `start` in the uncompressed file.
    offset: u64,
}

impl Buffer {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input,
            bytes: vec![0; BLOCK_BYTES],
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// What was read and not consumed.
    #[inline]
    pub(super) fn ahead(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Bytes at a place that [`Buffer::consume`] gave; valid until the next [`Buffer::want`].
    #[inline]
    pub(super) fn at(&self, place: Range<usize>) -> &[u8] {
        self.bytes.get(place).unwrap_or_default()
    }

    /// Has at least `len` bytes ahead; `false` when the file ends before that. `len` is at most [`MAX_RECORD_BYTES`].
    #[inline]
    pub(super) fn want(&mut self, len: usize) -> Result<bool, Broken> {
        if self.end - self.start >= len {
            Ok(true)
        } else {
            self.fill(len)
        }
    }

    /// Moves on by `len` bytes that are ahead, and says where they lie.
    #[inline]
    pub(super) fn consume(&mut self, len: usize) -> Range<usize> {
        let from = self.start;
        self.start = (from + len).min(self.end);
        self.offset += (self.start - from) as u64;
        from..self.start
    }

    /// Moves on by `len` bytes, ahead or not; `false` when the file ends before that.
    pub(super) fn skip(&mut self, mut len: u64) -> Result<bool, Broken> {
        while len > 0 {
            if !self.want(1)? {
                return Ok(false);
            }
            let step = self.ahead().len().min(usize::try_from(len).unwrap_or(usize::MAX));
            self.consume(step);
            len -= step as u64;
        }
        Ok(true)
    }

    /// The record that begins here is broken.
    #[cold]
    pub(super) fn broken(&self, what: impl Into<String>) -> Broken {
        Broken {
            offset: self.offset,
            what: what.into(),
        }
    }

    /// The file ends within the record that begins here.
    #[cold]
    pub(super) fn cut(&self, what: &str) -> Broken {
        self.broken(format!(
            "the file ends within {what} ({} bytes of it are there)",
            self.ahead().len()
        ))
    }

    #[inline(never)]
    fn fill(&mut self, len: usize) -> Result<bool, Broken> {
        debug_assert!(len <= MAX_RECORD_BYTES, "callers bound what a file claims");
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if len > self.bytes.len() {
            self.bytes.resize(len.next_power_of_two().min(MAX_RECORD_BYTES), 0);
        }
        while self.end < len {
            let room = self.bytes.get_mut(self.end..).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        Ok(true)
    }

    #[cold]
    fn unreadable(&self, error: &io::Error) -> Broken {
        self.broken(match error.kind() {
            ErrorKind::UnexpectedEof => "the compressed data ends early".to_owned(),
            _ => format!("reading failed: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time, as a pipe does.
    struct Drip(Cursor<Vec<u8>>, usize);

    impl Read for Drip {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = into.len().min(self.1);
            self.0.read(&mut into[..len])
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn gives_the_file_in_order(lens in prop::collection::vec(0..400_000_usize, 1..8), drip in 1000..300_000_usize) {
            let total = lens.iter().sum::<usize>();
            let file = (0..total as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(total).collect::<Vec<_>>();
            let mut buffer = Buffer::new(Box::new(Drip(Cursor::new(file.clone()), drip)));
            let mut at = 0;
            for len in lens {
                prop_assert!(buffer.want(len).unwrap());
                let place = buffer.consume(len);
                prop_assert!(buffer.at(place) == &file[at..at + len]);
                at += len;
                prop_assert_eq!(buffer.offset, at as u64);
            }
            prop_assert!(!buffer.want(1).unwrap());
            prop_assert!(buffer.bytes.len() <= 512 * 1024, "grows no further than the largest record");
        }
    }
}
