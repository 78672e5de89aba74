//! QUIC: the hello is found however its datagrams come, and nothing else is taken for QUIC.

use shadowtap::model::flow::Why;
use shadowtap::model::net::Direction;
use shadowtap::proto::quic::PROTOCOL;
use shadowtap::stream::layer::Step;

use crate::run;
use crate::seal::{By, DRAFT_29, Head, V1, V2, answer, crypto, hello, initial, negotiation, opaque, retry, udp};
use crate::splits::{Piece, Sample, Turn, listen};
use crate::talk::Random;

use Direction::{ToClient, ToServer};

const ORIGIN: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
const SERVER_ID: &[u8] = b"\xf0\x67\xa5\x50\x2a\x42\x62\xb5";
const OPAQUE: Step = Step::Bypass(Why::Opaque);
const UNKNOWN: Step = Step::Bypass(Why::Unknown);

const FROM_CLIENT: Head<'_> = Head {
    version: V1,
    destination: ORIGIN,
    source: b"",
    token: b"",
};
const FROM_SERVER: Head<'_> = Head {
    version: V1,
    destination: b"",
    source: SERVER_ID,
    token: b"",
};

/// A datagram of a client: an Initial, padded.
fn first(head: &Head<'_>, origin: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let mut frames = frames.to_vec();
    frames.resize(frames.len().max(1_180), 0);
    initial(head, origin, By::Client, number, &frames)
}

/// The datagrams of a client that send these pieces of its hello, each a datagram.
fn flight(head: &Head<'_>, hello: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let ends = cuts.iter().copied().chain([hello.len()]);
    let mut start = 0;
    let mut out = Vec::new();
    for (number, end) in (0..).zip(ends) {
        out.push(first(head, ORIGIN, number, &crypto(start, &hello[start..end])));
        start = end;
    }
    out
}

fn answered(head: &Head<'_>, origin: &[u8]) -> Vec<u8> {
    let frames = [&[2, 0, 0, 0, 0][..], &crypto(0, &answer())].concat();
    let handshake = opaque(head, 2, 60);
    [initial(head, origin, By::Server, 0, &frames), handshake].concat()
}

fn turn(dir: Direction, datagram: &[u8]) -> Turn {
    (dir, Piece::Bytes(datagram.to_vec()))
}

fn sample(name: &'static str, turns: Vec<Turn>) -> Sample {
    Sample {
        name,
        turns,
        from_start: true,
        ports: [40_000, 8_443],
    }
}

fn tell(turns: &[Turn]) -> (Vec<String>, Step) {
    listen(&PROTOCOL, &sample("", Vec::new()), turns)
}

/// Conversations for the modules that drive every protocol.
pub(crate) fn samples() -> Vec<Sample> {
    let short = hello("quic.example.test", 300);
    let long = hello("quic.example.test", 1_800);
    let mut two = flight(&FROM_CLIENT, &long, &[1_000])
        .iter()
        .map(|it| turn(ToServer, it))
        .collect::<Vec<_>>();
    two.push(turn(ToClient, &answered(&FROM_SERVER, ORIGIN)));
    vec![
        sample(
            "hello in one datagram",
            vec![
                turn(ToServer, &flight(&FROM_CLIENT, &short, &[])[0]),
                turn(ToClient, &answered(&FROM_SERVER, ORIGIN)),
            ],
        ),
        sample("hello in two datagrams", two),
    ]
}

fn name_of(told: &[String]) -> Vec<String> {
    told.iter()
        .filter_map(|line| Some(line.split_once("sni: Some(\"")?.1.split_once('"')?.0.to_owned()))
        .collect()
}

