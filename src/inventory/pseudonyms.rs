//! Client addresses as stable pseudonyms, in everything that leaves a view.
//!
//! A pseudonym is an address of 100::/64, which is never routed (RFC 6666): it sorts, filters and is stored as every other
//! one, and nobody takes it for a real one. Finding ids, and Community IDs of what clients did, are those of the
//! pseudonyms: from the real ones an address could be found by trying all. Server addresses stay, also where a server is
//! somebody else's client.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::inventory::view::{finding_id, lookup_order};
use crate::model::finding::Finding;
use crate::model::message_seen::{MessageRow, Route};
use crate::model::server::{Server, View};

/// The address that stands for a client, out of a keyed hash of it.
pub fn pseudonym(hash: u128) -> IpAddr {
    const DISCARD: u128 = 0x0100 << 112;
    IpAddr::V6(Ipv6Addr::from_bits(DISCARD | (hash >> 64)))
}

impl View {
    /// Replaces every address of a client by what `alias` gives for it.
    pub fn pseudonymise(&mut self, alias: &dyn Fn(IpAddr) -> IpAddr) {
        let known = self.client_addresses();
        let swap = |addr: &mut IpAddr| *addr = alias(*addr);
        let hidden = std::mem::take(&mut self.capture.encrypted_dns);
        self.capture.encrypted_dns = hidden.into_iter().map(|(addr, flows)| (alias(addr), flows)).collect();
        self.clients.iter_mut().for_each(|client| swap(&mut client.addr));
        self.clients
            .sort_by(|a, b| (a.addr, &a.name, &a.version).cmp(&(b.addr, &b.name, &b.version)));
        self.lookups.iter_mut().for_each(|lookup| swap(&mut lookup.client));
        self.lookups.sort_by(|a, b| lookup_order(a).cmp(&lookup_order(b)));
        self.sessions
            .iter_mut()
            .flat_map(|session| &mut session.client)
            .for_each(swap);
        self.led.iter_mut().for_each(|led| swap(&mut led.client));
        self.attempts.iter_mut().for_each(|attempt| swap(&mut attempt.client));
        self.servers.iter_mut().for_each(|server| swap_server(server, alias));
        for reported in &mut self.findings {
            swap_finding(&mut reported.finding, &known, alias);
            reported.id = finding_id(&reported.finding.key);
        }
        self.order_findings();
        swap_messages(&mut self.messages, alias);
    }

    fn client_addresses(&self) -> BTreeSet<IpAddr> {
        let mut known: BTreeSet<IpAddr> = self.clients.iter().map(|client| client.addr).collect();
        known.extend(self.servers.iter().flat_map(|server| &server.clients));
        known.extend(self.lookups.iter().map(|lookup| lookup.client));
        known.extend(self.findings.iter().filter_map(|reported| reported.finding.key.client));
        known.extend(self.attempts.iter().map(|attempt| attempt.client));
        known
    }
}

fn swap_server(server: &mut Server, alias: &dyn Fn(IpAddr) -> IpAddr) {
    server.clients.iter_mut().for_each(|addr| *addr = alias(*addr));
    server.clients.sort_unstable();
    let peers = std::mem::take(&mut server.peers);
    server.peers = peers.into_iter().map(|(addr, peer)| (alias(addr), peer)).collect();
    let calls = std::mem::take(&mut server.calls);
    server.calls = calls
        .into_iter()
        .map(|((addr, tool), calls)| ((alias(addr), tool), calls))
        .collect();
    for listing in &mut server.listings {
        listing.clients = listing.clients.iter().map(|addr| alias(*addr)).collect();
        listing.audience.client = listing.audience.client.map(alias);
    }
    for tool in &mut server.tools {
        let earlier = tool.earlier.iter_mut().map(|definition| &mut definition.given);
        for given in earlier.chain([&mut tool.given]) {
            let real = std::mem::take(given);
            *given = real
                .into_iter()
                .map(|((auth, addr), seen)| ((auth, alias(addr)), seen))
                .collect();
        }
    }
}

fn swap_finding(finding: &mut Finding, known: &BTreeSet<IpAddr>, alias: &dyn Fn(IpAddr) -> IpAddr) {
    finding.key.client = finding.key.client.map(alias);
    if let Some(flow) = &mut finding.evidence.flow {
        flow.client.addr = alias(flow.client.addr);
    }
    finding.title = without_addresses(&finding.title, known, alias);
    for value in finding.detail.values_mut() {
        *value = without_addresses(value, known, alias);
    }
}

fn swap_messages(messages: &mut [MessageRow], alias: &dyn Fn(IpAddr) -> IpAddr) {
    let mut routes: BTreeMap<*const Route, Arc<Route>> = BTreeMap::new();
    for row in messages {
        let real = Arc::clone(&row.seen.route);
        let route = routes.entry(Arc::as_ptr(&real)).or_insert_with(|| {
            let mut route = Route::clone(&real);
            route.client = alias(route.client);
            route.flow.client.addr = alias(route.flow.client.addr);
            Arc::new(route)
        });
        row.seen.route = Arc::clone(route);
    }
}

/// A text of ours that names clients, with their pseudonyms.
fn without_addresses(text: &str, known: &BTreeSet<IpAddr>, alias: &dyn Fn(IpAddr) -> IpAddr) -> String {
    let part = |char: char| char.is_ascii_hexdigit() || matches!(char, '.' | ':' | '[' | ']');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(part) {
        out.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let end = rest.find(|char| !part(char)).unwrap_or(rest.len());
        let run = &rest[..end];
        // A full stop, or a colon, may end a sentence.
        let word = run.trim_end_matches(['.', ':']);
        match named(word).filter(|(addr, _)| known.contains(addr)) {
            Some((addr, Some(port))) => out.push_str(&format!("[{}]:{port}", alias(addr))),
            Some((addr, None)) => out.push_str(&alias(addr).to_string()),
            None => out.push_str(word),
        }
        out.push_str(&run[word.len()..]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The address that a word is, with its port if it has one.
fn named(word: &str) -> Option<(IpAddr, Option<u16>)> {
    let plain = word.parse().ok().map(|addr| (addr, None));
    let socket = || word.parse::<SocketAddr>().ok().map(|end| (end.ip(), Some(end.port())));
    plain.or_else(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_texts_are_replaced_whole() {
        let known: BTreeSet<IpAddr> = ["10.0.0.9".parse().unwrap(), "fd88::9".parse().unwrap()].into();
        let alias = |addr: IpAddr| {
            if addr.is_ipv4() {
                pseudonym(1 << 64)
            } else {
                pseudonym(2 << 64)
            }
        };
        for (text, expect) in [
            ("10.0.0.9 asked 10.0.0.5:80.", "100::1 asked 10.0.0.5:80."),
            (
                "from 10.0.0.9:5000, fd88::9 and 10.0.0.99",
                "from [100::1]:5000, 100::2 and 10.0.0.99",
            ),
            ("by 10.0.0.9.", "by 100::1."),
            ("a bad face: [fd88::9]:80", "a bad face: [100::2]:80"),
            ("", ""),
        ] {
            assert_eq!(without_addresses(text, &known, &alias), expect);
        }
    }
}
