//! Conversations written out, with what must be told of them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::frame::PREFACE;
use super::talk::{ACK, SETTINGS, block, data_frame, frame, head_frame, json, opening, post, run, told};
use crate::model::chunk::Data;
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::proto::http::HTTP_1;
use crate::proto::http::h1::talk::{env, line, listen};
use crate::stream::layer::Step;

const RPC: &str = r#"{"jsonrpc":"2.0","id":1}"#;
const C: Direction = ToServer;
const S: Direction = ToClient;

fn check(name: &str, talk: &[(Direction, Vec<u8>)], expect: &[&str]) {
    assert_eq!(told(talk), expect, "{name}");
    let bytes: Vec<_> = talk
        .iter()
        .flat_map(|(dir, bytes)| bytes.iter().map(|byte| (*dir, vec![*byte])))
        .collect();
    assert_eq!(told(&bytes), expect, "{name} by bytes");
}

#[test]
fn streams_interleave() {
    let (one, three) = (post(1, RPC), post(3, RPC));
    let (first, second) = RPC.split_at(9);
    check(
        "answers in another order, and in parts",
        &[
            (C, one),
            (C, three),
            (
                S,
                head_frame(3, false, &[(":status", "200"), ("content-type", "application/json")]),
            ),
            (S, data_frame(3, false, first.as_bytes())),
            (S, json(1, RPC)),
            (S, data_frame(3, false, second.as_bytes())),
            (S, data_frame(3, true, b"")),
        ],
        &[
            &format!("> Post /1 0 | http | whole {RPC}"),
            &format!("> Post /3 0 | http | whole {RPC}"),
            &format!("< Post /1 200 | http | whole {RPC}"),
            &format!("< Post /3 200 | http | whole {RPC}"),
        ],
    );
}

#[test]
fn what_frames_may_have_in_and_between_them() {
    let fields = block(&[
        (":method", "POST"),
        (":path", "/a"),
        ("content-type", "application/json"),
    ]);
    let (one, rest) = fields.split_at(5);
    let (two, three) = rest.split_at(7);
    let padded = [&[3, 0x80, 0, 0, 0, 200][..], one, &[0; 3]].concat();
    let padded_data = [&[2][..], RPC.as_bytes(), &[0; 2]].concat();
    let promise = [&[0, 0, 0, 2][..], &block(&[(":method", "GET"), (":path", "/pushed")])].concat();
    check(
        "padding, priority, continuation, promises, extensions",
        &[
            (C, frame(1, 0x28, 1, &padded)),
            (C, frame(9, 0, 1, two)),
            (C, frame(9, 0, 1, b"")),
            (C, frame(9, 4, 1, three)),
            (C, frame(0, 0x9, 1, &padded_data)),
            (C, frame(2, 0, 7, &[0, 0, 0, 1, 9])),
            (S, frame(6, 0, 0, &[7; 8])),
            (S, frame(0x0c, 0xff, 0, b"an origin")),
            (S, frame(5, 4, 1, &promise)),
            (S, head_frame(2, false, &[(":status", "200")])),
            (S, data_frame(2, true, RPC.as_bytes())),
            (S, head_frame(1, false, &[(":status", "100")])),
            (S, head_frame(1, false, &[(":status", "103"), ("link", "</x>")])),
            (
                S,
                head_frame(1, false, &[(":status", "200"), ("content-type", "text/html")]),
            ),
            (S, data_frame(1, false, b"<p>")),
            (S, frame(0, 0x8, 1, b"\x02\0\0")),
            (S, head_frame(1, true, &[("x-sum", "1")])),
            (S, frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])),
        ],
        &[
            &format!("> Post /a 0 | http | whole {RPC}"),
            "< Post /a 200 | http | absent",
        ],
    );
}

#[test]
fn answers_without_a_body() {
    let get = |id, method| head_frame(id, true, &[(":method", method), (":path", "/x")]);
    check(
        "HEAD, 204, 304, an empty frame",
        &[
            (C, get(1, "HEAD")),
            (C, get(3, "DELETE")),
            (C, get(5, "GET")),
            (C, get(7, "GET")),
            (S, head_frame(1, true, &[(":status", "200"), ("content-length", "5")])),
            (S, head_frame(3, true, &[(":status", "204")])),
            (S, head_frame(5, true, &[(":status", "304")])),
            (S, head_frame(7, false, &[(":status", "200")])),
            (S, data_frame(7, true, b"")),
        ],
        &[
            "> Head /x 0 | http | absent",
            "> Delete /x 0 | http | absent",
            "> Get /x 0 | http | absent",
            "> Get /x 0 | http | absent",
            "< Head /x 200 | http | absent",
            "< Delete /x 204 | http | absent",
            "< Get /x 304 | http | absent",
            "< Get /x 200 | http | absent",
        ],
    );
}

