//! What one flow adds to the inventory: partial accounts, findings and lookups, joined in one go.
//!
//! The inventory is touched when a flow ends or its tally has grown, never per packet. A partial account joins to the
//! same result however the flow's observations are cut into tallies.

mod messages;
mod tools;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use self::messages::Notes;
use self::tools::called;
use crate::inventory::account::{Account, Agent, ClientSeen, Said, SessionSeen, TextSeen, earliest, first_of};
use crate::inventory::conduct;
use crate::inventory::kept::{Kept, clip};
use crate::inventory::merge::{join_finding, join_lookup};
use crate::inventory::names::Heard;
use crate::mcp::method;
use crate::mcp::site::without_secrets;
use crate::model::finding::{Finding, FindingKey, SiteKey};
use crate::model::mcp::{Auth, McpTransport, RpcKind, Site};
use crate::model::message::Field;
use crate::model::net::{Direction, Scope};
use crate::model::observation::{Fact, Implementation, Mcp, Observation, Proof, ToolDef};
use crate::model::packet::Outer;
use crate::model::server::{Encryption, Lookup, Mark, Peer};
use crate::model::stamp::{Span, Stamp, Timestamp};
use crate::model::suspect::Suspect;
use crate::model::tls::Ja4;
use crate::model::trace::{Trace, TraceKey};

/// Messages after which a flow that goes on hands its tally over.
pub const FLUSH_MESSAGES: u32 = 256;

/// Findings, lookups, or traces, after which a flow hands its tally over.
pub const FLUSH_FINDINGS: usize = 256;

/// DNS answers after which a flow hands its tally over: a forwarder asks on one flow all day.
pub const FLUSH_HEARD: usize = 64;

/// Longest tool definition that is kept, in bytes.
pub const DEFINITION_MAX_BYTES: usize = 65_536;

/// Key of a lookup.
pub type LookupKey = (String, &'static str, IpAddr, Option<String>, Arc<str>);

/// What one flow has shown since it was last handed over.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) accounts: Vec<(SiteKey, Account)>,
    pub(super) findings: BTreeMap<FindingKey, Finding>,
    pub(super) lookups: BTreeMap<LookupKey, Lookup>,
    /// About names, in the order in which it was seen.
    pub(super) heard: Vec<Heard>,
    pub(super) suspects: Vec<Suspect>,
    pub(super) traces: BTreeMap<TraceKey, Trace>,
    /// Of the flow's ClientHello.
    ja4: Option<Ja4>,
    /// What was around the flow, and since when.
    outer: Said<Outer>,
    /// Who asked by encrypted DNS, and when; told once a flow.
    pub(super) encrypted_dns: Option<(IpAddr, Timestamp)>,
    pub(super) told_dns: bool,
    messages: u32,
    kept: Kept,
    /// Rows of messages, where they are kept.
    notes: Option<Box<Notes>>,
    /// Who really asks, where a relay in front of the server says so. Said by the sender, and proven by nothing.
    behind: Option<IpAddr>,
}

/// How texts become what may be kept.
#[derive(Clone, Copy)]
pub struct Redact<'a> {
    /// Replaces credentials and personal data.
    pub text: &'a dyn Fn(&str) -> String,
    /// The kept form of a tool definition that was redacted before, by the hash of the definition: lists are repeated
    /// by every client, and looking through them is dear.
    pub definition: &'a dyn Fn(&[u8; 32]) -> Option<Arc<str>>,
}

/// How names and texts of one flow become what may be kept.
struct Erase<'a> {
    kept: &'a mut Kept,
    redact: Redact<'a>,
}

impl Erase<'_> {
    fn name(&mut self, raw: &str) -> String {
        self.kept.text(raw, self.redact.text)
    }

    fn definition(&self, tool: &ToolDef<'_>) -> Arc<str> {
        self.kept_text(&tool.sha256, &tool.canonical)
    }

    /// The kept form of a text of this hash.
    fn kept_text(&self, sha256: &[u8; 32], text: &str) -> Arc<str> {
        let known = (self.redact.definition)(sha256);
        known.unwrap_or_else(|| clip(&(self.redact.text)(text), DEFINITION_MAX_BYTES).into())
    }
}

impl Tally {
    /// Empty, of a flow that was within something from its first packet on.
    pub fn within(outer: Option<(Stamp, Outer)>) -> Self {
        Self {
            outer,
            ..Self::default()
        }
    }

