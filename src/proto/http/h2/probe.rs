//! Whether bytes are HTTP/2: the preface, the settings that a server begins with, or, midway, frames that follow each
//! other as nothing else does. Pure.
//!
//! Midway one segment has to prove it: its first byte must begin a frame, every head in it must be such as senders
//! send, and enough of what they carry must fit. Rows of zeros are what other binary protocols are made of, so a head
//! alone proves nothing.

use super::frame::{Head, Kind, PREFACE};
use super::hpack::Decoder;
use crate::model::net::Direction;
use crate::proto::http::content::{Peek, peek};
use crate::proto::http::event_stream;
use crate::proto::http::h1::probe::Looks;
use crate::stream::layer::{Prefix, Probe};

/// Points that prove HTTP/2 where nothing is known.
const SURE: u32 = 2;
/// Points that prove a frame's beginning where HTTP/2 is known.
pub(super) const RESUME: u32 = 1;
/// Largest error code of any peer (RFC 9113, section 7), with room for those to come.
const ERROR_MAX: u32 = 0x40;

pub(super) fn probe(prefix: &Prefix<'_>) -> Probe {
    let mut short = prefix.is_silent();
    for (dir, bytes) in prefix.said() {
        if bytes.starts_with(PREFACE) {
            return Probe::Yes {
                server: Some(dir.flip()),
            };
        }
        let opens = PREFACE.starts_with(bytes)
            || Head::first(bytes).is_none_or(|head| head.kind == Kind::Settings && !head.is_ack());
        match looks(bytes, SURE) {
            _ if prefix.from_start && !opens => {}
            Looks::Like => {
                let server = if prefix.from_start {
                    Some(dir)
                } else {
                    server(bytes, dir)
                };
                return Probe::Yes { server };
            }
            Looks::Short => short = true,
            Looks::Unlike => {}
        }
    }
    if short { Probe::More } else { Probe::No }
}

/// Whether a frame, or the preface, begins here.
pub(super) fn looks(bytes: &[u8], enough: u32) -> Looks {
    if bytes.starts_with(PREFACE) {
        return Looks::Like;
    }
    if PREFACE.starts_with(bytes) {
        return Looks::Short;
    }
    match weigh(bytes) {
        None => Looks::Unlike,
        Some(evidence) if evidence.points >= enough => Looks::Like,
        Some(_) => Looks::Short,
    }
}

