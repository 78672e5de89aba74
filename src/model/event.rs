//! Events: the only type that leaves the program.
//!
//! Every event but [`Event::Message`] is a record in its present state, so that writing one twice is harmless. A message is
//! said once: it is told apart from every other one of its run by [`MessageSeen::order`].
//!
//! [`MessageSeen::order`]: crate::model::message_seen::MessageSeen::order

use std::net::IpAddr;

use crate::model::message_seen::MessageRow;
use crate::model::server::{Capture, Client, Lookup, Reported, Server, Session};

/// A record that changed.
#[derive(Clone, Debug)]
pub enum Event {
    /// State of the capture itself.
    Capture(Box<Capture>),
    /// A client.
    Client(Box<Client>),
    /// A finding.
    Finding(Box<Reported>),
    /// A record of this run that turned out to be part of another: what was written of it does not count.
    Gone(Record),
    /// A name that a signature knows.
    Lookup(Box<Lookup>),
    /// A message.
    Message(Box<MessageRow>),
    /// A server with its tools.
    Server(Box<Server>),
    /// A session.
    Session(Box<Session>),
}

/// A record by its key, of those that may turn out to be part of another.
///
/// A live sensor writes what it knows every few seconds. Two addresses that looked like two servers may become one, and
/// a client without a name gets one: the lesser must go, or it would be counted twice. Sessions and lookups keep their
/// keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// A client.
    Client {
        /// Its address.
        addr: IpAddr,
        /// Name that it gives itself.
        name: Option<String>,
        /// Version that it gives itself.
        version: Option<String>,
    },
    /// A finding, by id.
    Finding(String),
    /// A server, by id.
    Server(String),
}

impl Record {
    /// The record of an event, if it is one that may go.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Client(client) => Some(Self::Client {
                addr: client.addr,
                name: client.name.clone(),
                version: client.version.clone(),
            }),
            Event::Finding(reported) => Some(Self::Finding(reported.id.clone())),
            Event::Server(server) => Some(Self::Server(server.id.clone())),
            Event::Capture(_) | Event::Gone(_) | Event::Lookup(_) | Event::Message(_) | Event::Session(_) => None,
        }
    }
}
