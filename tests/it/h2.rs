//! HTTP/2 through the whole program, and samples of it for the tests that split and tear conversations: frames by hand,
//! heads with entries of the static and the dynamic table.

use shadowtap::model::net::Direction::{ToClient, ToServer};

use crate::conversations::{
    CALL as ASKED, FOUND, INITIALIZE, INITIALIZED, LIST, SESSION, TOOLS, WELCOME, here, streamable,
};
use crate::run;
use crate::scenarios::essence;
use crate::splits::{Piece, Sample, Turn};
use crate::talk::{self, Act, PLAIN, Script, UNKIND};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const REPLY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// A frame (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field with a new name; `0x40` inserts it, 0 does not (RFC 7541, section 6.2).
pub(crate) fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    [vec![first], text(name), text(value)].concat()
}

/// A block of fields, each inserted into the dynamic table.
fn inserted(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| literal(0x40, name, value))
        .collect()
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

fn ack() -> Vec<u8> {
    frame(4, 1, 0, b"")
}

fn opening() -> Vec<Turn> {
    let client = [PREFACE, &settings(), &frame(8, 0, 0, &[0, 1, 0, 0])].concat();
    vec![
        (ToServer, Piece::Bytes(client)),
        (ToClient, Piece::Bytes([settings(), ack()].concat())),
        (ToServer, Piece::Bytes(ack())),
    ]
}

/// Conversations of HTTP/2.
pub(crate) fn samples() -> Vec<Sample> {
    let sample = |name, turns: &[(_, Vec<u8>)]| Sample {
        name,
        turns: opening()
            .into_iter()
            .chain(turns.iter().map(|(dir, bytes)| (*dir, Piece::Bytes(bytes.clone()))))
            .collect(),
        from_start: true,
        ports: [40_000, 8000],
    };
    let request = [
        vec![0x83, 0x86],
        inserted(&[(":path", "/mcp"), (":authority", "mcp.example.test"), JSON]),
    ]
    .concat();
    // Path, authority and type by their places in the table.
    let again = [0x83, 0x86, 0xc0, 0xbf, 0xbe];
    let answer = [vec![0x88], inserted(&[JSON])].concat();
    let call = |id, block: &[u8]| [frame(1, 4, id, block), frame(0, 1, id, CALL.as_bytes())].concat();
    let reply = |id, block: &[u8]| [frame(1, 4, id, block), frame(0, 1, id, REPLY.as_bytes())].concat();
    let event = format!("event: message\ndata: {REPLY}\n\n");
    let (first, second) = event.split_at(20);
    let padded = [&[5, 0x80, 0, 0, 0, 9, 0x88][..], &inserted(&[JSON]), &[0; 5]].concat();
    let (head, rest) = request.split_at(12);
    vec![
        sample(
            "JSON",
            &[
                (ToServer, call(1, &request)),
                (ToClient, reply(1, &answer)),
                (ToServer, [call(3, &again), call(5, &again)].concat()),
                (ToClient, [reply(5, &[0x88, 0xbe]), reply(3, &[0x88, 0xbe])].concat()),
            ],
        ),
        sample(
            "events beside an answer",
            &[
                (
                    ToServer,
                    frame(1, 5, 1, &[&[0x82, 0x86][..], &inserted(&[(":path", "/sse")])].concat()),
                ),
                (
                    ToClient,
                    frame(
                        1,
                        4,
                        1,
                        &[&[0x88][..], &inserted(&[("content-type", "text/event-stream")])].concat(),
                    ),
                ),
                (ToClient, frame(0, 0, 1, first.as_bytes())),
                (ToServer, call(3, &request)),
                (ToClient, reply(3, &answer)),
                (
                    ToClient,
                    [frame(0, 0, 1, second.as_bytes()), frame(0, 1, 1, b"")].concat(),
                ),
            ],
        ),
        sample(
            "padding, continuation, interim answers, promises, trailers",
            &[
                (
                    ToServer,
                    [
                        frame(1, 0, 1, head),
                        frame(9, 4, 1, rest),
                        frame(0, 1, 1, CALL.as_bytes()),
                    ]
                    .concat(),
                ),
                (ToClient, frame(1, 4, 1, &literal(0, ":status", "103"))),
                (
                    ToClient,
                    frame(5, 4, 1, &[&[0, 0, 0, 2, 0x82][..], &inserted(&[("a", "b")])].concat()),
                ),
                (ToClient, [frame(1, 0x2c, 1, &padded), frame(6, 0, 0, &[1; 8])].concat()),
                (
                    ToClient,
                    frame(0, 8, 1, &[&[2][..], REPLY.as_bytes(), &[0; 2]].concat()),
                ),
                (ToClient, frame(1, 5, 1, &inserted(&[("x-trailer", "1")]))),
                (ToServer, frame(7, 0, 0, &[0; 8])),
            ],
        ),
    ]
}