#[test]
fn reads_the_hello_of_every_version_and_names_the_client() {
    for version in [V1, V2, DRAFT_29] {
        let client = Head { version, ..FROM_CLIENT };
        let server = Head { version, ..FROM_SERVER };
        let ask = &flight(&client, &hello("mcp.example.test", 300), &[])[0];
        let turns = [turn(ToServer, ask), turn(ToClient, &answered(&server, ORIGIN))];
        let (told, step) = tell(&turns);
        assert_eq!(
            (name_of(&told), told.len(), step),
            (vec!["mcp.example.test".to_owned()], 2, OPAQUE)
        );
        assert!(told[1].contains("cipher: 4865"), "{told:?}");
        let flipped: Vec<Turn> = turns.iter().map(|(dir, piece)| (dir.flip(), piece.clone())).collect();
        let (mut told_flipped, step) = tell(&flipped);
        assert_eq!(told_flipped.remove(0), "swap");
        assert_eq!((told_flipped, step), (told, OPAQUE));
    }
}

/// Post-quantum key shares fill two or three datagrams.
#[test]
fn any_order_with_duplicates_tells_the_same() {
    let hello = hello("mcp.example.test", 2_900);
    let datagrams = flight(&FROM_CLIENT, &hello, &[1_000, 2_000]);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for repeats in [1, 2] {
            let turns: Vec<Turn> = order
                .iter()
                .flat_map(|at| std::iter::repeat_n(turn(ToServer, &datagrams[*at]), repeats))
                .chain([turn(ToClient, &answered(&FROM_SERVER, ORIGIN))])
                .collect();
            let (told, step) = tell(&turns);
            assert_eq!(name_of(&told), ["mcp.example.test"], "{order:?}");
            assert_eq!(step, OPAQUE);
        }
    }
}

/// Browsers cut their hello into pieces and shuffle them, so that nobody gets used to its shape.
#[test]
fn shuffled_pieces_among_other_frames_tell_the_same() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let hello = hello("mcp.example.test", 200 + random.below(2_500));
        let mut frames = Vec::new();
        let mut start = 0;
        while start < hello.len() {
            // Pieces overlap now and then.
            let from = start.saturating_sub(random.below(3) * random.below(20));
            let end = (start + 1 + random.below(400)).min(hello.len());
            frames.push(crypto(from, &hello[from..end]));
            frames.push(
                [&[0, 0, 0][..], &[1], &[2, 1, 0, 0, 0], &[3, 9, 1, 1, 2, 0, 1, 1, 2, 3]][random.below(4)].to_vec(),
            );
            start = end;
        }
        for at in (1..frames.len()).rev() {
            frames.swap(at, random.below(at + 1));
        }
        let mut turns = Vec::new();
        while !frames.is_empty() {
            let mut payload = Vec::new();
            while payload.len() < 700
                && let Some(frame) = frames.pop()
            {
                payload.extend(frame);
            }
            let number = u32::try_from(turns.len()).unwrap();
            turns.push(turn(ToServer, &first(&FROM_CLIENT, ORIGIN, number, &payload)));
        }
        turns.push(turn(ToClient, &answered(&FROM_SERVER, ORIGIN)));
        assert_eq!(name_of(&tell(&turns).0), ["mcp.example.test"], "seed {seed}");
    }
}

#[test]
fn a_lost_datagram_is_waited_for_and_then_given_up() {
    let hello = hello("mcp.example.test", 2_900);
    let datagrams = flight(&FROM_CLIENT, &hello, &[1_000, 2_000]);
    let data = [&[0x4f][..], SERVER_ID, &[0x77; 40]].concat();
    for lost in 0..3 {
        let mut turns: Vec<Turn> = datagrams.iter().map(|it| turn(ToServer, it)).collect();
        let missing = turns.remove(lost);
        turns.extend(std::iter::repeat_n(turn(ToServer, &data), 20));
        let mut resent = turns.clone();
        resent.extend([missing, turn(ToClient, &answered(&FROM_SERVER, ORIGIN))]);
        assert_eq!(name_of(&tell(&resent).0), ["mcp.example.test"], "{lost} came again");
        turns.extend(std::iter::repeat_n(turn(ToServer, &data), 20));
        let (told, step) = tell(&turns);
        // The name stands in the first datagram.
        assert_eq!(name_of(&told).len(), usize::from(lost != 0), "{lost} lost");
        assert_eq!(step, OPAQUE);
    }
}

