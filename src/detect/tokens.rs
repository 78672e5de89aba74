//! `auth-violation` of what one exchange carries: a token that is for somebody else, a session id that can be guessed or
//! that changes midway.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use crate::detect::domains::{Owner, host_of_url, without_port};
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::finding::{Kind, Severity};
use crate::model::mcp::RpcKind;
use crate::model::message::{Field, Request, Response};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};

/// Bits of chance that a session id has at the most, below which it can be guessed: half of the 128 that are asked for.
const SESSION_MIN_BITS: f64 = 64.0;
/// Longest token that is looked into, in bytes.
const TOKEN_MAX_BYTES: usize = 16_384;

/// See the module.
pub struct Tokens {
    signatures: Arc<Signatures>,
}

impl Tokens {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }

    /// A token whose audience is another host than the one that accepted it.
    fn audience(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, request: &Request, out: &mut Findings) {
        let Some((audience, own)) = foreign_audience(request) else {
            return;
        };
        let about = (Kind::AuthViolation, "wrong-audience");
        let mut finding = about::moment(about, seen, mcp, &self.signatures, Severity::Medium);
        let audience = redact::blank_hits(&audience, &self.signatures);
        finding.title = format!("MCP server accepts a token whose audience is {audience}");
        finding.confidence = if own { 0.5 } else { 0.85 };
        if own {
            // Behind a gateway a server may be asked by its address alone.
            finding.severity = Severity::Low;
        }
        finding.key.direction = Some(Direction::ToServer);
        finding.key.place = Some("Authorization".to_owned());
        finding.key.subject = Some(audience.clone());
        finding.references = vec!["RFC 8707, section 2".to_owned(), "OWASP-MCP07".to_owned()];
        finding.detail.insert("audience".to_owned(), audience);
        out.findings.push(finding);
    }

    fn session_id(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, response: &Response, out: &mut Findings) {
        let Some(id) = response.headers.get(Field::McpSessionId) else {
            return;
        };
        let bits = most_bits(id);
        if bits >= SESSION_MIN_BITS {
            return;
        }
        let about = (Kind::AuthViolation, "weak-session-id");
        let mut finding = about::moment(about, seen, mcp, &self.signatures, Severity::Medium);
        finding.title = "MCP server gives session ids that can be guessed".to_owned();
        finding.key.client = None;
        finding.key.place = Some("Mcp-Session-Id".to_owned());
        finding.references = vec![
            "CVE-2025-6515".to_owned(),
            "MCP, security best practices: session hijacking".to_owned(),
        ];
        finding.detail.insert("length".to_owned(), id.len().to_string());
        out.findings.push(finding);
    }

    fn changed(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, out: &mut Findings) {
        let about = (Kind::ProtocolViolation, "session-changed");
        let mut finding = about::moment(about, seen, mcp, &self.signatures, Severity::Low);
        finding.title = "MCP server gives another session id in the middle of a session".to_owned();
        finding.key.place = Some("Mcp-Session-Id".to_owned());
        finding.references = vec!["MCP 2025-11-25, session management".to_owned()];
        out.findings.push(finding);
    }
}

impl Detector for Tokens {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let given =
            mcp.dir == Direction::ToClient && mcp.success && mcp.rpc.is_some_and(|rpc| rpc.kind == RpcKind::Success);
        let (Some(call), Some(transaction)) = (mcp.call.filter(|_| given), mcp.transaction) else {
            return;
        };
        let Some(request) = &transaction.request else { return };
        self.audience(seen, mcp, request, out);
        let Some(response) = &transaction.response else { return };
        if call.method == "initialize" {
            self.session_id(seen, mcp, response, out);
        } else {
            let asked = request.headers.get(Field::McpSessionId);
            let told = response.headers.get(Field::McpSessionId);
            if asked.zip(told).is_some_and(|(asked, told)| asked != told) {
                self.changed(seen, mcp, out);
            }
        }
    }
}