/// The usual session, in both directions with what later heads refer to inserted by the first.
fn session() -> Script {
    let later = [
        literal(0, "mcp-session-id", &SESSION[16..48]),
        literal(0, "mcp-protocol-version", "2025-11-25"),
    ]
    .concat();
    let first = inserted(&[
        (":path", "/mcp"),
        (":authority", "10.9.0.5:8000"),
        JSON,
        ("user-agent", "test/1"),
        ("accept", "application/json, text/event-stream"),
    ]);
    let again = [&[0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe][..], &later].concat();
    let ask = |id, block: &[u8], body: &str| [frame(1, 4, id, block), frame(0, 1, id, body.as_bytes())].concat();
    let tell = |id, body: &str| [frame(1, 4, id, &[0x88, 0xbe]), frame(0, 1, id, body.as_bytes())].concat();
    let welcome = [
        vec![0x88],
        literal(0, "mcp-session-id", &SESSION[16..48]),
        inserted(&[JSON]),
    ]
    .concat();
    let client = [
        PREFACE,
        &settings(),
        &ask(1, &[&[0x83, 0x86][..], &first].concat(), INITIALIZE),
    ]
    .concat();
    Script::default()
        .then(here(), Act::Open)
        .up(here(), client)
        .down(here(), [settings(), ack(), ask(1, &welcome, WELCOME)].concat())
        .up(here(), [ack(), ask(3, &again, INITIALIZED)].concat())
        .down(here(), frame(1, 5, 3, &literal(0, ":status", "202")))
        .up(here(), ask(5, &again, LIST))
        .down(here(), tell(5, TOOLS))
        .up(here(), ask(7, &again, ASKED))
        .down(here(), tell(7, FOUND))
        .then(here(), Act::Close)
}

#[test]
fn it_says_what_http_1_says() {
    let plain = essence(&run::frames(&talk::packets(&streamable(here()), &PLAIN)));
    for (name, wire) in UNKIND {
        let report = run::frames(&talk::packets(&session(), wire));
        assert_eq!(plain, essence(&report), "{name}");
    }
}

/// What was lost takes with it what referred to it, and not the messages: they prove themselves.
#[test]
fn a_lost_head_hides_no_later_message() {
    for lost in [3, 5] {
        let mut script = session();
        let act = &mut script.acts[lost].1;
        let Act::Up(bytes) = act.clone() else {
            panic!("not sent by the client")
        };
        *act = Act::UnseenUp(bytes);
        let report = run::frames(&talk::packets(&script, &PLAIN));
        let servers = report["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 1, "{servers:#?}");
        assert_eq!(
            (&servers[0]["server_name"], &servers[0]["path"]),
            (&"shelf".into(), &"/mcp".into())
        );
        assert_eq!(servers[0]["tools"].as_array().unwrap().len(), 1, "{servers:#?}");
        assert_eq!(servers[0]["messages"]["responses"], 3, "{servers:#?}");
        assert_eq!(servers[0]["messages"]["by_method"]["tools/call"], 1, "{servers:#?}");
    }
}

/// Joined in the middle: neither direction knows what is in its table.
#[test]
fn a_late_start_reads_the_bodies() {
    let mut script = session();
    script.acts.drain(..5);
    let report = run::frames(&talk::packets(&script, &PLAIN));
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(
        (servers.len(), &servers[0]["evidence"]),
        (1, &"message".into()),
        "{report:#}"
    );
    assert_eq!(servers[0]["tools"].as_array().unwrap().len(), 1, "{servers:#?}");
    assert_eq!(servers[0]["messages"]["by_method"]["tools/call"], 1, "{servers:#?}");
}
