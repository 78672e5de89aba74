//! `protocol-violation`: what no honest sender does, told by the layers that met it on a flow that carries MCP.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about};
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity};
use crate::model::observation::{Breach, Fact, Observation, Violation};
use crate::model::stamp::Span;

/// See the module.
pub struct Violations {
    signatures: Arc<Signatures>,
}

impl Violations {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    fn finding(&self, seen: &Observation<'_>, violation: &Violation<'_>) -> Finding {
        let tuple = seen.flow.tuple;
        let (rule, what, confidence) = match violation.breach {
            // A broken middlebox repeats bytes wrongly, too.
            Breach::AmbiguousOverlap => ("ambiguous-overlap", "TCP segments contradict each other", 0.8),
        };
        let site = about::site_seen(&violation.site, &self.signatures);
        let name = site
            .hostname
            .as_deref()
            .map_or_else(|| site.endpoint.to_string(), str::to_owned);
        Finding {
            title: format!("{what} on an MCP connection of {} to {name}", tuple.client.addr),
            key: FindingKey {
                kind: Kind::ProtocolViolation,
                rule: Arc::from(rule),
                site: Some(site),
                client: Some(tuple.client.addr),
                tool: None,
                direction: Some(violation.dir),
                place: None,
                subject: None,
            },
            severity: Severity::Low,
            confidence,
            references: vec!["RFC 9293, section 3.10.7.4".to_owned()],
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
}

impl Detector for Violations {
    fn wants(&self) -> FactMask {
        FactMask::VIOLATION
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        if let Fact::Violation(violation) = &seen.fact {
            out.findings.push(self.finding(seen, violation));
        }
    }
}
