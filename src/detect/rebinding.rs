//! `dns-rebinding`: a web page of somebody else's asked, and the server answered.
//!
//! A browser tells in `Origin` whose page asks, and in `Host` by which name. A server that looks at neither can be
//! driven by any page that its user opens: directly, or, when the page's own name leads to the server's address, past
//! the browser's same-origin rule. Pages of the same machine or network, own names, and what a reverse proxy passes on
//! are no fault. Where DNS was read, a name that led to a public address first and to a private one then is told as well.

use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::domains::{Owner, host_of_url, without_port};
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::mcp::{Auth, RpcKind};
use crate::model::message::{Field, Headers, Request};
use crate::model::net::{Direction, Scope};
use crate::model::observation::{Fact, Observation};
use crate::model::server::{Server, ServerEvidence, View};

/// Missing checks of `Origin` and `Host` in widespread servers.
const REFERENCES: [&str; 5] = [
    "CVE-2025-66414",
    "CVE-2025-66416",
    "CVE-2026-34742",
    "CVE-2026-42559",
    "OWASP-MCP07",
];

/// Fields that a reverse proxy adds: behind one, a server is asked by a name of others in good order.
const FORWARDED: [&[u8]; 7] = [
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-server",
    b"x-real-ip",
];

/// See the module.
pub struct Rebinding {
    signatures: Arc<Signatures>,
}

/// What a request shows.
struct Fault<'a> {
    rule: &'static str,
    place: &'static str,
    /// The foreign host, without a port.
    host: &'a str,
    severity: Severity,
    confidence: f32,
}

impl Rebinding {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }
}

impl Detector for Rebinding {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn review(&self, server: &Server, _all: &View, out: &mut Findings) {
        let read = server.evidence == ServerEvidence::Message;
        out.findings.extend(
            server
                .bound_before
                .filter(|_| read)
                .map(|before| bound_anew(server, before)),
        );
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let given = mcp.dir == Direction::ToClient
            && mcp.success
            && mcp.rpc.is_some_and(|rpc| rpc.kind == RpcKind::Success)
            && mcp.call.is_some();
        let request = mcp.transaction.and_then(|transaction| transaction.request.as_ref());
        let Some(request) = request.filter(|_| given) else {
            return;
        };
        let scope = Scope::of(seen.flow.tuple.server.addr);
        let auth = mcp.auth.unwrap_or(Auth::None);
        let Some(fault) = foreign_origin(request, scope, auth).or_else(|| foreign_host(request, scope)) else {
            return;
        };
        let kind = (Kind::DnsRebinding, fault.rule);
        let mut finding = about::moment(kind, seen, mcp, &self.signatures, fault.severity);
        let host = redact::blank_hits(&fault.host.to_ascii_lowercase(), &self.signatures);
        finding.title = format!(
            "MCP server {} answered a request with the foreign {} {host}",
            seen.flow.tuple.server, fault.place
        );
        finding.confidence = fault.confidence;
        finding.key.direction = Some(Direction::ToServer);
        finding.key.place = Some(fault.place.to_owned());
        finding.key.subject = Some(host.clone());
        finding.references = REFERENCES.iter().map(|text| (*text).to_owned()).collect();
        finding.detail.insert("name".to_owned(), host);
        out.findings.push(finding);
    }
}

/// A name that led to a public address and then to one of one's own, under which the server answered.
fn bound_anew(server: &Server, before: IpAddr) -> Finding {
    let name = server.hostname.as_deref().unwrap_or_default();
    let title = format!(
        "MCP server {} answers to the name {name}, which led to {before} before",
        server.endpoint
    );
    let mut finding = about::server(Kind::DnsRebinding, server, Severity::High, title);
    finding.key.rule = Arc::from("name-bound-anew");
    finding.key.place = Some("Host".to_owned());
    // A network may tell its members another address than the world.
    finding.confidence = 0.7;
    finding.references = REFERENCES.iter().map(|text| (*text).to_owned()).collect();
    finding.detail.insert("name".to_owned(), name.to_owned());
    finding.detail.insert("before".to_owned(), before.to_string());
    finding
}

/// The page that asks is another's.
fn foreign_origin(request: &Request, scope: Scope, auth: Auth) -> Option<Fault<'_>> {
    let origin = host_of_url(request.headers.text(Field::Origin)?)?;
    let host = host(request)?;
    let (page, target) = (Owner::of(origin)?, Owner::of(host)?);
    if page == Owner::Own || page == target || without_port(origin).eq_ignore_ascii_case(without_port(host)) {
        return None;
    }
    // Who brings a token of his own was let in by its owner, and the name of a public server cannot be bound anew.
    let invited = matches!(auth, Auth::ApiKey | Auth::Bearer);
    let (severity, confidence) = match scope {
        Scope::Public => (Severity::Low, 0.4),
        _ if invited => (Severity::Low, 0.6),
        _ => (Severity::High, 0.85),
    };
    (scope != Scope::Public || !invited).then_some(Fault {
        rule: "foreign-origin",
        place: "Origin",
        host: without_port(origin),
        severity,
        confidence,
    })
}

/// A machine is asked through its loopback address by the name of another.
fn foreign_host(request: &Request, scope: Scope) -> Option<Fault<'_>> {
    if scope != Scope::Loopback || is_forwarded(&request.headers) {
        return None;
    }
    let host = host(request)?;
    (Owner::of(host)? != Owner::Own).then_some(Fault {
        rule: "foreign-host",
        place: "Host",
        host: without_port(host),
        severity: Severity::High,
        confidence: 0.85,
    })
}

/// The authority of an absolute target wins (RFC 9112, section 3.2.2).
fn host(request: &Request) -> Option<&str> {
    request.authority().or_else(|| request.headers.text(Field::Host))
}

fn is_forwarded(headers: &Headers) -> bool {
    headers
        .iter()
        .any(|(name, _)| FORWARDED.iter().any(|known| known.eq_ignore_ascii_case(name)))
}