fn events_head(id: u32) -> Vec<u8> {
    head_frame(id, false, &[(":status", "200"), ("content-type", "text/event-stream")])
}

#[test]
fn events_beside_answers() {
    check(
        "a stream of events that goes on",
        &[
            (C, head_frame(1, true, &[(":method", "GET"), (":path", "/sse")])),
            (S, events_head(1)),
            (S, data_frame(1, false, b"event: message\r\ndata: {1}\r\n")),
            (C, post(3, RPC)),
            (S, json(3, RPC)),
            (S, data_frame(1, false, b"\r\ndata: {2}\r\n\r\n")),
            (C, frame(3, 0, 1, &[0, 0, 0, 8])),
            (S, data_frame(1, false, b"data: {3}\n\n")),
        ],
        &[
            "> Get /sse 0 | http | absent",
            "< Get /sse 200 | http | absent",
            &format!("> Post /3 0 | http | whole {RPC}"),
            &format!("< Post /3 200 | http | whole {RPC}"),
            "< Get /sse 200 | message | whole {1}",
            "< Get /sse 200 | message | whole {2}",
        ],
    );
}

#[test]
fn other_protocols_on_a_stream_are_not_read() {
    let connect = |id, fields: &[(&str, &str)]| head_frame(id, false, &[&[(":method", "CONNECT")], fields].concat());
    let ok = |id| head_frame(id, false, &[(":status", "200")]);
    check(
        "CONNECT, plain and for something unknown, and gRPC",
        &[
            (C, connect(1, &[(":authority", "h:443")])),
            (
                C,
                connect(
                    3,
                    &[(":protocol", "connect-udp"), (":path", "/ws"), (":authority", "h")],
                ),
            ),
            (S, ok(1)),
            (S, ok(3)),
            (C, data_frame(1, true, RPC.as_bytes())),
            (S, data_frame(3, true, RPC.as_bytes())),
            (
                C,
                head_frame(
                    5,
                    false,
                    &[
                        (":method", "POST"),
                        (":path", "/s/M"),
                        ("content-type", "application/grpc"),
                    ],
                ),
            ),
            (C, data_frame(5, true, b"\0\0\0\0\x01x")),
            (S, data_frame(1, true, b"x")),
        ],
        &[
            "> Connect h:443 0 | http | absent",
            "> Connect /ws 0 | http | absent",
            "< Connect h:443 200 | http | absent",
            "< Connect /ws 200 | http | absent",
            "> Post /s/M 0 | http | absent",
        ],
    );
}

/// A WebSocket message in one frame, which a client masks and this reader takes as it is.
fn socket_frame(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8][..], text.as_bytes()].concat()
}

#[test]
fn a_web_socket_on_a_stream() {
    let connect = |id| {
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", "/ws"),
            (":authority", "h"),
            ("sec-websocket-protocol", "mcp"),
        ];
        head_frame(id, false, &fields)
    };
    let (first, second) = (socket_frame(RPC), socket_frame("{\"id\":2}"));
    let (begin, end) = first.split_at(7);
    check(
        "messages in both directions, across frames, beside other streams",
        &[
            (C, connect(1)),
            (
                S,
                head_frame(1, false, &[(":status", "200"), ("sec-websocket-protocol", "mcp")]),
            ),
            (C, data_frame(1, false, begin)),
            (C, post(3, RPC)),
            (C, data_frame(1, false, &[end, &second].concat())),
            (S, data_frame(1, false, &first)),
            (S, data_frame(1, true, b"\x88\x00")),
            (C, connect(5)),
            (
                S,
                head_frame(5, false, &[(":status", "403"), ("content-type", "application/json")]),
            ),
            (S, data_frame(5, true, RPC.as_bytes())),
        ],
        &[
            "> Connect /ws 0 | http | absent",
            "< Connect /ws 200 | http | absent",
            &format!("> Post /3 0 | http | whole {RPC}"),
            &format!("> Connect /ws 200 | WebSocket | whole {RPC}"),
            "> Connect /ws 200 | WebSocket | whole {\"id\":2}",
            &format!("< Connect /ws 200 | WebSocket | whole {RPC}"),
            "> Connect /ws 0 | http | absent",
            &format!("< Connect /ws 403 | http | whole {RPC}"),
        ],
    );
}