/// A snap length cuts the tag off: the hello proves itself.
#[test]
fn a_name_before_a_cut_is_read() {
    let ask = &flight(&FROM_CLIENT, &hello("mcp.example.test", 600), &[])[0];
    for cut in 0..ask.len() {
        let (told, step) = tell(&[turn(ToServer, &ask[..cut])]);
        assert!(
            name_of(&told).iter().all(|name| name == "mcp.example.test"),
            "{cut}: {told:?}"
        );
        assert!(cut < 130 || !told.is_empty(), "{cut}: the name is there");
        assert!(told.is_empty() || step == Step::Continue);
    }
    let flipped = [turn(ToClient, &ask[..200])];
    assert_eq!(
        tell(&flipped).0[0],
        "swap",
        "the beginning of a hello tells who is the client"
    );
    let mut other = ask[..200].to_vec();
    other[60] ^= 1;
    other[30] ^= 1;
    assert!(name_of(&tell(&[turn(ToServer, &other)]).0).is_empty());
}

#[test]
fn a_retry_changes_the_keys() {
    let hello = hello("mcp.example.test", 300);
    let again = Head {
        destination: SERVER_ID,
        token: b"the token that the server gave",
        ..FROM_CLIENT
    };
    let sent_back = retry(&Head {
        token: again.token,
        ..FROM_SERVER
    });
    let third = b"\x01\x02\x03\x04\x05";
    let server = Head {
        source: third,
        ..FROM_SERVER
    };
    let turns = [
        turn(ToServer, &flight(&FROM_CLIENT, &hello, &[])[0]),
        turn(ToClient, &sent_back),
        turn(ToServer, &first(&again, SERVER_ID, 1, &crypto(0, &hello))),
        turn(ToClient, &answered(&server, SERVER_ID)),
    ];
    for skipped in 0..3 {
        let (told, step) = tell(&turns[skipped..]);
        let told: Vec<&String> = told.iter().filter(|line| *line != "swap").collect();
        assert_eq!(told.len(), 2, "from {skipped}: {told:?}");
        assert_eq!(step, OPAQUE);
    }
}

#[test]
fn a_client_comes_back_with_another_version() {
    let hello = hello("mcp.example.test", 300);
    let mut foreign = first(
        &Head {
            version: 0x1a2a_3a4a,
            ..FROM_CLIENT
        },
        ORIGIN,
        0,
        &crypto(0, &hello),
    );
    foreign[1..5].copy_from_slice(&0x1a2a_3a4a_u32.to_be_bytes());
    let other = b"\x11\x22\x33\x44\x55\x66\x77\x88\x99";
    let client = Head {
        version: V2,
        destination: other,
        ..FROM_CLIENT
    };
    let turns = [
        turn(ToServer, &foreign),
        turn(ToClient, &negotiation(&FROM_SERVER, &[0x5a6a_7a8a, V1, V2])),
        turn(ToServer, &first(&client, other, 0, &crypto(0, &hello))),
        turn(
            ToClient,
            &answered(
                &Head {
                    version: V2,
                    ..FROM_SERVER
                },
                other,
            ),
        ),
    ];
    let (told, step) = tell(&turns);
    assert_eq!(
        (name_of(&told), told.len(), step),
        (vec!["mcp.example.test".to_owned()], 2, OPAQUE)
    );
    // RFC 9368: the server answers in another version, and the keys keep their origin.
    let server = Head {
        version: V2,
        ..FROM_SERVER
    };
    let client = Head {
        version: V2,
        destination: SERVER_ID,
        ..FROM_CLIENT
    };
    let long = self::hello("mcp.example.test", 1_500);
    let turns = [
        turn(ToServer, &flight(&FROM_CLIENT, &long, &[1_000])[0]),
        turn(ToClient, &initial(&server, ORIGIN, By::Server, 0, &[2, 0, 0, 0, 0])),
        turn(ToServer, &first(&client, ORIGIN, 1, &crypto(1_000, &long[1_000..]))),
        turn(ToClient, &answered(&server, ORIGIN)),
    ];
    let (told, step) = tell(&turns);
    assert_eq!((told.len(), step), (2, OPAQUE), "{told:?}");
}

