//! Servers that nobody could look into: what a name, a certificate, a fingerprint and the rhythm of records make of them.

use serde_json::Value;
use shadowtap::policy::Policy;

use crate::run;
use crate::splits::client_hello;
use crate::talk::{self, Act, Ends, PLAIN, Script, ends};

/// A hello of Python 3.11 for `mcp.example.test`.
const PYTHON: &[u8] = include_bytes!("../../src/proto/tls/tests/python-3.11.hello");
/// A certificate for `mcp.example.test`, what lies below it, and two addresses.
const CERTIFICATE: &[u8] = include_bytes!("../../src/proto/tls/tests/server.der");

fn there() -> Ends {
    ends(("10.0.0.9", 40_000), ("203.0.113.5", 443))
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3][..], &length, body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(22, &[&[kind], &length[1..], body].concat())
}

/// A ServerHello with this cipher suite and extensions.
fn answer(cipher: [u8; 2], extensions: &[u8]) -> Vec<u8> {
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    message(
        2,
        &[&[3, 3][..], &[5; 32], &[0], &cipher, &[0], &length, extensions].concat(),
    )
}

/// Of TLS 1.3.
fn new_answer() -> Vec<u8> {
    answer([0x13, 1], &[0, 43, 0, 2, 3, 4])
}

fn opened(hello: &[u8], answer: &[u8]) -> Script {
    Script::default()
        .then(there(), Act::Open)
        .up(there(), hello)
        .down(there(), answer)
}

/// A request, and an answer of which little comes every time.
fn trickling(script: Script) -> Script {
    let asked = script
        .up(there(), record(23, &[1; 400]))
        .down(there(), record(23, &[2; 200]));
    (0..5).fold(asked, |script, _| script.down(there(), record(23, &[3; 40])))
}

/// The report of a script whose packets come fifteen seconds apart.
fn slow(script: &Script) -> Value {
    every(15, script)
}

/// The report of a script whose packets come so many seconds apart.
fn every(seconds: i64, script: &Script) -> Value {
    let mut frames = talk::packets(script, &PLAIN);
    let start = frames[0].0;
    for (number, (time, _)) in frames.iter_mut().enumerate() {
        *time = start + i64::try_from(number).unwrap() * seconds * 1_000_000_000;
    }
    let (text, tree) = run::frames_with(&frames, run::settings(), 1);
    for workers in [2, 3] {
        assert_eq!(run::frames_with(&frames, run::settings(), workers).0, text);
    }
    tree
}

/// Hostname, evidence, transport, encryption and confidence of every server.
fn servers(report: &Value) -> Vec<(String, String, String, String, f64)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let servers = report["servers"].as_array().unwrap().iter();
    servers
        .map(|it| {
            (
                text(&it["hostname"]),
                text(&it["evidence"]),
                text(&it["transport"]),
                text(&it["encryption"]),
                it["confidence"].as_f64().unwrap(),
            )
        })
        .collect()
}

fn suspect(name: &str, confidence: f64) -> (String, String, String, String, f64) {
    let [name, evidence, transport, encryption] = [name, "sni", "unknown-encrypted", "tls"].map(str::to_owned);
    (name, evidence, transport, encryption, confidence)
}