    /// Whether it is time to hand it over although the flow goes on.
    pub fn is_full(&self) -> bool {
        self.messages >= FLUSH_MESSAGES
            || self.findings.len() >= FLUSH_FINDINGS
            || self.lookups.len() >= FLUSH_FINDINGS
            || self.heard.len() >= FLUSH_HEARD
            || self.suspects.len() >= FLUSH_HEARD
            || self.traces.len() >= FLUSH_FINDINGS
    }

    /// Whether there is anything to hand over.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.findings.is_empty()
            && self.lookups.is_empty()
            && self.heard.is_empty()
            && self.suspects.is_empty()
            && self.traces.is_empty()
            && self.encrypted_dns.is_none()
    }

    pub(super) fn restart(&mut self) {
        self.messages = 0;
    }

    /// A relay says that it asks for this client: what follows is the client's.
    pub fn asked_by(&mut self, client: IpAddr) {
        self.behind = Some(client);
    }

    /// Adds an observation.
    pub fn learn(&mut self, seen: &Observation<'_>, redact: Redact<'_>) {
        let mcp = match seen.fact {
            Fact::Mcp(mcp) => mcp,
            Fact::Tls(tls) => {
                self.ja4 = self.ja4.or(tls.ja4);
                return;
            }
            _ => return,
        };
        self.messages = self.messages.saturating_add(1);
        let client = self.behind.unwrap_or(seen.flow.tuple.client.addr);
        let account = account(&mut self.accounts, &mcp.site, redact.text);
        earliest(&mut account.outer, self.outer);
        let erase = &mut Erase {
            kept: &mut self.kept,
            redact,
        };
        account.note(seen, mcp, erase);
        account.note_peer(seen, mcp, (client, self.ja4), erase);
        account.note_session(seen, mcp, client, erase);
        account.note_call(seen, mcp, client, erase);
        if let Some(listing) = &mcp.listing {
            account.note_listing(seen, mcp, (listing, client), erase);
        }
    }

    /// Adds an endpoint that a name made suspicious, or more of what its flow shows.
    pub fn suspect(&mut self, suspect: Suspect) {
        let same = |known: &&mut Suspect| known.endpoint == suspect.endpoint && known.name == suspect.name;
        match self.suspects.iter_mut().find(same) {
            Some(known) => known.join(suspect),
            None => self.suspects.push(suspect),
        }
    }

    /// Adds a finding: a repeat is counted.
    pub fn add(&mut self, mut finding: Finding) {
        if let (Some(behind), Some(client)) = (self.behind, &mut finding.key.client) {
            *client = behind;
        }
        join_finding(&mut self.findings, finding);
    }

    /// Leaves a trace: a repeat is counted.
    pub fn leave(&mut self, mut trace: Trace) {
        trace.key.client = self.behind.unwrap_or(trace.key.client);
        match self.traces.get_mut(&trace.key) {
            Some(known) => known.join(&trace),
            None => {
                self.traces.insert(trace.key.clone(), trace);
            }
        }
    }

    /// Adds a lookup: a repeat is counted.
    pub fn look_up(&mut self, lookup: Lookup) {
        let key = (
            lookup.name.clone(),
            lookup.via,
            lookup.client,
            lookup.kind.clone(),
            lookup.signature.clone(),
        );
        match self.lookups.get_mut(&key) {
            Some(known) => join_lookup(known, &lookup),
            None => {
                self.lookups.insert(key, lookup);
            }
        }
    }
}

/// The partial account of a site; a flow has one or a few.
fn account<'a>(
    accounts: &'a mut Vec<(SiteKey, Account)>,
    site: &Site<'_>,
    redact: &dyn Fn(&str) -> String,
) -> &'a mut Account {
    let find = |accounts: &[(SiteKey, Account)], hostname: Option<&str>, path: Option<&str>| {
        accounts.iter().position(|(key, _)| {
            key.endpoint == site.endpoint && key.hostname.as_deref() == hostname && key.path.as_deref() == path
        })
    };
    let at = find(accounts, site.hostname, site.path).unwrap_or_else(|| {
        let hostname = site.hostname.map(|name| without_secrets(name, '.', redact));
        let path = site.path.map(|path| without_secrets(path, '/', redact));
        find(accounts, hostname.as_deref(), path.as_deref()).unwrap_or_else(|| {
            let key = SiteKey {
                endpoint: site.endpoint,
                hostname: hostname.map(Arc::from),
                path: path.map(Arc::from),
            };
            accounts.push((key, Account::default()));
            accounts.len() - 1
        })
    });
    &mut accounts[at].1
}

