//! A conversation is the same one whatever it is wrapped in, and what only resembles a wrapping is left as it is.

use serde_json::{Value, json};
use shadowtap::model::packet::Packet;
use shadowtap::packet::{Checksums, Config, Decoder};
use shadowtap::source::{Pull, open_file};

use crate::run;
use crate::scenarios::essence;
use crate::talk::Random;
use crate::wrap::{self, KINDS, TEREDO, Wrap};

type Frames = Vec<(i64, Vec<u8>)>;

fn capture(name: &str) -> Frames {
    let mut source = open_file(run::folder("pcaps").join(name).to_str().unwrap(), 0).unwrap();
    let mut frames = Vec::new();
    loop {
        match source.pull() {
            Pull::Packet(raw) => frames.push((raw.at.time.nanos(), raw.data.to_vec())),
            Pull::End => return frames,
            other => panic!("{other:?}"),
        }
    }
}

/// One capture of each version of IP.
fn bare() -> [Frames; 2] {
    [capture("py_streamable_stateful.pcap"), capture("ipv6_streamable.pcap")]
}

fn kind(name: &str) -> Wrap {
    KINDS.iter().find(|kind| kind.0 == name).unwrap().1
}

fn is_ip(frame: &[u8]) -> bool {
    matches!(frame[12..14], [8, 0] | [0x86, 0xdd])
}

fn wrapped(frames: &Frames, wrap: Wrap) -> Frames {
    let numbered = (1..).zip(frames);
    let wrap = |(number, (at, frame)): (u32, &(i64, Vec<u8>))| {
        let out = if is_ip(frame) {
            wrap(frame, number)
        } else {
            frame.clone()
        };
        (*at, out)
    };
    numbered.map(wrap).collect()
}

/// The same with a tunnel of frames, which takes those too that are no longer IP.
fn bridged(frames: &Frames, wrap: Wrap) -> Frames {
    (1..)
        .zip(frames)
        .map(|(number, (at, frame))| (*at, wrap(frame, number)))
        .collect()
}

/// Fragments of one packet in any order, some of them twice.
fn fragmented(frames: &Frames, mtu: usize, random: &mut Random) -> Frames {
    let mut out = Vec::new();
    for (number, (at, frame)) in (1..).zip(frames) {
        let mut pieces = wrap::fragments(frame, mtu, number);
        if pieces.len() > 1 {
            wrap::shuffle(&mut pieces, random);
        }
        out.extend(pieces.into_iter().map(|piece| (*at, piece)));
    }
    out
}

fn lost(report: &Value) -> Vec<u64> {
    let lost = &report["capture"]["lost"];
    [
        "undecodable_packets",
        "orphan_fragments",
        "evicted_fragments",
        "conflicting_fragments",
    ]
    .map(|place| lost[place].as_u64().unwrap())
    .to_vec()
}

#[test]
fn every_tunnel_shows_what_is_inside() {
    for frames in bare() {
        let plain = run::frames(&frames);
        assert!(!plain["findings"].as_array().unwrap().is_empty());
        for (name, wrap) in KINDS {
            let report = run::frames(&wrapped(&frames, *wrap));
            assert_eq!(essence(&plain), essence(&report), "{name}");
            assert_eq!(lost(&report), [0; 4], "{name}");
            assert_eq!(plain["capture"]["flows"], report["capture"]["flows"], "{name}");
        }
    }
}

#[test]
fn teredo_shows_what_is_inside() {
    let mut frames = capture("ipv6_streamable.pcap");
    for (_, frame) in frames.iter_mut().filter(|(_, frame)| wrap::is_v6(frame)) {
        for at in [22, 38] {
            frame[at..at + 4].copy_from_slice(&[0x20, 1, 0, 0]);
        }
    }
    let plain = essence(&run::frames(&frames));
    for (name, wrap) in TEREDO {
        assert_eq!(plain, essence(&run::frames(&wrapped(&frames, *wrap))), "{name}");
    }
}

