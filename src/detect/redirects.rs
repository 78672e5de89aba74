//! `redirect-hijack`: an MCP address, or one that MCP servers are installed from, that leads away to another domain.
//!
//! A redirect of what carried MCP, of an address that a signature knows to be MCP's, or of a package or bundle of an MCP
//! server, to a host of another owner: whoever follows it gives messages, and perhaps its credentials, to somebody else,
//! or runs somebody else's code. Sign-in pages and stores of files are where clients are sent in good order; they are
//! left out, as is every move within one domain.

use std::sync::Arc;

use crate::detect::domains::{Owner, host_of_url, without_port};
use crate::detect::packages;
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::errand::{Around, Step};
use crate::model::finding::{Kind, Severity};
use crate::model::message::{Field, Request, Transaction};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Observation};

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

/// Where downloads are kept for others.
const STORES: [&str; 11] = [
    "akamaized.net",
    "amazonaws.com",
    "azureedge.net",
    "b-cdn.net",
    "cloudflarestorage.com",
    "cloudfront.net",
    "digitaloceanspaces.com",
    "fastly.net",
    "githubusercontent.com",
    "googleapis.com",
    "windows.net",
];

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A server.
    Server,
    /// Something to install.
    Install,
}

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

    fn judge(&self, seen: &Observation<'_>, around: &Around<'_>, out: &mut Findings) {
        let Some((request, from, to)) = leads_away(around.transaction) else {
            return;
        };
        let target = if around.mcp || asks_for_events(request) || self.is_known(request, from) {
            Target::Server
        } else if packages::is_install(request, without_port(from), &self.signatures) {
            Target::Install
        } else {
            return;
        };
        let kept = without_port(to).to_ascii_lowercase();
        if target == Target::Install && STORES.iter().any(|store| kept.ends_with(store)) {
            return;
        }
        // An address by number, or of the own network, may give the server's proper name.
        let (severity, confidence) = if Owner::of(from) == Some(Owner::Own) {
            (Severity::Medium, 0.6)
        } else {
            (Severity::High, 0.9)
        };
        let kind = (Kind::RedirectHijack, "foreign-redirect");
        let way = (&around.site, Direction::ToClient);
        let mut finding = about::step(kind, seen, way, &self.signatures, severity);
        let show = |host: &str| redact::blank_hits(&without_port(host).to_ascii_lowercase(), &self.signatures);
        let (from, to) = (show(from), show(to));
        let what = match target {
            Target::Install => "an installation of an MCP server",
            Target::Server => "an MCP address",
        };
        finding.title = format!("{what} at {from} is redirected to {to}");
        finding.confidence = confidence;
        finding.key.place = Some("Location".to_owned());
        finding.key.subject = Some(to.clone());
        finding.references = vec!["arXiv 2510.16558".to_owned(), "OWASP-MCP04".to_owned()];
        finding.detail.insert("name".to_owned(), to);
        out.findings.push(finding);
    }

    /// Whether a signature knows the address to be a server's.
    fn is_known(&self, request: &Request, host: &str) -> bool {
        let path = request.path();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let names = &self.signatures.names;
        names
            .find_where(without_port(host), |rule| {
                matches!(rule.category, "endpoint" | "gateway") && rule.proves(Some(path))
            })
            .is_some()
            && matches!(last, "mcp" | "sse" | "message" | "messages")
    }
}

impl Detector for Redirects {
    fn wants(&self) -> FactMask {
        FactMask::AROUND
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        if let Fact::Around(around) = &seen.fact
            && *around.step == Step::Redirect
        {
            self.judge(seen, around, out);
        }
    }
}

/// A GET of an event stream at an address that is called as MCP's usually are.
fn asks_for_events(request: &Request) -> bool {
    let accept = request.headers.text(Field::Accept).unwrap_or_default();
    let last = request.path().trim_end_matches('/').rsplit('/').next();
    accept.to_ascii_lowercase().contains("text/event-stream") && matches!(last, Some("mcp" | "sse"))
}

/// A redirect to another owner: the request, the host that was asked, and the one that is named.
fn leads_away(transaction: &Transaction) -> Option<(&Request, &str, &str)> {
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
    (!signs_in).then_some((request, from, to))
}