#[test]
fn early_data_is_passed_over() {
    let hello = hello("mcp.example.test", 300);
    let early = opaque(&FROM_CLIENT, 1, 200);
    let coalesced = [
        initial(&FROM_CLIENT, ORIGIN, By::Client, 0, &crypto(0, &hello)),
        early.clone(),
    ]
    .concat();
    let (told, _) = tell(&[turn(ToServer, &early), turn(ToServer, &coalesced)]);
    assert_eq!(name_of(&told), ["mcp.example.test"]);
}

#[test]
fn two_attempts_on_one_flow_are_both_told() {
    let decoy = &flight(&FROM_CLIENT, &hello("decoy.example.test", 300), &[])[0];
    let other = Head {
        destination: b"\x09\x08\x07\x06\x05\x04\x03\x02",
        ..FROM_CLIENT
    };
    let mut body = hello("mcp.example.test", 300);
    body[10] ^= 1;
    let real = first(&other, other.destination, 0, &crypto(0, &body));
    let (told, _) = tell(&[turn(ToServer, decoy), turn(ToServer, &real)]);
    assert_eq!(name_of(&told), ["decoy.example.test", "mcp.example.test"]);
}

#[test]
fn bulk_is_bypassed_early() {
    let ask = turn(ToServer, &flight(&FROM_CLIENT, &hello("mcp.example.test", 300), &[])[0]);
    let data = turn(ToServer, &[&[0x4f][..], SERVER_ID, &[0x77; 40]].concat());
    let (count, step) = (1..)
        .map(|count| {
            let turns: Vec<Turn> = [ask.clone()]
                .into_iter()
                .chain(std::iter::repeat_n(data.clone(), count))
                .collect();
            (count, tell(&turns).1)
        })
        .find(|(_, step)| *step != Step::Continue)
        .unwrap();
    assert!(
        count <= 8 && step == OPAQUE,
        "one-sided: after {count} datagrams, {step:?}"
    );
    let handshake = turn(ToClient, &opaque(&FROM_SERVER, 2, 100));
    let (told, step) = tell(&std::iter::repeat_n(handshake, 40).collect::<Vec<_>>());
    assert_eq!((told.len(), step), (0, OPAQUE), "no hello: encrypted all the same");
}

