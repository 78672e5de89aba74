//! Sign-in to MCP servers, right and wrong, and the sign-ins of others, from packet to report.

use serde_json::Value;

use crate::conversations::{CALL, FOUND, INITIALIZE, LIST, SESSION, TOOLS, WELCOME, here};
use crate::http::{connection, empty, json};
use crate::run;
use crate::talk::{self, Ends, PLAIN, Script, ends};

/// A sign-in, by its parameters.
struct SignIn {
    redirects: &'static str,
    authorize: &'static str,
    token: &'static str,
    metadata: &'static str,
    /// The MCP server names the authorization server and takes its token.
    of_mcp: bool,
}

const RIGHT: SignIn = SignIn {
    redirects: "http://127.0.0.1:33418/callback",
    authorize: "response_type=code&client_id=c-81&redirect_uri=http%3A%2F%2F127.0.0.1%3A33418%2Fcallback\
                &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
                &resource=http%3A%2F%2Fmcp.shelf.example%3A8000%2Fmcp&state=x",
    token: "grant_type=authorization_code&code=x&client_id=c-81&code_verifier=y\
            &redirect_uri=http%3A%2F%2F127.0.0.1%3A33418%2Fcallback&resource=http%3A%2F%2Fmcp.shelf.example%3A8000%2Fmcp",
    metadata: r#"{"issuer":"https://as.shelf.example:9000","authorization_endpoint":"https://as.shelf.example:9000/authorize","token_endpoint":"https://as.shelf.example:9000/token","code_challenge_methods_supported":["S256"]}"#,
    of_mcp: true,
};

fn get(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n")
}

