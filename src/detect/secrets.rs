//! `secret-in-transit`, `pii-in-transit` and `token-in-url`: what crosses the wire inside MCP messages and around them.
//!
//! Scans the raw parameters, results and errors of a message, the header fields of its HTTP exchange and the request
//! target. `Authorization` and cookies are where credentials belong; a token with a form of its own there is told as a
//! mild finding, because it crosses in clear text. A finding holds the place and a redacted sample, never the value nor
//! a hash of it. Costs one pass per message and one per request head.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;

use crate::detect::fingerprint::Fingerprints;
use crate::detect::panel::Ruleset;
use crate::detect::signature::secrets::{Hit, Place};
use crate::detect::signature::{Plain, Signatures, Twice};
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::mcp::walk::Walk;
use crate::model::finding::{Evidence, Finding, FindingKey, Kind, Severity, SiteKey};
use crate::model::mcp::JsonRpc;
use crate::model::message::{Field, Headers, Request};
use crate::model::net::{Direction, Scope};
use crate::model::observation::{Fact, Mcp, Observation};
use crate::model::server::Mark;
use crate::model::stamp::Span;
use crate::model::trace::{Least, Topic, Trace, TraceKey};

/// Most findings of one message; further hits at places already told still count.
const MAX_FINDINGS_PER_MESSAGE: usize = 64;
/// Longest tool name, header name or query key in a finding.
const MAX_NAME_CHARS: usize = 128;

/// Fields that are never scanned: cookies and session ids belong where they are, the rest is not the peers' to choose.
const PASSED_OVER: [&str; 18] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "etag",
    "host",
    "mcp-protocol-version",
    "mcp-session-id",
    "proxy-authorization",
    "set-cookie",
    "transfer-encoding",
    "vary",
];
/// Names of fields that hold no credential although they are called tokens.
const NO_CREDENTIAL: [&str; 5] = ["csrf", "cursor", "etag", "page", "xsrf"];
/// Query keys that are looked at.
const MAX_QUERY_KEYS: usize = 32;
/// Query keys of session ids: the 2024-11-05 transport addresses its streams with them.
const SESSION_KEYS: [&str; 4] = ["session", "session_id", "sessionid", "sid"];

/// The detector.
#[derive(Debug)]
pub struct SecretScan {
    signatures: Arc<Signatures>,
    fingerprints: Fingerprints,
}

/// Findings of one observation while they are made.
struct Report<'r, 'a> {
    signatures: &'r Signatures,
    fingerprints: &'r Fingerprints,
    seen: &'r Observation<'a>,
    mcp: &'r Mcp<'a>,
    site: SiteKey,
    tool: Option<String>,
    dir: Direction,
    /// Findings of other observations lie before this index.
    start: usize,
    out: &'r mut Findings,
}

impl SecretScan {
    /// With the rules in force.
    pub const fn new(signatures: Arc<Signatures>, fingerprints: Fingerprints) -> Self {
        Self {
            signatures,
            fingerprints,
        }
    }

    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self::new(Arc::clone(&rules.signatures), rules.fingerprints.clone()))
    }
}

impl Detector for SecretScan {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let start = out.findings.len();
        let name = mcp.call.as_ref().and_then(|call| call.name).or(mcp.name.as_deref());
        let tool = name.map(|name| redact::blank_hits(&clip(name), &self.signatures));
        let site = about::site_seen(&mcp.site, &self.signatures);
        let mut report = Report {
            signatures: &self.signatures,
            fingerprints: &self.fingerprints,
            seen,
            mcp,
            site,
            tool,
            dir: mcp.dir,
            start,
            out,
        };
        if let Some(rpc) = &mcp.rpc {
            report.bodies(rpc);
        }
        // Heads belong to the exchange, whichever tool it is about, and are looked at once.
        let Some(transaction) = mcp.transaction else { return };
        if let Some(request) = transaction.request.as_ref().filter(|_| mcp.request_head) {
            report.dir = Direction::ToServer;
            report.headers(&request.headers);
            report.tool = None;
            report.authorization(&request.headers);
            report.target(request);
        }
        if let Some(response) = transaction.response.as_ref().filter(|_| mcp.response_head) {
            report.dir = Direction::ToClient;
            report.tool = None;
            report.headers(&response.headers);
        }
    }
}

