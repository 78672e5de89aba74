//! Events become rows, once: the sealing half of the sink.
//!
//! A part is a version, then for each table its number, its rows and their bytes. Every row carries who wrote it, and a
//! version that grows with every row of this process: a state that comes twice, or late, changes nothing. What is written
//! is what arrives: redaction is done long before.

use std::collections::HashSet;

use crate::model::event::{Event, Record};
use crate::model::mcp::RpcKind;
use crate::model::message_seen::MessageRow;
use crate::model::net::{Direction, FiveTuple};
use crate::model::server::{Capture, Client, Lookup, Reported, Server, Session};
use crate::model::stamp::{Span, Timestamp};
use crate::sink::remote::{Origin, Part, Seal};
use crate::store::clickhouse::rowbinary::Row;
use crate::store::clickhouse::table::Table;
use crate::store::clickhouse::tables::{
    BEGUN, CLIENTS, COMMON, DOCUMENTS, FINDINGS, LOOKUPS, MESSAGES, RUNS, SERVERS, SESSIONS, WRITTEN,
};
use crate::store::memory::{definitions, hex, hundredths};
use crate::store::query::{address_key, rank};
use crate::store::{client_id, lookup_id};

/// Version of a part's encoding, and of the columns that its rows have.
const VERSION: u8 = 2;

/// Bytes before the rows of a table: its number, how many rows, how many bytes.
const SECTION_HEAD: usize = 9;

/// Definitions that are known to have been written; then all are forgotten, and written again when they come.
const KNOWN_MAX_DOCUMENTS: usize = 65_536;

/// See the module.
#[derive(Debug)]
pub(super) struct Encoder {
    origin: Origin,
    /// What the clock on the wall says.
    clock: fn() -> Timestamp,
    /// Of the latest row.
    version: u64,
    /// Rows so far, for each table of [`WRITTEN`].
    sections: [Section; WRITTEN.len()],
    documents: HashSet<[u8; 32]>,
    /// The flow of the latest message, and its Community ID.
    flow: Option<(FiveTuple, String)>,
}

#[derive(Debug, Default)]
struct Section {
    rows: u32,
    bytes: Vec<u8>,
}

/// The rows of one table within a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows<'a> {
    /// Of the encoding.
    pub(super) version: u8,
    pub(super) table: usize,
    pub(super) rows: u32,
    pub(super) bytes: &'a [u8],
}

/// The rows of a part; `None` when it is of another version, or damaged.
pub(super) fn open(part: &[u8]) -> Option<Vec<Rows<'_>>> {
    let (version, mut rest) = part.split_first()?;
    let mut found = Vec::new();
    let known = (1..=VERSION).contains(version);
    while known && !rest.is_empty() {
        let (head, bytes) = rest.split_at_checked(SECTION_HEAD)?;
        let (table, counts) = head.split_first()?;
        let (rows, length) = counts.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let (bytes, after) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
        let table = usize::from(*table);
        WRITTEN.get(table)?;
        found.push(Rows {
            version: *version,
            table,
            rows: u32::from_le_bytes(rows.try_into().ok()?),
            bytes,
        });
        rest = after;
    }
    known.then_some(found)
}

impl Seal for Encoder {
    fn seal(&mut self, events: &[Event]) -> Option<Part> {
        // Which start of the run counts must be known wherever rows of it are.
        self.row(&BEGUN, |_| {});
        for event in events {
            match event {
                Event::Capture(capture) => self.capture(capture),
                Event::Client(client) => self.client(client),
                Event::Finding(reported) => self.finding(reported),
                Event::Gone(record) => self.gone(record),
                Event::Lookup(lookup) => self.lookup(lookup),
                Event::Message(message) => self.message(message),
                Event::Server(server) => self.server(server),
                Event::Session(session) => self.session(session),
            }
        }
        Some(self.close())
    }
}

impl Encoder {
    pub(super) fn new(origin: Origin, clock: fn() -> Timestamp) -> Self {
        Self {
            version: origin.began.nanos().unsigned_abs(),
            origin,
            clock,
            sections: Default::default(),
            documents: HashSet::new(),
            flow: None,
        }
    }