/// Up to four in one another, outer and inner packets in fragments, which come in any order.
#[test]
fn nested_and_fragmented_changes_nothing() {
    let mut random = Random(1);
    for frames in bare() {
        let plain = run::frames(&frames);
        for round in 0..30 {
            let mut disturbed = frames.clone();
            let mut told = format!("round {round}:");
            for _ in 0..=random.below(4) {
                if random.below(2) == 0 {
                    let mtu = 68 + random.below(1_400);
                    told += &format!(" in fragments of {mtu},");
                    disturbed = fragmented(&disturbed, mtu, &mut random);
                }
                let ip = disturbed.iter().any(|(_, frame)| is_ip(frame));
                let fits = |name: &str| ip || wrap::bridges(name);
                let kinds: Vec<_> = KINDS.iter().filter(|kind| fits(kind.0)).collect();
                let (name, wrap) = kinds[random.below(kinds.len())];
                told += &format!(" {name},");
                disturbed = if ip {
                    wrapped(&disturbed, *wrap)
                } else {
                    bridged(&disturbed, *wrap)
                };
            }
            let mtu = 68 + random.below(1_400);
            told += &format!(" in fragments of {mtu}");
            disturbed = fragmented(&disturbed, mtu, &mut random);
            let (text, report) = run::frames_with(&disturbed, run::settings(), 1);
            assert_eq!(essence(&plain), essence(&report), "{told}");
            assert_eq!(lost(&report), [0; 4], "{told}");
            let counted = report["capture"]["packets"].as_u64().unwrap();
            assert_eq!(counted, disturbed.len() as u64, "{told}");
            if round % 6 == 0 {
                assert!(
                    text == run::frames_with(&disturbed, run::settings(), 3).0,
                    "{told}: three workers"
                );
            }
        }
    }
}

/// Where an analyst has to look for a server.
#[test]
fn the_report_tells_what_was_around() {
    let [frames, _] = bare();
    let [tag, vxlan, erspan] = ["802.1Q", "VXLAN", "ERSPAN II"].map(kind);
    let outer = |frames: &Frames| run::frames(frames)["servers"][0]["outer"].clone();
    assert_eq!(outer(&frames), Value::Null);
    assert_eq!(outer(&wrapped(&frames, tag))["vlan"], 7);
    let nested = bridged(&bridged(&wrapped(&frames, tag), vxlan), erspan);
    // The innermost: it tells the tenant. ERSPAN's VLAN is that of the outer frame.
    let expect = json!({"vlan": 7, "tunnel": "vxlan", "id": 31, "source": "192.0.2.1", "destination": "192.0.2.2"});
    assert_eq!(outer(&nested), expect);
    assert_eq!(outer(&wrapped(&frames, erspan))["id"], 5);
    assert_eq!(outer(&wrapped(&frames, erspan))["vlan"], 10);
}

/// A mirror of both directions of a link, or of both of its ends, and each copy comes in other fragments.
#[test]
fn copies_in_other_tags_are_one_conversation() {
    let mut random = Random(2);
    let [frames, _] = bare();
    let plain = essence(&run::frames(&frames));
    let bridged: Frames = wrapped(&frames, KINDS[0].1);
    let mirrored = wrapped(&bridged, kind("VXLAN"));
    let first = fragmented(&mirrored, 600, &mut random);
    let second = fragmented(&bridged, 9_000, &mut random);
    let mut both: Frames = [frames, first, second].concat();
    both.sort_by_key(|(at, _)| *at);
    assert_eq!(plain, essence(&run::frames(&both)));
}

/// Every loss is of one datagram, and told.
#[test]
fn a_lost_fragment_is_a_gap() {
    let mut random = Random(3);
    let [frames, _] = bare();
    let mut disturbed = fragmented(&wrapped(&frames, kind("VXLAN")), 500, &mut random);
    let at = disturbed.iter().rposition(|(_, frame)| frame[20] & 0x20 != 0).unwrap();
    let gone = disturbed.remove(at).1;
    disturbed.retain(|(_, frame)| *frame != gone);
    let report = run::frames(&disturbed);
    assert_eq!(report["servers"].as_array().unwrap().len(), 1);
    assert!(
        lost(&report)[1] > 0 && report["capture"]["lost"]["gap_bytes"].as_u64() > Some(0),
        "{:?}",
        lost(&report)
    );
}

/// What is said of a frame: the flow's ports, or that there is none.
fn seen(frame: &[u8]) -> Option<(u16, u16)> {
    let mut decoder = Decoder::new(&Config::default(), Checksums::Ignore);
    let frames = [(0, frame.to_vec())];
    match decoder.decode(&run::raw(&frames, 0)).ok()?.packet {
        Packet::Tcp(segment) => Some((segment.src.port, segment.dst.port)),
        Packet::Udp(datagram) => Some((datagram.src.port, datagram.dst.port)),
        _ => None,
    }
}

