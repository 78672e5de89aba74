//! Tests of groups, allowed tools, gateways, backends, ignored clients, suppression and severities.

use super::*;
use crate::model::finding::{Evidence, FindingKey, Kind, Severity, SiteKey};
use crate::model::net::Direction;
use crate::model::server::{Capture, Client, Reported};

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a tool may be used for: (client, tool) to the rule that forbids it.
fn forbids(policy: &Policy, client: &str, tool: &str) -> Option<String> {
    match policy.may_call(&server(), addr(client), NOW, (tool, Hints::default())) {
        Usage::Allowed => None,
        Usage::Forbidden { rule, .. } => Some(rule.to_string()),
    }
}

#[test]
fn approvals_know_groups_and_names_in_hellos() {
    let group = "[[group]]\nname = 'chat'\nclients = ['10.0.0.9', '10.0.1.0/24']\n";
    let approved = |policy: &Policy, server: &Server| matches!(policy.judge(server, NOW), Verdict::Approved { .. });
    let chat = policy(&format!("{group}[[approve]]\ngroups = ['chat']"));
    assert!(approved(&chat, &server()));
    let other = Server {
        clients: vec![addr("10.0.2.1")],
        ..server()
    };
    assert!(!approved(&chat, &other));
    let sni = policy("[[approve]]\nsni = 'mcp.example.test'");
    let hello = Server {
        encryption: Encryption::Tls,
        ..server()
    };
    assert!(!approved(&sni, &server()), "a Host header is no SNI");
    assert!(approved(&sni, &hello));
    let dns = Server {
        evidence: ServerEvidence::Dns,
        ..hello
    };
    assert!(!approved(&sni, &dns), "nor is a DNS answer");
    assert!(sni.covers_name("MCP.example.test", addr("10.0.0.1"), NOW));
}

#[test]
fn the_first_section_that_covers_server_and_client_decides() {
    let text = "
[[group]]
name = 'support'
clients = ['10.0.1.0/24']
[[allow]]
server_name = 'weather'
groups = ['support']
read_only = true
reason = 'support reads'
[[allow]]
server_name = 'weather'
clients = ['10.0.0.9']
tools = ['get_*', 'delete_user']
except = ['get_secret']
";
    let restricted = policy(text);
    let support = Some("allow #1: support reads".to_owned());
    let plain = Some("allow #2".to_owned());
    for (client, tool, forbidden) in [
        ("10.0.1.7", "get_user", None),
        ("10.0.1.7", "anything_else", None),
        ("10.0.1.7", "delete_user", support),
        ("10.0.0.9", "get_user", None),
        ("10.0.0.9", "delete_user", None),
        ("10.0.0.9", "get_secret", plain.clone()),
        ("10.0.0.9", "list_users", plain.clone()),
        ("10.0.5.5", "get_user", plain),
    ] {
        assert_eq!(forbids(&restricted, client, tool), forbidden, "{client} {tool}");
    }
    let elsewhere = policy(&text.replace("'weather'", "'other'"));
    assert_eq!(forbids(&elsewhere, "10.0.5.5", "delete_user"), None);
    let over = policy("[[allow]]\nserver_name = 'weather'\ntools = ['x']\nexpires = 2026-11-19");
    assert_eq!(forbids(&over, "10.0.5.5", "delete_user"), None);
    assert_eq!(restricted.groups_of(addr("10.0.1.7")), ["support".into()]);
}

#[test]
fn a_server_may_offer_what_somebody_may_call() {
    let both = policy(
        "[[allow]]\nport = 8000\nclients = ['10.0.0.9']\ntools = ['a']\n[[allow]]\nport = 8000\ntools = ['b']\n",
    );
    for (tool, allowed) in [("a", true), ("b", true), ("c", false)] {
        let usage = both.may_offer(&server(), NOW, (tool, Hints::default()));
        assert_eq!(usage == Usage::Allowed, allowed, "{tool}");
    }
}

#[test]
fn who_goes_around_a_gateway() {
    let guarded = policy(
        "[[gateway]]\nname = 'edge'\naddresses = ['10.0.9.1']\nexcept = ['10.0.8.0/24']\n\
         [[gateway.reaches]]\nserver_name = 'weather'\n[[gateway.reaches]]\naddress = '10.0.0.6'\n",
    );
    for (client, around) in [
        ("10.0.0.9", Some("gateway #1: edge")),
        ("10.0.9.1", None),
        ("10.0.8.7", None),
        ("10.0.0.5", None),
    ] {
        assert_eq!(guarded.bypasses(&server(), addr(client)), around, "{client}");
    }
    let own = Server {
        endpoint: Endpoint::new(addr("10.0.9.1"), 443),
        ..server()
    };
    assert_eq!(guarded.bypasses(&own, addr("10.0.0.9")), None, "the gateway's own door");
    let other = Server {
        server_name: None,
        ..server()
    };
    assert_eq!(guarded.bypasses(&other, addr("10.0.0.9")), None);
}

