//! Frames of HTTP/3 by hand: pieces of any size, sections that wait, gaps, and streams of other kinds.

use super::*;
use crate::model::message::Body;
use crate::proto::http::h1::talk::env;
use crate::stream::layer::Output;

use Direction::{ToClient, ToServer};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// A frame; lengths below 64 or of two bytes.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap() | 0x4000;
    [&[kind][..], &length.to_be_bytes(), payload].concat()
}

/// A section of fields that are written out.
fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 0];
    for (name, value) in fields {
        match name.len() {
            length @ 0..7 => out.push(0x20 | length as u8),
            length => out.extend([0x27, (length - 7) as u8]),
        }
        out.extend(name.bytes());
        out.push(value.len() as u8);
        out.extend(value.bytes());
    }
    out
}

fn request() -> Vec<u8> {
    let head = [
        (":method", "POST"),
        (":path", "/mcp"),
        (":authority", "h"),
        ("content-type", "application/json"),
    ];
    frame(1, &section(&head))
}

fn response() -> Vec<u8> {
    frame(1, &section(&[(":status", "200"), ("content-type", "application/json")]))
}

/// What is told of these pieces.
fn tell(pieces: &[(Id, Direction, Data<'_>)]) -> Vec<String> {
    let env = env();
    let mut told = Vec::new();
    let mut http = Http3::new(&env);
    let mut above = None;
    let mut listener = |output: Output<'_>| match output {
        Output::Message(message) => {
            let transaction = message.transaction.unwrap();
            let path = transaction.request.as_ref().map_or("-", |request| &request.target);
            let status = transaction.response.as_ref().map_or(0, |response| response.status);
            let body = match message.body {
                Body::Absent => "absent".to_owned(),
                Body::Cut { head, .. } => format!("cut {}", String::from_utf8_lossy(head)),
                Body::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            };
            told.push(format!("{} {path} {status} {body}", message.dir.index()));
        }
        other => told.push(format!("{other:?}")),
    };
    for (lane, dir, data) in pieces {
        let chunk = Chunk {
            at: Stamp::default(),
            dir: *dir,
            lane: *lane,
            data: *data,
        };
        let step = http.push(chunk, &mut Up::new(&env, &mut listener, &mut above));
        assert_eq!(step, Step::Continue);
        if http.lanes.is_empty() {
            assert_eq!(http.waiting, 0);
        }
    }
    told
}

fn expected() -> [String; 2] {
    [format!("0 /mcp 0 {CALL}"), format!("1 /mcp 200 {CALL}")]
}

#[test]
fn streams_become_exchanges_however_they_are_cut() {
    let up = [request(), frame(0x21, b"grease"), frame(0, CALL.as_bytes())].concat();
    let (head, tail) = CALL.as_bytes().split_at(9);
    let down = [response(), frame(0, head), frame(0, b""), frame(0, tail)].concat();
    for size in [1, 2, 7, 1_000] {
        let mut pieces = Vec::new();
        for id in [0, 4] {
            pieces.extend(up.chunks(size).map(|piece| (id, ToServer, Data::Bytes(piece))));
            pieces.push((id, ToServer, Data::End));
            pieces.extend(down.chunks(size).map(|piece| (id, ToClient, Data::Bytes(piece))));
            pieces.push((id, ToClient, Data::End));
        }
        assert_eq!(tell(&pieces), [expected(), expected()].concat(), "by {size}");
    }
}

#[test]
fn a_head_beyond_the_bound_hides_no_body() {
    let long = env().head_max_bytes as u32 + 1;
    let head = [&[1][..], &(0x8000_0000 | long).to_be_bytes(), &vec![0; long as usize]].concat();
    let bytes = [head, frame(0, CALL.as_bytes())].concat();
    let talk = [
        (0, ToServer, Data::Bytes(&bytes[..])),
        (0, ToServer, Data::End),
        (0, ToClient, Data::Bytes(&bytes[..])),
        (0, ToClient, Data::End),
    ];
    let expect = [
        "Shed(1)".to_owned(),
        format!("0  0 {CALL}"),
        "Shed(1)".to_owned(),
        format!("1  0 {CALL}"),
    ];
    assert_eq!(tell(&talk), expect);
}

#[test]
fn a_section_waits_for_its_insertions() {
    let settings = [&[0][..], &frame(4, &[1, 0x40, 220])].concat();
    let encoder = [&[2, 0x3f, 0xbd, 0x01, 0xc1, 4][..], b"/mcp"].concat();
    // Required insert count 1, base 1; the newest entry, then the method.
    let mut head = vec![2, 0, 0x80, 0xc0 | 20];
    head.extend(&section(&[("content-type", "application/json")])[2..]);
    let up = [frame(1, &head), frame(0, CALL.as_bytes())].concat();
    let waits = [
        (3, ToClient, Data::Bytes(&settings[..])),
        (0, ToServer, Data::Bytes(&up[..])),
        (0, ToServer, Data::End),
        (2, ToServer, Data::Bytes(&encoder[..])),
    ];
    assert_eq!(tell(&waits), [expected()[0].clone()]);
    let in_order = [waits[0], waits[3], waits[1], waits[2]];
    assert_eq!(tell(&in_order), [expected()[0].clone()]);
    // What waits for a lost stream goes on without it.
    let lost = [waits[0], waits[1], waits[2], (2, ToServer, Data::Gap(10))];
    assert_eq!(tell(&lost), [format!("0  0 {CALL}")]);
}

#[test]
fn a_gap_takes_only_what_it_hit() {
    let (head, tail) = CALL.as_bytes().split_at(20);
    let up = [request(), frame(0, CALL.as_bytes())].concat();
    let before = &up[..up.len() - tail.len()];
    let body = [
        (0, ToServer, Data::Bytes(before)),
        (0, ToServer, Data::Gap(5)),
        (0, ToServer, Data::Bytes(&tail[5..])),
        (0, ToServer, Data::End),
    ];
    let told = tell(&body);
    assert!(told.len() == 1 && told[0].starts_with(&format!("0 /mcp 0 cut {}", String::from_utf8_lossy(head))));
    let whole = [(4, ToServer, Data::Bytes(&up[..])), (4, ToServer, Data::End)];
    let down = [response(), frame(0, CALL.as_bytes())].concat();
    for gap in [1, 1_000_000] {
        let mut pieces = vec![(0, ToServer, Data::Bytes(&up[..4])), (0, ToServer, Data::Gap(gap))];
        pieces.extend(body.iter().skip(2));
        pieces.extend(whole);
        pieces.extend([(0, ToClient, Data::Bytes(&down[..])), (0, ToClient, Data::End)]);
        let told = tell(&pieces);
        assert!(told.contains(&expected()[0]), "{told:?}");
        assert_eq!(
            told.last(),
            Some(&format!("1  200 {CALL}")),
            "the answer to what was lost"
        );
    }
}

/// A packet may say that a body of 2^61 bytes is missing.
#[test]
fn a_gap_of_any_size_costs_the_same() {
    let huge = 1_u64 << 61;
    let head = &CALL.as_bytes()[..20];
    let up = [&request()[..], &[0, 0xe0, 0, 0, 0, 0, 0, 0, 0], head].concat();
    for missing in [huge, huge + 1, (1 << 62) - 1] {
        let pieces = [
            (0, ToServer, Data::Bytes(&up[..])),
            (0, ToServer, Data::Gap(missing)),
            (0, ToServer, Data::End),
        ];
        let told = tell(&pieces);
        assert!(told.len() == 1 && told[0].starts_with("0 /mcp 0 cut {"), "{told:?}");
    }
}

#[test]
fn other_streams_are_passed_over() {
    let junk = [0x7f; 300];
    let mut pieces = Vec::new();
    for (id, dir, first) in [
        (2, ToServer, 0x03),
        (3, ToClient, 0x01),
        (6, ToServer, 0x21),
        (7, ToClient, 0x00),
    ] {
        pieces.push((id, dir, vec![first]));
        pieces.push((id, dir, junk.to_vec()));
    }
    pieces.push((8, ToServer, [&[0x40, 0x41, 4][..], b"GET / HTTP/1.1"].concat()));
    pieces.push((1, ToClient, [request(), frame(0, CALL.as_bytes())].concat()));
    let borrowed: Vec<_> = pieces
        .iter()
        .map(|(id, dir, bytes)| (*id, *dir, Data::Bytes(&bytes[..])))
        .collect();
    assert_eq!(tell(&borrowed), Vec::<String>::new());
}

/// The packet with the insertions was lost: nothing of their stream is ever seen.
#[test]
fn insertions_that_were_lost_are_not_waited_for() {
    let env = env();
    let mut http = Http3::new(&env);
    let (mut told, mut above) = (0, None);
    let mut listener = |output: Output<'_>| told += usize::from(matches!(output, Output::Message(_)));
    let mut up = Up::new(&env, &mut listener, &mut above);
    let settings = [&[0][..], &frame(4, &[1, 0x40, 220])].concat();
    let up_bytes = [frame(1, &[2, 0, 0x80, 0xc0 | 20]), frame(0, CALL.as_bytes())].concat();
    let mut push = |http: &mut Http3, lane, dir, data| {
        let at = Stamp::default();
        http.push(Chunk { at, dir, lane, data }, &mut up);
    };
    push(&mut http, 3, ToClient, Data::Bytes(&settings));
    push(&mut http, 0, ToServer, Data::Bytes(&up_bytes));
    push(&mut http, 0, ToServer, Data::End);
    assert_eq!(http.waiting, 1);
    http.lose(ToServer);
    for _ in 1..WAITING_MAX_PACKETS {
        http.packet(Stamp::default(), &mut up);
    }
    assert_eq!(http.waiting, 1, "they may be on their way");
    http.packet(Stamp::default(), &mut up);
    assert_eq!(http.waiting, 0);
    http.push(
        Chunk {
            at: Stamp::default(),
            dir: ToServer,
            lane: 4,
            data: Data::Bytes(&up_bytes),
        },
        &mut up,
    );
    assert_eq!(http.waiting, 0);
    assert_eq!(told, 1);
}

/// However many requests are open, or hold heads that are not whole.
#[test]
fn the_table_outlives_requests_that_had_to_go() {
    let settings = [&[0][..], &frame(4, &[1, 0x40, 220])].concat();
    let encoder = [&[2, 0x3f, 0xbd, 0x01, 0xc1, 4][..], b"/mcp"].concat();
    let mut head = vec![2, 0, 0x80, 0xc0 | 20];
    head.extend(&section(&[("content-type", "application/json")])[2..]);
    let up = [frame(1, &head), frame(0, CALL.as_bytes())].concat();
    let part = [&[1, 0x4f, 0xff][..], &[0; 4_000]].concat();
    for (begun, part) in [(LANES_MAX, &up[..3]), (HELD_MAX_BYTES / 4_000 + 1, &part[..])] {
        let mut pieces = vec![
            (3, ToClient, Data::Bytes(&settings[..])),
            (2, ToServer, Data::Bytes(&encoder[..])),
        ];
        pieces.extend((1..=begun as Id).map(|number| (4 * number, ToServer, Data::Bytes(part))));
        let last = 4 * (begun as Id + 1);
        pieces.extend([(last, ToServer, Data::Bytes(&up[..])), (last, ToServer, Data::End)]);
        let told = tell(&pieces);
        assert!(told.iter().any(|line| line.starts_with("Shed")), "{begun}");
        assert_eq!(told.last(), Some(&expected()[0]), "{begun}");
    }
}
