//! Application messages and the HTTP exchange around them, borrowed from the layers that read them.

use crate::model::net::Direction;
use crate::model::stamp::Stamp;

/// A whole application message: what five framings have in common.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Packet that carried its first byte.
    pub at: Stamp,
    /// Which way.
    pub dir: Direction,
    /// What it was wrapped in.
    pub carrier: Carrier<'a>,
    /// Heads of the HTTP request and response, when there is HTTP.
    pub transaction: Option<&'a Transaction>,
    /// Content.
    pub body: Body<'a>,
}

/// What wrapped a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier<'a> {
    /// Behind a `Content-Length` head outside HTTP.
    Framed,
    /// A whole HTTP body.
    HttpBody,
    /// One line of a TCP stream.
    Line,
    /// One event of an event stream.
    SseEvent {
        /// The `event:` field, `message` when there was none.
        name: &'a str,
    },
    /// One WebSocket message.
    WebSocket,
}

/// Content of a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There was none, or it was not of interest; the heads may still be evidence.
    Absent,
    /// Only the beginning was captured.
    Cut {
        /// What was captured.
        head: &'a [u8],
        /// Bytes that were not; 0 when unknown.
        missing: u64,
    },
    /// All of it, decoded.
    Whole(&'a [u8]),
}

/// An HTTP request with its response (RFC 9110): heads only. Either may be missing in a one-sided capture.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Position on its connection, from 0: tells the transactions of one connection apart.
    pub number: u64,
    /// Request head.
    pub request: Option<Request>,
    /// Head of the final response.
    pub response: Option<Response>,
}

/// Head of an HTTP request.
#[derive(Debug)]
pub struct Request {
    /// Packet that carried its first byte.
    pub at: Stamp,
    /// Request method.
    pub method: HttpMethod,
    /// Request target as sent: path and query, or absolute form.
    pub target: String,
    /// Fields.
    pub headers: Headers,
}

impl Request {
    /// Path part of the target: without scheme and authority, query and fragment.
    pub fn path(&self) -> &str {
        let target = match self.target.split_once("://") {
            Some((_, rest)) if !self.target.starts_with('/') => {
                rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or("/"))
            }
            _ => &self.target,
        };
        target.split(['?', '#']).next().unwrap_or("/")
    }

    /// Authority of a target in absolute form (RFC 9112, section 3.2.2): what a client asks a proxy for.
    pub fn authority(&self) -> Option<&str> {
        let (scheme, rest) = self.target.split_once("://")?;
        let absolute = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        absolute.then(|| rest.split(['/', '?', '#']).next().unwrap_or_default())
    }

    /// Query part of the target, without the question mark.
    pub fn query(&self) -> Option<&str> {
        let (_, rest) = self.target.split_once('?')?;
        rest.split('#').next()
    }
}

/// Head of an HTTP response.
#[derive(Debug)]
pub struct Response {
    /// Packet that carried its first byte.
    pub at: Stamp,
    /// Status code.
    pub status: u16,
    /// Fields.
    pub headers: Headers,
}

/// Request methods that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// RFC 9110, section 9.3.6.
    Connect,
    /// Ends an MCP session.
    Delete,
    /// Opens a stream.
    Get,
    /// Its response has no body.
    Head,
    /// A CORS preflight, mostly.
    Options,
    /// Any other token.
    Other,
    /// Carries messages.
    Post,
}

