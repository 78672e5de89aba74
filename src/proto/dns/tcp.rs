//! DNS over TCP (RFC 1035, section 4.2.2; RFC 7766): messages behind two bytes of length, any number on a connection.
//!
//! A message that one segment holds whole is borrowed; a split one is put together in a buffer that the length field
//! bounds to 64 KiB. A gap is `Desync`: the lengths lead nowhere after it, and the probe finds the next message that
//! opens a segment. Does not read zone transfers beyond their question.

use domain::base::Message;

use crate::model::chunk::{Chunk, Data};
use crate::model::net::{Direction, Transport};
use crate::model::stamp::Stamp;
use crate::proto::dns::{Dns, HEADER_LEN, QUESTIONS_MAX, is_dns, is_port_of_dns, known_opcode, server_direction};
use crate::stream::layer::{Env, Layer, Prefix, Probe, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "dns-tcp",
    transport: Transport::Tcp,
    probe,
    open,
};

/// Shortest message with a question, in bytes: header, root name, type and class.
const QUERY_MIN_BYTES: usize = HEADER_LEN + 5;
/// Longest first message that is waited for on a port that says nothing, in bytes.
const FIRST_MAX_BYTES: usize = 2_048;

fn probe(prefix: &Prefix<'_>) -> Probe {
    let [to_server, to_client] = prefix.bytes;
    let mut answer = Probe::No;
    for (bytes, dir) in [(to_server, Direction::ToServer), (to_client, Direction::ToClient)] {
        match probe_side(bytes, dir, prefix.ports) {
            Probe::No if bytes.is_empty() => {}
            Probe::No => return Probe::No,
            Probe::More => answer = Probe::More,
            yes @ Probe::Yes { .. } => return yes,
        }
    }
    if to_server.is_empty() && to_client.is_empty() {
        Probe::More
    } else {
        answer
    }
}

fn probe_side(bytes: &[u8], dir: Direction, ports: [u16; 2]) -> Probe {
    let Some((length, body)) = bytes.split_first_chunk::<2>() else {
        return if bytes.is_empty() { Probe::No } else { Probe::More };
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < QUERY_MIN_BYTES || (length > FIRST_MAX_BYTES && !is_port_of_dns(ports)) {
        return Probe::No;
    }
    let seen = body.get(..length).unwrap_or(body);
    let Ok(message) = Message::from_slice(seen) else {
        return Probe::More;
    };
    if is_dns(message, ports) {
        return Probe::Yes {
            server: server_direction(message, dir, ports),
        };
    }
    let questions = usize::from(message.header_counts().qdcount());
    let hopeless = !known_opcode(message.header()) || !(1..=QUESTIONS_MAX).contains(&questions);
    if hopeless || seen.len() == length {
        Probe::No
    } else {
        Probe::More
    }
}

fn open(_env: &Env) -> Box<dyn Layer> {
    Box::new(DnsTcp::default())
}

/// Reads one connection.
#[derive(Default)]
struct DnsTcp {
    dns: Dns,
    /// Indexed by [`Direction::index`].
    sides: [Held; 2],
}

/// The beginning of a message that is not complete; empty between messages.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    first: Stamp,
}

impl Layer for DnsTcp {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let mut rest = match chunk.data {
            Data::Bytes(bytes) => bytes,
            Data::End => return Step::Continue,
            Data::Gap(_) => return Step::Desync,
        };
        let [to_server, to_client] = &mut self.sides;
        let held = match chunk.dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        while !rest.is_empty() {
            let step = if held.bytes.is_empty() {
                let Some((message, after)) = split_message(rest) else {
                    held.bytes.extend_from_slice(rest);
                    held.first = chunk.at;
                    return Step::Continue;
                };
                rest = after;
                self.dns.read(message, chunk.at, chunk.dir, up)
            } else {
                rest = held.take(rest);
                let Some((message, _)) = split_message(&held.bytes) else {
                    continue;
                };
                let step = self.dns.read(message, held.first, chunk.dir, up);
                held.bytes.clear();
                step
            };
            if step != Step::Continue {
                return step;
            }
        }
        Step::Continue
    }
}

impl Held {
    /// Takes what completes the length or the message; gives what follows.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let total = self
            .bytes
            .first_chunk::<2>()
            .map_or(2, |length| usize::from(u16::from_be_bytes(*length)).saturating_add(2));
        let (now, after) = bytes
            .split_at_checked(total.saturating_sub(self.bytes.len()))
            .unwrap_or((bytes, &[]));
        self.bytes.extend_from_slice(now);
        after
    }
}

