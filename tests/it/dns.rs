//! DNS: conversations for the split and gap tests, and names that lead to servers, whichever shard sees what.

use std::net::IpAddr;

use serde_json::Value;
use shadowtap::engine::settings::Settings;
use shadowtap::model::net::Direction;

use crate::conversations;
use crate::run;
use crate::splits::{Piece, Sample, client_hello};
use crate::talk::{self, Act, End, Ends, PLAIN, Script, ends};

use Direction::{ToClient, ToServer};

/// Conversations of both rows.
pub(crate) fn samples(row: &str) -> Vec<Sample> {
    let sample = |name, turns: &[(Direction, Vec<u8>)], ports| Sample {
        name,
        turns: turns
            .iter()
            .map(|(dir, bytes)| (*dir, Piece::Bytes(bytes.clone())))
            .collect(),
        from_start: true,
        ports,
    };
    let name = "registry.example.test";
    let (asked, told) = (question(1, name, A), answer(1, name, 60, &["10.0.0.1"]));
    let alias = aliased(2, name, "edge.example.net", "10.0.0.2");
    if row == "dns" {
        return vec![
            sample("lookup", &[(ToServer, asked), (ToClient, told)], [40_000, 53]),
            sample(
                "alias",
                &[(ToServer, question(2, name, A)), (ToClient, alias)],
                [40_000, 53],
            ),
            sample(
                "hosts and services of a link",
                &[(ToServer, service("192.168.1.7"))],
                [5353, 5353],
            ),
        ];
    }
    let both = |one: &[u8], two: &[u8]| [framed(one), framed(two)].concat();
    vec![
        sample(
            "two lookups",
            &[(ToServer, both(&asked, &asked)), (ToClient, both(&told, &told))],
            [40_000, 53],
        ),
        sample(
            "pipelined, answered in another order",
            &[
                (ToServer, both(&asked, &question(2, name, A))),
                (ToClient, both(&alias, &told)),
            ],
            [40_000, 53],
        ),
    ]
}

const A: u16 = 1;
const AAAA: u16 = 28;
const HTTPS: u16 = 65;

fn wire_name(name: &str) -> Vec<u8> {
    let labels = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn message(id: u16, flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    words
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .chain(body.iter().copied())
        .collect()
}

fn ask(name: &str, kind: u16) -> Vec<u8> {
    [&wire_name(name)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], &ask(name, kind))
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let head = [
        &kind.to_be_bytes()[..],
        &[0, 1],
        &ttl.to_be_bytes(),
        &(data.len() as u16).to_be_bytes(),
    ]
    .concat();
    [owner, &head, data].concat()
}

fn octets(addr: &str) -> (u16, Vec<u8>) {
    match addr.parse().unwrap() {
        IpAddr::V4(addr) => (A, addr.octets().to_vec()),
        IpAddr::V6(addr) => (AAAA, addr.octets().to_vec()),
    }
}

/// An answer with addresses whose owner is a pointer to the question.
fn answer(id: u16, name: &str, ttl: u32, addrs: &[&str]) -> Vec<u8> {
    let records = addrs.iter().flat_map(|addr| {
        let (kind, data) = octets(addr);
        record(&[0xc0, 12], kind, ttl, &data)
    });
    let body: Vec<u8> = ask(name, octets(addrs[0]).0).into_iter().chain(records).collect();
    message(id, 0x8180, [1, addrs.len() as u16, 0, 0], &body)
}

fn aliased(id: u16, name: &str, target: &str, addr: &str) -> Vec<u8> {
    let alias = record(&[0xc0, 12], 5, 300, &wire_name(target));
    let last = record(&wire_name(target), A, 60, &octets(addr).1);
    message(id, 0x8180, [1, 2, 0, 0], &[ask(name, A), alias, last].concat())
}

/// An HTTPS record with a key for encrypted hellos.
fn with_key(id: u16, name: &str) -> Vec<u8> {
    let data = [&[0, 1, 0][..], &[0, 5, 0, 3], b"key"].concat();
    message(
        id,
        0x8180,
        [1, 1, 0, 0],
        &[ask(name, HTTPS), record(&[0xc0, 12], HTTPS, 300, &data)].concat(),
    )
}

