//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): a preface by which a load balancer tells the
//! server who the client is.
//!
//! The source address is told; the destination is the balancer's own front and is not. Of the TLVs of version 2 only the
//! authority is read, the name that the client asked for; the others, TLS among them, speak of the leg before.
//! A LOCAL connection and an UNKNOWN one carry no client. Memory: at most [`KEPT_MAX_BYTES`], until the preface has ended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{host, inside, tell};
use crate::model::chunk::{Chunk, Data};
use crate::model::net::{Direction, Transport};
use crate::stream::carry::Carry;
use crate::stream::layer::{Layer, Prefix, Probe, Protocol, Step, Up};

/// Row of the protocol table.
pub const PROTOCOL: Protocol = Protocol {
    name: "PROXY",
    transport: Transport::Tcp,
    probe,
    open: |_| Box::new(Preface::default()),
};

/// The signature of version 2 (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Beginnings of version 1 (section 2.1).
const LINES: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];
/// Longest line of version 1, with its end (section 2.1).
const LINE_MAX_BYTES: usize = 107;
/// Header of version 2 before the addresses, in bytes.
const HEADER_BYTES: usize = 16;
/// So much of a preface is kept; TLVs behind it, such as certificates, are passed over.
const KEPT_MAX_BYTES: usize = 2048;
/// The TLV that holds the name the client asked for (section 2.2.2).
const AUTHORITY: u8 = 2;

/// Asks both directions, since roles are not settled yet. The mark is strong enough to be believed midway, too.
fn probe(prefix: &Prefix<'_>) -> Probe {
    let mut short = false;
    for (dir, bytes) in prefix.said() {
        for mark in LINES.into_iter().chain([SIGNATURE]) {
            if bytes.starts_with(mark) {
                return Probe::Yes {
                    server: Some(dir.flip()),
                };
            }
            short |= mark.starts_with(bytes) && prefix.from_start;
        }
    }
    if short { Probe::More } else { Probe::No }
}

#[derive(Default)]
struct Preface {
    kept: Carry,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The preface has ended.
    Behind,
    #[default]
    Inside,
    /// What was worth keeping of it is kept, so many bytes; so many more are passed over.
    Skip { kept: usize, left: usize },
}

/// What there is of a preface.
enum Read {
    Malformed,
    More,
    /// It is this long in all.
    Whole(usize),
}

impl Layer for Preface {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Chunk { at, dir, lane, data } = chunk;
        if self.state == State::Behind || dir == Direction::ToClient {
            up.stream(chunk);
            return up.step();
        }
        let mut rest = match data {
            Data::Bytes(bytes) => bytes,
            Data::End => return Step::Continue,
            Data::Gap(missing) => return self.pass(missing, up),
        };
        while !rest.is_empty() {
            match self.state {
                State::Behind => {
                    inside(at, dir, lane, rest, up);
                    return up.step();
                }
                State::Skip { kept, left } => {
                    let (_, behind) = rest.split_at(left.min(rest.len()));
                    let left = left.saturating_sub(rest.len());
                    rest = behind;
                    self.skip(kept, left, up);
                }
                State::Inside => {
                    let before = self.kept.len();
                    self.kept.take(at, rest, KEPT_MAX_BYTES);
                    match measure(self.kept.bytes()) {
                        Read::Malformed => return Step::Desync,
                        Read::More => return Step::Continue,
                        Read::Whole(len) if self.kept.len() < len.min(KEPT_MAX_BYTES) => return Step::Continue,
                        Read::Whole(len) => {
                            let (_, behind) = rest.split_at(len.saturating_sub(before).min(rest.len()));
                            let missing = len.saturating_sub(before.saturating_add(rest.len()));
                            rest = behind;
                            self.skip(len, missing, up);
                        }
                    }
                }
            }
        }
        Step::Continue
    }
}

impl Preface {
    /// Bytes are missing: those of a preface whose length is known are passed over with it.
    fn pass(&mut self, missing: u64, up: &mut Up<'_>) -> Step {
        let (kept, left) = match (self.state, measure(self.kept.bytes())) {
            (State::Skip { kept, left }, _) => (kept, left),
            (State::Inside, Read::Whole(len)) => (self.kept.len(), len.saturating_sub(self.kept.len())),
            (State::Inside | State::Behind, _) => return Step::Desync,
        };
        let Some(left) = usize::try_from(missing)
            .ok()
            .and_then(|missing| left.checked_sub(missing))
        else {
            return Step::Desync;
        };
        self.skip(kept, left, up);
        Step::Continue
    }

