//! Relays before the stream: what is behind them is read as if they were not there, and the report knows who asks and
//! where the stream really goes.

use serde_json::Value;

use crate::conversations::{here, streamable};
use crate::http::{json, post};
use crate::run;
use crate::scenarios::essence;
use crate::splits::{Piece, Sample, Turn};
use crate::talk::{self, Act, Ends, PLAIN, Script, Wire};

use shadowtap::model::net::Direction::{self, ToClient, ToServer};

/// One side's words before the stream.
type Words = (Direction, Vec<u8>);

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.9.0.5 56324 8000\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2 of the preface, with the values that come after the addresses.
fn version_2(command: u8, values: &[(u8, &[u8])]) -> Vec<u8> {
    let mut tail = vec![192, 0, 2, 7, 10, 9, 0, 5, 0xdc, 4, 0x1f, 0x40];
    for (kind, value) in values {
        tail.push(*kind);
        tail.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        tail.extend(*value);
    }
    let len = u16::try_from(tail.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, 0x11], &len, &tail].concat()
}

fn socks_5(password: bool, destination: &[u8]) -> Vec<Words> {
    let method = if password { 2 } else { 0 };
    let mut words = vec![(ToServer, vec![5, 2, 0, 2]), (ToClient, vec![5, method])];
    if password {
        words.push((ToServer, b"\x01\x02me\x0dvery-s3cret-1".to_vec()));
        words.push((ToClient, vec![1, 0]));
    }
    words.push((ToServer, [&[5, 1, 0][..], destination].concat()));
    words.push((ToClient, vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    words
}

const NAMED: &[u8] = b"\x03\x10MCP.example.test\x1f\x40";

fn socks_4(name: &[u8]) -> Vec<Words> {
    let address = if name.is_empty() { [10, 9, 0, 5] } else { [0, 0, 0, 1] };
    vec![
        (ToServer, [&[4, 1, 0x1f, 0x40][..], &address, b"me\0", name].concat()),
        (ToClient, vec![0, 0x5a, 0, 0, 0, 0, 0, 0]),
    ]
}

fn connect(status: &str) -> Vec<Words> {
    let ask = "CONNECT mcp.example.test:8000 HTTP/1.1\r\nHost: mcp.example.test:8000\r\n\r\n";
    vec![
        (ToServer, ask.as_bytes().to_vec()),
        (ToClient, format!("HTTP/1.1 {status}\r\n\r\n").into_bytes()),
    ]
}

/// Conversations for the tests of splits and gaps: words, and something behind them.
pub(crate) fn samples(row: &str) -> Vec<Sample> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let stream = [
        (ToServer, post("/mcp", "", body).into_bytes()),
        (
            ToClient,
            json("200 OK", "", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).into_bytes(),
        ),
    ];
    let all = if row == "PROXY" {
        vec![
            ("a line", vec![(ToServer, LINE.to_vec())]),
            ("binary", vec![(ToServer, version_2(1, &[(2, b"mcp.example.test")]))]),
            ("binary, long", vec![(ToServer, version_2(1, &[(0x20, &[7; 200])]))]),
        ]
    } else {
        vec![
            ("version 5", socks_5(false, NAMED)),
            (
                "version 5 with a password",
                socks_5(true, b"\x01\x0a\x09\0\x05\x1f\x40"),
            ),
            ("version 4", socks_4(b"")),
            ("version 4a", socks_4(b"mcp.example.test\0")),
        ]
    };
    let sample = |(name, words): (&'static str, Vec<Words>)| Sample {
        name,
        turns: words
            .into_iter()
            .chain(stream.clone())
            .map(|(dir, bytes)| -> Turn { (dir, Piece::Bytes(bytes)) })
            .collect(),
        from_start: true,
        ports: [40_000, 1080],
    };
    all.into_iter().map(sample).collect()
}

/// The usual session behind those words.
fn behind(words: &[Words]) -> Script {
    let mut script = Script::default();
    for (index, (ends, act)) in streamable(here()).acts.into_iter().enumerate() {
        script = script.then(ends, act);
        if index == 0 {
            for (dir, bytes) in words {
                let act = if *dir == ToServer {
                    Act::Up(bytes.clone())
                } else {
                    Act::Down(bytes.clone())
                };
                script = script.then(ends, act);
            }
        }
    }
    script
}

fn report(script: &Script) -> Value {
    run::frames(&talk::packets(script, &PLAIN))
}

/// Who asked, under which name, how many requests.
fn seen(report: &Value) -> Vec<(String, Option<String>, Option<u64>)> {
    let servers = report["servers"].as_array().unwrap();
    let one = |server: &Value| {
        assert_eq!(
            (&server["address"], &server["port"]),
            (&"10.9.0.5".into(), &8000.into())
        );
        (
            server["clients"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(" "),
            server["hostname"].as_str().map(str::to_owned),
            server["messages"]["requests"].as_u64(),
        )
    };
    servers.iter().map(one).collect()
}

#[test]
fn what_is_behind_a_relay_is_read() {
    let long = [b'x'; 3000];
    let name = Some("mcp.example.test");
    let (wire, real) = ("10.9.0.20", "192.0.2.7");
    for (what, words, client, hostname) in [
        ("version 1", vec![(ToServer, LINE.to_vec())], real, None),
        ("unknown", vec![(ToServer, b"PROXY UNKNOWN\r\n".to_vec())], wire, None),
        ("version 2", vec![(ToServer, version_2(1, &[]))], real, None),
        (
            "long values",
            vec![(ToServer, version_2(1, &[(0x20, &long), (4, &long)]))],
            real,
            None,
        ),
        ("local", vec![(ToServer, version_2(0, &[]))], wire, None),
        (
            "two prefaces",
            vec![(ToServer, [&version_2(0, &[])[..], LINE].concat())],
            real,
            None,
        ),
        ("SOCKS 5", socks_5(false, NAMED), wire, name),
        ("SOCKS 5 with a password", socks_5(true, NAMED), wire, name),
        ("SOCKS 4", socks_4(b""), wire, Some("10.9.0.5")),
        ("SOCKS 4a", socks_4(b"mcp.example.test\0"), wire, name),
        ("CONNECT", connect("200 Connection established"), wire, name),
        (
            "a preface, CONNECT and SOCKS",
            [vec![(ToServer, LINE.to_vec())], connect("200 OK"), socks_5(true, NAMED)].concat(),
            real,
            name,
        ),
    ] {
        let plain = essence(&report(&behind(&[])));
        for mss in [1460, 3] {
            let script = behind(&words);
            let found = run::frames(&talk::packets(&script, &Wire { mss, ..PLAIN }));
            assert_eq!(
                seen(&found),
                [(client.to_owned(), hostname.map(str::to_owned), Some(3))],
                "{what}"
            );
            assert_eq!(found["servers"][0]["tools"], plain["servers"][0]["tools"], "{what}");
            assert!(!found.to_string().contains("s3cret"), "{what}");
        }
    }
}

/// Refused, wrapped, or carried elsewhere: nothing is read, and nothing is made up.
#[test]
fn what_a_relay_refuses_is_no_server() {
    let mut bind = socks_5(false, NAMED);
    bind[2].1[1] = 2;
    let mut refused = socks_5(false, NAMED);
    refused[3].1[1] = 5;
    for (what, words) in [
        ("no method", vec![(ToServer, vec![5, 1, 0]), (ToClient, vec![5, 0xff])]),
        ("GSSAPI", vec![(ToServer, vec![5, 1, 1]), (ToClient, vec![5, 1])]),
        ("BIND", bind),
        ("refused", refused),
    ] {
        let found = report(&behind(&words));
        assert!(found["servers"].as_array().unwrap().is_empty(), "{what}: {found:#}");
    }
}

/// One direction alone shows what it can.
#[test]
fn one_sided_relays() {
    let only = |words: &[Words], dir: Direction| {
        let mut script = behind(words);
        let wanted = |act: &Act| match act {
            Act::Up(_) => dir == ToServer,
            Act::Down(_) => dir == ToClient,
            _ => true,
        };
        for (_, act) in &mut script.acts {
            if !wanted(act) {
                *act = match std::mem::replace(act, Act::Close) {
                    Act::Up(bytes) => Act::UnseenUp(bytes),
                    Act::Down(bytes) => Act::UnseenDown(bytes),
                    other => other,
                };
            }
        }
        seen(&report(&script))
    };
    let name = Some("mcp.example.test".to_owned());
    let asked = ("10.9.0.20".to_owned(), name, Some(3));
    for words in [socks_5(true, NAMED), socks_4(b"mcp.example.test\0")] {
        assert_eq!(only(&words, ToServer), std::slice::from_ref(&asked), "{words:?}");
    }
}

/// Relays in relays without end: bounded.
#[test]
fn prefaces_without_end_are_given_up() {
    let many = b"PROXY UNKNOWN\r\n".repeat(10_000);
    assert!(seen(&report(&behind(&[(ToServer, many)]))).is_empty());
}

/// Two servers behind one relay are two, each under its own name.
#[test]
fn one_relay_for_two_servers() {
    let other = |ends: Ends| Ends {
        client: (ends.client.0, ends.client.1 + 1),
        ..ends
    };
    let (one, two) = (socks_5(false, NAMED), socks_5(false, b"\x03\x08two.test\x01\xbb"));
    let rename = |script: Script| {
        let acts = script.acts.into_iter().map(|(ends, act)| {
            let act = match act {
                Act::Down(bytes) => Act::Down(String::from_utf8_lossy(&bytes).replace("shelf", "house").into_bytes()),
                act => act,
            };
            (ends, act)
        });
        Script { acts: acts.collect() }
    };
    let mut second = behind(&[]);
    second = rename(second).moved(other);
    let at = second
        .acts
        .iter()
        .position(|(_, act)| matches!(act, Act::Up(_)))
        .unwrap();
    for (dir, bytes) in two.into_iter().rev() {
        let act = if dir == ToServer {
            Act::Up(bytes)
        } else {
            Act::Down(bytes)
        };
        second.acts.insert(at, (other(here()), act));
    }
    let found = report(&behind(&one).chain(second));
    let names: Vec<_> = seen(&found)
        .into_iter()
        .map(|(_, name, _)| name.unwrap_or_default())
        .collect();
    assert_eq!(names, ["mcp.example.test", "two.test"]);
}
