//! Records become notices, in the words of the report object.
//!
//! Nothing is decided here: whether anybody wants to hear of it is the gate's business. What a finding does not say
//! itself (the name of its server, the software of its client) is taken from what is known of both.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::model::finding::{Sample, Severity};
use crate::model::mcp::Auth;
use crate::model::net::{Direction, Endpoint, FiveTuple};
use crate::model::server::{Capture, Client, Lookup, Reported, Server, ServerEvidence, Tool};
use crate::model::stamp::Timestamp;
use crate::model::tls::Ja4;
use crate::sink::siem::memory::Memory;
use crate::sink::siem::notice::{Notice, What, hex, short_hash};

/// Tools and clients of a server that one notice lists; `tools_total` and `clients_total` tell how many there are.
const LIST_MAX: usize = 100;

/// Servers and clients that are remembered to say more of a finding.
const KNOWN_MAX: usize = 32_768;

/// Calls of a server that are looked at to know which tools it has.
const CALLED_MAX: usize = 1_024;

/// What is known of servers and clients.
#[derive(Debug)]
pub(super) struct Known {
    servers: Memory<String, ServerPart>,
    clients: Memory<IpAddr, ClientPart>,
}

#[derive(Clone, Debug, Default)]
struct ServerPart {
    endpoint: Option<Endpoint>,
    hostname: Option<String>,
    name: Option<String>,
    version: Option<String>,
    approval: Option<String>,
    transport: Option<&'static str>,
    encryption: Option<&'static str>,
    protocol_version: Option<String>,
    /// Tools that were called.
    called: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
struct ClientPart {
    names: BTreeSet<String>,
    user_agent: Option<String>,
    ja4: Option<Ja4>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            servers: Memory::new(KNOWN_MAX),
            clients: Memory::new(KNOWN_MAX),
        }
    }
}

impl Known {
    /// Takes note of a server.
    pub(super) fn server(&mut self, server: &Server) {
        let part = ServerPart {
            endpoint: Some(server.endpoint),
            hostname: server.hostname.as_deref().map(str::to_owned),
            name: server.server_name.clone(),
            version: server.server_version.clone(),
            approval: server.approval.clone(),
            transport: server.transports.first().map(|transport| transport.word()),
            encryption: Some(server.encryption.word()),
            protocol_version: server.protocol_versions.last().map(|last| last.as_str().to_owned()),
            called: server
                .calls
                .keys()
                .take(CALLED_MAX)
                .map(|(_, tool)| tool.clone())
                .collect(),
        };
        self.servers.insert(server.id.clone(), part);
    }

    /// Takes note of a client.
    pub(super) fn client(&mut self, client: &Client) {
        let mut part = self.clients.get(&client.addr).cloned().unwrap_or_default();
        part.names.extend(client.name.clone());
        // Two names already say that the address has not one software alone.
        while part.names.len() > 2 {
            part.names.pop_last();
        }
        part.user_agent = client.user_agent.clone().or(part.user_agent);
        part.ja4 = client.ja4.or(part.ja4);
        self.clients.insert(client.addr, part);
    }

    fn complete(&self, notice: &mut Notice) {
        if let Some(part) = notice.server_id.as_ref().and_then(|id| self.servers.get(id)) {
            let part = part.clone();
            notice.server = notice.server.or(part.endpoint);
            notice.hostname = notice.hostname.take().or(part.hostname);
            notice.approved = Some(part.approval.is_some());
            notice.approval = part.approval;
            notice.server_name = part.name;
            notice.server_version = part.version;
            notice.transport = part.transport;
            notice.encryption = part.encryption;
            notice.protocol_version = part.protocol_version;
            let called = notice.tool.as_ref().is_some_and(|tool| part.called.contains(tool));
            notice.method = method(notice, called);
        }
        if let Some(part) = notice.client.and_then(|client| self.clients.get(&client)) {
            let mut names = part.names.iter();
            notice.client_name = names.next().filter(|_| part.names.len() == 1).cloned();
            notice.user_agent = part.user_agent.clone();
            notice.ja4 = part.ja4.as_ref().map(|ja4| ja4.as_str().to_owned());
        }
    }

