//! What is known of one site (address, port, host, path): a record that joins.
//!
//! Every field is a minimum, a maximum, a union or a sum, so that any order and any grouping of the same observations
//! gives the same account. A flow fills a partial account of its own; the inventory joins them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::conduct::Conduct;
use crate::model::mcp::{Auth, McpTransport, Revision};
use crate::model::observation::Offer;
use crate::model::packet::Outer;
use crate::model::server::{Audience, Calls, Encryption, Given, Mark, Messages, Peer};
use crate::model::stamp::{Span, Stamp, Timestamp};
use crate::model::tls::Ja4;

/// A value with the moment it was said at: the earliest counts.
pub(super) type Said<T> = Option<(Stamp, T)>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) seen: Option<Span>,
    /// Transports seen, strongest first by their order.
    pub(super) transports: BTreeSet<McpTransport>,
    /// Strongest around its messages.
    pub(super) encryption: Encryption,
    /// What was around its earliest flow that was within anything.
    pub(super) outer: Said<Outer>,
    /// Bits of [`crate::model::observation::Proof`] without `ECHO`.
    pub(super) proof: u8,
    /// Requests that echoed what only a server gives, and those of them that were refused.
    pub(super) echoed: u64,
    pub(super) refused: u64,
    /// Requests whose reply travels on another connection, accepted with 202.
    pub(super) accepted: u64,
    pub(super) messages: Messages,
    /// Names and versions, with the earliest evidence.
    pub(super) identities: BTreeMap<(String, String), (Span, Mark)>,
    /// By hash, with the earliest evidence.
    pub(super) instructions: BTreeMap<[u8; 32], TextSeen>,
    pub(super) revisions: BTreeSet<Revision>,
    /// Strongest on an answered request.
    pub(super) auth: Option<Auth>,
    /// An answer let pages of any origin read it.
    pub(super) any_origin: bool,
    pub(super) tools: BTreeMap<(String, [u8; 32]), ToolSeen>,
    pub(super) pages: BTreeMap<PageKey, PageSeen>,
    pub(super) offers: BTreeSet<(Offer, u64)>,
    pub(super) peers: BTreeMap<IpAddr, Peer>,
    pub(super) clients: BTreeMap<ClientKey, ClientSeen>,
    pub(super) sessions: BTreeMap<u64, SessionSeen>,
    /// Paths that an `endpoint` event of this site announced.
    pub(super) aliases: BTreeSet<String>,
    /// Tools called, by client and name.
    pub(super) calls: BTreeMap<(IpAddr, String), Calls>,
}

/// Address, name, version.
pub(super) type ClientKey = (IpAddr, Option<String>, Option<String>);

#[derive(Clone, Debug)]
pub(super) struct ToolSeen {
    pub(super) seen: Span,
    pub(super) mark: Mark,
    pub(super) description_sha256: Option<[u8; 32]>,
    /// Redacted canonical definition; empty when the text bound was reached.
    pub(super) definition: Arc<str>,
    /// Who got it.
    pub(super) given: Given,
}

/// Instructions that a server gave.
#[derive(Clone, Debug)]
pub(super) struct TextSeen {
    pub(super) seen: Span,
    pub(super) mark: Mark,
    /// Redacted; empty when the text bound was reached.
    pub(super) text: Arc<str>,
}

/// One page of a listing: who got it, which cursor asked for it, and what was on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PageKey {
    pub(super) audience: Audience,
    pub(super) cursor: Option<u64>,
    pub(super) next: Option<u64>,
    pub(super) names: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct PageSeen {
    pub(super) seen: Span,
    pub(super) mark: Mark,
    /// Who got it.
    pub(super) clients: BTreeSet<IpAddr>,
}

#[derive(Clone, Debug)]
pub(super) struct ClientSeen {
    pub(super) seen: Span,
    /// Earliest.
    pub(super) agent: Said<Agent>,
}

/// What one request and its connection show of the software that a client is: told together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Agent {
    pub(super) user_agent: Option<String>,
    pub(super) ja4: Option<Ja4>,
}

#[derive(Clone, Debug)]
pub(super) struct SessionSeen {
    pub(super) seen: Span,
    /// Earliest.
    pub(super) client: (Stamp, IpAddr),
    pub(super) client_name: Said<String>,
    pub(super) revision: Said<Revision>,
    pub(super) transport: Option<McpTransport>,
    /// `initialize` succeeded in it, or the server accepted its id.
    pub(super) established: bool,
    pub(super) messages: u64,
    pub(super) calls: BTreeMap<String, u64>,
    /// A request without credential for tools, resources or prompts was accepted, to be answered elsewhere.
    pub(super) asked_open: Option<Mark>,
    /// A list or a result was given whose request travelled elsewhere.
    pub(super) disclosed: Option<Mark>,
    /// How its ends behave.
    pub(super) conduct: Conduct,
}

