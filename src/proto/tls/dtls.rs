//! DTLS (RFC 9147, RFC 6347, RFC 4347): recognised, so that its flows are counted as encrypted; of a ClientHello that
//! stands whole in one datagram also what it says in clear.
//!
//! Bypasses the flow with its first datagram. Does not put fragments together, and does not know the short headers of
//! DTLS 1.3 by themselves: a flow that is joined after its hellos stays unknown.

use crate::model::chunk::{Chunk, Data};
use crate::model::net::Transport;
use crate::model::observation::Fact;
use crate::proto::tls::OPAQUE;
use crate::proto::tls::frame::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE};
use crate::proto::tls::hello::{CLIENT_HELLO, ClientHello};
use crate::proto::tls::ja4::Carrier;
use crate::stream::layer::{Env, Layer, Prefix, Probe, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "dtls",
    transport: Transport::Udp,
    probe,
    open,
};

/// Type, version, epoch, sequence number and length of a record, in bytes.
const RECORD_HEADER_LEN: usize = 13;
/// Type, length, sequence number, and place and length of the fragment, in bytes.
const MESSAGE_HEADER_LEN: usize = 12;

/// `tls12_cid` (RFC 9146) and `ack` (RFC 9147).
const WITH_CONNECTION_ID: u8 = 25;
const ACK: u8 = 26;

/// Version, random: what stands before the session id of a hello.
const FIXED_LEN: usize = 34;

fn probe(prefix: &Prefix<'_>) -> Probe {
    for (dir, bytes) in prefix.said() {
        let Some(first) = records(bytes) else { continue };
        let asks = first.kind == HANDSHAKE && first.body.first() == Some(&CLIENT_HELLO);
        return Probe::Yes {
            server: asks.then(|| dir.flip()),
        };
    }
    if prefix.is_silent() { Probe::More } else { Probe::No }
}

fn open(_: &Env) -> Box<dyn Layer> {
    Box::new(Dtls)
}

struct Dtls;

impl Layer for Dtls {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        if let Data::Bytes(datagram) = chunk.data
            && let Some(record) = records(datagram).filter(|record| record.kind == HANDSHAKE)
            && let Some(body) = whole_hello(record.body)
            && let Some(hello) = ClientHello::parse(&body)
        {
            up.fact(chunk.at, Fact::Tls(hello.fact(Carrier::Dtls)));
        }
        OPAQUE
    }
}

struct Record<'a> {
    kind: u8,
    body: &'a [u8],
}

/// The first record of a datagram that records fill exactly. The first must be one of a known type and version; what
/// follows it may be of the short form.
fn records(datagram: &[u8]) -> Option<Record<'_>> {
    let short = |byte: u8| byte & 0xe0 == 0x20;
    let (first, mut rest) = record(datagram)?;
    while rest.first().is_some_and(|byte| !short(*byte)) {
        (_, rest) = record(rest)?;
    }
    Some(first)
}

/// The record that bytes begin with, and what stands behind it.
fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_LEN>()?;
    let [kind, major, minor, _, _, _, _, _, _, _, _, high, low] = *header;
    let known = matches!(
        kind,
        CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE | APPLICATION_DATA | WITH_CONNECTION_ID | ACK
    );
    // DTLS 1.0, DTLS 1.2 and 1.3, and the draft that some tunnels still speak.
    let spoken = matches!((major, minor), (0xfe, 0xff | 0xfd) | (1, 0));
    if !known || !spoken {
        return None;
    }
    // A connection id, whose length is not told, may stand before the length.
    if kind == WITH_CONNECTION_ID {
        return Some((Record { kind, body: &[] }, &[]));
    }
    let (body, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    (!body.is_empty()).then_some((Record { kind, body }, next))
}

