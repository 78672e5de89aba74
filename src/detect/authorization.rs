//! `auth-violation`: steps of sign-in that break the MCP specification (its page on authorization, OAuth 2.1).
//!
//! A step alone does not say whether it is about MCP: most sign-ins are not. So `inspect` only leaves traces of faults,
//! of what leads clients to authorization servers and of clients that were registered; `review_all` makes a finding of a
//! fault when they show that it belongs to an MCP server. An ordinary web sign-in never does. Metadata that would make a
//! client run a command is told at once, whoever asks.

mod judge;
mod links;

use std::sync::Arc;

use crate::detect::domains::{Owner, host_of_url, without_port};
use crate::detect::fingerprint::Fingerprints;
use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about, redact};
use crate::model::errand::{Around, Metadata, Step, Wish};
use crate::model::finding::{Kind, Severity};
use crate::model::message::{Field, Request};
use crate::model::observation::{Fact, Observation};
use crate::model::server::{Mark, View};
use crate::model::trace::{Least, Topic, Trace, TraceKey};

/// What links a step to MCP; the second word of a fault's place.
mod link {
    /// The authorization server itself is at fault: it belongs to MCP when MCP servers name it.
    pub(super) const SERVER: &str = "server";
    /// The client was registered with the authorization server.
    pub(super) const CLIENT: &str = "client";
    /// A program on the user's machine signs in, and was led there by an MCP server.
    pub(super) const NATIVE: &str = "native";
    /// The step names the MCP server that it is for.
    pub(super) const RESOURCE: &str = "resource";
}

/// See the module.
pub struct Authorization {
    signatures: Arc<Signatures>,
    fingerprints: Fingerprints,
}

impl Authorization {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
            fingerprints: rules.fingerprints.clone(),
        })
    }
}

impl Detector for Authorization {
    fn wants(&self) -> FactMask {
        FactMask::AROUND
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Around(around) = &seen.fact else { return };
        let Some(origin) = around.transaction.request.as_ref().and_then(asked_origin) else {
            return;
        };
        let mut look = Look {
            detector: self,
            seen,
            origin,
            out,
        };
        match around.step {
            Step::Authorization(wish) => look.authorization(wish),
            Step::Grant(wish) => look.grant(wish),
            Step::Metadata(metadata) => {
                look.metadata(metadata);
                look.commands(around, metadata);
            }
            Step::Registration(uris) => {
                if uris.iter().any(|uri| leads_through_clear(uri)) {
                    look.fault("redirect-uri", link::SERVER, None, 0);
                }
            }
            Step::Registered(client) => {
                let client = look.client(client);
                look.leave(Topic::Registered, "client_id", None, client);
            }
            Step::Command | Step::Connectors(_) | Step::Opened | Step::Redirect => {}
        }
    }

    fn review_all(&self, all: &View, out: &mut Findings) {
        judge::review(all, out);
    }
}

/// One step while it is looked at.
struct Look<'l, 'a> {
    detector: &'l Authorization,
    seen: &'l Observation<'a>,
    /// Of the server that was asked.
    origin: String,
    out: &'l mut Findings,
}

impl Look<'_, '_> {
    fn client(&self, client: &str) -> u128 {
        self.detector.fingerprints.of(format!("client_id {client}").as_bytes())
    }

    /// Leaves a trace; `about` is an origin, that of the server asked where there is none.
    fn leave(&mut self, topic: Topic, place: &str, about: Option<&str>, subject: u128) {
        let about = redact::blank_hits(about.unwrap_or(&self.origin), &self.detector.signatures);
        let tuple = self.seen.flow.tuple;
        let key = TraceKey {
            topic,
            site: None,
            client: tuple.client.addr,
            server: tuple.server,
            place: Arc::from(place),
            about: Some(Arc::from(about)),
            subject,
        };
        let mark = Mark {
            at: self.seen.at,
            flow: tuple,
            session: None,
        };
        self.out.traces.push(Trace::once(key, mark, Least::default()));
    }

    fn fault(&mut self, rule: &str, link: &str, about: Option<&str>, subject: u128) {
        self.leave(Topic::AuthFault, &format!("{rule} {link}"), about, subject);
    }

    /// A fault of a client's step, under every link that may tie it to MCP.
    fn faults(&mut self, rules: &[&str], wish: &Wish<'_>) {
        let client = wish.client_id.as_deref().map(|client| self.client(client));
        let resource = wish.resource.as_deref().and_then(host_of_url).map(origin);
        let native = wish.redirect_uri.as_deref().is_none_or(is_loopback);
        for rule in rules {
            if let Some(client) = client {
                self.fault(rule, link::CLIENT, None, client);
            }
            if native {
                self.fault(rule, link::NATIVE, None, client.unwrap_or(0));
            }
            if let Some(resource) = &resource {
                self.fault(rule, link::RESOURCE, Some(resource), client.unwrap_or(0));
            }
        }
    }

    fn authorization(&mut self, wish: &Wish<'_>) {
        let mut rules = Vec::new();
        let kinds = wish.response_type.as_deref().unwrap_or_default();
        let has = |kind: &str| kinds.split(' ').any(|word| word == kind);
        if has("token") {
            rules.push("implicit-grant");
        }
        if has("code") && !wish.proof_key {
            rules.push("no-pkce");
        } else if has("code") && wish.method.as_deref() != Some("S256") {
            // RFC 7636, section 4.3: without a method it is `plain`.
            rules.push("pkce-not-s256");
        }
        if wish.resource.is_none() {
            rules.push("no-resource");
        }
        if wish.redirect_uri.as_deref().is_some_and(leads_through_clear) {
            rules.push("redirect-uri");
        }
        self.faults(&rules, wish);
        let back = wish.redirect_uri.as_deref().and_then(host_of_url).map(origin);
        if let (Some(back), Some(client)) = (back.filter(|back| *back != self.origin), &wish.client_id) {
            let client = self.client(client);
            self.leave(Topic::AuthProxy, "client_id", Some(&back), client);
        }
    }

