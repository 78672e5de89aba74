//! The contract's report object: what `replay --format json` prints and `GET /api/report` gives.
//!
//! Field names, their order and nulls are the contract's, held by a golden text below; scripts are built on them. Every
//! struct borrows from the view and is written as it stands: the same view gives the same bytes. It knows no file, no
//! store and no clock.

mod capture;
mod host;
mod outer;
pub mod stored;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;

use serde::Serialize;

use crate::model::finding::Sample;
use crate::model::mcp::Auth;
use crate::model::net::{Direction, Endpoint};
use crate::model::server::{Client, Lookup, Reported, Server, Tool, View, Withheld};
use crate::model::stamp::Timestamp;
use crate::model::suspect::{GAP_BOUNDS_MS, SIZE_BOUNDS, Shape};
use crate::model::tls::Ja4;
use crate::model::visit::Rhythm;
use crate::report::display;
pub(crate) use crate::report::object::capture::CaptureObject;
use crate::report::object::host::{HostObject, ProcessObject};
use crate::report::object::outer::OuterObject;

/// Writes one JSON object on one line.
///
/// # Errors
/// Those of the writer.
pub fn write(out: &mut impl io::Write, view: &View) -> io::Result<()> {
    display::json_line(out, &Report::of(view))
}

/// Version of the report object.
const SCHEMA: u32 = 1;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema: u32,
    capture: CaptureObject<'a>,
    servers: Vec<ServerObject<'a>>,
    clients: Vec<ClientObject<'a>>,
    lookups: Vec<LookupObject<'a>>,
    findings: Vec<FindingObject<'a>>,
    /// Only where the policy held anything back.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<WithheldObject>,
    /// Only in host mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostObject<'a>>,
}

/// What the policy holds back of a report, counted.
#[derive(Debug, Serialize)]
struct WithheldObject {
    ignored_clients: u64,
    ignored: u64,
    suppressed: u64,
    folded: u64,
}

impl WithheldObject {
    fn of(withheld: Withheld) -> Option<Self> {
        (withheld != Withheld::default()).then_some(Self {
            ignored_clients: withheld.ignored_clients,
            ignored: withheld.ignored,
            suppressed: withheld.suppressed,
            folded: withheld.folded,
        })
    }
}

impl<'a> Report<'a> {
    /// The report of a view, in the view's order.
    pub fn of(view: &'a View) -> Self {
        Self {
            schema: SCHEMA,
            capture: CaptureObject::of(&view.capture),
            servers: view.servers.iter().map(ServerObject::of).collect(),
            clients: view.clients.iter().map(ClientObject::of).collect(),
            lookups: view.lookups.iter().map(LookupObject::of).collect(),
            findings: view.findings.iter().map(FindingObject::of).collect(),
            withheld: WithheldObject::of(view.withheld),
            host: view.host.as_ref().map(HostObject::of),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ServerObject<'a> {
    id: &'a str,
    address: Text<IpAddr>,
    port: u16,
    hostname: Option<&'a str>,
    path: Option<&'a str>,
    transport: Option<&'static str>,
    transports: Vec<&'static str>,
    encryption: &'static str,
    /// Only where there was anything around.
    #[serde(skip_serializing_if = "Option::is_none")]
    outer: Option<OuterObject>,
    decrypted: bool,
    evidence: &'static str,
    confidence: Hundredths,
    server_name: Option<&'a str>,
    server_version: Option<&'a str>,
    instructions_sha256: Option<Hex<'a>>,
    protocol_versions: Vec<&'a str>,
    tools: Vec<ToolObject<'a>>,
    resources: u64,
    prompts: u64,
    auth: Option<&'static str>,
    scope: &'static str,
    bind: Option<&'static str>,
    process: Option<Box<ProcessObject<'a>>>,
    approved: bool,
    approval: Option<&'a str>,
    first_seen: Text<Timestamp>,
    last_seen: Text<Timestamp>,
    sessions: u64,
    clients: Vec<Text<IpAddr>>,
    messages: MessagesObject<'a>,
    /// Only of a server that was inferred: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// Only of a server that was inferred and whose flows were watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<Box<ShapeObject<'a>>>,
    /// Likewise, and only of connections of programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    rhythm: Option<Box<RhythmObject<'a>>>,
}

/// How connections of the same clients followed each other; counts by class as those of [`ShapeObject`].
#[derive(Debug, Serialize)]
struct RhythmObject<'a> {
    connections: u64,
    at_once: u64,
    streams: u64,
    beside: u64,
    again: u64,
    starts: &'a [u64],
    lasted: &'a [u64],
}

impl<'a> RhythmObject<'a> {
    fn of(rhythm: &'a Rhythm) -> Self {
        Self {
            connections: rhythm.visits,
            at_once: rhythm.at_once,
            streams: rhythm.streams,
            beside: rhythm.beside,
            again: rhythm.again,
            starts: &rhythm.starts,
            lasted: &rhythm.lasted,
        }
    }
}

/// How encrypted flows went: counts of records by class, with the upper bounds of the classes; the last class is open.
#[derive(Debug, Serialize)]
struct ShapeObject<'a> {
    flows: u64,
    trickles: u64,
    size_bounds: &'static [usize],
    gap_bounds_ms: &'static [u64],
    sizes_to_server: &'a [u64],
    sizes_to_client: &'a [u64],
    gaps_to_server: &'a [u64],
    gaps_to_client: &'a [u64],
}

