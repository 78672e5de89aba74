//! What the organisation wants: its home networks, and the servers it approves.
//!
//! A [`Policy`] is made from the text of a policy file by [`Policy::parse`] (`file.rs`) and never changes. Judging is a
//! pure function of a record and of packet time, so that the same capture gives the same verdict at any time of day.
//! Opens no file (`config` does) and knows no finding: what a verdict silences is the detectors' business.

mod file;
mod network;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::model::server::{Server, Tool};
use crate::model::stamp::Timestamp;
use crate::policy::network::contains;

/// The section `[policy]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Policy file; a relative path starts at the configuration's folder. Without it, `policy.toml` in that folder.
    pub path: Option<PathBuf>,
}

/// What the policy says about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one approval in force covers it; what any of them allows is allowed.
    Approved {
        /// The first that does: `approve #2: platform team — weather for the chat bot`.
        rule: Arc<str>,
        /// It may be reached by other machines (`expose = true`).
        expose: bool,
        /// It needs no credentials (`auth = "none"`).
        unauthenticated_ok: bool,
        /// It may speak in clear (`cleartext = true`).
        cleartext_ok: bool,
    },
    /// Only approvals that have run out cover it.
    Expired {
        /// The one that ran out last.
        rule: Arc<str>,
        /// The first moment at which it counted no longer.
        when: Timestamp,
    },
    /// No approval covers it.
    Unapproved,
}

/// Home networks and approvals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    home: Vec<IpNet>,
    approvals: Vec<Approval>,
}

/// One `[[approve]]`: all criteria that are given must match, and at least one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Approval {
    rule: Arc<str>,
    address: Option<IpNet>,
    port: Option<u16>,
    hostname: Option<Pattern>,
    path: Option<Pattern>,
    server_name: Option<String>,
    tools_sha256: Option<[u8; 32]>,
    clients: Option<Vec<IpNet>>,
    /// The first moment at which it counts no longer.
    until: Option<Timestamp>,
    expose: bool,
    unauthenticated_ok: bool,
    cleartext_ok: bool,
}

/// A word with at most one wildcard at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Equal.
    Exact(String),
    /// `/mcp*`: begins with it.
    Prefix(String),
    /// `*.example.test`: at least one more label before this suffix, which starts with a dot.
    Suffix(String),
}

impl Default for Policy {
    /// What is in force without a policy file: the private networks are home, and nothing is approved.
    fn default() -> Self {
        Self {
            home: network::private(),
            approvals: Vec::new(),
        }
    }
}

impl Policy {
    /// Judges a server at a moment of packet time (the view's last stamp).
    pub fn judge(&self, server: &Server, now: Timestamp) -> Verdict {
        let hostname = server.hostname.as_deref().map(str::to_ascii_lowercase);
        let covering: Vec<&Approval> = self
            .approvals
            .iter()
            .filter(|approval| approval.covers(server, hostname.as_deref()))
            .collect();
        let in_force = || covering.iter().filter(|approval| approval.counts_at(now));
        if let Some(first) = in_force().next() {
            return Verdict::Approved {
                rule: Arc::clone(&first.rule),
                expose: in_force().any(|approval| approval.expose),
                unauthenticated_ok: in_force().any(|approval| approval.unauthenticated_ok),
                cleartext_ok: in_force().any(|approval| approval.cleartext_ok),
            };
        }
        covering
            .iter()
            .filter_map(|approval| Some((approval, approval.until?)))
            .max_by_key(|(_, until)| *until)
            .map_or(Verdict::Unapproved, |(latest, when)| Verdict::Expired {
                rule: Arc::clone(&latest.rule),
                when,
            })
    }

    /// Whether an approval in force names this host, so that `client` may look it up and connect to it. What a name
    /// alone cannot show (port, path, tools) is not asked for.
    pub fn covers_name(&self, name: &str, client: IpAddr, now: Timestamp) -> bool {
        let name = name.to_ascii_lowercase();
        self.approvals.iter().any(|approval| {
            approval.counts_at(now)
                && approval.hostname.as_ref().is_some_and(|pattern| pattern.matches(&name))
                && approval
                    .clients
                    .as_ref()
                    .is_none_or(|networks| contains(networks, client))
        })
    }

    /// Whether an address lies in the home networks.
    pub fn is_home(&self, addr: IpAddr) -> bool {
        contains(&self.home, addr)
    }
}

impl Approval {
    /// `hostname` is the server's in lower case.
    fn covers(&self, server: &Server, hostname: Option<&str>) -> bool {
        given(&self.address, |network| {
            contains(std::slice::from_ref(network), server.endpoint.addr)
        }) && given(&self.port, |port| *port == server.endpoint.port)
            && given(&self.hostname, |pattern| {
                hostname.is_some_and(|name| pattern.matches(name))
            })
            && given(&self.path, |pattern| {
                server.path.as_deref().is_some_and(|path| pattern.matches(path))
            })
            && given(&self.server_name, |name| server.server_name.as_ref() == Some(name))
            && given(&self.tools_sha256, |hash| tools_sha256(&server.tools) == Some(*hash))
            && given(&self.clients, |networks| {
                // A server whose clients are unknown is not one that only these clients use.
                !server.clients.is_empty() && server.clients.iter().all(|client| contains(networks, *client))
            })
    }

    fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A criterion that is not given holds.
fn given<T>(criterion: &Option<T>, matches: impl FnOnce(&T) -> bool) -> bool {
    criterion.as_ref().is_none_or(matches)
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.len() > suffix.len() && text.ends_with(suffix.as_str()),
        }
    }
}

/// SHA-256 over the raw SHA-256 hashes (32 bytes each, ascending, without repeats) of the tools that the newest listing
/// holds. Neither the order of the listing nor a tool that is gone changes it. `None` without tools: an empty list says
/// nothing about a server.
pub fn tools_sha256(tools: &[Tool]) -> Option<[u8; 32]> {
    let mut hashes: Vec<&[u8; 32]> = tools
        .iter()
        .filter(|tool| !tool.gone)
        .map(|tool| &tool.sha256)
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return None;
    }
    let mut sum = Sha256::new();
    hashes.iter().for_each(|hash| sum.update(hash));
    Some(sum.finalize().into())
}

/// What is in force, one line each.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "home: {}", list(&self.home))?;
        if self.approvals.is_empty() {
            write!(f, "\nnothing is approved")?;
        }
        self.approvals.iter().try_for_each(|approval| write!(f, "\n{approval}"))
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let criteria = [
            self.address.map(|network| format!("address {network}")),
            self.port.map(|port| format!("port {port}")),
            self.hostname.as_ref().map(|pattern| format!("hostname {pattern}")),
            self.path.as_ref().map(|pattern| format!("path {pattern}")),
            self.server_name.as_ref().map(|name| format!("server_name {name:?}")),
            self.tools_sha256.map(|hash| format!("tools_sha256 {}", hex(&hash))),
            self.clients
                .as_ref()
                .map(|networks| format!("clients {}", list(networks))),
            self.until.map(|until| format!("until {until}")),
            self.expose.then(|| "may be exposed".to_owned()),
            self.unauthenticated_ok.then(|| "without credentials".to_owned()),
            self.cleartext_ok.then(|| "in clear".to_owned()),
        ];
        let criteria: Vec<String> = criteria.into_iter().flatten().collect();
        write!(f, "{} [{}]", self.rule, criteria.join("; "))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Suffix(text) => write!(f, "*{text}"),
        }
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
