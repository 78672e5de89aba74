//! Raw JSON text with its escapes resolved, and the way back to offsets of the raw text.
//!
//! Credentials stand behind `\n`, between `\"`, with `\/` inside, and in JSON that is itself a string in JSON. One pass
//! resolves a whole run of backslashes at once, so the depth of the nesting does not matter. The result is for searching
//! only: it is not JSON.

use std::borrow::Cow;
use std::ops::Range;

use crate::mcp::escape::unicode_escape;

/// Escapes between two places that are remembered; the way back walks at most so many anew.
const STRIDE: usize = 64;
/// Bytes that are looked at one by one behind an escape before a search starts: where there is one, more are near.
const NEAR_BYTES: usize = 64;
/// Most bytes that an escape gives.
const MADE_BYTES: usize = 4;

/// Text to search in.
#[derive(Debug)]
pub struct Plain<'a> {
    raw: &'a str,
    text: Cow<'a, [u8]>,
    /// (offset behind an escape in `text`, the same place in the raw text) of every [`STRIDE`]th, ascending.
    steps: Vec<(usize, usize)>,
}

/// What a run of backslashes stands for.
struct Escape {
    /// Raw bytes, and bytes made of them.
    used: usize,
    made: [u8; MADE_BYTES],
    length: usize,
}

