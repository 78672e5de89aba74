//! Answers over a snapshot of the inventory: `--store none`, and the oracle of the databases.
//!
//! Each word is built whole, in the columns and keys of its schema, then filtered and ordered by the same conditions
//! that a database is given. Simple on purpose: nothing here is fast, and nothing needs to be.

mod messages;

use std::net::IpAddr;

use crate::model::finding::Severity;
use crate::model::server::{Definition, Reported, Server, Tool, View};
use crate::model::stamp::{Span, Timestamp};
use crate::store::query::{Plan, address_key, rank};
use crate::store::{Question, Rows, Store, StoreError, Value, Word};

/// A store over one [`View`].
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    view: &'a View,
}

impl<'a> Memory<'a> {
    /// Over a view.
    pub const fn new(view: &'a View) -> Self {
        Self { view }
    }
}

impl Store for Memory<'_> {
    fn ask(&self, question: &Question) -> Result<Rows, StoreError> {
        let plan = Plan::new(question)?;
        Ok(plan.select(match question.word {
            Word::Captures => captures(self.view),
            Word::Clients => clients(self.view),
            Word::Drift => drift(self.view),
            Word::Findings => findings(self.view),
            Word::Lookups => lookups(self.view),
            Word::Messages => messages::messages(self.view),
            Word::Servers => servers(self.view),
            Word::Sessions => sessions(self.view),
            Word::Timeline => timeline(self.view),
            Word::Tools => tools(self.view),
            Word::Usage => messages::usage(self.view),
        }))
    }
}

type Row = Vec<Value>;

fn captures(view: &View) -> Vec<Row> {
    let capture = &view.capture;
    let (lost, blind) = (&capture.counters.lost, &capture.counters.blind);
    let mut row = vec![
        Value::List(capture.sources.clone()),
        capture.seen.map_or(Value::Null, |(first, _)| Value::Time(first)),
        capture.seen.map_or(Value::Null, |(_, last)| Value::Time(last)),
    ];
    let counters = &capture.counters;
    let counts = [counters.packets, counters.bytes, counters.flows];
    let counts = counts
        .into_iter()
        .chain([lost.kernel_drops, lost.queue_drops, lost.truncated_packets]);
    let counts = counts.chain([
        lost.undecodable_packets,
        lost.gap_bytes,
        lost.evicted_flows,
        lost.shed_events,
    ]);
    let counts = counts.chain([
        blind.encrypted_flows,
        blind.encrypted_bytes,
        blind.one_sided_flows,
        blind.ech_hellos,
    ]);
    row.extend(counts.map(Value::count));
    vec![row]
}

fn clients(view: &View) -> Vec<Row> {
    let unapproved = |endpoint| {
        view.servers
            .iter()
            .any(|server| server.endpoint == endpoint && server.approval.is_none())
    };
    let row = |client: &crate::model::server::Client| {
        vec![
            address(client.addr),
            Value::text(client.name.clone()),
            Value::text(client.version.clone()),
            Value::text(client.user_agent.clone()),
            Value::List(client.servers.iter().map(ToString::to_string).collect()),
            first(client.seen),
            last(client.seen),
            Value::Text(address_key(client.addr)),
            Value::Bool(client.servers.iter().any(|endpoint| unapproved(*endpoint))),
        ]
    };
    view.clients.iter().map(row).collect()
}

fn drift(view: &View) -> Vec<Row> {
    let mut rows = Vec::new();
    for server in &view.servers {
        for tool in &server.tools {
            for change in definitions(tool).windows(2) {
                let [from, to] = change else { continue };
                let mut row = vec![
                    Value::Time(to.seen.first.time),
                    text(server.endpoint),
                    text(&server.id),
                    text(&tool.name),
                ];
                row.extend([text(hex(&from.sha256)), text(hex(&to.sha256))]);
                row.extend([text(&from.definition), text(&to.definition)]);
                row.extend([
                    Value::Text(address_key(server.endpoint.addr)),
                    Value::Int(server.endpoint.port.into()),
                ]);
                row.extend(server_keys(Some(server)));
                rows.push(row);
            }
        }
    }
    rows
}

fn findings(view: &View) -> Vec<Row> {
    view.findings.iter().map(|reported| finding(view, reported)).collect()
}