    /// So many bytes are still to come; when none are, the preface is over, and is told.
    fn skip(&mut self, kept: usize, left: usize, up: &mut Up<'_>) {
        self.state = State::Skip { kept, left };
        if left > 0 {
            return;
        }
        let bytes = self.kept.bytes();
        let bytes = bytes.get(..kept).unwrap_or(bytes);
        let (client, name) = if bytes.starts_with(SIGNATURE) {
            binary(bytes)
        } else {
            (line(bytes), None)
        };
        if client.is_some() || name.is_some() {
            tell(self.kept.at(), client, name.as_deref(), up);
        }
        self.kept.clear();
        self.state = State::Behind;
    }
}

/// How long the preface is that begins with `bytes`.
fn measure(bytes: &[u8]) -> Read {
    if SIGNATURE.starts_with(bytes.get(..SIGNATURE.len()).unwrap_or(bytes)) {
        let (version, len) = match bytes.get(SIGNATURE.len()..HEADER_BYTES) {
            Some([version, _, high, low]) => (*version, u16::from_be_bytes([*high, *low])),
            _ => return Read::More,
        };
        return match version {
            0x20 | 0x21 => Read::Whole(HEADER_BYTES.saturating_add(usize::from(len))),
            _ => Read::Malformed,
        };
    }
    let line = bytes.get(..LINE_MAX_BYTES).unwrap_or(bytes);
    match memchr::memchr(b'\n', line) {
        Some(end) if line.get(end.saturating_sub(1)) == Some(&b'\r') => Read::Whole(end.saturating_add(1)),
        None if line.len() < LINE_MAX_BYTES => Read::More,
        _ => Read::Malformed,
    }
}

/// The client of version 1: `PROXY TCP4 source destination port port`.
fn line(bytes: &[u8]) -> Option<IpAddr> {
    let mut words = std::str::from_utf8(bytes).ok()?.split(' ').skip(1);
    let family = words.next()?;
    let client: IpAddr = words.next()?.parse().ok()?;
    matches!((family, client), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_))).then_some(client)
}

