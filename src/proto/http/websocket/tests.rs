//! A simple encoder, and what the reader must make of it.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;
use crate::proto::http::h1::talk::env;

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let marked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(marked | len as u8),
        len @ 126..65_536 => {
            out.push(marked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(marked | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let key = mask.unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
    End,
}

fn read(socket: &mut Socket, steps: &[Step<'_>]) -> Vec<String> {
    let mut told = Vec::new();
    let mut say = |said: Said<'_>| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        told.push(match said.body {
            Body::Whole(bytes) => text(bytes),
            Body::Cut { head, missing } => format!("cut {missing} {}", text(head)),
            Body::Absent => "absent".to_owned(),
        });
    };
    for (packet, step) in (1..).zip(steps) {
        let at = Stamp {
            packet,
            ..Stamp::default()
        };
        match step {
            Step::Bytes(bytes) => socket.push(at, bytes, &mut say),
            Step::Gap(missing) => socket.gap(*missing, &mut say),
            Step::End => socket.end(&mut say),
        }
    }
    told
}

fn socket(deflate: Deflate) -> Socket {
    Socket::new(Limits::of(&env()), deflate, false)
}

const ONE: &str = r#"{"jsonrpc":"2.0","id":1}"#;
const TWO: &str = r#"{"jsonrpc":"2.0","id":2}"#;
const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

