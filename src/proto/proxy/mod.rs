//! Relays between the ends of a connection: what they say before the stream that they carry.
//!
//! A PROXY preface tells a server who really asks; SOCKS tells a relay where its client really wants to go. Behind
//! either lies another stream, identified anew, be it TLS, HTTP or another relay. HTTP's own way is in `http::h1`.

mod preface;
mod socks;

pub use preface::PROTOCOL as PREFACE;
pub use socks::PROTOCOL as SOCKS;

use std::net::IpAddr;

use crate::model::chunk::{Chunk, Data, Lane};
use crate::model::net::Direction;
use crate::model::observation::{Cover, Fact};
use crate::model::stamp::Stamp;
use crate::stream::layer::Up;

/// Longest host name that is told, in bytes (RFC 1035, section 2.3.4, with the dots).
const HOST_MAX_BYTES: usize = 255;

/// A host out of a relay's words as it is told: lower case, without port, brackets and final dot. `None` when it is no
/// text, or too long.
pub(super) fn host(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim();
    let name = match name.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => match name.rsplit_once(':') {
            // An address of version 6 has several.
            Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => name,
        },
    };
    let name = name.trim_end_matches('.');
    let sound = !name.is_empty() && name.len() <= HOST_MAX_BYTES && name.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| name.to_ascii_lowercase())
}

/// Tells who asks and where to, before the stream itself.
pub(super) fn tell(at: Stamp, client: Option<IpAddr>, host: Option<&str>, up: &mut Up<'_>) {
    up.fact(at, Fact::Uncovered(Cover::Relayed { client, host }));
}

/// Bytes of the stream inside.
fn inside(at: Stamp, dir: Direction, lane: Lane, bytes: &[u8], up: &mut Up<'_>) {
    if !bytes.is_empty() {
        up.stream(Chunk {
            at,
            dir,
            lane,
            data: Data::Bytes(bytes),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (name, expect) in [
            ("MCP.Example.test:443", Some("mcp.example.test")),
            ("mcp.example.test.", Some("mcp.example.test")),
            ("10.0.0.5:8000", Some("10.0.0.5")),
            ("[fd88::4]:443", Some("fd88::4")),
            ("fd88::4", Some("fd88::4")),
            (":443", None),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(host(name.as_bytes()).as_deref(), expect, "{name}");
        }
        assert_eq!(host(&[b'a'; HOST_MAX_BYTES + 1]), None);
        assert_eq!(host(b"\xff"), None);
    }
}