impl<'a> Plain<'a> {
    /// Borrows when nothing is escaped.
    pub fn of(raw: &'a str) -> Self {
        let bytes = raw.as_bytes();
        let Some(first) = memchr::memchr(b'\\', bytes) else {
            return Self {
                raw,
                text: Cow::Borrowed(bytes),
                steps: Vec::new(),
            };
        };
        // No escape gives more bytes than it is long, but each is written as a whole word.
        let mut text = vec![0; bytes.len() + WORD];
        text[..first].copy_from_slice(&bytes[..first]);
        let (mut at, mut end) = (first, first);
        let mut steps = Vec::new();
        let mut escapes: usize = 0;
        while at < bytes.len() {
            let escape = Escape::read(raw, at);
            text[end..end + MADE_BYTES].copy_from_slice(&escape.made);
            end += escape.length;
            at += escape.used;
            escapes += 1;
            if escapes.is_multiple_of(STRIDE) {
                steps.push((end, at));
            }
            let clear = copy_clear(&bytes[at..], &mut text[end..]);
            at += clear;
            end += clear;
        }
        text.truncate(end);
        Self {
            raw,
            text: Cow::Owned(text),
            steps,
        }
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Range of the raw text that gave a range of this text.
    pub fn origin(&self, range: &Range<usize>) -> Range<usize> {
        self.raw_offset(range.start)..self.raw_offset(range.end)
    }

    /// Where a place of the raw text lies in this text; within an escape, where that begins.
    pub fn place_of(&self, raw: usize) -> usize {
        if matches!(self.text, Cow::Borrowed(_)) {
            return raw;
        }
        let raw = raw.min(self.raw.len());
        let step = self.steps.partition_point(|(_, there)| *there <= raw).checked_sub(1);
        let (mut here, mut there) = step.map_or((0, 0), |step| self.steps[step]);
        loop {
            let rest = &self.raw.as_bytes()[there..];
            let clear = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            if raw <= there + clear {
                return here + (raw - there);
            }
            let escape = Escape::read(self.raw, there + clear);
            here += clear;
            there += clear + escape.used;
            if raw < there {
                return here;
            }
            here += escape.length;
        }
    }

    /// Walks from the last place that is remembered.
    fn raw_offset(&self, offset: usize) -> usize {
        if matches!(self.text, Cow::Borrowed(_)) {
            return offset;
        }
        let step = self.steps.partition_point(|(here, _)| *here <= offset).checked_sub(1);
        let (mut here, mut raw) = step.map_or((0, 0), |step| self.steps[step]);
        loop {
            let rest = &self.raw.as_bytes()[raw..];
            let clear = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            if offset <= here + clear || clear == rest.len() {
                return raw + (offset - here);
            }
            let escape = Escape::read(self.raw, raw + clear);
            if offset < here + clear + escape.length {
                return raw + (offset - here);
            }
            here += clear + escape.length;
            raw += clear + escape.used;
        }
    }
}

/// Bytes that are copied at once.
const WORD: usize = 8;

/// Copies what stands before the next backslash; gives its length. What is behind it in `text` may be overwritten.
fn copy_clear(bytes: &[u8], text: &mut [u8]) -> usize {
    const BACKSLASHES: u64 = 0x5c5c_5c5c_5c5c_5c5c;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let words = bytes.as_chunks::<WORD>().0.iter().zip(text.as_chunks_mut::<WORD>().0);
    let mut done = 0;
    for (from, to) in words.take(NEAR_BYTES / WORD) {
        *to = *from;
        let marked = u64::from_le_bytes(*from) ^ BACKSLASHES;
        // The lowest byte that is marked is one for certain; those above it may be spoilt by a borrow.
        let found = marked.wrapping_sub(ONES) & !marked & HIGHS;
        if found != 0 {
            return done + (found.trailing_zeros() / 8) as usize;
        }
        done += WORD;
    }
    let rest = &bytes[done..];
    let clear = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
    text[done..done + clear].copy_from_slice(&rest[..clear]);
    done + clear
}

impl Escape {
    /// The run of backslashes at `at`, with what it escapes.
    fn read(raw: &str, at: usize) -> Self {
        let bytes = raw.as_bytes();
        let run = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
        let behind = at + run;
        let one = |byte: u8, used: usize| Self {
            used,
            made: [byte, 0, 0, 0],
            length: 1,
        };
        match bytes.get(behind) {
            Some(b'n') => one(b'\n', run + 1),
            Some(b'r') => one(b'\r', run + 1),
            Some(b't') => one(b'\t', run + 1),
            Some(b'b' | b'f') => one(b' ', run + 1),
            Some(byte @ (b'"' | b'/')) => one(*byte, run + 1),
            Some(b'u') => match unicode_escape(&raw[behind - 1..]) {
                Some((decoded, used)) => {
                    let mut made = [0; MADE_BYTES];
                    let length = decoded.encode_utf8(&mut made).len();
                    Self {
                        used: run - 1 + used,
                        made,
                        length,
                    }
                }
                None => one(b'\\', run),
            },
            _ => one(b'\\', run),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn resolves_nested_escapes() {
        for (raw, plain) in [
            (r"a\nghp", "a\nghp"),
            (r#"{\"k\":\"v\"}"#, r#"{"k":"v"}"#),
            (r#"{\\\"k\\\":1}"#, r#"{"k":1}"#),
            (r"a\/b\u003dc", "a/b=c"),
            (r"\q\", r"\q\"),
        ] {
            assert_eq!(Plain::of(raw).text(), plain.as_bytes(), "{raw}");
        }
    }

    /// One escape at a time, each with its place.
    fn plainly(raw: &str) -> (Vec<u8>, Vec<usize>) {
        let (mut text, mut origins, mut at) = (Vec::new(), Vec::new(), 0);
        while at < raw.len() {
            let (used, made) = match raw.as_bytes()[at] {
                b'\\' => {
                    let escape = Escape::read(raw, at);
                    (escape.used, escape.made[..escape.length].to_vec())
                }
                other => (1, vec![other]),
            };
            origins.extend((0..made.len()).map(|inside| at + inside));
            text.extend(made);
            at += used;
        }
        origins.push(raw.len());
        (text, origins)
    }

    proptest! {
        #[test]
        fn it_is_what_one_escape_after_the_other_gives(
            pieces in prop::collection::vec(r#"(\\{1,3}|\\n|\\"|\\u[0-9a-f]{4}|[a-z"nué]{0,3}|[a-z]{9,90})"#, 0..200)
        ) {
            let raw = pieces.concat();
            let plain = Plain::of(&raw);
            let (text, origins) = plainly(&raw);
            prop_assert_eq!(plain.text(), &text);
            for (offset, origin) in origins.iter().enumerate().filter(|(offset, _)| offset % 7 == 0 || *offset == text.len()) {
                prop_assert_eq!(plain.raw_offset(offset), *origin);
                prop_assert!(plain.place_of(*origin) <= offset && plain.place_of(*origin) + MADE_BYTES > offset);
            }
        }

        #[test]
        fn offsets_lead_back(words in prop::collection::vec("[a-z0-9]{6,9}", 1..8), between in prop::collection::vec(r#"(\\\\n|\\"|\\u003d|\\\\\\"|\\/| )"#, 8)) {
            let mut raw = String::new();
            for (word, gap) in words.iter().zip(&between) {
                raw.push_str(word);
                raw.push_str(gap);
            }
            let plain = Plain::of(&raw);
            let text = String::from_utf8(plain.text().to_vec()).unwrap();
            for word in &words {
                if raw.matches(word.as_str()).count() == 1 && text.matches(word.as_str()).count() == 1 {
                    let start = text.find(word.as_str()).unwrap();
                    prop_assert_eq!(&raw[plain.origin(&(start..start + word.len()))], word.as_str());
                }
            }
        }
    }
}
