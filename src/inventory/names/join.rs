//! The join by time: which name led a client to an address.
//!
//! The client's own answers first. Only where it had none for that address do those of others count: it may have asked
//! by an encrypted way, before the capture began, or through another address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::inventory::names::timeline::{Stretch, Timeline};
use crate::inventory::names::{Announcement, Answer, HiddenFlows, Ledger, Target, Weight};
use crate::model::net::{Endpoint, Scope};
use crate::model::server::{AnnouncedServer, Led};
use crate::model::stamp::{Span, Timestamp};

/// A name is bound anew as soon as the first answer is forgotten: within ten minutes.
const BOUND_ANEW_NANOS: u64 = 600_000_000_000;

/// The answers of all slices about the addresses that are asked for.
#[derive(Debug, Default)]
pub(in crate::inventory) struct Join {
    answers: BTreeMap<IpAddr, Vec<Given>>,
    /// Which of the answers about an address counts, by when it is asked for. Made by [`Self::finish`].
    timelines: BTreeMap<(IpAddr, Whose, Fits), Timeline>,
    /// Names whose service takes encrypted ClientHellos.
    ech: BTreeSet<Arc<str>>,
    hidden: BTreeMap<(IpAddr, Target), HiddenFlows>,
    announced: BTreeMap<Announcement, Span>,
    /// Addresses of the hosts that are asked for.
    hosts: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
    /// Where names of one's own servers led: whom, where to, since when.
    own: BTreeMap<Arc<str>, BTreeSet<Told>>,
}

/// What is asked for.
#[derive(Debug, Default)]
pub(in crate::inventory) struct Wanted {
    pub(in crate::inventory) addresses: BTreeSet<IpAddr>,
    pub(in crate::inventory) hosts: BTreeSet<Arc<str>>,
    /// Names of servers at addresses of one's own.
    pub(in crate::inventory) own: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Given {
    client: Option<IpAddr>,
    name: Arc<str>,
    weight: Weight,
    answer: Answer,
}

/// Whom a name led, where to, and since when.
type Told = (Option<IpAddr>, IpAddr, Timestamp);

/// The client whose answers count; `None` for those of everybody.
type Whose = Option<IpAddr>;

/// Which answers are asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    All,
    /// Of names whose service takes encrypted ClientHellos.
    Keyed,
    Named(Arc<str>),
    /// Of what is no resolver.
    Server,
}

impl Join {
    /// Takes up what one slice has about what is asked for.
    pub(in crate::inventory) fn add(&mut self, ledger: &Ledger, wanted: &Wanted) {
        for (shelf, weight) in ledger.answers.iter().zip([Weight::Known, Weight::Home, Weight::Other]) {
            for (client, lead, answer) in shelf.iter() {
                if answer.ech {
                    self.ech.insert(Arc::clone(&lead.name));
                }
                if let Some(addr) = lead.addr.filter(|_| wanted.hosts.contains(&lead.name)) {
                    self.hosts.entry(Arc::clone(&lead.name)).or_default().insert(addr);
                }
                if let Some(addr) = lead.addr.filter(|_| wanted.own.contains(&lead.name)) {
                    let first = answer.windows.iter().map(|window| window.first).min();
                    let told = first.map(|first| (client, addr, first));
                    self.own.entry(Arc::clone(&lead.name)).or_default().extend(told);
                }
                let Some(addr) = lead.addr.filter(|addr| wanted.addresses.contains(addr)) else {
                    continue;
                };
                self.answers.entry(addr).or_default().push(Given {
                    client,
                    name: Arc::clone(&lead.name),
                    weight,
                    answer: answer.clone(),
                });
            }
        }
        for (client, target, flows) in ledger.hidden.iter() {
            let Some(client) = client else { continue };
            self.hidden
                .entry((client, target.clone()))
                .and_modify(|known| known.join(*flows))
                .or_insert(*flows);
        }
        for (_, announcement, told) in ledger.announced.iter() {
            self.announced
                .entry(announcement.clone())
                .and_modify(|known| known.join(told.seen))
                .or_insert(told.seen);
        }
    }

    /// Everything was added.
    pub(in crate::inventory) fn finish(&mut self) {
        let mut stretches: BTreeMap<(IpAddr, Whose, Fits), Vec<Stretch>> = BTreeMap::new();
        for (addr, all) in &mut self.answers {
            // Of answers that were given at the same moment the first name counts, whatever order they came in.
            all.sort_by(|a, b| (&a.name, a.client, a.answer.resolver).cmp(&(&b.name, b.client, b.answer.resolver)));
            for (number, given) in all.iter().enumerate() {
                let fits = [
                    Some(Fits::All),
                    self.ech.contains(&given.name).then_some(Fits::Keyed),
                    Some(Fits::Named(Arc::clone(&given.name))),
                    (!given.answer.resolver).then_some(Fits::Server),
                ];
                for fits in fits.into_iter().flatten() {
                    let own = given.client.map(Some);
                    for whose in [None].into_iter().chain(own) {
                        let place = stretches.entry((*addr, whose, fits.clone())).or_default();
                        place.extend(given.answer.stretches(number));
                    }
                }
            }
        }
        let timelines = stretches.into_iter().map(|(key, all)| (key, Timeline::new(all)));
        self.timelines = timelines.collect();
    }

