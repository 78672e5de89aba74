//! The layer over hellos, answers, splits, cuts and nonsense.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

use proptest::prelude::*;

use super::*;
use crate::model::stamp::Stamp;
use crate::stream::layer::{Output, Prefix, Probe};

mod certificates;
mod fingerprints;

pub(super) const ENV: Env = Env {
    message_max_bytes: 1 << 20,
    head_max_bytes: 1 << 16,
    inflate_max_bytes: 1 << 20,
    keys: None,
    protocols: &[],
};

fn size(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

pub(super) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &size(data.len()), data].concat()
}

pub(super) fn sni(name: &str) -> Vec<u8> {
    let entry = [&[0], &size(name.len())[..], name.as_bytes()].concat();
    extension(0, &[&size(entry.len()), &entry[..]].concat())
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// A hello with these lists.
pub(super) fn hello_of(version: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let ciphers: Vec<u8> = ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
    let extensions = extensions.concat();
    let parts: [&[u8]; 9] = [
        &version.to_be_bytes(),
        &[7; 32],
        &[32],
        &[9; 32],
        &size(ciphers.len()),
        &ciphers,
        &[1, 0],
        &size(extensions.len()),
        &extensions,
    ];
    message(1, &parts.concat())
}

/// A hello as browsers send it: grease at both ends, a key share of `share` bytes, and these extensions between.
fn hello(extensions: &[Vec<u8>], share: usize) -> Vec<u8> {
    let mut all = vec![
        extension(0x8a8a, &[]),
        extension(10, &[0, 6, 0x8a, 0x8a, 0x11, 0xec, 0, 29]),
        extension(51, &vec![0x5a; share]),
    ];
    all.extend_from_slice(extensions);
    all.push(extension(43, &[6, 0x8a, 0x8a, 3, 4, 3, 3]));
    all.push(extension(0x1a1a, &[0]));
    hello_of(0x0303, &[0x8a8a, 0x1301, 0x1302], &all)
}

/// A server's hello.
fn answer_of(random: [u8; 32], cipher: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = extensions.concat();
    let parts: [&[u8]; 6] = [
        &[3, 3],
        &random,
        &[0],
        &cipher.to_be_bytes(),
        &[0],
        &[&size(extensions.len())[..], &extensions].concat(),
    ];
    message(2, &parts.concat())
}

/// Of TLS 1.3.
fn answer() -> Vec<u8> {
    answer_of([5; 32], 0x1301, &[extension(43, &[3, 4]), extension(51, &[1; 36])])
}

/// The message in records of at most these many bytes, the last size repeating.
fn records(mut message: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(*sizes.last().unwrap()));
    while !message.is_empty() {
        let (now, rest) = message.split_at(sizes.next().unwrap().min(message.len()));
        out.extend([22, 3, 1]);
        out.extend(size(now.len()));
        out.extend(now);
        message = rest;
    }
    out
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &size(body.len()), body].concat()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Packet, name, whether it has ECH.
    Asked(u64, Option<String>, bool),
    /// Packet, version, cipher suite, protocol, subject of the certificate, its names.
    Answered(u64, u16, u16, Option<String>, Option<(String, Vec<String>)>),
}

fn asked_for(packet: u64, name: &str) -> Said {
    Said::Asked(packet, Some(name.to_owned()), false)
}

/// Pushes the chunks, numbered from 1, until the layer has had enough.
fn read<'a>(chunks: impl IntoIterator<Item = (Direction, Data<'a>)>) -> (Vec<Said>, Step) {
    let mut facts = Vec::new();
    let mut above = None;
    let mut listener = |output: Output<'_>| match output {
        Output::Fact(at, Fact::Tls(tls)) => facts.push(Said::Asked(at.packet, tls.sni.map(str::to_owned), tls.ech)),
        Output::Fact(at, Fact::TlsAnswer(it)) => facts.push(Said::Answered(
            at.packet,
            it.version,
            it.cipher,
            it.alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
            it.certificate.map(|it| (it.subject.to_owned(), it.names.to_vec())),
        )),
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

fn answered(bytes: &[u8]) -> (Direction, Data<'_>) {
    (Direction::ToClient, Data::Bytes(bytes))
}

const END: (Direction, Data<'_>) = (Direction::ToServer, Data::End);

fn probed(to_server: &[u8], to_client: &[u8], from_start: bool) -> Probe {
    probe::probe(&Prefix {
        bytes: [to_server, to_client],
        from_start,
        ports: [40000, 8443],
    })
}

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
            read([sent(&wire), END]),
            (vec![Said::Asked(1, name.map(str::to_owned), ech)], OPAQUE),
            "{name:?}"
        );
    }
}

