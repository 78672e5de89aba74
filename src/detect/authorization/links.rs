//! What ties a step of sign-in to an MCP server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::detect::about;
use crate::model::finding::SiteKey;
use crate::model::server::{ServerEvidence, View};
use crate::model::stamp::Timestamp;
use crate::model::trace::{Topic, Trace};

/// A sign-in follows what led to it within this time: a user may have to find a second factor first. Ten minutes.
const FOLLOWS_NANOS: u64 = 600_000_000_000;

/// The ties of a view.
pub(super) struct Links<'v> {
    /// Origins of MCP servers.
    servers: BTreeMap<String, SiteKey>,
    /// Authorization servers that protected resources name, with who was told and when.
    named: BTreeMap<&'v str, Vec<(IpAddr, Timestamp)>>,
    /// Authorization servers whose metadata was read, the same.
    read: BTreeMap<&'v str, Vec<(IpAddr, Timestamp)>>,
    /// Registered clients of authorization servers.
    registered: BTreeMap<&'v str, BTreeSet<u128>>,
}

impl<'v> Links<'v> {
    pub(super) fn of(all: &'v View) -> Self {
        let mut links = Self {
            servers: origins(all),
            named: BTreeMap::new(),
            read: BTreeMap::new(),
            registered: BTreeMap::new(),
        };
        for trace in &all.traces {
            let Some(about) = trace.key.about.as_deref() else {
                continue;
            };
            let told = (trace.key.client, trace.mark.at.time);
            match trace.key.topic {
                Topic::AuthMetadata => links.read.entry(about).or_default().push(told),
                Topic::AuthServer => links.named.entry(about).or_default().push(told),
                Topic::Registered => {
                    links.registered.entry(about).or_default().insert(trace.key.subject);
                }
                _ => {}
            }
        }
        links
    }

    /// The MCP server at an origin.
    pub(super) fn server(&self, origin: &str) -> Option<&SiteKey> {
        self.servers.get(origin)
    }

    /// Whether MCP servers use this authorization server, or are it.
    pub(super) fn serves_mcp(&self, origin: &str) -> bool {
        self.named.contains_key(origin) || self.servers.contains_key(origin)
    }

    /// Whether this client of an authorization server was registered there.
    pub(super) fn is_registered(&self, origin: &str, client: u128) -> bool {
        self.registered.get(origin).is_some_and(|all| all.contains(&client))
    }

    /// How many clients were registered there.
    pub(super) fn registrations(&self, origin: &str) -> usize {
        self.registered.get(origin).map_or(0, BTreeSet::len)
    }

    /// Whether a protected resource told this machine of the authorization server shortly before.
    pub(super) fn was_told(&self, trace: &Trace, origin: &str) -> bool {
        self.named.get(origin).is_some_and(|told| follows(trace, told))
    }

    /// Whether MCP led this machine to the authorization server shortly before.
    pub(super) fn was_led(&self, trace: &Trace, origin: &str) -> bool {
        let read = self.read.get(origin).filter(|_| self.servers.contains_key(origin));
        self.was_told(trace, origin) || read.is_some_and(|told| follows(trace, told))
    }
}

fn follows(trace: &Trace, told: &[(IpAddr, Timestamp)]) -> bool {
    let last = trace.seen.last.time;
    told.iter()
        .any(|(client, at)| *client == trace.key.client && *at <= last && last.since(*at) <= FOLLOWS_NANOS)
}

/// Origins under which MCP servers that were read may be asked.
fn origins(all: &View) -> BTreeMap<String, SiteKey> {
    let mut origins = BTreeMap::new();
    for server in all
        .servers
        .iter()
        .filter(|server| server.evidence == ServerEvidence::Message)
    {
        let (addr, port) = (server.endpoint.addr, server.endpoint.port);
        let host = if addr.is_ipv6() {
            format!("[{addr}]")
        } else {
            addr.to_string()
        };
        let name = server.hostname.as_ref().map(Arc::clone);
        let local = addr.is_loopback().then(|| Arc::from("localhost"));
        for host in [Some(Arc::from(host)), name, local].into_iter().flatten() {
            let with_port = super::origin(&format!("{host}:{port}"));
            for origin in [with_port, host.to_string()] {
                origins.entry(origin).or_insert_with(|| about::site(server));
            }
        }
    }
    origins
}