    fn close(&mut self) -> Part {
        let mut part = Part {
            rows: 0,
            bytes: vec![VERSION],
        };
        for (table, section) in (0_u8..).zip(&mut self.sections) {
            // A section that would be too long for its head is dropped by its reader; parts are far smaller.
            let length = u32::try_from(section.bytes.len()).unwrap_or(u32::MAX);
            if section.rows > 0 {
                part.bytes.push(table);
                part.bytes.extend_from_slice(&section.rows.to_le_bytes());
                part.bytes.extend_from_slice(&length.to_le_bytes());
                part.bytes.append(&mut section.bytes);
                part.rows += u64::from(section.rows);
            }
            section.rows = 0;
        }
        part
    }

    /// Adds a row that begins with who wrote it.
    fn row(&mut self, table: &Table, write: impl FnOnce(&mut Row<'_>)) {
        self.version = self.version.saturating_add(1);
        let (version, sealed) = (self.version, (self.clock)());
        let origin = self.origin.clone();
        self.bare_row(table, |row| {
            row.text(&origin.sensor).text(&origin.run).time(origin.began);
            row.u64(version).u32(seconds(sealed));
            write(row);
        });
    }

    fn bare_row(&mut self, table: &Table, write: impl FnOnce(&mut Row<'_>)) {
        let place = WRITTEN.iter().position(|known| std::ptr::eq(*known, table));
        let Some(section) = place.and_then(|place| self.sections.get_mut(place)) else {
            debug_assert!(false, "{} is not among those that are written", table.name);
            return;
        };
        write(&mut Row(&mut section.bytes));
        section.rows = section.rows.saturating_add(1);
    }

    fn gone(&mut self, record: &Record) {
        let (table, id) = match record {
            Record::Client { addr, name, version } => (&CLIENTS, client_id(*addr, name.as_deref(), version.as_deref())),
            Record::Finding(id) => (&FINDINGS, id.clone()),
            Record::Server(id) => (&SERVERS, id.clone()),
        };
        self.row(table, |row| {
            row.text(&id).bool(true);
            for column in table.columns.iter().skip(COMMON + 2) {
                row.bytes(column.empty);
            }
        });
    }

    fn capture(&mut self, capture: &Capture) {
        let counters = &capture.counters;
        let (lost, blind) = (&counters.lost, &counters.blind);
        self.row(&RUNS, |row| {
            row.texts(&capture.sources);
            row.maybe_time(capture.seen.map(|(first, _)| first));
            row.maybe_time(capture.seen.map(|(_, last)| last));
            for number in [
                counters.packets,
                counters.bytes,
                counters.flows,
                lost.kernel_drops,
                lost.queue_drops,
                lost.truncated_packets,
                lost.undecodable_packets,
                lost.gap_bytes,
                lost.evicted_flows,
                lost.shed_events,
                blind.encrypted_flows,
                blind.encrypted_bytes,
                blind.one_sided_flows,
                blind.ech_hellos,
            ] {
                row.count(number);
            }
        });
    }

    fn client(&mut self, client: &Client) {
        self.row(&CLIENTS, |row| {
            row.text(&client_id(
                client.addr,
                client.name.as_deref(),
                client.version.as_deref(),
            ));
            row.bool(false).text(&client.addr.to_string());
            row.maybe_text(client.name.as_deref());
            row.maybe_text(client.version.as_deref());
            row.maybe_text(client.user_agent.as_deref());
            row.text(&address_key(client.addr));
            row.list(client.servers.iter(), |row, server| {
                row.text(&format!("{}:{:05}", address_key(server.addr), server.port));
                row.text(&server.to_string());
            });
            seen(row, client.seen);
        });
    }

    fn finding(&mut self, reported: &Reported) {
        let finding = &reported.finding;
        let (key, evidence, at) = (&finding.key, &finding.evidence, reported.first());
        self.row(&FINDINGS, |row| {
            row.text(&reported.id).bool(false).text(finding.severity.word());
            row.u8(u8::try_from(rank(finding.severity)).unwrap_or(u8::MAX))
                .text(key.kind.word());
            row.maybe_text(key.site.as_ref().map(|site| site.endpoint.to_string()).as_deref());
            row.maybe_text(key.client.map(|client| client.to_string()).as_deref());
            row.maybe_text(key.tool.as_deref());
            row.text(&finding.title)
                .count(finding.count)
                .f64(hundredths(finding.confidence));
            row.text(&key.rule).maybe_text(reported.server_id.as_deref());
            row.maybe_text(evidence.session.map(|session| format!("{session:016x}")).as_deref());
            row.maybe_text(key.direction.map(Direction::word))
                .maybe_text(key.place.as_deref());
            row.maybe_text(evidence.sample.as_ref().map(crate::model::finding::Sample::as_str));
            seen(row, finding.seen);
            row.maybe_text(evidence.flow.map(|flow| flow.community_id()).as_deref());
            let packet = (at.packet > 0).then_some(at);
            row.maybe(packet, |row, at| {
                row.i64(at.source.into());
            });
            row.maybe(packet, |row, at| {
                row.count(at.packet);
            });
            row.texts(&finding.references);
            row.list(finding.detail.iter(), |row, (name, value)| {
                row.text(name).text(value);
            });
        });
    }

    fn lookup(&mut self, lookup: &Lookup) {
        self.row(&LOOKUPS, |row| {
            row.text(&lookup_id(lookup)).text(&lookup.name);
            row.maybe_text(lookup.kind.as_deref());
            row.text(&lookup.signature).text(lookup.category).text(lookup.via);
            row.text(&lookup.client.to_string()).text(&address_key(lookup.client));
            row.count(lookup.count);
            seen(row, lookup.seen);
        });
    }

    fn session(&mut self, session: &Session) {
        self.row(&SESSIONS, |row| {
            row.text(&session.id)
                .text(&session.server_id)
                .text(&session.server.to_string());
            row.text(&address_key(session.server.addr)).u16(session.server.port);
            row.maybe_text(session.client.map(|client| client.to_string()).as_deref());
            row.maybe_text(session.client_name.as_deref());
            row.maybe_text(
                session
                    .protocol_version
                    .as_ref()
                    .map(crate::model::mcp::Revision::as_str),
            );
            row.text(session.transport.word())
                .count(session.messages)
                .counts(&session.calls);
            seen(row, session.seen);
        });
    }

    fn server(&mut self, server: &Server) {
        self.documents(server);
        let messages = &server.messages;
        self.row(&SERVERS, |row| {
            row.text(&server.id).bool(false).text(&server.endpoint.to_string());
            row.text(&server.endpoint.addr.to_string()).u16(server.endpoint.port);
            row.maybe_text(server.hostname.as_deref())
                .maybe_text(server.path.as_deref());
            row.text(&address_key(server.endpoint.addr))
                .text(server.encryption.word());
            row.bool(server.decrypted)
                .u8(server.evidence as u8)
                .f64(hundredths(server.confidence));
            row.maybe_text(server.server_name.as_deref())
                .maybe_text(server.server_version.as_deref());
            row.maybe_text(server.instructions_sha256.as_ref().map(|digest| hex(digest)).as_deref());
            row.count(server.resources).count(server.prompts);
            row.maybe(server.auth, |row, auth| {
                row.u8(auth as u8);
            });
            row.text(server.scope.word()).maybe_text(server.approval.as_deref());
            seen(row, server.seen);
            row.count(server.sessions)
                .count(messages.requests)
                .count(messages.responses);
            row.count(messages.errors)
                .count(messages.notifications)
                .counts(&messages.by_method);
            row.list(server.transports.iter(), |row, transport| {
                row.u8(*transport as u8).text(transport.word());
            });
            row.list(server.protocol_versions.iter(), |row, revision| {
                row.text(revision.as_str());
            });
            row.list(server.clients.iter(), |row, addr| {
                row.text(&address_key(*addr)).text(&addr.to_string());
            });
            tools(row, server);
            row.list(server.sites.iter(), |row, (_, site)| {
                row.text(site);
            });
        });
    }

    fn message(&mut self, message: &MessageRow) {
        let seen = &message.seen;
        let route = &seen.route;
        // Messages of one flow come one after the other.
        if self.flow.as_ref().is_none_or(|(flow, _)| *flow != route.flow) {
            self.flow = Some((route.flow, route.flow.community_id()));
        }
        let flow = self.flow.take();
        self.row(&MESSAGES, |row| {
            row.time(seen.at.time).u64(route.flow_id).u32(seen.number);
            row.text(&message.site).text(&message.server_id);
            row.text(&message.server.to_string()).text(&route.client.to_string());
            row.u16(route.flow.client.port);
            row.text(seen.dir.word()).text(kind(seen.kind));
            row.maybe_text(seen.method.as_deref())
                .maybe_text(seen.target.as_deref());
            row.bool(seen.failed);
            row.maybe(seen.latency_us, |row, latency| {
                row.u32(latency);
            });
            row.maybe(seen.http_status, |row, status| {
                row.u16(status);
            });
            row.maybe(seen.error_code, |row, code| {
                row.bytes(&code.to_le_bytes());
            });
            row.u32(seen.bytes);
            row.maybe(message.session, |row, session| {
                row.u64(session);
            });
            row.maybe(seen.rpc_id, |row, id| {
                row.u64(id);
            });
            row.maybe_text(seen.revision.as_ref().map(crate::model::mcp::Revision::as_str));
            row.text(flow.as_ref().map_or("", |(_, id)| id));
        });
        self.flow = flow;
    }

    /// Texts of definitions that were not yet written.
    fn documents(&mut self, server: &Server) {
        for definition in server.tools.iter().flat_map(definitions) {
            if self.documents.len() >= KNOWN_MAX_DOCUMENTS {
                self.documents.clear();
            }
            if self.documents.insert(definition.sha256) {
                let sealed = (self.clock)();
                self.bare_row(&DOCUMENTS, |row| {
                    row.text(&hex(&definition.sha256))
                        .text(&definition.definition)
                        .u32(seconds(sealed));
                });
            }
        }
    }
}

/// The word of a message's kind.
const fn kind(kind: RpcKind) -> &'static str {
    match kind {
        RpcKind::Error => "error",
        RpcKind::Notification => "notification",
        RpcKind::Request => "request",
        RpcKind::Success => "response",
    }
}

fn tools(row: &mut Row<'_>, server: &Server) {
    row.list(server.tools.iter(), |row, tool| {
        row.text(&tool.name).text(&hex(&tool.sha256));
        row.maybe_text(tool.description_sha256.as_ref().map(|digest| hex(digest)).as_deref());
        row.bool(tool.gone).time(tool.seen.last.time);
    });
    let all = server
        .tools
        .iter()
        .flat_map(|tool| definitions(tool).into_iter().map(move |definition| (tool, definition)));
    row.list(all.collect::<Vec<_>>().into_iter(), |row, (tool, definition)| {
        row.text(&tool.name).text(&hex(&definition.sha256));
        seen(row, definition.seen);
    });
}

fn seen(row: &mut Row<'_>, seen: Span) {
    row.time(seen.first.time).time(seen.last.time);
}

/// As a `DateTime` has them.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.nanos() / 1_000_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    fn encoder() -> Encoder {
        let origin = Origin {
            sensor: "s".into(),
            run: "r".into(),
            began: Timestamp::from_nanos(fixture::START),
        };
        Encoder::new(origin, || Timestamp::from_nanos(fixture::START))
    }

    #[test]
    fn a_part_opens_to_what_was_sealed() {
        let view = fixture::view();
        let mut encoder = encoder();
        let rows = |part: &Part| -> Vec<(&str, u32)> {
            open(&part.bytes)
                .unwrap()
                .iter()
                .map(|rows| (WRITTEN[rows.table].name, rows.rows))
                .collect()
        };
        let part = encoder.seal(&fixture::events(&view)).unwrap();
        let expect = [
            ("begun_raw", 1),
            ("runs_raw", 1),
            ("servers_raw", 2),
            ("documents_raw", 4),
            ("clients_raw", 3),
            ("sessions_raw", 1),
            ("lookups_raw", 2),
            ("findings_raw", 3),
            ("messages_raw", 10),
        ];
        assert_eq!(rows(&part), expect);
        assert_eq!(part.rows, 27);
        let again = encoder.seal(&fixture::events(&view)).unwrap();
        assert_eq!(rows(&again).len(), 8, "definitions go once");
    }

    #[test]
    fn what_is_no_part_of_ours_is_not_opened() {
        let part = encoder().seal(&fixture::events(&fixture::view())).unwrap().bytes;
        assert_eq!(open(&[]), None);
        assert_eq!(open(&[VERSION + 1]), None);
        for length in 2..part.len() {
            let opened = open(&part[..length]);
            assert!(opened.is_none_or(|rows| rows.len() < 9), "{length}");
        }
        let mut unknown = part.clone();
        unknown[1] = 200;
        assert_eq!(open(&unknown), None);
    }
}