/// The first message, when all of it is there, and what follows.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects
    )]

    use proptest::prelude::*;

    use super::*;
    use crate::proto::dns::tests::{ENV, NAME, answer, facts_of, query};

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        messages
            .iter()
            .flat_map(|message| [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat())
            .collect()
    }

    fn read(chunks: &[(Direction, Data<'_>)]) -> (Vec<String>, Step) {
        facts_of(open(&ENV), chunks.iter().map(|(dir, data)| (0, *dir, *data)))
    }

    fn asked(to_server: &[u8], to_client: &[u8], ports: [u16; 2]) -> Probe {
        probe(&Prefix {
            bytes: [to_server, to_client],
            from_start: true,
            ports,
        })
    }

    const OUT: Direction = Direction::ToServer;
    const BACK: Direction = Direction::ToClient;

    #[test]
    fn recognises_and_names_the_server() {
        let (out, back) = (
            framed(&[query(1, NAME, 1), query(2, NAME, 28)]),
            framed(&[answer(1, NAME, 1)]),
        );
        let away = Probe::Yes { server: Some(BACK) };
        for (to_server, to_client, ports, expected) in [
            (&out[..], &b""[..], [40_000, 53], away),
            (b"", &back, [40_000, 53], away),
            (&back, b"", [53, 40_000], Probe::Yes { server: Some(OUT) }),
            (&out, b"", [40_000, 50_000], away),
            (&out[..30], b"", [40_000, 50_000], Probe::More),
            (&out[..10], b"", [40_000, 53], Probe::More),
            (&out[..1], b"", [40_000, 53], Probe::More),
            (b"", b"", [40_000, 53], Probe::More),
            (
                b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
                b"",
                [40_000, 50_000],
                Probe::No,
            ),
            (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"", [40_000, 53], Probe::No),
            (b"\r\n\r\nrandom text in lines", b"", [40_000, 50_000], Probe::No),
            (&[0, 3, 1, 2, 3], b"", [40_000, 53], Probe::No),
            (
                &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 9, 9, 9, 9, 9],
                b"",
                [40_000, 50_000],
                Probe::No,
            ),
        ] {
            assert_eq!(
                asked(to_server, to_client, ports),
                expected,
                "{to_server:?} {to_client:?} {ports:?}"
            );
        }
    }

    #[test]
    fn a_gap_is_out_of_step() {
        let wire = framed(&[query(1, NAME, 1)]);
        assert_eq!(
            read(&[(OUT, Data::Bytes(&wire[..9])), (OUT, Data::Gap(3))]),
            (vec![], Step::Desync)
        );
        assert_eq!(read(&[(OUT, Data::Bytes(&[0, 0]))]).1, Step::Desync);
        assert_eq!(read(&[(OUT, Data::Bytes(&wire)), (OUT, Data::End)]).1, Step::Continue);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_questions(
            kinds in prop::collection::vec(1_u16..300, 1..8),
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let messages: Vec<Vec<u8>> = kinds.iter().zip(1..).map(|(kind, id)| query(id, NAME, *kind)).collect();
            let wire = framed(&messages);
            let whole = read(&[(OUT, Data::Bytes(&wire))]);
            prop_assert_eq!(whole.0.len(), kinds.len());
            let mut places: Vec<usize> = at.iter().map(|index| index.index(wire.len())).collect();
            places.extend([0, wire.len()]);
            places.sort_unstable();
            places.dedup();
            let pieces: Vec<_> = places.windows(2).map(|two| (OUT, Data::Bytes(&wire[two[0]..two[1]]))).collect();
            prop_assert_eq!(&read(&pieces), &whole);
            let bytes: Vec<_> = wire.chunks(1).map(|byte| (OUT, Data::Bytes(byte))).collect();
            prop_assert_eq!(&read(&bytes), &whole);
        }

        #[test]
        fn hostile_bytes_do_no_harm(
            random in prop::collection::vec(any::<u8>(), 1..300),
            port in prop_oneof![Just(53_u16), any::<u16>()],
        ) {
            let _ = asked(&random, b"", [40_000, port]);
            read(&[(OUT, Data::Bytes(&random)), (BACK, Data::Bytes(&random))]);
        }
    }
}
