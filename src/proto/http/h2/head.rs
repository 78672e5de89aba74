//! From the fields of a header block to a request or response head (RFC 9113, section 8.3).
//!
//! Pseudo-fields take the place of the start line; `:authority` becomes the `Host` field that it stands for. What a lost
//! table entry said is missing, and the head says so. It judges nothing else: order, case and repetition stay as sent.

use super::hpack::Field as Decoded;
use crate::model::message::{Field, Headers, HttpMethod, Request, Response};
use crate::model::stamp::Stamp;

/// Most fields of a head; more are no HTTP that anyone sends.
const FIELDS_MAX: usize = 256;
/// What a field counts besides its text (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// A head as it is put together; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Draft {
    method: Option<HttpMethod>,
    status: Option<u16>,
    target: String,
    /// Whether `:protocol` asks for another protocol on the stream (RFC 8441), and for that of a WebSocket.
    protocol: Option<bool>,
    headers: Headers,
    /// As section 6.5.2 counts the size of a header list.
    size: usize,
    partial: bool,
    cut: bool,
}

impl Draft {
    pub(super) fn clear(&mut self) {
        (self.method, self.status, self.protocol) = (None, None, None);
        self.target.clear();
        self.headers.clear();
        (self.size, self.partial, self.cut) = (0, false, false);
    }

    /// Adds a field. What goes beyond `max_bytes` is left out, and told by [`Self::is_cut`].
    pub(super) fn add(&mut self, field: Decoded<'_>, max_bytes: usize) {
        let Decoded {
            name: Some(name),
            value: Some(value),
        } = field
        else {
            self.partial = true;
            return;
        };
        let size = name.len().saturating_add(value.len()).saturating_add(FIELD_BYTES);
        let size = self.size.saturating_add(size);
        if size > max_bytes || self.headers.len() >= FIELDS_MAX {
            self.cut = true;
            return;
        }
        self.size = size;
        match name {
            b":authority" => self.headers.push(b"host", value),
            b":method" => self.method = Some(std::str::from_utf8(value).map_or(HttpMethod::Other, HttpMethod::parse)),
            b":path" => {
                self.target.clear();
                self.target.push_str(&String::from_utf8_lossy(value));
            }
            b":protocol" => self.protocol = Some(value.eq_ignore_ascii_case(b"websocket")),
            b":status" => self.status = status(value),
            // The authority that was named first is named again.
            b"host" if self.headers.get(Field::Host) == Some(value) => {}
            [b':', ..] => {}
            _ => self.headers.push(name, value),
        }
    }

    /// Some of the block is not known.
    pub(super) fn tear(&mut self) {
        self.partial = true;
    }

    /// Whether fields are missing.
    pub(super) fn is_partial(&self) -> bool {
        self.partial || self.cut
    }

    /// Whether fields were left out at the bound.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// As section 6.5.2 counts it.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether it is a request's head rather than its trailers.
    pub(super) fn is_request(&self) -> bool {
        self.method.is_some() || !self.target.is_empty()
    }

    /// Status, when it is a response's head.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the stream is to carry another protocol: CONNECT, plain or extended.
    pub(super) fn is_connect(&self) -> bool {
        self.protocol.is_some() || self.method == Some(HttpMethod::Connect)
    }

    /// Whether that is the protocol of a WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        self.protocol == Some(true)
    }

    /// Moves into a request head. What is not known of its start line is `Other` and empty.
    pub(super) fn fill_request(&mut self, at: Stamp, request: &mut Request) {
        request.at = at;
        request.method = self.method.unwrap_or(HttpMethod::Other);
        if self.target.is_empty() && request.method == HttpMethod::Connect {
            // A plain CONNECT has no path: it asks for an authority (section 8.5).
            self.target.push_str(self.headers.text(Field::Host).unwrap_or_default());
        }
        std::mem::swap(&mut request.target, &mut self.target);
        std::mem::swap(&mut request.headers, &mut self.headers);
    }

    /// Moves into a response head. A status that is not known is 0.
    pub(super) fn fill_response(&mut self, at: Stamp, response: &mut Response) {
        response.at = at;
        response.status = self.status.unwrap_or(0);
        std::mem::swap(&mut response.headers, &mut self.headers);
    }
}

/// Three digits (RFC 9110, section 15).
fn status(value: &[u8]) -> Option<u16> {
    if value.len() != 3 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    fn draft(fields: &[(&str, &str)], max_bytes: usize) -> Draft {
        let mut draft = Draft::default();
        for (name, value) in fields {
            let known = |text: &'static str| (text != "?").then_some(text.as_bytes());
            let (name, value) = (name.to_string().leak(), value.to_string().leak());
            draft.add(
                Decoded {
                    name: known(name),
                    value: known(value),
                },
                max_bytes,
            );
        }
        draft
    }

    fn request(draft: &mut Draft) -> Request {
        let mut request = Request {
            at: Stamp::default(),
            method: HttpMethod::Get,
            target: "old".into(),
            headers: Headers::default(),
        };
        draft.fill_request(Stamp::default(), &mut request);
        request
    }

    #[test]
    fn requests() {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "h:80"),
            (":path", "/mcp?x"),
            ("host", "h:80"),
            ("host", "other"),
            ("accept", "*/*"),
        ];
        let mut whole = draft(&fields, 1000);
        assert!(whole.is_request() && !whole.is_partial() && !whole.is_connect());
        let request = request(&mut whole);
        assert_eq!((request.method, &*request.target), (HttpMethod::Post, "/mcp?x"));
        assert_eq!(request.headers.text(Field::Host), Some("h:80"));
        assert_eq!((request.headers.len(), request.headers.repeats(Field::Host)), (3, true));
    }

    #[test]
    fn other_protocols_on_a_stream() {
        let mut plain = draft(&[(":method", "CONNECT"), (":authority", "h:443")], 1000);
        assert!(plain.is_connect());
        assert_eq!(request(&mut plain).target, "h:443");
        let extended = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":path", "/ws"),
            (":authority", "h"),
        ];
        let mut extended = draft(&extended, 1000);
        assert!(extended.is_connect() && extended.is_websocket() && !plain.is_websocket());
        assert_eq!(request(&mut extended).target, "/ws");
    }

    #[test]
    fn parts_of_heads() {
        let mut unknown = draft(&[(":method", "POST"), ("?", "?"), ("?", "x"), ("a", "b")], 1000);
        assert!(unknown.is_partial() && !unknown.is_cut());
        assert_eq!(request(&mut unknown).target, "");
        let long = draft(
            &[(":status", "200"), ("a", "b"), ("a", &"b".repeat(100)), ("c", "d")],
            120,
        );
        assert!(long.is_cut() && long.is_partial());
        assert_eq!(
            (long.status(), long.headers.len(), long.size()),
            (Some(200), 2, 42 + 34 + 34)
        );
        for (value, expect) in [("404", Some(404)), ("4o4", None), ("1000", None), ("", None)] {
            assert_eq!(draft(&[(":status", value)], 1000).status(), expect, "{value}");
        }
        let trailers = draft(&[("grpc-status", "0")], 1000);
        assert!(!trailers.is_request() && trailers.status().is_none());
    }
}
