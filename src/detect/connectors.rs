//! `provider-connector`: a call of a language model that makes its provider use an MCP server.
//!
//! The provider's machines talk to that server: no sensor here sees what is asked and answered, nor which credentials
//! were handed over in the call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::domains::{host_of_url, without_port};
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::errand::Step;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Observation};
use crate::model::stamp::Span;

/// Longest name of a server that is shown, in bytes.
const NAME_MAX_BYTES: usize = 128;

/// See the module.
pub struct Connectors {
    signatures: Arc<Signatures>,
}

impl Connectors {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    /// Host of a URL, or the provider's own name of a server, as it may be shown.
    fn name(&self, server: &str) -> String {
        let name = host_of_url(server).map_or(server, without_port);
        let name = name.get(..name.floor_char_boundary(NAME_MAX_BYTES)).unwrap_or_default();
        redact::blank_hits(&name.to_ascii_lowercase(), &self.signatures)
    }
}

impl Detector for Connectors {
    fn wants(&self) -> FactMask {
        FactMask::AROUND
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Around(around) = &seen.fact else { return };
        let Step::Connectors(servers) = around.step else { return };
        let tuple = seen.flow.tuple;
        let provider = about::site_name(&about::site_seen(&around.site, &self.signatures));
        for server in servers {
            let name = self.name(server);
            out.findings.push(Finding {
                key: FindingKey {
                    kind: Kind::ProviderConnector,
                    rule: Arc::from("provider-connector"),
                    site: None,
                    client: Some(tuple.client.addr),
                    tool: None,
                    direction: Some(Direction::ToServer),
                    place: Some("body".to_owned()),
                    subject: Some(format!("{provider} {name}")),
                },
                severity: Severity::Medium,
                confidence: 0.95,
                title: format!("{} makes {provider} use the MCP server {name}", tuple.client.addr),
                references: vec!["OWASP-MCP09".to_owned()],
                count: 1,
                seen: Span::at(seen.at),
                evidence: Evidence {
                    sample: None,
                    session: None,
                    flow: Some(tuple),
                },
                detail: BTreeMap::from([("name".to_owned(), name), ("provider".to_owned(), provider.clone())]),
            });
        }
    }
}
