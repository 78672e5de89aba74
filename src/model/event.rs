//! Events: the only type that leaves the program.
//!
//! Every event is a record in its present state, so that writing one twice is harmless.

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
    /// A name that a signature knows.
    Lookup(Box<Lookup>),
    /// A server with its tools.
    Server(Box<Server>),
    /// A session.
    Session(Box<Session>),
}
