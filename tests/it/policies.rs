//! What the policy file says, through the binary: who may do what, what is told, and what is in force.

use serde_json::{Value, json};

use crate::cli::{Place, stderr, stdout};
use crate::conversations::{INITIALIZE, INITIALIZED, WELCOME, here, streamable};
use crate::http::{connection, empty, json as answer, post};
use crate::talk::{self, Ends, PLAIN, Script, ends};

/// Connection of a client to the server, or another one.
fn from(client: &str, port: u16) -> Ends {
    ends((client, port), ("10.9.0.5", 8000))
}

/// Tools that say what they are: (name, annotations).
fn listing(tools: &[(&str, &str)]) -> String {
    let tools: Vec<String> = tools
        .iter()
        .map(|(name, annotations)| {
            format!(
                r#"{{"name":"{name}","description":"Does {name}.","inputSchema":{{"type":"object"}},"annotations":{annotations}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#,
        tools.join(",")
    )
}

/// A session that lists tools and calls some.
fn session(place: Ends, tools: &[(&str, &str)], calls: &[&str]) -> Script {
    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    let list = listing(tools);
    let asks: Vec<String> = calls
        .iter()
        .map(|name| {
            format!(r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#)
        })
        .collect();
    let done = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"done"}]}}"#;
    let mut turns = vec![
        (post("/mcp", "", INITIALIZE), answer("200 OK", "", WELCOME)),
        (post("/mcp", "", INITIALIZED), empty("202 Accepted", "")),
        (post("/mcp", "", LIST), answer("200 OK", "", &list)),
    ];
    turns.extend(
        asks.iter()
            .map(|ask| (post("/mcp", "", ask), answer("200 OK", "", done))),
    );
    let turns: Vec<(&str, &str)> = turns.iter().map(|(ask, told)| (ask.as_str(), told.as_str())).collect();
    connection(place, &turns)
}