impl Account {
    /// Counts, identity, proof.
    fn note(&mut self, seen: &Observation<'_>, mcp: &Mcp<'_>, erase: &mut Erase<'_>) {
        crate::inventory::account::join_span(&mut self.seen, Some(Span::at(seen.at)));
        self.transports.extend(mcp.transport);
        self.encryption = self.encryption.max(seen.flow.encryption);
        self.proof |= mcp.proof.0 & !Proof::ECHO;
        match &mcp.rpc {
            None => {
                self.accepted += u64::from(mcp.success && mcp.transport == Some(McpTransport::HttpSse));
                self.refused += u64::from(mcp.proof.has(Proof::ECHO) && !mcp.success);
            }
            Some(rpc) => {
                self.echoed += u64::from(mcp.proof.has(Proof::ECHO));
                let counts = &mut self.messages;
                match rpc.kind {
                    RpcKind::Error => (counts.errors, counts.responses) = (counts.errors + 1, counts.responses + 1),
                    RpcKind::Notification => counts.notifications += 1,
                    RpcKind::Request => counts.requests += 1,
                    RpcKind::Success => counts.responses += 1,
                }
                if matches!(rpc.kind, RpcKind::Notification | RpcKind::Request) {
                    match counts.by_method.get_mut(rpc.method) {
                        Some(count) => *count += 1,
                        None => {
                            *counts.by_method.entry(erase.name(rpc.method)).or_insert(0) += 1;
                        }
                    }
                }
            }
        }
        if mcp.dir == Direction::ToClient {
            self.auth = self.auth.max(answered_auth(mcp));
            self.any_origin |= mcp.success && lets_any_origin(mcp);
        }
        if let Some(Implementation { name, version }) = &mcp.server {
            let (span, mark) = (Span::at(seen.at), mark(seen, mcp));
            let name = (erase.name(name), erase.name(version));
            let known = self.identities.entry(name).or_insert((span, mark));
            known.0.join(span);
            known.1 = known.1.min(mark);
        }
        if let Some(text) = &mcp.instructions {
            use sha2::Digest as _;
            let (span, mark) = (Span::at(seen.at), mark(seen, mcp));
            let hash: [u8; 32] = sha2::Sha256::digest(text.as_bytes()).into();
            let known = self.instructions.entry(hash).or_insert_with(|| TextSeen {
                seen: span,
                mark,
                text: erase.kept_text(&hash, text),
            });
            known.seen.join(span);
            known.mark = known.mark.min(mark);
        }
        self.revisions.extend(mcp.revision);
        self.offers.extend(mcp.offers.iter().copied());
        self.aliases.extend(
            mcp.alias
                .map(|path| without_secrets(path, '/', erase.redact.text).into_owned()),
        );
    }

    /// The client address and what it proves.
    fn note_peer(
        &mut self,
        seen: &Observation<'_>,
        mcp: &Mcp<'_>,
        (client, ja4): (IpAddr, Option<Ja4>),
        erase: &mut Erase<'_>,
    ) {
        let mark = mark(seen, mcp);
        let span = Span::at(seen.at);
        let began = seen.flow.seen.first;
        let blank = Peer {
            seen: span,
            began,
            answered: None,
            open: None,
            cleartext: None,
            credential: None,
        };
        let peer = self.peers.entry(client).or_insert(blank);
        peer.seen.join(span);
        peer.began = peer.began.min(began);
        if mcp.dir == Direction::ToClient && (mcp.rpc.is_some() || mcp.success) {
            peer.answered = first_of(peer.answered, Some(mark));
        }
        // What counts is the leg at hand, wherever its client relays from.
        if Scope::of(seen.flow.tuple.client.addr) != Scope::Loopback && seen.flow.encryption == Encryption::None {
            peer.cleartext = first_of(peer.cleartext, Some(mark));
            if mcp.auth.is_some_and(|auth| auth != Auth::None) {
                peer.credential = first_of(peer.credential, Some(mark));
            }
        }
        let disclosed = mcp
            .call
            .is_some_and(|call| call.auth == Auth::None && method::discloses(call.method));
        if disclosed && mcp.success && mcp.auth.is_none_or(|auth| auth == Auth::None) {
            peer.open = first_of(peer.open, Some(mark));
        }
        if mcp.rpc.is_some() && mcp.dir == Direction::ToServer {
            let request = mcp.transaction.and_then(|transaction| transaction.request.as_ref());
            let user_agent = request.and_then(|request| request.headers.text(Field::UserAgent));
            let info = mcp.client.as_ref();
            let key = (
                client,
                info.map(|info| erase.name(&info.name)),
                info.map(|info| erase.name(&info.version)),
            );
            let known = self.clients.entry(key).or_insert(ClientSeen {
                seen: span,
                agent: None,
            });
            known.seen.join(span);
            if user_agent.is_some() || ja4.is_some() {
                let agent = Agent {
                    user_agent: user_agent.map(|agent| erase.name(agent)),
                    ja4,
                };
                earliest(
                    &mut known.agent,
                    Some((request.map_or(seen.at, |request| request.at), agent)),
                );
            }
        }
    }

