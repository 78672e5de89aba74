//! Messages as one flow shows them: a row each, for the store.
//!
//! Cost per message: two look-ups among the few names of its flow; allocates for a name that the flow had not shown.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::Tally;
use crate::inventory::kept::Kept;
use crate::mcp::jsonrpc;
use crate::mcp::site::without_secrets;
use crate::model::finding::SiteKey;
use crate::model::mcp::{Revision, RpcKind};
use crate::model::message::Field;
use crate::model::message_seen::{MessageSeen, Route};
use crate::model::net::Direction;
use crate::model::observation::{Mcp, Observation};

/// Names, and routes, of one flow that are remembered.
const KNOWN_MAX: usize = 64;

/// Messages that one flow holds before it must hand them over; more come only out of one packet.
const ROWS_MAX: usize = 8_192;

/// The messages of one flow since they were taken last, and what the next ones may share with them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    rows: Vec<MessageSeen>,
    /// Of the next message.
    number: u32,
    routes: Vec<Arc<Route>>,
    /// As sent, and as kept.
    names: Vec<(Box<str>, Arc<str>)>,
    /// On a transport without heads, what was negotiated.
    revision: Option<Revision>,
    /// Messages left out at the bound.
    shed: u64,
}

impl Tally {
    /// Keeps a row of an observed message.
    pub fn note_message(&mut self, seen: &Observation<'_>, mcp: &Mcp<'_>, redact: &dyn Fn(&str) -> String) {
        let Some(rpc) = &mcp.rpc else { return };
        let client = self.behind.unwrap_or(seen.flow.tuple.client.addr);
        let notes = self.notes.get_or_insert_default();
        let number = notes.number;
        notes.number = number.saturating_add(1);
        if notes.rows.len() >= ROWS_MAX {
            notes.shed = notes.shed.saturating_add(1);
            return;
        }
        let call = mcp.call.as_ref();
        let method = match rpc.kind {
            RpcKind::Notification | RpcKind::Request => Some(rpc.method),
            RpcKind::Error | RpcKind::Success => call.map(|call| call.method),
        };
        let asked = mcp.name.as_deref().or(mcp.scheme);
        let target = asked.or_else(|| call.and_then(|call| call.name.or(call.scheme)));
        let row = MessageSeen {
            at: seen.at,
            number,
            route: notes.route(seen, mcp, client, redact),
            session: mcp.session,
            dir: mcp.dir,
            kind: rpc.kind,
            failed: rpc.kind == RpcKind::Error || (rpc.kind == RpcKind::Success && !mcp.success),
            method: method.map(|name| notes.name(name, &mut self.kept, redact)),
            target: target.map(|name| notes.name(name, &mut self.kept, redact)),
            rpc_id: rpc.id.map(|id| FixedState::with_seed(0).hash_one(id)),
            revision: notes.revision(mcp),
            http_status: status(mcp),
            error_code: rpc.error.and_then(jsonrpc::error_code),
            bytes: rpc.bytes,
            latency_us: call.map(|call| micros(seen.at.time.since(call.at.time))),
        };
        notes.rows.push(row);
    }

    /// The messages since the last call are appended to `rows`; gives the number of those that were left out.
    pub fn take_messages(&mut self, rows: &mut Vec<MessageSeen>) -> u64 {
        let Some(notes) = &mut self.notes else { return 0 };
        rows.append(&mut notes.rows);
        std::mem::take(&mut notes.shed)
    }
}

impl Notes {
    fn route(
        &mut self,
        seen: &Observation<'_>,
        mcp: &Mcp<'_>,
        client: IpAddr,
        redact: &dyn Fn(&str) -> String,
    ) -> Arc<Route> {
        let hostname = mcp.site.hostname.map(|name| without_secrets(name, '.', redact));
        let path = mcp.site.path.map(|path| without_secrets(path, '/', redact));
        let same = |route: &&Arc<Route>| {
            route.client == client
                && route.flow == seen.flow.tuple
                && route.site.hostname.as_deref() == hostname.as_deref()
                && route.site.path.as_deref() == path.as_deref()
        };
        if let Some(known) = self.routes.iter().find(same) {
            return Arc::clone(known);
        }
        let route = Arc::new(Route {
            flow_id: seen.flow.id,
            flow: seen.flow.tuple,
            client,
            site: SiteKey {
                endpoint: mcp.site.endpoint,
                hostname: hostname.map(Arc::from),
                path: path.map(Arc::from),
            },
        });
        remember(&mut self.routes, Arc::clone(&route));
        route
    }

    /// The one copy of a name.
    fn name(&mut self, raw: &str, kept: &mut Kept, redact: &dyn Fn(&str) -> String) -> Arc<str> {
        if let Some((_, name)) = self.names.iter().find(|(known, _)| **known == *raw) {
            return Arc::clone(name);
        }
        let name: Arc<str> = kept.text(raw, redact).into();
        remember(&mut self.names, (raw.into(), Arc::clone(&name)));
        name
    }

    fn revision(&mut self, mcp: &Mcp<'_>) -> Option<Revision> {
        let told = mcp.revision.or_else(|| mcp.call.and_then(|call| call.revision));
        let Some(transaction) = mcp.transaction else {
            self.revision = told.or(self.revision);
            return self.revision;
        };
        let head = transaction.request.as_ref().map(|request| &request.headers);
        let head = head.and_then(|headers| headers.text(Field::McpProtocolVersion));
        told.or_else(|| head.and_then(|value| Revision::parse(value.trim())))
    }
}

/// Adds to what a flow remembers; beyond the bound it begins anew.
fn remember<T>(known: &mut Vec<T>, new: T) {
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.push(new);
}

fn status(mcp: &Mcp<'_>) -> Option<u16> {
    let response = mcp.transaction.and_then(|transaction| transaction.response.as_ref());
    response
        .filter(|_| mcp.dir == Direction::ToClient)
        .map(|response| response.status)
}

fn micros(nanos: u64) -> u32 {
    u32::try_from(nanos / 1_000).unwrap_or(u32::MAX)
}
