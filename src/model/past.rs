//! What earlier runs saw: the baseline that drift and behaviour are held against.
//!
//! Read from the store before a run starts. Everything has its moment, and only what lies before the first sight of a
//! thing in this run counts as its past: replaying a capture that the store already knows changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::mcp::Auth;
use crate::model::net::Endpoint;
use crate::model::server::Server;
use crate::model::stamp::Timestamp;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// By [`crate::model::server::Server::id`].
    pub servers: BTreeMap<String, PastServer>,
    /// Ids by where the servers were.
    pub places: BTreeMap<Place, Vec<String>>,
}

/// Where a server was, in part: its id changes when a name is learned or an address moves, and it is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Of a server that nobody called by a name: endpoint and path.
    Nameless(Endpoint, Option<String>),
    /// Of any server: endpoint and path.
    Address(Endpoint, Option<String>),
    /// Host name, port and path.
    Name(String, u16, Option<String>),
}

impl Past {
    /// Adds a place of a server.
    pub fn locate(&mut self, id: &str, endpoint: Endpoint, hostname: Option<&str>, path: Option<&str>) {
        let path = || path.map(str::to_owned);
        let mut places = vec![Place::Address(endpoint, path())];
        places.push(match hostname {
            Some(name) => Place::Name(name.to_owned(), endpoint.port, path()),
            None => Place::Nameless(endpoint, path()),
        });
        for place in places {
            let ids = self.places.entry(place).or_default();
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
        }
    }

    /// What is known of a server: under its id; else under its name, wherever that leads; else at its address, where one
    /// of the two was seen without a name.
    pub fn of(&self, server: &Server) -> Option<&PastServer> {
        let path = || server.path.as_deref().map(str::to_owned);
        let other = || match &server.hostname {
            Some(name) => [
                Place::Name(name.to_string(), server.endpoint.port, path()),
                Place::Nameless(server.endpoint, path()),
            ]
            .iter()
            .find_map(|place| self.places.get(place)),
            None => self.places.get(&Place::Address(server.endpoint, path())),
        };
        self.servers
            .get(&server.id)
            .or_else(|| other()?.first().and_then(|id| self.servers.get(id)))
    }
}

/// One server in earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastServer {
    /// One for each run, in the order of their ends.
    pub states: Vec<PastState>,
    /// Definitions of tools by name, each once for each run, in the order of their ends.
    pub tools: BTreeMap<String, Vec<PastDefinition>>,
}

/// A server as one run left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastState {
    /// First message of that run.
    pub first: Timestamp,
    /// Last message.
    pub last: Timestamp,
    /// `serverInfo.name`.
    pub name: Option<String>,
    /// `serverInfo.version`.
    pub version: Option<String>,
    /// Of the instructions, hex.
    pub instructions_sha256: Option<String>,
    /// Strongest credential on an answered request.
    pub auth: Option<Auth>,
    /// Requests, both directions.
    pub requests: u64,
    /// Client addresses.
    pub clients: BTreeSet<IpAddr>,
}

/// A definition that a tool had in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDefinition {
    /// When it was listed last.
    pub last: Timestamp,
    /// Of the canonical definition, hex.
    pub sha256: String,
    /// Redacted canonical definition; empty where it is not known any more.
    pub definition: Arc<str>,
    /// The newest listing of that run lacked the tool.
    pub gone: bool,
}

impl PastServer {
    /// The state in which it was before a moment.
    pub fn before(&self, moment: Timestamp) -> Option<&PastState> {
        self.states.iter().rfind(|state| state.last < moment)
    }

    /// The definition of a tool before a moment.
    pub fn definition(&self, tool: &str, moment: Timestamp) -> Option<&PastDefinition> {
        self.tools
            .get(tool)?
            .iter()
            .rfind(|definition| definition.last < moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture;

    #[test]
    fn a_server_is_known_again_when_its_name_is_learned_or_its_address_moves() {
        let mut past = Past::default();
        let (five, six) = (
            Endpoint::new([10, 0, 0, 5].into(), 80),
            Endpoint::new([10, 0, 0, 6].into(), 80),
        );
        for (id, endpoint, hostname) in [("nameless", five, None), ("named", six, Some("a.test"))] {
            past.servers.insert(id.to_owned(), PastServer::default());
            past.locate(id, endpoint, hostname, Some("/mcp"));
        }
        past.servers
            .get_mut("nameless")
            .unwrap()
            .tools
            .insert("x".to_owned(), Vec::new());
        let known = |address: &str, hostname: Option<&str>| {
            let mut server = fixture::server("other", address);
            server.hostname = hostname.map(Into::into);
            past.of(&server)
                .map(|found| if found.tools.is_empty() { "named" } else { "nameless" })
        };
        assert_eq!(known("10.0.0.5:80", Some("b.test")), Some("nameless"));
        assert_eq!(known("10.0.0.9:80", Some("a.test")), Some("named"));
        assert_eq!(known("10.0.0.6:80", None), Some("named"));
        assert_eq!(known("10.0.0.6:80", Some("b.test")), None);
        assert_eq!(known("10.0.0.9:80", None), None);
    }
}
