//! TLS over TCP (RFC 8446, RFC 5246): the server name that a ClientHello says in clear, and the fact that a flow is
//! encrypted.
//!
//! Once the ClientHello was read nothing more can be learned without keys, so the flow is bypassed there and then. A
//! flow that is joined midway is recognised by its records and bypassed as opaque at once, so that it is counted as
//! encrypted and not as unknown. The same goes for a hello with a gap in it (the name is told if it stands before the
//! gap), one that is too long, and one that is malformed.
//!
//! Does not read SSLv2 hellos, DTLS, certificates or key logs, and does not tell a real encrypted ClientHello from one
//! that is sent as grease: they are made to look alike.

mod hello;
mod record;

use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::{Direction, Transport};
use crate::model::observation::{Fact, Tls as Said};
use crate::model::stamp::Stamp;
use crate::proto::tls::hello::Hello;
use crate::proto::tls::record::{Kind, Progress, Records};
use crate::stream::layer::{Env, Layer, Prefix, Probe, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "tls",
    transport: Transport::Tcp,
    probe,
    open,
};

fn probe(prefix: &Prefix<'_>) -> Probe {
    let [to_server, to_client] = prefix.bytes;
    let kinds = [(to_server, Direction::ToServer), (to_client, Direction::ToClient)]
        .map(|(bytes, dir)| (record::kind(bytes, prefix.from_start), dir));
    for (kind, dir) in kinds {
        match kind {
            Kind::ClientHello => {
                return Probe::Yes {
                    server: Some(dir.flip()),
                };
            }
            Kind::ServerHello => return Probe::Yes { server: Some(dir) },
            Kind::Other | Kind::Protected | Kind::Short => {}
        }
    }
    let [(first, _), (second, _)] = kinds;
    match (first, second) {
        (Kind::Other, _) | (_, Kind::Other) => Probe::No,
        (Kind::Protected, _) | (_, Kind::Protected) => Probe::Yes { server: None },
        _ => Probe::More,
    }
}

fn open(env: &Env) -> Box<dyn Layer> {
    Box::new(Tls {
        max_bytes: env.head_max_bytes,
        sides: Default::default(),
    })
}

/// Reads one connection until its ClientHello, in whichever direction that goes.
struct Tls {
    /// Longest ClientHello, and most bytes of a server that are waited through for it.
    max_bytes: usize,
    /// Indexed by [`Direction::index`].
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    records: Records,
    first: Option<Stamp>,
}

impl Layer for Tls {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let opaque = Step::Bypass(Why::Opaque);
        let [to_server, to_client] = &mut self.sides;
        let side = match chunk.dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let first = *side.first.get_or_insert(chunk.at);
        let Data::Bytes(bytes) = chunk.data else {
            // A snap length cuts hellos; the name often stands before the cut.
            let cut = side.records.cut_hello().and_then(Hello::parse);
            if let Some(hello) = cut.filter(|hello| hello.sni.is_some()) {
                tell(&hello, first, up);
            }
            return opaque;
        };
        match side.records.push(bytes, self.max_bytes) {
            // Two taps may deliver the server's first flight before the hello that it answers.
            Progress::Answer | Progress::More => Step::Continue,
            Progress::Hello(body) => {
                if let Some(hello) = Hello::parse(body) {
                    tell(&hello, first, up);
                }
                opaque
            }
            Progress::Refused => opaque,
        }
    }
}