fn kinds(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_name_has_its_fixed_worth() {
    for (name, confidence, expected) in [
        ("mcp.linear.app", Some(0.9), &["remote-endpoint"][..]),
        ("api.githubcopilot.com", Some(0.2), &[]),
        ("mcp.vendor.test", Some(0.3), &[]),
        ("www.vendor.test", None, &[]),
        ("registry.modelcontextprotocol.io", None, &["registry-lookup"]),
    ] {
        let report = slow(&opened(&client_hello(name), &new_answer()));
        let inferred: Vec<_> = confidence.map(|it| suspect(name, it)).into_iter().collect();
        assert_eq!(servers(&report), inferred, "{name}");
        assert_eq!(kinds(&report), expected, "{name}");
        assert_eq!(report["capture"]["blind"]["encrypted_flows"], 1, "{name}");
        let clients = report["clients"].as_array().unwrap();
        assert_eq!(clients.len(), inferred.len(), "{name}");
        if let [client] = &clients[..] {
            assert_eq!(client["servers"][0], "203.0.113.5:443");
            assert!(client["ja4"].as_str().unwrap().starts_with("t12d0101"), "{client}");
        }
    }
}

/// The hello of Python with a cipher suite that means nothing, as browsers send it.
fn of_a_browser() -> Vec<u8> {
    let mut hello = PYTHON.to_vec();
    hello[78..80].copy_from_slice(&[0x0a, 0x0a]);
    hello
}

/// A hello for a name without any such number.
fn of_a_program(name: &str) -> Vec<u8> {
    let mut hello = client_hello(name);
    let at = hello.windows(3).position(|window| window == [0xfa, 0xfa, 0]).unwrap();
    hello[at + 1] = 0xfb;
    hello
}

/// Name, program and trickle together are more than a name; each of them alone is not.
#[test]
fn the_answers_to_a_program_raise_a_suspicion() {
    let open = opened(PYTHON, &[new_answer(), record(23, &[9; 900])].concat());
    let report = slow(&trickling(open.clone()));
    assert_eq!(servers(&report), [suspect("mcp.example.test", 0.5)]);
    assert_eq!(kinds(&report), [""; 0]);
    let server = &report["servers"][0];
    assert!(server["why"].as_str().unwrap().contains("trickle"));
    let shape = &server["shape"];
    assert_eq!(
        (&shape["flows"], &shape["trickles"]),
        (&Value::from(1), &Value::from(1))
    );
    assert_eq!(shape["sizes_to_server"], serde_json::json!([0, 0, 1, 0, 0, 0]));
    assert_eq!(shape["sizes_to_client"], serde_json::json!([5, 1, 0, 0, 0, 0]));
    assert_eq!(report["clients"][0]["ja4"], "t13d1812h1_85036bcba153_d41ae481755e");
    assert!(report["capture"]["blind"]["encrypted_bytes"].as_u64().unwrap() > 1_500);

    let rhythm = &server["rhythm"];
    assert_eq!(
        [&rhythm["connections"], &rhythm["streams"], &rhythm["beside"]],
        [1, 1, 0]
    );

    let browser = slow(&trickling(opened(&of_a_browser(), &new_answer())));
    assert_eq!(servers(&browser), [suspect("mcp.example.test", 0.3)]);
    assert_eq!(browser["servers"][0]["shape"]["trickles"], 1);
    assert_eq!(browser["servers"][0]["rhythm"], Value::Null);
    let short = slow(&open.up(there(), record(23, &[1; 400])).then(there(), Act::Close));
    assert_eq!(servers(&short), [suspect("mcp.example.test", 0.3)]);
    let shared = slow(&trickling(opened(
        &client_hello("api.githubcopilot.com"),
        &new_answer(),
    )));
    assert_eq!(servers(&shared), [suspect("api.githubcopilot.com", 0.2)]);
}

/// A stream that is kept open beside requests is more still, whichever of them began first; not of a name that says little
/// or nothing.
#[test]
fn a_stream_beside_requests_raises_it_further() {
    let other = |port| ends(("10.0.0.9", port), ("203.0.113.5", 443));
    let session = |hello: &[u8]| {
        let answer = [new_answer(), record(23, &[9; 900])].concat();
        let open = |script: Script, ends| {
            let script = script.then(ends, Act::Open).up(ends, hello).down(ends, &answer);
            script.up(ends, record(23, &[1; 400])).down(ends, record(23, &[2; 200]))
        };
        let stream = open(Script::default(), there());
        (0..3).fold(stream, |script, number| {
            let ends = other(40_001 + number);
            let script = open(script, ends).then(ends, Act::Close);
            script.down(there(), record(23, &[3; 40]))
        })
    };
    let report = every(4, &session(PYTHON));
    assert_eq!(servers(&report), [suspect("mcp.example.test", 0.7)]);
    assert_eq!(kinds(&report), [""; 0]);
    assert!(report["servers"][0]["why"].as_str().unwrap().contains("beside"));
    assert_eq!(report["servers"][0]["rhythm"]["beside"], 1);
    for (name, confidence) in [("api.githubcopilot.com", 0.2), ("mcp.linear.app", 0.9)] {
        let report = every(4, &session(&of_a_program(name)));
        assert_eq!(servers(&report), [suspect(name, confidence)]);
        assert_eq!(report["servers"][0]["rhythm"]["beside"], 1, "{name}");
    }
    assert_eq!(
        servers(&every(4, &session(&of_a_browser()))),
        [suspect("mcp.example.test", 0.3)]
    );
    assert_eq!(servers(&every(4, &session(&of_a_program("www.example.test")))), []);
}

/// Real clients and servers, with nothing but names, sizes and times to go by.
#[test]
fn sessions_differ_from_what_looks_like_them() {
    let confidences = |capture: &str| -> Vec<(String, f64)> {
        let capture = run::folder("pcaps").join(capture);
        let report = run::files(&[capture], run::settings(), Policy::default(), 1);
        let all = servers(&serde_json::from_str(&report).unwrap());
        all.into_iter().map(|(name, _, _, _, worth)| (name, worth)).collect()
    };
    let sessions = confidences("tls_unread_mcp.pcap");
    assert_eq!(sessions.len(), 5);
    for (name, worth) in sessions {
        let expected = if name.starts_with("mcp-st-") { 0.3 } else { 0.7 };
        assert!((worth - expected).abs() < 0.001, "{name} {worth}");
    }
    let others = confidences("tls_unread_others.pcap");
    assert_eq!(others.len(), 4);
    for (name, worth) in others {
        assert!((worth - 0.3).abs() < 0.001, "{name} {worth}");
    }
}

/// A flow whose name says nothing is bypassed, not watched.
#[test]
fn other_flows_have_no_shape() {
    let report = slow(&trickling(opened(&client_hello("www.example.test"), &new_answer())));
    assert_eq!(servers(&report), []);
    assert_eq!(report["capture"]["blind"]["encrypted_flows"], 1);
}

/// The certificate speaks where the client names nobody.
#[test]
fn a_certificate_names_a_server() {
    let entry = [
        &u32::try_from(CERTIFICATE.len()).unwrap().to_be_bytes()[1..],
        CERTIFICATE,
    ]
    .concat();
    let list = [&u32::try_from(entry.len()).unwrap().to_be_bytes()[1..], &entry].concat();
    let flight = [answer([0xc0, 0x2f], &[]), message(11, &list), message(14, &[])].concat();
    let mut nameless = PYTHON.to_vec();
    let at = PYTHON.windows(4).position(|window| window == [0, 0, 0, 0x15]).unwrap();
    nameless[at..at + 2].copy_from_slice(&[0xab, 0xcd]);
    assert_eq!(
        servers(&slow(&opened(&nameless, &flight))),
        [suspect("mcp.example.test", 0.3)]
    );
    // A client that names another gets what it asked for.
    let named = opened(&client_hello("www.example.test"), &flight);
    assert_eq!(servers(&slow(&named)), []);
}
