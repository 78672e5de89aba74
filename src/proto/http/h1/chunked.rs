//! The chunked transfer coding (RFC 9112, section 7.1), walked incrementally over any split of the bytes.
//!
//! Costs one branch per chunk and per slice: chunk data is handed through, never looked at. Extensions and trailers are
//! passed over within bounds; they are not reported.

use memchr::memchr;

/// Longest chunk extension, in bytes.
const EXTENSION_MAX_BYTES: usize = 8 * 1024;
/// Longest trailer section, in bytes.
const TRAILER_MAX_BYTES: usize = 64 * 1024;
/// Most digits of a chunk size: what a `u64` holds.
const SIZE_MAX_DIGITS: u8 = 16;

/// Where a walk through a chunked body stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked(State);

#[derive(Clone, Copy, Debug)]
enum State {
    Data {
        left: u64,
    },
    DataEnd,
    End,
    Extension {
        size: u64,
        seen: usize,
    },
    Size {
        size: u64,
        digits: u8,
    },
    /// `line` counts the bytes of the current line that are no line end.
    Trailer {
        line: usize,
        seen: usize,
    },
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Body bytes; never empty.
    Data(&'a [u8]),
    /// The body has ended; the rest of the input lies behind it.
    End,
    /// This is not chunked.
    Malformed,
    /// The input is used up.
    More,
}

impl Chunked {
    /// Before the first chunk.
    pub(crate) const fn new() -> Self {
        Self(State::Size { size: 0, digits: 0 })
    }

    /// Walks on, and takes from the front of `input` what it passed.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Piece<'a> {
        loop {
            match self.0 {
                State::End => return Piece::End,
                State::Data { left } => {
                    let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                    let (data, rest) = input.split_at(take);
                    if data.is_empty() {
                        return Piece::More;
                    }
                    *input = rest;
                    self.0 = data_left(left.saturating_sub(data.len() as u64));
                    return Piece::Data(data);
                }
                State::Extension { size, seen } => match self.extension(size, seen, input) {
                    Ok(true) => {}
                    Ok(false) => return Piece::More,
                    Err(()) => return Piece::Malformed,
                },
                State::DataEnd | State::Size { .. } | State::Trailer { .. } => {
                    let Some((&byte, rest)) = input.split_first() else {
                        return Piece::More;
                    };
                    *input = rest;
                    let Some(next) = self.byte(byte) else {
                        return Piece::Malformed;
                    };
                    self.0 = next;
                }
            }
        }
    }

    /// Whether `rest`, as it stands behind the data just given, says that this was all of the body.
    pub(crate) fn ends_with(self, rest: &[u8]) -> bool {
        matches!(self.0, State::DataEnd) && (rest.starts_with(b"\r\n0\r\n") || rest.starts_with(b"\n0\n"))
    }

    /// Passes over bytes that were not captured. `false` when more than chunk data and its line end was lost.
    pub(crate) fn gap(&mut self, bytes: u64) -> bool {
        let State::Data { left } = self.0 else { return false };
        self.0 = match (left.checked_sub(bytes), bytes.saturating_sub(left)) {
            (Some(left), _) => data_left(left),
            (None, 1) => State::DataEnd,
            // A segment often ends with its chunk, and a snap length cuts segments.
            (None, 2) => Self::new().0,
            _ => return false,
        };
        true
    }

    /// Whether the next data is that of a new chunk.
    pub(crate) fn between_chunks(self) -> bool {
        !matches!(self.0, State::Data { .. })
    }

    fn byte(self, byte: u8) -> Option<State> {
        match (self.0, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16)?;
                // Zeros in front do not count: peers read any number of them.
                let digits = if size == 0 { 1 } else { digits.saturating_add(1) };
                let size = size.checked_shl(4)? | u64::from(digit);
                Some(State::Size { size, digits })
            }
            (State::Size { digits: 0, .. }, _) => None,
            (State::Size { size, .. }, b'\n') => Some(chunk_of(size)),
            // White space before the line end is wrong and common enough.
            (State::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Some(State::Extension { size, seen: 0 }),
            (State::DataEnd, b'\r') => Some(State::DataEnd),
            (State::DataEnd, b'\n') => Some(Self::new().0),
            (State::Trailer { line: 0, .. }, b'\n') => Some(State::End),
            (State::Trailer { seen, .. }, _) if seen >= TRAILER_MAX_BYTES => None,
            (State::Trailer { seen, .. }, b'\n') => Some(State::Trailer {
                line: 0,
                seen: seen.saturating_add(1),
            }),
            (State::Trailer { line, seen }, b'\r') => Some(State::Trailer {
                line,
                seen: seen.saturating_add(1),
            }),
            (State::Trailer { line, seen }, _) => Some(State::Trailer {
                line: line.saturating_add(1),
                seen: seen.saturating_add(1),
            }),
            _ => None,
        }
    }

    /// Passes over the rest of a size line. `Ok(true)` when its end was there.
    fn extension(&mut self, size: u64, seen: usize, input: &mut &[u8]) -> Result<bool, ()> {
        let end = memchr(b'\n', input);
        let (passed, rest) = input.split_at(end.map_or(input.len(), |end| end.saturating_add(1)));
        *input = rest;
        let seen = seen.saturating_add(passed.len());
        if seen > EXTENSION_MAX_BYTES {
            return Err(());
        }
        self.0 = if end.is_some() {
            chunk_of(size)
        } else {
            State::Extension { size, seen }
        };
        Ok(end.is_some())
    }
}

