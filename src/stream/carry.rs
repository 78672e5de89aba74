//! Bytes left over from last time: the one bounded buffer that a layer keeps when a chunk ends in the middle of
//! something that it can only read as a whole.
//!
//! The in-order case never comes here: layers read out of the chunk first. The bound is given by the caller with each
//! call, because it differs by what is being put together.

use crate::model::stamp::Stamp;

/// Memory that an emptied buffer keeps for the next use, in bytes. What is larger goes back to the allocator, so that
/// an idle connection does not hold on to the largest thing that it ever carried.
pub const RETAIN_MAX_BYTES: usize = 16 * 1024;

/// Bytes left over, and the packet that carried the first of them.
#[derive(Debug, Default)]
pub struct Carry {
    bytes: Vec<u8>,
    at: Stamp,
}

impl Carry {
    /// Appends as much of `bytes` as fits below `max_bytes` in all, and tells how much that was.
    pub fn take(&mut self, at: Stamp, bytes: &[u8], max_bytes: usize) -> usize {
        if self.bytes.is_empty() {
            self.at = at;
        }
        let room = max_bytes.saturating_sub(self.bytes.len());
        let fits = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(fits);
        fits.len()
    }

    /// What is kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Packet that carried the first byte; the default when there is none.
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// How many bytes are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        release(&mut self.bytes);
    }
}

/// Empties a recycled buffer and gives its memory back when it is more than [`RETAIN_MAX_BYTES`].
pub fn release(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > RETAIN_MAX_BYTES {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_fits_and_keeps_the_first_stamp() {
        let (first, second) = (
            Stamp {
                packet: 1,
                ..Stamp::default()
            },
            Stamp {
                packet: 2,
                ..Stamp::default()
            },
        );
        let mut carry = Carry::default();
        assert_eq!(carry.take(first, b"abc", 5), 3);
        assert_eq!(carry.take(second, b"def", 5), 2);
        assert_eq!(carry.take(second, b"g", 5), 0);
        assert_eq!((carry.bytes(), carry.at(), carry.len()), (&b"abcde"[..], first, 5));
        carry.clear();
        assert!(carry.is_empty());
        assert_eq!(carry.take(second, b"g", 5), 1);
        assert_eq!(carry.at(), second);
    }

    #[test]
    fn large_buffers_are_given_back() {
        let mut buffer = vec![0; RETAIN_MAX_BYTES + 1];
        release(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
    }
}