impl Report<'_, '_> {
    fn bodies(&mut self, rpc: &JsonRpc<'_>) {
        let answer = if self.mcp.listing.is_some() {
            Place::Metadata
        } else {
            Place::Result
        };
        for (part, prefix, place) in [
            (rpc.params, "params", Place::Arguments),
            (rpc.result, "result", answer),
            (rpc.error, "error", answer),
        ] {
            if let Some(json) = part {
                self.body(json, prefix, place);
            }
        }
    }

    fn body(&mut self, json: &str, prefix: &str, place: Place) {
        let plain = Plain::of(json);
        let mut walk = Walk::new(json);
        let signatures = self.signatures;
        let twice = Twice::of(json).map(|twice| twice.map(|raw| plain.place_of(raw)));
        signatures
            .secrets
            .scan_twice(plain.text(), place, twice.as_ref(), &mut |hit| {
                let path = walk.path_at(prefix, plain.origin(&hit.value).start);
                let path = redact::blank_hits(&blank(&path, hit), signatures);
                self.trace(hit, &path);
                self.add(hit, hit.rule.kind, hit.rule.severity, path);
            });
    }

    /// All fields in one pass, as lines.
    fn headers(&mut self, headers: &Headers) {
        let mut text = Vec::with_capacity(512);
        let mut lines: Vec<(usize, &[u8])> = Vec::new();
        for (name, value) in headers.iter() {
            let lower = name.to_ascii_lowercase();
            let holds = |word: &&str| memchr::memmem::find(&lower, word.as_bytes()).is_some();
            if !PASSED_OVER.iter().any(|known| known.as_bytes() == lower) && !NO_CREDENTIAL.iter().any(holds) {
                lines.push((text.len(), name));
                text.extend_from_slice(name);
                text.extend_from_slice(b": ");
                text.extend_from_slice(&decoded(value));
                text.push(b'\n');
            }
        }
        let signatures = self.signatures;
        signatures.secrets.scan(&text, Place::Header, &mut |hit| {
            let line = lines
                .partition_point(|(start, _)| *start <= hit.value.start)
                .saturating_sub(1);
            let name = lines.get(line).map_or(&b""[..], |(_, name)| name);
            let name = redact::blank_hits(&clip(&String::from_utf8_lossy(name)), signatures);
            self.add(
                hit,
                hit.rule.kind,
                hit.rule.severity,
                format!("header {}", blank(&name, hit)),
            );
        });
    }

    /// Credentials that belong there, when they have a form of their own and leave the machine.
    fn authorization(&mut self, headers: &Headers) {
        let server = self.seen.flow.tuple.server.addr;
        if Scope::of(server) == Scope::Loopback {
            return;
        }
        let signatures = self.signatures;
        for (field, name) in [
            (Field::Authorization, "Authorization"),
            (Field::ProxyAuthorization, "Proxy-Authorization"),
        ] {
            let Some(value) = headers.get(field) else { continue };
            signatures.secrets.scan(value, Place::Header, &mut |hit| {
                if !hit.rule.generic && hit.rule.kind == Kind::SecretInTransit {
                    self.add(hit, Kind::SecretInTransit, Severity::Low, format!("header {name}"));
                }
            });
        }
    }

    fn target(&mut self, request: &Request) {
        let signatures = self.signatures;
        let host = request.headers.text(Field::Host).unwrap_or_default();
        let path = format!("{host}{}", request.path());
        signatures.secrets.scan(path.as_bytes(), Place::Url, &mut |hit| {
            self.in_url(hit, "path".to_owned());
        });
        for (key, value) in request
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .take(MAX_QUERY_KEYS)
        {
            let plain = key.to_ascii_lowercase().replace('-', "_");
            if SESSION_KEYS.contains(&plain.as_str()) {
                continue;
            }
            // Host and path lead the way for rules about one product's addresses.
            let pair = format!("{path}?{key}={}", String::from_utf8_lossy(&percent_decoded(value)));
            signatures.secrets.scan(pair.as_bytes(), Place::Url, &mut |hit| {
                if hit.value.start > path.len() {
                    let key = redact::blank_hits(&clip(key), signatures);
                    self.in_url(hit, format!("query {}", blank(&key, hit)));
                }
            });
        }
    }