/// Behind a size line.
const fn chunk_of(size: u64) -> State {
    if size == 0 {
        State::Trailer { line: 0, seen: 0 }
    } else {
        State::Data { left: size }
    }
}

const fn data_left(left: u64) -> State {
    if left == 0 {
        State::DataEnd
    } else {
        State::Data { left }
    }
}

/// Whether bytes begin with a chunk's size line: `None` when they are too few to tell. The offset is where its data
/// begins.
pub(crate) fn size_line(bytes: &[u8]) -> Option<Option<usize>> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > usize::from(SIZE_MAX_DIGITS) || (digits == 0 && !bytes.is_empty()) {
        return Some(None);
    }
    match bytes.get(digits..) {
        Some([b'\r', b'\n', ..]) => Some(Some(digits.saturating_add(2))),
        Some([] | [b'\r']) | None => None,
        Some(_) => Some(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    /// (input, body, what lies behind it or the reason why there is no end)
    const CASES: [(&str, &str, Result<&str, Piece<'static>>); 15] = [
        ("5\r\nhello\r\n0\r\n\r\nGET", "hello", Ok("GET")),
        ("5;a=b;c=\"d\"\r\nhello\r\n0\r\n\r\n", "hello", Ok("")),
        ("2\nhe\n3\nllo\n0\n\n", "hello", Ok("")),
        (
            "5 \r\nhello\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\nmore",
            "hello",
            Ok("more"),
        ),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", Ok("")),
        ("0\r\n\r\n", "", Ok("")),
        ("5\r\nhel", "hel", Err(Piece::More)),
        ("5\r\nhello\r\n", "hello", Err(Piece::More)),
        ("5\r\nhello\r\n0\r\n", "hello", Err(Piece::More)),
        ("x\r\nhello", "", Err(Piece::Malformed)),
        ("\r\nhello", "", Err(Piece::Malformed)),
        ("5\r\nhelloHTTP", "hello", Err(Piece::Malformed)),
        ("00000000000000000005\r\nhello\r\n0\r\n\r\n", "hello", Ok("")),
        ("10000000000000000\r\n", "", Err(Piece::Malformed)),
        ("ffffffffffffffff\r\nhello", "hello", Err(Piece::More)),
    ];

    fn walk(pieces: &[&[u8]]) -> (Vec<u8>, Result<Vec<u8>, bool>) {
        let (mut chunked, mut body, mut behind) = (Chunked::new(), Vec::new(), None);
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match chunked.next(&mut rest) {
                    Piece::Data(data) => body.extend_from_slice(data),
                    Piece::End => {
                        behind.get_or_insert_with(Vec::new).extend_from_slice(rest);
                        break;
                    }
                    Piece::More => break,
                    Piece::Malformed => return (body, Err(false)),
                }
            }
        }
        (body, behind.ok_or(true))
    }

    #[test]
    fn cases_whole_and_byte_by_byte() {
        for (input, body, end) in CASES {
            let end = end
                .map(|behind| behind.as_bytes().to_vec())
                .map_err(|piece| piece == Piece::More);
            let expect = (body.as_bytes().to_vec(), end);
            assert_eq!(walk(&[input.as_bytes()]), expect, "{input:?}");
            assert_eq!(
                walk(&input.as_bytes().chunks(1).collect::<Vec<_>>()),
                expect,
                "{input:?} byte by byte"
            );
        }
    }

    #[test]
    fn gaps_within_data_are_passed() {
        let mut chunked = Chunked::new();
        assert!(!chunked.gap(1), "a gap in a size line loses step");
        let mut input = &b"a\r\n01"[..];
        assert_eq!(chunked.next(&mut input), Piece::Data(b"01"));
        let (mut over, mut exact) = (chunked, chunked);
        assert!(!over.gap(11));
        assert!(exact.gap(10));
        assert_eq!(exact.next(&mut &b"1\r\nx"[..]), Piece::Data(b"x"));
        assert!(chunked.gap(8));
        let mut input = &b"\r\n0\r\n\r\n"[..];
        assert!(chunked.ends_with(input));
        assert_eq!(chunked.next(&mut input), Piece::End);
    }

    #[test]
    fn lines_are_bounded() {
        let long = "x".repeat(TRAILER_MAX_BYTES + 2);
        assert_eq!(walk(&[format!("5;{long}").as_bytes()]).1, Err(false));
        assert_eq!(walk(&[format!("0\r\n{long}").as_bytes()]).1, Err(false));
    }

    #[test]
    fn size_lines_are_recognised() {
        assert_eq!(size_line(b"1f\r\ndata"), Some(Some(4)));
        for short in ["", "1", "1f\r"] {
            assert_eq!(size_line(short.as_bytes()), None, "{short:?}");
        }
        for wrong in ["data", "1f;x", "12345678901234567\r\n", "\r\n"] {
            assert_eq!(size_line(wrong.as_bytes()), Some(None), "{wrong:?}");
        }
    }
}
