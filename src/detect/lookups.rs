//! `registry-lookup` and `remote-endpoint`: names that a signature knows, asked for or connected to.
//!
//! Sees DNS questions, SNI and `Host`. A shared host is evidence only with a path; package sources, tunnels and hosting
//! platforms never from their name. Whether an approval silences a finding is decided later. A CNAME target is not
//! looked at: only what the client asked for says what it wanted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::signature::names::NameRule;
use crate::detect::{Detector, FactMask, Findings};
use crate::model::dns::host_of;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::message::{Field, Request};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Observation};
use crate::model::server::{Encryption, Lookup};
use crate::model::stamp::Span;

/// The detector.
#[derive(Debug)]
pub struct Lookups {
    signatures: Arc<Signatures>,
}

/// A name as it was seen.
struct Seen<'a> {
    name: &'a str,
    path: Option<&'a str>,
    kind: Option<&'a str>,
    via: &'static str,
    client: IpAddr,
    count: u64,
}

impl Lookups {
    /// With the rules in force.
    pub const fn new(signatures: Arc<Signatures>) -> Self {
        Self { signatures }
    }

    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self::new(Arc::clone(&rules.signatures)))
    }

    fn note(&self, seen: &Observation<'_>, name: &Seen<'_>, out: &mut Findings) {
        let names = &self.signatures.names;
        let proof = names.find_where(name.name, |rule| rule.proves(name.path));
        let Some(rule) = proof.or_else(|| names.find_where(name.name, NameRule::recorded)) else {
            return;
        };
        let lower = name.name.trim_end_matches('.').to_ascii_lowercase();
        out.lookups.push(Lookup {
            name: lower.clone(),
            kind: name.kind.map(str::to_owned),
            signature: rule.id.clone(),
            category: rule.category,
            via: name.via,
            client: name.client,
            connected: (name.via != "dns").then_some((seen.at, seen.flow.tuple.server)),
            count: name.count,
            seen: Span::at(seen.at),
        });
        if proof.is_some() {
            out.findings.push(finding(seen, name, rule, lower));
        }
    }
}

impl Detector for Lookups {
    fn wants(&self) -> FactMask {
        FactMask::DNS.or(FactMask::TLS).or(FactMask::HTTP)
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let client = seen.flow.tuple.client.addr;
        match &seen.fact {
            // An answer repeats its question: it counts nothing, and stands alone where only answers were captured.
            Fact::Dns(dns) => {
                let (kind, count) = (Some(dns.kind), u64::from(!dns.answer));
                // A service is asked for in front of its host: `_8443._https.mcp.example.test`.
                let host = match dns.kind {
                    "HTTPS" | "SRV" | "SVCB" => host_of(dns.name),
                    _ => dns.name,
                };
                self.note(
                    seen,
                    &Seen {
                        name: host,
                        path: None,
                        kind,
                        via: "dns",
                        client,
                        count,
                    },
                    out,
                );
            }
            Fact::Tls(tls) => {
                let via = if tls.encryption == Encryption::Quic {
                    "quic-sni"
                } else {
                    "sni"
                };
                if let Some(name) = tls.sni {
                    self.note(
                        seen,
                        &Seen {
                            name,
                            path: None,
                            kind: None,
                            via,
                            client,
                            count: 1,
                        },
                        out,
                    );
                }
            }
            Fact::Http(transaction) => {
                if let Some((request, name)) = transaction.request.as_ref().and_then(|it| Some((it, host(it)?))) {
                    let path = Some(request.path());
                    self.note(
                        seen,
                        &Seen {
                            name,
                            path,
                            kind: None,
                            via: "http-host",
                            client,
                            count: 1,
                        },
                        out,
                    );
                }
            }
            Fact::Announced(_)
            | Fact::Credential(_)
            | Fact::Around(_)
            | Fact::Mcp(_)
            | Fact::Resolved(_)
            | Fact::TlsAnswer(_)
            | Fact::Uncovered(_)
            | Fact::Violation(_) => {}
        }
    }
}

/// `Host` without its port.
fn host(request: &Request) -> Option<&str> {
    let host = request.headers.text(Field::Host)?.trim();
    Some(
        host.rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(name, _)| name),
    )
}