/// A multicast answer: the service, its host and the host's address.
fn service(addr: &str) -> Vec<u8> {
    let (instance, host) = (wire_name("shelf._mcp._tcp.local"), wire_name("box.local"));
    let srv = [&[0, 0, 0, 0, 0x1f, 0x90][..], &host].concat();
    let body = [
        record(&wire_name("_mcp._tcp.local"), 12, 4500, &instance),
        record(&instance, 33, 120, &srv),
        record(&instance, 16, 4500, b"\x09path=/mcp"),
        record(&host, A, 120, &octets(addr).1),
    ];
    message(0, 0x8400, [0, 4, 0, 0], &body.concat())
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// A UDP datagram over Ethernet and IPv4.
fn datagram(src: End, dst: End, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (src.0, dst.0) else {
        panic!("IPv4 only");
    };
    let length = 8 + payload.len() as u16;
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0];
    out.extend((length + 20).to_be_bytes());
    out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend(from.octets());
    out.extend(to.octets());
    out.extend([src.1.to_be_bytes(), dst.1.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat());
    out.extend(payload);
    out
}

const START: i64 = 1_795_168_800_000_000_000;

/// What happens at which second.
#[derive(Clone, Default)]
struct Story(Vec<(i64, Vec<u8>)>);

impl Story {
    /// A client asks its resolver from a port of its own, and gets this answer.
    fn told(mut self, second: i64, client: &str, port: u16, answer: Vec<u8>) -> Self {
        let (client, resolver) = ((client.parse().unwrap(), port), ("10.9.0.1".parse().unwrap(), 53));
        self.0
            .push((START + second * 1_000_000_000, datagram(resolver, client, &answer)));
        self
    }

    /// The same over a datagram of its own kind.
    fn said(mut self, second: i64, src: End, dst: End, payload: &[u8]) -> Self {
        self.0
            .push((START + second * 1_000_000_000, datagram(src, dst, payload)));
        self
    }

    fn plays(mut self, second: i64, script: &Script) -> Self {
        let frames = talk::packets(script, &PLAIN);
        let first = frames[0].0;
        let moved = frames
            .into_iter()
            .map(|(at, frame)| (at - first + START + second * 1_000_000_000, frame));
        self.0.extend(moved);
        self
    }

    /// The report: the same for any number of workers, and for tallies that are handed over at once.
    fn report(&self) -> Value {
        let mut frames = self.0.clone();
        frames.sort_by_key(|(at, _)| *at);
        let (one, report) = run::frames_with(&frames, run::settings(), 1);
        let eager = Settings {
            eager: true,
            ..run::settings()
        };
        for (settings, workers) in [(run::settings(), 4), (run::settings(), 7), (eager, 3)] {
            assert!(
                one == run::frames_with(&frames, settings, workers).0,
                "{workers} workers give another report"
            );
        }
        report
    }

    /// Hostname, evidence and clients of every server.
    fn servers(&self) -> Vec<(String, String, Vec<String>)> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let report = self.report();
        let servers = report["servers"].as_array().unwrap().iter();
        servers
            .map(|server| {
                let clients = server["clients"].as_array().unwrap().iter().map(text).collect();
                (text(&server["hostname"]), text(&server["evidence"]), clients)
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.servers().into_iter().map(|(name, ..)| name).collect()
    }
}

const CLIENT: &str = "10.9.0.20";
const SERVER: &str = "10.9.0.5";

/// The usual session, whose `Host` is an address.
fn session(client: &str) -> Script {
    conversations::streamable(ends((client, 41_000), (SERVER, 8000)))
}

#[test]
fn a_server_without_a_name_gets_the_one_that_led_to_it() {
    let story = || Story::default().plays(100, &session(CLIENT));
    let told = |second, client, name, ttl| story().told(second, client, 5_000, answer(7, name, ttl, &[SERVER]));
    assert_eq!(story().names(), ["-"]);
    assert_eq!(told(90, CLIENT, "Shelf.corp.test", 60).names(), ["shelf.corp.test"]);
    // Too late; too old, the grace included; of another.
    assert_eq!(told(101, CLIENT, "shelf.corp.test", 60).names(), ["-"]);
    assert_eq!(told(-261, CLIENT, "shelf.corp.test", 60).names(), ["-"]);
    assert_eq!(told(-259, CLIENT, "shelf.corp.test", 60).names(), ["shelf.corp.test"]);
    assert_eq!(
        told(90, "10.9.0.21", "shelf.corp.test", 60).names(),
        ["shelf.corp.test"]
    );
    // The client's own answer before any other, and the latest before earlier ones.
    let own = told(80, CLIENT, "own.test", 60).told(90, "10.9.0.21", 5_001, answer(8, "other.test", 60, &[SERVER]));
    assert_eq!(own.names(), ["own.test"]);
    let later = told(80, CLIENT, "early.test", 60).told(90, CLIENT, 5_001, answer(8, "late.test", 60, &[SERVER]));
    assert_eq!(later.names(), ["late.test"]);
    // Behind an alias the name that was asked for; a reverse look-up and a service are no names of servers.
    assert_eq!(
        story()
            .told(90, CLIENT, 5_000, aliased(7, "asked.test", "edge.test", SERVER))
            .names(),
        ["asked.test"]
    );
    assert_eq!(told(90, CLIENT, "5.0.9.10.in-addr.arpa", 60).names(), ["-"]);
    assert_eq!(told(90, CLIENT, "a b.test", 60).names(), ["-"]);
}

#[test]
fn a_name_that_was_said_is_never_overruled() {
    let spoken = Script {
        acts: session(CLIENT)
            .acts
            .into_iter()
            .map(|(ends, act)| match act {
                Act::Up(bytes) => {
                    let text = String::from_utf8(bytes).unwrap();
                    (
                        ends,
                        Act::Up(text.replacen("Host: ", "Host: said.test\r\nX-Was: ", 1).into_bytes()),
                    )
                }
                other => (ends, other),
            })
            .collect(),
    };
    let story = Story::default()
        .plays(100, &spoken)
        .told(90, CLIENT, 5_000, answer(7, "asked.test", 60, &[SERVER]));
    assert_eq!(story.names(), ["said.test"]);
}

/// A hello without a name, and with an encrypted one behind another.
fn hello(name: Option<&str>, hidden: bool) -> Vec<u8> {
    let mut hello = client_hello(name.unwrap_or("none.test"));
    let replace = |hello: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let at = hello.windows(from.len()).position(|window| window == from).unwrap();
        hello[at..at + to.len()].copy_from_slice(to);
    };
    if name.is_none() {
        // The extension of another kind.
        replace(&mut hello, &[0, 0, 0, 14, 0, 12, 0], &[0xab, 0xcd, 0, 14, 0, 12, 0]);
    }
    if hidden {
        replace(&mut hello, &[0xfa, 0xfa, 0, 200], &[0xfe, 0x0d, 0, 200]);
    }
    hello
}

fn encrypted(client: &str, server: &str, hello: &[u8]) -> Script {
    let ends: Ends = ends((client, 42_000), (server, 443));
    Script::default()
        .then(ends, Act::Open)
        .up(ends, hello)
        .down(ends, [22, 3, 3, 0, 4, 2, 0, 0, 0])
}

#[test]
fn an_encrypted_flow_without_a_name_is_where_dns_led() {
    let (known, shape, shared) = ("mcp.asana.com", "mcp.vendor.test", "api.githubcopilot.com");
    let edge = "203.0.113.9";
    let story = |name, hello: &[u8]| {
        Story::default()
            .told(90, CLIENT, 5_000, answer(7, name, 60, &[edge]))
            .plays(100, &encrypted(CLIENT, edge, hello))
    };
    let nameless = hello(None, false);
    for (name, confidence) in [(known, 0.9), (shape, 0.3), (shared, 0.2)] {
        let report = story(name, &nameless).report();
        let server = &report["servers"][0];
        assert_eq!(
            (
                &server["hostname"],
                &server["evidence"],
                &server["transport"],
                server["confidence"].as_f64()
            ),
            (
                &name.into(),
                &"dns".into(),
                &"unknown-encrypted".into(),
                Some(confidence)
            ),
        );
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), usize::from(name == known), "{findings:?}");
        assert!(findings.iter().all(|finding| finding["kind"] == "remote-endpoint"));
    }
    assert!(story("www.vendor.test", &nameless).names().is_empty());
    // The name that a hello shows is the better witness.
    assert!(story(known, &hello(Some("www.vendor.test"), false)).names().is_empty());
    // Another name for the same address came last.
    let other = answer(8, "www.vendor.test", 60, &[edge]);
    assert!(
        story(known, &nameless)
            .told(95, CLIENT, 5_001, other)
            .names()
            .is_empty()
    );
}

