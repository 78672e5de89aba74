//! Servers that nobody could look into: a name led a client to an encrypted connection, and that is all there is.
//!
//! Whatever showed the name (a ClientHello, or the DNS answer before a connection that shows none), what it is worth is
//! decided here and once: by the name alone ([`Names::suspicion`]), never more than a suspicion, and never a finding.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::signature::names::Names;
use crate::inventory::view::server_id;
use crate::model::finding::SiteKey;
use crate::model::mcp::McpTransport;
use crate::model::net::{Endpoint, Scope};
use crate::model::server::{Encryption, Messages, Server, ServerEvidence, View};
use crate::model::stamp::Span;

/// A name that led a client to an endpoint.
struct Hint<'v> {
    name: &'v str,
    client: IpAddr,
    endpoint: Endpoint,
    encryption: Encryption,
    evidence: ServerEvidence,
    seen: Span,
}

/// Adds the servers that names alone speak for; a server that was read needs no such word.
pub(super) fn add(view: &mut View, names: &Names) {
    let mut inferred: BTreeMap<&str, Server> = BTreeMap::new();
    for hint in by_hello(view).chain(by_dns(view)) {
        let read = |server: &Server| {
            server.endpoint == hint.endpoint && server.hostname.as_deref().is_none_or(|name| name == hint.name)
        };
        let Some(confidence) = names.suspicion(hint.name) else {
            continue;
        };
        if view.servers.iter().any(read) {
            continue;
        }
        let server = inferred.entry(hint.name).or_insert_with(|| unread(&hint, confidence));
        server.seen.join(hint.seen);
        server.clients.push(hint.client);
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

/// Names that a ClientHello showed.
fn by_hello(view: &View) -> impl Iterator<Item = Hint<'_>> {
    view.lookups.iter().filter_map(|lookup| {
        let encryption = match lookup.via {
            "sni" => Encryption::Tls,
            "quic-sni" => Encryption::Quic,
            _ => return None,
        };
        Some(Hint {
            name: &lookup.name,
            client: lookup.client,
            endpoint: lookup.connected?.1,
            encryption,
            evidence: ServerEvidence::Sni,
            seen: lookup.seen,
        })
    })
}

/// Names that DNS told before a connection that hides where it goes.
fn by_dns(view: &View) -> impl Iterator<Item = Hint<'_>> {
    view.led.iter().map(|led| Hint {
        name: &led.name,
        client: led.client,
        endpoint: led.endpoint,
        encryption: led.encryption,
        evidence: ServerEvidence::Dns,
        seen: led.seen,
    })
}

/// A server of which only its name is known.
fn unread(hint: &Hint<'_>, confidence: f32) -> Server {
    let site = SiteKey {
        endpoint: hint.endpoint,
        hostname: Some(Arc::from(hint.name)),
        path: None,
    };
    Server {
        id: server_id(&site),
        endpoint: hint.endpoint,
        hostname: site.hostname,
        path: None,
        transports: vec![McpTransport::UnknownEncrypted],
        encryption: hint.encryption,
        decrypted: false,
        evidence: hint.evidence,
        confidence,
        server_name: None,
        server_version: None,
        instructions_sha256: None,
        protocol_versions: Vec::new(),
        tools: Vec::new(),
        resources: 0,
        prompts: 0,
        auth: None,
        scope: Scope::of(hint.endpoint.addr),
        approval: None,
        seen: hint.seen,
        sessions: 0,
        clients: Vec::new(),
        messages: Messages::default(),
        identities: Vec::new(),
        instructions: Vec::new(),
        peers: BTreeMap::new(),
        listings: Vec::new(),
    }
}
