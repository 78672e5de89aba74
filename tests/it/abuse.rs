//! Requests and answers that no honest peer sends, and their honest neighbours, from packet to report.

use serde_json::Value;

use crate::conversations::{CALL, FOUND, INITIALIZE, INITIALIZED, LIST, SESSION, TOOLS, VERSION, WELCOME, here};
use crate::http::{connection, empty, json};
use crate::run;
use crate::talk::{self, Ends, PLAIN, Script, ends};

/// A POST of JSON with these fields and no others.
fn post(fields: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn report(script: &Script) -> Value {
    run::frames(&talk::packets(script, &PLAIN))
}

/// Rule and severity of the findings of one kind.
fn of_kind(report: &Value, kind: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["kind"] == kind)
        .map(|finding| {
            (
                finding["rule"].as_str().unwrap().to_owned(),
                finding["severity"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn pairs(found: &[(&str, &str)]) -> Vec<(String, String)> {
    found
        .iter()
        .map(|(rule, severity)| ((*rule).to_owned(), (*severity).to_owned()))
        .collect()
}

/// One exchange after a handshake, on a connection of its own.
fn exchange(ends: Ends, request: &str, response: &str) -> Script {
    let host = format!("Host: {}\r\n", ends.server.0);
    let hello = post(&host, INITIALIZE);
    connection(
        ends,
        &[(&hello, &json("200 OK", SESSION, WELCOME)), (request, response)],
    )
}

const CALL_2026: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"find_book","arguments":{"title":"Dune"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
const REFUSED: &str = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32020,"message":"HeaderMismatch"}}"#;

#[test]
fn fields_and_body_that_disagree() {
    let rules = |fields: &str, body: &str, answer: &str| {
        let request = post(&format!("Host: 10.9.0.5\r\n{fields}"), body);
        of_kind(&report(&exchange(here(), &request, answer)), "protocol-violation")
    };
    let found = json("200 OK", "", FOUND);
    for fields in [
        "Mcp-Method: tools/list\r\n",
        "Mcp-Method: tools/call\r\nMcp-Name: other\r\n",
        "Mcp-Method: tools/call\r\nMcp-Param-Title: Emma\r\n",
        "MCP-Protocol-Version: 2025-11-25\r\n",
    ] {
        assert_eq!(
            rules(fields, CALL_2026, &found),
            pairs(&[("header-mismatch", "low")]),
            "{fields}"
        );
        let refused = json("400 Bad Request", "", REFUSED);
        assert_eq!(rules(fields, CALL_2026, &refused), [], "{fields}");
    }
    let agreeing = "Mcp-Method: tools/call\r\nMcp-Name: find_book\r\nMcp-Param-Title: Dune\r\n";
    assert_eq!(rules(agreeing, CALL_2026, &found), []);
    let twice = CALL.replace(r#""id":2,"#, r#""id":2,"method":"tools/list","#);
    assert_eq!(rules("", &twice, &found), pairs(&[("member-twice", "low")]));
    let folded = CALL.replace("\"method\"", "\"Method\"");
    assert_eq!(rules("", &folded, &found), pairs(&[("member-case", "low")]));
    assert_eq!(rules("", &folded, &json("400 Bad Request", "", REFUSED)), []);
    assert_eq!(rules("", CALL, &found), []);
}

#[test]
fn pages_of_others() {
    let loopback = ends(("127.0.0.1", 41_000), ("127.0.0.1", 8000));
    let public = ends(("10.9.0.20", 41_000), ("8.8.8.8", 443));
    let rules = |ends: Ends, fields: &str| {
        let request = post(fields, CALL);
        let script = exchange(ends, &request, &json("200 OK", "", FOUND));
        of_kind(&report(&script), "dns-rebinding")
    };
    let high = |rule: &str| pairs(&[(rule, "high")]);
    assert_eq!(
        rules(here(), "Host: 10.9.0.5:8000\r\nOrigin: https://www.evil.example\r\n"),
        high("foreign-origin")
    );
    assert_eq!(
        rules(loopback, "Host: localhost:8000\r\nOrigin: http://evil.example:8000\r\n"),
        high("foreign-origin")
    );
    assert_eq!(
        rules(
            loopback,
            "Host: rebound.evil.example:8000\r\nOrigin: http://rebound.evil.example:8000\r\n"
        ),
        high("foreign-host")
    );
    for (ends, fields) in [
        (loopback, "Host: localhost:8000\r\nOrigin: http://localhost:6274\r\n"),
        (loopback, "Host: 127.0.0.1:8000\r\nOrigin: null\r\n"),
        (loopback, "Host: 127.0.0.1:8000\r\nOrigin: vscode-webview://abc\r\n"),
        (loopback, "Host: mcp.shelf.example\r\nX-Forwarded-For: 10.9.0.77\r\n"),
        (loopback, "Host: shelf.localtest.me:8000\r\n"),
        (here(), "Host: mcp.shelf.example\r\n"),
        (
            here(),
            "Host: mcp.shelf.example\r\nOrigin: https://desk.shelf.example\r\n",
        ),
        (here(), "Host: 10.9.0.5:8000\r\nOrigin: http://10.9.0.20:3000\r\n"),
        (here(), "Host: shelf.internal\r\nOrigin: https://chat.internal\r\n"),
        (
            public,
            "Host: mcp.shelf.example\r\nAuthorization: Bearer x\r\nOrigin: https://desk.example\r\n",
        ),
    ] {
        assert_eq!(rules(ends, fields), [], "{fields}");
    }
    // A refusal is what the specification wants.
    let request = post("Host: 10.9.0.5\r\nOrigin: https://evil.example\r\n", CALL);
    let refused = exchange(here(), &request, &empty("403 Forbidden", ""));
    assert_eq!(of_kind(&report(&refused), "dns-rebinding"), []);
}

#[test]
fn redirects_to_others() {
    let rules = |host: &str, location: &str| {
        let request = post(&format!("Host: {host}\r\n"), INITIALIZE);
        let moved = empty("307 Temporary Redirect", &format!("Location: {location}\r\n"));
        let script = connection(here(), &[(&request, &moved)]);
        of_kind(&report(&script), "redirect-hijack")
    };
    let high = pairs(&[("foreign-redirect", "high")]);
    assert_eq!(rules("mcp.shelf.example", "https://mcp.she1f.example/mcp"), high);
    assert_eq!(rules("mcp.shelf.example", "//evil.test/mcp"), high);
    assert_eq!(rules("mcp.shelf.example", "http://8.8.4.4/mcp"), high);
    for (host, location) in [
        ("mcp.shelf.example", "/mcp/"),
        ("mcp.shelf.example", "https://mcp.shelf.example/mcp"),
        ("shelf.example", "https://www.shelf.example/mcp"),
        (
            "mcp.shelf.example",
            "https://login.id.example/oauth2/authorize?client_id=7",
        ),
        ("10.9.0.5:8000", "http://10.9.0.6:8000/mcp"),
        ("10.9.0.5:8000", "http://shelf.internal/mcp"),
    ] {
        assert_eq!(rules(host, location), [], "{host} {location}");
    }
}

/// Exchanges of one session, each on a connection of its own: client, fields, request, answer.
fn session(exchanges: &[(&str, String, &str, &str)]) -> Script {
    let mut script = Script::default();
    for (number, (client, fields, body, answer)) in exchanges.iter().enumerate() {
        let ends = ends((client, 43_000 + u16::try_from(number).unwrap()), ("10.9.0.5", 8000));
        let request = post(&format!("Host: 10.9.0.5:8000\r\n{fields}"), body);
        script = script.chain(connection(ends, &[(&request, answer)]));
    }
    script
}

const ONE: &str = "10.9.0.20";
const OTHER: &str = "10.9.0.66";
const BEARER: &str = "Authorization: Bearer opaque\r\n";

#[test]
fn sessions_in_other_hands() {
    let welcome = json("200 OK", SESSION, WELCOME);
    let (tools, found) = (json("200 OK", "", TOOLS), json("200 OK", "", FOUND));
    let bearer = format!("{SESSION}{BEARER}");
    let rules = |steps: &[(&str, String, &str, &str)]| of_kind(&report(&session(steps)), "auth-violation");
    let opened = (ONE, BEARER.to_owned(), INITIALIZE, &*welcome);
    assert_eq!(
        rules(&[
            opened.clone(),
            (ONE, bearer.clone(), LIST, &tools),
            (OTHER, bearer.clone(), CALL, &found)
        ]),
        pairs(&[("shared-session", "medium")])
    );
    assert_eq!(
        rules(&[
            opened.clone(),
            (ONE, bearer.clone(), LIST, &tools),
            (ONE, SESSION.to_owned(), CALL, &found)
        ]),
        pairs(&[("session-as-credential", "medium")])
    );
    // A server that asks nobody for credentials is open, and no more.
    let open = (ONE, String::new(), INITIALIZE, &*welcome);
    assert_eq!(rules(&[open, (ONE, SESSION.to_owned(), LIST, &tools)]), []);
    assert_eq!(
        rules(&[opened, (ONE, bearer.clone(), LIST, &tools), (ONE, bearer, CALL, &found)]),
        []
    );
    let weak = json("200 OK", "Mcp-Session-Id: 17\r\n", WELCOME);
    assert_eq!(
        rules(&[(ONE, String::new(), INITIALIZE, &weak)]),
        pairs(&[("weak-session-id", "medium")])
    );
}

#[test]
fn what_a_session_lacks() {
    let welcome = json("200 OK", SESSION, WELCOME);
    let rules = |steps: &[(&str, String, &str, &str)]| of_kind(&report(&session(steps)), "protocol-violation");
    let opened = (ONE, String::new(), INITIALIZE, &*welcome);
    fn within<'t>(body: &'t str, answer: &'t str) -> (&'t str, String, &'t str, &'t str) {
        (ONE, SESSION.to_owned(), body, answer)
    }
    let low = |rule: &str| pairs(&[(rule, "low")]);
    let (tools, found) = (json("200 OK", "", TOOLS), json("200 OK", "", FOUND));
    let ghost = CALL.replace("find_book", "burn_book");
    assert_eq!(
        rules(&[opened.clone(), within(LIST, &tools), within(&ghost, &found)]),
        low("ghost-tool")
    );
    assert_eq!(rules(&[opened.clone(), within(&ghost, &found)]), []);
    // A server that gives no session id, or of the stateless revision, lists and serves just the same.
    let bare = |body, answer| (ONE, String::new(), body, answer);
    assert_eq!(rules(&[bare(LIST, &*tools), bare(&*ghost, &*found)]), low("ghost-tool"));
    assert_eq!(rules(&[bare(LIST, &*tools), bare(CALL, &*found)]), []);
    let other = json(
        "200 OK",
        "Mcp-Session-Id: 550e8400-e29b-41d4-a716-446655440000\r\n",
        TOOLS,
    );
    assert_eq!(rules(&[opened.clone(), within(LIST, &other)]), low("session-changed"));
    let asks = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":7}}"#;
    let stream = crate::http::events("", &[asks, FOUND]);
    assert_eq!(rules(&[opened, within(CALL, &stream)]), low("unsolicited-request"));
    let able = INITIALIZE.replace(r#""capabilities":{}"#, r#""capabilities":{"sampling":{}}"#);
    assert_eq!(
        rules(&[(ONE, String::new(), &able, &welcome), within(CALL, &stream)]),
        []
    );
    let older = json("200 OK", SESSION, &WELCOME.replace("2025-11-25", "2024-11-05"));
    let again = SESSION.replace("0af7", "1bf7");
    let older = older.replace(SESSION, &again);
    assert_eq!(
        rules(&[
            (ONE, String::new(), INITIALIZE, &welcome),
            (ONE, String::new(), INITIALIZE, &older)
        ]),
        low("version-downgrade")
    );
    assert_eq!(
        rules(&[
            (ONE, String::new(), INITIALIZE, &older),
            (ONE, String::new(), INITIALIZE, &welcome)
        ]),
        []
    );
}

#[test]
fn forms_that_ask_for_secrets() {
    let rules = |field: &str| {
        let asks = format!(
            r#"{{"jsonrpc":"2.0","id":2,"result":{{"resultType":"input_required","requestState":"x","inputRequests":{{"a":{{"method":"elicitation/create","params":{{"message":"m","requestedSchema":{{"type":"object","properties":{{"{field}":{{"type":"string"}}}}}}}}}}}}}}}}"#
        );
        let call = CALL_2026.replace(
            r#""_meta":{"#,
            r#""_meta":{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"#,
        );
        let request = post("Host: 10.9.0.5\r\n", &call);
        of_kind(
            &report(&exchange(here(), &request, &json("200 OK", "", &asks))),
            "protocol-violation",
        )
    };
    assert_eq!(rules("apiKey"), pairs(&[("secret-elicitation", "medium")]));
    assert_eq!(rules("city"), []);
}

#[test]
fn tunnels() {
    let lookup = |name: &str, client: &str| {
        let ends = ends((client, 44_000), ("203.0.113.9", 80));
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n");
        connection(ends, &[(&request, &empty("200 OK", ""))])
    };
    let served = |host: &str| {
        let request = |body: &str| post(&format!("Host: {host}\r\n"), body);
        connection(
            here(),
            &[
                (&request(INITIALIZE), &json("200 OK", "", WELCOME)),
                (&request(LIST), &json("200 OK", "", TOOLS)),
            ],
        )
    };
    let severities = |script: &Script| -> Vec<String> {
        let found = of_kind(&report(script), "tunnel-exposure");
        found.into_iter().map(|(_, severity)| severity).collect()
    };
    let own = served("10.9.0.5:8000");
    assert_eq!(
        severities(&own.clone().chain(lookup("connect.ngrok-agent.com", "10.9.0.5"))),
        ["high"]
    );
    assert_eq!(
        severities(&own.clone().chain(lookup("x.ngrok-free.app", "10.9.0.5"))),
        [""; 0]
    );
    assert_eq!(
        severities(&own.chain(lookup("connect.ngrok-agent.com", "10.9.0.21"))),
        [""; 0]
    );
    assert_eq!(severities(&served("a1b2.ngrok-free.app")), ["medium"]);
    assert_eq!(severities(&served("shelf.vercel.app")), [""; 0]);
}

#[test]
fn an_honest_session_is_no_abuse() {
    let request = |body: &str| post(&format!("Host: shelf.example\r\n{SESSION}{VERSION}"), body);
    let script = connection(
        here(),
        &[
            (
                &post("Host: shelf.example\r\n", INITIALIZE),
                &json("200 OK", SESSION, WELCOME),
            ),
            (&request(INITIALIZED), &empty("202 Accepted", "")),
            (&request(LIST), &json("200 OK", "", TOOLS)),
            (&request(CALL), &json("200 OK", "", FOUND)),
        ],
    );
    let report = report(&script);
    for kind in [
        "protocol-violation",
        "dns-rebinding",
        "redirect-hijack",
        "auth-violation",
    ] {
        assert_eq!(of_kind(&report, kind), [], "{kind}");
    }
}

/// What endpoints read and a strict parser does not: members named in escapes, half an emoji, numbers beyond every range,
/// deep schemas, UTF-16, and labels of other types.
#[test]
fn what_endpoints_read_is_not_hidden() {
    let host = "Host: 10.9.0.5\r\nAccept: application/json, text/event-stream\r\n";
    let deep = format!("{}0{}", "[".repeat(300), "]".repeat(300));
    let tools = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"t\u006fols":[{{"name":"find_book","description":"cut \ud83d","inputSchema":{{"default":1e999,"x":{deep}}}}}]}}}}"#
    );
    let wide: String = CALL.chars().flat_map(|char| [char, '\0']).collect();
    let call = post(host, &wide).replace("application/json\r\n", "application/octet-stream\r\n");
    let script = connection(
        here(),
        &[
            (&post(host, INITIALIZE), &json("200 OK", SESSION, WELCOME)),
            (&post(host, LIST), &json("200 OK", "", &tools)),
            (
                &call,
                &json("200 OK", "", FOUND).replace("application/json", "text/html"),
            ),
        ],
    );
    let told = report(&script);
    let server = &told["servers"][0];
    assert_eq!(server["tools"][0]["name"], "find_book");
    assert_eq!(server["messages"]["by_method"]["tools/call"], 1);
    assert_eq!(server["messages"]["responses"], 3);
}
