//! How a finding about a server or about one of its messages starts: site, evidence and span.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::redact;
use crate::detect::signature::Signatures;
use crate::mcp::site::without_secrets;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity, SiteKey};
use crate::model::mcp::Site;
use crate::model::net::Direction;
use crate::model::observation::{Mcp, Observation};
use crate::model::server::{Mark, Server};
use crate::model::stamp::Span;

/// Longest name of a tool, prompt or resource in a finding, in bytes.
const CALLED_MAX_BYTES: usize = 128;

/// A finding about a server as a whole: its evidence is the first packet of the first exchange.
pub(super) fn server(kind: Kind, server: &Server, severity: Severity, title: String) -> Finding {
    let first = server
        .peers
        .values()
        .filter_map(|peer| peer.answered.or(peer.cleartext))
        .min();
    let mut finding = marked(kind, server, severity, title, first);
    finding.seen = server.seen;
    if let Some(mark) = first {
        finding.seen.first = mark.at;
    }
    finding
}

/// A finding about a server that rests on one moment.
pub(super) fn marked(kind: Kind, server: &Server, severity: Severity, title: String, mark: Option<Mark>) -> Finding {
    Finding {
        key: FindingKey {
            kind,
            rule: Arc::from(kind.word()),
            site: Some(site(server)),
            client: None,
            tool: None,
            direction: None,
            place: None,
            subject: None,
        },
        severity,
        confidence: server.confidence,
        title,
        references: Vec::new(),
        count: 1,
        seen: mark.map_or(server.seen, |mark| Span::at(mark.at)),
        evidence: Evidence {
            sample: None,
            session: mark.and_then(|mark| mark.session),
            flow: mark.map(|mark| mark.flow),
        },
        detail: BTreeMap::from([("name".to_owned(), server_name(server))]),
    }
}

/// The site of a server's record.
pub(super) fn site(server: &Server) -> SiteKey {
    SiteKey {
        endpoint: server.endpoint,
        hostname: server.hostname.clone(),
        path: server.path.clone(),
    }
}

/// What people call it: its own name, else its host name, else its address.
pub(super) fn server_name(server: &Server) -> String {
    match (&server.server_name, &server.hostname) {
        (Some(name), _) if !name.is_empty() => name.clone(),
        (_, Some(hostname)) => hostname.to_string(),
        _ => server.endpoint.to_string(),
    }
}

/// The server as the inventory knows it: a name or path that still holds a secret loses it.
pub(super) fn site_seen(site: &Site<'_>, signatures: &Signatures) -> SiteKey {
    let erase = |text: &str| redact::replace_hits(text, signatures);
    SiteKey {
        endpoint: site.endpoint,
        hostname: site.hostname.map(|name| without_secrets(name, '.', &erase).into()),
        path: site.path.map(|path| without_secrets(path, '/', &erase).into()),
    }
}

/// A finding about one moment of MCP: the place of its message is its evidence.
pub(super) fn moment(
    about: (Kind, &str),
    seen: &Observation<'_>,
    mcp: &Mcp<'_>,
    signatures: &Signatures,
    severity: Severity,
) -> Finding {
    let mut finding = step(about, seen, (&mcp.site, mcp.dir), signatures, severity);
    finding.evidence.session = mcp.session;
    finding
}

/// A finding about one message of a site, whatever it carries.
pub(super) fn step(
    (kind, rule): (Kind, &str),
    seen: &Observation<'_>,
    (site, dir): (&Site<'_>, Direction),
    signatures: &Signatures,
    severity: Severity,
) -> Finding {
    let tuple = seen.flow.tuple;
    let site = site_seen(site, signatures);
    let name = site_name(&site);
    Finding {
        key: FindingKey {
            kind,
            rule: Arc::from(rule),
            site: Some(site),
            client: Some(tuple.client.addr),
            tool: None,
            direction: Some(dir),
            place: None,
            subject: None,
        },
        severity,
        confidence: 0.9,
        title: String::new(),
        references: Vec::new(),
        count: 1,
        seen: Span::at(seen.at),
        evidence: Evidence {
            sample: None,
            session: None,
            flow: Some(tuple),
        },
        detail: BTreeMap::from([("name".to_owned(), name)]),
    }
}

/// Tool, prompt or resource that a call names, as it may be kept.
pub(super) fn called(name: &str, signatures: &Signatures) -> String {
    let end = name.floor_char_boundary(CALLED_MAX_BYTES);
    redact::blank_hits(name.get(..end).unwrap_or_default(), signatures)
}

/// Host name of a site, else its address.
pub(super) fn site_name(site: &SiteKey) -> String {
    match &site.hostname {
        Some(hostname) => hostname.to_string(),
        None => site.endpoint.to_string(),
    }
}
