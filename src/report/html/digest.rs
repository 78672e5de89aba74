//! What there is to say at first sight: figures, charts, worst findings, what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::finding::Severity;
use crate::model::stamp::Timestamp;
use crate::report::grid::{bytes, count, thousands};
use crate::report::html::chart::{Bars, Series, Share, pieces};
use crate::report::html::doors::{Doors, escape};
use crate::report::html::parts::{Cell, Head, Link, Section, Shown, Table, Words, sign};
use crate::report::html::words::{Layout, Standing, server_name, standing};
use crate::store::record::Record;
use crate::store::{Rows, Word};

/// Rows of a table at first sight.
const FEW: usize = 8;

/// Answers that the first sight rests on.
#[derive(Clone, Debug)]
pub struct Digest {
    /// Servers.
    pub servers: Arc<Rows>,
    /// Clients.
    pub clients: Arc<Rows>,
    /// Findings.
    pub findings: Arc<Rows>,
    /// Changed tools.
    pub drift: Arc<Rows>,
    /// What was captured.
    pub captures: Arc<Rows>,
}

impl Digest {
    /// Asks for them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn ask<E>(mut ask: impl FnMut(Word) -> Result<Arc<Rows>, E>) -> Result<Self, E> {
        Ok(Self {
            servers: ask(Word::Servers)?,
            clients: ask(Word::Clients)?,
            findings: ask(Word::Findings)?,
            drift: ask(Word::Drift)?,
            captures: ask(Word::Captures)?,
        })
    }

    /// How many servers there are of each standing.
    pub fn standings(&self) -> BTreeMap<Standing, u64> {
        let mut counts = BTreeMap::new();
        for server in self.servers.records() {
            *counts.entry(standing(&server)).or_insert(0) += 1;
        }
        counts
    }

    /// Findings that nobody has settled.
    pub fn open(&self) -> impl Iterator<Item = Record<'_>> {
        self.findings
            .records()
            .filter(|finding| matches!(finding.text("state"), Some("open") | None))
    }

    /// Open findings by severity, worst first, without those that there are none of.
    pub fn severities(&self) -> Vec<(Severity, u64)> {
        let mut counts: BTreeMap<Severity, u64> = BTreeMap::new();
        for severity in self
            .open()
            .filter_map(|finding| Severity::parse(finding.text("severity")?))
        {
            *counts.entry(severity).or_insert(0) += 1;
        }
        counts.into_iter().rev().collect()
    }

    /// One sentence that answers: which servers, who uses them, which are not approved, what is wrong.
    pub fn sentence(&self) -> String {
        let standings = self.standings();
        let of = |standing| standings.get(&standing).copied().unwrap_or(0);
        let real = of(Standing::Approved) + of(Standing::Unapproved);
        let mut text = match real {
            0 => "No MCP server was seen".to_owned(),
            _ => format!(
                "{}, {} not approved",
                count(real, "MCP server", "MCP servers"),
                thousands(of(Standing::Unapproved))
            ),
        };
        if of(Standing::Suspected) > 0 {
            text.push_str(&format!(", {} suspected", thousands(of(Standing::Suspected))));
        }
        let clients: BTreeSet<&str> = self
            .clients
            .records()
            .filter_map(|client| client.text("client"))
            .collect();
        text.push_str(&format!("; {}; ", count(clients.len() as u64, "client", "clients")));
        let severities: Vec<String> = self
            .severities()
            .into_iter()
            .map(|(severity, count)| format!("{} {}", thousands(count), severity.word()))
            .collect();
        text.push_str(&match severities.is_empty() {
            true => "no open finding.".to_owned(),
            false => format!("open findings: {}.", severities.join(", ")),
        });
        text
    }

    /// Approved, not approved, suspected.
    pub fn share(&self) -> Share {
        let standings = self.standings();
        let of = |standing| standings.get(&standing).copied().unwrap_or(0);
        let parts = [
            ("not approved", "bad", of(Standing::Unapproved)),
            ("suspected", "soft", of(Standing::Suspected)),
            ("approved", "good", of(Standing::Approved)),
        ];
        Share::new("approval", "Servers by approval", &parts)
    }

    /// New servers over time.
    pub fn servers_over_time(&self) -> Option<Bars> {
        let when = |wanted: Standing| -> Vec<Timestamp> {
            let servers = self.servers.records().filter(|server| standing(server) == wanted);
            servers.filter_map(|server| server.time("first_seen")).collect()
        };
        let series = [
            ("not approved", "bad", Standing::Unapproved),
            ("suspected", "soft", Standing::Suspected),
            ("approved", "good", Standing::Approved),
        ];
        let series = series.map(|(name, class, standing)| Series {
            name,
            class,
            moments: when(standing),
        });
        Bars::new("servers-over-time", "New servers", &series)
    }

    /// Findings over time, by severity.
    pub fn findings_over_time(&self) -> Option<Bars> {
        let series: Vec<Series> = Severity::ALL
            .into_iter()
            .rev()
            .map(|severity| Series {
                name: severity.word(),
                class: severity.word(),
                moments: self
                    .findings
                    .records()
                    .filter(|finding| finding.text("severity") == Some(severity.word()))
                    .filter_map(|finding| finding.time("first_seen"))
                    .collect(),
            })
            .filter(|series| !series.moments.is_empty())
            .collect();
        Bars::new("findings-over-time", "New findings", &series)
    }

    /// Open findings by kind and severity.
    pub fn kinds(&self, doors: Doors) -> Table {
        let mut kinds: BTreeMap<&str, BTreeMap<Severity, u64>> = BTreeMap::new();
        for finding in self.open() {
            if let (Some(kind), Some(severity)) =
                (finding.text("kind"), finding.text("severity").and_then(Severity::parse))
            {
                *kinds.entry(kind).or_default().entry(severity).or_insert(0) += 1;
            }
        }
        let total = |by: &BTreeMap<Severity, u64>| by.values().sum::<u64>();
        let most = kinds.values().map(total).max().unwrap_or(0);
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(kind, by)| {
            (
                std::cmp::Reverse(by.keys().copied().max()),
                std::cmp::Reverse(total(by)),
                *kind,
            )
        });
        let row = |(kind, by): &(&str, BTreeMap<Severity, u64>)| {
            let worst = by.keys().copied().max();
            let counts: Vec<(&'static str, u64)> = by
                .iter()
                .rev()
                .map(|(severity, count)| (severity.word(), *count))
                .collect();
            let said: Vec<Link> = by
                .iter()
                .rev()
                .map(|(severity, count)| Link::new(None, &format!("{} {}", thousands(*count), severity.word())))
                .collect();
            vec![
                Cell::Link(Link::new(doors.page(&format!("/findings?kind={kind}")), kind)),
                worst.map_or(Cell::Nothing, |worst| Cell::Severity(worst.word(), sign(worst))),
                Cell::count(total(by)),
                Cell::Bar(pieces(&counts, most)),
                Cell::links(said),
            ]
        };
        Table {
            id: "kinds",
            caption: "Open findings by kind".to_owned(),
            heads: vec![
                Head::of("Kind", "lead"),
                Head::new("Worst"),
                Head::number("Findings"),
                Head::of("Share", "bar-cell"),
                Head::of("By severity", "wide"),
            ],
            rows: kinds.iter().map(row).collect(),
            empty: "No open finding.",
        }
    }

    /// The worst servers that nobody approved.
    pub fn unapproved(&self, doors: Doors) -> Table {
        let rank = |row: &Record<'_>| row.text("worst").and_then(Severity::parse);
        let mut rows: Vec<Record<'_>> = self
            .servers
            .records()
            .filter(|server| standing(server) == Standing::Unapproved)
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((rank(row), row.count("findings"), row.list("clients").len())));
        let caption = few(rows.len(), "servers that nobody approved, worst first");
        let without = ["Approval", "Sign-in", "Transport", "First seen", "Findings", "Tools"];
        Layout::of(Word::Servers).table("unapproved", caption, rows.into_iter().take(FEW), doors, &without)
    }

    /// The worst open findings: those of one kind about one server together.
    pub fn worst(&self, doors: Doors) -> Table {
        type Same<'a> = (std::cmp::Reverse<Option<Severity>>, &'a str, &'a str);
        let mut same: BTreeMap<Same<'_>, Vec<Record<'_>>> = BTreeMap::new();
        for finding in self.open() {
            let severity = finding.text("severity").and_then(Severity::parse);
            let (kind, server) = (finding.text("kind").unwrap_or(""), finding.text("server").unwrap_or(""));
            same.entry((std::cmp::Reverse(severity), kind, server))
                .or_default()
                .push(finding);
        }
        let row = |((severity, kind, _), all): (&Same<'_>, &Vec<Record<'_>>)| {
            let first = all.first()?;
            let (href, what) = match all.len() {
                1 => (doors.finding(first.text("id")), (*kind).to_owned()),
                many => {
                    let id = first.text("server_id").map(|id| format!("&server={}", escape(id)));
                    let list = format!("/findings?state=open&kind={kind}{}", id.unwrap_or_default());
                    (doors.page(&list), format!("{kind} ×{}", thousands(many as u64)))
                }
            };
            let server = Link::new(doors.server(first.text("server_id")), self.name_of(first));
            Some(vec![
                Cell::severity(severity.0.map(Severity::word)),
                Cell::Link(Link::new(href, &what).below(first.text("title"))),
                Cell::Link(server.below(first.text("server"))),
            ])
        };
        Table {
            id: "worst",
            caption: few(same.len(), "kinds of findings by server, worst first"),
            heads: vec![
                Head::new("Severity"),
                Head::of("Finding", "lead"),
                Head::of("Server", "word"),
            ],
            rows: same.iter().filter_map(row).take(FEW).collect(),
            empty: "No open finding.",
        }
    }

    /// What people call the server of a finding.
    fn name_of<'a>(&'a self, finding: &Record<'a>) -> &'a str {
        let id = finding.text("server_id");
        let server = self
            .servers
            .records()
            .find(|server| id.is_some() && server.text("id") == id);
        server.map_or("", |server| server_name(&server))
    }

    /// What came up last: servers, clients, changed tools.
    pub fn news(&self, doors: Doors) -> Table {
        // Of ten thousand servers a few are new: only those are put into words.
        let mut news: Vec<(Timestamp, Word, Record<'_>)> = Vec::new();
        for (word, rows, time) in [
            (Word::Servers, &self.servers, "first_seen"),
            (Word::Clients, &self.clients, "first_seen"),
            (Word::Drift, &self.drift, "time"),
        ] {
            news.extend(rows.records().filter_map(|row| Some((row.time(time)?, word, row))));
        }
        news.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let told = |(time, word, row): (Timestamp, Word, Record<'_>)| {
            let (what, about) = match word {
                Word::Clients => {
                    let address = row.text("client");
                    let link = Link::new(doors.client(address), address.unwrap_or(""));
                    (Cell::text(Some("new client")), link.below(row.text("client_name")))
                }
                Word::Drift => {
                    let link = Link::new(doors.server(row.text("server_id")), row.text("tool").unwrap_or(""));
                    (Cell::Mark("bad", "△", "tool changed"), link.below(row.text("server")))
                }
                _ => {
                    let link = Link::new(doors.server(row.text("id")), server_name(&row));
                    (Cell::text(Some("new server")), link.below(row.text("server")))
                }
            };
            vec![Cell::time(Some(time)), what, Cell::Link(about)]
        };
        Table {
            id: "news",
            caption: "Latest first".to_owned(),
            heads: vec![Head::of("When", "time"), Head::new("What"), Head::of("About", "lead")],
            rows: news.into_iter().take(FEW).map(told).collect(),
            empty: "Nothing yet.",
        }
    }

    /// What the sensors saw and could not see, in one sentence each.
    pub fn sight(&self) -> Vec<String> {
        let sum = |name: &str| {
            self.captures
                .records()
                .map(|capture| capture.count(name))
                .fold(0, u64::saturating_add)
        };
        let mut told = vec![format!(
            "{} packets ({}) in {}, from {}.",
            thousands(sum("packets")),
            bytes(sum("bytes")),
            count(sum("flows"), "flow", "flows"),
            count(self.captures.rows.len() as u64, "capture", "captures"),
        )];
        let unseen: Vec<String> = BLIND
            .iter()
            .map(|(column, _, one, many)| (sum(column), one, many))
            .filter(|(number, _, _)| *number > 0)
            .map(|(number, one, many)| count(number, one, many))
            .collect();
        told.push(match unseen.is_empty() {
            true => "Every flow was readable, whole and in both directions.".to_owned(),
            false => format!("Not seen: {}.", unseen.join(", ")),
        });
        told
    }

    /// The charts, beside each other.
    pub fn charts(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        if let Some(bars) = self.servers_over_time() {
            sections.push(Section::plain("chart-servers", &bars).class("half"));
        }
        if let Some(bars) = self.findings_over_time() {
            sections.push(Section::plain("chart-findings", &bars).class("half"));
        }
        sections
    }

    /// The sight of the sensors as paragraphs.
    pub fn sight_words(&self) -> Words {
        Words {
            class: "",
            lines: self.sight().iter().map(|line| Shown::new(line)).collect(),
        }
    }
}