fn chunks<'a>(talk: &'a [(Direction, Vec<u8>)]) -> Vec<(Direction, Data<'a>)> {
    talk.iter().map(|(dir, bytes)| (*dir, Data::Bytes(bytes))).collect()
}

fn bytes(dir: Direction, bytes: &[u8]) -> (Direction, Data<'_>) {
    (dir, Data::Bytes(bytes))
}

#[test]
fn gaps_inside_frames_leave_the_direction_in_step() {
    let opening = opening();
    let request = post(1, RPC);
    let answer = json(1, RPC);
    let data = answer.len() - RPC.len();
    let (events, next) = (events_head(3), post(5, RPC));
    let event = data_frame(3, false, b"data: {1}\n\n");
    let indexed = frame(1, 4, 7, b"\x83\x84\x41\x01h\x5f\x10application/json");
    let again = frame(1, 5, 9, b"\x83\x84\xbf\xbe");
    let mut talk = chunks(&opening);
    talk.extend([
        bytes(C, &request),
        // In a body, and from the middle of another one.
        bytes(S, &answer[..data + 15]),
        (S, Data::Gap(RPC.len() as u64 - 15)),
        bytes(S, &events),
        bytes(S, &event[..12]),
        (S, Data::Gap(4)),
        bytes(S, &event[16..]),
        bytes(S, &event),
        // In a head: what comes before the gap is read, and what it inserted is not known.
        bytes(C, &indexed[..14]),
        (C, Data::Gap(indexed.len() as u64 - 14)),
        bytes(C, &again),
        bytes(C, &next),
    ]);
    let expect = [
        &*format!("> Post /1 0 | http | whole {RPC}"),
        &format!("< Post /1 200 | http | cut {} {}", RPC.len() - 15, &RPC[..15]),
        "< - 200 | http | absent",
        "< - 200 | message | whole {1}",
        "> Post / 0 | http | absent",
        &format!("> Post /5 0 | http | whole {RPC}"),
    ];
    assert_eq!(run(&talk), (expect.map(str::to_owned).to_vec(), Step::Continue));
}

#[test]
fn gaps_beyond_a_frame() {
    let opening = opening();
    let (one, three, five) = (post(1, RPC), post(3, RPC), post(5, RPC));
    let (events, event) = (events_head(1), data_frame(1, false, b"data: {1}\n\n"));
    // Its head refers to what the gap may have changed.
    let lost = [
        frame(1, 4, 7, b"\x83\xbe\xbf\xc0\xc1"),
        data_frame(7, true, RPC.as_bytes()),
    ]
    .concat();
    let (torn, empty) = (data_frame(9, false, RPC.as_bytes()), data_frame(9, true, b""));
    let mut talk = chunks(&opening);
    talk.extend([
        bytes(C, &one),
        bytes(S, &events),
        bytes(C, &three[..20]),
        (C, Data::Gap(1000)),
        bytes(C, b"\x7f\x80\x81 in the middle of something"),
        bytes(C, &five),
        (S, Data::Gap(100)),
        bytes(S, &event),
        bytes(C, &lost),
        bytes(C, &torn),
        bytes(C, &empty),
    ]);
    let expect = [
        &*format!("> Post /1 0 | http | whole {RPC}"),
        "< Post /1 200 | http | absent",
        // Nothing is known of the head that lies half in the gap.
        "> Other  0 | http | absent",
        &format!("> Post /5 0 | http | whole {RPC}"),
        "< Post /1 200 | message | whole {1}",
        &format!("> Post  0 | http | whole {RPC}"),
        &format!("> - 0 | http | cut 0 {RPC}"),
    ];
    assert_eq!(run(&talk), (expect.map(str::to_owned).to_vec(), Step::Continue));
}

#[test]
fn joined_midway() {
    let (one, answer) = (post(1, RPC), json(1, RPC));
    let body = data_frame(3, true, RPC.as_bytes());
    let talk = [
        bytes(C, b"the end of something"),
        bytes(S, b"the end of something else"),
        bytes(C, &one),
        bytes(S, &answer),
        bytes(S, &body),
    ];
    let expect = [
        format!("> Post /1 0 | http | whole {RPC}"),
        format!("< Post /1 200 | http | whole {RPC}"),
        format!("< - 0 | http | cut 0 {RPC}"),
    ];
    assert_eq!(run(&talk), (expect.to_vec(), Step::Continue));
}

