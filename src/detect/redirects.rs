//! `redirect-hijack`: an MCP address that leads away to another domain.
//!
//! A redirect of what carried MCP, or of an address that a signature knows to be MCP's, to a host of another owner:
//! whoever follows it gives messages, and perhaps its credentials, to somebody else. Sign-in pages are where browsers
//! are sent in good order; they are left out, as is every move within one domain.

use std::sync::Arc;

use crate::detect::domains::{Owner, host_of_url, without_port};
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::finding::{Kind, Severity};
use crate::model::message::{Field, Transaction};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};

/// What paths and queries of sign-in pages have in them.
const SIGN_IN: [&str; 14] = [
    "authorize",
    "auth/",
    "client_id=",
    "consent",
    "idp",
    "login",
    "oauth",
    "oidc",
    "openid",
    "response_type=",
    "saml",
    "signin",
    "sign-in",
    "sso",
];

/// See the module.
pub struct Redirects {
    signatures: Arc<Signatures>,
}

impl Redirects {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    fn judge(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, transaction: &Transaction, out: &mut Findings) {
        let Some((from, to)) = leads_away(transaction) else {
            return;
        };
        // An address by number, or of the own network, may give the server's proper name.
        let (severity, confidence) = if Owner::of(from) == Some(Owner::Own) {
            (Severity::Medium, 0.6)
        } else {
            (Severity::High, 0.9)
        };
        let kind = (Kind::RedirectHijack, "foreign-redirect");
        let mut finding = about::moment(kind, seen, mcp, &self.signatures, severity);
        let show = |host: &str| redact::blank_hits(&without_port(host).to_ascii_lowercase(), &self.signatures);
        let (from, to) = (show(from), show(to));
        finding.title = format!("an MCP address of {from} is redirected to {to}");
        finding.confidence = confidence;
        finding.key.direction = Some(Direction::ToClient);
        finding.key.place = Some("Location".to_owned());
        finding.key.subject = Some(to.clone());
        finding.references = vec!["arXiv 2510.16558".to_owned(), "OWASP-MCP04".to_owned()];
        finding.detail.insert("name".to_owned(), to);
        out.findings.push(finding);
    }
}

impl Detector for Redirects {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        if let Fact::Mcp(mcp) = &seen.fact
            && let Some(transaction) = mcp.transaction.filter(|_| mcp.response_head)
        {
            self.judge(seen, mcp, transaction, out);
        }
    }
}

/// The hosts of a redirect to another owner: asked, and named.
fn leads_away(transaction: &Transaction) -> Option<(&str, &str)> {
    let (request, response) = (transaction.request.as_ref()?, transaction.response.as_ref()?);
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers.text(Field::Location)?.trim();
    // A relative one stays; `//host/path` has no scheme of its own.
    let network_path = location.strip_prefix("//").map(|rest| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    let to = network_path.or_else(|| host_of_url(location))?;
    let from = request.authority().or_else(|| request.headers.text(Field::Host))?;
    let (asked, named) = (Owner::of(from)?, Owner::of(to)?);
    if asked == named || named == Owner::Own {
        return None;
    }
    let lower = location.to_ascii_lowercase();
    let signs_in = SIGN_IN.iter().any(|word| lower.contains(word));
    (!signs_in).then_some((from, to))
}
