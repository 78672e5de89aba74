//! Servers that nobody could look into: a name led a client to an encrypted connection, and that is all there is.
//!
//! Whatever showed the name (a hello, a certificate, or the DNS answer before a connection that shows none), it becomes a
//! [`Suspect`] of an endpoint, and what suspects become in a report is decided here and once: a server of fixed
//! confidence, never more than a suspicion, and never a finding. Services that announce themselves as MCP and were not
//! used stand beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::signature::names::Names;
use crate::detect::signature::resolvers::Resolvers;
use crate::inventory::view::server_id;
use crate::model::finding::SiteKey;
use crate::model::mcp::McpTransport;
use crate::model::net::{Endpoint, Scope};
use crate::model::server::{AnnouncedServer, Client, Encryption, Messages, Server, ServerEvidence, View};
use crate::model::stamp::Span;
use crate::model::suspect::{Grade, Inferred, Shape, Suspect, Visitor};
use crate::model::visit::Rhythm;

/// Adds the servers that names alone speak for, with their clients; a server that was read needs no such word.
pub(super) fn add(view: &mut View, names: &Names) {
    let mut suspects: BTreeMap<(Endpoint, Arc<str>), Suspect> = BTreeMap::new();
    let led = by_dns(view, names);
    for suspect in std::mem::take(&mut view.suspects).into_iter().chain(led) {
        match suspects.get_mut(&(suspect.endpoint, Arc::clone(&suspect.name))) {
            Some(known) => known.join(suspect),
            None => {
                suspects.insert((suspect.endpoint, Arc::clone(&suspect.name)), suspect);
            }
        }
    }
    let known: BTreeSet<(Endpoint, Option<&str>)> = view
        .servers
        .iter()
        .map(|server| (server.endpoint, server.hostname.as_deref()))
        .collect();
    let read = |suspect: &Suspect| {
        known.contains(&(suspect.endpoint, None)) || known.contains(&(suspect.endpoint, Some(&*suspect.name)))
    };
    let unread: Vec<Suspect> = suspects.into_values().filter(|suspect| !read(suspect)).collect();
    note_clients(&mut view.clients, &unread);
    view.clients
        .sort_by(|a, b| (a.addr, &a.name, &a.version).cmp(&(b.addr, &b.name, &b.version)));
    let endpoints: BTreeSet<Endpoint> = view.servers.iter().map(|server| server.endpoint).collect();
    let used = |it: &&AnnouncedServer| endpoints.contains(&it.endpoint);
    let announced: Vec<Server> = view.announced.iter().filter(|it| !used(it)).map(announced).collect();
    view.servers.extend(unread.into_iter().map(server).chain(announced));
    view.servers.sort_by(|a, b| {
        (a.endpoint, a.hostname.as_deref(), a.path.as_deref()).cmp(&(
            b.endpoint,
            b.hostname.as_deref(),
            b.path.as_deref(),
        ))
    });
}

/// Flows to resolvers that DNS told of are encrypted DNS, and no MCP.
pub(super) fn count_dns(view: &mut View, resolvers: &Resolvers) {
    let capture = &mut view.capture;
    view.led.retain(|led| {
        let dns = led.resolver || resolvers.knows(&led.name);
        if dns {
            *capture.encrypted_dns.entry(led.client).or_insert(0) += led.flows;
            capture.counters.blind.encrypted_dns_flows += led.flows;
        }
        !dns
    });
}

/// Names that DNS told before a connection that hides where it goes.
fn by_dns(view: &View, names: &Names) -> Vec<Suspect> {
    let suspect = |led: &crate::model::server::Led| {
        let visitor = Visitor {
            seen: led.seen,
            flows: led.flows,
            ja4: None,
            program: false,
            lanes: false,
            visits: BTreeSet::new(),
        };
        let grade = names.suspicion(&led.name)?;
        let suspect = Suspect::new(&led.name, led.endpoint, led.encryption, grade, (led.client, visitor));
        Some(Suspect {
            evidence: ServerEvidence::Dns,
            ..suspect
        })
    };
    view.led.iter().filter_map(suspect).collect()
}