impl Account {
    /// Joins another account of the same site.
    pub(super) fn join(&mut self, other: Self) {
        join_span(&mut self.seen, other.seen);
        self.transports.extend(other.transports);
        self.encryption = self.encryption.max(other.encryption);
        earliest(&mut self.outer, other.outer);
        self.proof |= other.proof;
        self.echoed += other.echoed;
        self.refused += other.refused;
        self.accepted += other.accepted;
        self.messages.requests += other.messages.requests;
        self.messages.responses += other.messages.responses;
        self.messages.errors += other.messages.errors;
        self.messages.notifications += other.messages.notifications;
        merge(&mut self.messages.by_method, other.messages.by_method, |mine, its| {
            *mine += its;
        });
        merge(&mut self.identities, other.identities, |mine, its| {
            mine.0.join(its.0);
            mine.1 = mine.1.min(its.1);
        });
        merge(&mut self.instructions, other.instructions, |mine, its| {
            mine.seen.join(its.seen);
            mine.mark = mine.mark.min(its.mark);
            if mine.text.len() < its.text.len() {
                mine.text = its.text;
            }
        });
        self.revisions.extend(other.revisions);
        self.auth = self.auth.max(other.auth);
        self.any_origin |= other.any_origin;
        merge(&mut self.tools, other.tools, |mine, its| {
            mine.seen.join(its.seen);
            // White space may differ within one definition: the description is that of the earliest evidence.
            if (its.mark, its.description_sha256) < (mine.mark, mine.description_sha256) {
                (mine.mark, mine.description_sha256) = (its.mark, its.description_sha256);
            }
            // One slice may have had room for the text and another not.
            if mine.definition.len() < its.definition.len() {
                mine.definition = its.definition;
            }
            merge(&mut mine.given, its.given, Span::join);
        });
        merge(&mut self.pages, other.pages, |mine, its| {
            mine.seen.join(its.seen);
            mine.mark = mine.mark.min(its.mark);
            mine.clients.extend(its.clients);
        });
        self.offers.extend(other.offers);
        merge(&mut self.peers, other.peers, join_peer);
        merge(&mut self.clients, other.clients, |mine, its| {
            mine.seen.join(its.seen);
            earliest(&mut mine.agent, its.agent);
        });
        merge(&mut self.sessions, other.sessions, SessionSeen::join);
        self.aliases.extend(other.aliases);
        merge(&mut self.calls, other.calls, |mine, its| {
            mine.count += its.count;
            mine.seen.join(its.seen);
            mine.mark = mine.mark.min(its.mark);
            mine.served = first_of(mine.served, its.served);
        });
    }

    /// Forgets what was not seen since, and tells whether anything is left. Proof, revisions, credentials and what has no
    /// time of its own stay as long as the site does; methods that are nobody's standard go, because senders make them up.
    pub(super) fn forget(&mut self, before: Timestamp) -> bool {
        let recent = |seen: &Span| seen.last.time >= before;
        if !self.seen.as_ref().is_some_and(recent) {
            return false;
        }
        let known = self.messages.by_method.len();
        if known > METHODS_KEPT {
            self.messages
                .by_method
                .retain(|name, _| crate::mcp::method::find(name).is_some());
        }
        self.identities.retain(|_, (seen, _)| recent(seen));
        self.instructions.retain(|_, text| recent(&text.seen));
        self.tools.retain(|_, tool| {
            tool.given.retain(|_, seen| recent(seen));
            recent(&tool.seen)
        });
        self.pages.retain(|_, page| recent(&page.seen));
        self.peers.retain(|_, peer| recent(&peer.seen));
        self.clients.retain(|_, client| recent(&client.seen));
        self.sessions.retain(|_, session| recent(&session.seen));
        self.calls.retain(|_, calls| recent(&calls.seen));
        if self.offers.len() > OFFERS_KEPT {
            self.offers.clear();
        }
        if self.aliases.len() > OFFERS_KEPT {
            self.aliases.clear();
        }
        true
    }
}

/// Methods of a site beyond which forgetting drops those that no specification knows.
const METHODS_KEPT: usize = 128;

/// Resources and prompts, and announced paths, of a site beyond which forgetting begins them anew.
const OFFERS_KEPT: usize = 4_096;

impl SessionSeen {
    pub(super) fn new(at: Stamp, client: IpAddr) -> Self {
        Self {
            seen: Span::at(at),
            client: (at, client),
            client_name: None,
            revision: None,
            transport: None,
            established: false,
            messages: 0,
            calls: BTreeMap::new(),
            asked_open: None,
            disclosed: None,
            conduct: Conduct::default(),
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.seen.join(other.seen);
        self.client = self.client.min(other.client);
        earliest(&mut self.client_name, other.client_name);
        earliest(&mut self.revision, other.revision);
        self.transport = first_of(self.transport, other.transport);
        self.established |= other.established;
        self.messages += other.messages;
        merge(&mut self.calls, other.calls, |mine, its| *mine += its);
        self.asked_open = first_of(self.asked_open, other.asked_open);
        self.disclosed = first_of(self.disclosed, other.disclosed);
        self.conduct.join(other.conduct);
    }
}

fn join_peer(mine: &mut Peer, its: Peer) {
    mine.seen.join(its.seen);
    mine.began = mine.began.min(its.began);
    mine.answered = first_of(mine.answered, its.answered);
    mine.open = first_of(mine.open, its.open);
    mine.cleartext = first_of(mine.cleartext, its.cleartext);
    mine.credential = first_of(mine.credential, its.credential);
}

/// The lesser of two that are there.
pub(super) fn first_of<T: Ord>(one: Option<T>, two: Option<T>) -> Option<T> {
    match (one, two) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

pub(super) fn join_span(mine: &mut Option<Span>, its: Option<Span>) {
    match (mine.as_mut(), its) {
        (Some(mine), Some(its)) => mine.join(its),
        (None, its) => *mine = its,
        (Some(_), None) => {}
    }
}

/// Keeps what was said first; ties by value.
pub(super) fn earliest<T: Ord>(mine: &mut Said<T>, its: Said<T>) {
    *mine = first_of(mine.take(), its);
}

/// Union of two maps; what both have is joined.
pub(super) fn merge<K: Ord, V>(mine: &mut BTreeMap<K, V>, its: BTreeMap<K, V>, mut join: impl FnMut(&mut V, V)) {
    if mine.is_empty() {
        *mine = its;
        return;
    }
    for (key, value) in its {
        match mine.entry(key) {
            std::collections::btree_map::Entry::Occupied(mut slot) => join(slot.get_mut(), value),
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(value);
            }
        }
    }
}
