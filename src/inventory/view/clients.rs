//! Clients as they name themselves, over all servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::inventory::grouping::Group;
use crate::model::net::Endpoint;
use crate::model::server::Client;

pub(super) fn note_clients(group: &Group, clients: &mut BTreeMap<(IpAddr, Option<String>, Option<String>), Client>) {
    for ((addr, name, version), seen) in &group.account.clients {
        let client = clients
            .entry((*addr, name.clone(), version.clone()))
            .or_insert_with(|| Client {
                addr: *addr,
                name: name.clone(),
                version: version.clone(),
                user_agent: None,
                ja4: None,
                servers: Vec::new(),
                seen: seen.seen,
            });
        let earlier = seen.seen.first <= client.seen.first;
        let known = client.user_agent.is_some() || client.ja4.is_some();
        if let Some((_, agent)) = seen.agent.as_ref().filter(|_| earlier || !known) {
            client.user_agent.clone_from(&agent.user_agent);
            client.ja4 = agent.ja4;
        }
        client.seen.join(seen.seen);
        if let Err(place) = client.servers.binary_search(&group.key.endpoint) {
            client.servers.insert(place, group.key.endpoint);
        }
    }
}

/// Most messages do not name their client: what an address sent without a name belongs to the names it gave, where it
/// used the same servers.
pub(super) fn named_clients(clients: BTreeMap<(IpAddr, Option<String>, Option<String>), Client>) -> Vec<Client> {
    let clients: Vec<Client> = clients.into_values().collect();
    // In order of address; few have no name at one address.
    let mut out: Vec<Client> = clients
        .chunk_by(|one, other| one.addr == other.addr)
        .flat_map(of_one_address)
        .collect();
    out.sort_by(|a, b| (a.addr, &a.name, &a.version).cmp(&(b.addr, &b.name, &b.version)));
    out
}

fn of_one_address(clients: &[Client]) -> Vec<Client> {
    let (mut named, nameless): (Vec<Client>, Vec<Client>) =
        clients.iter().cloned().partition(|client| client.name.is_some());
    let mut claimed: BTreeSet<Endpoint> = named.iter().flat_map(|owner| owner.servers.clone()).collect();
    let uses = |client: &Client, server: &Endpoint| client.servers.binary_search(server).is_ok();
    for client in nameless {
        let mut unclaimed = client.servers.clone();
        unclaimed.retain(|server| claimed.insert(*server));
        let mut owners = named
            .iter_mut()
            .filter(|owner| owner.servers.iter().any(|server| uses(&client, server)));
        if let (Some(owner), None) = (owners.next(), owners.next()) {
            owner.seen.join(client.seen);
        }
        if !unclaimed.is_empty() {
            named.push(Client {
                servers: unclaimed,
                ..client
            });
        }
    }
    named
}