    /// Of a finding.
    pub(super) fn finding(&self, reported: &Reported) -> Notice {
        let finding = &reported.finding;
        let (key, evidence) = (&finding.key, &finding.evidence);
        let mut notice = Notice::new(
            What::Finding,
            reported.id.clone(),
            finding.title.clone(),
            finding.seen.first.time,
            finding.seen.last.time,
        );
        notice.severity = finding.severity;
        notice.confidence = Some(finding.confidence);
        notice.kind = Some(key.kind.word());
        notice.rule = key.rule.to_string();
        notice.count = finding.count;
        notice.server = key.site.as_ref().map(|site| site.endpoint);
        notice.server_id = reported.server_id.clone();
        notice.hostname = key
            .site
            .as_ref()
            .and_then(|site| site.hostname.as_deref().map(str::to_owned));
        notice.client = key.client;
        notice.flow = evidence.flow;
        notice.session = evidence.session.map(|session| format!("{session:016x}"));
        notice.tool = key.tool.clone();
        let packet = (reported.first().packet > 0)
            .then(|| json!({"source": reported.first().source, "number": reported.first().packet}));
        notice.fields = object([
            ("path", text(key.site.as_ref().and_then(|site| site.path.as_deref()))),
            ("direction", text(key.direction.map(Direction::word))),
            ("where", text(key.place.as_deref())),
            ("sample", text(evidence.sample.as_ref().map(Sample::as_str))),
            ("packet", packet.unwrap_or(Value::Null)),
            ("references", json!(finding.references)),
            ("detail", json!(finding.detail)),
        ]);
        self.complete(&mut notice);
        notice
    }

    /// Of a lookup.
    pub(super) fn lookup(&self, lookup: &Lookup) -> Notice {
        let id = short_hash(&[
            &lookup.name,
            lookup.kind.as_deref().unwrap_or_default(),
            lookup.via,
            &lookup.client.to_string(),
        ]);
        let title = format!("{} ({}) by {}", lookup.name, lookup.category, lookup.client);
        let mut notice = Notice::new(What::Lookup, id, title, lookup.seen.first.time, lookup.seen.last.time);
        notice.rule = lookup.signature.to_string();
        notice.count = lookup.count;
        notice.client = Some(lookup.client);
        notice.server = lookup.connected.map(|(_, endpoint)| endpoint);
        notice.hostname = Some(lookup.name.clone());
        notice.fields = object([
            ("name", json!(lookup.name)),
            ("record_type", json!(lookup.kind)),
            ("signature", json!(&*lookup.signature)),
            ("category", json!(lookup.category)),
            ("via", json!(lookup.via)),
        ]);
        self.complete(&mut notice);
        notice
    }
}

/// The method of a message by the place of something in it, as far as the specification leaves no choice. Arguments are those
/// of tools and prompts alike: there it takes a tool that was called.
fn method(notice: &Notice, called: bool) -> Option<&'static str> {
    let place = notice.text("where")?;
    match notice.text("direction")? {
        "client-to-server" => (called && place.starts_with("params.")).then_some("tools/call"),
        _ => [
            ("result.tools", "tools/list"),
            ("result.prompts", "prompts/list"),
            ("result.resources", "resources/list"),
            ("result.contents", "resources/read"),
            ("result.messages", "prompts/get"),
            ("result.content[", "tools/call"),
            ("result.structuredContent", "tools/call"),
        ]
        .into_iter()
        .find(|(start, _)| place.starts_with(start))
        .map(|(_, method)| method),
    }
}

/// Of a server.
pub(super) fn server(server: &Server) -> Notice {
    let title = format!("MCP server {}", named(server));
    let mut notice = about(What::Server, server, server.id.clone(), title);
    notice.severity = match server.approval {
        Some(_) => Severity::Info,
        None => Severity::Low,
    };
    let tools: Vec<Value> = server.tools.iter().take(LIST_MAX).map(tool).collect();
    let clients: Vec<String> = server.clients.iter().take(LIST_MAX).map(IpAddr::to_string).collect();
    let messages = &server.messages;
    notice.fields = object([
        ("path", text(server.path.as_deref())),
        (
            "transports",
            server
                .transports
                .iter()
                .map(|transport| json!(transport.word()))
                .collect(),
        ),
        ("decrypted", json!(server.decrypted)),
        ("evidence", json!(server.evidence.word())),
        (
            "instructions_sha256",
            json!(server.instructions_sha256.as_ref().map(hex)),
        ),
        (
            "protocol_versions",
            server
                .protocol_versions
                .iter()
                .map(|version| json!(version.as_str()))
                .collect(),
        ),
        ("tools", Value::Array(tools)),
        ("tools_total", json!(server.tools.len())),
        ("resources", json!(server.resources)),
        ("prompts", json!(server.prompts)),
        ("auth", text(server.auth.map(Auth::word))),
        ("scope", json!(server.scope.word())),
        ("sessions", json!(server.sessions)),
        ("clients", json!(clients)),
        ("clients_total", json!(server.clients.len())),
        (
            "messages",
            json!({
                "requests": messages.requests,
                "responses": messages.responses,
                "errors": messages.errors,
                "notifications": messages.notifications,
            }),
        ),
    ]);
    notice
}

/// Of a tool that appeared, changed or went.
pub(super) fn tool_change(server: &Server, changed: &Tool, change: &'static str, before: Option<&str>) -> Notice {
    let id = short_hash(&[&server.id, &changed.name]);
    let title = format!("Tool {} of {} {change}", changed.name, named(server));
    let mut notice = about(What::ToolChange, server, id, title);
    (notice.first, notice.last) = (changed.seen.first.time, changed.seen.last.time);
    notice.flow = Some(changed.mark.flow);
    notice.session = changed.mark.session.map(|session| format!("{session:016x}"));
    notice.tool = Some(changed.name.clone());
    notice.fields = object([
        ("path", text(server.path.as_deref())),
        ("change", json!(change)),
        ("sha256", json!(hex(&changed.sha256))),
        ("sha256_before", json!(before)),
    ]);
    notice
}

