//! Where a message was addressed, who asked, and with which credential: what the HTTP head says besides the body.

use std::borrow::Cow;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::model::mcp::Auth;
use crate::model::message::{Field, Headers, Request};

/// Longest path template or host name that is kept, in bytes.
pub const NAME_MAX_BYTES: usize = 256;

/// Host name of a `Host` field: lower case, without port; `None` for an address, which names nobody.
pub fn hostname(field: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(field).ok()?.trim();
    // An IPv6 address belongs in brackets; without them its last group must not be taken for a port.
    if text.is_empty() || text.len() > NAME_MAX_BYTES || text.starts_with('[') || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // `localhost` is an address by another name: it tells no server from another.
    (!name.is_empty() && name != "localhost" && name.parse::<IpAddr>().is_err()).then_some(name)
}

/// Longest scheme of a resource that is kept, in bytes.
const SCHEME_MAX_BYTES: usize = 32;

/// Path of an endpoint as a template: what looks like a credential reads `{secret}`, what looks like an identifier
/// `{id}`, so that neither is kept and both name one endpoint.
pub fn template(path: &str) -> String {
    let mut out = String::with_capacity(path.len().min(NAME_MAX_BYTES));
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        let kind = segment_kind(segment);
        out.push_str(kind.unwrap_or(segment));
        if out.len() >= NAME_MAX_BYTES {
            let mut end = NAME_MAX_BYTES;
            while !out.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            out.truncate(end);
            break;
        }
    }
    out
}

/// No credential and no personal datum is shorter, in bytes.
pub const SECRET_MIN_BYTES: usize = 11;

/// A path or host name, without the parts (between `separator`s) that `redact` changes: the last look at what a server
/// is known by, with the rules of credentials in force.
pub fn without_secrets<'a>(text: &'a str, separator: char, redact: &dyn Fn(&str) -> String) -> Cow<'a, str> {
    if text.len() < SECRET_MIN_BYTES || redact(text) == text {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut blank: usize = 0;
    for (index, part) in text.split(separator).enumerate() {
        if index > 0 {
            out.push(separator);
        }
        let clean = part.len() < SECRET_MIN_BYTES || redact(part) == part;
        blank = blank.saturating_add(usize::from(!clean));
        out.push_str(if clean { part } else { "{secret}" });
    }
    // Where only the whole says what it is, no part can be told apart.
    Cow::Owned(if blank == 0 { "{secret}".to_owned() } else { out })
}

/// Whether a path segment is an identifier or a credential rather than a word.
pub fn is_opaque(segment: &str) -> bool {
    segment_kind(segment).is_some()
}

/// What a path segment is, when it is no plain word.
fn segment_kind(segment: &str) -> Option<&'static str> {
    let bytes = segment.as_bytes();
    let count = |test: fn(&u8) -> bool| bytes.iter().filter(|byte| test(byte)).count();
    let (digits, hex) = (count(u8::is_ascii_digit), count(u8::is_ascii_hexdigit));
    let dashes = count(|byte| *byte == b'-');
    let uuid = bytes.len() == 36 && dashes == 4 && hex == 32;
    let number = bytes.len() >= 4 && digits == bytes.len();
    let hash = bytes.len() >= 16 && hex == bytes.len() && digits > 0;
    if uuid || number || hash {
        return Some("{id}");
    }
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    // Words joined by dashes, dots or underlines read as words; a token mixes digits and both cases, or is long.
    let token = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_=~+%".contains(b));
    let mixed = digits >= 2 && lower >= 2 && (upper >= 2 || (digits >= 4 && dashes == 0));
    (token && ((bytes.len() >= 20 && mixed) || bytes.len() >= 64)).then_some("{secret}")
}

/// Scheme of a URI (RFC 3986, section 3.1): of a resource nothing else is kept.
pub fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let first = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rest = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (first && rest && scheme.len() <= SCHEME_MAX_BYTES).then_some(scheme)
}

/// Credential on a request: the strongest of what its head and its query show.
pub fn auth(request: &Request) -> Auth {
    let headers = &request.headers;
    let mut auth = Auth::None;
    if let Some(value) = headers.get(Field::Authorization) {
        let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
        auth = match () {
            () if scheme.eq_ignore_ascii_case(b"bearer") => Auth::Bearer,
            () if scheme.eq_ignore_ascii_case(b"basic") => Auth::Basic,
            () => Auth::Other,
        };
    }
    if auth < Auth::ApiKey && (names_a_key(headers) || request.query().is_some_and(query_has_key)) {
        auth = Auth::ApiKey;
    }
    if headers.has(Field::Cookie) || headers.has(Field::ProxyAuthorization) {
        auth = auth.max(Auth::Other);
    }
    auth
}

fn names_a_key(headers: &Headers) -> bool {
    keys(headers).next().is_some()
}

