//! Hand-made views for tests: the one place outside the inventory that builds servers.

mod messages;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

pub(crate) use messages::talk;

use crate::model::event::Event;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Sample, Severity, SiteKey};
use crate::model::mcp::{Auth, McpTransport, Revision};
use crate::model::net::{Direction, Endpoint, FiveTuple, Scope, Transport};
use crate::model::server::{
    Client, Definition, Encryption, Lookup, Mark, Messages, Reported, Server, ServerEvidence, Session, Tool, View,
};
use crate::model::stamp::{Span, Stamp, Timestamp};

/// 2026-11-20T10:00:00Z.
pub(crate) const START: i64 = 1_795_168_800_000_000_000;

/// A stamp some seconds after [`START`].
pub(crate) fn at(seconds: i64, packet: u64) -> Stamp {
    Stamp {
        time: Timestamp::from_nanos(START + seconds * 1_000_000_000),
        source: 0,
        packet,
    }
}

/// A span of seconds after [`START`].
pub(crate) fn span(first: i64, last: i64) -> Span {
    Span {
        first: at(first, first.unsigned_abs() + 1),
        last: at(last, last.unsigned_abs() + 1),
    }
}

/// A plain server without tools.
pub(crate) fn server(id: &str, endpoint: &str) -> Server {
    let endpoint: std::net::SocketAddr = endpoint.parse().unwrap();
    Server {
        id: id.to_owned(),
        sites: Vec::new(),
        endpoint: Endpoint::new(endpoint.ip(), endpoint.port()),
        hostname: None,
        path: Some("/mcp".into()),
        transports: vec![McpTransport::StreamableHttp],
        encryption: Encryption::None,
        outer: None,
        decrypted: false,
        evidence: ServerEvidence::Message,
        confidence: 1.0,
        inferred: None,
        server_name: Some("weather".to_owned()),
        server_version: Some("1.2.0".to_owned()),
        instructions_sha256: None,
        protocol_versions: vec![Revision::parse("2025-06-18").unwrap()],
        tools: Vec::new(),
        resources: 0,
        prompts: 0,
        auth: Some(Auth::None),
        any_origin: false,
        bound_before: None,
        hosted: None,
        scope: Scope::of(endpoint.ip()),
        approval: None,
        seen: span(0, 10),
        sessions: 1,
        clients: vec!["10.0.0.9".parse().unwrap()],
        messages: Messages {
            requests: 2,
            responses: 2,
            errors: 1,
            notifications: 1,
            by_method: BTreeMap::from([("initialize".to_owned(), 1), ("tools/list".to_owned(), 1)]),
        },
        identities: Vec::new(),
        instructions: Vec::new(),
        peers: BTreeMap::new(),
        listings: Vec::new(),
        calls: BTreeMap::new(),
    }
}

/// A tool with one definition.
pub(crate) fn tool(name: &str, digest: u8) -> Tool {
    Tool {
        name: name.to_owned(),
        sha256: [digest; 32],
        description_sha256: Some([digest ^ 0xff; 32]),
        gone: false,
        definition: document(digest),
        seen: span(i64::from(digest), i64::from(digest) + 5),
        mark: mark(),
        given: BTreeMap::new(),
        earlier: Vec::new(),
    }
}

/// Some evidence: no report shows it but through a finding.
fn mark() -> Mark {
    let end = Endpoint::new(IpAddr::from([10, 0, 0, 5]), 8000);
    let flow = FiveTuple {
        transport: Transport::Tcp,
        client: end,
        server: end,
    };
    Mark {
        at: Stamp::default(),
        flow,
        session: None,
    }
}

fn document(digest: u8) -> Arc<str> {
    format!("{{\"name\":\"tool\",\"version\":{digest}}}").into()
}

/// A finding about a server.
pub(crate) fn finding(id: &str, kind: Kind, severity: Severity, server: Option<&Server>) -> Reported {
    let site = server.map(|server| SiteKey {
        endpoint: server.endpoint,
        hostname: server.hostname.clone(),
        path: server.path.clone(),
    });
    let client: IpAddr = "10.0.0.9".parse().unwrap();
    let flow = server.map(|server| FiveTuple {
        transport: Transport::Tcp,
        client: Endpoint::new(client, 50_000),
        server: server.endpoint,
    });
    Reported {
        id: id.to_owned(),
        server_id: server.map(|server| server.id.clone()),
        finding: Finding {
            key: FindingKey {
                kind,
                rule: "rule".into(),
                site,
                client: Some(client),
                tool: Some("get_forecast".to_owned()),
                direction: Some(Direction::ToServer),
                place: Some("params.arguments.token".to_owned()),
                subject: None,
            },
            severity,
            confidence: 0.951,
            title: "an AWS access key inside a tool call".to_owned(),
            references: vec!["OWASP-MCP01".to_owned()],
            count: 2,
            seen: span(3, 4),
            evidence: Evidence {
                sample: Some(Sample::redacted("AKIA…".to_owned())),
                session: Some(0xabc),
                flow,
            },
            detail: BTreeMap::from([("name".to_owned(), "example.test".to_owned())]),
        },
    }
}

