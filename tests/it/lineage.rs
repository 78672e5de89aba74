//! Where credentials travel: handed on by a server, shared by many clients, given away by one server and taken to another.

use serde_json::{Value, json};

use crate::conversations::{INITIALIZE, INITIALIZED, WELCOME};
use crate::http::{connection, empty, json as answer, post};
use crate::policies::report;
use crate::run;
use crate::talk::{self, Ends, PLAIN, Script, ends};

const SERVER: (&str, u16) = ("10.9.0.5", 8000);
const UPSTREAM: (&str, u16) = ("10.9.0.7", 7800);

/// A bearer field. The value is composed here, so that no file holds one that looks alive.
fn bearer(seed: &str) -> String {
    format!("Authorization: Bearer {}\r\n", token(seed))
}

fn token(seed: &str) -> String {
    format!("q8ZtR2vLw0{seed}Xy7Bn4Kd93")
}

fn call(id: u32, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"find_book","arguments":{arguments}}}}}"#
    )
}

fn result(id: u32, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}]}}}}"#)
}

/// A session with one call.
fn session(place: Ends, extra: &str, ask: &str, told: &str) -> Script {
    connection(
        place,
        &[
            (&post("/mcp", extra, INITIALIZE), &answer("200 OK", "", WELCOME)),
            (&post("/mcp", extra, INITIALIZED), &empty("202 Accepted", "")),
            (&post("/mcp", extra, ask), &answer("200 OK", "", told)),
        ],
    )
}