/// Fields that are named like an API key. `Mcp-*` fields carry arguments and sessions, not credentials.
pub fn keys(headers: &Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().filter(|(name, value)| {
        const WORDS: [&[u8]; 5] = [b"apikey", b"token", b"secret", b"passw", b"credential"];
        const ENDS: [&[u8]; 4] = [b"-key", b"_key", b"-auth", b"-authorization"];
        // Keys of caches, of retries and of the WebSocket handshake open nothing.
        const OTHERS: [&[u8]; 8] = [
            b"csrf",
            b"xsrf",
            b"websocket",
            b"idempotency",
            b"cache",
            b"surrogate",
            b"partition",
            b"proxy-authorization",
        ];
        let mcp = name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"mcp-"));
        let key = ENDS.iter().any(|end| {
            let start = name.len().checked_sub(end.len());
            start
                .and_then(|start| name.get(start..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        });
        !mcp && !value.is_empty()
            && (key || WORDS.iter().any(|word| contains(name, word)))
            && !OTHERS.iter().any(|word| contains(name, word))
    })
}

fn query_has_key(query: &str) -> bool {
    const KEYS: [&str; 9] = [
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth",
        "auth_token",
        "key",
        "token",
        "x-api-key",
    ];
    query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        !value.is_empty() && KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
    })
}

/// Whether `text` contains `word`, which is lower case, in any case.
fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// Session id in the query of a 2024-11-05 message address.
pub fn query_session(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let known = ["session_id", "sessionid", "session-id", "sid"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(key));
        (known && !value.is_empty()).then_some(value)
    })
}

/// Hash of a session id, scoped to nothing: two servers that share an id are themselves a finding.
pub fn session(id: &[u8]) -> u64 {
    let digest = Sha256::new_with_prefix(b"mcp session\0").chain_update(id).finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::HttpMethod;
    use crate::model::stamp::Stamp;

    #[test]
    fn hosts() {
        for (field, name) in [
            ("MCP.Example.test:8000", Some("mcp.example.test")),
            ("10.0.0.1:80", None),
            ("[::1]:80", None),
            ("localhost.:80", None),
            ("fd88::4", None),
            ("fd88::4:8000", None),
            ("", None),
        ] {
            assert_eq!(hostname(field.as_bytes()).as_deref(), name, "{field}");
        }
    }

    #[test]
    fn templates() {
        for (path, expected) in [
            ("/mcp", "/mcp"),
            ("/v1/mcp/", "/v1/mcp/"),
            (
                "/@owner/my-long-server-name-for-weather/mcp",
                "/@owner/my-long-server-name-for-weather/mcp",
            ),
            ("/s/2246e04f41684383920c4011146f4f83/mcp", "/s/{id}/mcp"),
            ("/x/550e8400-e29b-41d4-a716-446655440000", "/x/{id}"),
            ("/api/mcp/s/ZmFrZTEyMzQ1Njc4OTBhYmNkZWY/mcp", "/api/mcp/s/{secret}/mcp"),
            ("/u/123456", "/u/{id}"),
            ("/mcp-2025", "/mcp-2025"),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
        assert!(template(&"/é".repeat(1000)).len() <= NAME_MAX_BYTES);
    }

    #[test]
    fn secrets_leave_their_part() {
        let redact = |text: &str| {
            text.replace("AKIAQX7RT2MNLW5ZJ3KP", "[aws]")
                .replace("one/two/three", "[x]")
        };
        for (path, kept) in [
            ("/AKIAQX7RT2MNLW5ZJ3KP/mcp", "/{secret}/mcp"),
            ("/one/two/three", "{secret}"),
            ("/some/long/path/mcp", "/some/long/path/mcp"),
        ] {
            assert_eq!(without_secrets(path, '/', &redact), kept);
        }
    }

    #[test]
    fn credentials() {
        type Case = (&'static [(&'static str, &'static str)], &'static str, Auth);
        let cases: [Case; 14] = [
            (&[("Ocp-Apim-Subscription-Key", "x")], "/mcp", Auth::ApiKey),
            (&[("x-functions-key", "x")], "/mcp", Auth::ApiKey),
            (&[("X-MCP-Proxy-Auth", "Bearer x")], "/mcp", Auth::ApiKey),
            (
                &[("Idempotency-Key", "x"), ("Sec-WebSocket-Key", "x")],
                "/mcp",
                Auth::None,
            ),
            (&[("traceparent", "x"), ("X-Authored-By", "me")], "/mcp", Auth::None),
            (&[], "/mcp", Auth::None),
            (&[("authorization", "Bearer x")], "/mcp", Auth::Bearer),
            (&[("Authorization", "basic x")], "/mcp", Auth::Basic),
            (&[("Authorization", "Digest x")], "/mcp", Auth::Other),
            (&[("X-API-Key", "x"), ("Cookie", "a=b")], "/mcp", Auth::ApiKey),
            (&[("Cookie", "a=b")], "/mcp", Auth::Other),
            (&[], "/mcp?api_key=x", Auth::ApiKey),
            (
                &[("Mcp-Param-Token", "x"), ("x-csrf-token", "y")],
                "/mcp?session_id=x",
                Auth::None,
            ),
            (
                &[("Authorization", "Basic x"), ("private-token", "x")],
                "/mcp",
                Auth::ApiKey,
            ),
        ];
        for (fields, target, expected) in cases {
            let mut headers = Headers::default();
            fields
                .iter()
                .for_each(|(name, value)| headers.push(name.as_bytes(), value.as_bytes()));
            let request = Request {
                at: Stamp::default(),
                method: HttpMethod::Post,
                target: target.into(),
                headers,
            };
            assert_eq!(auth(&request), expected, "{fields:?} {target}");
        }
    }
}