impl<'a> ShapeObject<'a> {
    fn of(shape: &'a Shape) -> Self {
        let [sizes_to_server, sizes_to_client] = &shape.sizes;
        let [gaps_to_server, gaps_to_client] = &shape.gaps;
        Self {
            flows: shape.flows,
            trickles: shape.trickles,
            size_bounds: &SIZE_BOUNDS,
            gap_bounds_ms: &GAP_BOUNDS_MS,
            sizes_to_server,
            sizes_to_client,
            gaps_to_server,
            gaps_to_client,
        }
    }
}

#[derive(Debug, Serialize)]
struct ToolObject<'a> {
    name: &'a str,
    sha256: Hex<'a>,
    description_sha256: Option<Hex<'a>>,
    gone: bool,
}

#[derive(Debug, Serialize)]
struct MessagesObject<'a> {
    requests: u64,
    responses: u64,
    errors: u64,
    notifications: u64,
    by_method: &'a BTreeMap<String, u64>,
}

impl<'a> ServerObject<'a> {
    pub(crate) fn of(server: &'a Server) -> Self {
        let messages = &server.messages;
        Self {
            id: &server.id,
            address: Text(server.endpoint.addr),
            port: server.endpoint.port,
            hostname: server.hostname.as_deref(),
            path: server.path.as_deref(),
            transport: server.transports.first().map(|transport| transport.word()),
            transports: server.transports.iter().map(|transport| transport.word()).collect(),
            encryption: server.encryption.word(),
            outer: server.outer.map(OuterObject::of),
            decrypted: server.decrypted,
            evidence: server.evidence.word(),
            confidence: Hundredths(server.confidence),
            server_name: server.server_name.as_deref(),
            server_version: server.server_version.as_deref(),
            instructions_sha256: server.instructions_sha256.as_ref().map(Hex),
            protocol_versions: server
                .protocol_versions
                .iter()
                .map(super::super::model::mcp::Revision::as_str)
                .collect(),
            tools: server.tools.iter().map(ToolObject::of).collect(),
            resources: server.resources,
            prompts: server.prompts,
            auth: server.auth.map(Auth::word),
            scope: server.scope.word(),
            bind: server.hosted.as_ref().map(|hosted| hosted.bind.word()),
            process: server
                .hosted
                .as_ref()
                .and_then(|hosted| hosted.process.as_ref())
                .map(|process| Box::new(ProcessObject::of(process))),
            approved: server.approval.is_some(),
            approval: server.approval.as_deref(),
            first_seen: Text(server.seen.first.time),
            last_seen: Text(server.seen.last.time),
            sessions: server.sessions,
            clients: server.clients.iter().copied().map(Text).collect(),
            messages: MessagesObject {
                requests: messages.requests,
                responses: messages.responses,
                errors: messages.errors,
                notifications: messages.notifications,
                by_method: &messages.by_method,
            },
            why: server.inferred.as_ref().map(|inferred| inferred.grade.reason()),
            shape: server
                .inferred
                .as_ref()
                .map(|inferred| &inferred.shape)
                .filter(|shape| !shape.is_empty())
                .map(|shape| Box::new(ShapeObject::of(shape))),
            rhythm: server
                .inferred
                .as_ref()
                .map(|inferred| &inferred.rhythm)
                .filter(|rhythm| rhythm.visits > 0)
                .map(|rhythm| Box::new(RhythmObject::of(rhythm))),
        }
    }
}