    fn grant(&mut self, wish: &Wish<'_>) {
        let mut rules = Vec::new();
        match wish.grant_type.as_deref() {
            Some("authorization_code") => {
                if !wish.proof_key {
                    rules.push("no-pkce");
                }
                if wish.resource.is_none() {
                    rules.push("no-resource");
                }
            }
            Some("password") => rules.push("password-grant"),
            _ => {}
        }
        self.faults(&rules, wish);
    }

    fn metadata(&mut self, metadata: &Metadata<'_>) {
        let asked = self.origin.clone();
        let elsewhere = |url: &str| {
            let named = host_of_url(url)?;
            let foreign = |host: &str| matches!(Owner::of(host), Some(Owner::Domain(_)));
            let other = !without_port(named).eq_ignore_ascii_case(without_port(&asked));
            (other && foreign(named) && foreign(&asked)).then_some(())
        };
        if metadata.of_resource {
            for server in metadata.authorization_servers.iter().filter_map(|url| host_of_url(url)) {
                self.leave(Topic::AuthServer, "authorization_servers", Some(&origin(server)), 0);
            }
            if metadata.resource.as_deref().and_then(elsewhere).is_some() {
                self.fault("resource-mismatch", link::SERVER, None, 0);
            }
            return;
        }
        self.leave(Topic::AuthMetadata, "issuer", None, 0);
        if metadata.issuer.as_deref().and_then(elsewhere).is_some() {
            self.fault("issuer-mismatch", link::SERVER, None, 0);
        }
        let unsafe_methods = metadata
            .methods
            .as_ref()
            .is_some_and(|methods| !methods.iter().any(|method| method == "S256"));
        if unsafe_methods {
            self.fault("no-s256-offered", link::SERVER, None, 0);
        }
        let clear = |url: &str| url.starts_with("http://") && leads_through_clear(url);
        let protocol = ["authorization_endpoint", "token_endpoint", "registration_endpoint"];
        let steps = metadata.endpoints.iter().filter(|(key, _)| protocol.contains(&&**key));
        if steps.clone().any(|(_, url)| clear(url)) {
            self.fault("endpoint-in-clear", link::SERVER, None, 0);
        }
    }

    /// Addresses that a client would hand to a shell (CVE-2025-6514).
    fn commands(&mut self, around: &Around<'_>, metadata: &Metadata<'_>) {
        let Some((key, _)) = metadata.endpoints.iter().find(|(_, url)| is_command(url)) else {
            return;
        };
        let about = (Kind::KnownVulnerable, "metadata-command");
        let signatures = &self.detector.signatures;
        let mut finding = about::step(
            about,
            self.seen,
            (&around.site, around.dir),
            signatures,
            Severity::Critical,
        );
        let name = finding.detail.get("name").cloned().unwrap_or_default();
        finding.title = format!("metadata of {name} names an address that some clients run as a command");
        finding.key.place = Some(redact::blank_hits(key, signatures));
        finding.references = vec!["CVE-2025-6514".to_owned(), "OWASP-MCP05".to_owned()];
        finding.detail.insert("product".to_owned(), "mcp-remote".to_owned());
        self.out.findings.push(finding);
    }
}

/// Host and port of a server in one form: lower case, without the ports that schemes stand for.
fn origin(host: &str) -> String {
    let lower = host.to_ascii_lowercase();
    let short = lower.strip_suffix(":443").or_else(|| lower.strip_suffix(":80"));
    short.map_or_else(|| lower.clone(), str::to_owned)
}

fn asked_origin(request: &Request) -> Option<String> {
    let host = request.authority().or_else(|| request.headers.text(Field::Host))?;
    Some(origin(host.trim()))
}

/// Whether an address is of the user's own machine.
fn is_loopback(url: &str) -> bool {
    host_of_url(url).is_some_and(|host| {
        let host = without_port(host);
        let addr = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || addr.is_ok_and(|addr| addr.is_loopback())
    })
}

/// Whether what is sent to an address crosses a network in clear, or runs as a script of a page.
fn leads_through_clear(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match () {
        () if scheme.eq_ignore_ascii_case("http") => {
            host_of_url(url).is_some_and(|host| !is_loopback(url) && Owner::of(host) != Some(Owner::Own))
        }
        () => scheme.eq_ignore_ascii_case("javascript") || scheme.eq_ignore_ascii_case("data"),
    }
}

/// Whether an endpoint of metadata is no web address, or holds what a shell would run.
fn is_command(url: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    !web && !scheme.is_empty() && url.contains(':') && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
        || ["$(", "`", "%24(", "\"&", "';"].iter().any(|mark| url.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for url in ["http://evil.example/cb", "javascript:alert(1)", "data:text/html,x"] {
            assert!(leads_through_clear(url), "{url}");
        }
        for url in [
            "https://app.example/cb",
            "http://localhost:33418/cb",
            "http://127.0.0.1/",
            "http://[::1]:7/cb",
            "http://10.0.0.5/cb",
            "cursor://anysphere.cursor/cb",
        ] {
            assert!(!leads_through_clear(url), "{url}");
        }
    }

    #[test]
    fn commands() {
        for url in [
            "file:///c:/windows/system32/calc.exe",
            "https://a.example/$(calc)",
            "a:$(x)?response",
        ] {
            assert!(is_command(url), "{url}");
        }
        for url in [
            "https://a.example/authorize?x=1",
            "http://localhost:9/authorize",
            "/authorize",
            "",
        ] {
            assert!(!is_command(url), "{url}");
        }
    }
}
