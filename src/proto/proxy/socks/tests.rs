//! Messages of clients and relays, and what is believed to be some.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::*;

fn asked(bytes: &[u8], first: bool) -> Option<Asks> {
    for end in 0..bytes.len() {
        assert_eq!(asks(&bytes[..end], first), Read::More, "{bytes:?} to {end}");
    }
    let behind = [bytes, b"\x16\x03"].concat();
    match asks(&behind, first) {
        Read::Whole(asked, len) => {
            assert_eq!(len, bytes.len(), "{bytes:?}");
            Some(asked)
        }
        _ => None,
    }
}

#[test]
fn where_clients_want_to_go() {
    let v6 = [&[5, 1, 0, 4][..], &[0xfd, 0x88], &[0; 13], &[4, 0x1f, 0x40]].concat();
    for (bytes, first, expect) in [
        (&b"\x05\x01\0\x03\x08MCP.test\x1f\x40"[..], false, "mcp.test"),
        (b"\x05\x01\0\x01\x0a\0\0\x05\x1f\x40", false, "10.0.0.5"),
        (&v6, false, "fd88::4"),
        (b"\x04\x01\x1f\x40\x0a\0\0\x05me\0", true, "10.0.0.5"),
        (b"\x04\x01\x1f\x40\0\0\0\x01\0mcp.test\0", true, "mcp.test"),
    ] {
        let host = Some(expect.to_owned());
        let command = CONNECT;
        assert_eq!(asked(bytes, first), Some(Asks::Request { command, host }), "{bytes:?}");
    }
    assert_eq!(asked(b"\x05\x03\x00\x01\x02", true), Some(Asks::Greeting));
    assert_eq!(asked(b"\x01\x02me\x06secret", false), Some(Asks::Credentials));
    for (bytes, first) in [
        (&b"\x05\x00"[..], true),
        (b"\x05\x02\x00\x7f", true),
        (b"\x05\x04\x00\x01", false),
        (b"\x05\x01\x01\x01", false),
        (b"\x05\x01\x00\x02", false),
        (b"\x04\x01\0\0\x0a\0\0\x05\0", true),
        (b"\x04\x01\x1f\x40\x0a\0\0\x05\x01\0", true),
        (b"\x06", true),
    ] {
        assert_eq!(asks(bytes, first), Read::Malformed, "{bytes:?}");
    }
}

#[test]
fn a_greeting_is_believed_when_the_other_side_agrees() {
    let ask = |client: &[u8], relay: &[u8], from_start| {
        probe(&Prefix {
            bytes: [client, relay],
            from_start,
            ports: [40_000, 1080],
        })
    };
    let server = Some(Direction::ToClient);
    for (client, relay, from_start, expect) in [
        (&b"\x05\x01\0"[..], &b""[..], true, Probe::More),
        (b"\x05\x01\0", b"\x05\0", true, Probe::Yes { server }),
        (b"\x05\x01\0", b"\x05\xff", true, Probe::Yes { server }),
        (b"\x05\x01\0", b"\x05\x02", true, Probe::No),
        (b"\x05\x01\0", b"HTTP", true, Probe::No),
        (b"\x05\x01\0\x05\x01\0\x03\x01h\0\x50", b"", true, Probe::Yes { server }),
        (b"\x05\x01\0hello", b"", true, Probe::No),
        (b"\x04\x01\0\x50\x0a\0\0\x05\0", b"", true, Probe::More),
        (b"\x04\x01\0\x50\x0a\0\0\x05\0GET", b"", true, Probe::Yes { server }),
        (b"\x04\x02\0\x01\x05\0\0\0\0\x01\x02", b"", true, Probe::No),
        (b"\x04\x01\0\x50\x0a\0\0\x05\0", b"\0\x5a", true, Probe::Yes { server }),
        (b"\x05\x01\0", b"", false, Probe::Yes { server: None }),
        (b"\x05\x01\0...", b"", false, Probe::No),
    ] {
        assert_eq!(
            ask(client, relay, from_start),
            expect,
            "{client:?} {relay:?} {from_start}"
        );
    }
}
