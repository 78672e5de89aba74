//! JSON string escapes (RFC 8259, section 7), resolved leniently: traffic holds strings that a strict parser refuses,
//! and a reader that gave up on them could be evaded.

use std::borrow::Cow;

/// Content of a JSON string (RFC 8259, section 7). What is no valid escape stays as it stands.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let tail = rest.get(at..).unwrap_or_default();
        match escape(tail) {
            Some((decoded, used)) => {
                out.push(decoded);
                rest = tail.get(used..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = tail.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The escape at the start of `tail`: its character and the bytes it takes.
fn escape(tail: &str) -> Option<(char, usize)> {
    let simple = match tail.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(tail),
        _ => return None,
    };
    Some((simple, 2))
}

/// `\uXXXX`, or a surrogate pair; a lone surrogate becomes U+FFFD.
pub(crate) fn unicode_escape(tail: &str) -> Option<(char, usize)> {
    let unit = hex4(tail.get(2..6)?)?;
    if !(0xD800..0xDC00).contains(&unit) {
        return Some((char::from_u32(unit).unwrap_or('\u{FFFD}'), 6));
    }
    let low = tail
        .get(6..12)
        .filter(|low| low.starts_with("\\u"))
        .and_then(|low| hex4(low.get(2..)?));
    match low {
        Some(low) if (0xDC00..0xE000).contains(&low) => {
            let high = unit.wrapping_sub(0xD800).wrapping_shl(10);
            let joined = high.wrapping_add(low.wrapping_sub(0xDC00)).wrapping_add(0x10000);
            Some((char::from_u32(joined).unwrap_or('\u{FFFD}'), 12))
        }
        _ => Some(('\u{FFFD}', 6)),
    }
}

fn hex4(digits: &str) -> Option<u32> {
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (raw, text) in [
            (r"a\nb\/\u0041", "a\nb/A"),
            (r"\ud83d\ude00", "\u{1F600}"),
            (r"\ud83dx", "\u{FFFD}x"),
            (r"\q\u12", r"\q\u12"),
            ("\\", "\\"),
        ] {
            assert_eq!(unescape(raw), text, "{raw}");
        }
    }
}