impl HttpMethod {
    /// From the token of the request line; methods are case-sensitive (RFC 9110, section 9.1).
    pub fn parse(token: &str) -> Self {
        match token {
            "CONNECT" => Self::Connect,
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// Field names that are looked up by name; [`Headers::get`] finds the first of each without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the field name itself")]
pub enum Field {
    Accept,
    AcAllowOrigin,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Host,
    LastEventId,
    Location,
    McpMethod,
    McpName,
    McpProtocolVersion,
    McpSessionId,
    Origin,
    ProxyAuthorization,
    SecWebSocketExtensions,
    SecWebSocketProtocol,
    TransferEncoding,
    Upgrade,
    UserAgent,
    WwwAuthenticate,
}

const FIELDS: [&str; 23] = [
    "accept",
    "access-control-allow-origin",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "last-event-id",
    "location",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "proxy-authorization",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
];

/// Index of a known field; `None` for any other name. Decided by length first: most names end there.
fn known(name: &[u8]) -> Option<usize> {
    let candidates: &[Field] = match name.len() {
        4 => &[Field::Host],
        6 => &[Field::Accept, Field::Cookie, Field::Origin],
        7 => &[Field::Upgrade],
        8 => &[Field::Location, Field::McpName],
        10 => &[Field::Connection, Field::McpMethod, Field::UserAgent],
        12 => &[Field::ContentType],
        13 => &[Field::Authorization, Field::LastEventId],
        14 => &[Field::ContentLength, Field::McpSessionId],
        16 => &[Field::ContentEncoding, Field::WwwAuthenticate],
        17 => &[Field::TransferEncoding],
        19 => &[Field::ProxyAuthorization],
        20 => &[Field::McpProtocolVersion],
        22 => &[Field::SecWebSocketProtocol],
        24 => &[Field::SecWebSocketExtensions],
        27 => &[Field::AcAllowOrigin],
        _ => return None,
    };
    let at = candidates.iter().find(|field| {
        FIELDS
            .get(**field as usize)
            .is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(name))
    })?;
    Some(*at as usize)
}

/// Header fields in order: one copy of their text, recycled with the transaction.
///
/// The number and the size of the fields are bounded by the parser that fills this.
#[derive(Debug, Default)]
pub struct Headers {
    text: Vec<u8>,
    /// (start of name, start of value, end of value) in `text`.
    fields: Vec<(u32, u32, u32)>,
    /// 1 + index of the first field of each known name; 0 is none.
    first: [u16; FIELDS.len()],
    /// Known names that occur more than once, one bit each.
    repeated: u32,
}

impl Headers {
    /// Appends a field. Fields past `u16::MAX` or 4 GiB are dropped.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(start), Ok(name_len), Ok(value_len)) = (
            u32::try_from(self.text.len()),
            u32::try_from(name.len()),
            u32::try_from(value.len()),
        ) else {
            return;
        };
        let (Some(middle), Ok(number)) = (
            start.checked_add(name_len),
            u16::try_from(self.fields.len().wrapping_add(1)),
        ) else {
            return;
        };
        let Some(end) = middle.checked_add(value_len) else {
            return;
        };
        if let Some(field) = known(name) {
            match self.first.get_mut(field) {
                Some(slot @ 0) => *slot = number,
                _ => self.repeated |= 1 << field,
            }
        }
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.fields.push((start, middle, end));
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.first = [0; FIELDS.len()];
        self.repeated = 0;
    }

    /// Value of the first field of that name.
    pub fn get(&self, field: Field) -> Option<&[u8]> {
        let number = *self.first.get(field as usize)?;
        let at = usize::from(number.checked_sub(1)?);
        self.at(at).map(|(_, value)| value)
    }

    /// Value of the first field of that name, when it is UTF-8.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.get(field).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether a field of that name is there.
    pub fn has(&self, field: Field) -> bool {
        self.get(field).is_some()
    }

    /// Whether a field of that name stands there more than once.
    pub fn repeats(&self, field: Field) -> bool {
        self.repeated & (1 << (field as u32)) != 0
    }

    /// Members of a comma-separated list, which may be spread over several fields of that name (RFC 9110, section 5.3).
    pub fn members(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        let name = FIELDS.get(field as usize).copied().filter(|_| self.repeats(field));
        let all = name.map(|name| {
            let fields = self.iter();
            fields.filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
        });
        let once = self.get(field).filter(|_| name.is_none());
        once.into_iter()
            .chain(all.into_iter().flatten().map(|(_, value)| value))
            .flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
    }

    /// Names and values in order; names as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.fields.len()).filter_map(|at| self.at(at))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let &(start, middle, end) = self.fields.get(index)?;
        let (start, middle, end) = (start as usize, middle as usize, end as usize);
        Some((self.text.get(start..middle)?, self.text.get(middle..end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_case() {
        let mut headers = Headers::default();
        headers.push(b"MCP-Session-ID", b"abc");
        headers.push(b"X-Other", b"1");
        headers.push(b"mcp-session-id", b"def");
        assert_eq!(headers.text(Field::McpSessionId), Some("abc"));
        assert!(headers.repeats(Field::McpSessionId) && !headers.repeats(Field::Host));
        assert_eq!(headers.iter().count(), 3);
        headers.clear();
        assert!(!headers.has(Field::McpSessionId) && headers.is_empty());
    }

    #[test]
    fn every_known_field_has_its_name() {
        assert_eq!(FIELDS[Field::WwwAuthenticate as usize], "www-authenticate");
        assert_eq!(FIELDS[Field::McpMethod as usize], "mcp-method");
        assert!(FIELDS.is_sorted());
        for (index, name) in FIELDS.iter().enumerate() {
            assert_eq!(known(name.to_ascii_uppercase().as_bytes()), Some(index), "{name}");
        }
    }

    #[test]
    fn target_forms() {
        for (target, path, query) in [
            ("/mcp?x=1#y", "/mcp", Some("x=1")),
            ("http://h:80/a/b?q", "/a/b", Some("q")),
            ("http://h", "/", None),
            ("/r?u=http://h/x", "/r", Some("u=http://h/x")),
            ("*", "*", None),
        ] {
            let request = Request {
                at: Stamp::default(),
                method: HttpMethod::Get,
                target: target.into(),
                headers: Headers::default(),
            };
            assert_eq!((request.path(), request.query()), (path, query), "{target}");
            let authority = target
                .strip_prefix("http://")
                .map(|rest| rest.split('/').next().unwrap());
            assert_eq!(request.authority(), authority, "{target}");
        }
    }
}
