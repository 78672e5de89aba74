//! Whether bytes are the beginning of an HTTP/1.x message: the request line and the status line (RFC 9112, sections 3
//! and 4), as far as they have come. Pure, and cheap enough for each segment of a stream that lost step.

use crate::stream::layer::{Prefix, Probe};

/// Methods that are taken for one when not even the space behind them has come.
const METHODS: [&[u8]; 9] = [
    b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE",
];
/// Longest method token: the registry's longest has 17 characters.
const METHOD_MAX_BYTES: usize = 20;
/// A request line with a known method and so many good bytes needs no version to be believed.
const SURE_BYTES: usize = 512;
const VERSION: &[u8] = b"HTTP/1.";

/// How far bytes look like something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// They are.
    Like,
    /// They may still become so.
    Short,
    /// They are not.
    Unlike,
}

/// Asks both directions, since roles are not settled yet.
pub(super) fn probe(prefix: &Prefix<'_>) -> Probe {
    // A side that has not spoken says nothing; when neither has, there is nothing to deny yet.
    let mut short = prefix.is_silent();
    for (dir, bytes) in prefix.said() {
        match (request_line(bytes), status_line(bytes)) {
            (Looks::Like, _) => {
                return Probe::Yes {
                    server: Some(dir.flip()),
                };
            }
            (_, Looks::Like) => return Probe::Yes { server: Some(dir) },
            (Looks::Unlike, Looks::Unlike) => {}
            _ => short = true,
        }
    }
    if short { Probe::More } else { Probe::No }
}

/// Line ends before a message are passed over (RFC 9112, section 2.2).
pub(super) fn without_line_ends(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes.get(blank..).unwrap_or_default()
}

/// `method SP request-target SP HTTP/1.x`.
pub(crate) fn request_line(bytes: &[u8]) -> Looks {
    let bytes = without_line_ends(bytes);
    let token = bytes.iter().take_while(|byte| is_token(**byte)).count();
    let (method, rest) = bytes.split_at(token);
    if rest.is_empty() {
        return if METHODS.iter().any(|known| known.starts_with(method)) {
            Looks::Short
        } else {
            Looks::Unlike
        };
    }
    let Some(rest) = rest.strip_prefix(b" ") else {
        return Looks::Unlike;
    };
    if method.is_empty() || method.len() > METHOD_MAX_BYTES {
        return Looks::Unlike;
    }
    let known = METHODS.contains(&method);
    let target = rest.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count();
    let (target, rest) = rest.split_at(target);
    match rest.strip_prefix(b" ") {
        None if !rest.is_empty() => Looks::Unlike,
        None if known && target.len() >= SURE_BYTES => Looks::Like,
        None if target.len() >= SURE_BYTES => Looks::Unlike,
        None => Looks::Short,
        Some(_) if target.is_empty() => Looks::Unlike,
        Some(rest) => version(rest).0,
    }
}

/// `HTTP/1.x SP status`.
pub(crate) fn status_line(bytes: &[u8]) -> Looks {
    let (looks, rest) = version(without_line_ends(bytes));
    if looks != Looks::Like {
        return looks;
    }
    match rest {
        [] | [b' '] => Looks::Short,
        [b' ', code @ ..] if !code.iter().take(3).all(u8::is_ascii_digit) => Looks::Unlike,
        [b' ', code @ ..] if code.len() < 3 => Looks::Short,
        [b' ', ..] => Looks::Like,
        _ => Looks::Unlike,
    }
}

fn version(bytes: &[u8]) -> (Looks, &[u8]) {
    match bytes.strip_prefix(VERSION) {
        Some([]) => (Looks::Short, &[]),
        Some([digit, rest @ ..]) if digit.is_ascii_digit() => (Looks::Like, rest),
        Some(_) => (Looks::Unlike, &[]),
        None if VERSION.starts_with(bytes) => (Looks::Short, &[]),
        None => (Looks::Unlike, &[]),
    }
}

/// RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::model::net::Direction;

    fn ask(to_server: &str, to_client: &str) -> Probe {
        let bytes = [to_server.as_bytes(), to_client.as_bytes()];
        probe(&Prefix {
            bytes,
            from_start: true,
            ports: [40000, 80],
        })
    }

    #[test]
    fn lines_as_they_grow() {
        for line in [
            "POST /mcp?a=b HTTP/1.1\r\n",
            "GET http://h/x HTTP/1.0",
            "CONNECT h:443 HTTP/1.1",
            "\r\nPUT * HTTP/1.1",
        ] {
            let sure = line.find("HTTP/1.").unwrap() + 8;
            for end in 0..=line.len() {
                let expect = if end < sure { Looks::Short } else { Looks::Like };
                assert_eq!(request_line(&line.as_bytes()[..end]), expect, "{:?}", &line[..end]);
            }
        }
        let line = "HTTP/1.1 200 OK\r\n";
        for end in 0..=line.len() {
            let expect = if end < 12 { Looks::Short } else { Looks::Like };
            assert_eq!(status_line(&line.as_bytes()[..end]), expect, "{:?}", &line[..end]);
        }
        assert_eq!(request_line(b"PROPFIND /x HTTP/1.1"), Looks::Like);
        assert_eq!(
            request_line(format!("GET /{}", "x".repeat(600)).as_bytes()),
            Looks::Like
        );
    }

    #[test]
    fn what_is_not_http() {
        for line in [
            "PRI * HTTP/2.0\r\n",
            "GET /\r\n",
            "EHLO example.test\r\n",
            "OPTIONS rtsp://h RTSP/1.0",
            "\u{16}\u{3}\u{1}",
            "SSH-2.0-x",
            "{\"a\":1}",
            "GET  HTTP/1.1",
        ] {
            assert_eq!(request_line(line.as_bytes()), Looks::Unlike, "{line:?}");
        }
        for line in ["HTTP/2 200", "HTTP/1.1 2x0", "HTTP/1.1\t200", "HTTP/1.x", "220 smtp"] {
            assert_eq!(status_line(line.as_bytes()), Looks::Unlike, "{line:?}");
        }
    }

    #[test]
    fn names_the_server_side() {
        assert_eq!(
            ask("GET / HTTP/1.1\r\n", ""),
            Probe::Yes {
                server: Some(Direction::ToClient)
            }
        );
        assert_eq!(
            ask("", "GET / HTTP/1.1\r\n"),
            Probe::Yes {
                server: Some(Direction::ToServer)
            }
        );
        assert_eq!(
            ask("", "HTTP/1.1 200 OK\r\n"),
            Probe::Yes {
                server: Some(Direction::ToClient)
            }
        );
        assert_eq!(
            ask("HTTP/1.1 200 OK\r\n", ""),
            Probe::Yes {
                server: Some(Direction::ToServer)
            }
        );
        assert_eq!(ask("GE", ""), Probe::More);
        assert_eq!(ask("\u{16}\u{3}", ""), Probe::No, "the silent side is not waited for");
        assert_eq!(ask("", ""), Probe::More);
    }
}
