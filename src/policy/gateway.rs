//! `[[gateway]]` and `[[backend]]`: what is to be reached through a gateway, and where a server may hand tokens on to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::server::Server;
use crate::policy::criteria::{Pattern, Servers, list};
use crate::policy::network::contains;

/// One `[[gateway]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) rule: Arc<str>,
    /// Where it asks from, and where it is asked.
    pub(super) addresses: Vec<IpNet>,
    pub(super) reaches: Vec<Servers>,
    /// Clients that may go around it.
    pub(super) except: Vec<IpNet>,
}

/// One `[[backend]]`: hosts that a server may call with the token that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) rule: Arc<str>,
    pub(super) servers: Servers,
    pub(super) names: Vec<Pattern>,
    pub(super) networks: Vec<IpNet>,
}

impl Gateway {
    /// Whether a server is to be reached through it.
    pub(super) fn guards(&self, server: &Server) -> bool {
        !contains(&self.addresses, server.endpoint.addr) && self.reaches.iter().any(|servers| servers.matches(server))
    }

    /// Whether a client may reach such a server directly: the gateway itself, the server's own host, or who is excepted.
    pub(super) fn passes(&self, server: &Server, client: IpAddr) -> bool {
        client == server.endpoint.addr || contains(&self.addresses, client) || contains(&self.except, client)
    }
}

impl Backend {
    /// `host` is a name in lower case, or an address.
    pub(super) fn holds(&self, server: &Server, host: &str) -> bool {
        let addr = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let known = match addr {
            Ok(addr) => contains(&self.networks, addr),
            Err(_) => self.names.iter().any(|name| name.matches(host)),
        };
        known && self.servers.matches(server)
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reaches = self.reaches.iter().map(|servers| servers.words().join(", "));
        write!(
            f,
            "{} [at {}; reaches {}",
            self.rule,
            list(&self.addresses),
            reaches.collect::<Vec<_>>().join(" or ")
        )?;
        if !self.except.is_empty() {
            write!(f, "; except {}", list(&self.except))?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(ToString::to_string);
        let hosts: Vec<String> = names.chain(self.networks.iter().map(ToString::to_string)).collect();
        let mut words = self.servers.words();
        words.push(format!("hosts {}", hosts.join(", ")));
        write!(f, "{} [{}]", self.rule, words.join("; "))
    }
}
