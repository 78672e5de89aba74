//! What looks like MCP and is not: no server is ever invented from it, whatever form the bodies have.

mod talks;

use serde_json::Value;

use crate::conversations::here;
use crate::http::{FORMS, Form, answer, events, post};
use crate::talk::{self, Act, PLAIN, Script};
use crate::{raw, run, websocket};

/// Name, request bodies or whole requests, and what is answered.
struct Negative {
    name: &'static str,
    exchanges: &'static [Exchange],
}

/// Request target, request body, status, content type, answer.
type Exchange = (&'static str, &'static str, &'static str, &'static str, &'static str);

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const OK: &str = "200 OK";

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"probe","version":"1"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
const PAGE: &str = "<!doctype html><html><body><h1>It works</h1></body></html>";

const NEGATIVES: &[Negative] = &[
    Negative {
        name: "language server over HTTP",
        exchanges: &[
            (
                "/lsp",
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":77,"clientInfo":{"name":"editor","version":"1.9"},"rootUri":"file:///src","capabilities":{"textDocument":{}}}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"hoverProvider":true},"serverInfo":{"name":"langd","version":"0.4"}}}"#,
            ),
            (
                "/lsp",
                r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
                "202 Accepted",
                JSON,
                "{}",
            ),
            (
                "/lsp",
                r#"{"jsonrpc":"2.0","id":2,"method":"textDocument/hover","params":{"position":{"line":1}}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":2,"result":{"contents":"fn main()"}}"#,
            ),
        ],
    },
    Negative {
        name: "Ethereum",
        exchanges: &[
            (
                "/",
                r#"[{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]},{"jsonrpc":"2.0","id":2,"method":"eth_call","params":[{"to":"0x00"},"latest"]}]"#,
                OK,
                JSON,
                r#"[{"jsonrpc":"2.0","id":1,"result":"0x10d4f"},{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}]"#,
            ),
            (
                "/",
                r#"{"jsonrpc":"2.0","id":3,"method":"eth_getBlockByNumber","params":["latest",false]}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":3,"result":{"number":"0x10d4f","transactions":[]}}"#,
            ),
        ],
    },
    Negative {
        name: "agent to agent",
        exchanges: &[
            (
                "/a2a",
                r#"{"jsonrpc":"2.0","id":"1","method":"message/send","params":{"message":{"role":"user","messageId":"m1","parts":[{"kind":"text","text":"hello"}]}}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":"1","result":{"kind":"task","id":"t1","contextId":"c1","status":{"state":"completed"}}}"#,
            ),
            (
                "/a2a",
                r#"{"jsonrpc":"2.0","id":"2","method":"tasks/get","params":{"id":"t1"}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":"2","result":{"kind":"task","id":"t1","status":{"state":"completed"},"artifacts":[]}}"#,
            ),
            (
                "/a2a",
                r#"{"jsonrpc":"2.0","id":"3","method":"tasks/cancel","params":{"id":"t1"}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":"3","error":{"code":-32002,"message":"Task cannot be canceled"}}"#,
            ),
        ],
    },
    Negative {
        name: "agent client protocol",
        exchanges: &[
            (
                "/acp",
                r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":1,"clientCapabilities":{"fs":{"readTextFile":true}},"clientInfo":{"name":"editor","version":"1"}}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true},"agentInfo":{"name":"agent","version":"1"},"authMethods":[]}}"#,
            ),
            (
                "/acp",
                r#"{"jsonrpc":"2.0","id":1,"method":"session/prompt","params":{"sessionId":"s1","prompt":[{"type":"text","text":"hi"}]}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":1,"result":{"stopReason":"end_turn"}}"#,
            ),
        ],
    },
    Negative {
        name: "generic JSON-RPC",
        exchanges: &[
            (
                "/rpc",
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":1,"result":true}"#,
            ),
            (
                "/rpc",
                r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
            ),
            (
                "/rpc",
                r#"{"jsonrpc":"2.0","id":3,"method":"tools.list","params":{}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":3,"result":{"tools":["hammer","saw"]}}"#,
            ),
            (
                "/rpc",
                r#"{"jsonrpc":"2.0","id":4,"method":"warehouse/list","params":{"cursor":"x"}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":4,"result":{"resources":[{"name":"bolt"}],"nextCursor":"y"}}"#,
            ),
        ],
    },
    Negative {
        name: "chat completions with tool calls",
        exchanges: &[(
            "/v1/chat/completions",
            r#"{"model":"m","stream":true,"tools":[{"type":"function","function":{"name":"get_weather","description":"Weather","parameters":{"type":"object"}}}],"messages":[{"role":"user","content":"hi"}]}"#,
            OK,
            JSON,
            r#"{"id":"c1","object":"chat.completion","choices":[{"message":{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{}"}}]}}]}"#,
        )],
    },
    Negative {
        name: "documents that quote MCP",
        exchanges: &[
            (
                "/docs",
                r#"{"text":"POST {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"} to the server"}"#,
                OK,
                HTML,
                r#"<pre>{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":{"type":"object"}}]}}</pre>"#,
            ),
            (
                "/docs.json",
                "{}",
                OK,
                JSON,
                r#"{"examples":[{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}],"title":"MCP"}"#,
            ),
            (
                "/docs.json",
                "{}",
                OK,
                JSON,
                r#"{"example":"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}"}"#,
            ),
        ],
    },
    Negative {
        name: "REST at /mcp",
        exchanges: &[
            (
                "/mcp",
                r#"{"method":"tools/list","params":{}}"#,
                OK,
                JSON,
                r#"{"result":{"tools":[{"name":"pump","inputSchema":{}}]}}"#,
            ),
            (
                "/mcp",
                r#"{"method":"initialize","id":1}"#,
                OK,
                JSON,
                r#"{"id":1,"result":{"serverInfo":{"name":"panel"}}}"#,
            ),
        ],
    },
    Negative {
        name: "a client that asks a web server, 404",
        exchanges: &[
            ("/mcp", INITIALIZE, "404 Not Found", HTML, PAGE),
            ("/mcp", LIST, "404 Not Found", HTML, PAGE),
        ],
    },
    Negative {
        name: "a client that asks a web server, 405",
        exchanges: &[
            ("/", INITIALIZE, "405 Method Not Allowed", HTML, PAGE),
            (
                "/",
                LIST,
                "405 Method Not Allowed",
                JSON,
                r#"{"error":"method not allowed"}"#,
            ),
        ],
    },
    Negative {
        name: "a client that asks a web server, 200",
        exchanges: &[
            ("/mcp", INITIALIZE, OK, HTML, PAGE),
            ("/mcp", LIST, OK, HTML, PAGE),
            ("/mcp", LIST, OK, JSON, r#"{"status":"ok"}"#),
        ],
    },
    Negative {
        name: "a client that asks a JSON-RPC service of another kind",
        exchanges: &[
            (
                "/rpc",
                LIST,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#,
            ),
            (
                "/rpc",
                r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}"#,
                OK,
                JSON,
                r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"Method not found"}}"#,
            ),
        ],
    },
];