#[test]
fn reads_a_hello_without_extensions() {
    let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 47, 1, 0]].concat();
    assert_eq!(
        read([sent(&records(&message(1, &body), &[4_096])), END]),
        (vec![Said::Asked(1, None, false)], OPAQUE)
    );
}

#[test]
fn reads_answers() {
    let ask = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
    let certificate = message(11, &[0, 0, 4, 0, 0, 1, 0x30]);
    let old = [
        answer_of([5; 32], 0xc02f, &[extension(16, b"\0\x03\x02h2"), extension(23, &[])]),
        certificate,
        message(12, &[3; 300]),
        message(14, &[]),
    ]
    .concat();
    let resumed = [
        records(&answer_of([5; 32], 0xc02f, &[]), &[99]),
        records(&message(4, &[1; 200]), &[99]),
        record(20, &[1]),
        record(22, &[0xee; 40]),
    ]
    .concat();
    let without = [answer_of([5; 32], 0x00a8, &[]), message(14, &[])].concat();
    let retry = answer_of(
        [
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
            0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
        ],
        0x1302,
        &[extension(43, &[3, 4])],
    );
    let again = [records(&retry, &[20]), record(20, &[1])].concat();
    let said = |version, cipher, alpn: Option<&str>| Said::Answered(2, version, cipher, alpn.map(str::to_owned), None);
    let sized = |bytes: &[u8]| records(bytes, &[16_384]);
    for (server, expected) in [
        (sized(&answer()), said(0x0304, 0x1301, None)),
        (sized(&old), said(0x0303, 0xc02f, Some("h2"))),
        (records(&old, &[7]), said(0x0303, 0xc02f, Some("h2"))),
        (resumed, said(0x0303, 0xc02f, None)),
        (sized(&without), said(0x0303, 0x00a8, None)),
        ([again, sized(&answer())].concat(), said(0x0304, 0x1301, None)),
        (
            [record(21, &[1, 112]), sized(&answer())].concat(),
            said(0x0304, 0x1301, None),
        ),
    ] {
        let turns = [sent(&ask), answered(&server)];
        let expected = (vec![asked_for(1, "mcp.example.test"), expected], OPAQUE);
        assert_eq!(read(turns), expected);
        let pieces = server.chunks(1).map(answered);
        let (told, step) = read([sent(&ask)].into_iter().chain(pieces));
        assert_eq!((told, step), expected);
    }
    let refused = record(21, &[2, 40]);
    let only = (vec![asked_for(1, "mcp.example.test")], OPAQUE);
    assert_eq!(read([sent(&ask), answered(&refused)]), only);
}

/// Early data, a hello said again, a dummy `change_cipher_spec`: none of it keeps the answer from being read.
#[test]
fn a_client_may_go_on_before_the_answer() {
    let ask = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
    let more = [record(20, &[1]), record(23, &[1; 900]), ask.clone()].concat();
    let server = records(&answer(), &[16_384]);
    let told = vec![
        asked_for(1, "mcp.example.test"),
        Said::Answered(3, 0x0304, 0x1301, None, None),
    ];
    assert_eq!(read([sent(&ask), sent(&more), answered(&server)]), (told, OPAQUE));
    let flood = [record(23, &[1; 16_000]), record(23, &[1; 16_000])].concat();
    let one_sided = [sent(&ask), sent(&flood), sent(&flood), sent(&flood)];
    assert_eq!(read(one_sided), (vec![asked_for(1, "mcp.example.test")], OPAQUE));
}

