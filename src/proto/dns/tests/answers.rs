//! Answers: aliases in any order, service bindings, services on the local link, and random zones with compression.

use super::*;

/// Writes a message; names are compressed against everything that stands before them.
#[derive(Clone)]
struct Writer {
    bytes: Vec<u8>,
    /// Labels, lower case, and where they stand.
    names: Vec<(Vec<String>, usize)>,
    compress: bool,
}

impl Writer {
    fn new(flags: u16, compress: bool) -> Self {
        Self {
            bytes: [&7_u16.to_be_bytes()[..], &flags.to_be_bytes(), &[0; 8]].concat(),
            names: Vec::new(),
            compress,
        }
    }

    /// One more in the section: 0 questions, 1 answers, 2 authorities, 3 additional records.
    fn count(&mut self, section: usize) {
        self.bytes[5 + 2 * section] += 1;
    }

    fn name(&mut self, name: &str) {
        let mut labels: Vec<String> = name
            .split('.')
            .filter(|label| !label.is_empty())
            .map(str::to_owned)
            .collect();
        while !labels.is_empty() {
            let lower: Vec<String> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
            let known = self.names.iter().find(|(known, _)| *known == lower);
            if let Some((_, at)) = known.filter(|_| self.compress) {
                self.bytes.extend((0xc000 | *at as u16).to_be_bytes());
                return;
            }
            self.names.push((lower, self.bytes.len()));
            let label = labels.remove(0);
            self.bytes.push(label.len() as u8);
            self.bytes.extend(label.as_bytes());
        }
        self.bytes.push(0);
    }

    fn question(&mut self, name: &str, kind: u16) {
        self.count(0);
        self.name(name);
        self.bytes.extend([kind.to_be_bytes(), [0, 1]].concat());
    }

    fn record(&mut self, section: usize, owner: &str, kind: u16, class: u16, ttl: u32, data: &Data) {
        self.count(section);
        self.name(owner);
        self.bytes.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
        self.bytes.extend(ttl.to_be_bytes());
        let length = self.bytes.len();
        self.bytes.extend([0, 0]);
        self.bytes.extend(&data.0);
        if let Some(name) = &data.1 {
            self.name(name);
        }
        self.bytes.extend(&data.2);
        let size = (self.bytes.len() - length - 2) as u16;
        self.bytes[length..length + 2].copy_from_slice(&size.to_be_bytes());
    }
}

/// Record data: bytes, a name, bytes.
struct Data(Vec<u8>, Option<String>, Vec<u8>);

fn octets(addr: &str) -> Data {
    match addr.parse().unwrap() {
        std::net::IpAddr::V4(addr) => Data(addr.octets().to_vec(), None, Vec::new()),
        std::net::IpAddr::V6(addr) => Data(addr.octets().to_vec(), None, Vec::new()),
    }
}

fn name(name: &str) -> Data {
    Data(Vec::new(), Some(name.to_owned()), Vec::new())
}

/// A service binding; `params` are key and value.
fn binding(priority: u8, target: &str, params: &[(u8, &[u8])]) -> Data {
    let params = params
        .iter()
        .flat_map(|(key, value)| [&[0, *key, 0, value.len() as u8][..], value].concat());
    Data(vec![0, priority], Some(target.to_owned()), params.collect())
}

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DNAME: u16 = 39;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const ANY: u16 = 255;
const ANSWERS: usize = 1;
const ADDITIONAL: usize = 3;

