//! A cursor over received bytes that cannot overrun, and QUIC's variable-length integers (RFC 9000, section 16).

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Bytes<'a>(pub(in crate::proto) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next byte.
    pub(in crate::proto) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next `count` bytes.
    pub(in crate::proto) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// As many bytes as the length in front of them says, the length being a variable-length integer.
    pub(in crate::proto) fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.varint()?;
        self.take(usize::try_from(count).ok()?)
    }

    /// Four bytes, the highest first.
    pub(in crate::proto) fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// A variable-length integer, below 2^62. The shortest form is not required.
    pub(in crate::proto) fn varint(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let length = 1_usize << (first >> 6);
        let (first, rest) = self.take(length)?.split_first()?;
        let value = u64::from(first & 0x3f);
        Some(rest.iter().fold(value, |sum, byte| sum << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000, appendix A.1.
    #[test]
    fn reads_the_sample_integers() {
        for (bytes, value) in [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(Bytes(bytes.get(..cut).unwrap_or_default()).varint(), None);
            }
            let mut cursor = Bytes(bytes);
            assert_eq!((cursor.varint(), cursor.0), (Some(value), &[][..]));
        }
    }
}
