//! `permessage-deflate` (RFC 7692, section 7.2.2): messages out of one raw deflate stream, with or without its window.
//!
//! Behind a loss the window is full of zeros where its content is not known, and no JSON text has a zero byte: what comes
//! out without one was not touched by the loss. A sender that keeps its window refers to the last message for whatever is
//! the same, so that little can be read until 32 KiB of other text have come.
//! Memory: a window of 32 KiB, its decoder, and one step of output.

use flate2::{Decompress, FlushDecompress, Status};
use memchr::memchr;

/// Output that one step gives at most, in bytes.
const STEP_BYTES: usize = 16 * 1024;

/// What a decoder takes of memory, about, in bytes: window, tables and output.
pub(super) const UNPACK_BYTES: usize = 64 * 1024;

/// What a sender takes off the end of a message (section 7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A decoder of one direction.
pub(super) struct Unpack {
    raw: Decompress,
    /// Output that a message may give.
    max_bytes: u64,
    /// Output that the message may still give.
    left: u64,
    /// Something of the window may not be known.
    holed: bool,
    output: Vec<u8>,
}

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpacked<'a> {
    /// The bytes are damaged: no more of this message will come.
    Failed,
    /// Output, and a hole behind it.
    Hole(&'a [u8]),
    /// The input is used up.
    More,
    /// Output; never empty.
    Output(&'a [u8]),
    /// They give more than allowed: no more of this message is decoded.
    Over,
}

impl Unpack {
    /// `midway`: earlier messages were not read.
    pub(super) fn new(max_bytes: usize, midway: bool) -> Self {
        Self {
            raw: Decompress::new(false),
            max_bytes: max_bytes as u64,
            left: 0,
            holed: midway,
            output: vec![0; STEP_BYTES],
        }
    }

    /// A message begins; `fresh` says that it does so with an empty window.
    pub(super) fn begin(&mut self, fresh: bool) {
        self.left = self.max_bytes;
        if fresh {
            self.raw.reset(false);
            self.holed = false;
        }
    }

    /// Bytes of the stream are missing.
    pub(super) fn lose(&mut self) {
        self.raw.reset(false);
        self.holed = true;
    }

    /// Decodes on, and takes from the front of `input` what it used.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Unpacked<'_> {
        let step = self.step(input);
        let Some(left) = self.left.checked_sub(step.unwrap_or(0) as u64) else {
            self.lose();
            return Unpacked::Over;
        };
        self.left = left;
        match step {
            Some(0) => Unpacked::More,
            Some(given) => {
                let output = self.output.get(..given).unwrap_or_default();
                match memchr(0, output).filter(|_| self.holed) {
                    Some(hole) => Unpacked::Hole(output.get(..hole).unwrap_or_default()),
                    None => Unpacked::Output(output),
                }
            }
            None => {
                self.lose();
                Unpacked::Failed
            }
        }
    }

    /// Length of the next output, 0 when the input is used up; `None` when it is no use.
    fn step(&mut self, input: &mut &[u8]) -> Option<usize> {
        loop {
            let (before_in, before_out) = (self.raw.total_in(), self.raw.total_out());
            let status = self
                .raw
                .decompress(input, &mut self.output, FlushDecompress::None)
                .ok()?;
            let used = usize::try_from(self.raw.total_in().saturating_sub(before_in)).ok()?;
            let given = self.raw.total_out().saturating_sub(before_out);
            *input = input.get(used..).unwrap_or_default();
            if status == Status::StreamEnd {
                // A final block (section 7.2.3.4): who sends those begins anew behind them, and keeps no window.
                self.lose();
            }
            match usize::try_from(given).ok()? {
                0 if input.is_empty() => return Some(0),
                0 if used == 0 => return None,
                0 => {}
                given => return Some(given),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// Text of a message, or `None`.
    fn read(unpack: &mut Unpack, fresh: bool, packed: &[u8]) -> Option<Vec<u8>> {
        unpack.begin(fresh);
        let (mut text, mut holes) = (Vec::new(), 0);
        for piece in [packed, &TAIL[..]] {
            let mut rest = piece;
            loop {
                match unpack.next(&mut rest) {
                    Unpacked::Output(output) => text.extend_from_slice(output),
                    Unpacked::Hole(_) => holes += 1,
                    Unpacked::More => break,
                    Unpacked::Failed | Unpacked::Over => return None,
                }
            }
        }
        (holes == 0).then_some(text)
    }

    fn pack(compress: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(text.len() + 1000);
        compress.compress_vec(text, &mut packed, FlushCompress::Sync).unwrap();
        assert!(packed.ends_with(&TAIL));
        packed.truncate(packed.len() - 4);
        packed
    }

    /// RFC 7692, sections 7.2.3.1 to 7.2.3.6.
    #[test]
    fn published_vectors() {
        let hello = b"Hello".to_vec();
        let plain = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        let mut kept = Unpack::new(100, false);
        assert_eq!(read(&mut kept, false, plain), Some(hello.clone()), "one block");
        assert_eq!(
            read(&mut kept, false, b"\xf2\x00\x11\x00\x00"),
            Some(hello.clone()),
            "with its window"
        );
        assert_eq!(
            read(&mut kept, false, b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
            Some(hello.clone()),
            "not compressed"
        );
        assert_eq!(
            read(&mut kept, false, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
            Some(hello.clone()),
            "a final block"
        );
        assert_eq!(
            read(
                &mut kept,
                false,
                b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"
            ),
            Some(hello.clone()),
            "two blocks"
        );
        assert_eq!(read(&mut kept, false, b"\x00"), Some(Vec::new()), "nothing");
        let mut fresh = Unpack::new(100, false);
        for _ in 0..2 {
            assert_eq!(read(&mut fresh, true, plain), Some(hello.clone()), "twice the same");
        }
    }

    #[test]
    fn a_loss_is_felt_until_the_window_is_known_again() {
        let mut compress = Compress::new(Compression::default(), false);
        let text = |number: u32| format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{}}}}"#).into_bytes();
        let mut unpack = Unpack::new(1 << 20, false);
        for number in 0..3 {
            let packed = pack(&mut compress, &text(number));
            assert_eq!(read(&mut unpack, false, &packed), Some(text(number)));
        }
        pack(&mut compress, &text(3));
        unpack.lose();
        let packed = pack(&mut compress, &text(4));
        assert_eq!(read(&mut unpack, false, &packed), None, "refers to what was lost");
        let other: Vec<u8> = (0..40_000_u32)
            .map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 | 1)
            .collect();
        read(&mut unpack, false, &pack(&mut compress, &other));
        let packed = pack(&mut compress, &text(5));
        assert_eq!(
            read(&mut unpack, false, &packed),
            Some(text(5)),
            "the window is known again"
        );
    }

    #[test]
    fn bombs_and_damage_stop() {
        let mut compress = Compress::new(Compression::best(), false);
        let bomb = pack(&mut compress, &vec![b' '; 4 << 20]);
        let mut unpack = Unpack::new(1 << 16, false);
        assert_eq!(read(&mut unpack, true, &bomb), None);
        let mut compress = Compress::new(Compression::best(), false);
        let next = pack(&mut compress, b"{\"jsonrpc\":\"2.0\"}");
        assert!(read(&mut unpack, true, &next).is_some(), "the next message is read");
        assert_eq!(read(&mut unpack, true, b"\xff\xff\xff\xff"), None);
    }
}