/// The report of a script under a policy.
pub(crate) fn report(script: &Script, policy: &str) -> Value {
    let place = Place::new();
    place.file("a.pcap", talk::pcap(&talk::packets(script, &PLAIN)));
    place.file("policy.toml", policy);
    let output = place.run(&[
        "replay",
        "a.pcap",
        "--store",
        "none",
        "--format",
        "json",
        "--policy",
        "policy.toml",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Findings of one kind: those parts that a policy decides.
fn told(report: &Value, kind: &str) -> Vec<Value> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["kind"] == kind)
        .map(|finding| {
            json!([
                finding["severity"],
                finding["client"],
                finding["tool"],
                finding["rule"],
                finding["count"]
            ])
        })
        .collect()
}

const READS: (&str, &str) = ("get_page", r#"{"readOnlyHint":true}"#);
const WRITES: (&str, &str) = ("save_page", r#"{"readOnlyHint":false}"#);

#[test]
fn calls_and_offers_that_are_not_allowed_are_told() {
    let script = session(
        from("10.9.0.20", 41_000),
        &[READS, WRITES],
        &["get_page", "save_page", "save_page"],
    )
    .chain(session(from("10.9.1.7", 41_001), &[READS, WRITES], &["save_page"]));
    let both = "[[group]]\nname = 'staff'\nclients = ['10.9.1.0/24']\n\
                [[allow]]\nserver_name = 'shelf'\ngroups = ['staff']\n\
                [[allow]]\nserver_name = 'shelf'\nread_only = true\nreason = 'guests read'\n";
    let report_of = report(&script, both);
    assert_eq!(
        told(&report_of, "policy-violation"),
        [json!(["medium", "10.9.0.20", "save_page", "tool-call", 2])]
    );
    let finding = report_of["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["kind"] == "policy-violation")
        .unwrap();
    assert_eq!(finding["detail"]["policy"], "allow #2: guests read");
    assert!(finding["packet"]["number"].as_u64() > Some(1) && finding["where"] == "params.name");

    let readers = "[[allow]]\naddress = '10.9.0.5'\nread_only = true\n";
    assert_eq!(
        told(&report(&script, readers), "policy-violation"),
        [
            json!(["medium", null, "save_page", "tool-offer", 1]),
            json!(["medium", "10.9.0.20", "save_page", "tool-call", 2]),
            json!(["medium", "10.9.1.7", "save_page", "tool-call", 1]),
        ]
    );
    assert!(told(&report(&script, ""), "policy-violation").is_empty());
}

#[test]
fn who_goes_around_the_gateway_is_told() {
    let script = streamable(from("10.9.0.20", 41_000)).chain(streamable(from("10.9.0.99", 41_001)));
    let gateway = "[[gateway]]\nname = 'edge'\naddresses = ['10.9.0.99']\n[[gateway.reaches]]\naddress = '10.9.0.5'\n";
    assert_eq!(
        told(&report(&script, gateway), "gateway-bypass"),
        [json!(["high", "10.9.0.20", null, "gateway-bypass", 1])]
    );
    let own_leg = streamable(from("10.9.0.99", 41_000));
    assert!(told(&report(&own_leg, gateway), "gateway-bypass").is_empty());
}

#[test]
fn what_is_held_back_is_counted() {
    let script = streamable(here());
    let quiet = "[[suppress]]\nkind = 'cleartext-mcp'\naddress = '10.9.0.0/24'\nreason = 'lab'\n\
                 [[severity]]\nkind = 'exposed-bind'\nseverity = 'info'\n";
    let plain = report(&script, "");
    let less = report(&script, quiet);
    assert_eq!(plain["withheld"], Value::Null);
    assert_eq!(less["withheld"]["suppressed"], 1);
    assert!(!told(&plain, "cleartext-mcp").is_empty() && told(&less, "cleartext-mcp").is_empty());
    assert_eq!(told(&less, "exposed-bind")[0][0], "info");

    let ignored = report(&script, "[[ignore]]\nclients = ['10.9.0.20']\nreason = 'scanner'\n");
    assert_eq!(ignored["withheld"]["ignored_clients"], 1);
    assert_eq!(ignored["clients"], json!([]));
    let kinds: Vec<&Value> = ignored["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| &finding["kind"])
        .collect();
    assert_eq!(kinds, ["unapproved-server"], "the server that a scanner finds is there");
}

#[test]
fn check_shows_every_section() {
    let place = Place::new();
    place.file(
        "policy.toml",
        "[[group]]\nname = 'staff'\nclients = ['10.9.1.0/24']\n\
         [[allow]]\nserver_name = 'shelf'\ngroups = ['staff']\ntools = ['get_*']\nread_only = true\n\
         [[gateway]]\nname = 'edge'\naddresses = ['10.9.0.99']\n[[gateway.reaches]]\naddress = '10.9.0.5'\n\
         [[backend]]\nhosts = ['api.example.com']\n\
         [[ignore]]\nclients = ['10.9.0.250']\nreason = 'scanner'\n\
         [[suppress]]\nkind = 'cleartext-mcp'\nreason = 'lab'\n\
         [[severity]]\nkind = 'exposed-bind'\nseverity = 'info'\n",
    );
    let output = place.run(&["check", "--policy", "policy.toml", "--print"]);
    let text = stdout(&output);
    for line in [
        "group staff: 10.9.1.0/24",
        "allow #1 [server_name \"shelf\"; groups staff; tools get_*; read only]",
        "gateway #1: edge [at 10.9.0.99/32; reaches address 10.9.0.5/32]",
        "backend #1 [hosts api.example.com]",
        "ignore #1: scanner [clients 10.9.0.250/32]",
        "suppress #1: lab [kind cleartext-mcp]",
        "severity #1 [kind exposed-bind] is info",
    ] {
        assert!(
            text.contains(&format!("#   {line}\n")),
            "{line} is missing from\n{text}"
        );
    }
    place.file("policy.toml", "[[allow]]\nserver_nme = 'shelf'\n");
    let output = place.run(&["check", "--policy", "policy.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "policy.toml:2: unknown key `server_nme`; did you mean `server_name`?\n"
    );
}
