//! Tests of the policy: what approvals cover, and what is said about mistakes.

mod sections;

use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::model::mcp::McpTransport;
use crate::model::net::{Endpoint, Scope};
use crate::model::net::{FiveTuple, Transport};
use crate::model::server::{Encryption, Mark, Messages, ServerEvidence, Tool};
use crate::model::stamp::{Span, Stamp};

/// 2026-11-20T10:00:00Z.
const NOW: Timestamp = Timestamp::from_parts(1_795_168_800, 0);

fn server() -> Server {
    Server {
        id: "1".to_owned(),
        sites: Vec::new(),
        endpoint: Endpoint::new("10.0.0.5".parse().unwrap(), 8000),
        hostname: Some("MCP.example.test".into()),
        path: Some("/team/mcp".into()),
        transports: vec![McpTransport::StreamableHttp],
        encryption: Encryption::None,
        outer: None,
        decrypted: false,
        evidence: ServerEvidence::Message,
        confidence: 1.0,
        inferred: None,
        server_name: Some("weather".to_owned()),
        server_version: None,
        instructions_sha256: None,
        protocol_versions: Vec::new(),
        tools: vec![tool("a", 2, false), tool("b", 1, false), tool("c", 3, true)],
        resources: 0,
        prompts: 0,
        auth: None,
        any_origin: false,
        bound_before: None,
        hosted: None,
        scope: Scope::Private,
        approval: None,
        seen: Span::at(Stamp::default()),
        sessions: 0,
        clients: vec!["10.0.0.9".parse().unwrap(), "::ffff:10.0.1.9".parse().unwrap()],
        messages: Messages::default(),
        identities: Vec::new(),
        instructions: Vec::new(),
        peers: std::collections::BTreeMap::new(),
        listings: Vec::new(),
        calls: std::collections::BTreeMap::new(),
    }
}

fn tool(name: &str, hash: u8, gone: bool) -> Tool {
    Tool {
        name: name.to_owned(),
        sha256: [hash; 32],
        description_sha256: None,
        gone,
        definition: "{}".into(),
        seen: Span::at(Stamp::default()),
        mark: mark(),
        given: std::collections::BTreeMap::new(),
        earlier: Vec::new(),
    }
}