fn finding(view: &View, reported: &Reported) -> Row {
    let finding = &reported.finding;
    let (key, evidence, at) = (&finding.key, &finding.evidence, reported.first());
    let detail = finding
        .detail
        .iter()
        .map(|(name, value)| (name.clone(), Value::Text(value.clone())));
    let mut row = vec![
        text(finding.severity.word()),
        text(key.kind.word()),
        Value::text(key.site.as_ref().map(|site| site.endpoint.to_string())),
        key.client.map_or(Value::Null, address),
        Value::text(key.tool.clone()),
        text(&finding.title),
        Value::count(finding.count),
        Value::Real(hundredths(finding.confidence)),
        text(&key.rule),
        Value::text(reported.server_id.clone()),
        Value::text(evidence.session.map(|session| format!("{session:016x}"))),
        Value::text(key.direction.map(crate::model::net::Direction::word)),
        Value::text(key.place.clone()),
        Value::text(evidence.sample.as_ref().map(crate::model::finding::Sample::as_str)),
        first(finding.seen),
        last(finding.seen),
        Value::text(evidence.flow.map(|flow| flow.community_id())),
        if at.packet == 0 {
            Value::Null
        } else {
            Value::Int(at.source.into())
        },
        if at.packet == 0 {
            Value::Null
        } else {
            Value::count(at.packet)
        },
        Value::List(finding.references.clone()),
        Value::Map(detail.collect()),
        text(&reported.id),
        // Decisions are kept in a store alone.
        text("open"),
        Value::Null,
        Value::Null,
        Value::Int(rank(finding.severity)),
    ];
    row.extend(server_keys(server_of(view, reported.server_id.as_deref())));
    row
}

fn lookups(view: &View) -> Vec<Row> {
    let row = |lookup: &crate::model::server::Lookup| {
        vec![
            text(&lookup.name),
            Value::text(lookup.kind.clone()),
            text(&lookup.signature),
            text(lookup.category),
            text(lookup.via),
            address(lookup.client),
            Value::count(lookup.count),
            first(lookup.seen),
            last(lookup.seen),
            Value::Text(address_key(lookup.client)),
        ]
    };
    view.lookups.iter().map(row).collect()
}

fn servers(view: &View) -> Vec<Row> {
    view.servers.iter().map(|server| self::server(view, server)).collect()
}

fn server(view: &View, server: &Server) -> Row {
    let about = || {
        view.findings
            .iter()
            .filter(|reported| reported.server_id.as_deref() == Some(&server.id))
    };
    let worst: Option<Severity> = about().map(|reported| reported.finding.severity).max();
    let methods = server
        .messages
        .by_method
        .iter()
        .map(|(name, count)| (name.clone(), Value::count(*count)));
    let revisions = server
        .protocol_versions
        .iter()
        .map(|revision| revision.as_str().to_owned());
    let mut row = vec![
        Value::Bool(server.approval.is_some()),
        text(server.endpoint),
        Value::text(server.hostname.as_deref()),
        Value::text(server.path.as_deref()),
        Value::text(server.server_name.clone()),
        Value::text(server.server_version.clone()),
        Value::text(server.transports.first().map(|transport| transport.word())),
        Value::count(server.tools.len() as u64),
        Value::text(server.auth.map(crate::model::mcp::Auth::word)),
        text(server.scope.word()),
        Value::text(worst.map(Severity::word)),
        Value::count(about().count() as u64),
        text(&server.id),
        address(server.endpoint.addr),
        Value::Int(server.endpoint.port.into()),
        Value::List(
            server
                .transports
                .iter()
                .map(|transport| transport.word().to_owned())
                .collect(),
        ),
        text(server.encryption.word()),
        Value::Bool(server.decrypted),
        text(server.evidence.word()),
        Value::Real(hundredths(server.confidence)),
        Value::text(server.instructions_sha256.as_ref().map(|digest| hex(digest))),
        Value::List(revisions.collect()),
        Value::count(server.resources),
        Value::count(server.prompts),
        Value::text(server.approval.clone()),
        first(server.seen),
        last(server.seen),
        Value::count(server.sessions),
        Value::List(server.clients.iter().map(ToString::to_string).collect()),
    ];
    let messages = &server.messages;
    row.extend(
        [
            messages.requests,
            messages.responses,
            messages.errors,
            messages.notifications,
        ]
        .map(Value::count),
    );
    row.extend([
        Value::Map(methods.collect()),
        Value::Text(address_key(server.endpoint.addr)),
        worst.map_or(Value::Null, |severity| Value::Int(rank(severity))),
        Value::Bool(server.approval.is_none()),
    ]);
    row
}

fn sessions(view: &View) -> Vec<Row> {
    let row = |session: &crate::model::server::Session| {
        let calls = session
            .calls
            .iter()
            .map(|(name, count)| (name.clone(), Value::count(*count)));
        let mut row = vec![
            text(&session.id),
            text(session.server),
            text(&session.server_id),
            session.client.map_or(Value::Null, address),
            Value::text(session.client_name.clone()),
            Value::text(session.protocol_version.map(|revision| revision.as_str().to_owned())),
            text(session.transport.word()),
            Value::count(session.messages),
            Value::Map(calls.collect()),
            first(session.seen),
            last(session.seen),
            Value::Text(address_key(session.server.addr)),
            Value::Int(session.server.port.into()),
        ];
        row.extend(server_keys(server_of(view, Some(&session.server_id))));
        row
    };
    view.sessions.iter().map(row).collect()
}

