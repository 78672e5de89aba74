//! A message as it is kept: who said what kind of thing to whom and when, and never a value that was in it.
//!
//! [`MessageSeen`] is what a flow knows; [`MessageRow`] is the same with its server, which is known only when the sites
//! were joined. About 150 bytes a message; what the messages of one flow have in common is shared.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::finding::SiteKey;
use crate::model::mcp::{Revision, RpcKind};
use crate::model::net::{Direction, Endpoint, FiveTuple};
use crate::model::stamp::Stamp;

/// What messages of one flow to one site have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// [`crate::model::flow::FlowInfo::id`].
    pub flow_id: u64,
    /// The two ends, by role.
    pub flow: FiveTuple,
    /// Who asks: the client of the flow, or the one that a relay says it speaks for.
    pub client: IpAddr,
    /// Where the messages were addressed, without credentials.
    pub site: SiteKey,
}

/// One message of a flow. Names are kept as everywhere: redacted and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSeen {
    /// Of the packet that carried its first byte.
    pub at: Stamp,
    /// Number within its flow, from 0: tells messages of one packet apart.
    pub number: u32,
    /// Where.
    pub route: Arc<Route>,
    /// Session, as a hash of its id that no server was joined to yet.
    pub session: Option<u64>,
    /// Which way.
    pub dir: Direction,
    /// Request, notification, success or error.
    pub kind: RpcKind,
    /// An error, or a result of a tool that says `isError`.
    pub failed: bool,
    /// Method; of an answer, that of its request where it was seen on the same connection.
    pub method: Option<Arc<str>>,
    /// Tool or prompt, or the scheme of a resource's URI; of an answer, that of its request.
    pub target: Option<Arc<str>>,
    /// Hash of the JSON-RPC id, by which a request and its answer are paired across connections.
    pub rpc_id: Option<u64>,
    /// Protocol revision, as negotiated or as its request head says.
    pub revision: Option<Revision>,
    /// Status of the HTTP response that carried it; `None` for what a client sent.
    pub http_status: Option<u16>,
    /// `error.code`.
    pub error_code: Option<i32>,
    /// Length of its JSON text, as far as it was read.
    pub bytes: u32,
    /// From the first byte of its request to its own, in microseconds; of answers on the same connection.
    pub latency_us: Option<u32>,
}

impl MessageSeen {
    /// What messages are ordered by: (time, source, packet), then number.
    pub fn order(&self) -> (Stamp, u64, u32) {
        (self.at, self.route.flow_id, self.number)
    }
}

/// A message with the server that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// [`crate::model::server::Server::id`], as it is now: a server that is joined with another one later changes its id,
    /// and [`MessageRow::site`] stays.
    pub server_id: Arc<str>,
    /// Id of the site alone: the same text as the id of a server that is just this site. A [`crate::model::server::Server`]
    /// lists the sites that are it.
    pub site: Arc<str>,
    /// Address and port of the server.
    pub server: Endpoint,
    /// Session within its server: the digits of [`crate::model::server::Session::id`].
    pub session: Option<u64>,
    /// The message.
    pub seen: MessageSeen,
}