/// Where the server's bytes travel, when they show it.
fn server(bytes: &[u8], dir: Direction) -> Option<Direction> {
    match weigh(bytes)?.sender? {
        Sender::Client => Some(dir.flip()),
        Sender::Server => Some(dir),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    points: u32,
    sender: Option<Sender>,
}

/// What the frames in `bytes` are worth. `None` when they are none.
fn weigh(bytes: &[u8]) -> Option<Evidence> {
    let mut evidence = Evidence::default();
    let (mut rest, mut before) = (bytes, None);
    while let Some(head) = Head::first(rest) {
        if !head.is_usual() {
            return None;
        }
        let len = usize::try_from(head.len).ok()?;
        let behind = rest.get(super::frame::HEAD_BYTES..)?;
        let Some((payload, next)) = behind.split_at_checked(len) else {
            if head.kind == Kind::Data {
                evidence.points = evidence.points.saturating_add(data(&head, behind, before));
            }
            break;
        };
        let (points, sender) = match head.kind {
            Kind::Data => (data(&head, payload, before), None),
            Kind::GoAway => (u32::from(number(payload.get(4..)?)? <= ERROR_MAX), None),
            Kind::Headers if head.ends_headers() => block(head.fragment(payload)?)?,
            Kind::Ping => (1, None),
            Kind::Priority => (u32::from(number(payload)? & 0x7fff_ffff != head.stream), None),
            Kind::RstStream => (u32::from(number(payload)? <= ERROR_MAX), None),
            Kind::Settings => (settings(&head, payload)?, None),
            Kind::WindowUpdate => match number(payload)? {
                1..=0x7fff_ffff => (1, None),
                _ => return None,
            },
            Kind::Continuation | Kind::Headers | Kind::PushPromise | Kind::Unknown => (0, None),
        };
        evidence.points = evidence.points.saturating_add(points);
        evidence.sender = evidence.sender.or(sender);
        (rest, before) = (next, Some(head));
    }
    Some(evidence)
}

/// JSON-RPC and events prove themselves; other data only behind the head of its stream.
fn data(head: &Head, payload: &[u8], before: Option<Head>) -> u32 {
    let behind_head = before.is_some_and(|before| before.kind == Kind::Headers && before.stream == head.stream);
    let proves = peek(payload) == Peek::Rpc || event_stream::looks(payload) == Looks::Like;
    match (proves && !head.is_padded(), behind_head) {
        (true, _) => SURE,
        (false, behind_head) => u32::from(behind_head),
    }
}

/// A header block that begins with a pseudo-field, as every head does.
fn block(fragment: &[u8]) -> Option<(u32, Option<Sender>)> {
    let (mut sender, mut number) = (None, 0_u32);
    let whole = Decoder::new().decode(fragment, &mut |field| {
        let pseudo = match field.name {
            Some(b":method" | b":path" | b":scheme" | b":authority") => Some(Sender::Client),
            Some(b":status") => Some(Sender::Server),
            _ => None,
        };
        if number == 0 {
            sender = pseudo;
        }
        number = number.saturating_add(1);
    });
    whole.ok()?;
    Some((if sender.is_some() { SURE } else { 0 }, sender))
}

/// Parameters (RFC 9113, section 6.5.2 and the registry): some that are known, and none out of its range.
fn settings(head: &Head, payload: &[u8]) -> Option<u32> {
    if head.is_ack() || payload.is_empty() {
        return Some(1);
    }
    let mut known = 0_u32;
    for parameter in payload.chunks_exact(6) {
        let [a, b, rest @ ..] = parameter else { return None };
        let (id, value) = (u16::from_be_bytes([*a, *b]), number(rest)?);
        let fits = match id {
            1 | 3 | 6 => true,
            2 | 8 | 9 => value <= 1,
            4 => value <= 0x7fff_ffff,
            5 => (16_384..=16_777_215).contains(&value),
            // Reserved to be ignored (RFC 8701 does so in TLS), or of an extension.
            _ => continue,
        };
        if !fits {
            return None;
        }
        known = known.saturating_add(1);
    }
    Some(if known > 0 { SURE } else { 0 })
}

/// The four bytes in front.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::proto::http::h2::talk::{ACK, SETTINGS, data_frame, frame, head_frame};

    fn ask(to_server: &[u8], to_client: &[u8], from_start: bool) -> Probe {
        probe(&Prefix {
            bytes: [to_server, to_client],
            from_start,
            ports: [40000, 80],
        })
    }

    const RIGHT: Probe = Probe::Yes {
        server: Some(Direction::ToClient),
    };
    const WRONG: Probe = Probe::Yes {
        server: Some(Direction::ToServer),
    };

    #[test]
    fn the_start() {
        for end in 0..PREFACE.len() {
            assert_eq!(ask(&PREFACE[..end], b"", true), Probe::More);
        }
        assert_eq!(ask(PREFACE, b"", true), RIGHT);
        assert_eq!(ask(b"", PREFACE, true), WRONG);
        for end in 0..SETTINGS.len() {
            assert_eq!(ask(b"", &SETTINGS[..end], true), Probe::More, "{end}");
        }
        assert_eq!(ask(b"", SETTINGS, true), RIGHT);
        assert_eq!(ask(SETTINGS, b"", true), WRONG);
        let empty = frame(4, 0, 0, b"");
        assert_eq!(ask(b"", &empty, true), Probe::More);
        assert_eq!(ask(b"", &[empty, ACK.to_vec()].concat(), true), RIGHT);
        assert_eq!(ask(b"", ACK, true), Probe::No, "nobody begins with an acknowledgement");
        assert_eq!(ask(b"PRI * HTTP/1.1\r\n", b"", true), Probe::No);
    }

    #[test]
    fn midway() {
        let json = data_frame(5, true, br#"{"jsonrpc":"2.0","id":1}"#);
        let request = head_frame(5, true, &[(":method", "GET"), (":path", "/")]);
        let answer = head_frame(5, false, &[(":status", "200"), ("a", "b")]);
        let opaque = data_frame(5, true, &[0x80; 50]);
        for (bytes, expect) in [
            (json.clone(), Probe::Yes { server: None }),
            (
                data_frame(5, false, b"data: {\"a\":1}\n\n"),
                Probe::Yes { server: None },
            ),
            (request, RIGHT),
            ([answer.clone(), opaque.clone()].concat(), WRONG),
            (answer[..answer.len() - 1].to_vec(), Probe::More),
            ([&opaque[..], ACK].concat(), Probe::More),
            (
                [opaque, frame(6, 0, 0, &[1; 8]), ACK.to_vec()].concat(),
                Probe::Yes { server: None },
            ),
            ([&json[..], b"\x01\x02\x03\x04\x05\x06\x07\x08\x09"].concat(), Probe::No),
            (frame(1, 4, 3, b"\x80"), Probe::No),
            (frame(8, 0, 0, &[0; 4]), Probe::No),
        ] {
            assert_eq!(ask(&bytes, b"", false), expect, "{bytes:x?}");
        }
    }

    #[test]
    fn what_other_binary_protocols_begin_with() {
        for bytes in [
            &[0; 4000][..],
            &[0xff; 100],
            &[0, 0, 0, 4, 0, 0, 0, 0].repeat(20),
            &[0, 0, 0, 1, 0, 0, 0, 0, 2].repeat(20),
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00\x51\x00\x03\x00\x00user\x00x\x00",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"{\"jsonrpc\":\"2.0\"}",
        ] {
            for from_start in [true, false] {
                assert!(!matches!(ask(bytes, b"", from_start), Probe::Yes { .. }), "{bytes:x?}");
            }
        }
    }
}
