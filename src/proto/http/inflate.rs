//! Content codings (RFC 9110, section 8.4.1): gzip and deflate, decoded as far as the bytes have come, so that an event
//! stream flushed per event gives each event at once.
//!
//! `deflate` is read with and without its zlib wrapper, since both are sent. Brotli and Zstandard are named and not
//! read. Checksums are not verified: what a cut or damaged body still gives is evidence. Output is bounded per body.

use flate2::{Decompress, FlushDecompress, Status};

/// Output that one step gives at most, in bytes.
const STEP_BYTES: usize = 16 * 1024;
/// An event stream may go on for hours: each input byte allows so many output bytes more.
const STREAM_RATIO: u64 = 32;

/// How a body was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1950, or RFC 1951 alone.
    Deflate,
    /// RFC 1952.
    Gzip,
    /// Not at all.
    Identity,
    /// Anything else, several codings in a row included.
    Other,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// From a `Content-Encoding` value.
    pub(crate) fn parse(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let is = |name: &[u8]| value.eq_ignore_ascii_case(name);
        match () {
            () if value.is_empty() || is(b"identity") => Self::Identity,
            () if is(b"gzip") || is(b"x-gzip") => Self::Gzip,
            () if is(b"deflate") => Self::Deflate,
            () if is(b"br") => Self::Brotli,
            () if is(b"zstd") => Self::Zstd,
            () => Self::Other,
        }
    }
}

/// A decoder of one body.
pub(super) struct Inflate {
    state: State,
    raw: Box<Decompress>,
    /// Output that may still come.
    left: u64,
    ratio: u64,
    output: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Compressed data of that coding.
    Data { gzip: bool },
    /// The first byte of a `deflate` body, which tells whether it has a wrapper, has not come.
    Deflate,
    /// All was read; what follows is passed over.
    Ended,
    /// A gzip member's header.
    Gzip(Header),
    /// Checksum and length behind a gzip member: so many bytes of it are left.
    Trailer(u8),
}

/// Where in a gzip header (RFC 1952, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Extra {
        flags: u8,
        left: u16,
    },
    ExtraLength {
        flags: u8,
        low: Option<u8>,
    },
    Fixed {
        at: u8,
        flags: u8,
    },
    Sum {
        left: u8,
    },
    /// Name, then comment: each ends with a zero.
    Text {
        flags: u8,
    },
}

const FLAG_SUM: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inflated<'a> {
    /// The bytes are damaged, or give more than allowed: no more will come.
    Failed,
    /// The input is used up.
    More,
    /// Output; never empty.
    Output(&'a [u8]),
}

impl Inflate {
    /// For a body in `coding`. `None` when that is not read. `stream` allows output in proportion to the input.
    pub(super) fn new(coding: Coding, max_bytes: usize, stream: bool) -> Option<Self> {
        let state = match coding {
            Coding::Deflate => State::Deflate,
            Coding::Gzip => State::Gzip(Header::Fixed { at: 0, flags: 0 }),
            Coding::Brotli | Coding::Identity | Coding::Other | Coding::Zstd => return None,
        };
        Some(Self {
            state,
            raw: Box::new(Decompress::new(false)),
            left: max_bytes as u64,
            ratio: if stream { STREAM_RATIO } else { 0 },
            output: vec![0; STEP_BYTES],
        })
    }

    /// Whether the body ended where its coding says that it ends.
    pub(super) fn is_complete(&self) -> bool {
        matches!(
            self.state,
            State::Ended | State::Trailer(_) | State::Gzip(Header::Fixed { at: 0, .. })
        )
    }