/// Two servers, three clients, a changed tool, lookups, a session and findings of several severities.
pub(crate) fn view() -> View {
    let mut weather = server("aa11", "10.0.0.5:8000");
    weather.hostname = Some("mcp.example.test".into());
    let mut changed = tool("get_forecast", 9);
    let before = Definition {
        sha256: [3; 32],
        definition: document(3),
        seen: span(1, 2),
        mark: mark(),
        given: BTreeMap::new(),
    };
    let first = Definition {
        sha256: [7; 32],
        definition: document(7),
        seen: span(1, 1),
        mark: mark(),
        given: BTreeMap::new(),
    };
    changed.earlier = vec![before, first];
    weather.tools = vec![
        changed,
        Tool {
            gone: true,
            ..tool("sun\u{202e}rise\n", 4)
        },
    ];
    let mut remote = server("bb22", "[fd88::4]:443");
    remote.encryption = Encryption::Tls;
    remote.evidence = ServerEvidence::Sni;
    remote.confidence = 0.666;
    remote.transports = vec![McpTransport::StreamableHttp, McpTransport::HttpSse];
    remote.path = None;
    remote.auth = None;
    remote.approval = Some("approve[0]".to_owned());
    remote.clients = vec!["10.0.0.9".parse().unwrap(), "fd88::9".parse().unwrap()];
    let mut view = View::default();
    view.capture.sources = vec!["a.pcap".to_owned()];
    view.capture.seen = Some((at(0, 1).time, at(20, 9).time));
    view.capture.counters.packets = 100;
    view.capture.counters.bytes = 123_456;
    view.capture.counters.flows = 7;
    view.capture.counters.lost.gap_bytes = 42;
    view.capture.counters.blind.encrypted_flows = 3;
    view.capture.counters.blind.encrypted_bytes = 99_000;
    view.clients = vec![
        client("10.0.0.9", Some("claude-code"), &weather),
        client("10.0.0.9", None, &remote),
        client("fd88::9", Some("=x"), &remote),
    ];
    view.clients.sort_by(|a, b| (a.addr, &a.name).cmp(&(b.addr, &b.name)));
    view.lookups = vec![
        lookup("api.example.test", None, "sni"),
        lookup("smithery.ai", Some("A"), "dns"),
    ];
    view.sessions = vec![session("5e55", &weather)];
    view.findings = vec![
        finding("f3", Kind::SecretInTransit, Severity::High, Some(&weather)),
        finding("f1", Kind::UnapprovedServer, Severity::Medium, Some(&weather)),
        finding("f2", Kind::RegistryLookup, Severity::Info, None),
    ];
    view.messages = talk(&mut weather, [10, 0, 0, 9].into(), 2, "get_forecast");
    view.messages
        .extend(talk(&mut remote, [10, 0, 0, 9].into(), 3, "https"));
    view.servers = vec![weather, remote];
    view
}

fn client(addr: &str, name: Option<&str>, server: &Server) -> Client {
    Client {
        addr: addr.parse().unwrap(),
        name: name.map(str::to_owned),
        version: name.map(|_| "2.0".to_owned()),
        user_agent: Some("agent/1".to_owned()),
        ja4: None,
        servers: vec![server.endpoint],
        seen: span(0, 9),
    }
}

fn lookup(name: &str, kind: Option<&str>, via: &'static str) -> Lookup {
    Lookup {
        connected: None,
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        signature: "smithery".into(),
        category: "registry",
        via,
        client: "10.0.0.9".parse().unwrap(),
        count: 3,
        seen: span(2, 8),
    }
}

fn session(id: &str, server: &Server) -> Session {
    Session {
        id: id.to_owned(),
        server_id: server.id.clone(),
        server: server.endpoint,
        client: Some("10.0.0.9".parse().unwrap()),
        client_name: Some("claude-code".to_owned()),
        protocol_version: Revision::parse("2025-06-18"),
        transport: McpTransport::StreamableHttp,
        seen: span(0, 9),
        messages: 5,
        calls: BTreeMap::from([("get_forecast".to_owned(), 2)]),
        conduct: crate::model::conduct::Conduct::default(),
    }
}