/// What an event about a server says of it in any case.
fn about(what: What, server: &Server, id: String, title: String) -> Notice {
    let mut notice = Notice::new(what, id, title, server.seen.first.time, server.seen.last.time);
    notice.confidence = Some(server.confidence);
    notice.server = Some(server.endpoint);
    notice.server_id = Some(server.id.clone());
    notice.hostname = server.hostname.as_deref().map(str::to_owned);
    notice.server_name.clone_from(&server.server_name);
    notice.server_version.clone_from(&server.server_version);
    notice.approved = Some(server.approval.is_some());
    notice.approval.clone_from(&server.approval);
    notice.transport = server.transports.first().map(|transport| transport.word());
    notice.encryption = Some(server.encryption.word());
    notice.protocol_version = server.protocol_versions.last().map(|last| last.as_str().to_owned());
    notice.flow = first_flow(server);
    notice.client = match &*server.clients {
        [only] => Some(*only),
        _ => None,
    };
    notice
}

/// The flow of the earliest evidence of a server that was read.
fn first_flow(server: &Server) -> Option<FiveTuple> {
    let marks = server
        .peers
        .values()
        .flat_map(|peer| [peer.answered, peer.cleartext, peer.open]);
    marks.flatten().min().map(|mark| mark.flow)
}

fn named(server: &Server) -> String {
    let name = server.server_name.as_deref().or(server.hostname.as_deref());
    let suspected = match server.evidence {
        ServerEvidence::Message => "",
        ServerEvidence::Dns | ServerEvidence::Sni => " (suspected)",
    };
    match name {
        Some(name) => format!("{name} at {}{suspected}", server.endpoint),
        None => format!("at {}{suspected}", server.endpoint),
    }
}

/// How the sensor fares: medium where packets or records were lost.
pub(super) fn health(capture: &Capture, sensor: &str) -> Notice {
    let (counters, at) = (&capture.counters, capture.seen);
    let (first, last) = at.unwrap_or((Timestamp::from_nanos(0), Timestamp::from_nanos(0)));
    let (lost, blind) = (&counters.lost, &counters.blind);
    let title = if lost.matters() {
        "The sensor lost data"
    } else {
        "The sensor is well"
    };
    let mut notice = Notice::new(What::SensorHealth, sensor.to_owned(), title.to_owned(), first, last);
    notice.severity = if lost.matters() {
        Severity::Medium
    } else {
        Severity::Info
    };
    notice.fields = object([
        ("sources", json!(capture.sources)),
        ("packets", json!(counters.packets)),
        ("bytes", json!(counters.bytes)),
        ("flows", json!(counters.flows)),
        ("mcp_messages", json!(counters.messages)),
        (
            "lost",
            json!({
                "kernel_drops": lost.kernel_drops,
                "queue_drops": lost.queue_drops,
                "truncated_packets": lost.truncated_packets,
                "undecodable_packets": lost.undecodable_packets,
                "gap_bytes": lost.gap_bytes,
                "evicted_flows": lost.evicted_flows,
                "shed_events": lost.shed_events,
            }),
        ),
        (
            "blind",
            json!({
                "encrypted_flows": blind.encrypted_flows,
                "encrypted_bytes": blind.encrypted_bytes,
                "one_sided_flows": blind.one_sided_flows,
                "ech_hellos": blind.ech_hellos,
                "encrypted_dns_flows": blind.encrypted_dns_flows,
            }),
        ),
    ]);
    notice
}

/// The servers of a day that are new.
pub(super) fn digest(
    day: &str,
    servers: &[Value],
    total: u64,
    first: Timestamp,
    last: Timestamp,
    sensor: &str,
) -> Notice {
    let title = format!("{total} new MCP servers on {day}");
    let id = short_hash(&["digest", sensor, day]);
    let mut notice = Notice::new(What::Digest, id, title, first, last);
    notice.count = total;
    notice.fields = object([
        ("day", json!(day)),
        ("servers", json!(servers)),
        ("servers_total", json!(total)),
    ]);
    notice
}

/// A server as a line of a digest.
pub(super) fn line(server: &Server) -> Value {
    json!({
        "server_id": server.id,
        "server": server.endpoint.to_string(),
        "hostname": server.hostname.as_deref(),
        "server_name": server.server_name,
        "approved": server.approval.is_some(),
        "scope": server.scope.word(),
    })
}

fn tool(tool: &Tool) -> Value {
    json!({"name": tool.name, "sha256": hex(&tool.sha256), "gone": tool.gone})
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, |text| Value::String(text.to_owned()))
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
