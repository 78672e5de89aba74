//! Names that led to addresses: DNS answers, and the flows that hide where they go, each with its moment.
//!
//! An answer and the flow that follows it lie on different shards, so neither can ask for the other: both are written
//! down, and joined by time when a view is built (`join.rs`). Nobody knows while answers come which of them will matter,
//! so all of them are kept as long as there is room, in three classes that cannot crowd each other out. An answer matters
//! from the moment it was given until its TTL is over and [`GRACE_NANOS`] on top.
//!
//! Nothing of this leaves the sensor but the name of a server: names that lead nowhere worth a report are in no report.

mod join;
mod shelf;
mod timeline;

use std::net::IpAddr;
use std::sync::Arc;

use crate::inventory::admission::SLICES;
use crate::inventory::names::shelf::Shelf;
use crate::inventory::names::timeline::Stretch;
use crate::inventory::tally::{Redact, Tally};
use crate::mcp::site::without_secrets;
use crate::model::dns::{Announced, Resolved};
use crate::model::flow::FlowInfo;
use crate::model::net::{Endpoint, Scope, Transport};
use crate::model::observation::Observation;
use crate::model::server::Encryption;
use crate::model::stamp::{Span, Timestamp};

pub(super) use join::{Join, Wanted};

/// Clients go on using an answer for a while after its TTL: caches that round up, connection pools that connect again.
/// Five minutes is what resolvers and browsers do at most on purpose.
pub const GRACE_NANOS: i64 = 300_000_000_000;
/// Longest TTL that is believed, in seconds: a week (RFC 8767, section 4).
const TTL_MAX_SECS: u32 = 604_800;
/// Times of validity that are kept of one answer.
const WINDOWS_MAX: usize = 4;
/// Port of multicast DNS: everybody on the link hears the answer.
const MDNS: u16 = 5353;
/// Flows of one client to one endpoint that begin within so much are one entry.
const TOGETHER_NANOS: i64 = 60_000_000_000;

/// How much a name may matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// A signature knows it.
    Known,
    /// Its address is not a public one: a server of one's own may be there.
    Home,
    /// Any other.
    Other,
}

impl Weight {
    const COUNT: usize = Self::Other as usize + 1;

    /// Of a name that led to an address.
    pub fn of(known: bool, addr: Option<IpAddr>) -> Self {
        match addr {
            _ if known => Self::Known,
            Some(addr) if Scope::of(addr) != Scope::Public => Self::Home,
            _ => Self::Other,
        }
    }
}

/// Something that a flow showed about names; a tally carries it to the inventory.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    Answer(Weight, Option<IpAddr>, Lead, Answer),
    Announced(Announcement, Announcements),
    Hidden(IpAddr, Target, HiddenFlows),
}

/// A name and where it leads; without an address only what is said of its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lead {
    addr: Option<IpAddr>,
    name: Arc<str>,
}

/// When a lead was given.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    windows: Vec<Window>,
    /// Its service takes encrypted ClientHellos.
    ech: bool,
    /// Its service is an encrypted resolver.
    resolver: bool,
}

/// Answers that follow each other while the one before still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    first: Timestamp,
    last: Timestamp,
    until: Timestamp,
}

/// Where flows went that hide their name, and when, by the minute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    endpoint: Endpoint,
    encryption: Encryption,
    minute: i64,
    /// The name that a ClientHello shows in the place of the one that it hides.
    shown: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct HiddenFlows {
    seen: Span,
    flows: u64,
}

/// A service that names MCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Announcement {
    host: Arc<str>,
    port: u16,
    path: Option<Arc<str>>,
}

/// When a service told where it is. What it takes back is not followed: it was there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcements {
    seen: Span,
}

impl Heard {
    /// An answer; `None` when its name is none that a server may have.
    pub(super) fn answer(
        seen: &Observation<'_>,
        told: &Resolved<'_>,
        weight: Weight,
        redact: &dyn Fn(&str) -> String,
    ) -> Option<Self> {
        let tuple = &seen.flow.tuple;
        let ech = told.service.is_some_and(|service| service.ech);
        let useful = told.addr.is_some() || ech;
        let name = told.host();
        // Resolvers are discovered under names that no host has (RFC 9462, section 4).
        if !useful || !(is_hostname(name) || told.leads_to_dns()) {
            return None;
        }
        let everybody = tuple.server.port == MDNS || tuple.client.port == MDNS;
        let at = seen.at.time;
        let ttl = i64::from(told.ttl_secs.min(TTL_MAX_SECS)).saturating_mul(1_000_000_000);
        let window = Window {
            first: at,
            last: at,
            until: at.plus_nanos(ttl),
        };
        let lead = Lead {
            addr: told.addr,
            name: without_secrets(name, '.', redact).into(),
        };
        let answer = Answer {
            windows: vec![window],
            ech,
            resolver: told.leads_to_dns(),
        };
        Some(Self::Answer(
            weight,
            (!everybody).then_some(tuple.client.addr),
            lead,
            answer,
        ))
    }

    /// A service; `None` when its host has no name that a host may have.
    pub(super) fn announced(
        seen: &Observation<'_>,
        told: &Announced<'_>,
        redact: &dyn Fn(&str) -> String,
    ) -> Option<Self> {
        if !is_hostname(told.host) || told.port == 0 {
            return None;
        }
        let path = told.path.and_then(|path| path.split(['?', '#']).next());
        let announcement = Announcement {
            host: without_secrets(told.host, '.', redact).into(),
            port: told.port,
            path: path.map(|path| without_secrets(path, '/', redact).into()),
        };
        let seen = Span::at(seen.at);
        Some(Self::Announced(announcement, Announcements { seen }))
    }