    /// Services whose host has a known address: one each, IPv4 before IPv6.
    pub(in crate::inventory) fn announced(&self) -> Vec<AnnouncedServer> {
        let server = |(announcement, seen): (&Announcement, &Span)| {
            let addr = *self.hosts.get(&announcement.host)?.first()?;
            Some(AnnouncedServer {
                host: Arc::clone(&announcement.host),
                endpoint: Endpoint::new(addr, announcement.port),
                path: announcement.path.clone(),
                seen: *seen,
            })
        };
        self.announced.iter().filter_map(server).collect()
    }

    /// A public address that a name led a client to shortly before it led the same client to `addr`, the least of them:
    /// the name was bound anew.
    pub(in crate::inventory) fn bound_before(&self, name: &Arc<str>, addr: IpAddr) -> Option<IpAddr> {
        let told = self.own.get(name)?;
        let again = |(client, before, first): &Told| {
            let later = (Excluded((*client, addr, *first)), Unbounded);
            let next = told.range(later).next();
            let soon = next.is_some_and(|(who, now, then)| {
                who == client && *now == addr && then.since(*first) <= BOUND_ANEW_NANOS
            });
            soon && before.is_ipv4() == addr.is_ipv4()
        };
        let public = told.iter().filter(|(_, before, _)| Scope::of(*before) == Scope::Public);
        public.filter(|told| again(told)).map(|(_, before, _)| *before).min()
    }

    /// The name that led a client to an address at that moment: of the answer it got last.
    pub(in crate::inventory) fn name(&self, client: IpAddr, addr: IpAddr, at: Timestamp) -> Option<Arc<str>> {
        let given = self.given(client, addr, at, Fits::Server)?;
        Some(Arc::clone(&given.name))
    }

    /// Whether any answer about an address gave a name that a signature knows.
    fn is_known(&self, addr: IpAddr) -> bool {
        let all = self.answers.get(&addr);
        all.is_some_and(|all| all.iter().any(|given| given.weight == Weight::Known))
    }

    /// The answer that was given last. Those of others count only where the client had none, so that its own among them
    /// change nothing.
    fn given(&self, client: IpAddr, addr: IpAddr, at: Timestamp, fits: Fits) -> Option<&Given> {
        let find = |whose: Whose, fits| self.timelines.get(&(addr, whose, fits))?.at(at);
        let own = find(Some(client), Fits::All).map(|_| client);
        self.answers.get(&addr)?.get(find(own, fits)?)
    }

    /// Flows that hide their name and were led by one that a signature knows.
    pub(in crate::inventory) fn led(&self) -> Vec<Led> {
        let mut all: BTreeMap<_, Led> = BTreeMap::new();
        // Most flows go where no known name leads: asked once for each address, not once for each flow.
        let known: BTreeSet<IpAddr> = self
            .answers
            .keys()
            .copied()
            .filter(|addr| self.is_known(*addr))
            .collect();
        let hidden = self.hidden.iter();
        for ((client, target), flows) in hidden.filter(|((_, target), _)| known.contains(&target.endpoint.addr)) {
            let (addr, at) = (target.endpoint.addr, flows.seen.first.time);
            // Where a ClientHello hides a name there is a key for it in DNS. Without one, or where the name that it shows
            // was asked for, the extension is but an imitation, and the name that it shows is the true one.
            let real = target.shown.clone().map(Fits::Named);
            let hides = if real.is_some() { Fits::Keyed } else { Fits::All };
            if real.is_some_and(|real| self.given(*client, addr, at, real).is_some()) {
                continue;
            }
            let Some(given) = self.given(*client, addr, at, hides) else {
                continue;
            };
            if given.weight != Weight::Known {
                continue;
            }
            let led = Led {
                name: Arc::clone(&given.name),
                client: *client,
                endpoint: target.endpoint,
                encryption: target.encryption,
                flows: flows.flows,
                resolver: given.answer.resolver,
                seen: flows.seen,
            };
            all.entry((led.name.clone(), *client, led.endpoint, led.encryption))
                .and_modify(|known| {
                    known.resolver |= led.resolver;
                    known.flows = known.flows.saturating_add(led.flows);
                    known.seen.join(led.seen);
                })
                .or_insert(led);
        }
        all.into_values().collect()
    }
}