fn tell(hello: &Hello, at: Stamp, up: &mut Up<'_>) {
    up.fact(
        at,
        Fact::Tls(Said {
            sni: hello.sni.as_deref(),
            ech: hello.ech,
        }),
    );
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
    use crate::stream::layer::Output;

    const ENV: Env = Env {
        message_max_bytes: 1 << 20,
        head_max_bytes: 1 << 16,
        inflate_max_bytes: 1 << 20,
        keys: None,
        protocols: &[],
    };

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        [&kind.to_be_bytes(), &length.to_be_bytes(), data].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap();
        let entry = [&[0], &length.to_be_bytes()[..], name.as_bytes()].concat();
        extension(
            0,
            &[&u16::try_from(entry.len()).unwrap().to_be_bytes(), &entry[..]].concat(),
        )
    }

    /// A hello as browsers send it: grease at both ends, a key share of `share` bytes, and these extensions between.
    fn hello(extensions: &[Vec<u8>], share: usize) -> Vec<u8> {
        let mut all = extension(0x8a8a, &[]);
        all.extend(extension(10, &[0, 6, 0x8a, 0x8a, 0x11, 0xec, 0, 29]));
        all.extend(extension(51, &vec![0x5a; share]));
        all.extend(extensions.concat());
        all.extend(extension(43, &[6, 0x8a, 0x8a, 3, 4, 3, 3]));
        all.extend(extension(0x1a1a, &[0]));
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([32]);
        body.extend([9; 32]);
        body.extend([0, 6, 0x8a, 0x8a, 0x13, 1, 0x13, 2, 1, 0]);
        body.extend(u16::try_from(all.len()).unwrap().to_be_bytes());
        body.extend(all);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], &body].concat()
    }

    /// The message in records of at most these many bytes, the last size repeating.
    fn records(mut message: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sizes = sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap()));
        while !message.is_empty() {
            let (now, rest) = message.split_at(sizes.next().unwrap().min(message.len()));
            out.extend([22, 3, 1]);
            out.extend(u16::try_from(now.len()).unwrap().to_be_bytes());
            out.extend(now);
            message = rest;
        }
        out
    }

    type Facts = Vec<(u64, Option<String>, bool)>;

    /// Pushes the chunks, numbered from 1, until the layer has had enough.
    fn read<'a>(chunks: impl IntoIterator<Item = (Direction, Data<'a>)>) -> (Facts, Step) {
        let mut facts = Facts::new();
        let mut above = None;
        let mut listener = |output: Output<'_>| match output {
            Output::Fact(at, Fact::Tls(tls)) => facts.push((at.packet, tls.sni.map(str::to_owned), tls.ech)),
            other => panic!("{other:?}"),
        };
        let mut layer = open(&ENV);
        let mut step = Step::Continue;
        for ((dir, data), packet) in chunks.into_iter().zip(1..) {
            let at = Stamp {
                packet,
                ..Stamp::default()
            };
            step = layer.push(
                Chunk { at, dir, lane: 0, data },
                &mut Up::new(&ENV, &mut listener, &mut above),
            );
            if step != Step::Continue {
                break;
            }
        }
        (facts, step)
    }

    fn sent(bytes: &[u8]) -> (Direction, Data<'_>) {
        (Direction::ToServer, Data::Bytes(bytes))
    }

    fn asked(to_server: &[u8], to_client: &[u8], from_start: bool) -> Probe {
        probe(&Prefix {
            bytes: [to_server, to_client],
            from_start,
            ports: [40000, 8443],
        })
    }

    const OPAQUE: Step = Step::Bypass(Why::Opaque);

    #[test]
    fn reads_names() {
        for (extensions, name, ech) in [
            (vec![sni("mcp.example.test")], Some("mcp.example.test"), false),
            (vec![sni("MCP.Example.test.")], Some("mcp.example.test"), false),
            (vec![sni("first.test"), sni("second.test")], Some("first.test"), false),
            (vec![sni("10.0.0.5")], None, false),
            (vec![sni("fd00::1")], None, false),
            (vec![sni("a b.test")], None, false),
            (vec![sni("a..test")], None, false),
            (vec![sni("")], None, false),
            (vec![sni(&"a".repeat(64))], None, false),
            (vec![extension(0, &[])], None, false),
            (vec![extension(0, &[0, 9, 0, 0, 9, b'a'])], None, false),
            (
                vec![extension(16, &[0, 200, 1]), sni("behind.malformed.alpn")],
                Some("behind.malformed.alpn"),
                false,
            ),
            (
                vec![extension(0xfe0d, &[0, 0, 1, 0, 1]), sni("outer.test")],
                Some("outer.test"),
                true,
            ),
            (vec![], None, false),
        ] {
            let wire = records(&hello(&extensions, 32), &[16_384]);
            assert_eq!(
                read([sent(&wire)]),
                (vec![(1, name.map(str::to_owned), ech)], OPAQUE),
                "{name:?}"
            );
        }
    }

    #[test]
    fn reads_a_hello_without_extensions() {
        let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 47, 1, 0]].concat();
        let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()], &body[..]].concat();
        assert_eq!(
            read([sent(&records(&message, &[4_096]))]),
            (vec![(1, None, false)], OPAQUE)
        );
    }

    #[test]
    fn gives_up_on_what_cannot_be_read() {
        let message = hello(&[sni("mcp.example.test")], 32);
        let wire = records(&message, &[16_384]);
        let (head, tail) = wire.split_at(80);
        let gap = (Direction::ToServer, Data::Gap(5));
        let end = (Direction::ToServer, Data::End);
        let too_long = records(&[&[1, 1, 0, 1][..], &[3; 70_000]].concat(), &[16_384]);
        let malformed = records(&[1, 0, 0, 3, 3, 3, 7], &[16_384]);
        let data = [&[23, 3, 3, 0, 9][..], &[0; 9]].concat();
        let cases: [&[(Direction, Data<'_>)]; 6] = [
            &[sent(head), gap, sent(tail)],
            &[sent(head), end],
            &[sent(&too_long)],
            &[sent(&malformed)],
            &[sent(&data)],
            &[(Direction::ToClient, Data::Bytes(&data))],
        ];
        for chunks in cases {
            assert_eq!(read(chunks.iter().copied()), (vec![], OPAQUE), "{chunks:?}");
        }
    }

    #[test]
    fn reads_a_name_before_a_cut() {
        let message = hello(&[sni("mcp.example.test"), extension(21, &[0; 500])], 32);
        let wire = records(&message, &[16_384]);
        let name = (vec![(1, Some("mcp.example.test".to_owned()), false)], OPAQUE);
        let place = wire.windows(4).position(|window| window == b"test").unwrap();
        for (cut, expected) in [(place + 4, name), (place + 3, (vec![], OPAQUE))] {
            let (head, tail) = wire.split_at(cut);
            let lost = u64::try_from(tail.len()).unwrap();
            assert_eq!(read([sent(head), (Direction::ToServer, Data::Gap(lost))]), expected);
        }
    }

    #[test]
    fn waits_for_a_hello_that_comes_after_its_answer() {
        let wire = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
        let answer = records(&[&[2, 0, 0, 70, 3, 3][..], &[5; 68]].concat(), &[16_384]);
        let server = (Direction::ToClient, Data::Bytes(&answer[..]));
        let name = Some("mcp.example.test".to_owned());
        assert_eq!(read([server, server, sent(&wire)]), (vec![(3, name, false)], OPAQUE));
        let flood = [5; 1 << 16];
        assert_eq!(
            read([server, (Direction::ToClient, Data::Bytes(&flood[..])), sent(&wire)]),
            (vec![], OPAQUE)
        );
    }

    #[test]
    fn recognises() {
        let wire = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
        let answer = records(&[&[2, 0, 0, 70, 3, 3][..], &[5; 68]].concat(), &[16_384]);
        let data = [&[23, 3, 3, 0, 4, 1, 2, 3, 4][..], &[21, 3, 3, 0, 2, 1, 0], &[23, 3, 3]].concat();
        let not_data = [&[23, 3, 3, 0, 4, 1, 2, 3, 4][..], b"GET / HTTP/1.1"].concat();
        let to_client = Probe::Yes {
            server: Some(Direction::ToClient),
        };
        let to_server = Probe::Yes {
            server: Some(Direction::ToServer),
        };
        for (first, second, from_start, answers) in [
            (&wire[..], &b""[..], true, to_client),
            (b"", &wire, true, to_server),
            (b"", &answer, true, to_client),
            (&answer, b"", false, to_server),
            (&wire, &answer, true, to_client),
            (&data, b"", false, Probe::Yes { server: None }),
            (b"", &data, true, Probe::Yes { server: None }),
            (&not_data, b"", false, Probe::No),
            (&data, b"HTTP/1.1 200 OK", false, Probe::No),
            (&[22, 3, 3, 0, 40, 99], b"", false, Probe::Yes { server: None }),
            (&[22, 3, 3, 0, 40, 99], b"", true, Probe::No),
            (&[22, 3, 3, 0, 40, 1, 9], b"", true, Probe::No),
            (&[22, 3, 3, 0, 40, 1, 0, 0, 36, 9], b"", true, Probe::No),
            (&[22, 3, 3, 0, 0], b"", true, Probe::No),
            (&[22, 3, 9, 0, 40], b"", true, Probe::No),
            (&[20, 3], b"", false, Probe::More),
            (b"GET", b"", true, Probe::No),
            (&[128, 46, 1, 3, 1], b"", true, Probe::No),
            (b"", b"", true, Probe::More),
        ] {
            assert_eq!(asked(first, second, from_start), answers, "{first:?} {second:?}");
        }
        for length in 0..6 {
            assert_eq!(asked(&wire[..length], b"", true), Probe::More, "{length}");
        }
    }

    fn cuts(bytes: &[u8], at: &[prop::sample::Index]) -> Vec<Vec<u8>> {
        let mut places: Vec<usize> = at.iter().map(|index| index.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.dedup();
        places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_name(
            sizes in prop::collection::vec(1_usize..2_000, 1..6),
            share in prop_oneof![Just(32_usize), 1_000_usize..3_000],
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
            ech in any::<bool>(),
        ) {
            let mut extensions = vec![sni("a-1.mcp.example.test"), extension(16, b"\0\x03\x02h2")];
            if ech {
                extensions.insert(0, extension(0xfe0d, &[0; 200]));
            }
            let wire = records(&hello(&extensions, share), &sizes);
            let pieces = cuts(&wire, &at);
            let expected = (vec![(1, Some("a-1.mcp.example.test".to_owned()), ech)], OPAQUE);
            prop_assert_eq!(read(pieces.iter().map(|piece| sent(piece))), expected.clone());
            prop_assert_eq!(read(wire.chunks(1).map(sent)), expected);
            let mut prefix = Vec::new();
            for piece in &pieces {
                prefix.extend_from_slice(piece);
                prop_assert_ne!(asked(&prefix, b"", true), Probe::No);
            }
        }

        #[test]
        fn hostile_bytes_do_no_harm(
            mut bytes in prop::collection::vec(any::<u8>(), 1..400),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            real in any::<bool>(),
            from_start in any::<bool>(),
        ) {
            if real {
                bytes = records(&hello(&[sni("mcp.example.test")], 32), &[100]);
                for (index, value) in flips {
                    let place = index.index(bytes.len());
                    bytes[place] = value;
                }
            }
            let _ = asked(&bytes, b"", from_start);
            let pieces = cuts(&bytes, &at);
            let (facts, step) = read(pieces.iter().map(|piece| sent(piece)));
            prop_assert!(facts.len() <= 1);
            prop_assert!(facts.is_empty() || step == OPAQUE);
            let bounded = facts.iter().all(|(_, name, _)| name.as_ref().is_none_or(|name| name.len() <= 253));
            prop_assert!(bounded);
        }
    }
}