    /// An encrypted flow whose name is hidden; `shown` stands in its place.
    pub(super) fn hidden(flow: &FlowInfo, shown: Option<&str>) -> Self {
        let target = Target {
            endpoint: flow.tuple.server,
            encryption: match flow.tuple.transport {
                Transport::Tcp => Encryption::Tls,
                Transport::Udp => Encryption::Quic,
            },
            minute: flow.seen.first.time.nanos().div_euclid(TOGETHER_NANOS),
            shown: shown.map(Arc::from),
        };
        let flows = HiddenFlows {
            seen: flow.seen,
            flows: 1,
        };
        Self::Hidden(flow.tuple.client.addr, target, flows)
    }
}

impl Tally {
    /// Adds a DNS answer.
    pub fn resolve(&mut self, seen: &Observation<'_>, told: &Resolved<'_>, weight: Weight, redact: Redact<'_>) {
        self.heard.extend(Heard::answer(seen, told, weight, redact.text));
    }

    /// Adds an encrypted flow that hides its name; `shown` is what it shows in its place.
    pub fn hide(&mut self, flow: &FlowInfo, shown: Option<&str>) {
        self.heard.push(Heard::hidden(flow, shown));
    }

    /// The flow is one of encrypted DNS.
    pub fn hide_dns(&mut self, flow: &FlowInfo) {
        if !std::mem::replace(&mut self.told_dns, true) {
            self.encrypted_dns = Some((flow.tuple.client.addr, flow.seen.last.time));
        }
    }

    /// Adds a service that told where it is.
    pub fn announce(&mut self, seen: &Observation<'_>, announced: &Announced<'_>, redact: Redact<'_>) {
        self.heard.extend(Heard::announced(seen, announced, redact.text));
    }
}

/// A name that a server may have: letters, digits, dashes and underlines between dots, and no reverse look-up. What
/// begins with an underline names a service, not a host.
fn is_hostname(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.starts_with('_') && !name.ends_with(".arpa") && name.bytes().all(fits)
}

/// What one slice heard.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    answers: [Shelf<Lead, Answer>; Weight::COUNT],
    hidden: Shelf<Target, HiddenFlows>,
    announced: Shelf<Announcement, Announcements>,
    /// Entries dropped since the last call.
    dropped: u64,
}

impl Ledger {
    /// Writes down what a flow showed. Each class of answers, and the hidden flows, have their share of `max_names`.
    pub(super) fn note(&mut self, heard: Heard, max_names: usize) {
        let max_entries = max_names.div_ceil(SLICES);
        self.dropped += match heard {
            Heard::Answer(weight, client, lead, answer) => {
                let at = answer
                    .windows
                    .iter()
                    .map(|window| window.until)
                    .max()
                    .unwrap_or_default();
                self.answers[weight as usize].put(client, (lead, answer), at, max_entries, Answer::join)
            }
            Heard::Announced(announcement, told) => {
                let at = told.seen.last.time;
                let join = |known: &mut Announcements, more: Announcements| known.seen.join(more.seen);
                self.announced.put(None, (announcement, told), at, max_entries, join)
            }
            Heard::Hidden(client, target, flows) => {
                let at = flows.seen.last.time;
                self.hidden
                    .put(Some(client), (target, flows), at, max_entries, HiddenFlows::join)
            }
        };
    }

    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Drops what ended before.
    pub(super) fn forget(&mut self, before: Timestamp) {
        self.answers.iter_mut().for_each(|shelf| shelf.forget(before));
        self.hidden.forget(before);
        self.announced.forget(before);
    }

    /// What has to be known about: where flows go that hide their name, and hosts of services.
    pub(super) fn want(&self, out: &mut Wanted) {
        let targets = self.hidden.iter().map(|(_, target, _)| target.endpoint.addr);
        out.addresses.extend(targets);
        let hosts = self.announced.iter();
        out.hosts
            .extend(hosts.map(|(_, announcement, _)| Arc::clone(&announcement.host)));
    }
}

impl Answer {
    /// Windows that touch become one; of too many the oldest goes.
    fn join(&mut self, other: Self) {
        self.ech |= other.ech;
        self.resolver |= other.resolver;
        for mut window in other.windows {
            self.windows.retain(|known| {
                let apart = known.until.plus_nanos(GRACE_NANOS) < window.first
                    || window.until.plus_nanos(GRACE_NANOS) < known.first;
                if !apart {
                    window.first = window.first.min(known.first);
                    window.last = window.last.max(known.last);
                    window.until = window.until.max(known.until);
                }
                apart
            });
            self.windows.push(window);
        }
        self.windows.sort_unstable();
        let surplus = self.windows.len().saturating_sub(WINDOWS_MAX);
        self.windows.drain(..surplus);
    }

    /// For how long it counts: until it is given again as of its first moment, then as of its last.
    fn stretches(&self, number: usize) -> impl Iterator<Item = Stretch> {
        self.windows.iter().flat_map(move |window| {
            let until = window.until.plus_nanos(GRACE_NANOS);
            let stretch = |from, to, given| Stretch {
                from,
                to,
                given,
                number,
            };
            let before = stretch(window.first, window.last.plus_nanos(-1), window.first);
            let then = stretch(window.last, until, window.last);
            [before, then].into_iter().filter(|stretch| stretch.from <= stretch.to)
        })
    }
}

impl HiddenFlows {
    fn join(&mut self, other: Self) {
        self.seen.join(other.seen);
        self.flows = self.flows.saturating_add(other.flows);
    }
}