/// Counters of what was lost or could not be read: column, what it means, one, many.
pub const BLIND: [(&str, &str, &str, &str); 10] = [
    (
        "encrypted_flows",
        "What was said stays unknown without keys; give a key log of what you own.",
        "encrypted flow",
        "encrypted flows",
    ),
    (
        "one_sided_flows",
        "One direction was captured alone: check that the mirror port copies both.",
        "one-sided flow",
        "one-sided flows",
    ),
    (
        "ech_hellos",
        "The server name in the TLS hello is hidden.",
        "hidden server name",
        "hidden server names",
    ),
    (
        "kernel_drops",
        "The kernel's buffer was full: raise capture.buffer_bytes or the number of workers.",
        "packet dropped by the kernel",
        "packets dropped by the kernel",
    ),
    (
        "queue_drops",
        "A worker was busy: raise the number of workers.",
        "packet dropped before a busy worker",
        "packets dropped before a busy worker",
    ),
    (
        "truncated_packets",
        "Cut by the snap length: raise it.",
        "packet cut short",
        "packets cut short",
    ),
    (
        "undecodable_packets",
        "Of protocols that are not opened, or damaged.",
        "undecodable packet",
        "undecodable packets",
    ),
    (
        "gap_bytes",
        "Sent and not captured: the tap or the sensor lost packets.",
        "missing stream byte",
        "missing stream bytes",
    ),
    (
        "evicted_flows",
        "The flow table was full: raise its bound.",
        "flow dropped at a bound",
        "flows dropped at a bound",
    ),
    (
        "shed_events",
        "A bound of what is known was reached.",
        "event shed",
        "events shed",
    ),
];

fn few(all: usize, what: &str) -> String {
    if all > FEW {
        format!("{FEW} of {} {what}", thousands(all as u64))
    } else {
        format!("{} {what}", thousands(all as u64))
    }
}