fn mark() -> Mark {
    let end = Endpoint::new("10.0.0.5".parse().unwrap(), 8000);
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

fn policy(text: &str) -> Policy {
    Policy::parse(Path::new("policy.toml"), text).unwrap()
}

fn approves(text: &str) -> bool {
    matches!(
        policy(&format!("[[approve]]\n{text}")).judge(&server(), NOW),
        Verdict::Approved { .. }
    )
}

#[test]
fn all_criteria_that_are_given_must_match() {
    let pin = tools_sha256(&server().tools).map(|hash| hex(&hash)).unwrap();
    for (text, approved) in [
        ("address = '10.0.0.5'", true),
        ("address = '10.0.0.0/24'", true),
        ("address = '10.0.1.0/24'", false),
        ("address = '::ffff:10.0.0.5'", true),
        ("port = 8000", true),
        ("port = 8001", false),
        ("address = '10.0.0.5'\nport = 8001", false),
        ("hostname = 'mcp.EXAMPLE.test.'", true),
        ("hostname = '*.example.test'", true),
        ("hostname = '*.test'", true),
        ("hostname = '*.mcp.example.test'", false),
        ("hostname = 'example.test'", false),
        ("hostname = '*.ample.test'", false),
        ("path = '/team/mcp'", true),
        ("path = '/team'", false),
        ("path = '/team*'", true),
        ("path = '/*'", true),
        ("path = '/Team/mcp'", false),
        ("server_name = 'weather'", true),
        ("server_name = 'Weather'", false),
        ("clients = ['10.0.0.0/16']", true),
        ("clients = ['10.0.0.0/24']", false),
        ("clients = ['10.0.0.9', '10.0.1.9']", true),
        (&format!("tools_sha256 = '{pin}'"), true),
        (&format!("tools_sha256 = '{}'", "0".repeat(64)), false),
        ("port = 8000\nexpires = 2026-11-20", true),
        ("port = 8000\nexpires = 2026-11-19", false),
    ] {
        assert_eq!(approves(text), approved, "{text}");
    }
}

#[test]
fn what_is_not_known_matches_no_criterion() {
    let unknown = Server {
        hostname: None,
        path: None,
        server_name: None,
        tools: Vec::new(),
        clients: Vec::new(),
        ..server()
    };
    let none = hex(&Sha256::digest([]));
    for text in [
        "hostname = '*.test'",
        "path = '/*'",
        "server_name = 'weather'",
        "clients = ['0.0.0.0/0']",
        &format!("tools_sha256 = '{none}'"),
    ] {
        assert_eq!(
            policy(&format!("[[approve]]\n{text}")).judge(&unknown, NOW),
            Verdict::Unapproved,
            "{text}"
        );
    }
}

#[test]
fn tools_are_pinned_as_a_set() {
    let bytes = [[1_u8; 32], [2; 32]].concat();
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(tools_sha256(&server().tools), Some(expected));
    assert_eq!(
        tools_sha256(&[tool("b", 1, false), tool("a", 2, false)]),
        Some(expected)
    );
    assert_ne!(tools_sha256(&[tool("b", 1, false)]), Some(expected));
    assert_eq!(tools_sha256(&[tool("b", 1, true)]), None);
}

#[test]
fn the_first_approval_gives_the_rule_and_all_in_force_give_leave() {
    let text = "
[[approve]]
port = 1
[[approve]]
port = 8000
owner = 'platform team'
reason = 'weather for the chat bot'
expose = true
[[approve]]
address = '10.0.0.5'
auth = 'none'
[[approve]]
address = '10.0.0.5'
cleartext = true
expires = 2026-11-19
";
    assert_eq!(
        policy(text).judge(&server(), NOW),
        Verdict::Approved {
            rule: "approve #2: platform team — weather for the chat bot".into(),
            expose: true,
            unauthenticated_ok: true,
            cleartext_ok: false,
        }
    );
}

#[test]
fn an_expired_approval_is_told() {
    let text = "
[[approve]]
port = 8000
expires = 2026-10-31
[[approve]]
port = 8000
owner = 'platform team'
expires = 2026-11-19
[[approve]]
port = 8000
expires = 2026-11-01
";
    let when = Timestamp::from_parts(1_795_132_800, 0);
    assert_eq!(when.to_string(), "2026-11-20T00:00:00.000000Z");
    let rule: Arc<str> = "approve #2: platform team".into();
    assert_eq!(policy(text).judge(&server(), NOW), Verdict::Expired { rule, when });
    let last_moment = when.plus_nanos(-1);
    assert!(matches!(
        policy(text).judge(&server(), last_moment),
        Verdict::Approved { .. }
    ));
    assert!(matches!(policy(text).judge(&server(), when), Verdict::Expired { .. }));
}

#[test]
fn names_are_covered_by_hostname_alone() {
    let policy = policy(
        "[[approve]]\nhostname = '*.example.com'\nport = 1\n\
         [[approve]]\nhostname = 'a.test'\nclients = ['10.0.0.0/24']\n\
         [[approve]]\nhostname = 'old.test'\nexpires = 2026-01-01\n\
         [[approve]]\nport = 443\n",
    );
    for (name, client, covered) in [
        ("mcp.Example.com", "192.0.2.1", true),
        ("example.com", "192.0.2.1", false),
        (".example.com", "192.0.2.1", false),
        ("a.test", "10.0.0.1", true),
        ("a.test", "10.0.1.1", false),
        ("old.test", "10.0.0.1", false),
        ("other.test", "10.0.0.1", false),
    ] {
        assert_eq!(
            policy.covers_name(name, client.parse().unwrap(), NOW),
            covered,
            "{name} {client}"
        );
    }
}

#[test]
fn home_is_private_unless_named() {
    let named = policy("[home]\nnetworks = ['203.0.113.0/24']");
    for (addr, by_default, as_named) in [
        ("10.200.0.1", true, false),
        ("172.31.255.255", true, false),
        ("172.32.0.0", false, false),
        ("::ffff:192.168.0.1", true, false),
        ("127.0.0.1", true, false),
        ("::1", true, false),
        ("fd00::1", true, false),
        ("fe80::1", true, false),
        ("203.0.113.9", false, true),
        ("2001:db8::1", false, false),
    ] {
        let addr = addr.parse().unwrap();
        assert_eq!(
            (Policy::default().is_home(addr), named.is_home(addr)),
            (by_default, as_named),
            "{addr}"
        );
    }
    assert_eq!(policy(""), Policy::default());
}

#[test]
fn every_mistake_has_line_and_cure() {
    for (text, message) in [
        (
            "[home]\nnetworks = ['10.0.0.5/8']",
            "2: `10.0.0.5/8` is an address within a network; write 10.0.0.0/8 for the network, or 10.0.0.5 for the one address",
        ),
        (
            "[home]\nnetworks = [\n'10.0.0.0/8',\n'10.0.0.0/33']",
            "4: `10.0.0.0/33` is no network; write an address, or a network such as 10.0.0.0/8",
        ),
        (
            "[home]\nnetworks = []",
            "2: an empty list of networks; name one, or leave the key out",
        ),
        (
            "[home]\nnetworks = '10.0.0.0/8'",
            "2: invalid type: string \"10.0.0.0/8\", expected a sequence; write a list in [ ]; a section that may be repeated has double brackets, [[ ]]",
        ),
        (
            "[[approve]]\nport = 1\n[[approve]]\nowner = 'x'",
            "3: approve #2 would cover every server; say what it covers: address, port, hostname, sni, path, server_name, tools_sha256, clients or groups",
        ),
        (
            "[approve]\nport = 1",
            "1: invalid type: map, expected a sequence; write a list in [ ]; a section that may be repeated has double brackets, [[ ]]",
        ),
        (
            "[[approve]]\n\nadress = '10.0.0.5'",
            "3: unknown key `adress`; did you mean `address`?",
        ),
        (
            "[[aprove]]\nport = 1",
            "1: unknown key `aprove`; did you mean `approve`?",
        ),
        (
            "[nonsense]",
            "1: unknown key `nonsense`; known here: pins, home, alerts, group, approve, allow, gateway, backend, ignore, suppress, severity",
        ),
        (
            "[[approve]]\naddress = 'mcp.example.test'",
            "2: `mcp.example.test` is no network; write an address, or a network such as 10.0.0.0/8",
        ),
        (
            "[[approve]]\nclients = ['10.0.0.9', 'x']",
            "2: `x` is no network; write an address, or a network such as 10.0.0.0/8",
        ),
        (
            "[[approve]]\nport = 0",
            "2: port 0 is no port; write a port from 1 to 65535, or leave the key out for any",
        ),
        (
            "[[approve]]\nport = 70000",
            "2: invalid value: integer `70000`, expected u16; write a whole number from 0 to 65535, without quotes",
        ),
        (
            "[[approve]]\nhostname = 'https://a.test/mcp'",
            "2: `https://a.test/mcp` is no host name; write a name without scheme, port and path, such as mcp.example.com or *.example.com",
        ),
        (
            "[[approve]]\nhostname = '*'",
            "2: `*` is no host name; write a name without scheme, port and path, such as mcp.example.com or *.example.com",
        ),
        (
            "[[approve]]\nhostname = 'a.*.test'",
            "2: `a.*.test` is no host name; write a name without scheme, port and path, such as mcp.example.com or *.example.com",
        ),
        (
            "[[approve]]\nhostname = 'bücher.test'",
            "2: hostname `bücher.test` is not as DNS carries it; write its xn-- form",
        ),
        (
            "[[approve]]\npath = 'mcp'",
            "2: path `mcp` does not start with /; write the path of the URL, such as /mcp or /mcp*",
        ),
        (
            "[[approve]]\npath = '/mcp?x=1'",
            "2: path `/mcp?x=1` is more than a path; leave out query and fragment; * stands at the end only",
        ),
        (
            "[[approve]]\nserver_name = ''",
            "2: an empty server_name; write the name that the server gives itself, or leave the key out",
        ),
        (
            "[[approve]]\ntools_sha256 = 'abc'",
            "2: tools_sha256 is no SHA-256; write its 64 hexadecimal digits",
        ),
        (
            "[[approve]]\nport = 1\nexpires = '2027-01-31'",
            "3: invalid type: string \"2027-01-31\", expected a TOML datetime; write a date without quotes, such as 2027-01-31",
        ),
        (
            "[[approve]]\nport = 1\nexpires = 2027-01-31T10:00:00Z",
            "3: expires = 2027-01-31T10:00:00Z is no date; write a date without time, such as 2027-01-31",
        ),
        (
            "[[approve]]\nport = 1\nauth = 'bearer'",
            "3: auth = \"bearer\" means nothing; write auth = \"none\" for a server without credentials, or leave it out",
        ),
        (
            "[[approve]]\nport = 1\nexpose = 'yes'",
            "3: invalid type: string \"yes\", expected a boolean; write true or false, without quotes",
        ),
        (
            "[[approve]\n",
            "1: unclosed array table, expected `]`; see the README's policy file for its form",
        ),
    ] {
        let told: Vec<String> = Policy::parse(Path::new("p.toml"), text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, [format!("p.toml:{message}")], "{text}");
    }
}

#[test]
fn mistakes_in_values_are_told_together_in_the_order_of_the_file() {
    let text = "[[approve]]\nowner = 'x'\n[[approve]]\nport = 0\nauth = 'x'\n[home]\nnetworks = ['x']\n";
    let lines: Vec<Option<usize>> = Policy::parse(Path::new("p.toml"), text)
        .unwrap_err()
        .iter()
        .map(|defect| defect.line)
        .collect();
    assert_eq!(lines, [Some(1), Some(4), Some(5), Some(7)]);
}

#[test]
fn shows_what_is_in_force() {
    let text = "[home]\nnetworks = ['10.0.0.0/8', '::1']\n[[approve]]\naddress = '10.0.0.5'\nport = 8000\n\
                hostname = '*.a.test'\npath = '/mcp*'\nowner = 'platform team'\nexpires = 2027-01-31\nexpose = true\n";
    assert_eq!(
        policy(text).to_string(),
        "home: 10.0.0.0/8, ::1/128\n\
         approve #1: platform team [address 10.0.0.5/32; port 8000; hostname *.a.test; path /mcp*; \
         until 2027-02-01T00:00:00.000000Z; may be exposed]"
    );
    assert!(Policy::default().to_string().ends_with("nothing is approved"));
}

proptest! {
    /// Oracle: the leading bits of address and network are equal.
    #[test]
    fn a_network_holds_what_shares_its_leading_bits(net in any::<u32>(), addr in any::<u32>(), bits in 0..=32_u32) {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        // Half of the addresses are near the network, so that both answers occur.
        let addr = if addr & 1 == 0 { (net & mask) | (addr & !mask) } else { addr };
        let text = format!("[home]\nnetworks = ['{}/{bits}']", std::net::Ipv4Addr::from_bits(net & mask));
        let inside = addr & mask == net & mask;
        let v4 = std::net::Ipv4Addr::from_bits(addr);
        prop_assert_eq!(policy(&text).is_home(v4.into()), inside);
        prop_assert_eq!(policy(&text).is_home(v4.to_ipv6_mapped().into()), inside);
    }

    #[test]
    fn no_text_does_harm(text in "(\\[\\[approve\\]\\]|\\[home\\]|\\n|port|hostname|path|expires|networks|=| |'[^']{0,8}'|[0-9]{1,5}|2027-0[0-9]-3[0-9]|.){0,20}") {
        if let Err(defects) = Policy::parse(Path::new("p.toml"), &text) {
            prop_assert!(!defects.is_empty());
        }
    }
}