fn timeline(view: &View) -> Vec<Row> {
    let mut rows = Vec::new();
    for reported in &view.findings {
        let finding = &reported.finding;
        let key = &finding.key;
        let mut row = vec![
            first(finding.seen),
            text("finding"),
            text(finding.severity.word()),
            text(key.kind.word()),
        ];
        row.extend([
            Value::text(key.site.as_ref().map(|site| site.endpoint.to_string())),
            key.client.map_or(Value::Null, address),
            Value::text(key.tool.clone()),
            text(&finding.title),
            text(&reported.id),
            Value::Int(rank(finding.severity)),
            Value::text(reported.server_id.clone()),
        ]);
        row.extend(server_keys(server_of(view, reported.server_id.as_deref())));
        rows.push(row);
    }
    for server in &view.servers {
        let name = Value::text(server.server_name.clone());
        rows.push(appearance(
            server,
            "server-appeared",
            server.seen.first.time,
            Value::Null,
            name,
        ));
        for tool in &server.tools {
            for (nth, definition) in definitions(tool).into_iter().enumerate() {
                let event = if nth == 0 { "tool-appeared" } else { "tool-changed" };
                let about = text(hex(&definition.sha256));
                rows.push(appearance(
                    server,
                    event,
                    definition.seen.first.time,
                    text(&tool.name),
                    about,
                ));
            }
        }
    }
    for client in &view.clients {
        let mut row = vec![
            first(client.seen),
            text("client-appeared"),
            Value::Null,
            Value::Null,
            Value::Null,
        ];
        row.extend([
            address(client.addr),
            Value::Null,
            Value::text(client.name.clone()),
            Value::Null,
        ]);
        row.extend([Value::Null, Value::Null]);
        row.extend(server_keys(None));
        rows.push(row);
    }
    rows
}

/// A line of the time line about a server or one of its tools.
fn appearance(server: &Server, event: &str, time: Timestamp, tool: Value, about: Value) -> Row {
    let mut row = vec![
        Value::Time(time),
        text(event),
        Value::Null,
        Value::Null,
        text(server.endpoint),
        Value::Null,
    ];
    row.extend([tool, about, text(&server.id), Value::Null, text(&server.id)]);
    row.extend(server_keys(Some(server)));
    row
}

fn tools(view: &View) -> Vec<Row> {
    let mut rows = Vec::new();
    for server in &view.servers {
        for tool in &server.tools {
            let all = definitions(tool);
            let earliest = all.iter().map(|definition| definition.seen.first.time).min();
            let latest = all.iter().map(|definition| definition.seen.last.time).max();
            let mut row = vec![
                text(server.endpoint),
                text(&server.id),
                text(&tool.name),
                text(hex(&tool.sha256)),
            ];
            row.extend([
                Value::text(tool.description_sha256.as_ref().map(|digest| hex(digest))),
                Value::Bool(tool.gone),
                Value::count(all.len() as u64),
                earliest.map_or(Value::Null, Value::Time),
                latest.map_or(Value::Null, Value::Time),
                text(&tool.definition),
                Value::Text(address_key(server.endpoint.addr)),
                Value::Int(server.endpoint.port.into()),
            ]);
            row.extend(server_keys(Some(server)));
            rows.push(row);
        }
    }
    rows
}

/// Every definition that a tool had, each once, in the order of first listing.
pub(crate) fn definitions(tool: &Tool) -> Vec<Definition> {
    let present = tool.present();
    let mut all: Vec<Definition> = tool.earlier.clone();
    match all.iter_mut().find(|earlier| earlier.sha256 == present.sha256) {
        Some(same) => same.seen.join(present.seen),
        None => all.push(present),
    }
    all.sort_by_key(|definition| (definition.seen.first.time, definition.sha256));
    all
}

fn server_of<'a>(view: &'a View, id: Option<&str>) -> Option<&'a Server> {
    view.servers.iter().find(|server| Some(server.id.as_str()) == id)
}

/// Address, hostname, own name, and whether no approval covers it.
fn server_keys(server: Option<&Server>) -> [Value; 4] {
    [
        server.map_or(Value::Null, |server| address(server.endpoint.addr)),
        Value::text(server.and_then(|server| server.hostname.as_deref())),
        Value::text(server.and_then(|server| server.server_name.clone())),
        server.map_or(Value::Null, |server| Value::Bool(server.approval.is_none())),
    ]
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn address(addr: IpAddr) -> Value {
    text(addr)
}

const fn first(seen: Span) -> Value {
    Value::Time(seen.first.time)
}

const fn last(seen: Span) -> Value {
    Value::Time(seen.last.time)
}

/// Rounded to two digits, as the report shows a confidence.
pub(crate) fn hundredths(fraction: f32) -> f64 {
    (f64::from(fraction) * 100.0).round() / 100.0
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
