//! From the joined inventory to the view that is reported: servers inferred from names, findings of the record.

use std::collections::BTreeMap;

use crate::detect::Findings;
use crate::engine::Shared;
use crate::inventory::view::server_id;
use crate::model::finding::Kind;
use crate::model::mcp::McpTransport;
use crate::model::net::Scope;
use crate::model::server::{Capture, Encryption, Messages, Server, ServerEvidence, View};
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
        !covered && !server
    });
    let mut findings = Findings::default();
    shared.panel.review(&view, &mut findings);
    view.report(findings.findings);
    view
}

/// A connection to a dedicated host of a known endpoint is a server that nobody could look into.
fn infer_servers(view: &mut View) {
    let mut inferred: BTreeMap<String, Server> = BTreeMap::new();
    for reported in &view.findings {
        let finding = &reported.finding;
        let by_sni = finding
            .detail
            .get("via")
            .is_some_and(|via| via == "sni" || via == "quic-sni");
        let (Kind::RemoteEndpoint, true, Some(site)) = (finding.key.kind, by_sni, &finding.key.site) else {
            continue;
        };
        let id = server_id(site);
        let server = inferred.entry(id.clone()).or_insert_with(|| Server {
            id,
            endpoint: site.endpoint,
            hostname: site.hostname.clone(),
            path: None,
            transports: vec![McpTransport::UnknownEncrypted],
            encryption: Encryption::Tls,
            decrypted: false,
            evidence: ServerEvidence::Sni,
            confidence: finding.confidence,
            server_name: None,
            server_version: None,
            instructions_sha256: None,
            protocol_versions: Vec::new(),
            tools: Vec::new(),
            resources: 0,
            prompts: 0,
            auth: None,
            scope: Scope::of(site.endpoint.addr),
            approval: None,
            seen: finding.seen,
            sessions: 0,
            clients: Vec::new(),
            messages: Messages::default(),
            identities: Vec::new(),
            instructions: Vec::new(),
            peers: BTreeMap::new(),
            listings: Vec::new(),
        });
        server.seen.join(finding.seen);
        server.clients.extend(finding.key.client);
        server.clients.sort_unstable();
        server.clients.dedup();
    }
    view.servers.extend(inferred.into_values());
    view.servers.sort_by(|a, b| {
        (a.endpoint, a.hostname.as_deref(), a.path.as_deref()).cmp(&(
            b.endpoint,
            b.hostname.as_deref(),
            b.path.as_deref(),
        ))
    });
}
