//! DNS: conversations for the split and gap tests, and names that lead to servers, whichever shard sees what.

mod wire;

use serde_json::Value;
use shadowtap::engine::settings::Settings;
use shadowtap::model::net::Direction;

use crate::conversations;
use crate::run;
use crate::splits::{Piece, Sample, client_hello};
use crate::talk::{self, Act, End, Ends, PLAIN, Script, ends};
use wire::{A, aliased, answer, ask, datagram, framed, message, question, record, service, with_key};

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
fn services_and_hosts_tell_everybody_where_they_are() {
    let (bonjour, group) = ((SERVER.parse().unwrap(), 5353), ("224.0.0.251".parse().unwrap(), 5353));
    let told = Story::default().said(90, bonjour, group, &service(SERVER));
    let report = told.report();
    let server = &report["servers"][0];
    assert_eq!(
        (
            &server["hostname"],
            &server["port"],
            &server["path"],
            &server["evidence"]
        ),
        (&"box.local".into(), &8080.into(), &"/mcp".into(), &"dns".into())
    );
    assert_eq!(
        (
            &server["transport"],
            &server["encryption"],
            server["confidence"].as_f64()
        ),
        (&Value::Null, &"none".into(), Some(0.5))
    );
    assert_eq!(report["findings"].as_array().unwrap().len(), 0);
    // What was read is what counts, and gets the name of its host.
    let at = |port| conversations::streamable(ends((CLIENT, 41_000), (SERVER, port)));
    let used = told.clone().plays(100, &at(8080));
    let one = ("box.local".to_owned(), "message".to_owned(), vec![CLIENT.to_owned()]);
    assert_eq!(used.servers(), std::slice::from_ref(&one));
    let beside = told.plays(100, &at(8000));
    assert_eq!(
        beside.servers(),
        [one, ("box.local".to_owned(), "dns".to_owned(), vec![])]
    );
}

#[test]
fn encrypted_dns_is_a_blind_spot_and_nothing_else() {
    let flows = |story: &Story| {
        let report = story.report();
        assert_eq!(report["servers"].as_array().unwrap().len(), 0);
        assert_eq!(report["findings"].as_array().unwrap().len(), 0);
        let (blind, clients) = (
            &report["capture"]["blind"],
            &report["capture"]["blind"]["encrypted_dns_clients"],
        );
        let by_client: u64 = clients
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["flows"].as_u64().unwrap())
            .sum();
        assert_eq!(blind["encrypted_dns_flows"], by_client);
        by_client
    };
    let connect = |server: (&str, u16), hello: &[u8]| {
        let ends = ends((CLIENT, 42_000), server);
        let script = Script::default().then(ends, Act::Open);
        let script = script.up(ends, hello).down(ends, [22, 3, 3, 0, 4, 2, 0, 0, 0]);
        Story::default().plays(100, &script)
    };
    let (edge, nameless) = ("203.0.113.9", hello(None, false));
    let named = |name| hello(Some(name), false);
    assert_eq!(flows(&connect((edge, 853), &named("any.vendor.test"))), 1);
    assert_eq!(flows(&connect((edge, 443), &named("dns.google"))), 1);
    assert_eq!(flows(&connect((edge, 443), &named("me.dns.nextdns.io"))), 1);
    assert_eq!(flows(&connect(("1.1.1.1", 443), &nameless)), 1);
    assert_eq!(flows(&connect(("1.1.1.1", 443), &named("www.vendor.test"))), 0);
    assert_eq!(flows(&connect((edge, 443), &nameless)), 0);
    // A resolver that DNS told of, by its name or by what is spoken there.
    let asked = |answer| connect((edge, 443), &nameless).told(90, CLIENT, 5_000, answer);
    assert_eq!(flows(&asked(answer(7, "doh.dns.sb", 60, &[edge]))), 1);
    assert_eq!(flows(&asked(answer(7, "www.dns.sb.test", 60, &[edge]))), 0);
    let data = [&[0, 1, 0][..], &[0, 1, 0, 4], b"\x03dot", &[0, 4, 0, 4, 203, 0, 113, 9]].concat();
    let (name, binding) = ("_dns.resolver.arpa", record(&[0xc0, 12], 64, 300, &data));
    let discovered = message(7, 0x8180, [1, 1, 0, 0], &[ask(name, 64), binding].concat());
    assert_eq!(flows(&asked(discovered)), 1);
    // In clear, or opened by key material: told by the kind of the message.
    let ends = ends((CLIENT, 43_000), (edge, 80));
    let post = "POST /q HTTP/1.1\r\nHost: doh.vendor.test\r\nContent-Type: application/dns-message\r\n\
                Content-Length: 4\r\n\r\nabcd";
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let readable = Script::default().then(ends, Act::Open).up(ends, post).down(ends, page);
    assert_eq!(
        flows(&Story::default().plays(100, &readable.up(ends, post).down(ends, page))),
        1
    );
}

/// A name that led to a public address and then to that of the server, which answers to it. The other way round, by other
/// clients, or much later, it is a name like any other.
#[test]
fn a_name_that_is_bound_anew_is_told() {
    let page = "page.shelf.example";
    let named = |client: &str| {
        let mut script = session(client);
        for (_, act) in &mut script.acts {
            if let Act::Up(bytes) = act {
                let text =
                    String::from_utf8_lossy(bytes).replace("Host: 10.9.0.5:8000", "Host: page.shelf.example:8000");
                *bytes = text.into_bytes();
            }
        }
        script
    };
    let told = |answers: &[(i64, &str, &str)]| {
        let mut story = Story::default();
        for (number, (second, client, addr)) in answers.iter().enumerate() {
            let port = 50_000 + u16::try_from(number).unwrap();
            story = story.told(*second, client, port, answer(1, page, 5, &[addr]));
        }
        let report = story.plays(2_000, &named(CLIENT)).report();
        let findings = report["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["kind"] == "dns-rebinding").count()
    };
    assert_eq!(told(&[(1_900, CLIENT, "8.8.8.8"), (1_990, CLIENT, SERVER)]), 1);
    assert_eq!(told(&[(1_900, CLIENT, SERVER), (1_990, CLIENT, "8.8.8.8")]), 0);
    assert_eq!(told(&[(1_900, "10.9.0.21", "8.8.8.8"), (1_990, CLIENT, SERVER)]), 0);
    assert_eq!(told(&[(100, CLIENT, "8.8.8.8"), (1_990, CLIENT, SERVER)]), 0);
    assert_eq!(told(&[(1_990, CLIENT, SERVER)]), 0);
}
