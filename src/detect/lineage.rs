//! Where credentials travel: `token-passthrough`, one credential of many clients, and a secret that one server gave away
//! and another one was given.
//!
//! `inspect` leaves a trace of every credential that a request carries, by its keyed hash alone; `secrets.rs` leaves those
//! of credentials inside messages. `review_all` reads them together: nothing that it says depends on a hash or on an order
//! of hashes. Cost: one HMAC for each MCP request with a credential, and for each new one of a flow of plain HTTP.

mod journeys;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::detect::fingerprint::Fingerprints;
use crate::detect::panel::Ruleset;
use crate::detect::redact::{self, MIN_VALUE_BYTES};
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about};
use crate::mcp::site;
use crate::model::finding::SiteKey;
use crate::model::mcp::{JsonRpc, RpcKind};
use crate::model::message::{Field, Request, Transaction};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Mcp, Observation};
use crate::model::server::{Mark, View};
use crate::model::trace::{Least, Topic, Trace, TraceKey};
use crate::policy::Policy;

/// Fields of one request, named like keys, that are traced.
const MAX_KEYS: usize = 4;
/// Parameters that are shorter are alike in conversations that have nothing to do with each other.
const TELLING_PARAMS_BYTES: usize = 32;
/// Schemes whose values are made anew for each request (RFC 9110, section 11; RFC 4559).
const FRESH: [&str; 6] = ["aws4-hmac-sha256", "digest", "hoba", "negotiate", "ntlm", "signature"];
/// Last segments of the paths of an authorization server: there a token is shown to whom it belongs (RFC 6749, 7009,
/// 7662; OpenID Connect Core, section 5.3).
const TOKEN_ENDPOINTS: [&str; 8] = [
    "introspect",
    "introspection",
    "revocation",
    "revoke",
    "token",
    "tokeninfo",
    "userinfo",
    "verify",
];

/// See the module.
pub struct Lineage {
    signatures: Arc<Signatures>,
    policy: Arc<Policy>,
    fingerprints: Fingerprints,
}

impl Lineage {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
            policy: Arc::clone(&rules.policy),
            fingerprints: rules.fingerprints.clone(),
        })
    }
}

impl Detector for Lineage {
    fn wants(&self) -> FactMask {
        FactMask::MCP.or(FactMask::HTTP).or(FactMask::CREDENTIAL)
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        match &seen.fact {
            Fact::Credential(transaction) => {
                if let Some(request) = plain(transaction) {
                    self.authorization(seen, request, &Around::of(request), out);
                }
            }
            Fact::Http(transaction) => {
                if let Some(request) = plain(transaction) {
                    self.keys(seen, request, &Around::of(request), out);
                }
            }
            Fact::Mcp(mcp) => self.message(seen, mcp, out),
            _ => {}
        }
    }

    fn review_all(&self, all: &View, out: &mut Findings) {
        journeys::review(all, &self.policy, &self.signatures, out);
    }
}

/// What a trace says besides its credential.
#[derive(Default)]
struct Around {
    site: Option<SiteKey>,
    host: Option<Arc<str>>,
    messages: Least,
    session: Option<u64>,
}

impl Around {
    /// Outside of MCP.
    fn of(request: &Request) -> Self {
        let host = request.authority().map(str::as_bytes);
        let host = host.or_else(|| request.headers.get(Field::Host)).unwrap_or_default();
        Self {
            host: site::hostname(host).map(Arc::from),
            ..Self::default()
        }
    }
}

/// A request that shows no token to whom it belongs.
fn plain(transaction: &Transaction) -> Option<&Request> {
    let request = transaction.request.as_ref()?;
    let last = request.path().trim_end_matches('/').rsplit('/').next();
    let last = last.unwrap_or_default().to_ascii_lowercase();
    (!TOKEN_ENDPOINTS.contains(&last.as_str())).then_some(request)
}

impl Lineage {
    fn message(&self, seen: &Observation<'_>, mcp: &Mcp<'_>, out: &mut Findings) {
        let request = mcp.transaction.and_then(|transaction| transaction.request.as_ref());
        let (Direction::ToServer, Some(rpc), Some(request)) = (mcp.dir, &mcp.rpc, request) else {
            return;
        };
        if rpc.kind != RpcKind::Request || mcp.auth.is_none_or(|auth| auth == crate::model::mcp::Auth::None) {
            return;
        }
        let around = Around {
            site: Some(about::site_seen(&mcp.site, &self.signatures)),
            host: None,
            messages: message_hash(rpc).map(Least::one).unwrap_or_default(),
            session: mcp.session,
        };
        self.authorization(seen, request, &around, out);
        self.keys(seen, request, &around, out);
    }

    fn authorization(&self, seen: &Observation<'_>, request: &Request, around: &Around, out: &mut Findings) {
        if let Some(value) = request.headers.get(Field::Authorization) {
            self.trace(seen, "header Authorization", value, around, out);
        }
    }

    fn keys(&self, seen: &Observation<'_>, request: &Request, around: &Around, out: &mut Findings) {
        for (name, value) in site::keys(&request.headers).take(MAX_KEYS) {
            let name = redact::blank_hits(&String::from_utf8_lossy(name), &self.signatures);
            self.trace(seen, &format!("header {name}"), value, around, out);
        }
    }

    fn trace(&self, seen: &Observation<'_>, place: &str, value: &[u8], around: &Around, out: &mut Findings) {
        let Some(token) = token(value) else { return };
        let tuple = seen.flow.tuple;
        let key = TraceKey {
            topic: Topic::Credential,
            site: around.site.clone(),
            client: tuple.client.addr,
            server: tuple.server,
            place: place.into(),
            about: around.host.clone(),
            subject: self.fingerprints.of(token),
        };
        let mark = Mark {
            at: seen.at,
            flow: tuple,
            session: around.session,
        };
        out.traces.push(Trace::once(key, mark, around.messages.clone()));
    }
}

/// The credential of a field without its scheme; `None` when it is short or made for this request alone.
fn token(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let token = match value.iter().position(|byte| *byte == b' ') {
        Some(at) => {
            let scheme = value.get(..at).unwrap_or_default().to_ascii_lowercase();
            if FRESH.iter().any(|fresh| fresh.as_bytes() == scheme) {
                return None;
            }
            value.get(at..).unwrap_or_default().trim_ascii()
        }
        None => value,
    };
    (token.len() >= MIN_VALUE_BYTES).then_some(token)
}

/// A request by its id and content, when they say enough to know it again.
fn message_hash(rpc: &JsonRpc<'_>) -> Option<u64> {
    let (id, params) = rpc.id.zip(rpc.params)?;
    let telling = params.len() >= TELLING_PARAMS_BYTES && !rpc.cut;
    telling.then(|| FixedState::with_seed(0).hash_one((id, rpc.method, params)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_without_their_schemes() {
        for (value, token_is) in [
            ("Bearer abcdefghijklmnop", Some("abcdefghijklmnop")),
            ("abcdefghijklmnop", Some("abcdefghijklmnop")),
            ("Bearer  short", None),
            ("Digest username=\"ann\", realm=\"a\", nonce=\"b\"", None),
            ("", None),
        ] {
            assert_eq!(token(value.as_bytes()), token_is.map(str::as_bytes), "{value}");
        }
    }
}
