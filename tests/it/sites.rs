//! Which messages are one server's: several behind one address, one behind several paths, and the old transport in all
//! the forms that servers, proxies and bridges give it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::conversations::{CALL, FOUND, INITIALIZE, INITIALIZED, LIST, TOOLS, WELCOME};
use crate::http::{LAST_CHUNK, connection, empty, event, events_head, get_events, json, post};
use crate::run;
use crate::talk::{self, Act, Ends, PLAIN, Script, ends};

fn at(port: u16) -> Ends {
    ends(("10.9.0.20", port), ("10.9.0.5", 8000))
}

/// One line for each server: path, transport, name, requests, responses, sessions.
fn lines(script: &Script) -> String {
    lines_of(&run::frames(&talk::packets(script, &PLAIN)))
}

fn lines_of(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut out = String::new();
    for server in report["servers"].as_array().unwrap() {
        let count = |kind: &str| server["messages"][kind].as_u64().unwrap();
        writeln!(
            out,
            "{} {} {} {} {} {}",
            text(&server["path"]),
            text(&server["transport"]),
            text(&server["server_name"]),
            count("requests"),
            count("responses"),
            server["sessions"]
        )
        .unwrap();
    }
    out
}

/// The usual session at that path, with a server of that name and tool.
fn session(port: u16, path: &str, name: &str, tool: &str) -> Script {
    let id = format!("Mcp-Session-Id: 0af7651916cd43dd8448eb211c8{port:05}\r\n");
    let ask = |body: &str| post(path, &id, body);
    let named = |text: &str| text.replace("shelf", name).replace("find_book", tool);
    connection(
        at(port),
        &[
            (&post(path, "", INITIALIZE), &json("200 OK", &id, &named(WELCOME))),
            (&ask(INITIALIZED), &empty("202 Accepted", "")),
            (&ask(LIST), &json("200 OK", "", &named(TOOLS))),
            (&ask(&named(CALL)), &json("200 OK", "", FOUND)),
        ],
    )
}

/// The old transport: what the stream's path is, what it announces, and where the client posts to.
struct Old<'o> {
    stream: &'o str,
    announced: &'o str,
    posted: &'o str,
    name: &'o str,
    /// Made of each message's text on the way back.
    rewrite: fn(&str) -> String,
    /// The GET and what is announced were captured.
    greeting: bool,
}

const OLD: Old<'static> = Old {
    stream: "/sse",
    announced: "/messages?sessionId=5ad1f3f0-c7e2-4f0e-9a3c-9d0f6a2b7c11",
    posted: "/messages?sessionId=5ad1f3f0-c7e2-4f0e-9a3c-9d0f6a2b7c11",
    name: "shelf",
    rewrite: str::to_owned,
    greeting: true,
};

fn old(port: u16, how: &Old<'_>) -> Script {
    let (stream, posts) = (at(port), at(port + 1));
    let greeting = [
        (Act::Up as fn(Vec<u8>) -> Act, get_events(how.stream, "")),
        (Act::Down, events_head("") + &event("endpoint", how.announced)),
    ];
    let mut script = Script::default();
    if how.greeting {
        script = script.then(stream, Act::Open);
        for (act, text) in greeting {
            script = script.then(stream, act(text.into_bytes()));
        }
    }
    script = script.then(posts, Act::Open);
    for (asked, told) in [
        (INITIALIZE, Some(WELCOME)),
        (INITIALIZED, None),
        (LIST, Some(TOOLS)),
        (CALL, Some(FOUND)),
    ]
    .into_iter()
    .skip(if how.greeting { 0 } else { 2 })
    {
        script = script
            .up(posts, post(how.posted, "", &(how.rewrite)(asked)))
            .down(posts, empty("202 Accepted", ""));
        if let Some(told) = told {
            let told = (how.rewrite)(&told.replace("shelf", how.name));
            script = script.down(stream, event("message", &told));
        }
    }
    script
        .then(posts, Act::Close)
        .down(stream, LAST_CHUNK)
        .then(stream, Act::Close)
}

#[test]
fn two_paths_of_one_address() {
    let two = session(41_000, "/a/mcp", "shelf", "find_book").chain(session(42_000, "/b/mcp", "desk", "write"));
    assert_eq!(
        lines(&two),
        "/a/mcp streamable-http shelf 3 3 1\n/b/mcp streamable-http desk 3 3 1\n"
    );
    let same = session(41_000, "/a/mcp", "shelf", "find_book").chain(session(42_000, "/b/mcp", "shelf", "find_book"));
    assert_eq!(
        lines(&same),
        "/a/mcp streamable-http shelf 6 6 2\n",
        "entries differ where identity or tools do"
    );
    // One connection, as a proxy keeps it to its upstream, or a client to its gateway.
    let acts = two
        .acts
        .iter()
        .filter(|(_, act)| matches!(act, Act::Up(_) | Act::Down(_)));
    let mut one = Script::default().then(at(41_000), Act::Open);
    for (_, act) in acts {
        one = one.then(at(41_000), act.clone());
    }
    assert_eq!(
        lines(&one.then(at(41_000), Act::Close)),
        "/a/mcp streamable-http shelf 3 3 1\n/b/mcp streamable-http desk 3 3 1\n"
    );
}

