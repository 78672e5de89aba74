//! Heads of HTTP/1.x messages (RFC 9112, sections 2 to 5): where one ends, and its parse by httparse into recycled
//! memory.
//!
//! A head that lies in one slice is parsed where it is. What a strict parse refuses (folded lines, odd fields, a target
//! outside UTF-8) gets one more chance in a cleaned copy, off the fast path. Cost: per head.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};
use memchr::memchr_iter;

use super::probe::{Looks, request_line, status_line};
use crate::model::message::{Headers, HttpMethod, Request, Response};

/// Fields of nearly every head.
const FIELDS: usize = 64;
/// Most fields of a head; more are no HTTP that anyone sends.
const FIELDS_MAX: usize = 256;

/// What became of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// It was read, and is so many bytes long.
    Complete(usize),
    /// This is no head.
    Malformed,
    /// It has not ended yet.
    Partial,
}

/// A head of either kind, as memory to read it into.
pub(super) trait Head {
    fn parse<'b>(
        &mut self,
        input: &'b [u8],
        config: &ParserConfig,
        fields: &mut [MaybeUninit<Header<'b>>],
    ) -> httparse::Result<usize>;

    /// Whether the start line is right as far as it goes.
    fn start(input: &[u8]) -> Looks;
}

impl Head for Request {
    fn parse<'b>(
        &mut self,
        input: &'b [u8],
        config: &ParserConfig,
        fields: &mut [MaybeUninit<Header<'b>>],
    ) -> httparse::Result<usize> {
        let mut head = httparse::Request::new(&mut []);
        let status = config.parse_request_with_uninit_headers(&mut head, input, fields)?;
        if status.is_complete() {
            self.method = HttpMethod::parse(head.method.unwrap_or_default());
            self.target.clear();
            self.target.push_str(head.path.unwrap_or_default());
            fill(&mut self.headers, head.headers);
        }
        Ok(status)
    }

    fn start(input: &[u8]) -> Looks {
        request_line(input)
    }
}

impl Head for Response {
    fn parse<'b>(
        &mut self,
        input: &'b [u8],
        config: &ParserConfig,
        fields: &mut [MaybeUninit<Header<'b>>],
    ) -> httparse::Result<usize> {
        let mut head = httparse::Response::new(&mut []);
        let status = config.parse_response_with_uninit_headers(&mut head, input, fields)?;
        if status.is_complete() {
            self.status = head.code.unwrap_or_default();
            fill(&mut self.headers, head.headers);
        }
        Ok(status)
    }

    fn start(input: &[u8]) -> Looks {
        status_line(input)
    }
}

/// Reads a head from the front of `input`.
pub(super) fn read<H: Head>(head: &mut H, input: &[u8]) -> Parsed {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    match head.parse(input, &ParserConfig::default(), &mut fields) {
        Ok(Status::Complete(len)) => Parsed::Complete(len),
        Ok(Status::Partial) => Parsed::Partial,
        Err(_) => read_tolerantly(head, input),
    }
}

/// Where a head that starts at the front of `input` ends: behind its empty line. `from` is how far was looked already.
pub(super) fn end(input: &[u8], from: usize) -> Option<usize> {
    let tail = input.get(from..)?;
    memchr_iter(b'\n', tail).find_map(|at| {
        let behind = from.saturating_add(at).saturating_add(1);
        match input.get(behind..)? {
            [b'\n', ..] => Some(behind.saturating_add(1)),
            [b'\r', b'\n', ..] => Some(behind.saturating_add(2)),
            _ => None,
        }
    })
}

#[cold]
fn read_tolerantly<H: Head>(head: &mut H, input: &[u8]) -> Parsed {
    let Some(len) = end(input, 0) else {
        // The strict parse stopped before the end. Only a good start line is worth waiting for the rest.
        return if H::start(input) == Looks::Like {
            Parsed::Partial
        } else {
            Parsed::Malformed
        };
    };
    let cleaned = cleaned(input.get(..len).unwrap_or(input));
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true);
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    match head.parse(&cleaned, &config, &mut fields) {
        Ok(Status::Complete(_)) => Parsed::Complete(len),
        _ => Parsed::Malformed,
    }
}

/// A copy of a head with folded lines joined (RFC 9112, section 5.2) and a start line of ASCII.
fn cleaned(head: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(head.len());
    for (number, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if number == 0 {
            copy.extend(line.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' }));
            continue;
        }
        let folded = matches!(line, [b' ' | b'\t', ..]);
        if folded && number > 1 {
            while matches!(copy.last(), Some(b'\r' | b'\n')) {
                copy.pop();
            }
        }
        copy.extend_from_slice(line);
    }
    copy
}

fn fill(headers: &mut Headers, fields: &[Header<'_>]) {
    headers.clear();
    for field in fields {
        headers.push(field.name.as_bytes(), field.value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::model::message::Field;
    use crate::model::stamp::Stamp;

    fn request() -> Request {
        Request {
            at: Stamp::default(),
            method: HttpMethod::Other,
            target: String::new(),
            headers: Headers::default(),
        }
    }

    #[test]
    fn reads_what_is_sent_in_the_wild() {
        // (head, length, target, value of Accept)
        for (head, target, accept) in [
            ("GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: x\r\n\r\n", "/a?b", "x"),
            ("GET /a HTTP/1.1\nAccept: x\n\n", "/a", "x"),
            ("GET http://h/a HTTP/1.0\r\naccept:x\r\n\r\n", "http://h/a", "x"),
            (
                "GET /a HTTP/1.1\r\nAccept: x,\r\n  y,\r\n\tz\r\nHost: h\r\n\r\n",
                "/a",
                "x,  y,\tz",
            ),
            ("GET /a HTTP/1.1\r\nbroken line\r\nAccept: x\r\n\r\n", "/a", "x"),
        ] {
            let mut into = request();
            let longer = format!("{head}rest");
            assert_eq!(
                read(&mut into, longer.as_bytes()),
                Parsed::Complete(head.len()),
                "{head:?}"
            );
            assert_eq!(end(longer.as_bytes(), 0), Some(head.len()));
            assert_eq!(
                (into.target.as_str(), into.headers.text(Field::Accept)),
                (target, Some(accept)),
                "{head:?}"
            );
        }
        let mut into = request();
        let raw = b"GET /\xff\xfe HTTP/1.1\r\nAccept: x\r\n\r\n";
        assert_eq!(read(&mut into, raw), Parsed::Complete(raw.len()));
        assert_eq!(into.target, "/??");
    }

    #[test]
    fn many_fields_and_too_many() {
        for (fields, expect) in [(FIELDS, true), (FIELDS_MAX, true), (FIELDS_MAX + 1, false)] {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X-Y: z\r\n".repeat(fields));
            let parsed = read(&mut request(), head.as_bytes());
            assert_eq!(parsed == Parsed::Complete(head.len()), expect, "{fields}");
        }
    }

    #[test]
    fn what_is_not_a_head_yet_or_never() {
        let mut into = request();
        assert_eq!(read(&mut into, b"GET / HTTP/1.1\r\nHost: h\r\n"), Parsed::Partial);
        assert_eq!(read(&mut into, b"GET / HTTP/1.1\r\nAccept: x,\r\n y"), Parsed::Partial);
        assert_eq!(read(&mut into, b"{\"jsonrpc\":\"2.0\"}"), Parsed::Malformed);
        assert_eq!(read(&mut into, b"\x81\x05hello\n\n"), Parsed::Malformed);
    }
}
