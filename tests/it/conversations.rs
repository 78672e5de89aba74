//! Conversations as data, and what each shows.

use crate::http::{LAST_CHUNK, connection, empty, event, events, events_head, get_events, json, post};
use crate::talk::{Act, Ends, Script, ends};
use crate::{raw, websocket};

/// A conversation and what it shows.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) script: Script,
    pub(crate) expect: Expect,
}

/// What the one server of a scenario looks like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) transport: &'static str,
    pub(crate) name: Option<&'static str>,
    pub(crate) revisions: &'static [&'static str],
    pub(crate) tools: &'static [&'static str],
    /// Requests, responses, errors, notifications.
    pub(crate) counts: [u64; 4],
    pub(crate) clients: &'static [&'static str],
}

pub(crate) const SESSION: &str = "Mcp-Session-Id: 0af7651916cd43dd8448eb211c80319c\r\n";
pub(crate) const VERSION: &str = "MCP-Protocol-Version: 2025-11-25\r\n";
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"desk","version":"1.2"}}}"#;
pub(crate) const WELCOME: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"shelf","version":"3.0"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub(crate) const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
pub(crate) const TOOLS: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"find_book","description":"Finds a book.","inputSchema":{"type":"object"}}]}}"#;
pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"find_book","arguments":{"title":"Dune"}}}"#;
pub(crate) const FOUND: &str = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"shelf 4"}]}}"#;
pub(crate) const PROGRESS: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#;

pub(crate) const USUAL: Expect = Expect {
    transport: "streamable-http",
    name: Some("shelf"),
    revisions: &["2025-11-25"],
    tools: &["find_book"],
    counts: [3, 3, 0, 1],
    clients: &["desk"],
};

pub(crate) fn here() -> Ends {
    ends(("10.9.0.20", 41_000), ("10.9.0.5", 8000))
}

fn other(port: u16) -> Ends {
    let Ends { client, server } = here();
    Ends {
        client: (client.0, port),
        server,
    }
}

fn in_session(body: &str) -> String {
    post("/mcp", &format!("{SESSION}{VERSION}"), body)
}

pub(crate) fn all() -> Vec<Scenario> {
    let scenario = |name, script, expect| Scenario { name, script, expect };
    vec![
        scenario("Streamable HTTP with JSON answers", streamable(here()), USUAL),
        scenario(
            "Streamable HTTP with event streams",
            connection(
                here(),
                &[
                    (&post("/mcp", "", INITIALIZE), &events(SESSION, &[WELCOME])),
                    (&in_session(INITIALIZED), &empty("202 Accepted", "")),
                    (&in_session(LIST), &events("", &[TOOLS])),
                    (&in_session(CALL), &events("", &[PROGRESS, PROGRESS, FOUND])),
                ],
            ),
            Expect {
                counts: [3, 3, 0, 3],
                ..USUAL
            },
        ),
        scenario(
            "Streamable HTTP over IPv6",
            streamable(ends(("fd09::20", 41_000), ("fd09::5", 8000))),
            USUAL,
        ),
        scenario("stateless session", stateless(), STATELESS),
        scenario("HTTP+SSE pair", http_sse(), HTTP_SSE),
        scenario("tools/list with pagination", paginated(), PAGINATED),
        scenario("batch", batch(), BATCH),
        scenario("errors with null ids", null_ids(), NULL_IDS),
        scenario("redirect", redirected(), REDIRECTED),
        scenario("port reuse", streamable(here()).chain(streamable(here())), TWICE),
        scenario(
            "port reuse after a reset",
            Script {
                acts: streamable(here())
                    .acts
                    .into_iter()
                    .map(|(ends, act)| {
                        let act = if matches!(act, Act::Close) { Act::Reset } else { act };
                        (ends, act)
                    })
                    .chain(streamable(here()).acts)
                    .collect(),
            },
            TWICE,
        ),
        scenario("chunked body without an end", endless(), USUAL),
        scenario("a request for each connection", scattered(), USUAL),
        scenario("pipelined", pipelined(), USUAL),
    ]
    .into_iter()
    .chain(raw::scenarios())
    .chain(websocket::scenarios())
    .collect()
}

const TWICE: Expect = Expect {
    counts: [6, 6, 0, 2],
    ..USUAL
};

/// The usual session on one connection.
pub(crate) fn streamable(ends: Ends) -> Script {
    connection(
        ends,
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&in_session(INITIALIZED), &empty("202 Accepted", "")),
            (&in_session(LIST), &json("200 OK", "", TOOLS)),
            (&in_session(CALL), &json("200 OK", "", FOUND)),
        ],
    )
}

fn scattered() -> Script {
    connection(
        other(1),
        &[(&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME))],
    )
    .chain(connection(
        other(2),
        &[(&in_session(INITIALIZED), &empty("202 Accepted", ""))],
    ))
    .chain(connection(other(3), &[(&in_session(LIST), &json("200 OK", "", TOOLS))]))
    .chain(connection(other(4), &[(&in_session(CALL), &json("200 OK", "", FOUND))]))
}

