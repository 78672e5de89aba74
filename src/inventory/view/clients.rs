//! Clients as they name themselves, over all servers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::inventory::grouping::Group;
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
        client.servers.push(group.key.endpoint);
        client.servers.sort_unstable();
        client.servers.dedup();
    }
}

/// Most messages do not name their client: what an address sent without a name belongs to the names it gave, where it
/// used the same servers.
pub(super) fn named_clients(clients: BTreeMap<(IpAddr, Option<String>, Option<String>), Client>) -> Vec<Client> {
    let (mut named, nameless): (Vec<Client>, Vec<Client>) =
        clients.into_values().partition(|client| client.name.is_some());
    for client in nameless {
        let mut unclaimed = client.servers.clone();
        for owner in named.iter_mut().filter(|owner| owner.addr == client.addr) {
            unclaimed.retain(|server| !owner.servers.contains(server));
        }
        let owners: Vec<&mut Client> = named
            .iter_mut()
            .filter(|owner| owner.addr == client.addr && owner.servers.iter().any(|s| client.servers.contains(s)))
            .collect();
        if let [owner] = owners.into_iter().collect::<Vec<_>>().as_mut_slice() {
            owner.seen.join(client.seen);
        }
        if !unclaimed.is_empty() {
            named.push(Client {
                servers: unclaimed,
                ..client
            });
        }
    }
    named.sort_by(|a, b| (a.addr, &a.name, &a.version).cmp(&(b.addr, &b.name, &b.version)));
    named
}
