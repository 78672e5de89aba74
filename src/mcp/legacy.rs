//! HTTP+SSE of 2024-11-05: where the announced address leads, which session it names, and whether a reply is only a
//! receipt because the answer travels on the event stream.
//!
//! Servers vary: absolute and relative addresses, the session in the query or as the last part of the path, receipts of
//! 202, 204, or 200 with a word or nothing in it. RFC 3986, section 5.2, as far as clients need it: no dot segments.

use crate::mcp::site;
use crate::model::message::{Field, HttpMethod, Response, Transaction};

/// Absolute path and query of an announced address; `base` is the path of the event stream.
pub(super) fn resolve(uri: &str, base: Option<&str>) -> Option<String> {
    let uri = uri.trim().trim_matches('"');
    let uri = uri.split('#').next().unwrap_or_default();
    if uri.is_empty() || uri.len() > site::NAME_MAX_BYTES.saturating_mul(4) {
        return None;
    }
    let colon = uri
        .find("://")
        .filter(|at| !uri.get(..*at).unwrap_or_default().contains(['/', '?']));
    let authority = colon
        .and_then(|at| uri.get(at.saturating_add(3)..))
        .or_else(|| uri.strip_prefix("//"));
    if let Some(rest) = authority {
        let start = rest.find(['/', '?']).unwrap_or(rest.len());
        let target = rest.get(start..).unwrap_or_default();
        return Some(if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        });
    }
    if uri.starts_with('/') {
        return Some(uri.to_owned());
    }
    let base = base.unwrap_or("/");
    let folder = match uri.starts_with('?') {
        true => base,
        false => base.rfind('/').and_then(|at| base.get(..=at)).unwrap_or("/"),
    };
    Some(format!("{folder}{uri}"))
}

/// Session that an announced address or the target of a POST names: in the query, else the last part of the path when
/// that is an identifier.
pub(super) fn session(path: &str, query: Option<&str>) -> Option<u64> {
    let id = query.and_then(site::query_session).or_else(|| {
        let last = path.trim_end_matches('/').rsplit('/').next()?;
        site::is_opaque(last).then_some(last)
    });
    id.map(|id| site::session(id.as_bytes()))
}

/// Whether a response with that head, without a JSON-RPC message in its body, only says that a request was taken: in
/// Streamable HTTP the answer to a request never looks so.
pub(super) fn is_receipt(response: &Response) -> bool {
    let kind = response.headers.get(Field::ContentType).unwrap_or_default();
    let plain = kind
        .get(..10)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"text/plain"));
    let empty = response
        .headers
        .get(Field::ContentLength)
        .is_some_and(|length| length == b"0");
    matches!(response.status, 202 | 204) || (matches!(response.status, 200 | 201) && (plain || empty))
}

/// Whether a POST is one to an announced address: it names a session in its query and none in the later field. Clients
/// may send the field of the version all the same; what was refused is then no Streamable HTTP either.
pub(super) fn is_announced(transaction: &Transaction) -> bool {
    let Some(request) = &transaction.request else {
        return false;
    };
    let later = [Field::McpProtocolVersion, Field::McpMethod];
    let later = later.iter().any(|field| request.headers.has(*field));
    let refused = transaction
        .response
        .as_ref()
        .is_some_and(|response| response.status >= 400);
    request.method == HttpMethod::Post
        && !request.headers.has(Field::McpSessionId)
        && (refused || !later)
        && request.query().and_then(site::query_session).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::message::Headers;
    use crate::model::stamp::Stamp;

    #[test]
    fn addresses() {
        for (uri, base, target) in [
            ("/messages/?session_id=1", Some("/sse"), "/messages/?session_id=1"),
            ("http://h:8000/m?s=1", Some("/sse"), "/m?s=1"),
            ("https://h", None, "/"),
            ("https://h?sid=1", None, "/?sid=1"),
            ("//h/m", None, "/m"),
            ("messages?sid=1", Some("/api/sse"), "/api/messages?sid=1"),
            ("?sid=1", Some("/api/sse"), "/api/sse?sid=1"),
            (" /m?next=http://x \r", None, "/m?next=http://x"),
        ] {
            assert_eq!(resolve(uri, base).as_deref(), Some(target), "{uri}");
        }
        assert_eq!(resolve(" ", None), None);
    }

    #[test]
    fn sessions() {
        let id = "2246e04f41684383920c4011146f4f83";
        let by_query = session("/m", Some(&format!("sessionId={id}")));
        assert!(by_query.is_some());
        assert_eq!(by_query, session(&format!("/messages/{id}/"), None));
        assert_eq!(session("/messages", None), None);
    }

    #[test]
    fn receipts() {
        for (status, kind, length, receipt) in [
            (202, "", "8", true),
            (204, "", "", true),
            (200, "text/plain; charset=utf-8", "2", true),
            (200, "", "0", true),
            (200, "text/html", "300", false),
            (200, "application/json", "40", false),
            (200, "text/event-stream", "", false),
            (404, "text/plain", "9", false),
        ] {
            let mut headers = Headers::default();
            headers.push(b"Content-Type", kind.as_bytes());
            headers.push(b"Content-Length", length.as_bytes());
            let response = Response {
                at: Stamp::default(),
                status,
                headers,
            };
            assert_eq!(is_receipt(&response), receipt, "{status} {kind}");
        }
    }
}