fn post(host: &str, target: &str, kind: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn script(sign_in: &SignIn) -> Script {
    let mcp = "mcp.shelf.example:8000";
    let server = |port| Ends {
        client: (here().client.0, port),
        server: here().server,
    };
    let rpc = |fields: &str, body: &str| post(mcp, "/mcp", "application/json", fields, body);
    let told =
        r#"{"resource":"http://mcp.shelf.example:8000/mcp","authorization_servers":["https://as.shelf.example:9000"]}"#;
    let challenge = "WWW-Authenticate: Bearer resource_metadata=\"http://mcp.shelf.example:8000/.well-known/oauth-protected-resource/mcp\"\r\n";
    let led = connection(
        server(42_000),
        &[
            (&rpc("", INITIALIZE), &empty("401 Unauthorized", challenge)),
            (
                &get(mcp, "/.well-known/oauth-protected-resource/mcp"),
                &json("200 OK", "", told),
            ),
        ],
    );
    let registered = format!(r#"{{"client_id":"c-81","redirect_uris":["{}"]}}"#, sign_in.redirects);
    let asks = format!(r#"{{"redirect_uris":["{}"],"client_name":"desk"}}"#, sign_in.redirects);
    let form = "application/x-www-form-urlencoded";
    let host = "as.shelf.example:9000";
    let signs = connection(
        ends(("10.9.0.20", 42_001), ("10.9.0.6", 9000)),
        &[
            (
                &get(host, "/.well-known/oauth-authorization-server"),
                &json("200 OK", "", sign_in.metadata),
            ),
            (
                &post(host, "/register", "application/json", "", &asks),
                &json("201 Created", "", &registered),
            ),
            (
                &get(host, &format!("/authorize?{}", sign_in.authorize)),
                &empty(
                    "302 Found",
                    "Location: http://127.0.0.1:33418/callback?code=x&state=x\r\n",
                ),
            ),
            (
                &post(host, "/token", form, "", sign_in.token),
                &json("200 OK", "", r#"{"access_token":"opaque","token_type":"Bearer"}"#),
            ),
        ],
    );
    if !sign_in.of_mcp {
        return signs;
    }
    let bearer = format!("Authorization: Bearer opaque\r\n{SESSION}");
    let uses = connection(
        server(42_002),
        &[
            (
                &rpc("Authorization: Bearer opaque\r\n", INITIALIZE),
                &json("200 OK", SESSION, WELCOME),
            ),
            (&rpc(&bearer, LIST), &json("200 OK", "", TOOLS)),
            (&rpc(&bearer, CALL), &json("200 OK", "", FOUND)),
        ],
    );
    led.chain(signs).chain(uses)
}

fn rules(script: &Script, kind: &str) -> Vec<(String, u64)> {
    let report: Value = run::frames(&talk::packets(script, &PLAIN));
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["kind"] == kind)
        .map(|finding| {
            (
                finding["rule"].as_str().unwrap().to_owned(),
                finding["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn violations(sign_in: &SignIn) -> Vec<String> {
    let found = rules(&script(sign_in), "auth-violation");
    let mut names: Vec<String> = found.into_iter().map(|(rule, _)| rule).collect();
    names.sort();
    names
}

#[test]
fn a_sign_in_by_the_book() {
    assert_eq!(violations(&RIGHT), [""; 0]);
}

#[test]
fn faults_of_a_sign_in() {
    let without = |text: &str, key: &str| -> &'static str {
        let kept: Vec<&str> = text.split('&').filter(|pair| !pair.starts_with(key)).collect();
        kept.join("&").leak()
    };
    let cases: Vec<(SignIn, &[&str])> = vec![
        (
            SignIn {
                authorize: without(RIGHT.authorize, "code_challenge"),
                ..RIGHT
            },
            &["no-pkce"],
        ),
        (
            SignIn {
                authorize: RIGHT.authorize.replace("=S256", "=plain").leak(),
                ..RIGHT
            },
            &["pkce-not-s256"],
        ),
        (
            SignIn {
                authorize: without(RIGHT.authorize, "resource"),
                token: without(RIGHT.token, "resource"),
                ..RIGHT
            },
            &["no-resource"],
        ),
        (
            SignIn {
                authorize: RIGHT
                    .authorize
                    .replace("response_type=code", "response_type=token")
                    .leak(),
                ..RIGHT
            },
            &["implicit-grant"],
        ),
        (
            SignIn {
                token: "grant_type=password&client_id=c-81&username=x&password=y&resource=http%3A%2F%2Fmcp.shelf.example%3A8000%2Fmcp",
                ..RIGHT
            },
            &["password-grant"],
        ),
        (
            SignIn {
                redirects: "http://evil.example/callback",
                ..RIGHT
            },
            &["redirect-uri"],
        ),
        (
            SignIn {
                metadata: r#"{"issuer":"https://other.example","authorization_endpoint":"http://as.shelf.example/authorize","code_challenge_methods_supported":["plain"]}"#,
                ..RIGHT
            },
            &["endpoint-in-clear", "issuer-mismatch", "no-s256-offered"],
        ),
    ];
    for (sign_in, wanted) in &cases {
        assert_eq!(violations(sign_in), *wanted);
        // The very same, of an application that is no MCP.
        let plain = SignIn {
            of_mcp: false,
            redirects: sign_in.redirects,
            authorize: sign_in.authorize,
            token: sign_in.token,
            metadata: sign_in.metadata,
        };
        assert_eq!(violations(&plain), [""; 0]);
    }
    let twice = script(&cases[0].0);
    assert_eq!(rules(&twice, "auth-violation"), [("no-pkce".to_owned(), 1)]);
}

#[test]
fn metadata_that_runs_a_command() {
    let hostile = SignIn {
        metadata: r#"{"issuer":"https://as.shelf.example:9000","authorization_endpoint":"file:/c:/windows/system32/calc.exe?$(calc)"}"#,
        ..RIGHT
    };
    let found = rules(&script(&hostile), "known-vulnerable");
    assert_eq!(found, [("metadata-command".to_owned(), 1)]);
    assert_eq!(rules(&script(&RIGHT), "known-vulnerable"), []);
}

#[test]
fn a_providers_call() {
    let call = |body: &str| {
        let request = post("api.llm.example", "/v1/messages", "application/json", "", body);
        let script = connection(
            ends(("10.9.0.20", 42_001), ("10.9.0.8", 80)),
            &[(&request, &json("200 OK", "", r#"{"content":[]}"#))],
        );
        rules(&script, "provider-connector")
    };
    let asks = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"mcp_servers":[{"type":"url","url":"https://mcp.shelf.example/sse","name":"shelf"}]}"#;
    assert_eq!(call(asks), [("provider-connector".to_owned(), 1)]);
    assert_eq!(
        call(r#"{"model":"m","messages":[],"tools":[{"name":"f","input_schema":{}}]}"#),
        []
    );
}