/// The key holds rule, client and name alone, so that look-up and connection are one finding; the server's address is
/// not in it, because a name may stand for many.
fn finding(seen: &Observation<'_>, name: &Seen<'_>, rule: &NameRule, lower: String) -> Finding {
    let (kind, severity, what) = match rule.category {
        "registry" => (Kind::RegistryLookup, Severity::Info, "the MCP registry"),
        "gateway" => (Kind::RemoteEndpoint, Severity::Low, "the MCP gateway"),
        _ => (Kind::RemoteEndpoint, Severity::Low, "the remote MCP server"),
    };
    let verb = if name.via == "dns" { "looked up" } else { "connected to" };
    let mut detail = std::collections::BTreeMap::from([
        ("category".to_owned(), rule.category.to_owned()),
        ("name".to_owned(), lower.clone()),
        ("via".to_owned(), name.via.to_owned()),
    ]);
    if !rule.product.is_empty() {
        detail.insert("product".to_owned(), rule.product.clone());
    }
    if name.via != "dns" {
        detail.insert("address".to_owned(), seen.flow.tuple.server.to_string());
    }
    Finding {
        title: format!("{} {verb} {what} {lower}", name.client),
        key: FindingKey {
            kind,
            rule: rule.id.clone(),
            site: None,
            client: Some(name.client),
            tool: None,
            direction: Some(Direction::ToServer),
            place: Some(lower.clone()),
            subject: Some(lower),
        },
        severity,
        // With the path that the rule names, a shared host says as much as a dedicated one.
        confidence: if rule.shared_host {
            rule.confidence.max(0.8)
        } else {
            rule.confidence
        },
        references: rule.references.clone(),
        count: name.count,
        seen: Span::at(seen.at),
        evidence: Evidence {
            sample: None,
            session: None,
            flow: Some(seen.flow.tuple),
        },
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dns::Dns;
    use crate::model::flow::FlowInfo;
    use crate::model::message::{Headers, HttpMethod, Transaction};
    use crate::model::net::{Endpoint, FiveTuple, Transport};
    use crate::model::stamp::Stamp;
    use crate::model::tls::Tls;

    fn run(fact: Fact<'_>) -> Findings {
        let end = |addr: &str, port| Endpoint::new(addr.parse().unwrap(), port);
        let tuple = FiveTuple {
            transport: Transport::Tcp,
            client: end("10.0.0.9", 40_000),
            server: end("203.0.113.5", 443),
        };
        let (at, mut out) = (Stamp::default(), Findings::default());
        let flow = FlowInfo {
            id: 1,
            tuple,
            seen: Span::at(at),
            packets: [1, 1],
            bytes: [1, 1],
            from_start: true,
            encryption: Encryption::None,
        };
        Lookups::new(Arc::new(Signatures::builtin())).inspect(&Observation { at, flow: &flow, fact }, &mut out);
        out
    }

    fn dns(name: &str, answer: bool) -> Findings {
        run(Fact::Dns(Dns {
            name,
            kind: "A",
            answer,
        }))
    }

    fn http(host: &str, target: &str) -> Findings {
        let mut headers = Headers::default();
        headers.push(b"Host", host.as_bytes());
        let request = Request {
            at: Stamp::default(),
            method: HttpMethod::Get,
            target: target.into(),
            headers,
        };
        run(Fact::Http(&Transaction {
            number: 0,
            request: Some(request),
            response: None,
        }))
    }

    fn kinds(found: &Findings) -> Vec<(Kind, &str)> {
        found
            .findings
            .iter()
            .map(|finding| (finding.key.kind, &*finding.key.rule))
            .collect()
    }

    #[test]
    fn names_alone() {
        for (name, kind) in [
            ("glama.ai", Some(Kind::RegistryLookup)),
            ("WWW.PulseMCP.com", Some(Kind::RegistryLookup)),
            ("registry.smithery.ai", Some(Kind::RegistryLookup)),
            ("server.smithery.ai", Some(Kind::RemoteEndpoint)),
            ("mcp.asana.com", Some(Kind::RemoteEndpoint)),
            ("x.fastmcp.app", Some(Kind::RemoteEndpoint)),
            ("x.mcp.claude.com", Some(Kind::RemoteEndpoint)),
            ("asana.com", None),
            ("mcp.asana.com.evil.test", None),
            ("notmcp.so", None),
            ("github.com", None),
            ("api.githubcopilot.com", None),
            ("www.npmjs.org", None),
            ("huggingface.co", None),
            ("a.vercel.app", None),
            ("a.ngrok-free.app", None),
        ] {
            assert_eq!(
                dns(name, false).findings.first().map(|finding| finding.key.kind),
                kind,
                "{name}"
            );
        }
        assert_eq!(dns("github.com", false).lookups.len(), 1);
        assert_eq!(dns("a.vercel.app", false).lookups.len(), 0);
        assert_eq!(dns("www.example.com", false).lookups.len(), 0);
    }

    #[test]
    fn shared_hosts_need_their_path() {
        assert_eq!(
            kinds(&http("api.githubcopilot.com:80", "/mcp/?x")),
            [(Kind::RemoteEndpoint, "ep-api-githubcopilot-com")]
        );
        assert_eq!(kinds(&http("api.githubcopilot.com", "/chat")), []);
        assert_eq!(
            kinds(&http("github.com", "/mcp")),
            [(Kind::RegistryLookup, "reg-github-com")]
        );
    }

    #[test]
    fn an_answer_is_the_same_fact_and_counts_nothing() {
        let (query, answer) = (dns("mcp.linear.app", false), dns("mcp.linear.app", true));
        assert_eq!(query.findings[0].key, answer.findings[0].key);
        assert_eq!((query.lookups[0].count, answer.lookups[0].count), (1, 0));
        let sni = run(Fact::Tls(Tls {
            sni: Some("mcp.linear.app"),
            ..Tls::default()
        }));
        assert_eq!(sni.findings[0].key, query.findings[0].key);
        assert_eq!(sni.lookups[0].via, "sni");
    }
}