fn pipelined() -> Script {
    let asked = [in_session(INITIALIZED), in_session(LIST), in_session(CALL)].concat();
    let told = [
        empty("202 Accepted", ""),
        json("200 OK", "", TOOLS),
        json("200 OK", "", FOUND),
    ]
    .concat();
    connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&asked, &told),
        ],
    )
}

fn endless() -> Script {
    let stream = [events_head(""), event("message", PROGRESS), event("message", FOUND)].concat();
    let mut script = connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&in_session(LIST), &json("200 OK", "", TOOLS)),
            (&in_session(CALL), &stream),
        ],
    );
    script.acts.pop();
    script.then(here(), Act::Reset)
}

const STATELESS: Expect = Expect {
    revisions: &["2026-07-28"],
    counts: [3, 3, 0, 0],
    ..USUAL
};

fn stateless() -> Script {
    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"desk","version":"1.2"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let ask = |id: u32, method: &str, name: &str, params: &str| {
        let extra = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{META}}}}}"#);
        post("/mcp", &extra, &body)
    };
    let discovered = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"shelf","version":"3.0"}}}}"#;
    let tools = TOOLS.replace(r#""id":1"#, r#""id":2"#);
    let found = FOUND.replace(r#""id":2"#, r#""id":3"#);
    connection(
        here(),
        &[
            (&ask(1, "server/discover", "", ""), &json("200 OK", "", discovered)),
            (&ask(2, "tools/list", "", ""), &json("200 OK", "", &tools)),
            (
                &ask(
                    3,
                    "tools/call",
                    "Mcp-Name: find_book\r\n",
                    r#""name":"find_book","arguments":{},"#,
                ),
                &json("200 OK", "", &found),
            ),
        ],
    )
}

const HTTP_SSE: Expect = Expect {
    transport: "http-sse",
    ..USUAL
};

/// The event stream on one connection, the POSTs on another, in turn.
pub(crate) fn http_sse() -> Script {
    let (stream, posts) = (other(1), other(2));
    let place = "/messages/?session_id=5ad1f3f0c7e24f0e9a3c9d0f6a2b7c11";
    let mut script = Script::default()
        .then(stream, Act::Open)
        .up(stream, get_events("/sse", ""))
        .down(stream, events_head("") + &event("endpoint", place))
        .then(posts, Act::Open);
    for (asked, told) in [
        (INITIALIZE, Some(WELCOME)),
        (INITIALIZED, None),
        (LIST, Some(TOOLS)),
        (CALL, Some(FOUND)),
    ] {
        script = script
            .up(posts, post(place, "", asked))
            .down(posts, empty("202 Accepted", ""));
        if let Some(told) = told {
            script = script.down(stream, event("message", told));
        }
    }
    script
        .then(posts, Act::Close)
        .down(stream, LAST_CHUNK)
        .then(stream, Act::Close)
}

const PAGINATED: Expect = Expect {
    tools: &["find_book", "lend_book"],
    counts: [3, 3, 0, 0],
    ..USUAL
};

fn paginated() -> Script {
    let first = TOOLS.replace(r#"}]}}"#, r#"}],"nextCursor":"p2"}}"#);
    let more = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"cursor":"p2"}}"#;
    let second = TOOLS
        .replace("find_book", "lend_book")
        .replace(r#""id":1"#, r#""id":2"#);
    connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&in_session(LIST), &json("200 OK", "", &first)),
            (&in_session(more), &json("200 OK", "", &second)),
        ],
    )
}

const BATCH: Expect = Expect {
    revisions: &["2025-03-26"],
    ..USUAL
};

fn batch() -> Script {
    let old = |text: &str| text.replace("2025-11-25", "2025-03-26");
    connection(
        here(),
        &[
            (
                &post("/mcp", "", &old(INITIALIZE)),
                &json("200 OK", SESSION, &old(WELCOME)),
            ),
            (
                &post("/mcp", SESSION, &format!("[{INITIALIZED},{LIST}, {CALL}]")),
                &json("200 OK", "", &format!("[{FOUND},\n{TOOLS}]")),
            ),
        ],
    )
}

const NULL_IDS: Expect = Expect {
    counts: [2, 4, 2, 0],
    ..USUAL
};

fn null_ids() -> Script {
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#;
    connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&in_session("{nonsense"), &json("400 Bad Request", "", error)),
            (&in_session(LIST), &json("200 OK", "", TOOLS)),
            (&in_session("{}"), &json("400 Bad Request", "", error)),
        ],
    )
}

const REDIRECTED: Expect = Expect {
    counts: [4, 2, 0, 0],
    ..USUAL
};

/// A client repeats its request at the place it is sent to: its own repeat counts.
fn redirected() -> Script {
    let moved = empty("307 Temporary Redirect", "Location: /mcp/\r\n");
    connection(
        here(),
        &[
            (&post("/mcp", "", INITIALIZE), &moved),
            (&post("/mcp/", "", INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&in_session(LIST), &moved),
            (
                &post("/mcp/", &format!("{SESSION}{VERSION}"), LIST),
                &json("200 OK", "", TOOLS),
            ),
        ],
    )
}
