//! `known-vulnerable`: signs of a published vulnerability in what a server does, whatever it calls itself.
//!
//! Each is one exchange that a mended version would have refused, or a request that only an attack makes from another
//! machine. Versions and names are judged elsewhere.

use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about};
use crate::model::errand::{Around, Step};
use crate::model::finding::{Kind, Severity};
use crate::model::mcp::Auth;
use crate::model::message::{Field, HttpMethod, Request, Transaction};
use crate::model::net::{Direction, Scope};
use crate::model::observation::{Fact, Mcp, Observation};

/// A vulnerability with a sign of its own.
struct Marker {
    rule: &'static str,
    what: &'static str,
    severity: Severity,
    confidence: f32,
    references: &'static [&'static str],
}

/// The message address of the web interface of nginx lacks the check that its stream has.
const MESSAGE_ADDRESS: Marker = Marker {
    rule: "open-message-address",
    what: "takes messages at /mcp_message without a credential",
    severity: Severity::High,
    confidence: 0.8,
    references: &["CVE-2026-33032"],
};

/// Whom the server asks on behalf of the client is the client's to say.
const UPSTREAM_HEADER: Marker = Marker {
    rule: "upstream-by-header",
    what: "lets a request without a credential choose its upstream by a header",
    severity: Severity::High,
    confidence: 0.8,
    references: &["CVE-2026-27826", "CVE-2026-27825"],
};

/// The Inspector's proxy starts any command for anybody.
const OPEN_PROXY: Marker = Marker {
    rule: "open-inspector-proxy",
    what: "opens a transport of the asker's choice without its proxy token",
    severity: Severity::High,
    confidence: 0.85,
    references: &["CVE-2025-49596"],
};

/// A host of MCP servers is told over the network which command to run.
const REMOTE_COMMAND: Marker = Marker {
    rule: "remote-command",
    what: "is told by another machine which command to start",
    severity: Severity::High,
    confidence: 0.7,
    references: &["CVE-2026-23744", "CVE-2026-42271"],
};

/// Fields that name an upstream.
const UPSTREAM_FIELDS: [&[u8]; 2] = [b"x-atlassian-confluence-url", b"x-atlassian-jira-url"];

/// See the module.
pub struct Markers {
    signatures: Arc<Signatures>,
}

impl Markers {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    fn exchange(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, out: &mut Findings) {
        let Some(request) = mcp.transaction.and_then(|transaction| transaction.request.as_ref()) else {
            return;
        };
        let open = mcp.dir == Direction::ToClient && mcp.success && mcp.auth == Some(Auth::None);
        if !open {
            return;
        }
        let way = (&mcp.site, mcp.dir);
        if mcp.response_head && request.method == HttpMethod::Post && request.path().ends_with("/mcp_message") {
            out.findings.push(self.finding(seen, way, &MESSAGE_ADDRESS));
        }
        if mcp.rpc.is_some() && mcp.call.is_some() && has_one_of(request, &UPSTREAM_FIELDS) {
            out.findings.push(self.finding(seen, way, &UPSTREAM_HEADER));
        }
    }

    fn around(&self, seen: &Observation<'_>, around: &Around<'_>, out: &mut Findings) {
        let way = (&around.site, around.dir);
        match around.step {
            Step::Opened if !brings_token(around.transaction) => {
                out.findings.push(self.finding(seen, way, &OPEN_PROXY));
            }
            Step::Command if Scope::of(seen.flow.tuple.client.addr) != Scope::Loopback => {
                out.findings.push(self.finding(seen, way, &REMOTE_COMMAND));
            }
            _ => {}
        }
    }

    fn finding(
        &self,
        seen: &Observation<'_>,
        way: (&crate::model::mcp::Site<'_>, Direction),
        marker: &Marker,
    ) -> crate::model::finding::Finding {
        let about = (Kind::KnownVulnerable, marker.rule);
        let mut finding = about::step(about, seen, way, &self.signatures, marker.severity);
        let name = finding.detail.get("name").map_or("", String::as_str);
        finding.title = format!("MCP server {name} {}", marker.what);
        finding.confidence = marker.confidence;
        finding.references = marker.references.iter().map(|text| (*text).to_owned()).collect();
        finding
    }
}

impl Detector for Markers {
    fn wants(&self) -> FactMask {
        FactMask::MCP.or(FactMask::AROUND)
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        match &seen.fact {
            Fact::Mcp(mcp) => self.exchange(seen, mcp, out),
            Fact::Around(around) => self.around(seen, around, out),
            _ => {}
        }
    }
}

fn has_one_of(request: &Request, fields: &[&[u8]]) -> bool {
    let mut names = request.headers.iter().map(|(name, _)| name);
    names.any(|name| fields.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Whether a request to the Inspector's proxy brings the token that mended versions want.
fn brings_token(transaction: &Transaction) -> bool {
    let Some(request) = &transaction.request else {
        return true;
    };
    let query = request.query().unwrap_or_default().to_ascii_lowercase();
    has_one_of(request, &[b"x-mcp-proxy-auth"])
        || request.headers.has(Field::Authorization)
        || query.contains("mcp_proxy_auth_token=")
}