/// Everything in a view as the events that a sink gets.
pub(crate) fn events(view: &View) -> Vec<Event> {
    let mut events = vec![Event::Capture(Box::new(view.capture.clone()))];
    events.extend(
        view.servers
            .iter()
            .cloned()
            .map(|server| Event::Server(Box::new(server))),
    );
    events.extend(
        view.clients
            .iter()
            .cloned()
            .map(|client| Event::Client(Box::new(client))),
    );
    events.extend(
        view.lookups
            .iter()
            .cloned()
            .map(|lookup| Event::Lookup(Box::new(lookup))),
    );
    events.extend(
        view.sessions
            .iter()
            .cloned()
            .map(|session| Event::Session(Box::new(session))),
    );
    events.extend(
        view.findings
            .iter()
            .cloned()
            .map(|finding| Event::Finding(Box::new(finding))),
    );
    events.extend(view.messages.iter().cloned().map(|row| Event::Message(Box::new(row))));
    events
}

/// Text as a hostile peer would choose it.
pub(crate) fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("\\u0000"),
        Just("\0"),
        Just("\u{1b}[31m"),
        Just("\u{202e}"),
        Just("\u{9b}2J"),
        Just("%"),
        Just("_"),
        Just("=cmd()"),
        Just("é"),
        Just("漢字"),
        Just("\n"),
        Just("\r\n"),
        Just(","),
        Just("\u{e0041}"),
        Just("\u{ffff}"),
        Just("{\"a\":1}"),
        Just("DROP TABLE servers_raw;--"),
        Just("z"),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// Views with a few servers, tools, clients, lookups, sessions and findings that share addresses and texts.
pub(crate) fn views() -> impl Strategy<Value = View> {
    let seeds = proptest::collection::vec((0_u8..6, 0_u8..6, 0_i64..30, nasty(), nasty()), 0..6);
    let findings = proptest::collection::vec((0_usize..28, 0_usize..5, 0_i64..30, nasty(), 0_usize..7), 0..6);
    (seeds, findings).prop_map(|(seeds, findings)| {
        let mut view = View::default();
        for (nth, (host, digest, start, name, path)) in seeds.into_iter().enumerate() {
            let endpoint = if host % 2 == 0 {
                format!("10.0.0.{host}:{}", 80 + digest)
            } else {
                format!("[fd88::{host}]:80")
            };
            let mut server = server(&format!("id{nth}"), &endpoint);
            (server.server_name, server.path) = (Some(name.clone()), (digest > 1).then(|| path.as_str().into()));
            server.hostname = (host > 2).then(|| name.as_str().into());
            server.approval = (digest == 3).then(|| path.clone());
            server.seen = span(start, start + i64::from(digest));
            server.messages.by_method.insert(path.clone(), 3);
            server.confidence = f32::from(digest) / 7.0;
            let mut changed = tool(&name, digest);
            changed.earlier = (0..digest.min(3))
                .map(|old| Definition {
                    sha256: [old; 32],
                    definition: document(old),
                    seen: span(start, start + 1),
                    mark: mark(),
                    given: BTreeMap::new(),
                })
                .collect();
            changed.earlier.retain(|definition| definition.sha256 != changed.sha256);
            server.tools = if host == 4 { Vec::new() } else { vec![changed] };
            let mut opened = session(&format!("s{nth}"), &server);
            opened.calls.insert(name.clone(), 1);
            let mut user = client(&format!("10.0.1.{nth}"), Some(&name), &server);
            user.user_agent = (digest > 2).then_some(path);
            view.lookups
                .push(lookup(&format!("{nth}{name}"), (digest > 2).then_some("AAAA"), "dns"));
            view.sessions.push(opened);
            view.clients.push(user);
            view.messages
                .extend(talk(&mut server, [10, 0, 1, host].into(), start, &name));
            view.servers.push(server);
        }
        for (nth, (kind, severity, start, title, of)) in findings.into_iter().enumerate() {
            let server = view.servers.get(of);
            let mut reported = finding(&format!("f{nth}"), Kind::ALL[kind].0, Severity::ALL[severity], server);
            reported.finding.seen = span(start, start + 2);
            reported.finding.key.place = Some(title.clone());
            reported.finding.detail.insert(title.clone(), title.clone());
            reported.finding.references.push(title.clone());
            reported.finding.title = title;
            view.findings.push(reported);
        }
        view
    })
}
