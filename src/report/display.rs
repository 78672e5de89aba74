//! The one door for text from traffic: every name, title, path or sample that a person sees goes through here.
//!
//! What could steer a terminal, hide or reorder text (C0, C1, DEL, bidirectional and invisible characters, tags,
//! variation selectors) is written out as `\u{202e}`, so that nothing happens and nothing is hidden. JSON keeps every
//! character's value and only writes those as escapes. This file does not lay anything out and does not decide what
//! may be shown: redaction is done long before. HTML has its own door when it comes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use crate::model::plain::is_hostile;
pub use crate::model::plain::plain;

/// Characters of one text on a terminal.
pub const TERMINAL_MAX_CHARS: usize = 256;

/// Characters of one CSV cell: spreadsheets hold 32 767.
pub const CSV_MAX_CHARS: usize = 32_000;

/// For a terminal: one line without control, cut with `…` at [`TERMINAL_MAX_CHARS`].
pub fn terminal(text: &str) -> Cow<'_, str> {
    plain(text, TERMINAL_MAX_CHARS)
}

/// For one CSV cell (RFC 4180): [`plain`], without the force of a spreadsheet formula, quoted where it must be.
///
/// A cell that a spreadsheet would run starts with an apostrophe instead, which spreadsheets take for "this is text".
pub fn csv(text: &str) -> Cow<'_, str> {
    let mut text = plain(text, CSV_MAX_CHARS);
    // The wide forms are read as formulas in East Asian settings. Leading spaces are skipped by some importers.
    if text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    {
        text = Cow::Owned(format!("'{text}"));
    }
    if text.contains(['"', ',', ';']) || text.starts_with(' ') || text.ends_with(' ') {
        return Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")));
    }
    text
}

/// For Markdown (GitHub's): [`plain`], without the force of markup, mention, link or table border.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for char in plain(text, CSV_MAX_CHARS).chars() {
        match char {
            // Entities, since a bare address becomes a link and a bare name a mention whatever stands before it.
            '&' | '<' | '>' | '@' | ':' | '|' | '`' => {
                let _ = write!(out, "&#{};", u32::from(char));
            }
            '\\' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '-' | '+' => {
                out.push('\\');
                out.push(char);
            }
            char => out.push(char),
        }
    }
    // `www.` is linked, too.
    out.replace("www.", "www&#46;")
}

/// Writes a value as one line of JSON and ends it.
///
/// # Errors
/// Those of the writer.
pub fn json_line(out: &mut impl io::Write, value: &impl serde::Serialize) -> io::Result<()> {
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut *out, JsonDoor))
        .map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// Compact JSON whose strings hold no character that could steer a terminal; every value stays what it was.
struct JsonDoor;

impl serde_json::ser::Formatter for JsonDoor {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut clean = 0;
        for (at, char) in fragment.char_indices().filter(|(_, char)| is_hostile(*char)) {
            out.write_all(&fragment.as_bytes()[clean..at])?;
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            clean = at + char.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[clean..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::store::fixture::nasty;

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            nasty(),
            proptest::collection::vec(any::<char>(), 0..600).prop_map(String::from_iter)
        ]
    }

    /// Written apart from [`is_hostile`]: the ranges that the contract names.
    fn steers(char: char) -> bool {
        char.is_control()
            || [
                '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
            ]
            .contains(&char)
            || [
                '\u{2069}', '\u{200e}', '\u{200f}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{feff}',
            ]
            .contains(&char)
            || (0xe0000..=0xe007f).contains(&u32::from(char))
    }

    proptest! {
        #[test]
        fn nothing_that_steers_passes(text in any_text()) {
            let shown = terminal(&text);
            prop_assert!(!shown.chars().any(steers), "{shown:?}");
            prop_assert!(shown.chars().count() <= TERMINAL_MAX_CHARS);
            prop_assert_eq!(terminal(&shown), shown.clone());
            prop_assert!(!csv(&text).chars().any(steers));
        }

        #[test]
        fn json_keeps_every_value_and_shows_none(text in any_text()) {
            let mut out = Vec::new();
            json_line(&mut out, &text).unwrap();
            let shown = String::from_utf8(out).unwrap();
            prop_assert!(!shown.trim_end().chars().any(steers), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    #[test]
    fn hidden_text_is_written_out() {
        for (text, shown) in [
            ("plain — 漢字 é", "plain — 漢字 é"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("two\nlines\r\t", "two\\nlines\\r\\t"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(terminal(text), shown);
        }
        assert_eq!(terminal(&"x".repeat(300)), format!("{}…", "x".repeat(255)));
    }

    #[test]
    fn formulas_are_texts() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            (" x", "\" x\""),
            ("\t=1", "\\t=1"),
            ("＝1", "'＝1"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("-", "'-"),
            ("", ""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(csv(text), cell, "{text:?}");
        }
    }
}
