//! Tests of what departs from what is usual, over views made by hand.

use std::collections::BTreeMap;

use super::*;
use crate::detect::fingerprint::Fingerprints;
use crate::detect::signature::Signatures;
use crate::model::net::{Endpoint, FiveTuple, Transport};
use crate::model::past::PastServer;
use crate::model::server::Peer;
use crate::store::fixture::{self, at};

const CLIENT: [u8; 4] = [10, 0, 0, 9];

/// A server at 10.0.0.`host` whose clients first got an answer so many seconds after the start.
fn used(host: u8, clients: &[(IpAddr, i64)]) -> Server {
    let mut server = fixture::server(&format!("id{host}"), &format!("10.0.0.{host}:8000"));
    for (client, seconds) in clients {
        let stamp = at(*seconds, 7);
        let flow = FiveTuple {
            transport: Transport::Tcp,
            client: Endpoint::new(*client, 40_000),
            server: server.endpoint,
        };
        let mark = Mark {
            at: stamp,
            flow,
            session: None,
        };
        let peer = Peer {
            seen: Span::at(stamp),
            began: stamp,
            answered: Some(mark),
            open: None,
            cleartext: None,
            credential: None,
        };
        server.peers.insert(*client, peer);
    }
    let first = clients.iter().map(|(_, seconds)| *seconds).min().unwrap_or(0);
    server.seen = fixture::span(first, first + 3_600);
    server
}

fn looked_up(client: IpAddr, seconds: i64) -> Lookup {
    Lookup {
        name: "registry.example".to_owned(),
        kind: Some("A".to_owned()),
        signature: "example".into(),
        category: "registry",
        via: "dns",
        client,
        connected: None,
        count: 1,
        seen: Span::at(at(seconds, 3)),
    }
}

/// What earlier runs saw of a server: (seconds before the start, requests, clients) for each.
fn past(server: &str, runs: &[(i64, u64, &[IpAddr])]) -> Past {
    let states = runs.iter().map(|(before, requests, clients)| PastState {
        first: at(-before - 3_600, 0).time,
        last: at(-before, 0).time,
        name: None,
        version: None,
        instructions_sha256: None,
        auth: None,
        requests: *requests,
        clients: clients.iter().copied().collect(),
    });
    let server_past = PastServer {
        states: states.collect(),
        tools: BTreeMap::new(),
    };
    Past {
        servers: BTreeMap::from([(server.to_owned(), server_past)]),
        places: BTreeMap::new(),
    }
}

/// Rules, severities and clients of what is told.
fn told(view: &View) -> Vec<(String, &'static str, Option<IpAddr>)> {
    let rules = Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::default(),
        fingerprints: Fingerprints::random(),
    };
    let detector = Behaviour::build(&rules);
    let mut out = Findings::default();
    view.servers
        .iter()
        .for_each(|server| detector.review(server, view, &mut out));
    detector.review_all(view, &mut out);
    let findings = out.findings.iter();
    findings
        .map(|finding| {
            (
                finding.key.rule.to_string(),
                finding.severity.word(),
                finding.key.client,
            )
        })
        .collect()
}

#[test]
fn a_registry_and_then_a_new_server_are_one_story() {
    let client = IpAddr::from(CLIENT);
    let other = IpAddr::from([10, 0, 0, 8]);
    let host = IpAddr::from([10, 0, 0, 5]);
    let story = |severity, client| vec![("install-path".to_owned(), severity, Some(client))];
    for (what, lookup, past, expect) in [
        ("without a baseline", (client, 100), None, story("low", client)),
        (
            "with a store that knows other servers",
            (client, 100),
            Some(past("other", &[(100, 1, &[])])),
            story("medium", client),
        ),
        (
            "the client used it before",
            (client, 100),
            Some(past("id5", &[(100, 1, &[client])])),
            vec![],
        ),
        (
            "another used it before",
            (client, 100),
            Some(past("id5", &[(100, 1, &[other])])),
            story("medium", client),
        ),
        (
            "it runs where the registry was looked up",
            (host, 100),
            None,
            story("low", host),
        ),
        ("by somebody else", (other, 100), None, vec![]),
        ("afterwards", (client, 300), None, vec![]),
        ("two hours before", (client, 200 - 7_200), None, vec![]),
    ] {
        let view = View {
            servers: vec![used(5, &[(client, 200)])],
            lookups: vec![looked_up(lookup.0, lookup.1)],
            past: past.map(Arc::new),
            ..View::default()
        };
        assert_eq!(told(&view), expect, "{what}");
    }
}

#[test]
fn a_jump_of_volume_needs_a_baseline() {
    let client = IpAddr::from(CLIENT);
    let jump = vec![("volume-jump".to_owned(), "low", None)];
    let runs: &[(i64, u64, &[IpAddr])] = &[
        (90_000, 90, &[client]),
        (50_000, 120, &[client]),
        (10_000, 100, &[client]),
    ];
    for (requests, runs, expect) in [(5_000, runs, jump), (1_100, runs, vec![]), (5_000, &runs[..2], vec![])] {
        let mut server = used(5, &[(client, 0)]);
        server.messages.requests = requests;
        let view = View {
            servers: vec![server],
            past: Some(Arc::new(past("id5", runs))),
            ..View::default()
        };
        assert_eq!(told(&view), expect, "{requests} {runs:?}");
    }
}

#[test]
fn a_known_server_that_asks_another_one_is_told_once_it_is_new() {
    let host = IpAddr::from([10, 0, 0, 5]);
    let servers = || vec![used(5, &[(CLIENT.into(), 0)]), used(6, &[(host, 10)])];
    let told_with = |past: Option<Past>| {
        told(&View {
            servers: servers(),
            past: past.map(Arc::new),
            ..View::default()
        })
    };
    let new = vec![("new-upstream".to_owned(), "low", Some(host))];
    let mut both = past("id5", &[(100, 1, &[])]);
    assert_eq!(told_with(Some(both.clone())), new);
    both.servers.extend(past("id6", &[(100, 1, &[host])]).servers);
    assert_eq!(told_with(Some(both)), vec![]);
    assert_eq!(told_with(None), vec![]);
}