    /// Decodes on, and takes from the front of `input` what it used.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Inflated<'_> {
        loop {
            match self.state {
                State::Ended => {
                    *input = &[];
                    return Inflated::More;
                }
                State::Data { gzip } => match self.data(gzip, input) {
                    Ok(0) if input.is_empty() => return Inflated::More,
                    Ok(0) => {}
                    Ok(len) => return Inflated::Output(self.output.get(..len).unwrap_or_default()),
                    Err(()) => return Inflated::Failed,
                },
                _ => {
                    let Some((&byte, rest)) = input.split_first() else {
                        return Inflated::More;
                    };
                    *input = rest;
                    match self.wrapper(byte) {
                        Some(next) => self.state = next,
                        None => return Inflated::Failed,
                    }
                }
            }
        }
    }

    /// Output of one step; 0 when it ended or needs more input.
    fn data(&mut self, gzip: bool, input: &mut &[u8]) -> Result<usize, ()> {
        let (before_in, before_out) = (self.raw.total_in(), self.raw.total_out());
        let status = self
            .raw
            .decompress(input, &mut self.output, FlushDecompress::None)
            .map_err(|_| ())?;
        let used = usize::try_from(self.raw.total_in().saturating_sub(before_in)).map_err(|_| ())?;
        let given = self.raw.total_out().saturating_sub(before_out);
        *input = input.get(used..).unwrap_or_default();
        let allowed = self.left.saturating_add((used as u64).saturating_mul(self.ratio));
        self.left = allowed.checked_sub(given).ok_or(())?;
        if status == Status::StreamEnd {
            self.state = if gzip { State::Trailer(8) } else { State::Ended };
        } else if used == 0 && given == 0 && !input.is_empty() {
            return Err(());
        }
        usize::try_from(given).map_err(|_| ())
    }

    /// One byte around the compressed data.
    fn wrapper(&mut self, byte: u8) -> Option<State> {
        match self.state {
            State::Gzip(header) => header.next(byte).map(|next| match next {
                Some(header) => State::Gzip(header),
                None => {
                    self.raw.reset(false);
                    State::Data { gzip: true }
                }
            }),
            State::Trailer(left @ 2..) => Some(State::Trailer(left.saturating_sub(1))),
            // Members may follow one another (RFC 1952, section 2.2).
            State::Trailer(_) => Some(State::Gzip(Header::Fixed { at: 0, flags: 0 })),
            State::Deflate => {
                // RFC 1950, section 2.2: method 8 and a window of at most 32 KiB. Without the wrapper this byte would
                // begin a stored block with bits in its padding, which no encoder sets.
                self.raw.reset(byte & 0x0f == 8 && byte >> 4 <= 7);
                self.state = State::Data { gzip: false };
                // The shortest code has seven bits and the block header three: one byte gives no output.
                self.data(false, &mut &[byte][..]).ok().filter(|given| *given == 0)?;
                Some(self.state)
            }
            State::Data { .. } | State::Ended => None,
        }
    }
}

impl Header {
    /// `Some(None)` when the header has ended, `None` when this is no gzip.
    fn next(self, byte: u8) -> Option<Option<Self>> {
        let next = match self {
            Self::Fixed { at: 0, flags } if byte == 0x1f => Self::Fixed { at: 1, flags },
            Self::Fixed { at: 1, flags } if byte == 0x8b => Self::Fixed { at: 2, flags },
            Self::Fixed { at: 2, flags } if byte == 8 => Self::Fixed { at: 3, flags },
            Self::Fixed { at: 3, .. } => Self::Fixed { at: 4, flags: byte },
            Self::Fixed { at: at @ 4..9, flags } => Self::Fixed {
                at: at.saturating_add(1),
                flags,
            },
            Self::Fixed { at: 9, flags } => return Some(Self::after(flags)),
            Self::Fixed { .. } => return None,
            Self::ExtraLength { flags, low: None } => Self::ExtraLength { flags, low: Some(byte) },
            Self::ExtraLength { flags, low: Some(low) } => match u16::from_le_bytes([low, byte]) {
                0 => return Some(Self::after(flags & !FLAG_EXTRA)),
                left => Self::Extra { flags, left },
            },
            Self::Extra { flags, left: 1 } => return Some(Self::after(flags & !FLAG_EXTRA)),
            Self::Extra { flags, left } => Self::Extra {
                flags,
                left: left.saturating_sub(1),
            },
            Self::Text { flags } if byte != 0 => Self::Text { flags },
            Self::Text { flags } if flags & FLAG_NAME != 0 => return Some(Self::after(flags & !FLAG_NAME)),
            Self::Text { flags } => return Some(Self::after(flags & !FLAG_COMMENT)),
            Self::Sum { left: 2 } => Self::Sum { left: 1 },
            Self::Sum { .. } => return Some(None),
        };
        Some(Some(next))
    }