#[test]
fn one_direction_alone() {
    let start = [SETTINGS, ACK].concat();
    let (answer, events, event) = (json(1, RPC), events_head(3), data_frame(3, false, b"data: {1}\n\n"));
    let talk = [
        bytes(S, &start),
        bytes(S, &answer),
        bytes(S, &events),
        bytes(S, &event),
        (S, Data::End),
    ];
    let expect = [
        format!("< - 200 | http | whole {RPC}"),
        "< - 200 | http | absent".to_owned(),
        "< - 200 | message | whole {1}".to_owned(),
    ];
    assert_eq!(run(&talk), (expect.to_vec(), Step::Continue));
}

#[test]
fn what_ends_a_connection_is_out_of_step() {
    let opening = opening();
    for (name, wrong) in [
        ("data on the connection", data_frame(0, true, b"x")),
        ("settings of odd length", frame(4, 0, 0, b"12345")),
        (
            "another frame within a block",
            [frame(1, 0, 1, b"\x82"), data_frame(1, true, b"x")].concat(),
        ),
        ("more padding than frame", frame(1, 0xc, 1, b"\x05\x82")),
        ("a broken block", frame(1, 4, 1, b"\x80")),
        ("HTTP/1", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut talk = chunks(&opening);
        talk.push(bytes(C, &wrong));
        assert_eq!(run(&talk).1, Step::Desync, "{name}");
    }
}

#[test]
fn another_preface_is_another_connection() {
    let first = [opening(), vec![(C, post(1, RPC))]].concat();
    let second = [opening(), vec![(C, post(1, "{\"jsonrpc\":2}")), (S, json(1, RPC))]].concat();
    let talk = [chunks(&first), chunks(&second)].concat();
    let expect = [
        format!("> Post /1 0 | http | whole {RPC}"),
        "> Post /1 0 | http | whole {\"jsonrpc\":2}".to_owned(),
        format!("< Post /1 200 | http | whole {RPC}"),
    ];
    assert_eq!(run(&talk), (expect.to_vec(), Step::Continue));
}

const H2C: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";

fn upgraded(chunks: &[(Direction, Data<'_>)]) -> Vec<String> {
    let (told, step) = listen(&mut *(HTTP_1.open)(&env()), chunks);
    assert_eq!(step, Step::Continue);
    told.iter().map(line).collect()
}

#[test]
fn an_upgraded_request_is_answered_on_stream_1() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let before = "GET /before HTTP/1.1\r\n\r\n";
    let ok = "HTTP/1.1 204 No\r\n\r\n";
    let get = format!("GET /mcp HTTP/1.1\r\nMcp-Session-Id: s\r\n{H2C}\r\n");
    let post = format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{H2C}\r\n{RPC}",
        RPC.len()
    );
    let client = [PREFACE, &frame(4, 0, 0, b""), ACK, &self::post(3, RPC)].concat();
    let answer = json(3, RPC);
    let server = [&switch[..], SETTINGS, &json(1, RPC)].concat();
    for (request, heads, asked) in [
        (&get, "Get /mcp", "absent"),
        (&post, "Post /mcp", &*format!("whole {RPC}")),
    ] {
        let talk = [
            bytes(C, before.as_bytes()),
            bytes(S, ok.as_bytes()),
            bytes(C, request.as_bytes()),
            bytes(S, &server),
            bytes(C, &client),
            bytes(S, &answer),
        ];
        let expect = [
            "> Get /before 0 | http | absent".to_owned(),
            "< Get /before 204 | http | absent".to_owned(),
            format!("> {heads} 0 | http | {asked}"),
            format!("< {heads} 200 | http | whole {RPC}"),
            format!("> Post /3 0 | http | whole {RPC}"),
            format!("< Post /3 200 | http | whole {RPC}"),
        ];
        assert_eq!(upgraded(&talk), expect, "{heads}");
        let single: Vec<_> = talk
            .iter()
            .flat_map(|(dir, data)| match data {
                Data::Bytes(bytes) => bytes.chunks(1).map(|byte| (*dir, Data::Bytes(byte))).collect(),
                _ => vec![],
            })
            .collect();
        assert_eq!(upgraded(&single), expect, "{heads} by bytes");
    }
    // The server does not wait for the end of the request.
    let (head, body) = post.split_at(post.len() - 10);
    let talk = [
        bytes(C, head.as_bytes()),
        bytes(S, &server[..switch.len() + 15]),
        bytes(C, body.as_bytes()),
    ];
    let late = [bytes(C, &client), bytes(S, &server[switch.len() + 15..])];
    let expect = [
        format!("> Post /mcp 0 | http | whole {RPC}"),
        format!("> Post /3 0 | http | whole {RPC}"),
        format!("< Post /mcp 200 | http | whole {RPC}"),
    ];
    assert_eq!(upgraded(&[&talk[..], &late].concat()), expect);
}
