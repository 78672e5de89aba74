//! Raw JSON text with its escapes resolved, and the way back to offsets of the raw text.
//!
//! Credentials stand behind `\n`, between `\"`, with `\/` inside, and in JSON that is itself a string in JSON. One pass
//! resolves a whole run of backslashes at once, so the depth of the nesting does not matter. The result is for searching
//! only: it is not JSON.

use std::borrow::Cow;
use std::ops::Range;

use crate::mcp::escape::unicode_escape;

/// Text to search in.
#[derive(Debug)]
pub struct Plain<'a> {
    text: Cow<'a, [u8]>,
    /// (offset behind an escape in `text`, the same place in the raw text), ascending.
    steps: Vec<(usize, usize)>,
}

impl<'a> Plain<'a> {
    /// Borrows when nothing is escaped.
    pub fn of(raw: &'a str) -> Self {
        let bytes = raw.as_bytes();
        let Some(first) = memchr::memchr(b'\\', bytes) else {
            return Self {
                text: Cow::Borrowed(bytes),
                steps: Vec::new(),
            };
        };
        let mut text = Vec::with_capacity(bytes.len());
        let mut steps = Vec::new();
        let mut at = first;
        text.extend_from_slice(&bytes[..first]);
        while at < bytes.len() {
            at = resolve(raw, at, &mut text);
            steps.push((text.len(), at));
            let rest = &bytes[at..];
            let clear = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..clear]);
            at += clear;
        }
        Self {
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

    fn raw_offset(&self, offset: usize) -> usize {
        match self.steps.partition_point(|(here, _)| *here <= offset).checked_sub(1) {
            None => offset,
            Some(step) => {
                let (here, raw) = self.steps[step];
                raw + (offset - here)
            }
        }
    }
}

/// Appends what the run of backslashes at `at` stands for; gives the offset behind it.
fn resolve(raw: &str, at: usize, text: &mut Vec<u8>) -> usize {
    let bytes = raw.as_bytes();
    let run = bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
    let behind = at + run;
    let decoded = match bytes.get(behind) {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'b' | b'f') => b' ',
        Some(byte @ (b'"' | b'/')) => *byte,
        Some(b'u') => {
            if let Some((decoded, used)) = unicode_escape(&raw[behind - 1..]) {
                text.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
                return behind - 1 + used;
            }
            text.push(b'\\');
            return behind;
        }
        _ => {
            text.push(b'\\');
            return behind;
        }
    };
    text.push(decoded);
    behind + 1
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

    proptest! {
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