/// The body of a ClientHello that is not in fragments, without the cookie that TLS over TCP does not have.
fn whole_hello(message: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = message.split_first_chunk::<MESSAGE_HEADER_LEN>()?;
    let [
        kind,
        length @ ..,
        _,
        _,
        at_0,
        at_1,
        at_2,
        fragment_0,
        fragment_1,
        fragment_2,
    ] = *header;
    let length: [u8; 3] = length;
    let whole = [at_0, at_1, at_2] == [0; 3] && [fragment_0, fragment_1, fragment_2] == length;
    let [high, middle, low] = length;
    let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    let body = rest.get(..length).filter(|_| whole && kind == CLIENT_HELLO)?;
    let session = usize::from(*body.get(FIXED_LEN)?);
    let cookie_at = FIXED_LEN.checked_add(1)?.checked_add(session)?;
    let (head, tail) = body.split_at_checked(cookie_at)?;
    let (cookie, tail) = tail.split_first()?;
    Some([head, tail.get(usize::from(*cookie)..)?].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::model::net::Direction;
    use crate::model::stamp::Stamp;
    use crate::proto::tls::tests::{ENV, extension, hello_of, sni};
    use crate::stream::layer::Output;

    fn record(kind: u8, version: [u8; 2], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind][..], &version, &[0; 8], &length, body].concat()
    }

    /// A hello with a cookie, said to be the part of one from `offset` on.
    fn hello(cookie: &[u8], offset: u8) -> Vec<u8> {
        let plain = hello_of(
            0xfefd,
            &[0xc02b, 0x00ff],
            &[sni("mcp.example.test"), extension(13, &[0, 2, 4, 3])],
        );
        let body = &plain[4..];
        let (head, tail) = body.split_at(FIXED_LEN + 1 + 32);
        let body = [head, &[u8::try_from(cookie.len()).unwrap()], cookie, tail].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let header = [&[1], &length[1..], &[0, 0, 0, 0, offset], &length[1..]].concat();
        [header, body].concat()
    }

    fn read(datagram: &[u8]) -> Vec<(Option<String>, String)> {
        let mut told = Vec::new();
        let mut listener = |output: Output<'_>| match output {
            Output::Fact(_, Fact::Tls(tls)) => {
                told.push((tls.sni.map(str::to_owned), tls.ja4.unwrap().to_string()));
            }
            other => panic!("{other:?}"),
        };
        let chunk = Chunk {
            at: Stamp::default(),
            dir: Direction::ToServer,
            lane: 0,
            data: Data::Bytes(datagram),
        };
        let step = open(&ENV).push(chunk, &mut Up::new(&ENV, &mut listener, &mut None));
        assert_eq!(step, OPAQUE);
        told
    }

    #[test]
    fn reads_a_whole_hello() {
        for (cookie, version) in [(&[][..], [0xfe, 0xff]), (&[7; 20], [0xfe, 0xfd])] {
            let told = read(&record(22, version, &hello(cookie, 0)));
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].0.as_deref(), Some("mcp.example.test"));
            assert!(told[0].1.starts_with("dd2d020200_"), "{told:?}");
        }
        assert_eq!(read(&record(22, [0xfe, 0xff], &hello(&[], 9))), []);
    }

    /// As many records as a datagram holds are gone through, not into each other.
    #[test]
    fn many_records_take_no_room() {
        let many = record(23, [0xfe, 0xfd], &[1]).repeat(4_679);
        assert!(records(&many).is_some());
        assert!(records(many.get(..many.len() - 1).unwrap()).is_none());
    }

    #[test]
    fn recognises() {
        let hello = record(22, [0xfe, 0xff], &hello(&[], 0));
        let data = record(23, [0xfe, 0xfd], &[1; 40]);
        let both = [&data[..], &[0x2f, 1, 2]].concat();
        let (yes, to_client) = (
            Probe::Yes { server: None },
            Probe::Yes {
                server: Some(Direction::ToClient),
            },
        );
        for (bytes, answer) in [
            (&hello[..], to_client),
            (&data, yes),
            (&both, yes),
            (&[data.clone(), data.clone()].concat(), yes),
            (&[&data[..], &[1]].concat(), Probe::No),
            (&data[..30], Probe::No),
            (&record(23, [3, 3], &[1; 40]), Probe::No),
            (&record(24, [0xfe, 0xfd], &[1; 40]), Probe::No),
            (b"\x16\xfe\xfd", Probe::No),
            (b"", Probe::More),
        ] {
            let prefix = Prefix {
                bytes: [bytes, &[]],
                from_start: true,
                ports: [40_000, 4_433],
            };
            assert_eq!(probe(&prefix), answer, "{bytes:?}");
        }
    }
}
