//! Suspects: endpoints to which a name led a client, encrypted. What a name is worth is
//! [`suspicion`](crate::detect::signature::names::Names::suspicion); what becomes of a suspect is decided when the whole
//! is reviewed.
//!
//! The name is the one that the ClientHello says. Where it says none, and the server's certificate stands in clear, it is
//! the one that the certificate is for, as long as the certificate is for few: it is the server's own word for who it is.
//! One that is for many belongs to a shared front, and says nothing of any of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings};
use crate::model::observation::{Fact, Observation};
use crate::model::server::Encryption;
use crate::model::stamp::Span;
use crate::model::suspect::{Suspect, Visitor};
use crate::model::tls::{Certificate, Ja4, Tls};

/// Most names of a certificate that are looked at: a host, its bare domain, a wildcard of each.
const CERTIFICATE_MAX_NAMES: usize = 4;

/// See the module.
pub struct Suspects {
    signatures: Arc<Signatures>,
}

impl Suspects {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    fn note(&self, seen: &Observation<'_>, name: &str, (encryption, client): (Encryption, Hello), out: &mut Findings) {
        let Some(grade) = self.signatures.names.suspicion(name) else {
            return;
        };
        let tuple = &seen.flow.tuple;
        let visitor = Visitor {
            seen: Span::at(seen.at),
            flows: 1,
            ja4: client.ja4,
            program: client.program,
            lanes: client.lanes,
            visits: BTreeSet::new(),
        };
        let visit = (tuple.client.addr, visitor);
        out.suspects
            .push(Suspect::new(name, tuple.server, encryption, grade, visit));
    }
}

/// What a hello says of its client.
#[derive(Clone, Copy, Debug, Default)]
struct Hello {
    ja4: Option<Ja4>,
    program: bool,
    lanes: bool,
}

impl Hello {
    /// Browsers keep servers tolerant with numbers that mean nothing, and imitate encrypted hellos where they have no key
    /// for one. TLS libraries do neither unless a program asks for it, and what MCP clients are built on asks for neither.
    fn of(tls: &Tls<'_>) -> Self {
        Self {
            ja4: tls.ja4,
            program: !tls.grease && !tls.ech,
            lanes: tls.alpn.iter().any(|name| matches!(*name, b"h2" | b"h3")),
        }
    }
}

impl Detector for Suspects {
    fn wants(&self) -> FactMask {
        FactMask::TLS.or(FactMask::TLS_ANSWER)
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        match &seen.fact {
            Fact::Tls(tls) => {
                if let Some(name) = tls.sni {
                    self.note(seen, name, (tls.encryption, Hello::of(tls)), out);
                }
            }
            Fact::TlsAnswer(answer) if !answer.named => {
                let name = answer.certificate.as_ref().and_then(own_name);
                if let Some(name) = name.filter(|name| self.signatures.names.suspicion(name).is_some()) {
                    self.note(seen, name, (Encryption::Tls, Hello::default()), out);
                }
            }
            _ => {}
        }
    }
}

/// The one host that a certificate is for: its first name that is none of an address, a wildcard taken off.
fn own_name<'c>(certificate: &Certificate<'c>) -> Option<&'c str> {
    if certificate.names.len() > CERTIFICATE_MAX_NAMES {
        return None;
    }
    let hosts = certificate
        .names
        .iter()
        .filter(|name| name.parse::<std::net::IpAddr>().is_err());
    hosts.map(|name| name.strip_prefix("*.").unwrap_or(name)).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::flow::FlowInfo;
    use crate::model::net::{Endpoint, FiveTuple, Transport};
    use crate::model::stamp::Stamp;
    use crate::model::suspect::Grade;
    use crate::model::tls::TlsAnswer;

    fn run(fact: Fact<'_>) -> Vec<(String, Grade)> {
        let end = |addr: &str, port| Endpoint::new(addr.parse().unwrap(), port);
        let at = Stamp::default();
        let flow = FlowInfo {
            id: 1,
            tuple: FiveTuple {
                transport: Transport::Tcp,
                client: end("10.0.0.9", 40_000),
                server: end("203.0.113.5", 443),
            },
            seen: Span::at(at),
            packets: [1, 0],
            bytes: [1, 0],
            from_start: true,
            encryption: Encryption::None,
        };
        let detector = Suspects {
            signatures: Arc::new(Signatures::builtin()),
        };
        let mut out = Findings::default();
        detector.inspect(&Observation { at, flow: &flow, fact }, &mut out);
        assert!(out.findings.is_empty(), "a name alone is no finding here");
        out.suspects
            .iter()
            .map(|suspect| (suspect.name.to_string(), suspect.grade))
            .collect()
    }

    #[test]
    fn names_of_hellos() {
        for (name, grade) in [
            ("mcp.linear.app", Some(Grade::Listed)),
            ("api.githubcopilot.com", Some(Grade::Shared)),
            ("mcp.vendor.test", Some(Grade::Resembles)),
            ("registry.modelcontextprotocol.io", None),
            ("www.example.com", None),
        ] {
            let told = run(Fact::Tls(Tls {
                sni: Some(name),
                ..Tls::default()
            }));
            let expected: Vec<_> = grade.into_iter().map(|grade| (name.to_owned(), grade)).collect();
            assert_eq!(told, expected);
        }
        assert_eq!(run(Fact::Tls(Tls::default())), []);
    }

    #[test]
    fn names_of_certificates() {
        let own = ["10.0.0.5", "*.mcp.vendor.test", "vendor.test"].map(str::to_owned);
        let front: Vec<String> = (0..5).map(|n| format!("mcp.vendor-{n}.test")).collect();
        let later = ["vendor.test", "mcp.vendor.test"].map(str::to_owned);
        let told = |names: &[String], named| {
            let certificate = Certificate {
                subject: "a",
                issuer: "b",
                names,
            };
            run(Fact::TlsAnswer(TlsAnswer {
                named,
                certificate: Some(certificate),
                ..TlsAnswer::default()
            }))
        };
        assert_eq!(told(&own, false), [("mcp.vendor.test".to_owned(), Grade::Resembles)]);
        assert_eq!(told(&own, true), []);
        assert_eq!(told(&front, false), []);
        assert_eq!(told(&later, false), []);
        assert_eq!(told(&[], false), []);
    }
}
