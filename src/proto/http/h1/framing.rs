//! How long a body is (RFC 9112, section 6.3), decided from the heads.
//!
//! Follows what receivers do rather than what they should refuse: `Transfer-Encoding` wins over `Content-Length`.
//! It does not judge smuggling; that the fields disagree is in the heads for whoever looks.

use super::chunked::Chunked;
use crate::model::message::{Field, Headers, HttpMethod, Request, Response};

/// Where a body ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// By its last chunk.
    Chunked(Chunked),
    /// After so many more bytes; never 0.
    Length(u64),
    /// There is no body.
    None,
    /// Not known: the end of the head was not captured.
    Torn,
    /// With the connection, or when it cannot be known.
    UntilClose,
}

/// Framing of a request's body. `None` when its length contradicts itself.
pub(super) fn of_request(request: &Request) -> Option<Framing> {
    let headers = &request.headers;
    match (is_chunked(headers), length(headers)) {
        (Some(true), _) => Some(Framing::Chunked(Chunked::new())),
        (Some(false), _) => Some(Framing::UntilClose),
        (None, Length::Invalid) => None,
        (None, Length::Missing | Length::Bytes(0)) => Some(Framing::None),
        (None, Length::Bytes(bytes)) => Some(Framing::Length(bytes)),
    }
}

/// Framing of a response's body, with the method of its request as far as that is known. `None` when its length
/// contradicts itself.
pub(super) fn of_response(response: &Response, method: Option<HttpMethod>) -> Option<Framing> {
    let headers = &response.headers;
    if method == Some(HttpMethod::Head) || matches!(response.status, 100..200 | 204 | 304) {
        return Some(Framing::None);
    }
    match (is_chunked(headers), length(headers)) {
        (Some(true), _) => Some(Framing::Chunked(Chunked::new())),
        (Some(false), _) | (None, Length::Missing) => Some(Framing::UntilClose),
        (None, Length::Invalid) => None,
        (None, Length::Bytes(0)) => Some(Framing::None),
        (None, Length::Bytes(bytes)) => Some(Framing::Length(bytes)),
    }
}

/// Whether chunked is the last transfer coding; `None` when there is none at all. `identity` is none (RFC 2616,
/// section 4.4), and still sent.
fn is_chunked(headers: &Headers) -> Option<bool> {
    let codings = headers.members(Field::TransferEncoding);
    let last = codings
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case(b"identity"))
        .last()?;
    Some(last.eq_ignore_ascii_case(b"chunked"))
}

enum Length {
    Bytes(u64),
    Invalid,
    Missing,
}

/// The same number said again is one number (RFC 9112, section 6.3, rule 5).
fn length(headers: &Headers) -> Length {
    let mut found = Length::Missing;
    for token in headers.members(Field::ContentLength) {
        let number = Some(token).filter(|token| !token.is_empty() && token.iter().all(u8::is_ascii_digit));
        let number = number.and_then(|token| std::str::from_utf8(token).ok()?.parse::<u64>().ok());
        found = match (number, found) {
            (Some(bytes), Length::Missing) => Length::Bytes(bytes),
            (Some(bytes), Length::Bytes(before)) if bytes == before => Length::Bytes(bytes),
            _ => return Length::Invalid,
        };
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::model::stamp::Stamp;

    fn framing(status: u16, method: Option<HttpMethod>, fields: &[(&str, &str)]) -> String {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        let framing = if status == 0 {
            let request = Request {
                at: Stamp::default(),
                method: HttpMethod::Post,
                target: String::new(),
                headers,
            };
            of_request(&request)
        } else {
            of_response(
                &Response {
                    at: Stamp::default(),
                    status,
                    headers,
                },
                method,
            )
        };
        match framing {
            None => "bad".into(),
            Some(Framing::Chunked(_)) => "chunked".into(),
            Some(Framing::Length(bytes)) => bytes.to_string(),
            Some(Framing::None) => "none".into(),
            Some(Framing::Torn) => "torn".into(),
            Some(Framing::UntilClose) => "close".into(),
        }
    }

    #[test]
    fn rules_of_section_6_3() {
        const CL: &str = "Content-Length";
        const TE: &str = "Transfer-Encoding";
        for (status, method, fields, expect) in [
            (0, None, &[][..], "none"),
            (0, None, &[(CL, "5")], "5"),
            (0, None, &[(CL, "5"), (TE, "chunked")], "chunked"),
            (0, None, &[(CL, "5, 5")], "5"),
            (0, None, &[(CL, "5"), ("content-length", "5")], "5"),
            (0, None, &[(CL, "5"), (CL, "6")], "bad"),
            (0, None, &[(CL, "+5")], "bad"),
            (0, None, &[(CL, "")], "bad"),
            (0, None, &[(CL, "99999999999999999999")], "bad"),
            (0, None, &[(TE, "gzip")], "close"),
            (0, None, &[(CL, "5"), (TE, "identity")], "5"),
            (0, None, &[(TE, "identity"), (TE, "chunked")], "chunked"),
            (200, None, &[], "close"),
            (200, None, &[(CL, "0")], "none"),
            (200, None, &[(TE, "gzip, chunked")], "chunked"),
            (200, None, &[(TE, "gzip"), ("transfer-encoding", "Chunked")], "chunked"),
            (200, None, &[(TE, "chunked, gzip")], "close"),
            (200, Some(HttpMethod::Head), &[(CL, "5")], "none"),
            (204, None, &[(CL, "5")], "none"),
            (304, None, &[(CL, "5")], "none"),
            (101, None, &[], "none"),
        ] {
            assert_eq!(
                framing(status, method, fields),
                expect,
                "{status} {method:?} {fields:?}"
            );
        }
    }
}