/// The audience of a request's token when it is a web address of another host, and whether the host that was asked is
/// only an address or a name of a private zone.
fn foreign_audience(request: &Request) -> Option<(String, bool)> {
    let value = request.headers.text(Field::Authorization)?;
    let token = value.split_once(' ').map_or("", |(_, token)| token.trim());
    if !token.starts_with("eyJ") || token.len() > TOKEN_MAX_BYTES {
        return None;
    }
    let body = token.split('.').nth(1)?;
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).ok()?;
    let claims: Value = serde_json::from_slice(&body).ok()?;
    let audiences: Vec<&str> = match claims.get("aud")? {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    // A name that is no web address says nothing about hosts.
    let hosts: Option<Vec<&str>> = audiences.iter().map(|audience| host_of_url(audience)).collect();
    let hosts = hosts.filter(|hosts| !hosts.is_empty())?;
    let asked = request.authority().or_else(|| request.headers.text(Field::Host))?;
    let asked_owner = Owner::of(asked)?;
    let domain = |host: &str| matches!(Owner::of(host), Some(Owner::Domain(_)));
    let fits = |host: &&str| without_port(host).eq_ignore_ascii_case(without_port(asked)) || !domain(host);
    if hosts.iter().any(fits) {
        return None;
    }
    let first = hosts.first().map(|host| without_port(host).to_ascii_lowercase())?;
    Some((first, asked_owner == Owner::Own))
}

/// The most bits of chance that an id of these characters can have. A word of known characters has less.
fn most_bits(id: &[u8]) -> f64 {
    let has = |test: fn(&u8) -> bool| id.iter().any(test);
    let alphabet = match () {
        () if id.iter().all(u8::is_ascii_digit) => 10.0_f64,
        () if id.iter().all(u8::is_ascii_hexdigit) => 16.0,
        () => [
            (has(u8::is_ascii_digit), 10.0),
            (has(u8::is_ascii_lowercase), 26.0),
            (has(u8::is_ascii_uppercase), 26.0),
            (has(|byte| !byte.is_ascii_alphanumeric()), 4.0),
        ]
        .iter()
        .map(|(there, size)| if *there { *size } else { 0.0 })
        .sum(),
    };
    let length = u32::try_from(id.len()).map_or(f64::MAX, f64::from);
    length * alphabet.max(2.0).log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{Headers, HttpMethod};
    use crate::model::stamp::Stamp;

    #[test]
    fn ids() {
        for id in ["1", "42", "session-7", "1732791600123", "deadbeef", "abc123"] {
            assert!(most_bits(id.as_bytes()) < SESSION_MIN_BITS, "{id}");
        }
        for id in [
            "0af7651916cd43dd8448eb211c80319c",
            "550e8400-e29b-41d4-a716-446655440000",
            "V1StGXR8_Z5jdHi6B-myT",
            "0123456789abcdef",
        ] {
            assert!(most_bits(id.as_bytes()) >= SESSION_MIN_BITS, "{id}");
        }
    }

    #[test]
    fn audiences() {
        let audience = |host: &str, claims: &str| {
            let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
            let token = format!("Bearer {}.{}.x", part(r#"{"alg":"RS256"}"#), part(claims));
            let mut headers = Headers::default();
            headers.push(b"Host", host.as_bytes());
            headers.push(b"Authorization", token.as_bytes());
            foreign_audience(&Request {
                at: Stamp::default(),
                method: HttpMethod::Post,
                target: "/mcp".into(),
                headers,
            })
        };
        let other = r#"{"aud":"https://api.other.example/v1"}"#;
        assert_eq!(
            audience("mcp.shelf.example", other),
            Some(("api.other.example".into(), false))
        );
        assert_eq!(
            audience("10.0.0.5:8000", other),
            Some(("api.other.example".into(), true))
        );
        for (host, claims) in [
            (
                "mcp.shelf.example",
                r#"{"aud":["https://x.example","https://mcp.shelf.example/mcp"]}"#,
            ),
            ("mcp.shelf.example", r#"{"aud":"api://shelf"}"#),
            ("mcp.shelf.example", r#"{"aud":"http://localhost:8000/mcp"}"#),
            ("mcp.shelf.example", r#"{"sub":"x"}"#),
            ("mcp.shelf.example", "no json"),
        ] {
            assert_eq!(audience(host, claims), None, "{host} {claims}");
        }
    }
}
