//! Conversations written out, with what must be told of them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::PROTOCOL;
use super::talk::{env, listen, run};
use crate::model::chunk::Data;
use crate::model::flow::Why;
use crate::model::net::Direction::{self, ToClient, ToServer};
use crate::stream::layer::Step;

/// Splits each run of bytes at every place, so that each packet carries one byte.
fn by_bytes<'a>(chunks: &[(Direction, Data<'a>)]) -> Vec<(Direction, Data<'a>)> {
    let split = |(dir, data): &(Direction, Data<'a>)| match *data {
        Data::Bytes(bytes) => bytes.chunks(1).map(|byte| (*dir, Data::Bytes(byte))).collect(),
        other => vec![(*dir, other)],
    };
    chunks.iter().flat_map(split).collect()
}

pub(super) const C: Direction = ToServer;
pub(super) const S: Direction = ToClient;
pub(super) const RPC: &str = r#"{"jsonrpc":"2.0","id":1}"#;

/// Runs a conversation whole and byte by byte. A text of `END` is the end of its direction, `GAP n` a gap.
pub(super) fn check(name: &str, talk: &[(Direction, &str)], expect: &[&str], step: Step) {
    let chunks = talk.iter().map(|(dir, text)| {
        let data = match (*text, text.strip_prefix("GAP ")) {
            ("END", _) => Data::End,
            (_, Some(bytes)) => Data::Gap(bytes.parse().unwrap()),
            _ => Data::Bytes(text.as_bytes()),
        };
        (*dir, data)
    });
    let chunks = chunks.collect::<Vec<_>>();
    let expect = (expect.iter().map(ToString::to_string).collect::<Vec<_>>(), step);
    assert_eq!(run(&chunks), expect, "{name}");
    if step == Step::Continue {
        assert_eq!(run(&by_bytes(&chunks)), expect, "{name}, byte by byte");
    }
}