    /// The MCP session.
    fn note_session(&mut self, seen: &Observation<'_>, mcp: &Mcp<'_>, client: IpAddr, erase: &mut Erase<'_>) {
        let handshake = mcp.success && mcp.call.is_some_and(|call| call.method == "initialize") && mcp.rpc.is_some();
        // A stateless handshake server gives no session id: the handshake itself is the session.
        let id = match mcp.session {
            Some(id) => id,
            None if handshake && seen.at.packet == 0 => {
                seen.flow.id.rotate_left(17) ^ seen.at.time.nanos().cast_unsigned()
            }
            None if handshake => seen.flow.id.rotate_left(17) ^ seen.at.packet,
            None => return,
        };
        let session = self
            .sessions
            .entry(id)
            .or_insert_with(|| SessionSeen::new(seen.at, client));
        session.seen.join(Span::at(seen.at));
        session.client = session.client.min((seen.at, client));
        session.transport = first_of(session.transport, mcp.transport);
        earliest(
            &mut session.client_name,
            mcp.client.as_ref().map(|info| (seen.at, erase.name(&info.name))),
        );
        earliest(&mut session.revision, mcp.revision.map(|revision| (seen.at, revision)));
        let greeted = mcp.rpc.is_some() && mcp.dir == Direction::ToClient && mcp.success && mcp.server.is_some();
        session.established |= handshake
            || greeted
            || (mcp.rpc.is_none() && mcp.success && mcp.proof.has(Proof::ECHO))
            || (mcp.rpc.is_none()
                && mcp.success
                && mcp.transport == Some(McpTransport::HttpSse)
                && mcp.alias.is_none());
        let Some(rpc) = &mcp.rpc else { return };
        session.messages += 1;
        if let Some(name) = called(mcp) {
            *session.calls.entry(erase.name(name)).or_insert(0) += 1;
        }
        let mark = Mark {
            session: Some(id),
            ..mark(seen, mcp)
        };
        conduct::note(&mut session.conduct, (mcp, rpc), (client, mark));
        if rpc.kind == RpcKind::Request && mcp.auth == Some(Auth::None) && method::discloses(rpc.method) {
            session.asked_open = first_of(session.asked_open, Some(mark));
        }
        // On the event stream of HTTP+SSE the request is not here: a list, or the content of a call, was given.
        let given = mcp.transport == Some(McpTransport::HttpSse)
            && rpc.kind == RpcKind::Success
            && mcp.success
            && mcp.auth.is_none_or(|auth| auth == Auth::None)
            && (mcp.listing.is_some() || mcp.gives);
        if given {
            session.disclosed = first_of(session.disclosed, Some(mark));
        }
    }
}

/// Whether an answer lets pages of any origin read it (Fetch, section 3.3).
fn lets_any_origin(mcp: &Mcp<'_>) -> bool {
    let response = mcp.transaction.and_then(|transaction| transaction.response.as_ref());
    response
        .and_then(|response| response.headers.get(Field::AcAllowOrigin))
        .is_some_and(|value| value.trim_ascii() == b"*")
}

/// Credential on an answered request: with a response of success, or that carries a message. A refusal for lack of
/// credentials is no answer.
fn answered_auth(mcp: &Mcp<'_>) -> Option<Auth> {
    let status = mcp
        .transaction
        .and_then(|transaction| transaction.response.as_ref())
        .map(|response| response.status);
    let refused = matches!(status, Some(401 | 403));
    match mcp.transaction {
        Some(_) if !refused => mcp.auth,
        Some(_) => None,
        // Without HTTP there is no HTTP credential, and an answer is an answer.
        None => mcp.call.map(|call| call.auth),
    }
}

fn mark(seen: &Observation<'_>, mcp: &Mcp<'_>) -> Mark {
    Mark {
        at: seen.at,
        flow: seen.flow.tuple,
        session: mcp.session,
    }
}