type Row = (usize, &'static str, u16, u32, Data);

/// What an answer to the question tells beyond repeating it.
fn leads(flags: u16, asked: &str, kind: u16, rows: &[Row]) -> Vec<String> {
    let mut told = Vec::new();
    for compress in [true, false] {
        let mut writer = Writer::new(flags, compress);
        if !asked.is_empty() {
            writer.question(asked, kind);
        }
        for (section, owner, kind, ttl, data) in rows {
            writer.record(
                *section,
                owner,
                *kind,
                if asked.is_empty() { 0x8001 } else { 1 },
                *ttl,
                data,
            );
        }
        let (mut facts, step) = read(&[(0, BACK, writer.bytes)]);
        assert_eq!(step, Step::Continue);
        facts.retain(|fact| fact.contains("->") || fact.contains(" at "));
        assert!(!compress || told.is_empty() || told == facts, "{facts:?}");
        told = facts;
    }
    told
}

#[test]
fn names_lead_to_addresses() {
    let row = |owner, kind, ttl, data| (ANSWERS, owner, kind, ttl, data);
    for (asked, kind, rows, expected) in [
        (
            "MCP.Example.test",
            A,
            vec![
                row("mcp.example.test", A, 60, octets("203.0.113.7")),
                row("mcp.EXAMPLE.test", A, 30, octets("203.0.113.8")),
            ],
            vec![
                "mcp.example.test -> 203.0.113.7 60",
                "mcp.example.test -> 203.0.113.8 30",
            ],
        ),
        (
            "mcp.example.test",
            AAAA,
            vec![
                row("mcp.example.test", AAAA, 60, octets("2001:db8::7")),
                row("mcp.example.test", AAAA, 60, octets("::ffff:203.0.113.7")),
            ],
            vec![
                "mcp.example.test -> 2001:db8::7 60",
                "mcp.example.test -> 203.0.113.7 60",
            ],
        ),
        // An alias, and its target's target; the least TTL counts; the letter case of no side matters.
        (
            "a.test",
            A,
            vec![
                row("A.test", CNAME, 300, name("b.cdn.test")),
                row("b.cdn.test", CNAME, 5, name("C.cdn.test")),
                row("c.cdn.test", A, 60, octets("10.0.0.5")),
            ],
            vec!["a.test -> 10.0.0.5 5"],
        ),
        // The same in the worst order.
        (
            "a.test",
            A,
            vec![
                row("c.cdn.test", A, 60, octets("10.0.0.5")),
                row("b.cdn.test", CNAME, 5, name("c.cdn.test")),
                row("a.test", CNAME, 300, name("b.cdn.test")),
            ],
            vec!["a.test -> 10.0.0.5 5"],
        ),
        // Aliases in a circle, and addresses that nothing leads to.
        (
            "a.test",
            A,
            vec![
                row("a.test", CNAME, 5, name("b.test")),
                row("b.test", CNAME, 5, name("a.test")),
                row("c.test", A, 60, octets("10.0.0.5")),
            ],
            vec![],
        ),
        // A DNAME with and without the CNAME that is made from it; its owner itself is not redirected.
        (
            "x.y.old.test",
            A,
            vec![
                row("old.test", DNAME, 30, name("new.example")),
                row("x.y.old.test", CNAME, 0, name("x.y.new.example")),
                row("x.y.new.example", A, 60, octets("10.0.0.5")),
            ],
            vec!["x.y.old.test -> 10.0.0.5 30"],
        ),
        (
            "x.old.test",
            A,
            vec![
                row("old.test", DNAME, 30, name("new.example")),
                row("x.new.example", A, 60, octets("10.0.0.5")),
            ],
            vec!["x.old.test -> 10.0.0.5 30"],
        ),
        (
            "old.test",
            A,
            vec![
                row("old.test", DNAME, 30, name("new.example")),
                row("new.example", A, 60, octets("10.0.0.5")),
            ],
            vec![],
        ),
        // Nobody vouches for the additional section of an address answer.
        (
            "a.test",
            A,
            vec![(ADDITIONAL, "a.test", A, 60, octets("10.0.0.5"))],
            vec![],
        ),
        // No address, a group, and a TTL that is negative.
        (
            "a.test",
            ANY,
            vec![
                row("a.test", A, 60, octets("0.0.0.0")),
                row("a.test", AAAA, 60, octets("ff02::fb")),
                row("a.test", A, 0x8000_0001, octets("10.0.0.5")),
            ],
            vec!["a.test -> 10.0.0.5 0"],
        ),
        (
            "5.0.0.10.in-addr.arpa",
            PTR,
            vec![row("5.0.0.10.in-addr.arpa", PTR, 60, name("mcp.test"))],
            vec![],
        ),
    ] {
        assert_eq!(leads(ANSWER, asked, kind, &rows), expected, "{asked}");
    }
    let refused = [(ANSWERS, "a.test", A, 60, octets("10.0.0.5"))];
    assert_eq!(leads(0x8183, "a.test", A, &refused), Vec::<String>::new());
    // Truncated: what is there counts.
    assert_eq!(leads(0x8380, "a.test", A, &refused), ["a.test -> 10.0.0.5 60"]);
}

#[test]
fn service_bindings_lead_to_hints_and_targets() {
    let h2_h3_dot: &[u8] = b"\x02h2\x02h3\x03dot";
    let v6: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    for (asked, kind, rows, expected) in [
        (
            "mcp.example.test",
            HTTPS,
            vec![(
                ANSWERS,
                "mcp.example.test",
                HTTPS,
                60,
                binding(
                    1,
                    ".",
                    &[
                        (1, h2_h3_dot),
                        (3, &[0x20, 0xfb]),
                        (4, &[10, 0, 0, 5, 10, 0, 0, 6]),
                        (5, b"key"),
                        (6, v6),
                    ],
                ),
            )],
            vec![
                "mcp.example.test -> 10.0.0.5 60 :8443 14 ech",
                "mcp.example.test -> 10.0.0.6 60 :8443 14 ech",
                "mcp.example.test -> 2001:db8::7 60 :8443 14 ech",
            ],
        ),
        // No hint: the service is told, and the addresses of its target stand beside it.
        (
            "mcp.example.test",
            HTTPS,
            vec![
                (
                    ANSWERS,
                    "mcp.example.test",
                    HTTPS,
                    60,
                    binding(1, "svc.example.net", &[(5, b"key")]),
                ),
                (ADDITIONAL, "svc.example.net", A, 20, octets("10.0.0.5")),
                (ADDITIONAL, "other.example.net", A, 20, octets("10.0.0.6")),
            ],
            vec![
                "mcp.example.test -> ? 60  0 ech",
                "mcp.example.test -> 10.0.0.5 20  0 ech",
            ],
        ),
        // Alias mode.
        (
            "example.test",
            HTTPS,
            vec![
                (ANSWERS, "example.test", HTTPS, 60, binding(0, "pool.example.net", &[])),
                (ADDITIONAL, "pool.example.net", AAAA, 20, octets("2001:db8::5")),
            ],
            vec!["example.test -> 2001:db8::5 20"],
        ),
        // Behind an alias, for a port of its own.
        (
            "_8443._https.mcp.example.test",
            SVCB,
            vec![
                (
                    ANSWERS,
                    "_8443._https.mcp.example.test",
                    CNAME,
                    60,
                    name("svc.example.net"),
                ),
                (
                    ANSWERS,
                    "svc.example.net",
                    SVCB,
                    60,
                    binding(1, ".", &[(4, &[10, 0, 0, 5])]),
                ),
            ],
            vec!["_8443._https.mcp.example.test -> 10.0.0.5 60  0"],
        ),
        // Parameters that are cut short or out of order: nothing is made up.
        (
            "mcp.example.test",
            HTTPS,
            vec![(
                ANSWERS,
                "mcp.example.test",
                HTTPS,
                60,
                binding(1, ".", &[(4, &[10, 0, 0])]),
            )],
            vec!["mcp.example.test -> ? 60  0"],
        ),
    ] {
        assert_eq!(leads(ANSWER, asked, kind, &rows), expected, "{asked}");
    }
}

#[test]
fn services_on_the_link_tell_where_they_are() {
    let srv = || Data(vec![0, 0, 0, 0, 0x1f, 0x90], Some("Box.local".to_owned()), Vec::new());
    let txt = |pairs: &[&str]| {
        let text = pairs
            .iter()
            .flat_map(|pair| [&[pair.len() as u8][..], pair.as_bytes()].concat());
        Data(text.collect(), None, Vec::new())
    };
    let found = "weather._mcp._tcp.local at box.local:8080/mcp 120";
    let rows = |service: &'static str, ttl| {
        vec![
            (ANSWERS, "_mcp._tcp.local", PTR, 4500, name(service)),
            (ADDITIONAL, service, SRV, ttl, srv()),
            (
                ADDITIONAL,
                service,
                TXT,
                4500,
                txt(&["v=1", "PATH=/mcp", "path=/other"]),
            ),
            (ADDITIONAL, "box.local", A, ttl, octets("192.168.1.7")),
            (ADDITIONAL, "box.local", AAAA, ttl, octets("fe80::7")),
        ]
    };
    let hosts = ["box.local -> 192.168.1.7 120", "box.local -> fe80::7 120"];
    // Nobody asked: the cache-flush bit is set.
    assert_eq!(
        leads(0x8400, "", 0, &rows("weather._mcp._tcp.local", 120)),
        [hosts[0], hosts[1], found]
    );
    // Asked by unicast.
    assert_eq!(
        leads(ANSWER, "_mcp._tcp.local", PTR, &rows("weather._mcp._tcp.local", 120)),
        [hosts[0], hosts[1], found]
    );
    // Taken back; and services that are others.
    assert_eq!(
        leads(0x8400, "", 0, &rows("weather._mcp._tcp.local", 0)),
        Vec::<String>::new()
    );
    for other in ["mcp._http._tcp.local", "x._smcp._tcp.local", "x._mcpx._tcp.local"] {
        assert_eq!(leads(0x8400, "", 0, &rows(other, 120)), hosts, "{other}");
    }
    assert_eq!(leads(0x8400, "", 0, &rows("x._http-mcp._tcp.local", 120)).len(), 3);
    let bare = [
        (ANSWERS, "_mcp._tcp.example.test", SRV, 60, srv()),
        (ANSWERS, "_mcp._tcp.example.test", TXT, 60, txt(&["path=no"])),
    ];
    assert_eq!(
        leads(ANSWER, "_mcp._tcp.example.test", SRV, &bare),
        ["_mcp._tcp.example.test at box.local:8080 60"]
    );
}