#[test]
fn forms_of_the_old_transport() {
    const USUAL: &str = "/sse http-sse shelf 3 3 1\n";
    let uuid = "5ad1f3f0-c7e2-4f0e-9a3c-9d0f6a2b7c11";
    let absolute = format!("http://10.9.0.5:8000/messages?sessionId={uuid}");
    let other_host = format!("http://mcp.internal:3001/messages?sessionId={uuid}");
    let in_path = format!("/messages/{uuid}");
    let relative = format!("messages?sessionId={uuid}");
    let prefixed = format!("/api/messages?sessionId={uuid}");
    let escaped = format!("/messages%2F?session_id={uuid}");
    for (what, how, expect) in [
        ("usual", Old { ..OLD }, USUAL),
        (
            "an absolute address",
            Old {
                announced: &absolute,
                ..OLD
            },
            USUAL,
        ),
        (
            "an absolute address of another host",
            Old {
                announced: &other_host,
                ..OLD
            },
            USUAL,
        ),
        (
            "a relative address",
            Old {
                announced: &relative,
                ..OLD
            },
            USUAL,
        ),
        (
            "the session in the path",
            Old {
                announced: &in_path,
                posted: &in_path,
                ..OLD
            },
            USUAL,
        ),
        (
            "a proxy adds a prefix to what is posted",
            Old {
                posted: &prefixed,
                ..OLD
            },
            USUAL,
        ),
        (
            "a proxy takes a prefix off what is posted",
            Old {
                announced: &prefixed,
                ..OLD
            },
            USUAL,
        ),
        (
            "escapes",
            Old {
                announced: &escaped,
                posted: &escaped,
                ..OLD
            },
            USUAL,
        ),
        (
            "one path for both",
            Old {
                announced: &format!("/sse?sessionId={uuid}"),
                posted: &format!("/sse?sessionId={uuid}"),
                ..OLD
            },
            USUAL,
        ),
        (
            "ids that a bridge rewrites",
            Old {
                rewrite: |text| {
                    ["0", "1", "2"].iter().fold(text.to_owned(), |text, id| {
                        text.replace(
                            &format!("\"id\":{id},"),
                            &format!("\"id\":\"0f8fad5b-d9cb-469f-a165:{id}\","),
                        )
                    })
                },
                ..OLD
            },
            USUAL,
        ),
        (
            "the inspector's proxy",
            Old {
                stream: "/sse?transportType=sse&url=http%3A%2F%2Flocalhost%3A3001%2Fsse",
                announced: &format!("/message?sessionId={uuid}"),
                posted: &format!("/message?sessionId={uuid}"),
                ..OLD
            },
            USUAL,
        ),
    ] {
        assert_eq!(lines(&old(41_000, &how)), expect, "{what}");
    }
}

/// The stream was open before the capture began; only the POSTs are whole. Without its head the stream is taken for one of
/// the newer transport, which comes first.
#[test]
fn the_old_transport_joined_midway() {
    let script = old(41_000, &Old { greeting: false, ..OLD });
    assert_eq!(lines(&script), "/messages streamable-http - 2 2 1\n");
}

#[test]
fn two_clients_and_reconnects_of_the_old_transport() {
    let second = "/messages?sessionId=77777777-c7e2-4f0e-9a3c-9d0f6a2b7c11";
    let again = Old {
        announced: second,
        posted: second,
        ..OLD
    };
    let one_after_the_other = old(41_000, &OLD).chain(old(42_000, &again));
    assert_eq!(lines(&one_after_the_other), "/sse http-sse shelf 6 6 2\n");
    // At once: act by act.
    let (one, two) = (old(41_000, &OLD), old(42_000, &again));
    let acts = one
        .acts
        .into_iter()
        .zip(two.acts)
        .flat_map(|(one, two)| [one, two])
        .collect();
    assert_eq!(lines(&Script { acts }), "/sse http-sse shelf 6 6 2\n");
}

/// Two servers of the old transport behind one address, each with its own paths, and with paths that a proxy has cut.
#[test]
fn two_old_servers_of_one_address() {
    let ids = [
        "5ad1f3f0-c7e2-4f0e-9a3c-9d0f6a2b7c11",
        "77777777-c7e2-4f0e-9a3c-9d0f6a2b7c11",
    ];
    let both = |one: (&str, &str, &str), two: (&str, &str, &str)| {
        let script = |port, name, (stream, announced, posted): (&str, &str, &str), id: &str| {
            let how = Old {
                stream,
                announced: &format!("{announced}?sessionId={id}"),
                posted: &format!("{posted}?sessionId={id}"),
                name,
                ..OLD
            };
            old(port, &how)
        };
        lines(&script(41_000, "shelf", one, ids[0]).chain(script(42_000, "desk", two, ids[1])))
    };
    let expect = "/a/sse http-sse shelf 3 3 1\n/b/sse http-sse desk 3 3 1\n";
    assert_eq!(
        both(
            ("/a/sse", "/a/messages", "/a/messages"),
            ("/b/sse", "/b/messages", "/b/messages")
        ),
        expect
    );
    assert_eq!(
        both(
            ("/a/sse", "/messages", "/a/messages"),
            ("/b/sse", "/messages", "/b/messages")
        ),
        expect
    );
    assert_eq!(
        both(
            ("/a/sse", "/x/messages", "/a/messages"),
            ("/b/sse", "/y/messages", "/b/messages")
        ),
        expect
    );
}

/// Both transports at one server, as many offer them while clients move on.
#[test]
fn both_transports_of_one_server() {
    let script = session(43_000, "/mcp", "shelf", "find_book").chain(old(41_000, &OLD));
    assert_eq!(lines(&script), "/mcp streamable-http shelf 6 6 2\n");
}