#[test]
fn fragments_signs_and_what_is_not_of_interest() {
    let wire = [
        frame(0x01, MASK, &ONE.as_bytes()[..5]),
        frame(0x89, MASK, b"ping"),
        frame(0x00, MASK, b""),
        frame(0x80, MASK, &ONE.as_bytes()[5..]),
        frame(0x82, MASK, &[0x89; 70_000]),
        frame(0x81, MASK, b"hello"),
        frame(0x81, MASK, br#"{"type":"tick","price":1}"#),
        frame(0x81, MASK, b""),
        frame(0x82, None, TWO.as_bytes()),
        frame(0x88, MASK, b"\x03\xe8"),
        frame(0x81, None, TWO.as_bytes()),
    ]
    .concat();
    for size in [wire.len(), 1, 3, 1448] {
        let steps: Vec<_> = wire.chunks(size).map(Step::Bytes).collect();
        let tick = r#"{"type":"tick","price":1}"#;
        assert_eq!(read(&mut socket(Deflate::Never), &steps), [ONE, tick, TWO], "{size}");
    }
}

#[test]
fn too_long_is_cut() {
    let long = format!(r#"{{"jsonrpc":"2.0","x":"{}"}}"#, "y".repeat(70_000));
    for mask in [None, MASK] {
        let wire = frame(0x81, mask, long.as_bytes());
        let told = read(
            &mut socket(Deflate::Never),
            &[
                Step::Bytes(&wire[..4000]),
                Step::Bytes(&wire[4000..]),
                Step::Bytes(&frame(0x81, None, TWO.as_bytes())),
            ],
        );
        assert!(
            told[0].starts_with(&format!("cut {} {{", long.len() - env().message_max_bytes)),
            "{}",
            &told[0][..40]
        );
        assert_eq!(told[1..], [TWO]);
    }
}

#[test]
fn a_gap_in_a_payload_costs_its_message() {
    let (one, two) = (frame(0x81, MASK, ONE.as_bytes()), frame(0x81, MASK, TWO.as_bytes()));
    let half = one.len() - 8;
    let steps = [
        Step::Bytes(&one[..half]),
        Step::Gap(3),
        Step::Bytes(&one[half + 3..]),
        Step::Bytes(&two),
    ];
    assert_eq!(
        read(&mut socket(Deflate::Never), &steps),
        ["cut 8 {\"jsonrpc\":\"2.0\"", TWO]
    );
    // The whole rest, then the next frame.
    let steps = [Step::Bytes(&one[..half]), Step::Gap(8), Step::Bytes(&two)];
    assert_eq!(
        read(&mut socket(Deflate::Never), &steps),
        ["cut 8 {\"jsonrpc\":\"2.0\"", TWO]
    );
    // More than the rest: looks for a frame that begins a segment.
    let steps = [
        Step::Bytes(&one[..half]),
        Step::Gap(30),
        Step::Bytes(&two[22..]),
        Step::Bytes(&frame(0x89, MASK, b"")),
        Step::Bytes(&one),
        Step::Bytes(&two),
    ];
    assert_eq!(
        read(&mut socket(Deflate::Never), &steps),
        ["cut 0 {\"jsonrpc\":\"2.0\"", ONE, TWO]
    );
    // A fragment that is lost takes its message with it.
    let pieces = [frame(0x01, MASK, ONE.as_bytes()), frame(0x80, MASK, b"  ")];
    let steps = [
        Step::Bytes(&pieces[0][..17]),
        Step::Gap(13),
        Step::Bytes(&pieces[1]),
        Step::Bytes(&two),
        Step::End,
    ];
    assert_eq!(read(&mut socket(Deflate::Never), &steps), ["cut 0 {\"jsonrpc\":", TWO]);
}

#[test]
fn an_end_in_a_payload() {
    let one = frame(0x81, None, ONE.as_bytes());
    assert_eq!(
        read(
            &mut socket(Deflate::Never),
            &[Step::Bytes(&one[..12]), Step::End, Step::Bytes(&one)]
        ),
        ["cut 14 {\"jsonrpc\""]
    );
}

#[test]
fn nonsense_and_then_a_frame() {
    let (one, two) = (frame(0x81, None, ONE.as_bytes()), frame(0x81, MASK, TWO.as_bytes()));
    let packed = frame(0xc1, None, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let nested = [frame(0x01, None, b"{"), one.clone()].concat();
    for nonsense in [&b"\xff\xff"[..], &packed, &nested, &frame(0x80, None, b"x")] {
        let steps = [
            Step::Bytes(nonsense),
            Step::Bytes(b"\x81\x02hi"),
            Step::Bytes(&one),
            Step::Bytes(&two),
        ];
        assert_eq!(read(&mut socket(Deflate::Never), &steps), [ONE, TWO], "{nonsense:?}");
    }
}

#[test]
fn other_packing_is_passed_over() {
    let packed = frame(0xc1, None, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let steps = [Step::Bytes(&packed), Step::Bytes(&frame(0x81, None, ONE.as_bytes()))];
    assert_eq!(read(&mut socket(Deflate::Foreign), &steps), [ONE]);
}

/// Joined midway, a kept window is not known: nothing wrong is told, and what stands for itself is read.
#[test]
fn packed_messages_without_their_past() {
    let mut compress = Compress::new(Compression::default(), false);
    let mut pack = |text: &str| {
        let mut packed = Vec::with_capacity(1000);
        compress
            .compress_vec(text.as_bytes(), &mut packed, FlushCompress::Sync)
            .unwrap();
        packed.truncate(packed.len() - 4);
        frame(0xc1, None, &packed)
    };
    let (one, two) = (pack(ONE), pack(TWO));
    let mut midway = Socket::midway(Limits::of(&env()));
    assert_eq!(read(&mut midway, &[Step::Bytes(&two)]), Vec::<String>::new());
    let mut midway = Socket::midway(Limits::of(&env()));
    assert_eq!(read(&mut midway, &[Step::Bytes(&one), Step::Bytes(&two)]), [ONE, TWO]);
}

#[test]
fn bombs_stop_and_the_next_message_is_read() {
    let mut compress = Compress::new(Compression::best(), false);
    let mut packed = Vec::with_capacity(100_000);
    let bomb = format!("{{\"jsonrpc\":\"{}\"}}", " ".repeat(4 << 20));
    compress
        .compress_vec(bomb.as_bytes(), &mut packed, FlushCompress::Sync)
        .unwrap();
    packed.truncate(packed.len() - 4);
    let mut fresh = socket(Deflate::Messages { fresh: true });
    let next = frame(
        0xc1,
        None,
        b"\xaa\x56\xca\x2a\xce\xcf\x2b\x2a\x48\x56\xb2\x52\x32\xd2\x33\x50\xaa\x05\x00",
    );
    let told = read(
        &mut fresh,
        &[Step::Bytes(&frame(0xc1, None, &packed)), Step::Bytes(&next)],
    );
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("cut 0 {\"jsonrpc\""));
    assert_eq!(told[1], "{\"jsonrpc\":\"2.0\"}");
}

/// A message as it is sent: text, how many fragments, a mask, packed or not.
type Sent = (String, usize, Option<[u8; 4]>, bool);

fn encode(sent: &[Sent], fresh: bool) -> Vec<u8> {
    let mut compress = Compress::new(Compression::default(), false);
    let mut wire = Vec::new();
    for (text, pieces, mask, packed) in sent {
        let payload = if *packed {
            let mut packed = Vec::with_capacity(text.len() + 1000);
            compress
                .compress_vec(text.as_bytes(), &mut packed, FlushCompress::Sync)
                .unwrap();
            packed.truncate(packed.len() - 4);
            if fresh {
                compress.reset();
            }
            packed
        } else {
            text.clone().into_bytes()
        };
        let size = payload.len().div_ceil(*pieces).max(1);
        let parts: Vec<_> = payload.chunks(size).collect();
        for (index, part) in parts.iter().enumerate() {
            let last = if index + 1 == parts.len() { 0x80 } else { 0 };
            let kind = if index == 0 { 1 } else { 0 };
            let rsv = if index == 0 && *packed { 0x40 } else { 0 };
            wire.extend(frame(last | rsv | kind, *mask, part));
            if index > 0 {
                wire.extend(frame(0x8a, *mask, b"pong"));
            }
        }
    }
    wire
}

proptest! {
    #[test]
    fn what_was_sent_is_read(
        sent in prop::collection::vec(
            (
                prop_oneof![
                    r#"\{"jsonrpc":"2.0","id":[0-9]{1,9},"x":"[a-z ]{0,300}"\}"#,
                    r#"[a-z]{1,30}"#,
                    r#"\{"jsonrpc":"2.0","x":"[a-z]{900,1200}"\}"#,
                ],
                1_usize..5,
                prop::option::of(any::<[u8; 4]>()),
                any::<bool>(),
            ),
            1..8,
        ),
        fresh: bool,
        unknown: bool,
        sizes in prop::collection::vec(1_usize..700, 1..20),
    ) {
        let wire = encode(&sent, fresh);
        let expect: Vec<_> = sent.iter().map(|(text, ..)| text.clone()).filter(|text| text.starts_with('{')).collect();
        let deflate = if unknown { Deflate::Unknown } else { Deflate::Messages { fresh } };
        prop_assert_eq!(&read(&mut socket(deflate), &[Step::Bytes(&wire)]), &expect);
        let (mut rest, mut steps) = (&wire[..], Vec::new());
        for size in sizes.iter().cycle() {
            let (head, tail) = rest.split_at((*size).min(rest.len()));
            steps.push(Step::Bytes(head));
            rest = tail;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(&read(&mut socket(deflate), &steps), &expect);
    }

    /// A gap anywhere: what is told whole was sent.
    #[test]
    fn nothing_is_invented_behind_a_gap(
        ids in prop::collection::vec(0_u32..1_000_000, 3..12),
        packed: bool,
        fresh: bool,
        at: prop::sample::Index,
        len in 1_usize..200,
    ) {
        let sent: Vec<Sent> = ids.iter().map(|id| (format!(r#"{{"jsonrpc":"2.0","id":{id},"n":"{}"}}"#, id * 7), 2, MASK, packed)).collect();
        let wire = encode(&sent, fresh);
        let at = at.index(wire.len());
        let end = (at + len).min(wire.len());
        let deflate = if packed { Deflate::Messages { fresh } } else { Deflate::Never };
        let mut steps = vec![Step::Bytes(&wire[..at]), Step::Gap((end - at) as u64)];
        steps.extend(wire[end..].chunks(77).map(Step::Bytes));
        for told in read(&mut socket(deflate), &steps) {
            prop_assert!(told.starts_with("cut") || sent.iter().any(|(text, ..)| *text == told), "{}", told);
        }
    }

    #[test]
    fn hostile_bytes_do_no_harm(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..20)) {
        for deflate in [Deflate::Unknown, Deflate::Never, Deflate::Messages { fresh: true }] {
            let steps: Vec<_> = pieces.iter().map(|piece| Step::Bytes(piece)).collect();
            let _ = read(&mut socket(deflate), &steps);
        }
    }
}