#[test]
fn gives_up_on_what_cannot_be_read() {
    let whole = hello(&[sni("mcp.example.test")], 32);
    let wire = records(&whole, &[16_384]);
    let (head, tail) = wire.split_at(80);
    let gap = (Direction::ToServer, Data::Gap(5));
    let too_long = records(&[&[1, 1, 0, 1][..], &[3; 70_000]].concat(), &[16_384]);
    let malformed = records(&[1, 0, 0, 3, 3, 3, 7], &[16_384]);
    let data = record(23, &[0; 9]);
    let ssl2 = [&[128, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16][..], &[1; 37]].concat();
    let cases: [&[(Direction, Data<'_>)]; 7] = [
        &[sent(head), gap, sent(tail)],
        &[sent(head), END],
        &[sent(&too_long)],
        &[sent(&malformed)],
        &[sent(&data)],
        &[answered(&data)],
        &[sent(&ssl2)],
    ];
    for chunks in cases {
        assert_eq!(read(chunks.iter().copied()), (vec![], OPAQUE), "{chunks:?}");
    }
}

#[test]
fn reads_a_name_before_a_cut() {
    let whole = hello(&[sni("mcp.example.test"), extension(21, &[0; 500])], 32);
    for sizes in [&[16_384][..], &[60, 16_384]] {
        let wire = records(&whole, sizes);
        let name = (vec![asked_for(1, "mcp.example.test")], OPAQUE);
        let place = wire.windows(4).position(|window| window == b"test").unwrap();
        for (cut, expected) in [(place + 4, name), (place + 3, (vec![], OPAQUE))] {
            let (head, tail) = wire.split_at(cut);
            let lost = u64::try_from(tail.len()).unwrap();
            assert_eq!(read([sent(head), (Direction::ToServer, Data::Gap(lost))]), expected);
        }
    }
}

#[test]
fn waits_for_a_hello_that_comes_after_its_answer() {
    let wire = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
    let server = records(&answer(), &[16_384]);
    let sealed = record(23, &[1; 900]);
    let said = Said::Answered(1, 0x0304, 0x1301, None, None);
    assert_eq!(
        read([answered(&server), answered(&sealed), sent(&wire)]),
        (vec![asked_for(3, "mcp.example.test"), said.clone()], OPAQUE)
    );
    let flood = record(23, &[1; 16_384]).repeat(4);
    assert_eq!(
        read([answered(&server), answered(&flood), sent(&wire)]),
        (vec![said], OPAQUE)
    );
}

#[test]
fn recognises() {
    let wire = records(&hello(&[sni("mcp.example.test")], 32), &[16_384]);
    let answer = records(&answer(), &[16_384]);
    let data = [&[23, 3, 3, 0, 4, 1, 2, 3, 4][..], &[21, 3, 3, 0, 2, 1, 0], &[23, 3, 3]].concat();
    let not_data = [&[23, 3, 3, 0, 4, 1, 2, 3, 4][..], b"GET / HTTP/1.1"].concat();
    let ssl2 = [128, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16];
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
        (&ssl2, b"", true, to_client),
        (&ssl2[..10], b"", true, Probe::More),
        (&ssl2, b"", false, Probe::No),
        (&[128, 47, 1, 3, 1, 0, 21, 0, 0, 0, 16], b"", true, Probe::No),
        (&[128, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16], b"", true, Probe::No),
        (&[128, 46, 4, 3, 1], b"", true, Probe::No),
        (b"", b"", true, Probe::More),
    ] {
        assert_eq!(probed(first, second, from_start), answers, "{first:?} {second:?}");
    }
    for length in 0..6 {
        assert_eq!(probed(&wire[..length], b"", true), Probe::More, "{length}");
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
        let expected = (vec![Said::Asked(1, Some("a-1.mcp.example.test".to_owned()), ech)], OPAQUE);
        prop_assert_eq!(read(pieces.iter().map(|piece| sent(piece)).chain([END])), expected.clone());
        prop_assert_eq!(read(wire.chunks(1).map(sent).chain([END])), expected);
        let mut prefix = Vec::new();
        for piece in &pieces {
            prefix.extend_from_slice(piece);
            prop_assert_ne!(probed(&prefix, b"", true), Probe::No);
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm(
        mut bytes in prop::collection::vec(any::<u8>(), 1..400),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        real in any::<bool>(),
        answers in any::<bool>(),
        from_start in any::<bool>(),
    ) {
        if real {
            let answer = [answer_of([5; 32], 0xc02f, &[]), message(11, &[0; 60]), message(14, &[])].concat();
            let message = if answers { answer } else { hello(&[sni("mcp.example.test")], 32) };
            bytes = records(&message, &[100]);
            for (index, value) in flips {
                let place = index.index(bytes.len());
                bytes[place] = value;
            }
        }
        let _ = probed(&bytes, b"", from_start);
        let pieces = cuts(&bytes, &at);
        let (facts, _) = read(pieces.iter().map(|piece| sent(piece)).chain([END]));
        prop_assert!(facts.len() <= 2);
        let bounded = facts.iter().all(|fact| match fact {
            Said::Asked(_, name, _) => name.as_ref().is_none_or(|name| name.len() <= 253),
            Said::Answered(..) => true,
        });
        prop_assert!(bounded);
    }
}
