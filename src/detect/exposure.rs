//! `exposed-bind`, `unauthenticated-server`, `cleartext-mcp`: what the peers of a server prove about its reach.
//!
//! A capture cannot show what a socket is bound to. It shows who got an answer, and that is what the findings say. What the
//! own machine knows better (host mode) makes them worse.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::{Detector, Findings, about};
use crate::model::finding::{Finding, Kind, Severity};
use crate::model::mcp::Auth;
use crate::model::net::Scope;
use crate::model::process::Bind;
use crate::model::server::{Mark, Peer, Server, ServerEvidence, View};
use crate::policy::{Policy, Verdict};

/// Peers that a finding names.
const DETAIL_MAX_PEERS: usize = 8;

/// See the module.
pub struct Exposure {
    policy: Arc<Policy>,
}

impl Exposure {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            policy: Arc::clone(&rules.policy),
        })
    }
}

impl Detector for Exposure {
    fn review(&self, server: &Server, all: &View, out: &mut Findings) {
        if server.evidence != ServerEvidence::Message || server.scope == Scope::Loopback {
            return;
        }
        let allowed = match self.policy.judge(server, all.now()) {
            Verdict::Approved {
                expose,
                unauthenticated_ok,
                cleartext_ok,
                ..
            } => [expose, unauthenticated_ok, cleartext_ok],
            Verdict::Expired { .. } | Verdict::Unapproved => [false; 3],
        };
        let [expose, unauthenticated_ok, cleartext_ok] = allowed;
        out.findings.extend(
            [
                (!expose).then(|| self.exposed(server)).flatten(),
                (!unauthenticated_ok).then(|| self.unauthenticated(server)).flatten(),
                (!cleartext_ok).then(|| cleartext(server)).flatten(),
            ]
            .into_iter()
            .flatten(),
        );
    }
}

impl Exposure {
    /// A home server without credentials that answers another machine.
    fn exposed(&self, server: &Server) -> Option<Finding> {
        if server.auth != Some(Auth::None) || !self.policy.is_home(server.endpoint.addr) {
            return None;
        }
        let peers = others(server, |peer| peer.answered);
        let (first, _) = peers.iter().min_by_key(|(mark, _)| *mark)?;
        let outside = peers.iter().any(|(_, addr)| !self.policy.is_home(*addr));
        let subnets: BTreeSet<IpAddr> = peers.iter().map(|(_, addr)| subnet(*addr)).collect();
        let wildcard = server
            .hosted
            .as_ref()
            .is_some_and(|hosted| hosted.bind == Bind::Wildcard);
        let severity = match () {
            () if outside => Severity::Critical,
            () if subnets.len() > 1 || wildcard => Severity::High,
            () => Severity::Medium,
        };
        let reach = if outside {
            "machines outside the home networks"
        } else {
            "other machines"
        };
        let title = format!(
            "MCP server {} answers {reach} without credentials",
            about::server_name(server)
        );
        let mut finding = about::marked(Kind::ExposedBind, server, severity, title, Some(*first));
        finding.references = vec!["OWASP-MCP07".to_owned()];
        finding.detail.insert("subnets".to_owned(), subnets.len().to_string());
        if let Some(hosted) = &server.hosted {
            finding.detail.insert("bind".to_owned(), hosted.bind.word().to_owned());
        }
        Some(with_peers(finding, &peers))
    }

    /// Tools, resources or prompts given away to requests without HTTP credentials.
    fn unauthenticated(&self, server: &Server) -> Option<Finding> {
        let peers = others(server, |peer| peer.open);
        let (first, _) = peers.iter().min_by_key(|(mark, _)| *mark)?;
        let outside = peers.iter().any(|(_, addr)| !self.policy.is_home(*addr));
        let severity = if outside { Severity::High } else { Severity::Medium };
        let title = format!(
            "MCP server {} serves its tools to requests without credentials",
            about::server_name(server)
        );
        let mut finding = about::marked(Kind::UnauthenticatedServer, server, severity, title, Some(*first));
        finding.references = vec!["OWASP-MCP07".to_owned()];
        // A client certificate or a network rule would not show.
        finding.confidence = 0.9;
        if server.any_origin {
            finding
                .detail
                .insert("cors".to_owned(), "pages of any origin".to_owned());
        }
        if server.auth.is_some_and(|auth| auth >= Auth::Basic) {
            finding
                .detail
                .insert("uneven".to_owned(), "others bring credentials".to_owned());
        }
        Some(with_peers(finding, &peers))
    }
}

/// Messages that cross a network in clear.
fn cleartext(server: &Server) -> Option<Finding> {
    let credentials = others(server, |peer| peer.credential);
    let peers = if credentials.is_empty() {
        others(server, |peer| peer.cleartext)
    } else {
        credentials.clone()
    };
    let (first, _) = peers.iter().min_by_key(|(mark, _)| *mark)?;
    let (severity, what) = if credentials.is_empty() {
        (Severity::Low, "messages")
    } else {
        (Severity::Medium, "credentials")
    };
    let title = format!(
        "{what} of MCP server {} cross the network unencrypted",
        about::server_name(server)
    );
    let mut finding = about::marked(Kind::CleartextMcp, server, severity, title, Some(*first));
    finding
        .detail
        .insert("credentials".to_owned(), (!credentials.is_empty()).to_string());
    Some(with_peers(finding, &peers))
}

/// Peers on other machines for which something holds, with its earliest mark.
fn others(server: &Server, what: fn(&Peer) -> Option<Mark>) -> Vec<(Mark, IpAddr)> {
    let other = |addr: IpAddr| addr != server.endpoint.addr && Scope::of(addr) != Scope::Loopback;
    server
        .peers
        .iter()
        .filter(|(addr, _)| other(**addr))
        .filter_map(|(addr, peer)| what(peer).map(|mark| (mark, *addr)))
        .collect()
}

fn with_peers(mut finding: Finding, peers: &[(Mark, IpAddr)]) -> Finding {
    let named: Vec<String> = peers
        .iter()
        .take(DETAIL_MAX_PEERS)
        .map(|(_, addr)| addr.to_string())
        .collect();
    finding.detail.insert("peers".to_owned(), named.join(", "));
    finding.detail.insert("peer_count".to_owned(), peers.len().to_string());
    if let Some((last, _)) = peers.iter().max() {
        finding.seen.last = finding.seen.last.max(last.at);
    }
    finding
}

/// The customary subnet of a peer: /24, or /64 on IPv6.
fn subnet(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => {
            let [a, b, c, _] = addr.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64)),
    }
}
