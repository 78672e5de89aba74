//! Which servers and which clients a section of the policy is about.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::server::{Encryption, Server, ServerEvidence};
use crate::policy::network::contains;

/// Servers: all criteria that are given must match. What a record does not know matches no criterion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) address: Option<IpNet>,
    pub(super) port: Option<u16>,
    pub(super) hostname: Option<Pattern>,
    /// A name that a TLS or QUIC hello carried: a `Host` header or a DNS answer does not count.
    pub(super) sni: Option<Pattern>,
    pub(super) path: Option<Pattern>,
    pub(super) server_name: Option<String>,
}

/// Clients: networks of the section itself and of the groups that it names, under the names that it gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    pub(super) networks: Vec<IpNet>,
    pub(super) groups: Vec<Arc<str>>,
}

/// A word with at most one wildcard at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Equal.
    Exact(String),
    /// `/mcp*`: begins with it.
    Prefix(String),
    /// `*.example.test`, `*_read`: at least one more character before it.
    Suffix(String),
}

impl Servers {
    pub(super) fn matches(&self, server: &Server) -> bool {
        let hostname = || server.hostname.as_deref().map(str::to_ascii_lowercase);
        let named = |pattern: &Pattern| hostname().is_some_and(|name| pattern.matches(&name));
        given(&self.address, |network| {
            contains(std::slice::from_ref(network), server.endpoint.addr)
        }) && given(&self.port, |port| *port == server.endpoint.port)
            && given(&self.hostname, named)
            && given(&self.sni, |pattern| said_in_hello(server) && named(pattern))
            && given(&self.path, |pattern| {
                server.path.as_deref().is_some_and(|path| pattern.matches(path))
            })
            && given(&self.server_name, |name| server.server_name.as_ref() == Some(name))
    }

    /// The name by which a connection may be covered before anything else of its server is known.
    pub(super) fn covers_name(&self, name: &str) -> bool {
        let patterns = [&self.hostname, &self.sni];
        let mut named = patterns.into_iter().flatten().peekable();
        named.peek().is_some() && named.all(|pattern| pattern.matches(name))
    }

    pub(super) const fn is_any(&self) -> bool {
        self.address.is_none()
            && self.port.is_none()
            && self.hostname.is_none()
            && self.sni.is_none()
            && self.path.is_none()
            && self.server_name.is_none()
    }

    /// The criteria in words.
    pub(super) fn words(&self) -> Vec<String> {
        [
            self.address.map(|network| format!("address {network}")),
            self.port.map(|port| format!("port {port}")),
            self.hostname.as_ref().map(|pattern| format!("hostname {pattern}")),
            self.sni.as_ref().map(|pattern| format!("sni {pattern}")),
            self.path.as_ref().map(|pattern| format!("path {pattern}")),
            self.server_name.as_ref().map(|name| format!("server_name {name:?}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether the name of a server was in a hello: it is encrypted, and the name is not one that DNS alone gave.
const fn said_in_hello(server: &Server) -> bool {
    !matches!(server.encryption, Encryption::None) && !matches!(server.evidence, ServerEvidence::Dns)
}

impl Clients {
    /// Whether the section says nothing about clients.
    pub(super) const fn is_any(&self) -> bool {
        self.networks.is_empty()
    }

    pub(super) fn holds(&self, client: IpAddr) -> bool {
        self.is_any() || contains(&self.networks, client)
    }

    /// The criterion in words, if there is one.
    pub(super) fn words(&self) -> Option<String> {
        if !self.groups.is_empty() {
            return Some(format!("groups {}", self.groups.join(", ")));
        }
        (!self.is_any()).then(|| format!("clients {}", list(&self.networks)))
    }
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.len() > suffix.len() && text.ends_with(suffix.as_str()),
        }
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

/// A criterion that is not given holds.
pub(super) fn given<T>(criterion: &Option<T>, matches: impl FnOnce(&T) -> bool) -> bool {
    criterion.as_ref().is_none_or(matches)
}

pub(super) fn list(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