fn asked(client: &str, port: u16, extra: &str) -> Script {
    let (ask, told) = (call(2, r#"{"title":"Dune"}"#), result(2, "shelf 4"));
    session(ends((client, port), SERVER), extra, &ask, &told)
}

/// Requests of the server's host to another one: (target, fields).
fn upstream(port: u16, requests: &[(&str, &str)]) -> Script {
    let heads: Vec<String> = requests
        .iter()
        .map(|(target, extra)| format!("GET {target} HTTP/1.1\r\nHost: books.corp.test:7800\r\n{extra}\r\n"))
        .collect();
    let told = answer("200 OK", "", "{}");
    let turns: Vec<(&str, &str)> = heads.iter().map(|head| (head.as_str(), told.as_str())).collect();
    connection(ends((SERVER.0, port), UPSTREAM), &turns)
}

/// Findings of one kind and rule: (severity, server, client, where, detail.name), and how often.
fn told(script: &Script, rule: &str) -> Vec<Value> {
    let frames = talk::packets(script, &PLAIN);
    let (one, tree) = run::frames_with(&frames, run::settings(), 1);
    for workers in [1, 2, 5] {
        let (other, _) = run::frames_with(&frames, run::settings(), workers);
        assert!(one == other, "{workers} workers, or another key, give another report");
    }
    let findings = tree["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["rule"] == rule)
        .map(|finding| {
            json!([
                finding["severity"],
                finding["server"],
                finding["client"],
                finding["where"],
                finding["count"]
            ])
        })
        .collect()
}

fn passed(count: u64) -> Vec<Value> {
    vec![json!(["high", "10.9.0.5:8000", null, "header Authorization", count])]
}

#[test]
fn a_token_that_is_handed_on_is_told() {
    let given = asked("10.9.0.20", 41_000, &bearer("a"));
    for (requests, count) in [
        (vec![("/v1/books", bearer("a"))], 1),
        // A connection that is kept shows other credentials first.
        (
            vec![
                ("/v1/books", bearer("b")),
                ("/v1/books", bearer("a")),
                ("/v1/books", bearer("b")),
            ],
            1,
        ),
        // Only a check of the token comes first.
        (vec![("/oauth/userinfo", bearer("a")), ("/v1/books", bearer("a"))], 1),
        (vec![("/v1", format!("X-Api-Key: {}\r\n", token("a")))], 1),
    ] {
        let requests: Vec<(&str, &str)> = requests
            .iter()
            .map(|(target, extra)| (*target, extra.as_str()))
            .collect();
        let mut expected = passed(count);
        if requests[0].1.starts_with("X-Api-Key") {
            expected[0][3] = json!("header X-Api-Key");
        }
        let script = given.clone().chain(upstream(50_000, &requests));
        assert_eq!(told(&script, "token-passthrough"), expected, "{requests:?}");
    }
}

#[test]
fn a_server_with_credentials_of_its_own_passes_nothing_on() {
    let given = asked("10.9.0.20", 41_000, &bearer("a"));
    let own = upstream(50_000, &[("/v1/books", &bearer("b"))]);
    let checks = upstream(
        50_001,
        &[("/oauth2/userinfo", &bearer("a")), ("/introspect", &bearer("a"))],
    );
    let before = upstream(50_002, &[("/v1/books", &bearer("c"))]).chain(asked("10.9.0.20", 41_001, &bearer("c")));
    let elsewhere = upstream(50_003, &[("/v1/books", &bearer("a"))]).moved(|mut ends| {
        ends.client.0 = "10.9.0.8".parse().unwrap();
        ends
    });
    let itself = upstream(50_004, &[("/v1/books", &bearer("a"))]).moved(|mut ends| {
        ends.server.0 = SERVER.0.parse().unwrap();
        ends
    });
    for (name, script) in [
        ("own", own),
        ("checks", checks),
        ("before", before),
        ("elsewhere", elsewhere),
        ("itself", itself),
    ] {
        let script = given.clone().chain(script);
        assert_eq!(told(&script, "token-passthrough"), [json!(null); 0], "{name}");
    }
}

#[test]
fn a_pure_hop_is_no_passthrough() {
    let place = |client: (&str, u16), server| ends(client, server);
    let (ask, answered) = (call(2, r#"{"title":"Dune"}"#), result(2, "shelf 4"));
    let front = |port| session(place(("10.9.0.20", port), SERVER), &bearer("a"), &ask, &answered);
    let hop = session(place((SERVER.0, 50_000), UPSTREAM), &bearer("a"), &ask, &answered);
    assert_eq!(told(&front(41_000).chain(hop), "token-passthrough"), [json!(null); 0]);
    // A server that asks another one on its own account is none, although the credential is the same.
    let other = INITIALIZE.replace("desk", "shelf-client");
    let (ask, answered) = (call(7, r#"{"title":"Dune, part two"}"#), result(7, "shelf 5"));
    let own = connection(
        place((SERVER.0, 50_001), UPSTREAM),
        &[
            (&post("/mcp", &bearer("a"), &other), &answer("200 OK", "", WELCOME)),
            (&post("/mcp", &bearer("a"), &ask), &answer("200 OK", "", &answered)),
        ],
    );
    let found = told(&front(41_000).chain(own), "token-passthrough");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_declared_backend_may_have_the_token() {
    let script = asked("10.9.0.20", 41_000, &bearer("a")).chain(upstream(50_000, &[("/v1", &bearer("a"))]));
    for (policy, findings) in [
        ("[[backend]]\nserver_name = 'shelf'\nhosts = ['books.corp.test']\n", 0),
        ("[[backend]]\nserver_name = 'shelf'\nhosts = ['10.9.0.7']\n", 0),
        ("[[backend]]\nserver_name = 'other'\nhosts = ['10.9.0.7']\n", 1),
    ] {
        let report = report(&script, policy);
        let kinds = report["findings"].as_array().unwrap().iter();
        let count = kinds.filter(|finding| finding["kind"] == "token-passthrough").count();
        assert_eq!(count, findings, "{policy}");
    }
}

#[test]
fn a_credential_of_everybody_is_told() {
    let users = |count: u16, seed: fn(u16) -> &'static str| {
        (0..count).fold(Script::default(), |script, number| {
            let client = format!("10.9.0.{}", 20 + number);
            script.chain(asked(&client, 41_000 + number, &bearer(seed(number))))
        })
    };
    assert_eq!(
        told(&users(5, |_| "a"), "shared-credential"),
        [json!(["low", "10.9.0.5:8000", null, null, 10])]
    );
    assert_eq!(told(&users(4, |_| "a"), "shared-credential"), [json!(null); 0]);
    let own = users(6, |number| ["a", "b", "c", "d", "e", "f"][usize::from(number)]);
    assert_eq!(told(&own, "shared-credential"), [json!(null); 0]);
}

#[test]
fn a_secret_that_goes_from_server_to_server_is_told() {
    let secret = ["glpat", "-Zx81mQpT0aLw93KdYeRb"].concat();
    let client = "10.9.0.20";
    let shows = |port, server| {
        let text = format!("the key is {secret}");
        session(
            ends((client, port), server),
            "",
            &call(2, r#"{"title":"keys"}"#),
            &result(2, &text),
        )
    };
    let takes = |client, port, server| {
        session(
            ends((client, port), server),
            "",
            &call(2, &format!(r#"{{"title":"{secret}"}}"#)),
            &result(2, "no such book"),
        )
    };
    let moved = vec![json!([
        "critical",
        "10.9.0.7:7800",
        client,
        "params.arguments.title",
        1
    ])];
    for (name, script, expected) in [
        (
            "moved",
            shows(41_000, SERVER).chain(takes(client, 41_001, UPSTREAM)),
            moved,
        ),
        (
            "back",
            shows(41_000, SERVER).chain(takes(client, 41_001, SERVER)),
            vec![],
        ),
        (
            "brought",
            takes(client, 41_001, UPSTREAM).chain(shows(41_000, SERVER)),
            vec![],
        ),
        (
            "another's",
            shows(41_000, SERVER).chain(takes("10.9.0.21", 41_001, UPSTREAM)),
            vec![],
        ),
    ] {
        assert_eq!(told(&script, "credential-lineage"), expected, "{name}");
    }
}
