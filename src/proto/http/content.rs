//! What a body holds, and whether it is worth reading: by content type, by the marks of MCP on the heads, and by the
//! first key of its JSON.
//!
//! Meant to be cheap: most HTTP is not MCP and its bodies are never parsed. Whether a body really is JSON-RPC is not
//! decided here.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::model::message::{Field, Headers};

pub(crate) use super::inflate::{Coding, coding};

/// Bytes of JSON within which its first key must show itself.
pub(super) const PEEK_MAX_BYTES: usize = 256;
/// The key that only JSON-RPC has.
pub(super) const VERSION_KEY: &[u8] = b"jsonrpc";
/// Its other keys (JSON-RPC 2.0, sections 4 and 5), which much other JSON has, too.
const KEYS: [&[u8]; 5] = [b"id", b"method", b"params", b"result", b"error"];

/// Finds JSON-RPC whose first key is something else.
pub(in crate::proto) static JSONRPC: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(VERSION_KEY));

/// Finds a string that begins with an escape, which may hide that name.
pub(super) static ESCAPED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"\\u"));

/// What a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `text/event-stream`.
    Events,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// A JSON type.
    Json,
    /// No type, or plain text: JSON if it begins like it.
    MaybeJson,
    /// Not of interest.
    Other,
}

/// By `Content-Type`.
pub(super) fn kind(headers: &Headers) -> Kind {
    let Some(value) = headers.get(Field::ContentType) else {
        return Kind::MaybeJson;
    };
    let end = memchr::memchr2(b';', b',', value).unwrap_or(value.len());
    let value = value.get(..end).unwrap_or(value).trim_ascii();
    if value.is_empty() {
        return Kind::MaybeJson;
    }
    let subtype = match memchr::memchr(b'/', value) {
        Some(slash) => value.get(slash.saturating_add(1)..).unwrap_or_default(),
        None => return Kind::Other,
    };
    if value.eq_ignore_ascii_case(b"text/event-stream") {
        Kind::Events
    } else if value.eq_ignore_ascii_case(b"text/plain") {
        Kind::MaybeJson
    } else if value.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        Kind::Form
    } else if is_json(subtype) {
        Kind::Json
    } else {
        Kind::Other
    }
}

/// RFC 8259, RFC 6839, and the two names that JSON-RPC over HTTP was given.
fn is_json(subtype: &[u8]) -> bool {
    let suffix = subtype
        .len()
        .checked_sub(b"+json".len())
        .and_then(|at| subtype.get(at..));
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
        || [&b"json"[..], b"json-rpc", b"jsonrequest"]
            .iter()
            .any(|name| subtype.eq_ignore_ascii_case(name))
}