#[test]
fn backends_are_names_or_networks() {
    let declared = policy(
        "[[backend]]\nserver_name = 'weather'\nhosts = ['api.example.com', '*.corp.test', '10.7.0.0/16', '::1']\n\
         [[backend]]\nhosts = ['everyone.test']\n",
    );
    for (host, backend) in [
        ("API.example.com.", true),
        ("example.com", false),
        ("a.corp.test", true),
        ("corp.test", false),
        ("10.7.1.2", true),
        ("10.8.1.2", false),
        ("[::1]", true),
        ("everyone.test", true),
    ] {
        assert_eq!(declared.is_backend(&server(), host), backend, "{host}");
    }
    let other = Server {
        server_name: None,
        ..server()
    };
    assert!(!declared.is_backend(&other, "api.example.com"));
    assert!(declared.is_backend(&other, "everyone.test"));
}

/// A view with one server and findings of it: (kind, rule, client, severity).
fn view(findings: &[(Kind, &str, Option<&str>, Severity)]) -> View {
    let found = findings.iter().zip(0..).map(|((kind, rule, client, severity), nth)| {
        let server = server();
        let key = FindingKey {
            kind: *kind,
            rule: Arc::from(*rule),
            site: Some(SiteKey {
                endpoint: server.endpoint,
                hostname: server.hostname.clone(),
                path: server.path.clone(),
            }),
            client: client.map(addr),
            tool: None,
            direction: Some(Direction::ToServer),
            place: None,
            subject: None,
        };
        Reported {
            id: format!("f{nth:03}"),
            server_id: Some(server.id),
            finding: Finding {
                key,
                severity: *severity,
                confidence: 1.0,
                title: "found".to_owned(),
                references: Vec::new(),
                count: 1,
                seen: Span::at(Stamp::default()),
                evidence: Evidence::default(),
                detail: std::collections::BTreeMap::from([("name".to_owned(), "weather".to_owned())]),
            },
        }
    });
    let client = |text: &str| Client {
        addr: addr(text),
        name: None,
        version: None,
        user_agent: None,
        ja4: None,
        servers: Vec::new(),
        seen: Span::at(Stamp::default()),
    };
    View {
        capture: Capture {
            seen: Some((NOW, NOW)),
            ..Capture::default()
        },
        servers: vec![server()],
        clients: vec![client("10.0.0.9"), client("10.0.1.9")],
        findings: found.collect(),
        ..View::default()
    }
}

/// Ids and severities that are left.
fn left(view: &View) -> Vec<(&str, &'static str)> {
    let findings = view.findings.iter();
    findings
        .map(|reported| (reported.id.as_str(), reported.finding.severity.word()))
        .collect()
}

#[test]
fn suppression_and_severity_are_exact() {
    let found = [
        (Kind::CleartextMcp, "cleartext-mcp", None, Severity::Low),
        (Kind::SecretInTransit, "aws", Some("10.0.0.9"), Severity::High),
        (Kind::SecretInTransit, "jwt", Some("10.0.1.9"), Severity::High),
    ];
    for (text, expect) in [
        ("kind = 'cleartext-mcp'", &["f001", "f002"][..]),
        ("rule = 'aws'", &["f000", "f002"]),
        (
            "kind = 'secret-in-transit'\nclients = ['10.0.0.0/24']",
            &["f000", "f002"],
        ),
        // A finding that names no client is covered when all clients of its server are.
        ("clients = ['10.0.0.0/23']", &[]),
        (
            "kind = 'cleartext-mcp'\nclients = ['10.0.0.0/24']",
            &["f000", "f001", "f002"],
        ),
        ("address = '10.0.0.5'\nkind = 'secret-in-transit'", &["f000"]),
        ("address = '10.0.0.6'", &["f000", "f001", "f002"]),
        ("direction = 'client-to-server'", &[]),
        ("direction = 'server-to-client'", &["f000", "f001", "f002"]),
        ("rule = 'aws'\nexpires = 2026-11-19", &["f000", "f001", "f002"]),
    ] {
        let mut view = view(&found);
        policy(&format!("[[suppress]]\nreason = 'known'\n{text}")).settle(&mut view);
        let ids: Vec<&str> = left(&view).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, expect, "{text}");
        assert_eq!(view.withheld.suppressed, (found.len() - expect.len()) as u64, "{text}");
    }
    let mut view = view(&found);
    let text = "[[severity]]\nrule = 'aws'\nclients = ['10.0.0.9']\nseverity = 'critical'\n\
                [[severity]]\nkind = 'secret-in-transit'\nseverity = 'info'\n";
    policy(text).settle(&mut view);
    assert_eq!(left(&view), [("f000", "low"), ("f001", "critical"), ("f002", "info")]);
}