    fn in_url(&mut self, hit: &Hit<'_, '_>, place: String) {
        match hit.rule.kind {
            Kind::SecretInTransit if hit.rule.severity >= Severity::Medium => {
                self.add(hit, Kind::TokenInUrl, hit.rule.severity.max(Severity::High), place);
            }
            Kind::SecretInTransit => self.add(hit, Kind::TokenInUrl, hit.rule.severity, place),
            kind => self.add(hit, kind, hit.rule.severity, place),
        }
    }

    /// A credential in a body may be seen again elsewhere (`lineage.rs`).
    fn trace(&mut self, hit: &Hit<'_, '_>, place: &str) {
        let value = hit.text.get(hit.value.clone()).unwrap_or_default();
        let many = self.out.traces.len() >= MAX_FINDINGS_PER_MESSAGE;
        if many || hit.rule.kind != Kind::SecretInTransit || value.len() < redact::MIN_VALUE_BYTES {
            return;
        }
        let tuple = self.seen.flow.tuple;
        let mark = Mark {
            at: self.seen.at,
            flow: tuple,
            session: self.mcp.session,
        };
        let key = TraceKey {
            topic: Topic::Credential,
            site: Some(self.site.clone()),
            client: tuple.client.addr,
            server: tuple.server,
            place: place.into(),
            about: Some(hit.rule.id.clone()),
            subject: self.fingerprints.of(value),
        };
        self.out.traces.push(Trace::once(key, mark, Least::default()));
    }

    fn add(&mut self, hit: &Hit<'_, '_>, kind: Kind, severity: Severity, place: String) {
        let rule = hit.rule;
        let told = self.out.findings.get_mut(self.start..).unwrap_or_default();
        let same = |known: &&mut Finding| {
            known.key.kind == kind && known.key.rule == rule.id && known.key.place.as_deref() == Some(&*place)
        };
        let many = told.len() >= MAX_FINDINGS_PER_MESSAGE;
        if let Some(known) = told.iter_mut().find(same) {
            known.count += 1;
            return;
        }
        if many {
            return;
        }
        let tuple = self.seen.flow.tuple;
        let bearer = place.ends_with("uthorization") && severity == Severity::Low;
        let title = if bearer {
            format!("{} can be read on the network as the credential in {place}", rule.title)
        } else {
            format!("{} in {place}", rule.title)
        };
        self.out.findings.push(Finding {
            key: FindingKey {
                kind,
                rule: rule.id.clone(),
                site: Some(self.site.clone()),
                client: Some(tuple.client.addr),
                tool: self.tool.clone().filter(|_| mirrors_body(&place)),
                direction: Some(self.dir),
                place: Some(place),
                subject: None,
            },
            severity,
            confidence: rule.confidence,
            title,
            references: rule.references.clone(),
            count: 1,
            seen: Span::at(self.seen.at),
            evidence: Evidence {
                sample: redact::sample(hit),
                session: self.mcp.session,
                flow: Some(tuple),
            },
            detail: std::collections::BTreeMap::new(),
        });
    }
}

/// Whether a place belongs to the call: a body, or a header that mirrors an argument.
fn mirrors_body(place: &str) -> bool {
    let header = place.strip_prefix("header ");
    header.is_none_or(|name| name.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("mcp-")))
}

/// A key that is itself the value must not be told as a place.
fn blank(place: &str, hit: &Hit<'_, '_>) -> String {
    let value = hit
        .text
        .get(hit.value.clone())
        .and_then(|value| std::str::from_utf8(value).ok())
        .unwrap_or_default();
    if value.is_empty() {
        place.to_owned()
    } else {
        place.replace(value, "{secret}")
    }
}

fn clip(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

/// The value of a header field; `Mcp-Param-*` and `Mcp-Name` wrap what is no plain text as `=?base64?…?=`.
fn decoded(value: &[u8]) -> Cow<'_, [u8]> {
    let inner = value
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="));
    let text = inner.and_then(|inner| base64::engine::general_purpose::STANDARD.decode(inner).ok());
    text.map_or(Cow::Borrowed(value), Cow::Owned)
}

/// RFC 3986, section 2.1; what is no valid escape stays as it stands.
fn percent_decoded(value: &str) -> Cow<'_, [u8]> {
    let bytes = value.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code: Option<u8> = (byte == b'%').then(|| hex(bytes, at + 1..at + 3)).flatten();
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

fn hex(bytes: &[u8], range: Range<usize>) -> Option<u8> {
    let digits = std::str::from_utf8(bytes.get(range)?).ok()?;
    digits
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
