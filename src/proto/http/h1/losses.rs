//! What is lost, and what must be told of the rest.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use super::conversations::{C, RPC, S, check};
use super::talk::run;
use crate::model::chunk::Data;
use crate::stream::layer::Step;

#[test]
fn what_breaks_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n";
    let (begin, tail) = RPC.split_at(17);
    check(
        "the connection ends",
        &[(S, head), (S, begin), (S, "END")],
        &["< - 200 | http | cut 7 {\"jsonrpc\":\"2.0\","],
        Step::Continue,
    );
    check(
        "a gap inside",
        &[
            (S, head),
            (S, begin),
            (S, "GAP 4"),
            (S, &tail[4..]),
            (S, "HTTP/1.1 204 No\r\n\r\n"),
        ],
        &[
            "< - 200 | http | cut 7 {\"jsonrpc\":\"2.0\",",
            "< - 204 | http | absent",
        ],
        Step::Continue,
    );
    check(
        "a gap over the end",
        &[(S, head), (S, "GAP 25")],
        &["< - 200 | http | absent"],
        Step::Desync,
    );
    check("a gap in a head", &[(S, &head[..15]), (S, "GAP 1")], &[], Step::Desync);
    check(
        "a gap between messages",
        &[(C, "GET / HTTP/1.1\r\n\r\n"), (C, "GAP 9")],
        &["> Get / 0 | http | absent"],
        Step::Desync,
    );
    check(
        "a gap in chunk data",
        &[
            (
                S,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n20\r\n",
            ),
            (S, "data: {\n\n"),
            (S, "GAP 10"),
            (S, "x\n\ndata: }\n\n0"),
            (S, "\r\n0\r\n\r\n"),
        ],
        &[
            "< - 200 | http | absent",
            "< - 200 | message | whole {",
            "< - 200 | message | whole }",
        ],
        Step::Continue,
    );
    check(
        "nonsense for a head",
        &[(C, "GET / HTTP/1.1\r\n\r\nnonsense\r\n\r\n")],
        &["> Get / 0 | http | absent"],
        Step::Desync,
    );
    check(
        "joined in the middle of a body",
        &[
            (S, "...rest of something"),
            (S, "GAP 9"),
            (S, "HTTP/1.1 204 No\r\n\r\n"),
        ],
        &["< - 204 | http | absent"],
        Step::Continue,
    );
}

/// A whole answer is lost, and that is told late: the next one is not taken for it.
#[test]
fn lost_answers_take_only_themselves_away() {
    let [one, two, three] = ["/1", "/2", "/3"].map(|target| format!("GET {target} HTTP/1.1\r\n\r\n"));
    let answer = |status: u16| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
    let asked = |target: &str| format!("> Get {target} 0 | http | absent");
    let told = |target: &str, status: u16| format!("< Get {target} {status} | http | absent");
    check(
        "told behind the next request",
        &[
            (C, &one),
            (C, &two),
            (S, "GAP 99"),
            (S, &answer(201)),
            (C, &three),
            (S, &answer(202)),
        ],
        &[
            &asked("/1"),
            &asked("/2"),
            &told("/2", 201),
            &asked("/3"),
            &told("/3", 202),
        ],
        Step::Continue,
    );
    check(
        "told before it, and the next request is lost too",
        &[
            (C, &one),
            (S, "GAP 99"),
            (S, &answer(201)),
            (C, &three),
            (S, &answer(202)),
        ],
        &[&asked("/1"), "< - 201 | http | absent", &asked("/3"), &told("/3", 202)],
        Step::Continue,
    );
    check(
        "a request is lost",
        &[
            (C, &one),
            (S, &answer(200)),
            (S, &answer(201)),
            (C, "GAP 99"),
            (C, &three),
            (S, &answer(202)),
        ],
        &[
            &asked("/1"),
            &told("/1", 200),
            "< - 201 | http | absent",
            &asked("/3"),
            &told("/3", 202),
        ],
        Step::Continue,
    );
    check(
        "the end of one and the next",
        &[
            (C, &one),
            (S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"),
            (C, &two),
            (C, &three),
            (S, "GAP 99"),
            (S, &answer(203)),
        ],
        &[
            &asked("/1"),
            &asked("/2"),
            &asked("/3"),
            "< Get /1 200 | http | absent",
            &told("/3", 203),
        ],
        Step::Continue,
    );
    // Nobody knows which of them is lost when they were sent without waiting.
    check(
        "pipelined",
        &[(C, &one), (C, &two), (S, &answer(200)), (C, &three), (S, "GAP 9")],
        &[&asked("/1"), &asked("/2"), &told("/1", 200), &asked("/3")],
        Step::Desync,
    );
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n";
    let chunk = "f\r\ndata: {\"a\":1}\n\n\r\n";
    let events = [
        (C, one.as_str()),
        (S, head),
        (S, chunk),
        (S, "GAP"),
        (S, "f\r\ndata: {\"b\":2}\n\n\r\n0\r\n\r\n"),
        (C, &two),
    ];
    let events = events.map(|(dir, text)| match text {
        "GAP" => (dir, Data::Gap(99)),
        _ => (dir, Data::Bytes(text.as_bytes())),
    });
    let expect = [
        asked("/1"),
        "< Get /1 200 | http | absent".into(),
        "< Get /1 200 | message | whole {\"a\":1}".into(),
        "< Get /1 200 | message | whole {\"b\":2}".into(),
        asked("/2"),
    ];
    assert_eq!(
        run(&events),
        (expect.to_vec(), Step::Continue),
        "chunks of an event stream"
    );
}

#[test]
fn torn_heads_are_evidence_and_so_are_the_bodies_behind_them() {
    let bytes = |dir, text: &'static str| (dir, Data::Bytes(text.as_bytes()));
    let chunks = [
        bytes(C, "POST /mcp HTTP/1.1\r\nHost: h\r\nAcce"),
        (C, Data::Gap(99)),
        bytes(C, "{\"jsonrpc\":\"2.0\",\"id\":1,"),
        (C, Data::Gap(20)),
        bytes(S, "HTTP/1.1 200 OK\r\nDate: now\r\nConte"),
        (S, Data::Gap(99)),
        bytes(S, "25\r\nevent: message\ndata: {\"id\":1,"),
        (S, Data::Gap(10)),
        bytes(S, "d\r\ndata: {\"id\"}\n\r\n1\r\n\n\r\n0\r\n\r\n"),
        bytes(C, "POST /mcp HTTP/1.1\r\nHost: h\r\nAcce"),
        (C, Data::Gap(99)),
        bytes(C, "{\"jsonrpc\":\"2.0\"}"),
        bytes(S, "HTTP/1.1 202 OK\r\nDate: now\r\nConte"),
        (S, Data::Gap(9)),
        bytes(C, "GET /x HTTP/1.1\r\n\r\n"),
        bytes(S, "HTTP/1.1 204 OK\r\n\r\n"),
    ];
    let expect = [
        "> Post /mcp 0 | http | cut 0 {\"jsonrpc\":\"2.0\",\"id\":1,",
        "< Post /mcp 200 | http | absent",
        "< Post /mcp 200 | message | cut 0 {\"id\":1,",
        "< Post /mcp 200 | message | whole {\"id\"}",
        "> Post /mcp 202 | http | cut 0 {\"jsonrpc\":\"2.0\"}",
        "< Post /mcp 202 | http | absent",
        "> Get /x 0 | http | absent",
        "< Get /x 204 | http | absent",
    ];
    assert_eq!(run(&chunks), (expect.map(str::to_owned).to_vec(), Step::Continue));
}