/// The client of version 2, and the name that it asked for.
fn binary(bytes: &[u8]) -> (Option<IpAddr>, Option<String>) {
    let Some((&[command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk())
    else {
        return (None, None);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let rest = rest.get(..len).unwrap_or(rest);
    // LOCAL: a health check of the balancer itself.
    if command & 0x0f != 1 {
        return (None, None);
    }
    let (client, addresses) = match family >> 4 {
        1 => (
            rest.first_chunk()
                .map(|octets: &[u8; 4]| IpAddr::V4(Ipv4Addr::from(*octets))),
            12,
        ),
        2 => (
            rest.first_chunk()
                .map(|octets: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*octets))),
            36,
        ),
        // Socket paths.
        3 => (None, 216),
        _ => (None, 0),
    };
    // A client of version 4 on a socket of version 6 is one of version 4.
    let client = client.map(|client| client.to_canonical());
    (client, authority(rest.get(addresses..).unwrap_or_default()))
}

fn authority(mut values: &[u8]) -> Option<String> {
    while let Some((&[kind, high, low], rest)) = values.split_first_chunk() {
        let (value, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        if kind == AUTHORITY {
            return host(value);
        }
        values = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;
    use crate::model::observation::{Cover, Fact};
    use crate::model::stamp::Stamp;
    use crate::proto::http::HTTP_1;
    use crate::stream::layer::{Env, Output};

    /// Version 2 with those values behind the addresses.
    fn version_2(command: u8, family: u8, addresses: &[u8], values: &[(u8, &[u8])]) -> Vec<u8> {
        let mut tail = addresses.to_vec();
        for (kind, value) in values {
            tail.push(*kind);
            tail.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            tail.extend(*value);
        }
        let len = u16::try_from(tail.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, &tail].concat()
    }

    /// What is told of the preface, and the target of the request behind it.
    fn told(preface: &[u8], size: usize) -> (Vec<String>, Step) {
        let bytes = [preface, REQUEST].concat();
        told_of(&bytes.chunks(size).map(Data::Bytes).collect::<Vec<_>>())
    }

    const REQUEST: &[u8] = b"GET /mcp HTTP/1.1\r\n\r\n";

    fn told_of(pieces: &[Data<'_>]) -> (Vec<String>, Step) {
        let env = Env {
            message_max_bytes: 1000,
            head_max_bytes: 1000,
            inflate_max_bytes: 1000,
            protocols: &[HTTP_1],
            keys: None,
        };
        let (mut layer, mut above, mut told) = (Preface::default(), None, Vec::new());
        let mut step = Step::Continue;
        for piece in pieces {
            let mut listener = |output: Output<'_>| match output {
                Output::Fact(_, Fact::Uncovered(Cover::Relayed { client, host })) => {
                    told.push(format!(
                        "{} {}",
                        client.map(|it| it.to_string()).unwrap_or_default(),
                        host.unwrap_or("-")
                    ));
                }
                Output::Message(message) => {
                    told.push(message.transaction.unwrap().request.as_ref().unwrap().target.clone());
                }
                _ => {}
            };
            step = layer.push(
                Chunk {
                    at: Stamp::default(),
                    dir: Direction::ToServer,
                    lane: 0,
                    data: *piece,
                },
                &mut Up::new(&env, &mut listener, &mut above),
            );
            if step != Step::Continue {
                break;
            }
        }
        (told, step)
    }

    #[test]
    fn both_versions_in_any_split() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 5, 1, 2, 3, 4];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
        let long = vec![7; 3000];
        for (preface, expect) in [
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.5 56324 443\r\n".to_vec(),
                Some("192.0.2.7 -"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 fd00::5 56324 443\r\n".to_vec(),
                Some("2001:db8::1 -"),
            ),
            (b"PROXY TCP6 192.0.2.7 fd00::5 56324 443\r\n".to_vec(), None),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &v4, &[]), Some("192.0.2.7 -")),
            (version_2(0x21, 0x21, &v6, &[]), Some("2001:db8:: -")),
            (version_2(0x21, 0x21, &mapped, &[]), Some("192.0.2.7 -")),
            (
                version_2(
                    0x21,
                    0x11,
                    &v4,
                    &[(1, b"h2"), (0x20, b"\x07\0\0\0\0"), (2, b"MCP.example.test")],
                ),
                Some("192.0.2.7 mcp.example.test"),
            ),
            (version_2(0x21, 0x11, &v4, &[(0x20, &long)]), Some("192.0.2.7 -")),
            (version_2(0x21, 0x31, &[b'/'; 216], &[(2, b"a.test")]), Some(" a.test")),
            (version_2(0x20, 0x00, &[], &[]), None),
            (version_2(0x20, 0x11, &v4, &[(2, b"a.test")]), None),
        ] {
            let mut want: Vec<String> = expect.map(str::to_owned).into_iter().collect();
            want.push("/mcp".to_owned());
            for size in [preface.len(), preface.len() + 5, usize::MAX, 1, 7, 200] {
                let what = String::from_utf8_lossy(&preface[..preface.len().min(60)]).into_owned();
                assert_eq!(told(&preface, size), (want.clone(), Step::Continue), "{what} {size}");
            }
        }
    }

    /// Whatever is lost of a preface whose length is known, what is behind it is read.
    #[test]
    fn a_gap_inside_is_passed_over() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 5, 1, 2, 3, 4];
        let values = [(0x20, &[7; 3000][..]), (2, b"a.test")];
        let preface = version_2(0x21, 0x11, &v4, &values);
        let end = preface.len();
        for (from, to) in [(16, 20), (28, 60), (100, 2500), (2100, 2500), (2500, end), (17, end)] {
            let gap = Data::Gap((to - from) as u64);
            let rest = [&preface[to..], REQUEST].concat();
            let (told, step) = told_of(&[Data::Bytes(&preface[..from]), gap, Data::Bytes(&rest)]);
            let expect = (from >= 20).then(|| "192.0.2.7 -".to_owned());
            let expect: Vec<String> = expect.into_iter().chain(["/mcp".to_owned()]).collect();
            assert_eq!((told, step), (expect, Step::Continue), "{from}..{to}");
        }
        for (from, gap) in [(15, 1), (100, end as u64)] {
            let step = told_of(&[Data::Bytes(&preface[..from]), Data::Gap(gap)]).1;
            assert_eq!(step, Step::Desync, "{from}, {gap}");
        }
    }

    #[test]
    fn nonsense_loses_step() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in [
            &long[..],
            &[SIGNATURE, &[0x31, 0x11, 0, 0]].concat(),
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        ] {
            assert_eq!(told(bytes, usize::MAX).1, Step::Desync);
        }
    }
}
