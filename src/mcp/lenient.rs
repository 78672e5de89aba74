//! What strict parsers refuse and clients take: a definition that one parser drops and another shows to a model would be
//! a place to hide in.
//!
//! Halves of surrogate pairs (a description that was cut within an emoji holds one), numbers beyond every range, `NaN`,
//! control characters in strings and deep nesting are mended, then the strict parser reads what is left. Cost: nothing
//! but a failed parse for good text, one pass and another parse for any other.

use serde_json::Value;

use crate::mcp::escape::unescape;
use crate::mcp::scan;

/// Levels of nesting that are kept as such; what lies deeper becomes a string. The strict parser takes 127.
const DEPTH_MAX: usize = 64;

/// A JSON value, mended where need be; `None` when it is none that anybody reads.
pub fn value(raw: &str) -> Option<Value> {
    serde_json::from_str(raw)
        .or_else(|_| serde_json::from_str(&mended(raw)))
        .ok()
}

fn mended(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let (mut rest, mut depth) = (raw, 0_usize);
    while let Some(first) = rest.as_bytes().first() {
        let len = match first {
            b'{' | b'[' if depth < DEPTH_MAX => {
                depth = depth.saturating_add(1);
                1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                1
            }
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => 1,
            _ => scan::value_len(rest).unwrap_or(rest.len()),
        };
        // Each of these bytes is ASCII: it ends a character.
        let Some((piece, behind)) = rest.split_at_checked(len.max(1)) else {
            break;
        };
        match first {
            b'"' => out.push_str(&quoted(&unescape(inside(piece)))),
            b'{' | b'[' if len > 1 => out.push_str(&quoted(piece)),
            b'{' | b'[' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => out.push_str(piece),
            _ if serde_json::from_str::<Value>(piece).is_ok() => out.push_str(piece),
            _ => out.push_str(&quoted(piece)),
        }
        rest = behind;
    }
    out
}

/// Content of a string, which may lack its end.
fn inside(string: &str) -> &str {
    let open = string.strip_prefix('"').unwrap_or(string);
    open.strip_suffix('"').unwrap_or(open)
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_take_is_read() {
        for (raw, expect) in [
            (r#"{"a":"cut \ud83d"}"#, json!({"a": "cut \u{fffd}"})),
            (
                r#"{"a\udc00":[1e999,-1e999,NaN]}"#,
                json!({"a\u{fffd}": ["1e999", "-1e999", "NaN"]}),
            ),
            ("{\"a\":\"b\u{1}\\\"\\x\"}", json!({"a": "b\u{1}\"\\x"})),
            (
                r#" {"a" : "\\" , "b":"\ud83d\ude00\ud83d"} "#,
                json!({"a": "\\", "b": "\u{1f600}\u{fffd}"}),
            ),
        ] {
            assert_eq!(value(raw).unwrap(), expect, "{raw}");
        }
        for raw in ["", "{", r#"{"a":"\ud83d"#, r#"{"a" "\ud83d"}"#, "{\"a\":\u{e4}"] {
            assert_eq!(value(raw), None, "{raw}");
        }
    }

    #[test]
    fn what_lies_deep_is_text() {
        let deep = format!("{}\"order\"{}", "[".repeat(200), "]".repeat(200));
        let raw = format!(r#"{{"name":"a","x":{deep}}}"#);
        let told = value(&raw).unwrap();
        assert_eq!(told.get("name"), Some(&json!("a")));
        assert!(told.to_string().contains("order"));
        // One level is the object's own.
        let text = format!("{}\\\"order\\\"{}", "[".repeat(137), "]".repeat(137));
        assert!(told.to_string().contains(&format!("\"{text}\"")));
    }

    proptest! {
        #[test]
        fn never_panics(raw in "[\\[\\]{}\",:\\\\u0-9a-zä ]{0,200}") {
            value(&raw);
            mended(&raw);
        }
    }
}