/// A client of suspects says nothing of itself but its fingerprint: one row an address.
fn note_clients(clients: &mut Vec<Client>, suspects: &[Suspect]) {
    let nameless = clients.iter().enumerate().filter(|(_, client)| client.name.is_none());
    let mut rows: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (row, client) in nameless {
        rows.entry(client.addr).or_insert(row);
    }
    let mut touched = BTreeSet::new();
    let visits = suspects.iter().flat_map(|suspect| {
        suspect
            .clients
            .iter()
            .map(move |(addr, visitor)| (suspect, addr, visitor))
    });
    for (suspect, addr, visitor) in visits {
        let row = *rows.entry(*addr).or_insert(clients.len());
        match clients.get_mut(row) {
            Some(client) => {
                touched.insert(row);
                if client.ja4.is_none() || visitor.seen.first < client.seen.first {
                    client.ja4 = visitor.ja4.or(client.ja4);
                }
                client.seen.join(visitor.seen);
                client.servers.push(suspect.endpoint);
            }
            None => clients.push(Client {
                addr: *addr,
                name: None,
                version: None,
                user_agent: None,
                ja4: visitor.ja4,
                servers: vec![suspect.endpoint],
                seen: visitor.seen,
            }),
        }
    }
    for row in touched {
        if let Some(client) = clients.get_mut(row) {
            client.servers.sort_unstable();
            client.servers.dedup();
        }
    }
}

/// Streams that clients of one suspect take up again, from which on it is no chance.
const AGAIN_MIN: u64 = 2;

/// The worth of a suspect: of its name, and of what its flows show besides. Of a host that serves other things too they say
/// nothing: language models answer in streams as well.
fn grade(suspect: &Suspect, rhythm: &Rhythm, trickled: bool) -> Grade {
    match suspect.grade {
        Grade::Resembles if rhythm.beside > 0 => Grade::Converses,
        Grade::Resembles if trickled || rhythm.again >= AGAIN_MIN => Grade::Behaves,
        grade => grade,
    }
}

/// A server of which only its name is known.
fn server(suspect: Suspect) -> Server {
    let mut rhythm = Rhythm::default();
    let visitors = || suspect.clients.values();
    visitors().for_each(|visitor| rhythm.join(&Rhythm::of(&visitor.visits)));
    let trickled = visitors()
        .flat_map(|visitor| &visitor.visits)
        .any(|visit| visit.trickled);
    let inferred = Inferred {
        grade: grade(&suspect, &rhythm, trickled),
        shape: suspect.shape,
        rhythm,
    };
    Server {
        transports: vec![McpTransport::UnknownEncrypted],
        encryption: suspect.encryption,
        evidence: suspect.evidence,
        clients: suspect.clients.into_keys().collect(),
        ..unread(suspect.endpoint, suspect.name, None, inferred, suspect.seen)
    }
}

/// A server that only told where it is.
fn announced(told: &AnnouncedServer) -> Server {
    let inferred = Inferred {
        grade: Grade::Announced,
        shape: Shape::default(),
        rhythm: Rhythm::default(),
    };
    unread(
        told.endpoint,
        Arc::clone(&told.host),
        told.path.clone(),
        inferred,
        told.seen,
    )
}

/// A server of which only its place is known.
fn unread(endpoint: Endpoint, name: Arc<str>, path: Option<Arc<str>>, inferred: Inferred, seen: Span) -> Server {
    let site = SiteKey {
        endpoint,
        hostname: Some(name),
        path,
    };
    Server {
        id: server_id(&site),
        sites: Vec::new(),
        endpoint,
        hostname: site.hostname,
        path: site.path,
        transports: Vec::new(),
        encryption: Encryption::None,
        outer: None,
        decrypted: false,
        evidence: ServerEvidence::Dns,
        confidence: inferred.grade.confidence(),
        inferred: Some(inferred),
        server_name: None,
        server_version: None,
        instructions_sha256: None,
        protocol_versions: Vec::new(),
        tools: Vec::new(),
        resources: 0,
        prompts: 0,
        auth: None,
        any_origin: false,
        bound_before: None,
        hosted: None,
        scope: Scope::of(endpoint.addr),
        approval: None,
        seen,
        sessions: 0,
        clients: Vec::new(),
        messages: Messages::default(),
        identities: Vec::new(),
        instructions: Vec::new(),
        peers: BTreeMap::new(),
        listings: Vec::new(),
        calls: BTreeMap::new(),
    }
}
