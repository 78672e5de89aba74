//! Deflate (RFC 1951), alone, in zlib's wrapper (RFC 1950) or in gzip's (RFC 1952), member after member.
//!
//! Memory: 43 KiB, the window of 32 KiB included. Gzip's checksums are not verified: what a damaged body still gives is
//! evidence.

use flate2::{Decompress, FlushDecompress, Status};

use super::Step;

pub(super) struct Deflate {
    state: State,
    raw: Decompress,
    /// Whether a gzip member has ended: what follows it and is none is passed over.
    later: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Compressed data of that coding.
    Data { gzip: bool },
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

impl Deflate {
    /// gzip.
    pub(super) fn gzip() -> Self {
        Self::new(State::Gzip(Header::START), false)
    }

    /// `deflate` with or without its wrapper, since both are sent; the first byte tells which.
    pub(super) fn zlib_or_raw(first: u8) -> Self {
        // RFC 1950, section 2.2: method 8 and a window of at most 32 KiB. Without the wrapper this byte would begin a
        // stored block with bits in its padding, which no encoder sets.
        let zlib = first & 0x0f == 8 && first >> 4 <= 7;
        Self::new(State::Data { gzip: false }, zlib)
    }

    fn new(state: State, zlib: bool) -> Self {
        Self {
            state,
            raw: Decompress::new(zlib),
            later: false,
        }
    }

    /// Whether the body ended where its coding says that it ends.
    pub(super) const fn is_complete(&self) -> bool {
        match self.state {
            State::Ended | State::Trailer(_) => true,
            State::Gzip(_) => self.later,
            State::Data { .. } => false,
        }
    }

    pub(super) fn step(&mut self, input: &mut &[u8], output: &mut [u8]) -> Step {
        loop {
            match self.state {
                State::Ended => {
                    *input = &[];
                    return Step::More;
                }
                State::Data { gzip } => match self.data(gzip, input, output) {
                    Ok(0) if input.is_empty() => return Step::More,
                    Ok(0) => {}
                    Ok(given) => return Step::Gave(given),
                    Err(()) => return Step::Damaged,
                },
                State::Gzip(header) => {
                    let Some(byte) = take(input) else { return Step::More };
                    self.state = match header.next(byte) {
                        Some(Some(header)) => State::Gzip(header),
                        Some(None) => {
                            self.raw.reset(false);
                            State::Data { gzip: true }
                        }
                        None if self.later => State::Ended,
                        None => return Step::Damaged,
                    };
                }
                State::Trailer(left) => {
                    if take(input).is_none() {
                        return Step::More;
                    }
                    self.state = match left {
                        2.. => State::Trailer(left.saturating_sub(1)),
                        // Members may follow one another (RFC 1952, section 2.2).
                        _ => State::Gzip(Header::START),
                    };
                    self.later = true;
                }
            }
        }
    }

    /// Output of one step; 0 when it ended or needs more input.
    fn data(&mut self, gzip: bool, input: &mut &[u8], output: &mut [u8]) -> Result<usize, ()> {
        let (before_in, before_out) = (self.raw.total_in(), self.raw.total_out());
        let status = self
            .raw
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| ())?;
        let used = usize::try_from(self.raw.total_in().saturating_sub(before_in)).map_err(|_| ())?;
        let given = usize::try_from(self.raw.total_out().saturating_sub(before_out)).map_err(|_| ())?;
        *input = input.get(used..).unwrap_or_default();
        if status == Status::StreamEnd {
            self.state = if gzip { State::Trailer(8) } else { State::Ended };
        } else if used == 0 && given == 0 && !input.is_empty() {
            return Err(());
        }
        Ok(given)
    }
}

fn take(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}

impl Header {
    const START: Self = Self::Fixed { at: 0, flags: 0 };

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