    /// The optional part that comes next.
    const fn after(flags: u8) -> Option<Self> {
        if flags & FLAG_EXTRA != 0 {
            Some(Self::ExtraLength { flags, low: None })
        } else if flags & (FLAG_NAME | FLAG_COMMENT) != 0 {
            Some(Self::Text { flags })
        } else if flags & FLAG_SUM != 0 {
            Some(Self::Sum { left: 2 })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn inflate(coding: Coding, pieces: &[&[u8]], max_bytes: usize, stream: bool) -> (Vec<u8>, bool, bool) {
        let mut inflate = Inflate::new(coding, max_bytes, stream).unwrap();
        let mut output = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match inflate.next(&mut rest) {
                    Inflated::Output(bytes) => output.extend_from_slice(bytes),
                    Inflated::More => break,
                    Inflated::Failed => return (output, false, false),
                }
            }
        }
        (output, true, inflate.is_complete())
    }

    fn check(coding: Coding, packed: &[u8], text: &[u8]) {
        for size in [packed.len(), 1, 7] {
            let pieces = packed.chunks(size).collect::<Vec<_>>();
            assert_eq!(
                inflate(coding, &pieces, 1 << 20, false),
                (text.to_vec(), true, true),
                "{coding:?} {size}"
            );
        }
        assert!(!inflate(coding, &[&packed[..packed.len() / 2]], 1 << 20, false).2);
    }

    #[test]
    fn codings_in_any_split() {
        let text = "{\"jsonrpc\":\"2.0\"} and more ".repeat(3000).into_bytes();
        let mut gzip = flate2::GzBuilder::new()
            .filename("a")
            .comment("b")
            .extra(vec![1; 300])
            .write(Vec::new(), Compression::default());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        check(Coding::Gzip, &gzip, &text);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        check(Coding::Deflate, &zlib.finish().unwrap(), &text);
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text).unwrap();
        check(Coding::Deflate, &raw.finish().unwrap(), &text);
        let twice = [gzip.clone(), gzip].concat();
        assert_eq!(
            inflate(Coding::Gzip, &[&twice], 1 << 20, false),
            (text.repeat(2), true, true)
        );
    }

    #[test]
    fn each_flush_gives_its_text_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut inflate = Inflate::new(Coding::Gzip, 1 << 20, true).unwrap();
        for number in 0..20 {
            let event = format!("data: {{\"n\":{number}}}\n\n");
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            let packed = std::mem::take(encoder.get_mut());
            let (mut rest, mut output) = (&packed[..], Vec::new());
            while let Inflated::Output(bytes) = inflate.next(&mut rest) {
                output.extend_from_slice(bytes);
            }
            assert_eq!(output, event.as_bytes());
        }
    }

    #[test]
    fn bombs_and_damage_stop() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; 4 << 20]).unwrap();
        let bomb = bomb.finish().unwrap();
        let (output, fine, _) = inflate(Coding::Gzip, &[&bomb], 1 << 16, false);
        assert!(!fine && output.len() <= 1 << 16);
        let (output, fine, _) = inflate(Coding::Gzip, &[&bomb], 1 << 16, true);
        assert!(!fine && output.len() <= (1 << 16) + bomb.len() * 32);
        for (coding, bytes) in [(Coding::Gzip, &b"not gzip"[..]), (Coding::Deflate, b"\xff\xff\xff\xff")] {
            assert!(!inflate(coding, &[bytes], 100, false).1);
        }
    }

    #[test]
    fn coding_names() {
        for (value, coding) in [
            ("", Coding::Identity),
            (" GZIP ", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
            ("gzip, br", Coding::Other),
        ] {
            assert_eq!(Coding::parse(value.as_bytes()), coding, "{value:?}");
        }
        assert!(Inflate::new(Coding::Zstd, 1, false).is_none());
    }
}