/// The start of datagrams of other protocols, filled up to many lengths.
#[test]
fn look_alikes_are_not_quic() {
    let mut dtls = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100];
    dtls.extend([7; 100]);
    let starts: [(&str, &[u8]); 16] = [
        ("DTLS", &dtls),
        ("DTLS 1.3", &[0x2f, 1, 2, 3, 4]),
        ("WireGuard, initiation", &[1, 0, 0, 0, 9, 8, 7, 6]),
        ("WireGuard, data", &[4, 0, 0, 0, 9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("STUN", &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]),
        ("TURN channel", &[0x40, 0, 0, 100]),
        ("RTP", &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]),
        ("RTCP", &[0x81, 200, 0, 6, 0, 0, 0, 1]),
        ("OpenVPN, reset", &[0x38, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0]),
        ("OpenVPN, data", &[0x48, 0, 0, 1, 0, 0, 0, 1]),
        (
            "Source engine",
            &[0xff, 0xff, 0xff, 0xff, b'T', b'S', b'o', b'u', b'r', b'c', b'e'],
        ),
        ("version 1 of something else", &[0xc1, 0, 0, 0, 1]),
        ("a count of one", &[0xc1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]),
        ("zeros", &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("text", b"INVITE sip:bob@example.test SIP/2.0\r\n"),
        ("upper case", b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"),
    ];
    for (name, start) in starts {
        for port in [443, 8_443] {
            for length in (start.len()..start.len() + 70).chain([1_199, 1_200, 1_252, 1_400]) {
                let datagrams = (0..40_u8).map(|count| {
                    let mut datagram = start.to_vec();
                    datagram.resize(length, count);
                    datagram.push(count.wrapping_mul(97));
                    turn(if count % 3 == 0 { ToClient } else { ToServer }, &datagram)
                });
                let look = Sample {
                    ports: [40_000, port],
                    ..sample("", Vec::new())
                };
                let turns: Vec<Turn> = datagrams.cycle().take(400).collect();
                assert_eq!(
                    listen(&PROTOCOL, &look, &turns),
                    (vec![], UNKNOWN),
                    "{name}, {length}, {port}"
                );
            }
        }
    }
}

#[test]
fn random_datagrams_are_not_quic() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let length = 1 + random.below(1_400);
        let mut datagram: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        datagram[0] |= 0x80;
        let (told, step) = tell(&[turn(ToServer, &datagram)]);
        assert!(told.is_empty() && step != OPAQUE, "{datagram:?}");
    }
}

/// Short headers alone: on the port of HTTPS they are told by what changes and what does not.
#[test]
fn what_is_joined_midway_is_told_where_it_can_be() {
    let mut random = Random(3);
    let mut datagrams = |protected: bool, random_end: bool| -> Vec<Turn> {
        (0..300)
            .map(|count: u16| {
                let mut datagram = vec![0x40 | if protected { random.next() as u8 & 0x3f } else { 0x08 }];
                datagram.extend(SERVER_ID);
                datagram.extend(count.to_be_bytes());
                datagram.extend((0..60).map(|_| if random_end { random.next() as u8 } else { 3 }));
                turn(ToServer, &datagram)
            })
            .collect()
    };
    for (port, protected, random_end, expected) in [
        (443, true, true, OPAQUE),
        (443, false, true, UNKNOWN),
        (443, true, false, UNKNOWN),
        (4_433, true, true, UNKNOWN),
    ] {
        let look = Sample {
            ports: [40_000, port],
            ..sample("", Vec::new())
        };
        let (told, step) = listen(&PROTOCOL, &look, &datagrams(protected, random_end));
        assert_eq!((told, step), (vec![], expected), "{port} {protected} {random_end}");
    }
}

/// From packets to the report: a lookup by QUIC, and the flow among those that could not be read.
#[test]
fn the_report_names_the_endpoint() {
    let hello = hello("mcp.linear.app", 1_800);
    let mut frames: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut send = |up: bool, payload: &[u8]| {
        let (client, server) = (([10, 0, 0, 9], 40_000), ([203, 0, 113, 5], 443));
        let (from, to) = if up { (client, server) } else { (server, client) };
        frames.push((1_795_168_800_000_000_000 + frames.len() as i64, udp(from, to, payload)));
    };
    flight(&FROM_CLIENT, &hello, &[1_000])
        .iter()
        .for_each(|it| send(true, it));
    send(false, &answered(&FROM_SERVER, ORIGIN));
    for _ in 0..50 {
        send(false, &[&[0x4f][..], &[0x77; 1_200]].concat());
    }
    let report = run::frames(&frames);
    let lookup = &report["lookups"][0];
    assert_eq!(
        (&lookup["name"], &lookup["via"]),
        (&"mcp.linear.app".into(), &"quic-sni".into())
    );
    assert_eq!(report["servers"][0]["encryption"], "quic");
    let blind = &report["capture"]["blind"];
    assert_eq!(blind["encrypted_flows"], 1);
    assert!(blind["encrypted_bytes"].as_u64().unwrap() > 60_000);
}