#[test]
fn an_encrypted_hello_hides_a_name_that_has_a_key() {
    let edge = "203.0.113.9";
    let hidden = hello(Some("front.test"), true);
    let story = || {
        Story::default()
            .told(90, CLIENT, 5_000, answer(7, "mcp.asana.com", 60, &[edge]))
            .plays(100, &encrypted(CLIENT, edge, &hidden))
    };
    // Without a key in DNS the extension is an imitation.
    assert!(story().names().is_empty());
    let keyed = || story().told(91, CLIENT, 5_001, with_key(8, "mcp.asana.com"));
    assert_eq!(
        keyed().servers(),
        [("mcp.asana.com".to_owned(), "dns".to_owned(), vec![CLIENT.to_owned()])]
    );
    // The name that it shows was asked for as well: it is the true one.
    assert!(
        keyed()
            .told(92, CLIENT, 5_002, answer(9, "front.test", 60, &[edge]))
            .names()
            .is_empty()
    );
}

#[test]
fn what_is_dropped_is_the_same_for_any_number_of_workers() {
    let mut story = Story::default().plays(500, &session(CLIENT));
    for number in 0..600_u16 {
        let name = format!("host-{number}.corp.test");
        let client = format!("10.9.1.{}", number % 7);
        story = story.told(
            400 + i64::from(number) / 10,
            &client,
            5_000 + number,
            answer(number, &name, 60, &[SERVER]),
        );
    }
    let mut settings = run::settings();
    settings.inventory = run::tight_inventory();
    let (one, report) = run::frames_with(&story.0, settings.clone(), 1);
    assert!(report["servers"][0]["hostname"].as_str().unwrap().starts_with("host-5"));
    for workers in [2, 5] {
        assert!(one == run::frames_with(&story.0, settings.clone(), workers).0);
    }
}

#[test]
fn multicast_answers_are_for_everybody() {
    let (bonjour, group) = ((SERVER.parse().unwrap(), 5353), ("224.0.0.251".parse().unwrap(), 5353));
    let story = Story::default()
        .plays(100, &session(CLIENT))
        .said(90, bonjour, group, &service(SERVER));
    assert_eq!(story.names(), ["box.local"]);
}
