//! Text of a message as the rest of this folder reads it: UTF-8, and no key that is written in escapes.
//!
//! Endpoints take more: Python's parser finds out UTF-16 and UTF-32 by itself, and every parser reads `"t\u006fols"` as
//! `tools`. Whatever looks for a member by its name would otherwise miss it. Cost: two searches for what is rare; a walk
//! over the text where one of them finds something.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::mcp::escape::unescape;
use crate::mcp::walk::Walk;

/// An escape that may stand for a character that names are made of.
static ESCAPED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u00"));
/// A slash as PHP writes it.
static SLASH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\/"));

/// Text of a body: what is valid of a `cut` one, a repaired copy of a broken one.
pub(super) fn text(bytes: &[u8], cut: bool) -> Cow<'_, str> {
    if let Some(text) = wide(bytes) {
        return Cow::Owned(keys(Cow::Owned(text)).into_owned());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(fault) if cut && fault.error_len().is_none() => {
            let head = bytes.get(..fault.valid_up_to()).unwrap_or_default();
            String::from_utf8_lossy(head)
        }
        Err(_) => String::from_utf8_lossy(bytes),
    };
    keys(text)
}

/// Text in UTF-16 or UTF-32, known by its mark or by the zeros around its bracket (RFC 4627, section 3).
fn wide(bytes: &[u8]) -> Option<String> {
    let (width, big, mark) = match bytes {
        [0, 0, 0xfe, 0xff, ..] => (4, true, 4),
        [0xff, 0xfe, 0, 0, ..] => (4, false, 4),
        [0xfe, 0xff, ..] => (2, true, 2),
        [0xff, 0xfe, ..] => (2, false, 2),
        [0, 0, 0, b'{' | b'[', ..] => (4, true, 0),
        [b'{' | b'[', 0, 0, 0, ..] => (4, false, 0),
        [0, b'{' | b'[', ..] => (2, true, 0),
        [b'{' | b'[', 0, ..] => (2, false, 0),
        _ => return None,
    };
    let units = bytes.get(mark..)?.chunks_exact(width).map(|unit| {
        let join = |sum: u32, byte: &u8| sum << 8 | u32::from(*byte);
        if big {
            unit.iter().fold(0, join)
        } else {
            unit.iter().rev().fold(0, join)
        }
    });
    Some(if width == 2 {
        let units = units.map(|unit| u16::try_from(unit).unwrap_or_default());
        char::decode_utf16(units)
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        units
            .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    })
}

/// The text with its keys in plain letters. A key that would need escapes again stays as it stands.
fn keys(json: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    if ESCAPED.find(bytes).is_none() && SLASH.find(bytes).is_none() {
        return json;
    }
    let (mut out, mut copied) = (String::new(), 0);
    let mut walk = Walk::new(&json);
    while let Some((start, end)) = walk.next_key() {
        let raw = json.get(start..end).unwrap_or_default();
        if !raw.contains('\\') {
            continue;
        }
        let key = unescape(raw);
        if key.contains(|char: char| matches!(char, '"' | '\\') || char.is_control()) {
            continue;
        }
        out.push_str(json.get(copied..start).unwrap_or_default());
        out.push_str(&key);
        copied = end;
    }
    if copied == 0 {
        return json;
    }
    out.push_str(json.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn keys_are_plain_and_values_stay() {
        for (raw, plain) in [
            (r#"{"t\u006fols":["\u0061"]}"#, r#"{"tools":["\u0061"]}"#),
            (
                r#"{"a":{"io.x\/y":"c\/d"},"\u0062":1}"#,
                r#"{"a":{"io.x/y":"c\/d"},"b":1}"#,
            ),
            (
                r#"{"\u0022a":1,"\u005c":2,"\u0000":3}"#,
                r#"{"\u0022a":1,"\u005c":2,"\u0000":3}"#,
            ),
            (r#"{"\u00e4":1,"\u0061"#, "{\"ä\":1,\"a"),
            (r#"["\u0061",{"x":"\u0062"}]"#, r#"["\u0061",{"x":"\u0062"}]"#),
        ] {
            assert_eq!(text(raw.as_bytes(), false), plain);
        }
    }

    #[test]
    fn wide_text_is_read() {
        let json = "{\"jsonrpc\":\"2.0\",\"x\":\"ä\u{1f600}\"}";
        let units: Vec<u16> = json.encode_utf16().collect();
        let chars: Vec<u32> = json.chars().map(u32::from).collect();
        let mut forms = vec![
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>(),
            units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            chars.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            chars.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        ];
        let marks: [&[u8]; 4] = [&[0xff, 0xfe], &[0xfe, 0xff], &[0xff, 0xfe, 0, 0], &[0, 0, 0xfe, 0xff]];
        let marked: Vec<_> = marks
            .iter()
            .zip(&forms)
            .map(|(mark, form)| [mark, &form[..]].concat())
            .collect();
        forms.extend(marked);
        for form in forms {
            assert_eq!(text(&form, false), json, "{form:x?}");
        }
        assert_eq!(text(b"{", true), "{");
    }

    proptest! {
        #[test]
        fn means_the_same(pairs in proptest::collection::vec(("[a-zä\"\\\\/\u{1}]{0,6}", "[a-z\"\\\\/\u{1}]{0,6}"), 0..6)) {
            let escape = |text: &str| text.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect::<String>();
            let members: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{}\":\"{}\"", escape(key), escape(value))).collect();
            let raw = format!("{{{}}}", members.join(","));
            let plain = text(raw.as_bytes(), false);
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            prop_assert_eq!(read(&plain), read(&raw));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), cut in any::<bool>()) {
            text(&bytes, cut);
        }
    }
}
