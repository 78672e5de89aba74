//! What is known to be bad, and what only looks like it, from packet to report.

use serde_json::Value;

use crate::conversations::{INITIALIZE, SESSION, WELCOME, here};
use crate::http::{connection, empty, json, post};
use crate::run;
use crate::talk::{self, PLAIN, Script, ends};

/// Kind, severity and name of the findings of these kinds.
fn found(script: &Script) -> Vec<[String; 3]> {
    const KINDS: [&str; 3] = ["known-malicious", "known-vulnerable", "unpinned-package"];
    let report: Value = run::frames(&talk::packets(script, &PLAIN));
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| KINDS.iter().any(|kind| finding["kind"] == *kind))
        .map(|finding| {
            [&finding["kind"], &finding["severity"], &finding["detail"]["name"]]
                .map(|it| it.as_str().unwrap().to_owned())
        })
        .collect()
}

fn fetched(host: &str, target: &str, agent: &str) -> Vec<[String; 3]> {
    let ends = ends(("10.9.0.20", 44_000), ("10.9.0.30", 4873));
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\r\n");
    found(&connection(ends, &[(&request, &empty("200 OK", ""))]))
}

fn one(kind: &str, severity: &str, name: &str) -> Vec<[String; 3]> {
    vec![[kind, severity, name].map(str::to_owned)]
}

/// The domain of a built-in rule.
fn domain(id: &str) -> String {
    let text = std::fs::read_to_string(run::folder("signatures/registries.toml")).unwrap();
    let rules: toml::Table = text.parse().unwrap();
    let rules = rules["registry"].as_array().unwrap().iter();
    let mut named = rules.filter(|rule| rule["id"].as_str() == Some(id));
    named.next().unwrap()["domain"].as_str().unwrap().to_owned()
}

#[test]
fn packages() {
    let npm = "npm/10.9.0 node/v22.12.0 linux x64";
    let source = format!("cache.{}", domain("reg-npmjs-org"));
    for (host, target, agent, expect) in [
        (
            "npm.corp.internal:4873",
            "/postmark-mcp/-/postmark-mcp-1.0.16.tgz",
            npm,
            one("known-malicious", "critical", "postmark-mcp"),
        ),
        (
            &source,
            "/mcp-remote/-/mcp-remote-0.1.15.tgz",
            "x",
            one("known-vulnerable", "low", "mcp-remote"),
        ),
        (
            &source,
            "/@example%2fmcp-server/latest",
            "x",
            one("unpinned-package", "low", "@example/mcp-server"),
        ),
        (
            "mirror.internal",
            "/simple/groq-mcp/",
            "pip/24.0",
            one("known-malicious", "critical", "groq-mcp"),
        ),
        (&source, "/postmark-mcp/-/postmark-mcp-1.0.15.tgz", npm, vec![]),
        (&source, "/postmark-mcp", npm, vec![]),
        (&source, "/mcp-remote/-/mcp-remote-0.1.16.tgz", npm, vec![]),
        (&source, "/left-pad/latest", npm, vec![]),
        (
            "www.shop.example",
            "/postmark-mcp/-/postmark-mcp-1.0.16.tgz",
            "Mozilla/5.0",
            vec![],
        ),
    ] {
        assert_eq!(fetched(host, target, agent), expect, "{host}{target}");
    }
}

#[test]
fn hosts() {
    assert_eq!(
        fetched("mail.giftshop.club", "/", "x"),
        one("known-malicious", "critical", "giftshop.club")
    );
    assert_eq!(fetched("giftshop.club.example", "/", "x"), [[""; 3]; 0]);
    assert_eq!(fetched("mygiftshop.club", "/", "x"), [[""; 3]; 0]);
}

#[test]
fn claims() {
    let session = |client: &str, server: &str| {
        let hello = post("/mcp", "", &INITIALIZE.replace("desk", client));
        let welcome = WELCOME.replace(r#""name":"shelf","version":"3.0""#, server);
        found(&connection(here(), &[(&hello, &json("200 OK", SESSION, &welcome))]))
    };
    let shelf = r#""name":"shelf","version":"3.0""#;
    assert_eq!(
        session("desk (via mcp-remote 0.1.9)", shelf),
        one("known-vulnerable", "low", "mcp-remote")
    );
    assert_eq!(session("desk (via mcp-remote 0.2.0)", shelf), [[""; 3]; 0]);
    assert_eq!(session("desk", r#""name":"mcp-git","version":"1.23.1""#), [[""; 3]; 0]);
    assert_eq!(session("openai-mcp", shelf), [[""; 3]; 0]);
    let old = session("desk", r#""name":"mcp-git","version":"1.22.0""#);
    assert_eq!(old, one("known-vulnerable", "low", "mcp-git"));
}

#[test]
fn markers() {
    let asked = |client: &str, request: &str, answer: &str| {
        found(&connection(
            ends((client, 44_000), ("10.9.0.5", 6277)),
            &[(request, answer)],
        ))
    };
    let stream = crate::http::events("", &[]);
    let opens = |fields: &str| {
        format!("GET /sse?transportType=stdio&command=id&args=x HTTP/1.1\r\nHost: 10.9.0.5:6277\r\n{fields}\r\n")
    };
    let high = |name: &str| one("known-vulnerable", "high", name);
    assert_eq!(asked("10.9.0.20", &opens(""), &stream), high("10.9.0.5:6277"));
    let token = opens("X-MCP-Proxy-Auth: Bearer x\r\n");
    assert_eq!(asked("10.9.0.20", &token, &stream), [[""; 3]; 0]);
    assert_eq!(
        asked("10.9.0.20", &opens(""), &empty("401 Unauthorized", "")),
        [[""; 3]; 0]
    );

    let starts = post(
        "/api/mcp/connect",
        "",
        r#"{"serverConfig":{"command":"sh","args":["-c","id"]}}"#,
    );
    let done = json("200 OK", "", "{}");
    assert_eq!(asked("10.9.0.20", &starts, &done), high("10.9.0.5:6277"));
    assert_eq!(asked("127.0.0.1", &starts, &done), [[""; 3]; 0]);
    let url = post(
        "/api/mcp/connect",
        "",
        r#"{"serverConfig":{"url":"https://mcp.shelf.example"}}"#,
    );
    assert_eq!(asked("10.9.0.20", &url, &done), [[""; 3]; 0]);

    let message = |fields: &str| post("/mcp_message?sessionId=17", fields, INITIALIZE);
    let welcome = json("200 OK", "", WELCOME);
    assert_eq!(asked("10.9.0.20", &message(""), &welcome), high("10.9.0.5:6277"));
    let basic = message("Authorization: Bearer x\r\n");
    assert_eq!(asked("10.9.0.20", &basic, &welcome), [[""; 3]; 0]);
    let upstream = |fields: &str| {
        post(
            "/mcp",
            &format!("X-Atlassian-Jira-Url: http://10.9.0.99\r\n{fields}"),
            INITIALIZE,
        )
    };
    assert_eq!(asked("10.9.0.20", &upstream(""), &welcome), high("10.9.0.5:6277"));
    assert_eq!(
        asked("10.9.0.20", &upstream("Authorization: Bearer x\r\n"), &welcome),
        [[""; 3]; 0]
    );
}