/// Name, port, header, whether a frame follows or a packet, and which bytes of the header are checked.
type NearMiss = (&'static str, u16, &'static [u8], bool, &'static [usize]);

/// A field with a wrong value makes an ordinary datagram of the tunnel's port.
#[test]
fn what_is_not_quite_a_tunnel_is_none() {
    let inner = wrap::v4(
        6,
        &[
            0x12, 0x34, 0x56, 0x78, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 0, 0, 0, 0, 0,
        ],
    );
    let ports = Some((0x1234, 0x5678));
    let cases: &[NearMiss] = &[
        // Every byte of the header but those of the identifier.
        ("VXLAN", 4789, &[8, 0, 0, 0, 1, 2, 3, 0], true, &[0, 1, 2, 3, 7]),
        ("GENEVE", 6081, &[0, 0, 0x65, 0x58, 1, 2, 3, 0], true, &[0, 1, 2, 3, 7]),
        ("GTP-U", 2152, &[0x30, 255, 0, 40, 1, 2, 3, 4], false, &[0, 1, 2, 3]),
        ("GRE", 4754, &[0, 0, 8, 0], false, &[0, 1, 2]),
    ];
    for (name, port, header, bridged, checked) in cases {
        let inside = if *bridged { &inner[..] } else { &inner[14..] };
        let build = |header: &[u8]| wrap::udp(50_000, *port, &[header, inside].concat());
        assert_eq!(seen(&build(header)), ports, "{name}");
        for at in *checked {
            for bit in 0..8 {
                let mut wrong = header.to_vec();
                wrong[*at] ^= 1 << bit;
                // Those with a meaning of their own: a group policy, critical options, more options.
                if matches!(
                    (*name, *at, bit),
                    ("VXLAN", 0, 7) | ("GENEVE", 1, 6) | ("GENEVE", 0, ..6)
                ) {
                    continue;
                }
                let expect = Some((50_000, *port));
                assert_eq!(seen(&build(&wrong)), expect, "{name}: byte {at}, bit {bit}");
            }
        }
        assert_eq!(
            seen(&wrap::udp(50_000, port + 3, &[header, inside].concat())),
            Some((50_000, port + 3)),
            "{name}"
        );
        assert_eq!(
            seen(&wrap::udp(
                50_000,
                *port,
                b"an ordinary payload of a port that was free"
            )),
            Some((50_000, *port))
        );
    }
    // Protocols that say what they are, and are not.
    for (name, protocol, payload) in [
        (
            "PPTP",
            47,
            &[&[0x30, 1, 0x88, 0x0b, 0, 40, 0, 1, 0, 0, 0, 1][..], &inner[14..]].concat(),
        ),
        (
            "GRE with a source route",
            47,
            &[&[0x40, 0, 8, 0, 0, 0, 0, 0][..], &inner[14..]].concat(),
        ),
        (
            "ERSPAN of another version",
            47,
            &[
                &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x30, 0, 0, 0, 0, 0, 0, 0][..],
                &inner,
            ]
            .concat(),
        ),
        ("another IP in IP", 41, &inner[14..].to_vec()),
        ("another EtherIP", 97, &[&[0x20, 0][..], &inner].concat()),
    ] {
        assert_eq!(seen(&wrap::v4(protocol, payload)), None, "{name}");
    }
}

#[test]
fn ports_are_as_configured_and_depth_is_bounded() {
    let [frames, _] = bare();
    let vxlan = kind("VXLAN");
    let mut settings = run::settings();
    settings.packet.vxlan_ports = vec![5_555];
    let (_, report) = run::frames_with(&wrapped(&frames, vxlan), settings, 1);
    assert_eq!(report["servers"], Value::Array(Vec::new()));

    let mut deep = frames.into_iter().find(|(_, frame)| is_ip(frame)).unwrap().1;
    let counts = (1..=20).map(|number| {
        deep = vxlan(&deep, number);
        let report = run::frames(&[(0, deep.clone())]);
        lost(&report)[0]
    });
    let counts: Vec<u64> = counts.collect();
    assert_eq!(counts[..7], [0; 7]);
    assert_eq!(
        counts[7..],
        [1; 13],
        "more than seven in one another are counted as undecodable"
    );
}