#[test]
fn messages_and_their_heads() {
    let post = format!("POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{RPC}");
    check(
        "json both ways",
        &[
            (C, &post),
            (
                S,
                &format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{RPC}"),
            ),
        ],
        &[
            &format!("> Post /mcp 0 | http | whole {RPC}"),
            &format!("< Post /mcp 200 | http | whole {RPC}"),
        ],
        Step::Continue,
    );
    check(
        "an event stream that the client leaves",
        &[
            (C, &post),
            (
                S,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (S, "11\r\ndata: {\"a\":1}\r\n\r\n\r\n"),
            (S, "14\r\nevent: e\ndata: {\"b\":"),
            (C, "END"),
            (S, "END"),
        ],
        &[
            &format!("> Post /mcp 0 | http | whole {RPC}"),
            "< Post /mcp 200 | http | absent",
            "< Post /mcp 200 | message | whole {\"a\":1}",
            "< Post /mcp 200 | e | cut 0 {\"b\":",
        ],
        Step::Continue,
    );
    check(
        "100-continue, then an early answer, then keep-alive",
        &[
            (
                C,
                "\r\nPOST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            ),
            (S, "HTTP/1.1 100 Continue\r\n\r\n"),
            (S, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"),
            (C, "12345GET /b HTTP/1.1\r\n\r\n"),
            (S, "HTTP/1.1 404 Not Found\nContent-Length:0\n\n"),
        ],
        &[
            "< Post /a 413 | http | absent",
            "> Post /a 413 | http | absent",
            "> Get /b 0 | http | absent",
            "< Get /b 404 | http | absent",
        ],
        Step::Continue,
    );
    check(
        "one side only: answers",
        &[
            (S, "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted"),
            (
                S,
                &format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{RPC}"),
            ),
            (S, "END"),
        ],
        &["< - 202 | http | absent", &format!("< - 200 | http | whole {RPC}")],
        Step::Continue,
    );
    check(
        "until close",
        &[
            (C, "GET / HTTP/1.0\r\n\r\n"),
            (S, "HTTP/1.0 200 OK\r\n\r\n"),
            (S, "{\"id\""),
            (S, ":1,\"jsonrpc\":\"2.0\"}"),
            (S, "END"),
        ],
        &[
            "> Get / 0 | http | absent",
            "< Get / 200 | http | whole {\"id\":1,\"jsonrpc\":\"2.0\"}",
        ],
        Step::Continue,
    );
    check(
        "text that is JSON, a late name, and what is none",
        &[
            (
                C,
                "POST /t HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n{\"ID\":1,\"jsonrpc\":2}",
            ),
            (
                S,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
            ),
        ],
        &[
            "> Post /t 0 | http | whole {\"ID\":1,\"jsonrpc\":2}",
            "< Post /t 200 | http | absent",
        ],
        Step::Continue,
    );
}

#[test]
fn a_late_name_gives_the_rest() {
    let head = "POST /t HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n";
    let chunks = [(C, head), (C, "{\"a\":12345"), (C, ",\"jsonrpc\""), (C, ":\"2.0\",9:9")];
    let chunks = chunks.map(|(dir, text)| (dir, Data::Bytes(text.as_bytes())));
    assert_eq!(run(&chunks).0, ["> Post /t 0 | http | cut 10 ,\"jsonrpc\":\"2.0\",9:9"]);
}

#[test]
fn a_name_between_two_slices_is_found() {
    let head = "POST /t HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n";
    let body = "{\"a\":12345,\"jsonrpc\":\"2.0\",9:9";
    for at in 13..19 {
        let chunks = [head, &body[..at], &body[at..]].map(|text| (C, Data::Bytes(text.as_bytes())));
        let kept = at - 6;
        let expect = format!("> Post /t 0 | http | cut {kept} {}", &body[kept..]);
        assert_eq!(run(&chunks).0, [expect], "{at}");
    }
    let bytes = [head, body].map(|text| (C, Data::Bytes(text.as_bytes())));
    assert_eq!(
        run(&by_bytes(&bytes)).0,
        ["> Post /t 0 | http | cut 12 jsonrpc\":\"2.0\",9:9"]
    );
}

#[test]
fn a_label_hides_no_json() {
    for (kind, body, expect) in [
        ("text/html", RPC, "whole"),
        ("application/x-www-form-urlencoded", RPC, "whole"),
        ("application/octet-stream", "{\"id\":1,\"jsonrpc\":\"2.0\"}", "absent"),
        ("text/html", "{\"a\":1}", "absent"),
        ("application/x-www-form-urlencoded", "a=1", "absent"),
        ("image/png", "\u{89}PNG", "absent"),
    ] {
        let text = format!(
            "POST /t HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let body = if expect == "whole" {
            format!(" {body}")
        } else {
            String::new()
        };
        let expect = format!("> Post /t 0 | http | {expect}{body}");
        check(kind, &[(C, &text)], &[&expect], Step::Continue);
    }
    for marked in [true, false] {
        let wide: String = RPC.chars().flat_map(|char| ['\0', char]).collect();
        let accept = if marked {
            "application/json, text/event-stream"
        } else {
            "*/*"
        };
        let text = format!(
            "POST /t HTTP/1.1\r\nAccept: {accept}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n{wide}",
            wide.len()
        );
        let expect = if marked {
            format!("whole {wide}")
        } else {
            "absent".to_owned()
        };
        let chunks = [(C, Data::Bytes(text.as_bytes()))];
        assert_eq!(run(&chunks).0, [format!("> Post /t 0 | http | {expect}")]);
    }
}

#[test]
fn long_bodies_are_cut_and_passed_over() {
    let body = format!("{{\"id\":1,\"x\":\"{}\"}}", "y".repeat(100_000));
    let text = format!(
        "POST /t HTTP/1.1\r\nContent-Type: a/b+json\r\nContent-Length: {}\r\n\r\n{body}GET / HTTP/1.1\r\n\r\n",
        body.len()
    );
    let chunks = text
        .as_bytes()
        .chunks(1400)
        .map(|bytes| (C, Data::Bytes(bytes)))
        .collect::<Vec<_>>();
    let max_bytes = env().message_max_bytes;
    let expect = format!(
        "> Post /t 0 | http | cut {} {}",
        body.len() - max_bytes,
        &body[..max_bytes]
    );
    assert_eq!(run(&chunks).0, [expect.as_str(), "> Get / 0 | http | absent"]);
}

#[test]
fn heads_are_bounded() {
    let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(env().head_max_bytes));
    assert_eq!(run(&[(C, Data::Bytes(long.as_bytes()))]).1, Step::Desync);
    let chunks = long
        .as_bytes()
        .chunks(1000)
        .map(|bytes| (C, Data::Bytes(bytes)))
        .collect::<Vec<_>>();
    assert_eq!(run(&chunks).1, Step::Desync);
    let whole = format!("{long}\r\n\r\n");
    assert_eq!(run(&[(C, Data::Bytes(whole.as_bytes()))]).1, Step::Desync);
}

#[test]
fn heads_without_bodies() {
    check(
        "HEAD, 204, 304",
        &[
            (
                C,
                "HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n",
            ),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
            (S, "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n"),
        ],
        &[
            "> Head /a 0 | http | absent",
            "> Get /b 0 | http | absent",
            "> Get /c 0 | http | absent",
            "< Head /a 200 | http | absent",
            "< Get /b 204 | http | absent",
            "< Get /c 304 | http | absent",
        ],
        Step::Continue,
    );
    let chunks = [
        (
            S,
            Data::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".as_slice()),
        ),
        (S, Data::Bytes(b"HTTP/1.1 204 No\r\n\r\n".as_slice())),
    ];
    assert_eq!(
        run(&chunks).0,
        ["< - 200 | http | absent", "< - 204 | http | absent"],
        "a HEAD that was not captured"
    );
}

#[test]
fn other_protocols_are_uncovered() {
    let upgrade = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
    check(
        "granted",
        &[
            (C, upgrade),
            (C, "\u{1}early"),
            (S, "HTTP/1.1 101 Switching\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
            (C, "GET / HTTP/1.1\r\n\r\n"),
            (S, "GAP 5"),
            (S, "END"),
        ],
        &["> Get /ws 0 | http | absent", "< Get /ws 101 | http | absent"],
        Step::Bypass(Why::Unknown),
    );
    check(
        "ignored",
        &[
            (C, upgrade),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            (C, "GET /b HTTP/1.1\r\n\r\n"),
        ],
        &[
            "> Get /ws 0 | http | absent",
            "< Get /ws 200 | http | absent",
            "> Get /b 0 | http | absent",
        ],
        Step::Continue,
    );
    check(
        "CONNECT",
        &[
            (C, "CONNECT h:443 HTTP/1.1\r\n\r\n"),
            (S, "HTTP/1.1 200 OK\r\n\r\n\u{16}\u{3}"),
            (C, "\u{16}\u{3}"),
            (C, "END"),
        ],
        &[
            "> Connect h:443 0 | http | absent",
            "< Connect h:443 200 | http | absent",
        ],
        Step::Bypass(Why::Unknown),
    );
    check(
        "CONNECT refused",
        &[
            (C, "CONNECT h:443 HTTP/1.1\r\n\r\n"),
            (S, "HTTP/1.1 407 Auth\r\nContent-Length: 1\r\n\r\nx"),
            (C, "CONNECT h:444 HTTP/1.1\r\n\r\n"),
            (S, "HTTP/1.1 200 OK\r\n\r\nnot HTTP at all"),
        ],
        &[
            "> Connect h:443 0 | http | absent",
            "< Connect h:443 407 | http | absent",
            "> Connect h:444 0 | http | absent",
            "< Connect h:444 200 | http | absent",
        ],
        Step::Bypass(Why::Unknown),
    );
}

#[test]
fn messages_are_stamped_with_their_first_byte() {
    let post = "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n";
    let chunks = [
        (C, "POST /x HT"),
        (C, "TP/1.1\r\n\r\n"),
        (C, post),
        (C, &RPC[..9]),
        (C, &RPC[9..]),
    ];
    let chunks = chunks.map(|(dir, text)| (dir, Data::Bytes(text.as_bytes())));
    let (told, _) = listen(&mut *(PROTOCOL.open)(&env()), &chunks);
    assert_eq!(told.iter().map(|told| told.packet).collect::<Vec<_>>(), [1, 4]);
}

/// Java's client offers HTTP/2 on the first request of every cleartext connection, whatever its method.
#[test]
fn an_offer_on_a_request_with_a_body_changes_nothing() {
    let head = "POST /mcp HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n";
    let post = format!(
        "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{RPC}",
        RPC.len()
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{RPC}",
        RPC.len()
    );
    let told = |kind: &str, status: u16| format!("{kind} Post /mcp {status} | http | whole {RPC}");
    check(
        "offered twice",
        &[(C, &post), (S, &answer), (C, &post), (S, &answer)],
        &[&told(">", 0), &told("<", 200), &told(">", 0), &told("<", 200)],
        Step::Continue,
    );
}
