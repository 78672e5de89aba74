//! What earlier runs saw: the baseline that drift and behaviour are held against.
//!
//! Read from the store before a run starts. Everything has its moment, and only what lies before the first sight of a
//! thing in this run counts as its past: replaying a capture that the store already knows changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::mcp::Auth;
use crate::model::stamp::Timestamp;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// By [`crate::model::server::Server::id`].
    pub servers: BTreeMap<String, PastServer>,
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
