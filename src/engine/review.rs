//! From the joined inventory to the view that is reported: servers inferred from names, findings of the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::detect::Findings;
use crate::engine::Shared;
use crate::inventory::view::server_id;
use crate::model::finding::{Kind, SiteKey};
use crate::model::mcp::McpTransport;
use crate::model::net::{Endpoint, Scope};
use crate::model::server::{Capture, Encryption, Lookup, Messages, Server, ServerEvidence, View};
use crate::policy::Verdict;

/// Everything that is known now, judged.
pub fn review(shared: &Shared, capture: Capture) -> View {
    let mut view = shared.inventory.view(capture);
    infer_servers(&mut view);
    let now = view.now();
    let policy = &shared.rules.policy;
    for server in &mut view.servers {
        if let Verdict::Approved { rule, .. } = policy.judge(server, now) {
            server.approval = Some(rule.to_string());
        }
    }
    let approved: Vec<String> = view
        .servers
        .iter()
        .filter(|server| server.approval.is_some())
        .map(|server| server.id.clone())
        .collect();
    // A name that led to an approved server is approved with it, also where only its address is written down.
    let names: BTreeSet<&str> = view
        .servers
        .iter()
        .filter(|server| server.approval.is_some() && server.evidence != ServerEvidence::Message)
        .filter_map(|server| server.hostname.as_deref())
        .collect();
    view.findings.retain(|reported| {
        let key = &reported.finding.key;
        if !matches!(key.kind, Kind::RegistryLookup | Kind::RemoteEndpoint) {
            return true;
        }
        let name = reported
            .finding
            .detail
            .get("name")
            .map(String::as_str)
            .unwrap_or_default();
        let covered = key.client.is_some_and(|client| policy.covers_name(name, client, now));
        let server = reported.server_id.as_ref().is_some_and(|id| approved.contains(id));
        !covered && !server && !names.contains(name)
    });
    let mut findings = Findings::default();
    shared.panel.review(&view, &mut findings);
    view.report(findings.findings);
    view
}

/// A connection to a dedicated host of a known endpoint is a server that nobody could look into.
fn infer_servers(view: &mut View) {
    let dedicated: BTreeMap<&str, f32> = view
        .findings
        .iter()
        .filter(|reported| reported.finding.key.kind == Kind::RemoteEndpoint)
        .filter_map(|reported| {
            Some((
                reported.finding.detail.get("name")?.as_str(),
                reported.finding.confidence,
            ))
        })
        .collect();
    let mut inferred: BTreeMap<&str, Server> = BTreeMap::new();
    for lookup in &view.lookups {
        let encrypted = matches!(lookup.via, "sni" | "quic-sni");
        let (Some((_, endpoint)), Some(confidence), true) = (lookup.connected, dedicated.get(&*lookup.name), encrypted)
        else {
            continue;
        };
        let server = inferred
            .entry(&lookup.name)
            .or_insert_with(|| unread(&lookup.name, endpoint, *confidence, lookup));
        server.seen.join(lookup.seen);
        server.clients.push(lookup.client);
        server.clients.sort_unstable();
        server.clients.dedup();
    }
    let inferred: Vec<Server> = inferred.into_values().collect();
    view.servers.extend(inferred);
    view.servers.sort_by(|a, b| {
        (a.endpoint, a.hostname.as_deref(), a.path.as_deref()).cmp(&(
            b.endpoint,
            b.hostname.as_deref(),
            b.path.as_deref(),
        ))
    });
}

/// A server of which only its name is known.
fn unread(name: &str, endpoint: Endpoint, confidence: f32, lookup: &Lookup) -> Server {
    let site = SiteKey {
        endpoint,
        hostname: Some(Arc::from(name)),
        path: None,
    };
    let encryption = if lookup.via == "sni" {
        Encryption::Tls
    } else {
        Encryption::Quic
    };
    Server {
        id: server_id(&site),
        endpoint,
        hostname: site.hostname,
        path: None,
        transports: vec![McpTransport::UnknownEncrypted],
        encryption,
        decrypted: false,
        evidence: ServerEvidence::Sni,
        confidence,
        server_name: None,
        server_version: None,
        instructions_sha256: None,
        protocol_versions: Vec::new(),
        tools: Vec::new(),
        resources: 0,
        prompts: 0,
        auth: None,
        scope: Scope::of(endpoint.addr),
        approval: None,
        seen: lookup.seen,
        sessions: 0,
        clients: Vec::new(),
        messages: Messages::default(),
        identities: Vec::new(),
        instructions: Vec::new(),
        peers: BTreeMap::new(),
        listings: Vec::new(),
    }
}