impl<'a> ToolObject<'a> {
    fn of(tool: &'a Tool) -> Self {
        Self {
            name: &tool.name,
            sha256: Hex(&tool.sha256),
            description_sha256: tool.description_sha256.as_ref().map(Hex),
            gone: tool.gone,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ClientObject<'a> {
    address: Text<IpAddr>,
    client_name: Option<&'a str>,
    client_version: Option<&'a str>,
    user_agent: Option<&'a str>,
    ja4: Option<&'a str>,
    servers: Vec<Text<Endpoint>>,
    first_seen: Text<Timestamp>,
    last_seen: Text<Timestamp>,
}

impl<'a> ClientObject<'a> {
    pub(crate) fn of(client: &'a Client) -> Self {
        Self {
            address: Text(client.addr),
            client_name: client.name.as_deref(),
            client_version: client.version.as_deref(),
            user_agent: client.user_agent.as_deref(),
            ja4: client.ja4.as_ref().map(Ja4::as_str),
            servers: client.servers.iter().copied().map(Text).collect(),
            first_seen: Text(client.seen.first.time),
            last_seen: Text(client.seen.last.time),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct LookupObject<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    signature: &'a str,
    category: &'static str,
    via: &'static str,
    client: Text<IpAddr>,
    count: u64,
    first_seen: Text<Timestamp>,
    last_seen: Text<Timestamp>,
}

impl<'a> LookupObject<'a> {
    pub(crate) fn of(lookup: &'a Lookup) -> Self {
        Self {
            name: &lookup.name,
            kind: lookup.kind.as_deref(),
            signature: &lookup.signature,
            category: lookup.category,
            via: lookup.via,
            client: Text(lookup.client),
            count: lookup.count,
            first_seen: Text(lookup.seen.first.time),
            last_seen: Text(lookup.seen.last.time),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct FindingObject<'a> {
    id: &'a str,
    kind: &'static str,
    severity: &'static str,
    confidence: Hundredths,
    title: &'a str,
    rule: &'a str,
    server: Option<Text<Endpoint>>,
    server_id: Option<&'a str>,
    client: Option<Text<IpAddr>>,
    session: Option<String>,
    tool: Option<&'a str>,
    direction: Option<&'static str>,
    #[serde(rename = "where")]
    place: Option<&'a str>,
    sample: Option<&'a str>,
    count: u64,
    first_seen: Text<Timestamp>,
    last_seen: Text<Timestamp>,
    community_id: Option<String>,
    packet: Option<PacketObject>,
    references: &'a [String],
    detail: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct PacketObject {
    source: u16,
    number: u64,
}

impl<'a> FindingObject<'a> {
    pub(crate) fn of(reported: &'a Reported) -> Self {
        let finding = &reported.finding;
        let (key, evidence, at) = (&finding.key, &finding.evidence, reported.first());
        Self {
            id: &reported.id,
            kind: key.kind.word(),
            severity: finding.severity.word(),
            confidence: Hundredths(finding.confidence),
            title: &finding.title,
            rule: &key.rule,
            server: key.site.as_ref().map(|site| Text(site.endpoint)),
            server_id: reported.server_id.as_deref(),
            client: key.client.map(Text),
            session: evidence.session.map(|session| format!("{session:016x}")),
            tool: key.tool.as_deref(),
            direction: key.direction.map(Direction::word),
            place: key.place.as_deref(),
            sample: evidence.sample.as_ref().map(Sample::as_str),
            count: finding.count,
            first_seen: Text(finding.seen.first.time),
            last_seen: Text(finding.seen.last.time),
            community_id: evidence.flow.map(|flow| flow.community_id()),
            // Packets are numbered from 1; without a capture file there is no number.
            packet: (at.packet > 0).then_some(PacketObject {
                source: at.source,
                number: at.packet,
            }),
            references: &finding.references,
            detail: &finding.detail,
        }
    }
}

/// Anything that is written as its `Display`.
#[derive(Debug)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A digest in lower-case hex.
#[derive(Debug)]
struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A confidence, rounded to two digits.
#[derive(Debug)]
struct Hundredths(f32);

impl Serialize for Hundredths {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((f64::from(self.0) * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::fixture;

    fn text(view: &View) -> String {
        let mut out = Vec::new();
        write(&mut out, view).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_seen_is_a_whole_report() {
        assert_eq!(
            text(&View::default()),
            concat!(
                r#"{"schema":1,"capture":{"sources":[],"first":null,"last":null,"packets":0,"bytes":0,"flows":0,"#,
                r#""lost":{"kernel_drops":0,"queue_drops":0,"truncated_packets":0,"undecodable_packets":0,"#,
                r#""orphan_fragments":0,"evicted_fragments":0,"conflicting_fragments":0,"gap_bytes":0,"#,
                r#""evicted_flows":0,"shed_events":0,"forgotten_names":0},"#,
                r#""blind":{"encrypted_flows":0,"encrypted_bytes":0,"one_sided_flows":0,"ech_hellos":0,"#,
                r#""encrypted_dns_flows":0,"encrypted_dns_clients":[],"#,
                r#""decrypted_flows":0,"flows_without_secrets":0,"flows_with_wrong_secrets":0,"evicted_secrets":0}},"#,
                r#""servers":[],"clients":[],"lookups":[],"findings":[]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_hand_made_view_reads_as_the_contract_says() {
        assert_eq!(text(&fixture::view()), include_str!("object.golden.json"));
    }
}
