//! `known-malicious`, `known-vulnerable` by product and version, and `unpinned-package`.
//!
//! Hosts by DNS, TLS and HTTP, addresses of connections, packages by requests that could be read, peers by what they
//! call themselves. What somebody calls himself is a claim, and a version with a flaw may be patched: such findings are
//! low. Who asks for a package of a bad name is told as it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::detect::domains::without_port;
use crate::detect::packages::Package;
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::signature::known_bad::{BadRule, SeenIn};
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::message::{Field, Request};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};
use crate::model::stamp::Span;

/// See the module.
pub struct Known {
    signatures: Arc<Signatures>,
}

impl Known {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    fn host(&self, seen: &Observation<'_>, name: &str, out: &mut Findings) {
        if let Some(rule) = self.signatures.known_bad.host(name) {
            let title = format!(
                "{} contacts {}, a host of attackers",
                seen.flow.tuple.client.addr,
                rule.subject()
            );
            out.findings.push(by_rule(seen, rule, rule.subject(), title));
        }
    }

    fn address(&self, seen: &Observation<'_>, out: &mut Findings) {
        let server = seen.flow.tuple.server;
        let address = SocketAddr::new(server.addr, server.port);
        if let Some(rule) = self.signatures.known_bad.address(address) {
            let title = format!(
                "{} contacts {address}, an address of attackers",
                seen.flow.tuple.client.addr
            );
            out.findings.push(by_rule(seen, rule, rule.subject(), title));
        }
    }

    fn request(&self, seen: &Observation<'_>, request: &Request, out: &mut Findings) {
        let host = request.authority().or_else(|| request.headers.text(Field::Host));
        let Some(host) = host.map(|host| without_port(host.trim())) else {
            return;
        };
        self.host(seen, host, out);
        let Some(package) = Package::of(request, host, &self.signatures) else {
            return;
        };
        let Package {
            ecosystem,
            name,
            version,
        } = &package;
        let client = seen.flow.tuple.client.addr;
        for rule in self.signatures.known_bad.package(ecosystem, name, version.as_deref()) {
            let what = match rule.kind {
                Kind::KnownMalicious => "is known to be malicious",
                _ => "has a published vulnerability",
            };
            let shown = version
                .as_ref()
                .map_or_else(|| name.clone(), |version| format!("{name} {version}"));
            let title = format!("{client} fetches the {ecosystem} package {shown}, which {what}");
            let mut finding = by_rule(seen, rule, name, title);
            if rule.kind == Kind::KnownVulnerable {
                finding.severity = finding.severity.min(Severity::Low);
            }
            out.findings.push(finding);
        }
        if version.as_deref() == Some("latest") && package.is_mcp() {
            out.findings.push(unpinned(seen, ecosystem, name));
        }
    }

    fn identities(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, out: &mut Findings) {
        let infos = [
            (SeenIn::ClientInfo, &mcp.client, Direction::ToServer),
            (SeenIn::ServerInfo, &mcp.server, Direction::ToClient),
        ];
        for (place, info, dir) in infos {
            let Some(info) = info else { continue };
            for (rule, version) in self.signatures.known_bad.identity(place, &info.name, &info.version) {
                out.findings.push(self.claimed((seen, mcp), rule, version, dir));
            }
        }
        let request = mcp.transaction.and_then(|transaction| transaction.request.as_ref());
        let agent = request
            .filter(|_| mcp.request_head)
            .and_then(|request| request.headers.text(Field::UserAgent));
        if let Some(agent) = agent {
            for (rule, version) in self.signatures.known_bad.identity(SeenIn::UserAgent, agent, "") {
                out.findings
                    .push(self.claimed((seen, mcp), rule, version, Direction::ToServer));
            }
        }
    }

    /// A finding about what a peer says of itself.
    fn claimed(
        &self,
        (seen, mcp): (&Observation<'_>, &Mcp<'_>),
        rule: &BadRule,
        version: &str,
        dir: Direction,
    ) -> Finding {
        let severity = match rule.kind {
            Kind::KnownMalicious => rule.severity,
            _ => rule.severity.min(Severity::Low),
        };
        let mut finding = about::moment((rule.kind, &rule.id), seen, mcp, &self.signatures, severity);
        let version = redact::blank_hits(version, &self.signatures);
        let what = match rule.kind {
            Kind::KnownMalicious => "which is known to be malicious",
            _ => "which has a published vulnerability",
        };
        let who = if dir == Direction::ToServer {
            "an MCP client"
        } else {
            "an MCP server"
        };
        finding.title = format!("{who} says that it is {} {version}, {what}", rule.subject());
        finding.confidence = (rule.confidence * 0.6).min(0.6);
        finding.references.clone_from(&rule.references);
        finding.key.direction = Some(dir);
        finding.key.subject = Some(version.clone());
        if dir == Direction::ToClient {
            finding.key.client = None;
        }
        finding.detail.insert("name".to_owned(), rule.subject().to_owned());
        finding.detail.insert("version".to_owned(), version);
        finding
    }
}

impl Detector for Known {
    fn wants(&self) -> FactMask {
        FactMask::DNS.or(FactMask::TLS).or(FactMask::HTTP).or(FactMask::MCP)
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        match &seen.fact {
            Fact::Dns(dns) => self.host(seen, dns.name, out),
            Fact::Http(transaction) => {
                self.address(seen, out);
                if let Some(request) = &transaction.request {
                    self.request(seen, request, out);
                }
            }
            Fact::Mcp(mcp) => self.identities(seen, mcp, out),
            Fact::Tls(tls) => {
                self.address(seen, out);
                if let Some(name) = tls.sni {
                    self.host(seen, name, out);
                }
            }
            _ => {}
        }
    }
}

fn by_rule(seen: &Observation<'_>, rule: &BadRule, name: &str, title: String) -> Finding {
    bare(
        seen,
        (rule.kind, &rule.id),
        name,
        title,
        rule.severity,
        rule.confidence,
        &rule.references,
    )
}

fn unpinned(seen: &Observation<'_>, ecosystem: &str, name: &str) -> Finding {
    let title = format!(
        "{} fetches the latest {ecosystem} package {name}, whatever it is",
        seen.flow.tuple.client.addr
    );
    let about = (Kind::UnpinnedPackage, "latest-package");
    bare(
        seen,
        about,
        name,
        title,
        Severity::Low,
        0.8,
        &["OWASP-MCP04".to_owned()],
    )
}

/// A finding about something that no MCP server need be behind.
fn bare(
    seen: &Observation<'_>,
    (kind, rule): (Kind, &str),
    name: &str,
    title: String,
    severity: Severity,
    confidence: f32,
    references: &[String],
) -> Finding {
    let tuple = seen.flow.tuple;
    Finding {
        key: FindingKey {
            kind,
            rule: Arc::from(rule),
            site: None,
            client: Some(tuple.client.addr),
            tool: None,
            direction: Some(Direction::ToServer),
            place: None,
            subject: Some(name.to_owned()),
        },
        severity,
        confidence,
        title,
        references: references.to_vec(),
        count: 1,
        seen: Span::at(seen.at),
        evidence: Evidence {
            sample: None,
            session: None,
            flow: Some(tuple),
        },
        detail: BTreeMap::from([("name".to_owned(), name.to_owned())]),
    }
}