/// Every finding that says more than what was looked up is about an MCP server.
fn assert_silent(name: &str, form: &str, script: &Script) {
    let report = run::frames(&talk::packets(script, &PLAIN));
    assert_eq!(report["servers"], Value::Array(vec![]), "{name}, {form}");
    assert_eq!(report["findings"], Value::Array(vec![]), "{name}, {form}");
    let flows = report["capture"]["flows"].as_u64().unwrap();
    assert!(flows > 0, "{name}, {form}: nothing was replayed");
}

#[test]
fn whatever_the_form_of_the_answer() {
    for Negative { name, exchanges } in NEGATIVES {
        for form in FORMS {
            let mut script = Script::default().then(here(), Act::Open);
            for (target, asked, status, kind, told) in *exchanges {
                if matches!(form, Form::UntilClose) {
                    script = script.then(here(), Act::Close).then(here(), Act::Open);
                }
                script = script
                    .up(here(), post(target, "", asked))
                    .down(here(), answer(form, status, kind, told));
            }
            assert_silent(name, &format!("{form:?}"), &script.then(here(), Act::Close));
        }
    }
}

#[test]
fn as_events_of_a_stream() {
    for Negative { name, exchanges } in NEGATIVES {
        let mut script = Script::default().then(here(), Act::Open);
        for (target, asked, _, _, told) in *exchanges {
            // A web server gives no events; a page inside one is data as any other.
            script = script.up(here(), post(target, "", asked)).down(
                here(),
                events("", &[told, r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#, "[DONE]"]),
            );
        }
        assert_silent(name, "events", &script.then(here(), Act::Close));
    }
}

/// The messages of every look-alike, whoever carries them: raw on TCP or behind a WebSocket.
fn messages() -> Vec<(&'static str, Vec<(bool, &'static str)>)> {
    let over_http = NEGATIVES.iter().map(|Negative { name, exchanges }| {
        let both = exchanges
            .iter()
            .flat_map(|(_, asked, _, _, told)| [(true, *asked), (false, *told)]);
        (*name, both.collect())
    });
    let alone = talks::TALKS.iter().map(|(name, talk)| {
        let said = talk.iter().map(|text| match text.strip_prefix('>') {
            Some(asked) => (true, asked),
            None => (false, *text),
        });
        (*name, said.collect())
    });
    over_http.chain(alone).collect()
}

#[test]
fn raw_and_behind_a_websocket() {
    for (name, messages) in messages() {
        for form in raw::FORMS {
            assert_silent(name, &format!("{form:?}"), &raw::connection(here(), form, &messages));
        }
        for form in websocket::FORMS {
            assert_silent(
                name,
                &format!("WebSocket, {form:?}"),
                &websocket::connection(here(), form, &messages),
            );
        }
    }
}

/// The same joined midway, and with a packet lost.
#[test]
fn raw_in_parts() {
    for (name, messages) in messages() {
        for script in [
            raw::connection(here(), raw::Form::Lines, &messages),
            raw::connection(here(), raw::Form::Pretty, &messages),
            raw::connection(here(), raw::Form::Framed, &messages),
            websocket::connection(here(), websocket::Form::Plain, &messages),
        ] {
            let frames = talk::packets(&script, &talk::Wire { mss: 120, ..PLAIN });
            for start in 0..frames.len() {
                let report = run::frames(&frames[start..]);
                assert_eq!(report["servers"], Value::Array(vec![]), "{name} from packet {start}");
                let mut rest = frames.clone();
                rest.remove(start);
                let report = run::frames(&rest);
                assert_eq!(report["servers"], Value::Array(vec![]), "{name} without packet {start}");
            }
        }
    }
}

/// Joined midway, or with one direction only, a look-alike is no server either.
#[test]
fn in_parts() {
    for Negative { name, exchanges } in NEGATIVES {
        let mut script = Script::default().then(here(), Act::Open);
        for (target, asked, status, kind, told) in *exchanges {
            script = script
                .up(here(), post(target, "", asked))
                .down(here(), answer(Form::Plain, status, kind, told));
        }
        let frames = talk::packets(&script, &talk::Wire { mss: 200, ..PLAIN });
        for start in 0..frames.len() {
            let report = run::frames(&frames[start..]);
            assert_eq!(report["servers"], Value::Array(vec![]), "{name} from packet {start}");
            let mut rest = frames.clone();
            rest.remove(start);
            let report = run::frames(&rest);
            assert_eq!(report["servers"], Value::Array(vec![]), "{name} without packet {start}");
        }
        for side in [talk::Side::ToClient, talk::Side::ToServer] {
            let report = run::frames(&talk::packets(&script, &talk::Wire { side, ..PLAIN }));
            assert_eq!(report["servers"], Value::Array(vec![]), "{name}, {side:?}");
        }
    }
}