/// A zone: aliases and addresses of a few names under two origins.
fn zone() -> impl Strategy<Value = Vec<(u8, Result<u8, u8>, u32)>> {
    let target = prop_oneof![(0..6_u8).prop_map(Ok), any::<u8>().prop_map(Err)];
    prop::collection::vec((0..6_u8, target, 1..1_000_u32), 0..12)
}

fn owner(number: u8) -> String {
    [
        "a.example.test",
        "B.example.test",
        "c.b.example.test",
        "d.net",
        "e.d.net",
        "example.test",
    ][usize::from(number)]
    .to_owned()
}

proptest! {
    /// Oracle: the zone itself, followed name by name.
    #[test]
    fn what_was_written_is_read(zone in zone(), asked in 0..6_u8, compress in any::<bool>()) {
        let mut writer = Writer::new(ANSWER, compress);
        writer.question(&owner(asked), A);
        for (at, target, ttl) in &zone {
            match target {
                Ok(alias) => writer.record(ANSWERS, &owner(*at), CNAME, 1, *ttl, &name(&owner(*alias))),
                Err(host) => writer.record(ANSWERS, &owner(*at), A, 1, *ttl, &octets(&format!("10.0.0.{host}"))),
            }
        }
        // One alias a name, as in a zone that is right.
        let alias = |name: u8| {
            let mut aliases = zone.iter().filter_map(|(at, target, ttl)| Some((*at, (*target).ok()?, *ttl)));
            let first = aliases.find(|(at, ..)| *at == name)?;
            aliases.all(|(at, ..)| at != name).then_some(first)
        };
        let (mut end, mut least, mut steps) = (asked, u32::MAX, 0);
        while let Some((_, next, ttl)) = alias(end) {
            (end, least, steps) = (next, least.min(ttl), steps + 1);
            prop_assume!(steps < 6);
        }
        prop_assume!(zone.iter().filter(|(at, target, _)| *at == end && target.is_ok()).count() == 0);
        let several = (0..6).any(|name| zone.iter().filter(|(at, target, _)| *at == name && target.is_ok()).count() > 1);
        prop_assume!(!several);
        let expected: Vec<String> = zone.iter().filter(|(at, ..)| *at == end).filter_map(|(_, target, ttl)| {
            let host = (*target).err()?;
            Some(format!("{} -> 10.0.0.{host} {}", owner(asked).to_ascii_lowercase(), least.min(*ttl)))
        }).collect();
        // However the aliases are shuffled, a handful of passes is enough for as many of them.
        let in_order = PASSES_ENOUGH >= steps;
        let (mut facts, _) = read(&[(0, BACK, writer.bytes)]);
        facts.retain(|fact| fact.contains("->"));
        prop_assert!(!in_order || facts == expected, "{facts:?} {expected:?}");
    }

    /// Any byte of a rich answer changed, any end cut off: nothing panics, and what is told stays bounded.
    #[test]
    fn broken_answers_do_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        compress in any::<bool>(),
    ) {
        let mut writer = Writer::new(ANSWER, compress);
        writer.question("a.test", HTTPS);
        writer.record(ANSWERS, "a.test", CNAME, 1, 9, &name("b.test"));
        writer.record(ANSWERS, "b.test", HTTPS, 1, 9, &binding(1, "c.test", &[(1, b"\x02h2"), (4, &[10, 0, 0, 5]), (5, b"k")]));
        writer.record(ANSWERS, "_mcp._tcp.test", SRV, 1, 9, &Data(vec![0; 6], Some("b.test".to_owned()), Vec::new()));
        writer.record(ANSWERS, "_mcp._tcp.test", TXT, 1, 9, &Data(b"\x06path=/".to_vec(), None, Vec::new()));
        writer.record(ADDITIONAL, "c.test", A, 1, 9, &octets("10.0.0.5"));
        let mut bytes = writer.bytes;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len() / 2));
        let (told, _) = read(&[(0, BACK, bytes)]);
        prop_assert!(told.len() <= QUESTIONS_MAX + FOLLOWED_MAX * answer::LEADS_MAX + 2 * 64);
    }
}

/// Aliases in the worst order take a pass each.
const PASSES_ENOUGH: usize = 4;
