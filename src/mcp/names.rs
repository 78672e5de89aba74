//! What a flow's request heads call the server: of the last one, and of all that carried JSON-RPC.

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;

use crate::mcp::site;
use crate::model::flow::FlowInfo;
use crate::model::mcp::Site;
use crate::model::message::{Field, Message, Request};
use crate::model::net::Direction;

/// Host and path of the last request head, as sent and as kept, so that a keep-alive connection does not make them anew.
#[derive(Debug, Default)]
pub(super) struct Names {
    host: Box<[u8]>,
    hostname: Option<String>,
    target: String,
    template: String,
    /// A `Fact::Http` was given for these names.
    told: bool,
    /// Hash of the last `Authorization`.
    authorization: u64,
    /// What led to the server where no request head names it: a TLS hello, or the relay before it.
    below: Option<String>,
    home: Home,
}

/// Where a flow's JSON-RPC goes.
#[derive(Debug, Default)]
enum Home {
    /// To several places.
    Many,
    /// To one place so far.
    One { hostname: Option<String>, path: String },
    #[default]
    Unknown,
}

impl Names {
    pub(super) fn learn(&mut self, request: &Request) {
        // The authority of an absolute target wins (RFC 9112, section 3.2.2): it names the server behind a proxy.
        let host = request.authority().map(str::as_bytes);
        let host = host.or_else(|| request.headers.get(Field::Host)).unwrap_or_default();
        if *host != *self.host {
            self.host = host.into();
            self.hostname = site::hostname(host);
            self.told = false;
        }
        if request.target != self.target || self.template.is_empty() {
            self.target.clone_from(&request.target);
            self.template = site::template(request.path());
            self.told = false;
        }
    }

    /// Whether a `Fact::Http` was given for these names; from now on it was.
    pub(super) fn told(&mut self) -> bool {
        std::mem::replace(&mut self.told, true)
    }

    /// Whether a request has another `Authorization` than the one before it. One is taken for another once in 2^64.
    pub(super) fn asks_with(&mut self, request: &Request) -> bool {
        let Some(value) = request.headers.get(Field::Authorization) else {
            return false;
        };
        let hash = FixedState::with_seed(0).hash_one(value);
        std::mem::replace(&mut self.authorization, hash) != hash
    }

    /// A layer below the messages names the host.
    pub(super) fn lead(&mut self, host: &str) {
        self.below = Some(host.to_owned());
    }

    /// A body was carried under the last head.
    pub(super) fn settle(&mut self) {
        match &self.home {
            Home::Many => {}
            Home::One { hostname, path } if *hostname == self.hostname && *path == self.template => {}
            Home::One { .. } => self.home = Home::Many,
            Home::Unknown => {
                self.home = Home::One {
                    hostname: self.hostname.clone(),
                    path: self.template.clone(),
                };
            }
        }
    }

    /// The server that a message belongs to. An answer whose request was not captured belongs where all others of its
    /// connection went, when that is one place.
    pub(super) fn site(&self, flow: &FlowInfo, message: &Message<'_>) -> Site<'_> {
        let asked = message.transaction.and_then(|transaction| transaction.request.as_ref());
        let (hostname, path) = match (asked, &self.home) {
            (Some(_), _) => (self.hostname.as_deref(), Some(self.template.as_str())),
            (None, Home::One { hostname, path }) if message.dir == Direction::ToClient => {
                (hostname.as_deref(), Some(path.as_str()))
            }
            _ => (None, None),
        };
        Site {
            endpoint: flow.tuple.server,
            hostname: hostname.or(self.below.as_deref()),
            // A request may name no path: HTTP/2's CONNECT.
            path: path.filter(|path| !path.is_empty()),
        }
    }

    /// The server as the last request head names it.
    pub(super) fn last(&self, flow: &FlowInfo) -> Site<'_> {
        Site {
            endpoint: flow.tuple.server,
            hostname: self.hostname.as_deref().or(self.below.as_deref()),
            path: (!self.template.is_empty()).then_some(self.template.as_str()),
        }
    }
}