/// Whether a head has a mark of MCP on it: its body is then collected whatever it begins with.
pub(super) fn has_marks(headers: &Headers) -> bool {
    const FIELDS: [Field; 4] = [
        Field::McpMethod,
        Field::McpName,
        Field::McpProtocolVersion,
        Field::McpSessionId,
    ];
    if FIELDS.iter().any(|field| headers.has(*field)) {
        return true;
    }
    if headers.repeats(Field::Accept) {
        let names = |part| headers.members(Field::Accept).any(|member| contains(member, part));
        return names(b"/json") && names(b"text/event-stream");
    }
    headers.get(Field::Accept).is_some_and(|accept| {
        accept.len() >= b"json,text/event-stream".len()
            && contains(accept, b"/json")
            && contains(accept, b"text/event-stream")
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Whether a body begins like JSON in UTF-16 or UTF-32, which some servers read, too.
pub(super) fn is_wide(body: &[u8]) -> bool {
    matches!(
        body,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{' | b'[', ..] | [0, 0, 0 | 0xfe, ..]
    )
}

/// What the first bytes of a body say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Peek {
    /// JSON whose first key is none of JSON-RPC.
    Json,
    /// No JSON object or array.
    NotJson,
    /// JSON whose first key JSON-RPC has, and other JSON, too.
    Maybe,
    /// JSON whose first key is JSON-RPC's alone.
    Rpc,
    /// Too short to tell.
    Short,
}

/// Looks for the first key. Bounded by [`PEEK_MAX_BYTES`].
pub(in crate::proto) fn peek(body: &[u8]) -> Peek {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    if body.len() < BOM.len() && BOM.starts_with(body) {
        return Peek::Short;
    }
    let seen = body.strip_prefix(BOM).unwrap_or(body);
    let seen = seen.get(..PEEK_MAX_BYTES).unwrap_or(seen);
    let over = if body.len() > PEEK_MAX_BYTES {
        Peek::Json
    } else {
        Peek::Short
    };
    let mut rest = seen.trim_ascii_start();
    let Some(b'{' | b'[') = rest.first() else {
        return if rest.is_empty() { over } else { Peek::NotJson };
    };
    while let Some(inner) = rest.strip_prefix(b"[") {
        rest = inner.trim_ascii_start();
    }
    let Some(rest) = rest.strip_prefix(b"{") else {
        return if rest.is_empty() { over } else { Peek::Json };
    };
    let key = match rest.trim_ascii_start() {
        [] => return over,
        [b'"', key @ ..] => key,
        _ => return Peek::Json,
    };
    match memchr::memchr2(b'"', b'\\', key).map(|at| key.split_at(at)) {
        None => over,
        // An escape in a key hides it: nobody writes one without a reason.
        Some((_, [b'\\', ..])) => Peek::Maybe,
        Some((key, _)) if VERSION_KEY.eq_ignore_ascii_case(key) => Peek::Rpc,
        Some((key, _)) if KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) => Peek::Maybe,
        Some(_) => Peek::Json,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn kinds() {
        for (value, expect) in [
            (None, Kind::MaybeJson),
            (Some(""), Kind::MaybeJson),
            (Some("application/json"), Kind::Json),
            (Some("Application/JSON; charset=utf-8"), Kind::Json),
            (Some("application/problem+json"), Kind::Json),
            (Some("text/event-stream;charset=utf-8"), Kind::Events),
            (Some("text/plain"), Kind::MaybeJson),
            (Some("text/html"), Kind::Other),
            (Some("application/jsonp"), Kind::Other),
            (Some("json"), Kind::Other),
        ] {
            let mut headers = Headers::default();
            if let Some(value) = value {
                headers.push(b"content-type", value.as_bytes());
            }
            assert_eq!(kind(&headers), expect, "{value:?}");
        }
    }

    #[test]
    fn marks() {
        for (name, value, expect) in [
            ("Mcp-Session-Id", "x", true),
            ("Accept", "application/json, text/event-stream", true),
            ("Accept", "Text/Event-Stream,application/JSON", true),
            ("Accept", "text/event-stream", false),
            ("Accept", "*/*", false),
            ("X-Mcp", "x", false),
        ] {
            let mut headers = Headers::default();
            headers.push(name.as_bytes(), value.as_bytes());
            assert_eq!(has_marks(&headers), expect, "{name}: {value}");
        }
        let mut headers = Headers::default();
        headers.push(b"accept", b"application/json");
        headers.push(b"accept", b"text/event-stream");
        assert!(has_marks(&headers), "a list over two fields is one");
    }

    #[test]
    fn first_keys() {
        for (body, expect) in [
            ("{\"jsonrpc\":\"2.0\"}", Peek::Rpc),
            (" \r\n[ {\t\"ID\":1}]", Peek::Maybe),
            ("\u{feff}{\"method\":", Peek::Maybe),
            ("{\"\\u006a", Peek::Maybe),
            ("{\"name\":1}", Peek::Json),
            ("{}", Peek::Json),
            ("[]", Peek::Json),
            ("[1,2]", Peek::Json),
            ("\"jsonrpc\"", Peek::NotJson),
            ("Accepted", Peek::NotJson),
            ("{\"jsonrp", Peek::Short),
            ("", Peek::Short),
            ("[[ {", Peek::Short),
        ] {
            assert_eq!(peek(body.as_bytes()), expect, "{body:?}");
        }
        assert_eq!(peek(" ".repeat(PEEK_MAX_BYTES).as_bytes()), Peek::Short);
        assert_eq!(peek(" ".repeat(PEEK_MAX_BYTES + 1).as_bytes()), Peek::Json);
        assert_eq!(peek(b"\xef\xbb"), Peek::Short);
    }
}
