//! Names as they may be kept: without credentials and personal data, at most so long.
//!
//! Servers, clients, tools and methods name themselves; whoever puts a credential into a name must not find it in the
//! report. A flow repeats its names, so each is looked through once.

use std::collections::BTreeMap;

use crate::mcp::site;

/// Longest name, version, method or user agent that is kept, in bytes.
const TEXT_MAX_BYTES: usize = 256;
/// So much of a longer one is looked through, so that no half of a credential is left at the cut.
const LOOK_MAX_BYTES: usize = 1024;
/// Names of one flow that are remembered.
const KNOWN_MAX: usize = 64;

/// The names of one flow.
#[derive(Debug, Default)]
pub(super) struct Kept {
    known: BTreeMap<Box<str>, Box<str>>,
}

impl Kept {
    /// The text as it is kept.
    pub(super) fn text(&mut self, raw: &str, redact: &dyn Fn(&str) -> String) -> String {
        let raw = clip(raw, LOOK_MAX_BYTES);
        if raw.len() < site::SECRET_MIN_BYTES {
            return raw.to_owned();
        }
        if let Some(kept) = self.known.get(raw) {
            return kept.to_string();
        }
        let kept = clip(&redact(raw), TEXT_MAX_BYTES).to_owned();
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(raw.into(), kept.as_str().into());
        kept
    }
}

/// At most so many bytes, cut at a character.
pub(super) fn clip(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_first_and_cuts_then() {
        let mut kept = Kept::default();
        let redact = |text: &str| text.replace(&"s".repeat(40), "[rule]");
        let name = format!("{}{}", "n".repeat(240), "s".repeat(40));
        for _ in 0..2 {
            assert_eq!(kept.text(&name, &redact), format!("{}[rule]", "n".repeat(240)));
        }
        for number in 0..1000 {
            kept.text(&format!("some name {number}"), &redact);
        }
        assert!(kept.known.len() <= KNOWN_MAX);
        assert_eq!(kept.text(&"é".repeat(1000), &redact).len(), TEXT_MAX_BYTES);
    }
}