#[test]
fn ignored_clients_leave_nothing_but_a_number() {
    let mut view = view(&[
        (Kind::SecretInTransit, "aws", Some("10.0.0.9"), Severity::High),
        (Kind::SecretInTransit, "aws", Some("10.0.1.9"), Severity::High),
        (Kind::CleartextMcp, "cleartext-mcp", None, Severity::Low),
    ]);
    let scanner = policy("[[ignore]]\nclients = ['10.0.0.9']\nreason = 'scanner'");
    scanner.ignore(&mut view);
    let clients: Vec<String> = view.clients.iter().map(|client| client.addr.to_string()).collect();
    assert_eq!(clients, ["10.0.1.9"]);
    assert_eq!(view.servers[0].clients, [addr("::ffff:10.0.1.9")]);
    assert_eq!(left(&view), [("f001", "high"), ("f002", "low")]);
    assert_eq!((view.withheld.ignored_clients, view.withheld.ignored), (1, 1));
}

#[test]
fn alike_findings_are_folded_into_one() {
    let many: Vec<_> = (0..12)
        .map(|nth| {
            let rule = if nth == 11 { "jwt" } else { "aws" };
            (Kind::SecretInTransit, rule, Some("10.0.0.9"), Severity::High)
        })
        .collect();
    let mut view = view(&many);
    let few = policy("[alerts]\nmax_same = 3\n");
    let folded = few.fold(&mut view);
    assert_eq!(view.findings.len(), 4, "three of one rule, one of another");
    assert_eq!(view.withheld.folded, 8);
    let [sum] = folded.as_slice() else { panic!("{folded:?}") };
    assert_eq!((sum.count, sum.detail["example"].as_str()), (8, "f003"));
    assert_eq!(
        sum.title,
        "8 more findings of secret-in-transit (aws) about weather at 10.0.0.5:8000"
    );
    assert_eq!(Policy::default().fold(&mut view).len(), 0);
}

#[test]
fn mistakes_of_sections_have_line_and_cure() {
    for (text, message) in [
        (
            "[[group]]\nname = 'x'",
            "1: group #1 is not whole; give it a name and clients, such as clients = [\"10.1.0.0/16\"]",
        ),
        (
            "[[group]]\nname = 'x'\nclients = ['::1']\n[[group]]\nname = 'x'\nclients = ['::1']",
            "4: a second group `x`; give each group a name of its own",
        ),
        (
            "[[approve]]\ngroups = ['x']",
            "2: no group is called `x`; write a [[group]] with this name",
        ),
        (
            "[[allow]]\ntools = ['x']",
            "1: allow #1 names no server; say whose tools it is about: address, port, hostname, sni, path or server_name",
        ),
        (
            "[[allow]]\nport = 1\ntools = ['a*b']",
            "3: `a*b` is no tool pattern; write a tool's name, or one with * at one end, such as get_*",
        ),
        (
            "[[gateway]]\naddresses = ['::1']",
            "1: gateway #1 is not whole; give it addresses and at least one [[gateway.reaches]]",
        ),
        (
            "[[gateway]]\naddresses = ['::1']\n[[gateway.reaches]]\n",
            "3: gateway #1 would reach every server; say which servers: address, port, hostname, sni, path or server_name",
        ),
        (
            "[[backend]]\nport = 1",
            "1: backend #1 names no host; give it hosts, such as hosts = [\"api.example.com\"]",
        ),
        (
            "[[backend]]\nhosts = ['10.0.0.1/8']",
            "2: `10.0.0.1/8` is an address within a network; write 10.0.0.0/8 for the network, or 10.0.0.1 for the one address",
        ),
        (
            "[[ignore]]\nreason = 'x'",
            "1: ignore #1 would hide every client; name clients or groups",
        ),
        (
            "[[ignore]]\nclients = ['::1']",
            "1: ignore #1 has no reason; say why, with reason = \"...\"",
        ),
        (
            "[[suppress]]\nreason = 'x'",
            "1: suppress #1 would silence everything; say what: kind, rule, address, port, hostname, sni, path, server_name, clients, groups or direction",
        ),
        (
            "[[suppress]]\nreason = 'x'\ndirection = 'up'",
            "3: `up` is no direction; write client-to-server or server-to-client",
        ),
        (
            "[[severity]]\nkind = 'cleartext-mcp'",
            "1: severity #1 is not whole; give it a kind or a rule, and a severity",
        ),
        (
            "[[severity]]\nkind = 'cleartext-mcp'\nseverity = 'awful'",
            "3: `awful` is no severity; write one of info, low, medium, high, critical",
        ),
        (
            "[alerts]\nmax_same = 0",
            "2: max_same = 0 tells nothing; write a number from 1, or leave the key out",
        ),
        (
            "[[allow]]\nport = 1\nreadonly = true",
            "3: unknown key `readonly`; did you mean `read_only`?",
        ),
    ] {
        let told: Vec<String> = Policy::parse(Path::new("p.toml"), text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, [format!("p.toml:{message}")], "{text}");
    }
    let kind = Policy::parse(Path::new("p.toml"), "[[suppress]]\nreason = 'x'\nkind = 'nonsense'").unwrap_err();
    assert!(
        kind[0]
            .to_string()
            .starts_with("p.toml:3: `nonsense` is no kind of finding; write one of auth-violation, "),
        "{kind:?}"
    );
}
